"""Naive forecasts, scales and metrics, against tables made by hand and against loops."""

import math
from datetime import date, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from lightkeeper.errors import BadDeclaration, Refused
from lightkeeper.measure.skill import base_rate, daily, loss_of, losses, measured, scales, seasonal_naive

FIRST = date(2026, 1, 1)
VALUES = st.lists(st.none() | st.integers(0, 9), min_size=1, max_size=90)


def day(number: int) -> date:
    return FIRST + timedelta(number)


def panel(**series: list[Any]) -> pl.DataFrame:
    """Series by product, the first value of each on the first day."""
    rows = [(name, day(at), value) for name, values in series.items() for at, value in enumerate(values)]
    return pl.DataFrame(rows, schema={"product": pl.String, "day": pl.Date, "units": pl.Float64}, orient="row")


def ahead(first: int, count: int, *products: str) -> pl.DataFrame:
    return pl.DataFrame(
        [(name, day(first + at)) for name in products for at in range(count)], schema=["product", "day"], orient="row"
    )


def naive(known: pl.DataFrame, rows: pl.DataFrame, origin: int, season: int = 7) -> list[float | None]:
    return seasonal_naive(known, rows, ["product"], "day", "units", day(origin), season).to_list()


def naive_by_hand(values: list[float | None], at: int, origin: int, season: int) -> float | None:
    """The definition, one step after the other."""
    known = {number: value for number, value in enumerate(values[: origin + 1]) if value is not None}
    first = at - season * math.ceil((at - origin) / season)
    for back in range(8):
        if first - back * season in known:
            return known[first - back * season]
    recent = [value for number, value in known.items() if number > origin - 8 * season]
    return sum(recent) / len(recent) if recent else None


@given(VALUES, st.integers(0, 100), st.sampled_from([1, 5, 7]))
@settings(max_examples=200, deadline=None)
def test_the_naive_forecast_is_the_last_known_value_of_the_same_place_of_the_season(
    values: list[float | None], origin: int, season: int
) -> None:
    rows = ahead(origin + 1, 30, "a")
    expected = [naive_by_hand(values, origin + 1 + at, origin, season) for at in range(30)]
    assert naive(panel(a=values), rows, origin, season) == pytest.approx(expected)


def test_the_naive_forecast_of_three_weeks_repeats_the_last_week() -> None:
    assert naive(panel(a=[*range(14)]), ahead(14, 21, "a"), 13) == [*range(7, 14)] * 3


def test_the_naive_forecast_uses_nothing_after_its_origin() -> None:
    known, rows = panel(a=[1.0] * 10 + [9.0] * 20), ahead(10, 20, "a")
    assert naive(known, rows, 9) == naive(known.filter(pl.col("day") <= day(9)), rows, 9) == [1.0] * 20


def test_naive_forecasts_stand_in_the_order_of_the_rows_that_ask_for_them() -> None:
    known, rows = panel(a=[1.0] * 7, b=[2.0] * 7), ahead(7, 9, "b", "new", "a").sample(fraction=1, shuffle=True, seed=3)
    expected = rows.get_column("product").replace_strict({"a": 1.0, "b": 2.0, "new": None}, return_dtype=pl.Float64)
    assert naive(known, rows, 6) == expected.to_list()


def test_a_naive_forecast_of_a_day_that_is_known_is_refused() -> None:
    with pytest.raises(Refused, match="made on 2026-01-07 is asked for 2026-01-07"):
        naive(panel(a=[1.0] * 7), ahead(6, 9, "a"), 6)


def test_the_base_rate_is_the_mean_of_what_is_known_and_is_refused_where_nothing_is() -> None:
    assert base_rate(panel(a=[1, 0, None, 0, 1, 1]), "units") == pytest.approx(0.6)
    with pytest.raises(Refused, match="No units is known in 2 rows"):
        base_rate(panel(a=[None, None]), "units")


def test_scales_are_those_of_a_table_made_by_hand() -> None:
    known = panel(a=[1, 2, 3, 4, 6, 9], b=[5, 5, 5, 5, 5, 5], new=[3.0])
    found = scales(known, ["product"], "day", "units", season=2)
    # a: 2, 2, 3, 5; b: 0, 0, 0, 0; pooled over eight steps: 12 / 8 and 42 / 8; b gets a tenth, and a hundredth of the square
    expected = pl.DataFrame({"product": ["a", "b", "new"], "scale": [3.0, 0.15, 1.5], "scale_squared": [10.5, 0.0525, 5.25]})
    assert_frame_equal(found, expected)


