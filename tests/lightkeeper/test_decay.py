"""Decay: a champion that does as its backtest did hardly ever fails, one that got worse does under the same settings."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy import stats

from lightkeeper.errors import Refused
from lightkeeper.measure.decay import accuracy, covers
from lightkeeper.measure.paired import paired
from lightkeeper.values import Verdict

SEEDS = [1, 2, 3]
FIRST = date(2026, 1, 1)
NULL = [None]


def by_day(**columns: Any) -> pl.DataFrame:
    days = max(len(column) for column in columns.values())
    return pl.DataFrame({"day": [FIRST + timedelta(days=n) for n in range(days)], **columns}, schema_overrides={"day": pl.Date})


def memory(seed: int, days: int, rho: float) -> Any:
    noise = np.random.default_rng(seed).standard_normal(days)
    for at in range(1, days):
        noise[at] = rho * noise[at - 1] + np.sqrt(1 - rho**2) * noise[at]
    return noise


def worse(seed: int, kind: tuple[float, float], backtest: int, matured: int, factor: float) -> Verdict:
    """Lognormal losses (spread, memory) of days that remember each other; those of the matured days times a factor."""
    losses = np.exp(kind[0] * memory(seed, backtest + matured, kind[1]))
    return accuracy(by_day(loss=factor * losses[backtest:]), by_day(loss=losses[:backtest]))


def covered(seed: int, days: int, rho: float, shared: float, level: float = 0.8) -> Verdict:
    """Bands sold as 80% that cover `level` of 100 values a day; `shared` of their variance is common to a day."""
    day, z = memory(seed, days, rho), stats.norm.ppf(level)
    share = stats.norm.cdf((z - np.sqrt(shared) * day) / np.sqrt(1 - shared))
    return covers(by_day(n=np.full(days, 100), inside=np.random.default_rng(seed).binomial(100, share)), 0.8)


@pytest.mark.parametrize("kind", [(0.2, 0.0), (0.6, 0.0), (0.3, 0.5), (0.3, 0.7)])
@pytest.mark.parametrize("matured", [7, 28])
@pytest.mark.parametrize("backtest", [28, 90])
def test_at_most_two_quiet_days_in_a_thousand_fail(backtest: int, matured: int, kind: tuple[float, float]) -> None:
    assert sum(worse(seed, kind, backtest, matured, 1.0).bad for seed in range(400)) <= 4  # 0.8 expected at 0.2%


@pytest.mark.parametrize("kind", [(0.2, 0.0), (0.3, 0.5)])
@pytest.mark.parametrize("seed", SEEDS)
def test_a_champion_with_twice_the_loss_fails_within_four_weeks(seed: int, kind: tuple[float, float]) -> None:
    found = worse(seed, kind, 90, 28, 2.0)
    assert found.state == "failed"
    assert (found.check, found.n, found.extra["backtest_days"]) == ("accuracy", 28, 90)


@pytest.mark.parametrize(("ratio", "state"), [(0.5, "passed"), (1.0, "passed"), (1.09, "passed"), (1.11, "failed")])
def test_losses_that_never_vary_fail_from_a_tenth_more_on(ratio: float, state: str) -> None:
    found = accuracy(by_day(loss=[ratio] * 7), by_day(loss=[1.0] * 14))
    assert (found.state, found.limit, found.measured) == (state, 1.10, ratio)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_limit_is_welchs_with_the_backtests_spread_for_losses_that_are_not_skewed(seed: int) -> None:
    noise = memory(seed, 40, 0.0)
    then = 10 + np.r_[noise, -noise]
    known = paired(then, 0.0002)
    error = np.hypot(known.se, known.se * np.sqrt(80 / 20)) / then.mean()
    found = accuracy(by_day(loss=then[:20]), by_day(loss=then * 10))
    assert found.limit == pytest.approx(max(1.10, 1 + stats.t.isf(0.0002, known.df) * error))


@pytest.mark.parametrize(
    ("matured", "backtest", "said"), [(6, 14, "1 matured days and 0"), (7, 13, "0 matured days and 1"), (0, 1, "7")]
)
def test_with_too_few_days_it_is_learning_and_says_what_is_missing(matured: int, backtest: int, said: str) -> None:
    found = accuracy(by_day(loss=[9.0] * matured), by_day(loss=[1.0] * backtest))
    assert (found.state, found.measured) == ("learning", None)
    assert said in found.why


def test_days_without_a_loss_are_left_out_and_a_backtest_without_any_is_unknown() -> None:
    assert accuracy(by_day(loss=[1.0] * 6 + NULL * 9), by_day(loss=[1.0] * 14)).state == "learning"
    assert accuracy(by_day(loss=[1.0] * 7), by_day(loss=[0.0] * 14)).state == "unknown"


def test_losses_that_repeat_every_week_have_no_error() -> None:
    week = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0]
    assert accuracy(by_day(loss=week), by_day(loss=week * 2)).state == "passed"
    assert accuracy(by_day(loss=[2 * one for one in week]), by_day(loss=week * 2)).state == "failed"


def test_the_order_of_the_rows_plays_no_part() -> None:
    then, now = by_day(loss=np.exp(memory(1, 60, 0.7))), by_day(loss=np.exp(memory(2, 20, 0.7)))
    assert accuracy(now, then) == accuracy(now.reverse(), then.sample(fraction=1, shuffle=True, seed=1))


@pytest.mark.parametrize("days", [14, 28, 100])
@pytest.mark.parametrize(("rho", "shared"), [(0.0, 0.0), (0.5, 0.3), (0.7, 0.5)])
def test_bands_that_cover_what_they_say_fail_at_most_twice_in_a_thousand(days: int, rho: float, shared: float) -> None:
    assert sum(covered(seed, days, rho, shared).bad for seed in range(300)) <= 3  # 0.6 expected at 0.2%


@pytest.mark.parametrize(("days", "shared"), [(28, 0.0), (100, 0.3)])
@pytest.mark.parametrize("seed", SEEDS)
def test_bands_that_cover_far_less_fail(seed: int, days: int, shared: float) -> None:
    found = covered(seed, days, 0.3, shared, 0.6)
    assert found.state == "failed"
    assert (found.check, found.n, found.extra["days"]) == ("coverage", 100 * days, days)


def broken(seed: int, rows: int, since: int, rho: float = 0.0, shared: float = 0.0) -> Verdict:
    """28 days of bands at 80% that cover 80%, and 30% since some days."""
    day, level = memory(seed, 28, rho), np.r_[np.full(28 - since, 0.8), np.full(since, 0.3)]
    share = stats.norm.cdf((stats.norm.ppf(level) - np.sqrt(shared) * day) / np.sqrt(1 - shared))
    return covers(by_day(n=np.full(28, rows), inside=np.random.default_rng(seed).binomial(rows, share)), 0.8)


@pytest.mark.parametrize(("rows", "rho", "shared", "least"), [(20, 0.0, 0.0, 11), (100, 0.0, 0.0, 18), (100, 0.3, 0.02, 18)])
@pytest.mark.parametrize("since", [7, 10, 14, 21])
def test_a_sudden_break_is_failed_weeks_before_all_days_are_after_it(
    since: int, rows: int, rho: float, shared: float, least: int
) -> None:
    found = [broken(seed, rows, since, rho, shared) for seed in range(20)]
    assert sum(one.bad for one in found) >= least
    one = next(one for one in found if one.bad)
    assert one.measured == pytest.approx(0.3, abs=0.12)
    assert f"on the last {one.extra['days']} days" in one.why
    assert one.limit is not None
    assert one.measured < one.limit < 0.8


@pytest.mark.parametrize(("rho", "shared"), [(0.5, 0.5), (0.7, 0.3), (0.7, 0.6)])
def test_days_that_wander_but_cover_what_is_said_are_no_break(rho: float, shared: float) -> None:
    found = [covered(seed, 28, rho, shared) for seed in range(1000, 1500)]
    assert sum(one.bad for one in found) <= 4  # of 500, 1 expected at 0.2%
    assert all(one.limit is None or one.limit > 0 for one in found)


def test_a_break_to_more_is_no_failure_and_one_of_the_last_few_days_is_still_learning() -> None:
    better = covers(by_day(n=[100] * 28, inside=[30] * 14 + [80, 81] * 7), 0.8)
    few = covers(by_day(n=[100] * 28, inside=[80] * 25 + [20] * 3), 0.8)
    assert not better.bad
    assert few.state in {"learning", "passed"}


@pytest.mark.parametrize(("inside", "state"), [(100, "passed"), (80, "passed"), (77, "passed"), (75, "failed"), (0, "failed")])
def test_where_days_are_alike_it_takes_four_points(inside: int, state: str) -> None:
    found = covers(by_day(n=[1000] * 28, inside=[10 * inside] * 28), 0.8)
    assert (found.state, found.limit) == (state, pytest.approx(0.76))


@pytest.mark.parametrize("inside", [94, 96, 100])
def test_bands_that_are_far_too_wide_pass_and_it_is_told(inside: int) -> None:
    found = covers(by_day(n=[100] * 28, inside=[inside] * 28), 0.8)
    assert (found.state, found.extra["generous"], "far wider" in found.why) == ("passed", inside > 95, inside > 95)


@pytest.mark.parametrize("days", [0, 1, 6])
def test_coverage_of_too_few_days_with_rows_is_learning(days: int) -> None:
    found = covers(by_day(n=[10] * days + [0] * 9, inside=[0] * (days + 9)), 0.8)
    assert (found.state, found.limit) == ("learning", None)
    assert f"{7 - days} more {'is' if days == 6 else 'are'} needed of 7" in found.why


def test_days_too_unlike_each_other_for_any_limit_are_learning() -> None:
    found = covers(by_day(n=[2] * 7, inside=[0, 2, 0, 2, 2, 0, 1]), 0.5)
    assert (found.state, found.limit, found.measured) == ("learning", None, 0.5)


@pytest.mark.parametrize("wrong", [-1.0, np.nan, np.inf])
def test_numbers_that_cannot_be_are_refused(wrong: float) -> None:
    good = by_day(loss=[1.0] * 14)
    with pytest.raises(Refused, match="loss of a day is"):
        accuracy(by_day(loss=[wrong] + [1.0] * 9), good)
    with pytest.raises(Refused, match="n, inside of a day is"):
        covers(by_day(n=[wrong], inside=[1.0]), 0.8)


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        (pl.DataFrame({"day": [FIRST]}), "n, inside is missing"),
        (by_day(n=[1], inside=[2]), "no more rows inside"),
        (pl.concat([by_day(n=[1], inside=[1])] * 2), "comes twice"),
        (by_day(n=[1], inside=[1]).with_columns(day=pl.lit(None, pl.Date)), "null"),
    ],
)
def test_days_that_cannot_be_judged_are_refused(frame: pl.DataFrame, said: str) -> None:
    with pytest.raises(Refused, match=said):
        covers(frame, 0.8)
    with pytest.raises(Refused, match="level between"):
        covers(by_day(n=[1], inside=[1]), 1.0)
