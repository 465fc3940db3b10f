"""Panels and the features rolled over them, against Polars' own grouped expressions."""

from datetime import date, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from lightkeeper.errors import BadDeclaration, Refused
from lightkeeper.measure import rolling
from lightkeeper.measure.panel import Lag, Roll, complete, extended, features, in_parts, reach, touched

FIRST = date(2010, 1, 1)
WHOLE = st.none() | st.integers(-1000, 1000)
REAL = st.none() | st.floats(-1e6, 1e6)


def days(start: int, count: int) -> list[date]:
    return [FIRST + timedelta(start + n) for n in range(count)]


@st.composite
def panels(draw: st.DrawFn, values: st.SearchStrategy[Any] = WHOLE, dtype: Any = pl.Int64) -> pl.DataFrame:
    """Up to five series that begin on different days and are up to 40 days long."""
    rows: list[dict[str, Any]] = []
    for name in "abcde"[: draw(st.integers(1, 5))]:
        of_series = draw(st.lists(values, min_size=1, max_size=40))
        start = draw(st.integers(0, 10))
        both = zip(days(start, len(of_series)), of_series, strict=True)
        rows += [{"shop": "x", "product": name, "day": day, "units": value} for day, value in both]
    return pl.DataFrame(rows, schema={"shop": pl.String, "product": pl.String, "day": pl.Date, "units": dtype})


LAGS = st.builds(Lag, st.just("units"), st.integers(0, 12))
ROLLS = st.builds(Roll, st.just("units"), st.integers(0, 12), st.integers(1, 35), st.sampled_from(["mean", "sum", "last"]))
DECLARED = st.dictionaries(st.sampled_from(["f", "g", "h", "i"]), LAGS | ROLLS, min_size=1)


def by_group(feature: Lag | Roll, keys: list[str]) -> pl.Expr:
    """The same in Polars, one series after the other."""
    column, known = pl.col(feature.column), pl.col(feature.column).is_not_null().cast(pl.Int64)
    if isinstance(feature, Lag):
        return column.shift(feature.days).over(keys)
    column, size = column.cast(pl.Float64), feature.window
    rolls = {
        "mean": column.rolling_mean(size, min_samples=1),
        "sum": pl.when(known.rolling_sum(size, min_samples=1) > 0).then(column.fill_null(0).rolling_sum(size, min_samples=1)),
        "last": column.forward_fill(size - 1),
    }
    return rolls[feature.how].shift(feature.days).over(keys)


@given(panels(), DECLARED, st.sampled_from([["product"], ["shop", "product"]]))
@settings(max_examples=300, deadline=None)
def test_features_of_whole_numbers_equal_those_computed_series_by_series(
    panel: pl.DataFrame, declared: dict[str, Any], keys: list[str]
) -> None:
    expected = panel.with_columns(by_group(each, keys).alias(name) for name, each in declared.items())
    assert_frame_equal(features(panel, declared, keys), expected, check_exact=True)


@given(panels(REAL, pl.Float64), DECLARED)
@settings(max_examples=150, deadline=None)
def test_features_of_real_numbers_agree_with_those_computed_series_by_series(panel: pl.DataFrame, declared: dict[str, Any]) -> None:
    expected = panel.with_columns(by_group(each, ["product"]).alias(name) for name, each in declared.items())
    assert_frame_equal(features(panel, declared), expected, rel_tol=1e-9, abs_tol=1e-6)


@given(panels(REAL, pl.Float64), DECLARED, st.data())
@settings(max_examples=200, deadline=None)
def test_features_of_a_slice_that_begins_reach_days_earlier_are_the_same_to_the_last_bit(
    panel: pl.DataFrame, declared: dict[str, Any], data: st.DataObject
) -> None:
    since = FIRST + timedelta(data.draw(st.integers(0, 45)))
    part = panel.filter(pl.col("day") >= since - timedelta(reach(declared.values())))
    here = pl.col("day") >= since
    whole = features(panel, declared)
    assert_frame_equal(features(part, declared).filter(here), whole.filter(here), check_exact=True)