def test_scales_stop_at_the_day_until_which_they_are_asked_and_step_over_holes() -> None:
    known = panel(a=[1, 2, None, 4, 6, 900]).filter(pl.col("day") != day(1))
    found = scales(known, ["product"], "day", "units", season=1, until=day(4))
    assert found.rows() == [("a", 2.0, 4.0)]


@pytest.mark.parametrize("values", [[4.0] * 20, [None] * 20, [1.0], []])
def test_where_nothing_moves_every_scale_is_one(values: list[float | None]) -> None:
    found = scales(panel(a=values), ["product"], "day", "units")
    assert found.rows() == ([("a", 1.0, 1.0)] if values else [])


@given(st.lists(VALUES, min_size=1, max_size=4), st.floats(0.01, 1000))
@settings(max_examples=100, deadline=None)
def test_scales_are_above_zero_and_grow_with_the_target(series: list[list[Any]], factor: float) -> None:
    known = panel(**{"abcd"[i]: values for i, values in enumerate(series)})
    one = scales(known, ["product"], "day", "units")
    many = scales(known.with_columns(pl.col("units") * factor), ["product"], "day", "units")
    assert one.select(pl.col("scale", "scale_squared").gt(0).all()).row(0) == (True, True)
    if one["scale"].ne(1).any():
        assert (many["scale"] / one["scale"]).to_list() == pytest.approx([factor] * one.height)


def test_the_loss_that_decides_suits_a_mean_and_a_probability() -> None:
    assert [loss_of(kind, "auto") for kind in ("continuous", "count", "binary")] == ["squared", "squared", "brier"]
    assert loss_of("binary", "absolute") == "absolute"
    with pytest.raises(BadDeclaration, match="Brier score is for a binary target, this one is count"):
        loss_of("count", "brier")


def test_losses_of_rows_are_the_error_or_its_square_and_null_where_either_is_null() -> None:
    rows = pl.DataFrame({"y": [1, 5, None, 2], "f": [3.0, 2.0, 1.0, None]})
    both = rows.select(losses("count", loss, pl.col("y"), pl.col("f")).alias(loss) for loss in ("absolute", "squared"))
    assert both.rows() == [(2.0, 4.0), (3.0, 9.0), (None, None), (None, None)]


CONTENDERS = {"champion": "old", "challenger": "new", "naive": "plain"}


def scored() -> pl.DataFrame:
    """Two days with two rows each that all contenders forecast, and two that one does not."""
    return pl.DataFrame(
        [
            (day(1), 4.0, 2.0, 3.0, 4.0, 6.0),
            (day(0), 2.0, 1.0, 2.0, 4.0, 1.0),
            (day(1), -1.0, 2.0, -1.0, 1.0, 0.0),
            (day(0), 0.0, 4.0, 4.0, 2.0, 0.0),
            (day(0), None, 1.0, 9.0, 9.0, 9.0),
            (day(2), 5.0, 1.0, 9.0, 9.0, None),
        ],
        schema=["day", "actual", "scale_squared", "old", "new", "plain"],
        orient="row",
    )


@pytest.mark.parametrize(
    ("loss", "first", "second"),
    [
        ("absolute", (2, 2.0, 4.0, 4.0, 1.0), (2, 5.0, 1.0, 2.0, 3.0)),
        ("squared", (2, 2.0, 4.0, 5.0, 1.0), (2, 2.0, 0.5, 2.0, 2.5)),
        ("brier", (2, 2.0, 16.0, 8.0, 1.0), (2, 2.0, 1.0, 4.0, 5.0)),
    ],
)
def test_losses_of_days_are_summed_over_the_rows_that_every_contender_forecast(loss: Any, first: Any, second: Any) -> None:
    assert daily(scored(), CONTENDERS, loss).rows() == [(day(0), *first), (day(1), *second)]


def test_losses_of_days_split_by_a_slice_add_up_to_the_whole() -> None:
    rows = scored().with_columns(pl.Series("country", ["x", "y", "y", "x", "y", "x"]))
    parts = daily(rows, CONTENDERS, "absolute", by=["country"])
    assert_frame_equal(
        parts.group_by("day").agg(pl.exclude("country", "day").sum()).sort("day"), daily(rows, CONTENDERS, "absolute")
    )


