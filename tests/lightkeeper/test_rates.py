"""Rates: a quiet day's share hardly ever fails, a bad one does under the same settings, whatever hides in the history."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

from lightkeeper.errors import Refused
from lightkeeper.measure.rates import _Usual, rate
from lightkeeper.values import Verdict

SEEDS = [1, 2, 3]
QUIET = [(20, 1000)] * 28
KINDS = ["binomial", "beta", "lognormal"]


def counts(seed: int, kind: str, mean: float, rows: int, days: int) -> Any:
    """(k, n) of days whose share is constant, beta with rho 0.001, or lognormal with sd 0.4 and a memory of 0.5."""
    random = np.random.default_rng(seed)
    noise = random.standard_normal(days)
    for day in range(1, days):
        noise[day] = 0.5 * noise[day - 1] + np.sqrt(0.75) * noise[day]
    share = {"binomial": np.full(days, mean), "beta": random.beta(mean * 999, (1 - mean) * 999, days)}
    n = np.maximum(1, rows * np.exp(0.3 * random.standard_normal(days))).astype(int)
    return np.c_[random.binomial(n, share.get(kind, np.minimum(mean * np.exp(0.4 * noise), 1))), n]


def judged(days: Any, k: int, n: int, floor: float = 0.005) -> Verdict:
    return rate("nulls", "price", [(int(a), int(b)) for a, b in days], k, n, floor)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("mean", "rows"), [(0.001, 100), (0.02, 1000), (0.2, 50_000)])
@pytest.mark.parametrize("days", [14, 60])
def test_at_most_two_quiet_days_in_a_thousand_fail(days: int, mean: float, rows: int, kind: str) -> None:
    drawn = [counts(seed, kind, mean, rows, days + 1) for seed in range(500)]
    failed = sum(judged(one[:-1], *one[-1]).bad for one in drawn)
    assert failed <= 4  # of 500, 1 expected at 0.2%


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("mean", "rows"), [(0.001, 100), (0.02, 1000), (0.2, 50_000)])
def test_a_share_that_is_far_above_the_usual_fails(mean: float, rows: int, seed: int, kind: str) -> None:
    found = judged(counts(seed, kind, mean, rows, 28), round(rows * max(4 * mean, 0.1)), rows)
    assert found.state == "failed"
    assert (found.check, found.column, found.n) == ("nulls", "price", rows)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("bad", [1, 2, 3])
def test_three_bad_days_in_the_history_hide_no_fourth(bad: int, seed: int, kind: str) -> None:
    days = counts(seed, kind, 0.02, 1000, 28)
    days[3 : 3 + bad, 0] = days[3 : 3 + bad, 1] // 2
    found = judged(days, 300, 1000)
    assert (found.state, found.extra["left_out"]) == ("failed", bad)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("between", [0.003, 0.02])
def test_the_overdispersion_is_that_of_the_beta_binomial_it_was_drawn_from(seed: int, between: float) -> None:
    size, n = 1 / between - 1, np.random.default_rng(seed).integers(500, 2000, 4000)
    k = stats.betabinom.rvs(n, 0.1 * size, 0.9 * size, random_state=seed)
    found = _Usual.of(k.astype(float), n.astype(float))
    assert found.mean == pytest.approx(0.1, rel=0.03)
    assert found.between == pytest.approx(between, rel=0.1)


@pytest.mark.parametrize("between", [0.0, 0.02])
def test_the_error_of_the_mean_is_what_the_means_of_many_histories_vary_by(between: float) -> None:
    random, n = np.random.default_rng(4), np.full(200, 500)
    size = 1 / max(between, 1e-9) - 1
    many = [
        _Usual.of(random.binomial(n, random.beta(0.1 * size, 0.9 * size, 200)).astype(float), n.astype(float)) for _ in range(2000)
    ]
    expected = 0.09 / (200 * 500) * (1 + 499 * np.mean([one.between for one in many]))
    assert np.mean([one.error for one in many]) == pytest.approx(expected, rel=0.02)
    assert np.var([one.mean for one in many]) < 1.1 * expected


@pytest.mark.parametrize("size", [50.0, 1000.0])
def test_the_limit_is_the_quantile_of_the_beta_binomial_where_all_is_known(size: float) -> None:
    known = _Usual(10**9, 0.05, 0.0, 1 / (size + 1))
    oracle = stats.betabinom.isf(0.002, 1000, 0.05 * size, 0.95 * size) / 1000
    assert known.limit(1000, 0.002) == pytest.approx(oracle, rel=0.03)


@pytest.mark.parametrize(("k", "state"), [(0, "passed"), (24, "passed"), (400, "failed")])
def test_fewer_than_usual_never_fail_and_more_do(k: int, state: str) -> None:
    assert judged(QUIET, k, 1000).state == state


@pytest.mark.parametrize(("k", "state"), [(0, "passed"), (499, "passed"), (501, "failed")])
def test_where_there_never_was_one_it_takes_half_a_percent(k: int, state: str) -> None:
    assert judged([(0, 100_000)] * 20, k, 100_000).state == state


def test_where_all_were_always_null_a_day_like_that_passes() -> None:
    assert judged([(50, 50)] * 20, 50, 50).state == "passed"


@pytest.mark.parametrize("days", [0, 1, 13])
def test_with_fewer_than_fourteen_days_it_says_how_many_are_missing(days: int) -> None:
    found = judged([*QUIET[:days], (0, 0), (0, 0)], 900, 1000)
    assert (found.state, found.limit) == ("learning", None)
    assert f"{14 - days} more {'day is' if days == 13 else 'days are'} needed of 14" in found.why


def test_a_day_without_rows_is_unknown() -> None:
    assert (judged(QUIET, 0, 0).state, judged(QUIET, 0, 0).measured) == ("unknown", None)


@pytest.mark.parametrize("days", [30, 180])
def test_a_day_of_so_few_rows_that_no_share_could_fail_is_unknown_unless_it_has_none(days: int) -> None:
    found = judged([(0, 1)] * days, 1, 1)
    assert (found.state, found.measured, found.limit) == ("unknown", 1.0, 1.0)
    assert found.why.endswith(f"by {days} days: with 1 row a day no share could fail.")
    assert judged([(0, 1)] * days, 0, 1).state == "passed"
    assert judged([(1, 1)] * days, 1, 1).state == "passed"  # it is so every day
    assert judged([(0, 20)] * days, 20, 20).state == "failed"
    assert judged([*[(0, 2)] * 5, *[(2, 2)] * 5] * (days // 10) + [(0, 2)], 2, 2).state == "unknown"


@pytest.mark.parametrize("rows", [20, 1000])
def test_a_day_of_all_rows_as_on_each_saturday_passes_where_other_days_have_none(rows: int) -> None:
    assert judged(([(0, rows)] * 6 + [(rows, rows)]) * 8, rows, rows).state == "passed"


def test_the_sentence_has_the_share_the_usual_one_the_limit_and_the_days() -> None:
    found = judged([*QUIET, (900, 1000)], 25, 1000)
    assert (
        found.why
        == f"25 of 1,000 rows (2.50%); usual are 2.00%, and the limit is {found.limit:.2%}, by 28 days without the 1 worst."
    )


@pytest.mark.parametrize(("k", "n", "floor"), [(-1, 10, 0.0), (11, 10, 0.0), (1, -1, 0.0), (1, 10, -0.1), (1, 10, float("nan"))])
def test_counts_that_cannot_be_are_refused(k: int, n: int, floor: float) -> None:
    with pytest.raises(Refused, match="nulls of price"):
        judged(QUIET, k, n, floor)
    with pytest.raises(Refused, match="cannot be"):
        judged([*QUIET, (2, 1)], 1, 10)


@pytest.mark.parametrize("rows", [60, 1000])
@pytest.mark.parametrize("weeks", [4, 26, 78])
def test_what_is_so_on_each_saturday_fails_on_none(weeks: int, rows: int) -> None:
    days = np.tile([[rows // 2, rows]] * 6 + [[rows, rows]], (weeks, 1))
    assert judged(days, rows, rows).state == "passed"


@pytest.mark.parametrize("weeks", [4, 26])
def test_what_was_so_on_three_days_alone_fails_on_a_fourth(weeks: int) -> None:
    days = np.tile([[5, 1000]] * 7, (weeks, 1))
    days[[2, 9, 16], 0] = 1000
    assert judged(days, 1000, 1000).state == "failed"