@given(panels(), DECLARED, st.data())
@settings(max_examples=200, deadline=None)
def test_only_touched_days_change_when_the_values_of_some_days_change(
    panel: pl.DataFrame, declared: dict[str, Any], data: st.DataObject
) -> None:
    changed = data.draw(st.sets(st.sampled_from(panel["day"].unique().sort().to_list()), max_size=3))
    other = panel.with_columns(pl.when(pl.col("day").is_in(list(changed))).then(7777).otherwise("units").alias("units"))
    before, after = features(panel, declared), features(other, declared)
    differs = pl.any_horizontal(pl.col(n).ne_missing(pl.Series(n, after[n])) for n in declared)
    found = before.filter(differs)["day"].unique().to_list()
    assert set(found) <= set(touched(changed, declared.values(), panel["day"].max()))


@given(panels(REAL, pl.Float64), DECLARED, st.integers(1, 60))
@settings(max_examples=100, deadline=None)
def test_parts_are_whole_series_and_together_what_is_computed_at_once(
    panel: pl.DataFrame, declared: dict[str, Any], rows: int
) -> None:
    parts = list(in_parts(panel, declared, rows=rows))
    assert_frame_equal(pl.concat(parts), features(panel, declared), check_exact=True)
    assert sum(part["product"].n_unique() for part in parts) == panel["product"].n_unique()
    assert len(parts) >= panel.height // max(rows, 40) - 1


def test_every_touched_day_changes_in_a_long_series() -> None:
    declared = {"lag": Lag("units", 3), "mean": Roll("units", 5, 4)}
    panel = pl.DataFrame({"product": "a", "day": days(0, 30), "units": range(30)})
    other = panel.with_columns(pl.when(pl.col("day") == days(10, 1)[0]).then(99).otherwise("units").alias("units"))
    one, two = (features(frame, declared).select(*declared) for frame in (panel, other))
    found = [day for day, a, b in zip(panel["day"], one.rows(), two.rows(), strict=True) if a != b]
    assert found == touched(days(10, 1), declared.values(), days(29, 1)[0]) == days(13, 1) + days(15, 4)


def test_touched_days_end_where_the_table_ends() -> None:
    assert touched(days(0, 2), [Roll("units", 28, 7)], days(30, 1)[0]) == days(28, 3)
    assert touched([], [Lag("units", 1)], FIRST) == touched(days(0, 1), [], FIRST) == []


def test_reach_is_the_farthest_day_that_a_feature_looks_back_to() -> None:
    assert reach([Lag("units", 28), Roll("units", 28, 91)]) == 118
    assert reach([Roll("units", 1, 1)]) == reach([Lag("units", 1)]) == 1
    assert reach([]) == 0


@pytest.mark.parametrize("block", [8, 64, 1024])
def test_blocks_do_not_show(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rolling, "_BLOCK", block)
    lengths = [1, 30, 200, 3, 77]
    panel = pl.concat(
        pl.DataFrame(
            {"product": f"p{i}", "day": days(i, n), "units": [k * 37 % 101 if k % 5 else None for k in range(n)]},
            schema_overrides={"units": pl.Int64},
        )
        for i, n in enumerate(lengths)
    )
    declared = {f"{how}{lag}": Roll("units", lag, 45, how) for how in ("mean", "sum", "last") for lag in (0, 1, 28, 90)}
    expected = panel.with_columns(by_group(each, ["product"]).alias(name) for name, each in declared.items())
    assert_frame_equal(features(panel, declared), expected, check_exact=True)


def test_a_feature_of_at_least_the_horizon_is_known_in_the_future() -> None:
    panel = complete(pl.DataFrame({"product": ["a", "b"], "day": days(0, 2)}), days(40, 1)[0])
    panel = panel.with_columns(pl.int_range(pl.len()).alias("units"))
    made = features(extended(panel, 28), {"known": Lag("units", 28), "mean": Roll("units", 28, 7), "late": Lag("units", 1)})
    ahead = made.filter(pl.col("day") > days(40, 1)[0])
    assert ahead.height == 56
    assert ahead["units"].null_count() == 56
    assert ahead["known"].null_count() == ahead["mean"].null_count() == 0
    assert ahead["late"].null_count() == 54


def test_a_complete_panel_has_every_day_from_the_entry_of_each_series() -> None:
    entries = pl.DataFrame({"product": ["b", "a", "late"], "day": [days(2, 1)[0], days(0, 1)[0], days(9, 1)[0]]})
    panel = complete(entries, days(3, 1)[0])
    assert panel.rows() == [*(("a", day) for day in days(0, 4)), *(("b", day) for day in days(2, 2))]
    assert complete(entries.clear(), FIRST).height == 0