ROWS = pl.DataFrame({
    "day": [day(0), day(0), day(1), day(1)], "actual": [10.0, 0.0, 4.0, None], "forecast": [8.0, 1.0, 5.0, 3.0],
    "low": [6.0, 0.0, 5.0, 1.0], "high": [11.0, None, 9.0, 2.0], "scale": [2.0, 1.0, 4.0, 1.0],
    "scale_squared": [4.0, 2.0, 1.0, 1.0], "low_80": [10.0, 0.5, 1.0, 1.0], "high_80": [12.0, 2.0, 4.0, 1.0],
})  # fmt: skip


def test_metrics_are_those_of_a_table_made_by_hand() -> None:
    (found,) = measured(ROWS).to_dicts()
    assert (found["n"], found["days"]) == (3, 2)
    assert found["wape"] == pytest.approx((2 + 1 + 1) / 14)
    assert found["mase"] == pytest.approx((1 + 1 + 0.25) / 3)
    assert found["rmsse"] == pytest.approx(math.sqrt((1 + 0.5 + 1) / 3))
    assert found["bias"] == pytest.approx((14 - 14) / 14)
    assert found["pinball"] == pytest.approx(((0.1 * 4 + 0.1 * 1) / 2 + (0.9 * 1 + 0.1 * 5) / 2) / 2)
    assert found["coverage_80"] == pytest.approx(2 / 3)
    assert [found[name] for name in ("coverage_95", "brier", "log_loss")] == [None] * 3


def test_metrics_of_groups_are_those_of_each_group_alone() -> None:
    rows = ROWS.with_columns(pl.Series("product", ["b", "a", "a", "b"]))
    found = measured(rows, ["product"])
    alone = [measured(rows.filter(product=name)) for name in ("a", "b")]
    assert_frame_equal(found.drop("product"), pl.concat(alone))
    assert found["product"].to_list() == ["a", "b"]


def test_metrics_of_probabilities_are_given_for_a_binary_target_only() -> None:
    rows = pl.DataFrame({"day": [day(0)] * 4, "actual": [1, 0, 1, 0], "forecast": [0.8, 0.4, 1.0, 0.0]})
    (found,) = measured(rows).to_dicts()
    assert found["brier"] == pytest.approx((0.04 + 0.16) / 4)
    assert found["log_loss"] == pytest.approx(-(math.log(0.8) + math.log(0.6)) / 4)
    assert measured(rows, kind="count")["brier"].to_list() == [None]
    assert math.isfinite(measured(rows.with_columns(actual=1 - pl.col("actual")), kind="binary")["log_loss"][0])


def test_where_no_row_is_known_there_is_one_row_of_nulls_and_no_group() -> None:
    empty = ROWS.with_columns(actual=pl.lit(None, pl.Float64))
    (found,) = measured(empty).to_dicts()
    assert found.pop("n") == found.pop("days") == 0
    assert set(found.values()) == {None}
    assert measured(empty, ["day"]).height == 0


def test_where_nothing_was_sold_errors_are_a_share_of_nothing() -> None:
    (found,) = measured(ROWS.with_columns(actual=pl.lit(0.0))).to_dicts()
    assert found["wape"] is found["bias"] is None
    assert found["rmsse"] > 0


@given(st.lists(st.tuples(st.integers(-9, 9), st.floats(-9, 9)), min_size=1), st.sampled_from([0.25, 2.0, 64.0]))
@settings(max_examples=100, deadline=None)
def test_metrics_do_not_depend_on_the_unit(pairs: list[tuple[int, float]], factor: float) -> None:
    rows = pl.DataFrame(pairs, schema={"actual": pl.Float64, "forecast": pl.Float64}, orient="row").with_columns(
        day=day(0), scale=1.5, scale_squared=2.5
    )
    larger = rows.with_columns(pl.col("actual", "forecast", "scale") * factor, pl.col("scale_squared") * factor**2)
    names = ["wape", "mase", "rmsse", "bias"]
    assert_frame_equal(measured(rows).select(names), measured(larger).select(names), rel_tol=1e-9, abs_tol=1e-9)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_pinball_loss_is_least_at_the_quantiles(seed: int) -> None:
    y = np.random.default_rng(seed).exponential(size=2000)
    low, high = np.quantile(y, [0.1, 0.9])
    rows = pl.DataFrame({"day": day(0), "actual": y, "forecast": y.mean(), "low": low, "high": high})
    least = measured(rows)["pinball"][0]
    others = [rows.with_columns(low=low + a, high=high + b) for a, b in ((0.1, 0), (-0.1, 0), (0, 0.1), (0, -0.1))]
    assert all(measured(other)["pinball"][0] > least for other in others)
