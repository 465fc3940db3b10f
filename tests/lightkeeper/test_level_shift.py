"""A shift of the level: what outcomes say is followed where that has been better, and hardly ever where nothing happened."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightkeeper.errors import Refused
from lightkeeper.measure.level_shift import WINDOW, LevelShift, level_shifts

FIRST = date(2026, 1, 5)
SEEDS = [1, 2, 3]
USUAL = 12.4  # mean absolute error a row of `shop` on quiet days


def shop(seed: int, days: int, level: dict[int, float] | None = None, series: int = 20) -> pl.DataFrame:
    """Forecasts of 30 a series, Sundays closed, and pieces in lots of ten around them; from some days on at another level."""
    rng, rows = np.random.default_rng(seed), []
    now = 1.0
    for nth in range(days):
        now = (level or {}).get(nth, now)
        said = 0.0 if nth % 7 == 6 else 30.0
        came = rng.poisson(said * now / 10 * rng.lognormal(-0.02, 0.2), series) * 10.0
        rows += [(FIRST + timedelta(nth), float(one), said) for one in came]
    return pl.DataFrame(rows, ["day", "actual", "forecast"], orient="row")


def last(rows: pl.DataFrame, usual: float | None = USUAL) -> LevelShift:
    return LevelShift.of(level_shifts(rows, usual))


def missed(rows: pl.DataFrame, ahead: int) -> float:
    """The error with the factor that was in force so many days before, over that without."""
    found = level_shifts(rows, USUAL).select((pl.col("day") + timedelta(ahead)).alias("day"), "factor")
    both = rows.join(found, on="day", how="left").with_columns(pl.col("factor").fill_null(1.0))
    moved = (both["actual"] - both["forecast"] * both["factor"]).abs().sum()
    return float(moved / (both["actual"] - both["forecast"]).abs().sum())


def test_the_usual_error_is_that_of_quiet_days() -> None:
    quiet = pl.concat(shop(seed, 364) for seed in SEEDS)
    assert abs(float(str((quiet["actual"] - quiet["forecast"]).abs().mean())) - USUAL) < 0.3


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("level", [0.3, 0.4, 2.5])
def test_a_fall_and_a_rise_are_followed_within_two_weeks_and_miss_less(seed: int, level: float) -> None:
    rows = shop(seed, 70, {14: level})
    found = level_shifts(rows, USUAL).filter(pl.col("since").is_not_null())
    began = (found["day"][0] - FIRST).days - 14
    assert 2 <= began <= 14
    assert last(rows).factor == pytest.approx(level, rel=0.25)
    assert missed(rows, 1) < 0.75


@pytest.mark.parametrize("seed", range(20))
def test_a_quiet_year_is_not_made_worse(seed: int) -> None:
    rows = shop(seed, 364)
    assert missed(rows, 1) < 1.01
    assert missed(rows, 28) < 1.02


def test_in_twenty_quiet_years_at_most_two_turns_are_taken() -> None:
    turns = sum(level_shifts(shop(seed, 364), USUAL)["since"].drop_nulls().n_unique() for seed in range(20))
    assert turns <= 2


@pytest.mark.parametrize("seed", SEEDS)
def test_a_level_that_comes_back_is_followed_back_and_then_no_more(seed: int) -> None:
    rows = shop(seed, 140, {14: 0.4, 70: 1.0})
    found = level_shifts(rows, USUAL)
    assert found.filter(pl.col("day") == FIRST + timedelta(69))["factor"][0] < 0.6
    assert last(rows).since is None
    assert last(rows).factor == 1.0


@pytest.mark.parametrize("seed", SEEDS)
def test_a_broken_day_of_thousands_is_not_followed(seed: int) -> None:
    broken = pl.when(pl.col("day") == FIRST + timedelta(30)).then(pl.col("actual") * 1000).otherwise(pl.col("actual"))
    quiet = level_shifts(shop(seed, 60).with_columns(broken.alias("actual")), USUAL)
    assert quiet["since"].null_count() == quiet.height
    fallen = level_shifts(shop(seed, 60, {14: 0.4}).with_columns(broken.alias("actual")), USUAL)
    assert fallen.filter(pl.col("day") > FIRST + timedelta(25))["factor"].max() < 1.05


def test_one_order_in_a_closed_world_is_no_level() -> None:
    rows = shop(1, 60, {14: 0.0})
    order = pl.when(pl.int_range(pl.len()) == 50 * 20).then(20_000.0)
    found = level_shifts(rows.with_columns(order.otherwise(pl.col("actual")).alias("actual")), USUAL)
    assert found.filter(pl.col("day") > FIRST + timedelta(30))["factor"].max() == 0.1


def test_a_day_that_is_forecast_below_nothing_keeps_its_outcome() -> None:
    days = [FIRST + timedelta(nth) for nth in range(7)]
    exact = [10.0] * 6 + [-5.0]
    found = level_shifts(pl.DataFrame({"day": days, "actual": exact, "forecast": exact}), 3.0)
    assert found["ratio"].to_list()[-1] == 1.0


@pytest.mark.parametrize("seed", SEEDS)
def test_what_gains_nothing_any_more_ends(seed: int) -> None:
    """Four of five rows are zero, and errors of rows hardly tell a level of 1 from one a little below."""
    rng = np.random.default_rng(seed)
    rows = [
        (FIRST + timedelta(nth), 15.0 * rng.poisson(0.4 if 14 <= nth < 74 else 1.0) * (rng.random() < 0.2), 3.0)
        for nth in range(200)
        for _ in range(60)
    ]
    found = level_shifts(pl.DataFrame(rows, ["day", "actual", "forecast"], orient="row"), 4.0)
    assert found["since"][-1] is None


def test_nothing_is_followed_before_seven_days_are_known() -> None:
    found = level_shifts(shop(1, 40, {0: 0.2}), USUAL)
    assert found["ratio"].is_null().to_list()[: WINDOW - 1] == [True] * (WINDOW - 1)
    assert found["since"].is_null().to_list()[:WINDOW] == [True] * WINDOW
    assert last(shop(1, 40, {0: 0.2})).since is not None


def test_the_ratio_is_what_came_true_over_what_was_forecast_in_seven_days() -> None:
    rows = pl.DataFrame({
        "day": [FIRST + timedelta(nth) for nth in range(8)],
        "actual": [99.0, 10, 20, 30, 20, 10, 20, 10], "forecast": [20.0] * 8,
    })  # fmt: skip
    found = level_shifts(rows, 5.0)
    assert found["ratio"].to_list()[-1] == pytest.approx(120 / 140, abs=1e-4)
    assert found["ratio"].to_list()[-2] == pytest.approx((60 + 110) / 140, abs=1e-3)  # 99 counts as 3 x the median day's 20
    gained = (abs(10 - 20) - abs(10 - 20 * 1.214)) / 5
    assert found["gained"].to_list()[-1] == pytest.approx(gained, abs=1e-4)


def test_without_a_backtest_or_without_rows_nothing_moves() -> None:
    rows = shop(1, 60, {14: 0.3})
    assert last(rows, None) == LevelShift(1.0, level_shifts(rows, USUAL)["ratio"][-1], None)
    assert last(rows, 0.0).factor == 1.0
    assert last(rows.clear()) == LevelShift()


def test_what_was_forecast_as_nothing_has_no_ratio() -> None:
    rows = shop(1, 30).with_columns(pl.lit(0.0).alias("forecast"))
    assert level_shifts(rows, USUAL)["ratio"].null_count() == 30


@given(st.integers(0, 10_000), st.floats(0.05, 20))
def test_a_factor_lies_within_its_bounds_and_the_unit_plays_no_part(seed: int, unit: float) -> None:
    rows = shop(seed, 40, {10: 0.01, 25: 40.0}, series=3)
    found = level_shifts(rows, USUAL)
    assert found["factor"].is_between(0.1, 10).all()
    other = level_shifts(rows.with_columns(pl.col("actual", "forecast") * unit), USUAL * unit)
    assert other["factor"].to_list() == pytest.approx(found["factor"].to_list(), rel=1e-3)


def test_the_order_of_rows_and_rows_without_an_outcome_change_nothing() -> None:
    rows = shop(4, 60, {14: 0.4})
    unknown = rows.tail(20).with_columns(pl.lit(None, pl.Float64).alias("actual"), pl.col("day") + timedelta(30))
    assert level_shifts(pl.concat([rows, unknown]).sample(fraction=1, shuffle=True, seed=3), USUAL).equals(
        level_shifts(rows, USUAL)
    )


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (pl.DataFrame({"day": [FIRST], "actual": [1.0]}), "forecast is missing"),
        (pl.DataFrame({"day": [FIRST], "actual": [float("inf")], "forecast": [2.0]}), "On 2026-01-05 inf came true where 2.0"),
        (pl.DataFrame({"day": [FIRST], "actual": [3.0], "forecast": [float("nan")]}), "came true where nan was forecast"),
    ],
)
def test_rows_that_no_level_can_be_taken_from_are_refused(rows: pl.DataFrame, said: str) -> None:
    with pytest.raises(Refused, match=said):
        level_shifts(rows, USUAL)