def test_a_series_that_enters_twice_is_refused() -> None:
    with pytest.raises(Refused, match="The series product='a' enters twice"):
        complete(pl.DataFrame({"product": ["a", "a"], "day": days(0, 2)}), FIRST)


BROKEN = {
    "a hole": ([("a", 0), ("a", 2), ("b", 0)], r"product='a' has a hole at 2010-01-02: its next day is 2010-01-03"),
    "a day twice": ([("a", 0), ("a", 0)], r"In the series product='a' the day 2010-01-01 stands after 2010-01-01"),
    "days that fall": ([("a", 1), ("a", 0)], r"In the series product='a' the day 2010-01-01 stands after 2010-01-02"),
    "series that are not sorted": ([("b", 0), ("a", 0)], "not sorted, or a series is interrupted"),
    "a series in two places": ([("a", 0), ("b", 0), ("a", 1)], "not sorted, or a series is interrupted"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_no_panel_is_refused(what: str) -> None:
    rows, why = BROKEN[what]
    panel = pl.DataFrame([{"product": name, "day": days(n, 1)[0], "units": 1} for name, n in rows])
    with pytest.raises(Refused, match=why):
        features(panel, {"f": Lag("units", 1)})


def test_nulls_in_the_keys_or_a_day_that_is_no_date_are_refused() -> None:
    with pytest.raises(Refused, match="without nulls"):
        features(pl.DataFrame({"product": [None], "day": days(0, 1), "units": [1]}), {})
    with pytest.raises(Refused, match="a Date day"):
        features(pl.DataFrame({"product": ["a"], "day": ["2010-01-01"], "units": [1]}), {})


def test_a_column_that_is_missing_or_no_number_is_refused_by_name() -> None:
    panel = pl.DataFrame({"product": ["a"], "day": days(0, 1), "text": ["x"]})
    with pytest.raises(Refused, match="no column units"):
        features(panel, {"f": Lag("units", 1)})
    with pytest.raises(Refused, match="column text is a String"):
        features(panel, {"f": Roll("text", 1, 7)})
    with pytest.raises(Refused, match="already has a column text"):
        features(panel, {"text": Lag("text", 1)})
    assert features(panel, {"f": Lag("text", 0)})["f"].to_list() == ["x"]


@pytest.mark.parametrize("wrong", [("units", -1), ("units", 1, 0), ("units", 1, 7, "median")])
def test_a_declaration_that_makes_no_sense_is_refused(wrong: tuple[Any, ...]) -> None:
    kind = Lag if len(wrong) == 2 else Roll
    with pytest.raises(BadDeclaration, match="units"):
        kind(*wrong)


def test_what_stands_in_memory_under_a_null_does_not_matter() -> None:
    panel = pl.DataFrame({"product": "a", "day": days(0, 40), "units": [float(n) for n in range(40)]})
    hidden = panel.with_columns(pl.when(pl.col("units") % 3 > 0).then("units").alias("units"))
    plain = hidden.with_columns(pl.Series("units", hidden["units"].to_list()))
    declared = {how: Roll("units", 2, 7, how) for how in ("mean", "sum", "last")}
    assert_frame_equal(features(hidden, declared), features(plain, declared), check_exact=True)


def test_an_infinite_value_or_a_nan_spoils_no_window_but_its_own() -> None:
    values = [1.0, float("inf"), float("nan"), *([2.0] * 6)]
    panel = pl.DataFrame({"product": list("aaabbbbbb"), "day": [*days(0, 3), *days(0, 6)], "units": values})
    made = features(panel, {"f": Roll("units", 0, 4)})["f"].to_list()
    assert made[3:] == [2.0] * 6
    assert made[0] == 1.0


def test_an_empty_panel_has_features_of_no_rows() -> None:
    panel = pl.DataFrame(schema={"product": pl.String, "day": pl.Date, "units": pl.Int64})
    made = features(panel, {"f": Lag("units", 1), "g": Roll("units", 1, 7)})
    assert made.schema["g"] == pl.Float64
    assert made.height == 0
