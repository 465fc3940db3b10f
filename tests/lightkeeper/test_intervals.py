"""Bands cover what they say, for each series, after a break as well, and are refused where too little is known."""

from __future__ import annotations

import time
from datetime import date, timedelta
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from forecasts import FIRST, issued, shared
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from scipy.stats import binom

from lightkeeper.errors import BadDeclaration, Refused
from lightkeeper.measure.coverage import coverage
from lightkeeper.measure.intervals import Calibration, Settings, calibrate, limit_names
from lightkeeper.measure.ladder import needed, rank

LIMITS = ["low_95", "low_80", "forecast", "high_80", "high_95"]
STILL = Settings(gamma=0, gamma_after_break=0, find_breaks=False)


def one_series(actual: list[float], half: float | None = 1.0) -> pl.DataFrame:
    """One series with forecasts of 0, a row a day, all of the first week ahead."""
    return issued(np.array(actual)[:, None], half=half).with_columns(days_ahead=pl.lit(1))


def ahead(rows: pl.DataFrame, days: int = 1) -> pl.DataFrame:
    return rows.group_by("product", maintain_order=True).head(days)


@pytest.mark.parametrize(
    ("n", "level", "place"),
    [(4, 0.8, 4), (9, 0.8, 8), (19, 0.95, 19), (20, 0.95, 20), (28, 0.8, 24), (28, 0.95, 28), (39, 0.95, 38), (180, 0.8, 145)],
)
def test_the_limit_is_the_score_at_the_ceiling_of_n_plus_one_times_the_level(n: int, level: float, place: int) -> None:
    assert rank(n, level) == place
    actual = np.random.default_rng(n).permutation(np.arange(1.0, n + 1)).tolist()
    made = calibrate(one_series(actual), ["product"], [level], STILL)
    low, high = limit_names(level)
    band = made.bands(ahead(one_series(actual)))
    assert band[high].item() == pytest.approx(place)
    assert band[low].item() == pytest.approx(-place)


@pytest.mark.parametrize(("level", "days"), [(0.8, 4), (0.9, 9), (0.95, 19), (0.99, 99), (2 / 3, 2), (0.5, 1)])
def test_a_level_needs_one_over_alpha_less_one_days(level: float, days: int) -> None:
    assert needed(level) == days
    rows = one_series([1.0] * days)
    assert calibrate(rows, ["product"], [level], STILL).refused == {}
    assert list(calibrate(rows.head(days - 1), ["product"], [level], STILL).refused) == [level]


def test_a_refused_level_says_how_many_days_it_needs_and_gives_no_band() -> None:
    rows = one_series([1.0] * 7)
    made = calibrate(rows, ["product"])
    assert made.refused == {0.95: "No 95% band: 7 matured rows of 7 days do not carry it; it needs 19 days, 12 more."}
    band = made.bands(ahead(rows))
    assert band["high_95"].to_list() == [None]
    assert band["band_from"].to_list() == ["series (80%)"]


def test_many_rows_of_few_days_carry_no_level_that_the_days_do_not() -> None:
    rows = issued(shared(1, 7, 500))
    for keys in (["product"], []):
        made = calibrate(rows, keys)
        assert list(made.refused) == [0.95]
        assert made.bands(rows)["high_95"].null_count() == rows.height


@pytest.mark.parametrize("half", [1.28, None])
def test_the_least_width_is_a_share_of_the_usual_one_in_the_units_of_the_target(half: float | None) -> None:
    rows = issued(shared(1, 56, 4), half=half)
    scaled = rows.with_columns(pl.col("actual", "forecast", "low", "high") * 1000)
    one, other = (calibrate(each, ["product"]).widths.floor for each in (rows, scaled))
    assert other == pytest.approx(1000 * one)
    assert half is None or one == pytest.approx(0.01 * 2.56)


@pytest.mark.parametrize("rows", [0, 1])
def test_a_calibration_with_next_to_nothing_refuses_each_level_and_gives_null_bands(rows: int) -> None:
    known = one_series([1.0] * 28)
    made = calibrate(known.head(rows), ["product"])
    assert list(made.refused) == [0.8, 0.95]
    assert made.bands(known).select("low_80", "high_95", "band_from").null_count().row(0) == (28, 28, 28)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("half", [0.3, 1.28, 4.0, None])
