"""Small trend pictures that a page of Markdown shows inline.

Owns a line drawn as SVG, and its form as an image in Markdown. What is drawn, and where it is shown, stay out.
"""

from __future__ import annotations

import math
from base64 import b64encode
from collections.abc import Iterator, Sequence
from html import escape
from itertools import groupby, pairwise

from lightkeeper.errors import Refused

__all__ = ["beside", "markdown", "trend", "two_lines"]

_POINTS = 40
_CELLS = 16  # that two windows are drawn in
_GREY = "#999"
_COLOUR = "#38d"  # contrast above 3 with white and with black
_EDGE = 4  # pixels that the dot needs
_LARGEST = 999  # pixels
_INLINE = 1000  # Dagster's UI shows Markdown inline only below so many characters
_ESCAPED = str.maketrans({"\\": r"\\", "[": r"\[", "]": r"\]"})


def trend(values: Sequence[float | None], width: int = 240, height: int = 40) -> str:
    """A line through the values, oldest first, with a dot at the last known one, as SVG.

    Args:
        values: any number of them; above 40 they are averaged in 40 stretches of about equal length. The line is broken
            where nothing is known (null, NaN, infinite); without any known value the picture is empty.
        width: in pixels, 20 to 999.
        height: in pixels, 20 to 999.

    Raises:
        Refused: the picture would be too small or too large.
    """
    smallest = 5 * _EDGE
    if not (smallest <= width <= _LARGEST and smallest <= height <= _LARGEST):
        raise Refused(f"A picture of {width} x {height} pixels: give {smallest} to {_LARGEST} each way.")
    places = list(_places(_averaged(values), width, height))
    drawn = ""
    if any(places):
        x, y = next(place for place in reversed(places) if place)
        line = "".join(
            "M" + "L".join(f"{x} {y}" for x, y in (place for place in run if place)) + "h0"
            for known, run in groupby(places, bool)
            if known
        )
        drawn = f'<path d="{line}" fill="none" stroke="{_COLOUR}" stroke-width="2" stroke-linecap="round"/>'
        drawn += f'<circle cx="{x}" cy="{y}" r="3" fill="{_COLOUR}"/>'
    return f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}">{drawn}</svg>'


def two_lines(first: Sequence[float], second: Sequence[float], names: tuple[str, str], width: int = 640, height: int = 240) -> str:
    """Two series over the same time, as SVG: the first as a grey line, the second as a blue one, from 0 at the bottom.

    Args:
        first: the values, oldest first.
        second: as many.
        names: of both, which stand in the picture beside the largest value.
        width: in pixels.
        height: in pixels.

    Raises:
        Refused: there are not as many of the one as of the other.
    """
    if len(first) != len(second):
        raise Refused(f"Two lines of {len(first)} and {len(second)} values: give as many of each.")
    top = max((*first, *second), default=0.0) or 1.0
    drawn = "".join(_line(one, top, colour, (width, height)) for one, colour in ((first, _GREY), (second, _COLOUR)))
    words = ((f"{top:,.0f} at the top", "#777"), (names[0], _GREY), (names[1], _COLOUR))
    legend = "".join(
        f'<text x="{_EDGE + 4}" y="{height - 12 - 16 * place}" fill="{colour}">{escape(word)}</text>'
        for place, (word, colour) in enumerate(reversed(words))
    )
    drawn += f'<g font-family="sans-serif" font-size="12">{legend}</g>'
    return f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}">{drawn}</svg>'


def _line(values: Sequence[float], top: float, colour: str, size: tuple[int, int]) -> str:
    if not values:
        return ""
    wide, high = size[0] - 2 * _EDGE, size[1] - 2 * _EDGE
    last = max(len(values) - 1, 1)
    places = (f"{round(_EDGE + wide * i / last)} {round(_EDGE + high * (1 - value / top))}" for i, value in enumerate(values))
    return f'<path d="M{"L".join(places)}" fill="none" stroke="{colour}" stroke-width="2" stroke-linejoin="round"/>'


def beside(reference: Sequence[float], current: Sequence[float], width: int = 240, height: int = 40) -> str:
    """Two windows counted in the same cells, as SVG: the reference as grey columns, the current one as a blue line of steps.

    Args:
        reference: counts of the reference.
        current: of the current window, in the same cells; more than 16 cells are put together.
        width: in pixels.
        height: in pixels.
    """
    both = [_shares(one) for one in (reference, current)]
    cells, top = len(both[0]), max((share for one in both for share in one), default=0.0) or 1.0
    step = width / max(cells, 1)
    tops = [[round(height - height * share / top) for share in one] for one in both]
    at = [round(step * i) for i in range(cells + 1)]
    columns = "".join(f"M{at[i]} {height}V{y}H{at[i + 1] - 1}V{height}" for i, y in enumerate(tops[0]))
    steps = f"M0 {height}" + "".join(f"V{y}H{at[i + 1]}" for i, y in enumerate(tops[1]))
    drawn = f'<path d="{columns}" fill="{_GREY}"/><path d="{steps}V{height}" fill="none" stroke="{_COLOUR}" stroke-width="2"/>'
    return f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}">{drawn if cells else ""}</svg>'


def _shares(counts: Sequence[float]) -> list[float]:
    """The shares of at most 16 cells."""
    cells = min(len(counts), _CELLS)
    edges = [len(counts) * i // cells for i in range(cells + 1)] if cells else [0]
    total = sum(counts) or 1.0
    return [sum(counts[start:stop]) / total for start, stop in pairwise(edges)]


def markdown(svg: str, alt: str) -> str:
    """The picture as an image in Markdown, always below 1,000 characters: `alt`, what it shows, is cut to fit.

    Raises:
        Refused: the picture alone is too large to be shown inline; `trend` makes none such.
    """
    image = f"](data:image/svg+xml;base64,{b64encode(svg.encode()).decode()})"
    room = _INLINE - 1 - len("![") - len(image)
    if room < 0:
        raise Refused(f"A picture of {len(svg)} characters cannot be shown inline: draw fewer points.")
    text = " ".join(alt.split())
    while len(text.translate(_ESCAPED)) > room:
        text = text[:-1]
    return f"![{text.translate(_ESCAPED)}{image}"


def _averaged(values: Sequence[float | None]) -> list[float | None]:
    """At most 40 means of the known values of equal stretches; null where a stretch has none."""
    points = min(len(values), _POINTS)
    edges = [len(values) * i // points for i in range(points + 1)] if points else [0]
    stretches = (values[start:stop] for start, stop in pairwise(edges))
    known = ([float(v) for v in stretch if v is not None and math.isfinite(v)] for stretch in stretches)
    return [sum(v / len(found) for v in found) if found else None for found in known]


def _places(values: Sequence[float | None], width: int, height: int) -> Iterator[tuple[int, int] | None]:
    """Where the values stand in the picture, the largest at the top; equal values stand in the middle."""
    halves = [None if value is None else value / 2 for value in values]  # their difference is finite
    known = [value for value in halves if value is not None]
    low, span = min(known, default=0.0), max(known, default=0.0) - min(known, default=0.0)
    for i, value in enumerate(halves):
        if value is None:
            yield None
            continue
        along = i / (len(values) - 1) if len(values) > 1 else 1.0
        up = (value - low) / span if span else 0.5
        yield round(_EDGE + along * (width - 2 * _EDGE)), round(height - _EDGE - up * (height - 2 * _EDGE))
