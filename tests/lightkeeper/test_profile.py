"""Profiles: counts that add up exactly, the same from a frame and from a Parquet file, beside naive counting."""

from __future__ import annotations

from collections import Counter
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lightkeeper.errors import Refused
from lightkeeper.measure.profile import PROFILE, Profile

SEEDS = [1, 2, 3]
TYPES = {
    "ints": pl.Int64(), "floats": pl.Float64(), "floats32": pl.Float32(), "bools": pl.Boolean(), "texts": pl.String(),
    "factors": pl.Categorical(), "levels": pl.Enum(["low", "high"]), "lists": pl.List(pl.Int64()),
}  # fmt: skip
NUMBERS, WORDS = ["ints", "floats", "floats32"], ["bools", "texts", "factors", "levels"]
ROW = st.tuples(
    st.none() | st.integers(-4, 4) | st.integers(-(2**53), 2**53),
    st.none() | st.sampled_from([0.0, -0.0, 1.5, float("nan"), float("inf"), -float("inf")]) | st.floats(),
    st.none() | st.floats(width=32),
    st.none() | st.booleans(),
    st.none() | st.text(max_size=2),
    st.none() | st.sampled_from(["red", "green", "blue"]),
    st.none() | st.sampled_from(["low", "high"]),
    st.none() | st.lists(st.integers(0, 1), max_size=1),
)
ROWS = st.lists(ROW, max_size=40)


def frame_of(rows: list[Any]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=TYPES, orient="row")


def drawn(seed: int, rows: int) -> pl.DataFrame:
    """Rows of every type, a tenth of each null, with NaN and infinite values."""
    random = np.random.default_rng(seed)
    numbers = random.standard_normal(rows)
    numbers[random.random(rows) < 0.05] = np.nan
    numbers[random.random(rows) < 0.02] = np.inf
    texts = np.array([f"t{n}" for n in range(60)])[np.minimum(59, random.geometric(0.1, rows))].tolist()
    made = {
        "ints": random.integers(-50, 50, rows), "floats": numbers, "floats32": numbers.astype(np.float32),
        "bools": random.random(rows) < 0.3, "texts": texts, "factors": texts,
        "levels": np.where(random.random(rows) < 0.3, "low", "high").tolist(), "lists": [[n] for n in range(rows)],
    }  # fmt: skip
    gone = pl.DataFrame({name: random.random(rows) < 0.1 for name in TYPES})
    frame = pl.DataFrame(made, schema=TYPES)
    return frame.select(pl.when(~gone[name]).then(pl.col(name)).alias(name) for name in TYPES)


def cell_of(value: float, low: float, uppers: list[float]) -> int:
    if not uppers or value > uppers[-1]:
        return len(uppers) + 1
    return 0 if value < low else 1 + next(place for place, upper in enumerate(uppers) if value <= upper)


@given(ROWS, ROWS, ROWS, ROWS)
@settings(max_examples=100, deadline=None)
def test_sums_in_any_order_are_exactly_the_profile_of_all_rows_together(base: Any, one: Any, two: Any, three: Any) -> None:
    like = Profile.of(frame_of(base))
    a, b, c = (Profile.of(frame_of(rows), like) for rows in (one, two, three))
    whole = Profile.of(frame_of(one + two + three), like)
    assert (a + b) + c == a + (b + c) == c + (a + b) == (b + c) + a == whole


@given(ROWS, st.randoms(use_true_random=False))
@settings(max_examples=80, deadline=None)
def test_the_order_of_rows_changes_neither_cells_nor_counts(rows: Any, random: Any) -> None:
    mixed = random.sample(rows, len(rows))
    assert Profile.of(frame_of(mixed)) == Profile.of(frame_of(rows))