def test_exchangeable_days_are_covered_as_promised_whatever_the_raw_band(seed: int, half: float | None) -> None:
    rows = issued(np.random.default_rng(seed).normal(size=(168, 40)), half=half)
    known, later = rows.filter(pl.col("day") < FIRST + timedelta(84)), rows.filter(pl.col("day") >= FIRST + timedelta(84))
    banded = calibrate(known, ["product"], settings=STILL).bands(later)
    for level in (0.8, 0.95):
        found = coverage(banded, ["product"], level)
        low, high = binom.interval(0.999, found.n // 8, level)  # one calibration a series: its luck is shared by 84 rows
        assert low <= found.pooled * (found.n // 8) <= high  # type: ignore[operator]


def test_the_worst_series_is_covered_far_better_by_its_own_scores_than_by_all_together() -> None:
    wild = np.r_[np.full(19, 1.0), 8.0]
    rows = issued(shared(3, 336, 20) * wild)
    known, later = rows.filter(pl.col("day") < FIRST + timedelta(168)), rows.filter(pl.col("day") >= FIRST + timedelta(168))
    pooled = coverage(calibrate(known, [], settings=STILL).bands(later), ["product"], 0.8)
    apart = coverage(calibrate(known, ["product"], settings=STILL).bands(later), ["product"], 0.8)
    assert pooled.worst == (19,)
    assert pooled.pooled > 0.75  # type: ignore[operator]
    assert pooled.worst_covered < 0.3  # type: ignore[operator]
    assert apart.worst_covered > 0.65  # type: ignore[operator]


def test_a_series_far_better_forecast_in_its_first_week_has_a_narrower_band_there() -> None:
    actual = shared(5, 336, 3, phi=0.0)
    week = (np.arange(336) % 28) // 7
    rows = issued(actual * np.where(week == 0, 0.1, 1.0)[:, None])
    band = calibrate(rows, ["product"], [0.8]).bands(ahead(rows, 28))
    width = band.with_columns(width=pl.col("high_80") - pl.col("low_80"))
    assert set(band["band_from"]) == {"series and horizon"}
    assert width.filter(pl.col("days_ahead") <= 7)["width"].max() < 0.3 * width.filter(pl.col("days_ahead") > 7)["width"].min()  # type: ignore[operator]


def test_a_series_that_is_new_takes_the_scores_of_all_series() -> None:
    rows = issued(shared(2, 56, 5))
    made = calibrate(rows, ["product"])
    band = made.bands(ahead(rows).with_columns(product=pl.lit(99)))
    assert set(band["band_from"]) == {"all series"}
    assert band["low_95"].null_count() == 0


@pytest.mark.parametrize("half", [1.28, None])
@pytest.mark.parametrize("seed", [1, 2])
def test_the_order_of_the_rows_plays_no_part(half: float | None, seed: int) -> None:
    rows = issued(shared(seed, 140, 6), every=7, half=half)
    one = calibrate(rows, ["product"])
    other = calibrate(rows.sample(fraction=1, shuffle=True, seed=seed), ["product"])
    assert_frame_equal(one.bands(rows), other.bands(rows), check_exact=True)
    assert_frame_equal(one.misses, other.misses, check_exact=True)
    assert one.used == other.used


@settings(deadline=None, max_examples=30)
@given(scale=st.floats(1e-6, 1e9), half=st.sampled_from([0.5, 1.28, None]), seed=st.integers(0, 5))
def test_bands_scale_with_the_target(scale: float, half: float | None, seed: int) -> None:
    rows = issued(shared(seed, 84, 4), half=half)
    scaled = rows.with_columns(pl.col("actual", "forecast", "low", "high") * scale)
    one, other = (calibrate(each, ["product"]).bands(each).select(LIMITS) for each in (rows, scaled))
    assert_frame_equal(one.select(pl.all() * scale), other, rel_tol=1e-6, abs_tol=1e-9 * scale)


@settings(deadline=None, max_examples=40)
@given(data=st.data(), floor=st.sampled_from([0.0, None]))
def test_limits_are_nested_around_the_forecast_whatever_the_raw_quantiles_say(data: st.DataObject, floor: float | None) -> None:
    number = st.floats(-100, 100).map(lambda x: round(x, 3))
    rows = one_series(data.draw(st.lists(number, min_size=28, max_size=28)))
    raw = [pl.Series(name, data.draw(st.lists(number, min_size=28, max_size=28))) for name in ("forecast", "low", "high")]
    band = calibrate(rows, ["product"], settings=Settings(floor_at=floor)).bands(rows.with_columns(raw))
    for inner, outer in pairwise(LIMITS):
        assert (band[inner] <= band[outer]).all()


def test_counts_have_no_limit_below_zero() -> None:
    rows = issued(np.abs(shared(1, 112, 3)), half=None)
    assert calibrate(rows, ["product"]).bands(rows)["low_95"].max() < 0  # type: ignore[operator]
    assert set(calibrate(rows, ["product"], settings=Settings(floor_at=0.0)).bands(rows)["low_95"]) == {0.0}


@pytest.mark.parametrize("half", [0.0, None])
def test_a_closed_shop_has_a_band_of_next_to_nothing_and_spoils_no_other(half: float | None) -> None:
    actual = shared(4, 112, 5)
    actual[:, 0] = 0.0
    rows = issued(actual).with_columns(
        pl.when(pl.col("product") > 0).then(name).otherwise(half if name == "high" else half and -half).alias(name)
        for name in ("low", "high")
    )
    rows = rows if half is not None else rows.with_columns(low=pl.lit(None, pl.Float64), high=pl.lit(None, pl.Float64))
    band = calibrate(rows, ["product"]).bands(ahead(rows))
    closed = band.filter(pl.col("product") == 0)
    assert closed.select(pl.col(LIMITS).abs().max()).max_horizontal().item() <= 0.05
    others = calibrate(rows.filter(pl.col("product") > 0), ["product"]).bands(ahead(rows).filter(pl.col("product") > 0))
    assert_frame_equal(band.filter(pl.col("product") > 0).select(LIMITS), others.select(LIMITS), rel_tol=0.02)


def test_where_all_shops_are_closed_the_band_is_the_forecast() -> None:
    rows = one_series([0.0] * 28, half=0.0)
    band = calibrate(rows, ["product"]).bands(ahead(rows))
    assert set(band.select(LIMITS).row(0)) == {0.0}


def test_a_row_without_an_actual_value_or_a_forecast_is_left_out() -> None:
    rows = issued(shared(1, 56, 2))
    more = rows.with_columns(actual=pl.lit(None, pl.Float64)), rows.with_columns(forecast=pl.lit(None, pl.Float64))
    made = calibrate(pl.concat([rows, *more]), ["product"])
    assert made.n == rows.height
    assert made.bands(more[1])["low_80"].null_count() == rows.height


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan")])
@pytest.mark.parametrize("column", ["actual", "forecast", "low", "high"])
def test_a_number_that_is_not_finite_is_refused_by_its_column(value: float, column: str) -> None:
    rows = one_series([1.0] * 28)
    with pytest.raises(Refused, match=f"column {column} "):
        calibrate(rows.with_columns(pl.lit(value).alias(column)), ["product"])
    if column != "actual":
        with pytest.raises(Refused, match=f"column {column} "):
            calibrate(rows, ["product"]).bands(rows.with_columns(pl.lit(value).alias(column)))


def test_forecasts_with_raw_quantiles_and_without_are_not_mixed() -> None:
    raw, bare = one_series([1.0] * 28), one_series([1.0] * 28, half=None)
    with pytest.raises(Refused, match="28 of 56 rows"):
        calibrate(pl.concat([raw, bare]), ["product"])
    with pytest.raises(Refused, match="band each contender by its own calibration"):
        calibrate(raw, ["product"]).bands(bare)
    with pytest.raises(Refused, match="band each contender by its own calibration"):
        calibrate(bare, ["product"]).bands(raw)
    with pytest.raises(Refused, match="a low without a high"):
        calibrate(raw.with_columns(high=pl.lit(None, pl.Float64)), ["product"])


def test_a_missing_column_a_text_and_a_level_of_one_are_refused() -> None:
    rows = one_series([1.0] * 28)
    with pytest.raises(Refused, match="no column days_ahead"):
        calibrate(rows.drop("days_ahead"), ["product"])
    with pytest.raises(Refused, match="Column low of rows to calibrate on is a String"):
        calibrate(rows.with_columns(low=pl.lit("1")), ["product"])
    with pytest.raises(Refused, match="is a String: give dates"):
        calibrate(rows.with_columns(day=pl.lit("1")), ["product"])
    with pytest.raises(Refused, match=r"\[1.0\]"):
        calibrate(rows, ["product"], [0.8, 1.0])
    with pytest.raises(BadDeclaration, match="window 0, gamma -1"):
        Settings(window=0, gamma=-1)


def test_days_before_the_window_play_no_part() -> None:
    actual = shared(1, 336, 3)
    actual[:100] *= 50
    rows = issued(actual)
    late = rows.filter(pl.col("day") >= FIRST + timedelta(156))
    assert_frame_equal(calibrate(rows, ["product"]).bands(late), calibrate(late, ["product"]).bands(late))


def broken(seed: int, kind: str) -> pl.DataFrame:
    """Forecasts issued each week for 250 days; on day 160 the level shifts by 1.5 or the variance quadruples."""
    actual = shared(seed, 250, 20)
    actual[160:] = actual[160:] + 1.5 if kind == "shift" else actual[160:] * 2
    return issued(actual, every=7)


def on_day(rows: pl.DataFrame, today: int, how: Settings, breaks: list[date] | None = None) -> tuple[Calibration, float]:
    """A calibration on what is known on a day, and its coverage at 80% on the 28 days after."""
    now, end = FIRST + timedelta(today), FIRST + timedelta(today + 28)
    made = calibrate(rows.filter(pl.col("day") <= now), ["product"], settings=how, breaks=breaks or [])
    next_ones = rows.filter(pl.col("day").is_between(now, end, closed="right")).unique(["product", "day"], keep="last")
    return made, coverage(made.bands(next_ones), ["product"], 0.8).pooled or 0.0


@pytest.mark.parametrize("kind", ["shift", "double"])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_four_weeks_after_a_break_it_is_confirmed_and_coverage_is_back(kind: str, seed: int) -> None:
    rows = broken(seed, kind)
    still, before = on_day(rows, 190, STILL)
    made, after = on_day(rows, 190, Settings())
    assert before < 0.65
    assert after > 0.7
    assert still.breaks == ()
    assert len(made.breaks) == 1
    assert abs((made.breaks[0] - FIRST).days - 160) <= 7


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_without_a_break_levels_stay_where_they_are(seed: int) -> None:
    rows = issued(shared(seed, 200, 20), every=7)
    made = calibrate(rows, ["product"])
    assert made.breaks == ()
    assert made.used[0.8] == pytest.approx(0.8, abs=0.05)
    assert made.used[0.95] == pytest.approx(0.95, abs=0.03)


def test_a_level_follows_the_misses_where_no_break_is_looked_for() -> None:
    rows = broken(1, "double")
    still, before = on_day(rows, 190, STILL)
    made, after = on_day(rows, 190, Settings(find_breaks=False))
    assert still.used[0.8] == 0.8
    assert made.used[0.8] > 0.88
    assert after > before + 0.15


def test_a_break_that_is_passed_in_begins_the_window_anew_once_days_enough_have_followed() -> None:
    rows, told = broken(1, "shift"), [FIRST + timedelta(160)]
    early, _ = on_day(rows, 162, Settings(find_breaks=False), told)
    late, covered = on_day(rows, 170, Settings(find_breaks=False), told)
    assert early.start < told[0].toordinal() == late.start
    assert late.refused == {}
    assert covered > 0.7


def test_the_replay_bands_each_day_only_by_what_was_known_at_its_origin() -> None:
    rows, level = issued(shared(1, 112, 4)), 2 / 3  # a whole rank, 10 of the 15, so that a row misses or not
    made = calibrate(rows, ["product"], [level], STILL)
    then = calibrate(rows.filter(pl.col("day") < FIRST + timedelta(56)), ["product"], [level], STILL)
    later = rows.filter(pl.col("day").is_between(FIRST + timedelta(56), FIRST + timedelta(83)))
    missed = ~pl.col("actual").is_between(*limit_names(level))
    by_day = (
        then.bands(later).group_by("day").agg(pl.len().cast(pl.Int64).alias("n"), missed.mean().alias("missed_66.6667")).sort("day")
    )
    assert_frame_equal(made.misses.filter(pl.col("day").is_in(by_day["day"].to_list())), by_day)


def test_series_whose_scores_are_all_alike_do_not_move_the_level() -> None:
    rows = issued(np.zeros((196, 5)), every=7)
    made = calibrate(rows, ["product"])
    assert made.used == pytest.approx({0.8: 0.8, 0.95: 0.95})
    assert made.misses["missed_80"].to_list() == pytest.approx([0.2] * made.misses.height)


def test_forecasts_of_one_origin_have_no_earlier_bands_to_learn_from() -> None:
    made = calibrate(issued(shared(1, 28, 3)), ["product"])
    assert made.misses.height == 0
    assert made.used == {0.8: 0.8, 0.95: 0.95}


def test_the_report_of_coverage_names_the_worst_series_that_has_rows_enough() -> None:
    rows = pl.DataFrame(
        {"product": ["a"] * 10 + ["b"] * 10 + ["c"], "actual": [0.0] * 15 + [9.0] * 6, "low_80": -1.0, "high_80": 1.0}
    )
    found = coverage(rows, ["product"], 0.8)
    assert str(found) == "Bands at 80% covered 71.4% of 21 values; worst of 3 series: b with 50.0% of 10."
    assert coverage(rows, ["product"], 0.8, least_n=1).worst == ("c",)
    assert coverage(rows, [], 0.8).worst_covered == pytest.approx(15 / 21)
    assert str(coverage(rows.clear(), ["product"], 0.8)) == "No row has a band at 80% and an actual value."
    with pytest.raises(Refused, match="no column low_95, high_95"):
        coverage(rows, ["product"], 0.95)


def test_fifty_thousand_rows_of_two_thousand_series_take_well_below_half_a_second() -> None:
    rows = issued(shared(1, 28, 2000))
    start = time.process_time()
    calibrate(rows, ["product"]).bands(rows)
    assert time.process_time() - start < 1.0  # CPU seconds of two cores, so at most half a second on a quiet machine
