"""Anomalies: of series that did nothing odd hardly any is named, of tripled ones many are, under the same settings."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal
from scipy import stats

from lightkeeper.errors import Refused
from lightkeeper.measure.anomaly import adjusted, anomalies
from lightkeeper.values import Verdict

SEEDS = [1, 2, 3]
FIRST = date(2026, 1, 1)
Q = 0.05


def rows(actual: Any, forecast: Any, width: Any, first: int) -> pl.DataFrame:
    days, series = actual.shape
    return pl.DataFrame(
        {
            "product": np.tile(np.arange(series), days),
            "day": pl.Series([FIRST + timedelta(days=first + day) for day in range(days) for _ in range(series)], dtype=pl.Date),
            "actual": actual.ravel(),
            "forecast": np.tile(forecast, days),
            "width": np.tile(width, days),
        }
    )


def shop(seed: int, tripled: int = 0, series: int = 60, days: int = 130, wild: float = 0.5) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Lognormal demand with days of none; the last five days and those before, the first `tripled` series three times as much."""
    random = np.random.default_rng(seed)
    mean, none = np.exp(random.normal(2, 1, series)), random.uniform(0, wild, series)
    sd = random.uniform(0.3, 0.3 + wild, series)
    sold = mean * np.exp(sd * random.standard_normal((days + 5, series))) * (random.uniform(size=(days + 5, series)) > none)
    sold[days:, :tripled] *= 3
    forecast = mean * np.exp(sd**2 / 2) * (1 - none)
    width = np.quantile(np.abs(sold[:days] - forecast), 0.8, axis=0)
    return rows(sold[days:], forecast, width, days), rows(sold[:days], forecast, width, 0)


def named(seed: int, tripled: int, **how: Any) -> tuple[int, int]:
    """How many of the tripled series and how many others are named."""
    frame, _ = anomalies(*shop(seed, tripled, **how), ["product"], Q)
    found = frame.filter(pl.col("q") <= Q)["product"]
    return int((found < tripled).sum()), int((found >= tripled).sum())


def plain(last: list[float], days: int = 200, series: int = 10) -> tuple[pl.DataFrame, Verdict]:
    """Normal calibration days of ten series; the first of them then did these."""
    random = np.random.default_rng(5)
    judged = random.standard_normal((5, series)) * 0.1
    judged[5 - len(last) :, 0] = last
    past = rows(random.standard_normal((days, series)), np.zeros(series), np.ones(series), 0)
    return anomalies(rows(judged, np.zeros(series), np.ones(series), days), past, ["product"], Q)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("n", [1, 2, 50])
def test_the_adjusted_p_is_that_of_scipy(n: int, seed: int) -> None:
    p = np.random.default_rng(seed).uniform(size=n).round(1 + seed)  # with ties
    assert adjusted(p) == pytest.approx(stats.false_discovery_control(p, method="bh"))


def test_in_at_most_one_case_of_twenty_is_any_usual_series_named() -> None:
    any_named = sum(named(seed, 0)[1] > 0 for seed in range(120))
    assert stats.binomtest(any_named, 120, Q, alternative="greater").pvalue > 0.01


def test_of_the_named_series_at_most_a_twentieth_did_nothing() -> None:
    found = [named(seed, 8) for seed in range(60)]
    shares = [false / max(1, true + false) for true, false in found]
    assert np.mean(shares) < Q + 2 * np.std(shares) / np.sqrt(len(shares))


@pytest.mark.parametrize("seed", SEEDS)
def test_most_series_whose_demand_triples_for_five_days_are_named(seed: int) -> None:
    assert named(seed, 10, wild=0.1)[0] >= 6


@pytest.mark.parametrize("strata", [1, 2])
def test_strata_compare_series_with_their_like(strata: int) -> None:
    frame, verdict = anomalies(*shop(1, 10, days=400, wild=0.1), ["product"], Q, strata)
    assert verdict.extra["null"] == 400 * 60 // strata
    assert frame.head(5)["product"].max() < 10  # type: ignore[operator]


