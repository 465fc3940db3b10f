"""Paired differences: against scipy where days are independent, by simulation where they are not."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from lightkeeper.errors import Refused
from lightkeeper.measure.paired import _correction, _spread, paired

SEEDS = [1, 2, 3]
NUMBERS = st.lists(st.floats(-100, 100).map(lambda value: round(value, 3)), min_size=8, max_size=60)


def autoregressive(seed: int, series: int, days: int, rho: float) -> Any:
    """Series of mean 0 and spread 1, one a row."""
    noise = np.random.default_rng(seed).standard_normal((series, days))
    for at in range(1, days):
        noise[:, at] = rho * noise[:, at - 1] + np.sqrt(1 - rho**2) * noise[:, at]
    return noise


def called_better(differences: Any, alpha: float) -> int:
    return sum(paired(one, alpha).low > 0 for one in differences)


@pytest.mark.parametrize("days", [8, 28, 365])
@pytest.mark.parametrize("seed", SEEDS)
def test_with_blocks_of_one_independent_day_it_is_the_t_test(seed: int, days: int) -> None:
    differences = np.random.default_rng(seed).standard_normal(days)
    larger, df = _correction(days, 1, 0.0)
    oracle = stats.ttest_1samp(differences, 0)
    assert df == pytest.approx(days - 1)
    assert np.sqrt(larger * _spread(differences, 1)) == pytest.approx(differences.std(ddof=1) / np.sqrt(days))
    assert differences.mean() / np.sqrt(larger * _spread(differences, 1)) == pytest.approx(oracle.statistic)


@pytest.mark.parametrize("seed", SEEDS)
def test_interval_and_p_are_those_of_students_t(seed: int) -> None:
    found = paired(np.random.default_rng(seed).standard_normal(28) + 0.3, 0.01)
    assert found.p == pytest.approx(stats.t.sf(found.mean / found.se, found.df))
    assert (found.low, found.high) == pytest.approx(stats.t.interval(0.98, found.df, found.mean, found.se))


@pytest.mark.parametrize(("days", "size"), [(14, 7), (28, 7), (29, 5)])
def test_the_spread_is_what_many_draws_of_circular_blocks_give(days: int, size: int) -> None:
    random = np.random.default_rng(4)
    differences = random.standard_normal(days).cumsum()
    starts = random.integers(0, days, (200_000, 1))
    blocks = differences[(starts + np.arange(size)) % days].mean(axis=1)
    assert _spread(differences, size) == pytest.approx(blocks.var() * size / days, rel=0.02)


@pytest.mark.parametrize("rho", [0.0, 0.3, 0.7])
@pytest.mark.parametrize(("days", "size"), [(14, 7), (28, 7), (60, 5)])
def test_the_corrected_spread_is_right_on_average_and_varies_as_its_degrees_say(days: int, size: int, rho: float) -> None:
    differences = autoregressive(5, 20_000, days, rho)
    larger, df = _correction(days, size, rho)
    spreads = np.array([_spread(one, size) for one in differences]) * larger
    assert spreads.mean() == pytest.approx(differences.mean(axis=1).var(), rel=0.04)
    assert 2 * spreads.mean() ** 2 / spreads.var() == pytest.approx(df, rel=0.08)


@pytest.mark.parametrize("rho", [0.0, 0.3, 0.5, 0.7])
@pytest.mark.parametrize("days", [14, 28, 56])
def test_equal_contenders_are_told_apart_in_at_most_one_case_of_twenty(days: int, rho: float) -> None:
    found = called_better(autoregressive(days, 3000, days, rho), 0.05)
    assert stats.binomtest(found, 3000, 0.05, alternative="greater").pvalue > 0.01


def test_equal_contenders_are_hardly_ever_told_apart_at_a_small_alpha() -> None:
    assert called_better(autoregressive(6, 5000, 28, 0.5), 0.001) <= 11  # 5 expected, 11 in a hundredth of cases


def test_contenders_that_differ_by_four_standard_errors_are_told_apart() -> None:
    assert called_better(autoregressive(7, 1000, 28, 0.0) + 4 / np.sqrt(28), 0.05) > 900


@given(NUMBERS, st.sampled_from([0.001, 0.05, 0.2]), st.floats(0.01, 100))
@settings(max_examples=200, deadline=None)
def test_swapping_the_pair_mirrors_the_interval_and_scaling_scales_it(values: list[float], alpha: float, factor: float) -> None:
    one, other = paired(values, alpha), paired([-value * factor for value in values], alpha)
    assert (other.low, other.high) == pytest.approx((-one.high * factor, -one.low * factor), rel=1e-6, abs=1e-6)
    assert one.low <= one.mean <= one.high


@given(NUMBERS, st.sampled_from([0.001, 0.05, 0.2]))
@settings(max_examples=200, deadline=None)
def test_the_lower_end_is_above_zero_exactly_when_p_is_below_alpha(values: list[float], alpha: float) -> None:
    found = paired(values, alpha)
    assert (found.low > 0) == (found.p < alpha) or found.p == pytest.approx(alpha)


def test_a_pattern_of_weekdays_does_not_widen_the_interval() -> None:
    plain = autoregressive(8, 1, 28, 0.0)[0]
    weekly = plain + np.tile([3, 1, 0, 0, -1, -1, -2], 4)
    assert _spread(weekly, 7) == pytest.approx(_spread(plain, 7))


def test_equal_losses_every_day_are_no_improvement_and_the_same_gain_every_day_is_one() -> None:
    same, gain = paired([0.0] * 28, 0.05), paired([0.1] * 28, 0.05)
    assert (same.p, same.low, same.high, same.se) == (1.0, 0.0, 0.0, 0.0)
    assert gain.p == 0.0
    assert gain.low == gain.high == pytest.approx(0.1)


@pytest.mark.parametrize("days", [1, 2, 3])
def test_below_four_days_nothing_is_told(days: int) -> None:
    found = paired([1.0, 2.0, 3.0][:days], 0.05)
    assert (found.low, found.high, found.p) == (-np.inf, np.inf, 1.0)


def test_with_no_error_to_spend_the_interval_has_no_end() -> None:
    found = paired([1.0, 2.0, 1.5, 1.2, 1.1], 0.0)
    assert (found.low, found.high) == (-np.inf, np.inf)


@pytest.mark.parametrize(
    ("values", "alpha", "block", "said"),
    [
        ([], 0.05, 7, "one day at least"),
        ([[1.0]], 0.05, 7, "shape"),
        ([1.0, float("nan")], 0.05, 7, "Difference 2 of 2 is nan"),
        ([float("inf")], 0.05, 7, "Difference 1 of 1 is inf"),
        ([1.0], 0.6, 7, "alpha 0.6"),
        ([1.0], 0.05, 0, "block 0"),
    ],
)
def test_what_cannot_be_compared_is_refused(values: Any, alpha: float, block: int, said: str) -> None:
    with pytest.raises(Refused, match=said):
        paired(values, alpha, block)


def test_days_of_which_each_week_is_like_the_one_before_have_no_spread() -> None:
    found = paired([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0] * 4, 0.05, 7)
    assert (found.se, found.low, found.high, found.p) == (0.0, 4.0, 4.0, 0.0)
