"""Levels follow what was missed, and a break is confirmed when it is one, rarely otherwise."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from forecasts import FIRST, shared
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lightkeeper.errors import Refused
from lightkeeper.measure.adapting import adapted, confirmed_break

SHARES = st.lists(st.one_of(st.none(), st.floats(0, 1)), max_size=60)


def misses(actual: NDArray[np.float64]) -> pl.DataFrame:
    """The share of each day beyond bands at 80% that fit a variance of 1."""
    share = (np.abs(actual) > 1.2816).mean(1)
    days = [FIRST + timedelta(day) for day in range(len(share))]
    return pl.DataFrame({"day": days, "missed": share, "n": actual.shape[1]})


def test_the_level_moves_by_gamma_times_the_surplus_of_misses() -> None:
    assert adapted([], 0.8) == pytest.approx(0.8)
    assert adapted([0.7], 0.8, 0.02) == pytest.approx(0.8 + 0.02 * 0.5)
    assert adapted([0.7, 0.0], 0.8, 0.02) == pytest.approx(0.8 + 0.02 * 0.5 - 0.02 * 0.2)
    assert adapted([0.2, None, 0.2], 0.8, 0.05) == pytest.approx(0.8)


def test_days_whose_outcome_is_not_known_yet_do_not_move_the_level() -> None:
    assert adapted([0.3] * 5 + [1.0] * 28, 0.8, delay=28) == adapted([0.3] * 5, 0.8)
    assert adapted([1.0] * 5, 0.8, delay=28) == pytest.approx(0.8)


@settings(deadline=None)
@given(missed=SHARES, level=st.floats(0.5, 0.99), gamma=st.floats(0, 0.9))
def test_the_level_stays_between_twice_the_misses_and_none(missed: list[float | None], level: float, gamma: float) -> None:
    assert 1 - 2 * (1 - level) - 1e-9 <= adapted(missed, level, gamma) <= 1


@pytest.mark.parametrize("wrong", [([1.5], 0.8, 0.02, 0), ([0.1], 1.0, 0.02, 0), ([0.1], 0.8, -0.1, 0), ([0.1], 0.8, 0.1, -1)])
def test_what_makes_no_sense_is_refused(wrong: tuple[list[float], float, float, int]) -> None:
    with pytest.raises(Refused, match="give"):
        adapted(*wrong)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("kind", ["shift", "double"])
def test_a_break_is_confirmed_within_six_weeks_of_matured_days_and_dated_to_the_week(seed: int, kind: str) -> None:
    actual = shared(seed, 162, 50)
    actual[120:] = actual[120:] + 1.5 if kind == "shift" else actual[120:] * 2
    found = confirmed_break(misses(actual), 0.2)
    assert found is not None
    assert abs((found - FIRST).days - 120) <= 7


@pytest.mark.parametrize("phi", [0.0, 0.5, 0.7])
@pytest.mark.parametrize("series", [1, 10, 100])
def test_three_years_without_a_break_raise_at_most_one_alarm_on_average(phi: float, series: int) -> None:
    alarms = 0
    for seed in range(4):
        share = misses(shared(seed, 1095, series, phi))
        windows = (share.slice(start, 152) for start in range(0, 1095 - 152, 14))
        days = sorted({found for window in windows if (found := confirmed_break(window, 0.2)) is not None})
        alarms += sum(1 for place, day in enumerate(days) if not place or day - days[place - 1] > timedelta(28))
    assert alarms <= 4


def test_one_bad_day_is_no_break() -> None:
    share = misses(shared(1, 150, 50)).with_columns(
        pl.when(pl.int_range(pl.len()) == 130).then(1.0).otherwise("missed").alias("missed")
    )
    assert confirmed_break(share, 0.2) is None


@pytest.mark.parametrize("days", [0, 1, 28])
def test_a_few_days_confirm_nothing(days: int) -> None:
    assert confirmed_break(misses(np.full((days, 3), 9.0)), 0.2) is None


def test_misses_without_days_or_against_no_share_are_refused() -> None:
    with pytest.raises(Refused, match="give day and missed"):
        confirmed_break(pl.DataFrame({"missed": [0.1]}), 0.2)
    with pytest.raises(Refused, match="against 0"):
        confirmed_break(misses(np.zeros((40, 2))), 0.0)