def test_one_huge_day_is_found_as_one_day_and_a_run_as_a_run() -> None:
    day, run = (plain(last)[0].row(0, named=True) for last in ([9.0], [-1.6] * 5))
    assert (day["product"], day["direction"], day["window_days"], day["score"]) == (0, "above", 1, 9.0)
    assert (run["product"], run["direction"], run["window_days"], run["score"]) == (0, "below", 5, pytest.approx(-8.0))
    assert day["p"] == pytest.approx(2 / 2001)  # beyond all 2000 days, in one of two tests
    assert (run["actual"], run["forecast"]) == (pytest.approx(-8.0), 0)


def test_one_huge_order_alone_makes_no_run_of_days_abnormal() -> None:
    random = np.random.default_rng(2)
    past = random.standard_normal((200, 10))
    past[::20] *= 50  # such orders are usual
    judged = rows(np.r_[[[0.0] * 10] * 3, [[40.0] + [0.0] * 9], [[0.0] * 10]], np.zeros(10), np.ones(10), 200)
    frame, verdict = anomalies(judged, rows(past, np.zeros(10), np.ones(10), 0), ["product"], Q)
    assert verdict.state == "passed"
    assert frame.filter(pl.col("product") == 0)["p"].item() > 0.05


def test_huge_orders_that_are_usual_hide_no_run_of_days() -> None:
    past = np.random.default_rng(2).standard_normal((200, 10))
    past[::100] = 50
    judged = rows(np.full((5, 10), [1.9] + [0.0] * 9), np.zeros(10), np.ones(10), 200)
    frame, _ = anomalies(judged, rows(past, np.zeros(10), np.ones(10), 0), ["product"], Q)
    assert frame.filter(pl.col("q") <= Q)["product"].to_list() == [0]


@pytest.mark.parametrize(("strata", "found"), [(1, []), (2, [0])])
def test_a_light_series_is_found_among_light_ones_where_heavy_ones_would_hide_it(strata: int, found: list[int]) -> None:
    heavy = np.repeat([1.0, 10.0], 5)
    past = np.random.default_rng(2).standard_normal((300, 10)) * heavy
    judged = rows(np.full((5, 10), heavy + np.eye(10)[0] * 1.9), heavy, np.ones(10), 300)
    frame, _ = anomalies(judged, rows(past + heavy, heavy, np.ones(10), 0), ["product"], Q, strata)
    assert frame.filter(pl.col("q") <= Q)["product"].to_list() == found


@pytest.mark.parametrize(("last", "state", "found"), [([0.1], "passed", 0.0), ([9.0], "failed", 1.0)])
def test_the_verdict_counts_the_named_series(last: list[float], state: str, found: float) -> None:
    _, verdict = plain(last)
    assert (verdict.state, verdict.measured, verdict.n) == (state, found, 10)
    assert verdict.extra["smallest_p"] == pytest.approx(2 / 2001 / 10)


@pytest.mark.parametrize(("days", "state"), [(0, "learning"), (1, "learning"), (39, "learning"), (40, "passed")])
def test_with_too_few_calibration_days_for_any_discovery_it_says_how_many_are_missing(days: int, state: str) -> None:
    frame, verdict = plain([0.1], days)
    assert (verdict.state, frame.height) == (state, 10)
    assert f"{399 - 10 * days:,} more days of series" in verdict.why or state == "passed"


@pytest.mark.parametrize(("series", "days", "missing"), [(200, 3, 199), (200, 4, 0), (20, 10, 200), (20, 20, 0)])
def test_of_many_series_one_can_be_named_by_the_tail_of_400_sums_or_a_tenth_of_what_counting_needs(
    series: int, days: int, missing: int
) -> None:
    _, verdict = plain([0.1], days, series)
    assert verdict.state == ("learning" if missing else "passed")
    assert f"{missing} more days of series" in verdict.why or not missing


