"""Trend pictures: what is drawn, and that they always stay small enough to be shown inline."""

import re
from base64 import b64decode
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lightkeeper.errors import Refused
from lightkeeper.measure.picture import markdown, trend, two_lines

SVG = "{http://www.w3.org/2000/svg}"


def path_of(svg: str) -> list[list[tuple[int, int]]]:
    """The pieces of the line, each a list of points."""
    path = ET.fromstring(svg).find(f"{SVG}path")  # noqa: S314
    pieces = [] if path is None else re.findall(r"M([^Mh]*)h0", path.attrib["d"])
    return [[(int(x), int(y)) for x, y in (point.split(" ") for point in piece.split("L"))] for piece in pieces]


def dot_of(svg: str) -> tuple[int, int] | None:
    dot = ET.fromstring(svg).find(f"{SVG}circle")  # noqa: S314
    return None if dot is None else (int(dot.attrib["cx"]), int(dot.attrib["cy"]))


def image_of(text: str) -> str:
    return b64decode(re.fullmatch(r"!\[.*\]\(data:image/svg\+xml;base64,([A-Za-z0-9+/=]+)\)", text)[1]).decode()  # type: ignore[index]


def test_a_rising_line_goes_from_bottom_left_to_top_right_and_ends_in_a_dot() -> None:
    svg = trend([1.0, 2.0, 3.0], 100, 40)
    assert path_of(svg) == [[(4, 36), (50, 20), (96, 4)]]
    assert dot_of(svg) == (96, 4)


def test_the_largest_and_the_smallest_number_have_a_line_between_them() -> None:
    assert path_of(trend([-1.7e308, 0.0, 1.7e308], 100, 40)) == [[(4, 36), (50, 20), (96, 4)]]


def test_many_values_are_averaged_into_forty_points() -> None:
    values = [float(n % 2) for n in range(4000)]
    (points,) = path_of(trend(values))
    assert len(points) == 40
    assert {y for _, y in points} == {20}
    assert len(path_of(trend(values[:41]))[0]) == 40
    assert len(path_of(trend(values[:40]))[0]) == 40


def test_the_line_is_broken_where_nothing_is_known() -> None:
    svg = trend([1.0, None, 2.0, float("nan"), float("inf"), 3.0, 2.0, None])
    assert [len(piece) for piece in path_of(svg)] == [1, 1, 2]
    assert dot_of(svg) == path_of(svg)[-1][-1]


@pytest.mark.parametrize("values", [[], [None], [None, float("nan")]])
def test_without_a_known_value_the_picture_is_empty(values: list[float | None]) -> None:
    assert path_of(trend(values)) == []
    assert dot_of(trend(values)) is None


def test_equal_values_stand_in_the_middle_and_a_single_one_at_the_end() -> None:
    assert {y for _, y in path_of(trend([5, 5, 5]))[0]} == {20}
    assert path_of(trend([7]))[0] == [(236, 20)]


VALUES = st.none() | st.floats() | st.floats(-1e308, 1e308)


@given(
    st.lists(VALUES, max_size=120),
    st.sampled_from([20, 240, 999]),
    st.sampled_from([20, 40, 999]),
    st.text(max_size=1200),
)
@settings(max_examples=300, deadline=None)
def test_any_picture_is_inside_its_frame_and_below_a_thousand_characters(
    values: list[float | None], width: int, height: int, alt: str
) -> None:
    svg = trend(values, width, height)
    assert all(0 <= x <= width and 0 <= y <= height for piece in path_of(svg) for x, y in piece)
    text = markdown(svg, alt)
    assert len(text) < 1000
    assert image_of(text) == svg


@pytest.mark.parametrize("alt", ["", "x" * 5000, "]" * 5000, "é" * 5000])
def test_the_longest_picture_with_the_longest_words_is_below_a_thousand_characters(alt: str) -> None:
    zigzag = trend([1000 * (n % 2) for n in range(40)], 999, 999)
    broken = trend([n if n % 2 else None for n in range(40)], 999, 999)
    assert max(len(markdown(svg, alt)) for svg in (zigzag, broken)) < 1000


def test_words_with_brackets_and_line_ends_stay_words() -> None:
    text = markdown(trend([1, 2]), "units [pieces]\na day](http://x) \\")
    assert text.startswith(r"![units \[pieces\] a day\](http://x) \\](data:image/svg+xml;base64,")


def test_a_picture_that_cannot_be_shown_inline_is_refused() -> None:
    with pytest.raises(Refused, match="cannot be shown inline"):
        markdown("<svg/>" * 200, "large")
    with pytest.raises(Refused, match="10 x 40 pixels"):
        trend([1.0], 10)


def luminance(colour: str) -> float:
    parts = [int(digit * 2, 16) / 255 for digit in colour]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_the_colour_is_readable_on_white_and_on_black() -> None:
    """The contrast of WCAG 2 for graphics: at least 3."""
    seen = luminance(re.search(r'stroke="#([0-9a-f]{3})"', trend([1, 2]))[1])  # type: ignore[index]
    assert 1.05 / (seen + 0.05) > 3
    assert (seen + 0.05) / 0.05 > 3


def test_two_lines_share_their_scale_and_name_themselves() -> None:
    svg = two_lines([10.0, 20.0], [5.0, 0.0], ("before & after", "now"), 108, 58)
    assert 'd="M4 29L104 4"' in svg  # half of the largest, and the largest
    assert 'd="M4 42L104 54"' in svg
    assert all(word in svg for word in ("20 at the top", "before &amp; after", ">now<"))
    with pytest.raises(Refused, match="Two lines of 1 and 2 values"):
        two_lines([1.0], [1.0, 2.0], ("a", "b"))