@given(ROWS, ROWS)
@settings(max_examples=80, deadline=None)
def test_numbers_are_in_the_cells_where_counting_one_by_one_puts_them(base: Any, rows: Any) -> None:
    found = Profile.of(frame_of(rows), Profile.of(frame_of(base)))
    for place, name in enumerate(NUMBERS):
        values = [float(row[place]) for row in rows if row[place] is not None and not np.isnan(float(row[place]))]
        one, finite = found.columns[name], [value for value in values if np.isfinite(value)]
        cells = Counter(cell_of(value, one.cells.low, one.cells.uppers.tolist()) for value in values)
        assert dict(cells) == {cell: n for cell, n in enumerate(one.counts.tolist()) if n}
        assert (one.n, one.infinite) == (len(values), len(values) - len(finite))
        assert [one.least, one.largest] == pytest.approx([min(finite), max(finite)] if finite else [np.nan] * 2, rel=0, nan_ok=True)


@given(ROWS, ROWS)
@settings(max_examples=80, deadline=None)
def test_texts_are_counted_as_a_counter_counts_them(base: Any, rows: Any) -> None:
    found = Profile.of(frame_of(rows), Profile.of(frame_of(base)))
    for place, name in enumerate(WORDS, start=len(NUMBERS)):
        one = found.columns[name]
        words = Counter(str(row[place]).lower() if name == "bools" else row[place] for row in rows if row[place] is not None)
        before = {str(row[place]).lower() if name == "bools" else row[place] for row in base}
        assert one.counts[:-2].tolist() == [words[word] for word in one.cells.categories]
        assert one.counts[-1] == sum(n for word, n in words.items() if word not in before)
        assert (one.counts.sum(), one.nulls) == (one.n, len(rows) - words.total())