@pytest.mark.parametrize("seed", SEEDS)
def test_runs_of_days_in_the_past_hide_no_later_one(seed: int) -> None:
    past = np.random.default_rng(seed).standard_normal((200, 40))
    past[100:110, 7:10] += 6.0
    judged = rows(np.full((5, 40), [2.1] + [0.0] * 39), np.zeros(40), np.ones(40), 200)
    frame, _ = anomalies(judged, rows(past, np.zeros(40), np.ones(40), 0), ["product"], Q)
    assert frame.filter(pl.col("q") <= Q)["product"].to_list() == [0]


def test_the_direction_is_that_of_most_days_and_not_of_one_huge_order() -> None:
    first = plain([-2.4, -2.4, 50.0, -2.4, -2.4])[0].filter(pl.col("product") == 0).row(0, named=True)
    assert (first["direction"], first["window_days"]) == ("below", 5)
    assert first["score"] > 0


@pytest.mark.parametrize("scale", [0.01, 1.0, 100.0])
def test_the_p_of_days_together_is_close_to_that_of_the_sums_own_distribution(scale: float) -> None:
    random = np.random.default_rng(11)
    past, last = random.standard_normal((400, 50)) * scale, np.full((5, 50), np.linspace(1.3, 1.9, 50)) * scale
    frame, _ = anomalies(rows(last, np.zeros(50), np.ones(50), 400), rows(past, np.zeros(50), np.ones(50), 0), ["product"], Q)
    lasting = frame.filter(pl.col("window_days") == 5, pl.col("p") < 0.05).sort("product")
    mean = lasting["score"].to_numpy() / 5 / scale
    one_window = 2 * stats.norm.sf(mean * np.sqrt(5))  # of two, which Bonferroni and the larger of both at most double twice
    assert (lasting["p"].to_numpy() >= one_window).all()
    assert (lasting["p"].to_numpy() <= 12 * one_window).all()


@pytest.mark.parametrize("seed", SEEDS)
def test_the_order_of_the_rows_plays_no_part(seed: int) -> None:
    outcomes, past = shop(seed, 3)
    one, _ = anomalies(outcomes, past, ["product"], Q)
    other, _ = anomalies(*(each.sample(fraction=1, shuffle=True, seed=seed) for each in (outcomes, past)), ["product"], Q)
    assert_frame_equal(one, other, check_exact=True)


def test_days_without_an_outcome_are_passed_over_and_a_series_without_any_is_counted() -> None:
    outcomes, past = shop(1)
    hole = (pl.col("day").dt.day() % 2 == 0) | (pl.col("product") == 7)
    frame, verdict = anomalies(outcomes.with_columns(actual=pl.when(~hole).then("actual")), past, ["product"], Q)
    assert (frame.height, verdict.n, verdict.extra["without"]) == (59, 59, 1)


def test_no_outcome_is_unknown() -> None:
    outcomes, past = shop(1)
    frame, verdict = anomalies(outcomes.clear(), past, ["product"], Q)
    assert (frame.height, verdict.state, verdict.measured) == (0, "unknown", None)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"actual": pl.lit(np.nan)}, "not finite"),
        ({"forecast": pl.lit(np.inf)}, "not finite"),
        ({"width": pl.lit(0.0)}, "width not above 0"),
        ({"day": pl.lit(FIRST)}, "two rows of a day"),
        ({"day": pl.lit("x")}, "give dates"),
        ({"product": pl.lit(None, pl.Int64)}, "null in product"),
        ({"day": pl.col("day") - timedelta(days=9)}, "among the calibration days"),
    ],
)
def test_rows_that_cannot_be_judged_are_refused(change: dict[str, pl.Expr], said: str) -> None:
    outcomes, past = shop(1)
    with pytest.raises(Refused, match=said):
        anomalies(outcomes.with_columns(**change), past, ["product"], Q)


def test_a_missing_column_and_a_rate_that_cannot_be_are_refused() -> None:
    outcomes, past = shop(1)
    with pytest.raises(Refused, match="no column width"):
        anomalies(outcomes.drop("width"), past, ["product"], Q)
    with pytest.raises(Refused, match=r"q 1\.5"):
        anomalies(outcomes, past, ["product"], 1.5)