@given(ROWS, ROWS)
@settings(max_examples=80, deadline=None)
def test_a_profile_comes_back_from_its_frame_as_it_was(base: Any, rows: Any) -> None:
    for profile in (Profile.of(frame_of(base)), Profile.of(frame_of(rows), Profile.of(frame_of(base)))):
        frame = profile.to_frame()
        assert frame.schema == PROFILE
        assert Profile.from_frame(frame) == profile
        assert Profile.from_frame(frame) + profile == profile + profile


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("rows", [5, 700, 70_000])
def test_a_file_of_parquet_has_the_profile_of_its_frame(seed: int, rows: int, tmp_path: Path) -> None:
    frame, like, path = drawn(seed, rows), Profile.of(drawn(seed + 10, 500)), tmp_path / "rows.parquet"
    frame.write_parquet(path, row_group_size=max(2, rows // 3))
    assert pq.read_metadata(path).num_row_groups > 1
    for names in (None, ["texts", "floats"]):
        assert Profile.of(path, like, names) == Profile.of(frame, like, names)
        assert Profile.of(str(path), columns=names) == Profile.of(frame, columns=names)


@pytest.mark.parametrize("coded", [True, False])
@pytest.mark.parametrize("type_", [pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())])
def test_however_a_file_stores_texts_their_counts_are_the_same(coded: bool, type_: Any, tmp_path: Path) -> None:  # noqa: FBT001
    texts, path = drawn(1, 900)["texts"].to_list(), tmp_path / "texts.parquet"
    pq.write_table(pa.table({"texts": pa.array(texts, type_)}), path, row_group_size=100, use_dictionary=coded)
    found, plain = Profile.of(path).columns["texts"], Profile.of(pl.DataFrame({"texts": texts})).columns["texts"]
    assert (found.cells, found.counts.tolist(), found.nulls) == (plain.cells, plain.counts.tolist(), plain.nulls)
    assert Profile.of(path) == Profile.of(pl.read_parquet(path))


def test_columns_of_lists_bytes_and_parts_are_read_from_a_file_as_from_a_frame(tmp_path: Path) -> None:
    columns = {"lists": [[1], None], "parts": [{"a": 1, "b": "x"}, None], "bytes": [b"1", None], "nothing": [None, None]}
    frame, path = pl.DataFrame(columns), tmp_path / "rows.parquet"
    frame.write_parquet(path)
    found = Profile.of(path)
    assert found == Profile.of(frame)
    assert {one.cells.kind for one in found.columns.values()} == {"other"}
    assert [one.nulls for one in found.columns.values()] == [1, 1, 1, 2]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_lazy_frame_has_the_profile_of_its_rows(seed: int) -> None:
    frame = drawn(seed, 300)
    assert Profile.of(frame.lazy()) == Profile.of(frame)
    assert Profile.of(frame.lazy(), columns=["texts", "ints"]) == Profile.of(frame, columns=["texts", "ints"])


@pytest.mark.parametrize("seed", SEEDS)
def test_cells_hold_about_equal_shares_of_many_distinct_values(seed: int) -> None:
    values = np.random.default_rng(seed).lognormal(0, 2, 3200)
    found = Profile.of(pl.DataFrame({"x": values})).columns["x"]
    assert found.counts.tolist() == [0, *[100] * 32, 0]
    assert found.cells.low == found.least == values.min()


def test_few_distinct_values_have_a_cell_each() -> None:
    found = Profile.of(pl.DataFrame({"x": [3] * 900 + [1, 7, 7]})).columns["x"]
    assert (found.cells.low, found.cells.uppers.tolist()) == (1.0, [1.0, 3.0, 7.0])
    assert found.cells.named() == ["below", "1", "1 to 3", "3 to 7", "above"]
    assert found.counts.tolist() == [0, 1, 900, 2, 0]


def test_of_100000_categories_the_most_frequent_have_cells_and_none_is_called_new() -> None:
    frame = pl.DataFrame({"x": [f"c{n}" for n in range(100_000)] + [f"c{n}" for n in range(32)]})
    profile = Profile.of(frame)
    found = profile.columns["x"]
    assert found.counts.tolist() == [2] * 32 + [100_000 - 32, 0]
    assert found.cells.known is None
    assert profile + Profile.of(frame, profile) == Profile.of(pl.concat([frame, frame]), profile)


def test_a_text_that_the_reference_did_not_have_is_new_and_a_rare_one_is_not() -> None:
    before = pl.DataFrame({"x": [f"c{n % 40:02}" for n in range(400)]})
    found = Profile.of(pl.DataFrame({"x": ["c00", "c39", "c40", None]}), Profile.of(before)).columns["x"]
    assert found.counts[[0, -2, -1]].tolist() == [1, 1, 1]
    assert found.cells.named()[-2:] == ["other", "new"]


@pytest.mark.parametrize("name", TYPES)
def test_a_column_without_a_value_and_an_empty_frame_have_only_nulls(name: str) -> None:
    for rows in (0, 3):
        profile = Profile.of(pl.DataFrame({name: [None] * rows}, schema={name: TYPES[name]}))
        found = profile.columns[name]
        assert (found.rows, found.nulls, found.n, found.counts.sum()) == (rows, rows, 0, 0)
        assert np.isnan(found.least)
        assert profile + profile == Profile.of(pl.DataFrame({name: [None] * 2 * rows}, schema={name: TYPES[name]}), profile)


def test_one_row_a_constant_and_infinite_values_have_a_cell() -> None:
    frame = pl.DataFrame({"one": [5.0, None, None], "same": [2, 2, 2], "endless": [np.inf, -np.inf, np.inf]})
    found = Profile.of(frame).columns
    assert [found[name].counts.tolist() for name in frame.columns] == [[0, 1, 0], [0, 3, 0], [0, 3]]
    assert (found["endless"].infinite, found["same"].least, found["same"].largest) == (3, 2.0, 2.0)
    assert np.isnan(found["endless"].largest)


def test_integers_of_128_bits_are_counted() -> None:
    found = Profile.of(pl.DataFrame({"x": pl.Series([1, 2, 2**100, None], dtype=pl.Int128)})).columns["x"]
    assert (found.counts.tolist(), found.nulls, found.largest) == ([0, 1, 1, 1, 0], 1, 2.0**100)


def test_days_and_times_are_profiled_only_when_asked_for() -> None:
    frame = pl.DataFrame({"day": [date(2026, 1, 5)], "x": [1]})
    assert list(Profile.of(frame).columns) == list(Profile.of(frame.lazy()).columns) == ["x"]
    assert Profile.of(frame, columns=["day"]).columns["day"].cells.kind == "other"


def test_a_column_whose_type_changed_in_kind_gets_cells_of_its_own_and_does_not_add_up() -> None:
    before = Profile.of(pl.DataFrame({"code": [1, 2, 3], "y": [1, 2, 3]}))
    now = Profile.of(pl.DataFrame({"code": ["1", "2", "9"], "y": [1, 2, 9]}), before)
    assert now.columns["code"].cells.categories == ("1", "2", "9")
    assert now.columns["y"].cells == before.columns["y"].cells
    with pytest.raises(Refused, match=r"profiles of code do not add up: one is of Int64, the other of String\. Cast"):
        before + now


def test_profiles_of_two_widths_of_numbers_do_not_add_up_though_their_cells_agree() -> None:
    before = Profile.of(pl.DataFrame({"x": [1, 2, 3]}))
    now = Profile.of(pl.DataFrame({"x": [1, 2, 9]}, schema={"x": pl.Int32}), before)
    assert now.columns["x"].cells == before.columns["x"].cells
    with pytest.raises(Refused, match=r"one is of Int64, the other of Int32"):
        before + now


@pytest.mark.parametrize("seed", SEEDS)
def test_profiles_in_other_cells_or_of_other_columns_do_not_add_up(seed: int) -> None:
    one, other = Profile.of(drawn(seed, 100)), Profile.of(drawn(seed + 1, 100))
    with pytest.raises(Refused, match=r"profiles of ints do not add up.*like=profile"):
        one + other
    with pytest.raises(Refused, match=r"bools, ints is in one of them only"):
        Profile.of(drawn(seed, 9), one, ["ints", "texts"]) + Profile.of(drawn(seed, 9), one, ["texts", "bools"])


def test_a_column_that_is_not_there_is_refused_by_name(tmp_path: Path) -> None:
    frame, path = pl.DataFrame({"a": [1], "b": [2]}), tmp_path / "rows.parquet"
    frame.write_parquet(path)
    for source in (frame, frame.lazy(), path):
        with pytest.raises(Refused, match=r"no column c, d to profile; the columns are"):
            Profile.of(source, columns=["a", "c", "d"])
    with pytest.raises(Refused, match=r"absent\.parquet cannot be read as a Parquet file"):
        Profile.of(tmp_path / "absent.parquet")
    path.write_bytes(b"no such thing")
    with pytest.raises(Refused, match=r"rows\.parquet cannot be read as a Parquet file"):
        Profile.of(path)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("rows", [70_000, 400_000])  # the second: more blocks than are tried in single precision
def test_values_beside_an_edge_and_beyond_single_precision_are_counted_as_they_are(seed: int, rows: int) -> None:
    random = np.random.default_rng(seed)
    like = Profile.of(pl.DataFrame({"x": random.lognormal(0, 1, 5_000)}))
    uppers = like.columns["x"].cells.uppers
    values = random.lognormal(0, 1, rows)
    values[::5_000] = random.choice(np.r_[uppers, np.nextafter(uppers, np.inf), np.nextafter(uppers, 0)], len(values[::5_000]))
    values[7::9_000] = 1e39
    for some in (values, values[values < 1e30], np.delete(values, np.s_[::5_000])):
        one = Profile.of(pl.DataFrame({"x": some}), like).columns["x"]
        places = np.searchsorted(uppers, some) + 1
        places[some < one.cells.low] = 0
        assert one.counts.tolist() == np.bincount(places, minlength=len(uppers) + 2).tolist()
        assert (one.infinite, one.least, one.largest) == (0, some.min(), some.max())


def test_the_least_and_the_largest_number_there_is_are_counted() -> None:
    ends = [-1.7976931348623157e308, 1.7976931348623157e308]
    one = Profile.of(pl.DataFrame({"x": [*ends, -np.inf, np.inf]}), Profile.of(pl.DataFrame({"x": ends}))).columns["x"]
    assert (one.counts.tolist(), one.infinite, one.least, one.largest) == ([1, 1, 1, 1], 2, *ends)
