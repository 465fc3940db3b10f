"""Days against quiet days: quiet ones hardly ever alarm, though they hang together and have a weekly season; shifts are found."""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
import pytest
from scipy.special import ndtr, ndtri

from lightkeeper.errors import Refused
from lightkeeper.measure.daily import Found, judge
from lightkeeper.measure.deviations import DayCounts, DayLevels, weekday
from lightkeeper.measure.quiet import QUIET, WORTH, Quiet
from lightkeeper.measure.quiet_days import calibrate

SEEDS = [1, 2, 3]
FIRST = date(2025, 1, 6).toordinal()  # a Monday
HALF = 182  # days of a reference
EDGES = ndtri(np.arange(1, 16) / 16)
Column = DayCounts | DayLevels


def autoregressive(random: Any, days: int, phi: float) -> Any:
    """A series of mean 0 and spread 1."""
    noise = random.standard_normal(days)
    for at in range(1, days):
        noise[at] = phi * noise[at - 1] + np.sqrt(1 - phi**2) * noise[at]
    return noise


def numbers(random: Any, moved: Any, rows: int) -> Any:
    """Counts of normals whose mean is `moved`, a day each, in 16 cells and one below and above that nobody is in."""
    below = ndtr(EDGES[None, :] - moved[:, None])
    counts = random.multinomial(rows, np.diff(below, prepend=0.0, append=1.0))
    return np.pad(counts, ((0, 0), (1, 1)))


def world(seed: int, days: int, phi: float = 0.5, rows: int = 1000) -> tuple[list[int], list[DayCounts]]:
    """Days of six numbers and two categories that move by a weekly season and an AR(1), a tenth of an sd each."""
    random = np.random.default_rng(seed)
    season = np.arange(days) % 7
    made = []
    for n in range(6):
        moved = 0.1 * random.standard_normal(7)[season] + 0.1 * autoregressive(random, days, phi)
        made.append(DayCounts(f"n{n}", "number", numbers(random, moved, rows)))
    for n in range(2):
        moved = 0.1 * random.standard_normal((7, 5))[season] + 0.1 * autoregressive(random, days, phi)[:, None] * np.arange(5)
        shares = np.exp(moved - 0.5 * np.arange(5))
        counts = random.multinomial(rows, shares / shares.sum(axis=1, keepdims=True))
        made.append(DayCounts(f"c{n}", "category", np.pad(counts, ((0, 0), (0, 2)))))
    return list(range(FIRST, FIRST + days)), made


def shifted(seed: int, column: DayCounts, size: float, days: Any) -> DayCounts:
    """The column with its rows moved up by about `size` sd on some days."""
    counts, share = column.counts.copy(), np.cumsum(column.counts[days], axis=1) / column.counts[days].sum(axis=1)[:, None]
    moved = size - ndtri(np.clip(share[:, 8], 0.01, 0.99))  # the middle edge tells where a day's mean lies
    counts[days] = numbers(np.random.default_rng(seed), moved, int(column.counts[0].sum()))
    return DayCounts(column.name, column.kind, counts)


def vars_of(one: Found) -> list[float]:
    return [one.drifted, one.effect, one.smallest, one.strength, one.rows]


def with_column(columns: Any, other: Column) -> list[Column]:
    return [other if one.name == other.name else one for one in columns]


def found_on(quiet: Quiet, at: list[int], columns: Any, day: int) -> dict[str, Found]:
    """What day number `day` shows, by column, from it and the days before."""
    return {one.column: one for one in judge(quiet, at[: day + 1], upto(columns, day + 1))}


def drifted(quiet: Quiet, at: list[int], columns: Any, days: range) -> list[set[str]]:
    """The columns that drifted, day by day."""
    return [{name for name, one in found_on(quiet, at, columns, day).items() if one.drifted} for day in days]


def upto(columns: Any, days: int) -> list[Column]:
    """The first days of some columns."""
    return [
        DayCounts(one.name, one.kind, one.counts[:days])
        if isinstance(one, DayCounts)
        else DayLevels(one.name, one.values[:days], one.rows[:days], one.kind)
        for one in columns
    ]


def reference(at: list[int], columns: Any, days: int = HALF) -> Quiet:
    return calibrate(at[:days], upto(columns, days))


def levels(seed: int, days: int, kind: str = "level") -> tuple[list[int], list[DayLevels]]:
    """Days of one figure: its logarithm moves by 1% (a level), or by a weekly season and 8% (a total)."""
    random = np.random.default_rng(seed)
    season = (0.3 if kind == "total" else 0.005) * random.standard_normal(7)[np.arange(days) % 7]
    values = 5 + season + (0.08 if kind == "total" else 0.01) * autoregressive(random, days, 0.3)
    return list(range(FIRST, FIRST + days)), [DayLevels("x", values, np.full(days, 400), kind)]


def risen(columns: list[DayLevels], ratio: float, days: Any) -> list[DayLevels]:
    values = columns[0].values.copy()
    values[days] += np.log(ratio)
    return [DayLevels("x", values, columns[0].rows, columns[0].kind)]


@pytest.mark.parametrize("rows", [1000, 5000])
@pytest.mark.parametrize("phi", [0.0, 0.5, 0.7])
def test_at_most_about_one_quiet_day_of_a_hundred_alarms(phi: float, rows: int) -> None:
    alarms = []
    for seed in range(101, 113):
        at, columns = world(seed, HALF + 60, phi, rows)
        alarms += drifted(reference(at, columns), at, columns, range(HALF, HALF + 60))
    assert sum(bool(day) for day in alarms) / len(alarms) <= 0.015


@pytest.mark.parametrize("few", [1, 2, 3])
def test_a_table_of_few_columns_alarms_no_more_often(few: int) -> None:
    alarms, left_out = [], []
    for seed in range(101, 121):
        at, columns = world(seed, HALF + 60)
        quiet = reference(at, columns[:few])
        left_out.append(len(quiet.left_out))
        alarms += drifted(quiet, at, columns[:few], range(HALF, HALF + 60))
    assert sum(bool(day) for day in alarms) / len(alarms) <= 0.015
    assert np.mean(left_out) < 0.02 * HALF


@pytest.mark.parametrize(("size", "phi", "rows"), [(0.5, 0.0, 1000), (0.5, 0.7, 5000), (1.0, 0.5, 1000), (-0.5, 0.5, 1000)])
@pytest.mark.parametrize("seed", SEEDS)
def test_a_shift_is_found_within_a_week_and_in_its_column_alone(seed: int, size: float, phi: float, rows: int) -> None:
    at, columns = world(seed, HALF + 30, phi, rows)
    days, quiet = range(HALF + 20, HALF + 27), reference(at, columns)
    moved = with_column(columns, shifted(seed, columns[seed], size, days))
    seen = drifted(quiet, at, moved, days)
    assert f"n{seed}" in set.union(*seen)
    assert f"n{seed}" not in drifted(quiet, at, columns, days)[-1]
    assert all(day <= {f"n{seed}"} for day in seen)
    last = found_on(quiet, at, moved, days[-1])[f"n{seed}"]
    assert last.drifted
    assert last.effect == pytest.approx(abs(size), abs=0.25)
    assert (last.rows, last.kind) == (3 * rows, "number")


def test_a_shift_of_yesterday_has_jumped_and_a_quiet_day_has_not() -> None:
    days, columns = world(31, 191)
    quiet = calibrate(days[:182], [DayCounts(one.name, one.kind, one.counts[:182]) for one in columns])
    moved = shifted(31, columns[2], 1.0, slice(189, None))
    found = judge(quiet, days, [*columns[:2], moved, *columns[3:]])
    assert [(one.column, one.drifted, one.jumped) for one in found[:1]] == [("n2", True, True)]
    assert not any(one.jumped for one in found[1:])


@pytest.mark.parametrize("seed", SEEDS)
def test_a_share_that_moves_to_another_text_is_found(seed: int) -> None:
    at, columns = world(seed, HALF + 10)
    counts = columns[6].counts.copy()
    counts[HALF:, 0] -= 200
    counts[HALF:, -1] += 200  # a fifth of the rows has a new value
    moved = with_column(columns, DayCounts("c0", "category", counts))
    found = found_on(reference(at, columns), at, moved, HALF + 4)["c0"]
    assert found.drifted
    assert found.effect == pytest.approx(0.2, abs=0.1)


@pytest.mark.parametrize("seed", SEEDS)
def test_bad_days_in_the_reference_are_left_out_and_hide_no_later_shift(seed: int) -> None:
    at, columns = world(seed, HALF + 30)
    bad, days = [60, 61, 100], range(HALF + 20, HALF + 27)
    spoiled = [shifted(seed, one, 2.0, bad) if one.kind == "number" else one for one in columns]
    quiet = reference(at, spoiled)
    assert {date.fromordinal(at[day]) for day in bad} <= set(quiet.left_out)
    assert quiet.days == HALF - len(quiet.left_out) >= 0.9 * HALF
    moved = with_column(spoiled, shifted(seed, spoiled[seed], 0.5, days))
    assert f"n{seed}" in set.union(*drifted(quiet, at, moved, days))


def beside_a_mean_of_91_days(seed: int, days: int) -> tuple[list[int], list[Column]]:
    """Five figures of a memory of some days, and a sixth that is the mean of the last 91 days of something."""
    random, rows = np.random.default_rng(seed), np.full(days, 60)
    short: list[Column] = [DayLevels(f"x{n}", 0.1 * autoregressive(random, days, 0.5), rows) for n in range(5)]
    mean = np.convolve(random.standard_normal(days + 90), np.ones(91) / 91**0.5, "valid")
    return list(range(FIRST, FIRST + days)), [*short, DayLevels("mean", 0.1 * mean, rows)]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_column_that_steps_now_and_then_hides_no_jump_of_the_others(seed: int) -> None:
    days = 2 * HALF
    at, columns = world(seed, days, phi=0.0)
    level = 0.002 * np.random.default_rng(seed).standard_normal(days)
    for sale in (20, 65, 130):
        level[sale : sale + 14] += 0.2
    stepping = [*columns, DayLevels("steps", level, np.full(days, 500))]
    assert calibrate(at, stepping).limits[-1] < 2 * calibrate(at, columns).limits[-1]


@pytest.mark.parametrize("seed", [3, 4, 5, 6, 7, 8])
def test_a_column_of_a_far_longer_memory_has_limits_of_its_own(seed: int) -> None:
    at, columns = beside_a_mean_of_91_days(seed, 700)
    quiet = reference(at, columns, 400)
    seen = drifted(quiet, at, columns, range(400, 700))
    assert not any("mean" in one for one in seen)
    widths = {
        one.name: one.scales[1] / np.std(one_.values[:400]) for one in quiet.columns for one_ in columns if one_.name == one.name
    }
    assert widths.pop("mean") > 1.5 * max(widths.values())
    moved = risen_of(columns, "mean", 25.0, slice(500, 700))
    assert sum("mean" in one for one in drifted(quiet, at, moved, range(500, 520))) > 15


def risen_of(columns: list[Column], name: str, sd: float, days: Any) -> list[Column]:
    one = next(one for one in columns if one.name == name)
    assert isinstance(one, DayLevels)
    values = one.values.copy()
    values[days] += sd * np.std(values)
    return with_column(columns, DayLevels(name, values, one.rows, one.kind))


@pytest.mark.parametrize(("days", "phi"), [(1, 0.0), (2, 0.0), (5, 0.0), (40, 0.5), (HALF, 0.95)])
@pytest.mark.parametrize("seed", SEEDS)
def test_with_few_days_or_a_long_memory_nothing_is_called_drift_and_days_are_missing(seed: int, days: int, phi: float) -> None:
    at, columns = world(seed, days + 7, phi)
    quiet = reference(at, columns, days)
    moved = with_column(columns, shifted(seed, columns[0], 2.0, range(days, days + 7)))
    assert not quiet.ready
    assert (quiet.days + quiet.missing) / quiet.tau >= WORTH > (quiet.days + quiet.missing - 1) / quiet.tau
    assert not any(drifted(quiet, at, moved, range(days, days + 7)))


@pytest.mark.parametrize("seed", SEEDS)
def test_enough_days_of_a_short_memory_are_ready_and_none_is_missing(seed: int) -> None:
    at, columns = world(seed, HALF)
    quiet = calibrate(at, columns)
    assert quiet.ready
    assert (quiet.missing, quiet.start, quiet.end) == (0, date(2025, 1, 6), date.fromordinal(FIRST + HALF - 1))


@pytest.mark.parametrize("kind", ["number", "category"])
@pytest.mark.parametrize("days", [18, 20, 56, HALF])
def test_a_constant_that_starts_to_vary_drifts_alone_and_among_others(days: int, kind: str) -> None:
    at, columns = world(1, HALF + 5)
    counts = np.tile([0, 1000, 0], (HALF + 5, 1))
    counts[-5:] = [0, 800, 200]
    same = DayCounts("same", kind, counts)
    alone = DayCounts("same", kind, counts[HALF - days :])
    assert found_on(reference(at, [*columns, same]), at, [*columns, same], HALF + 3)["same"].drifted
    assert found_on(reference(at[: days + 5], [alone], days), at[: days + 5], [alone], days + 3)["same"].drifted
    assert not found_on(reference(at, [*columns, same]), at, [*columns, same], HALF - 1)["same"].drifted


@pytest.mark.parametrize("seed", SEEDS)
def test_the_order_of_columns_changes_nothing(seed: int) -> None:
    at, columns = world(seed, HALF + 10)
    turned = columns[::-1]
    one, other = reference(at, columns), reference(at, turned)
    assert other.limits == pytest.approx(one.limits, rel=1e-12)
    assert other.left_out == one.left_out
    for day in (HALF, HALF + 9):
        found = found_on(other, at, turned, day)
        assert {name: vars_of(it) for name, it in found.items()} == {
            name: pytest.approx(vars_of(it), rel=1e-9, nan_ok=True) for name, it in found_on(one, at, columns, day).items()
        }


@pytest.mark.parametrize("seed", SEEDS)
def test_quiet_days_come_back_from_their_frame_and_judge_the_same(seed: int) -> None:
    at, counted = world(seed, HALF + 10)
    columns = [*counted, *levels(seed, HALF + 10)[1]]
    quiet = reference(at, columns)
    frame = quiet.to_frame()
    back = Quiet.from_frame(frame)
    assert frame.schema == QUIET
    assert (back.start, back.end, back.left_out, back.missing, back.ready) == (quiet.start, quiet.end, quiet.left_out, 0, True)
    assert (back.tau, back.limits) == (quiet.tau, quiet.limits)
    assert found_on(back, at, columns, HALF + 9) == found_on(quiet, at, columns, HALF + 9)
    assert back.to_frame().equals(frame)


@pytest.mark.parametrize("seed", SEEDS)
def test_only_the_last_days_are_looked_at_and_a_column_that_is_gone_is_left_out(seed: int) -> None:
    at, columns = world(seed, HALF + 20)
    quiet = reference(at, columns)
    found = {one.column: one for one in judge(quiet, at, columns[:3])}
    assert found == {name: one for name, one in found_on(quiet, at, columns, HALF + 19).items() if name in {"n0", "n1", "n2"}}
    assert judge(quiet, at, []) == judge(quiet, [], [one.last(0) for one in columns]) == []


@pytest.mark.parametrize("seed", SEEDS)
def test_a_single_day_is_judged_without_a_day_before(seed: int) -> None:
    at, columns = world(seed, HALF + 1)
    found = judge(reference(at, columns), at[-1:], [one.last(1) for one in columns])
    assert len(found) == 8
    assert all(np.isfinite(one.strength) and not one.drifted for one in found)


@pytest.mark.parametrize("seed", SEEDS)
def test_days_without_a_row_are_no_drift_and_a_column_seldom_there_is_not_calibrated(seed: int) -> None:
    at, columns = world(seed, HALF + 10)
    holed, seldom = columns[0].counts.copy(), columns[1].counts.copy()
    holed[::5] = 0
    seldom[np.arange(len(at)) % 5 > 0] = 0
    there = [DayCounts("n0", "number", holed), DayCounts("n1", "number", seldom), *columns[2:]]
    quiet = reference(at, there)
    assert [one.name for one in quiet.columns] == ["n0", *(one.name for one in columns[2:])]
    assert not any("n0" in day for day in drifted(quiet, at, there, range(HALF, HALF + 10)))


@pytest.mark.parametrize("seed", SEEDS)
def test_a_level_that_is_odd_on_one_day_is_no_drift_and_one_7_percent_higher_for_days_is(seed: int) -> None:
    at, columns = levels(seed, HALF + 30)
    quiet, days = reference(at, columns), range(HALF + 18, HALF + 28)
    assert not any(drifted(quiet, at, risen(columns, 1.3, [HALF + 20]), days))
    assert not any(drifted(quiet, at, columns, days))
    higher = risen(columns, 1.07, slice(HALF + 20, None))
    assert any(drifted(quiet, at, higher, range(HALF + 20, HALF + 25)))
    assert found_on(quiet, at, higher, HALF + 26)["x"].effect == pytest.approx(0.07, abs=0.03)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_total_that_falls_by_60_percent_for_days_is_found(seed: int) -> None:
    at, columns = levels(seed, HALF + 30, "total")
    quiet, days = reference(at, columns), range(HALF + 20, HALF + 25)
    fallen = risen(columns, 0.4, slice(HALF + 20, None))
    assert any(drifted(quiet, at, fallen, days))
    assert not any(drifted(quiet, at, columns, days))
    assert found_on(quiet, at, fallen, HALF + 24)["x"].kind == "total"


@pytest.mark.parametrize("seed", SEEDS)
def test_a_difference_below_the_floor_is_no_drift_however_far_beyond_its_limit(seed: int) -> None:
    at, columns = world(seed, HALF + 10)
    moved = with_column(columns, shifted(seed, columns[0], 1.0, range(HALF, HALF + 10)))
    low, high = (judge(reference(at, columns), at, moved, floor) for floor in (0.05, 2.0))
    assert low[0].column == "n0"
    assert low[0].drifted
    assert not any(one.drifted for one in high)
    assert max(one.strength for one in high) > 1
    assert all(one.smallest == 2.0 for one in high)


@pytest.mark.parametrize("days", [[], [2, 1], [1, 1]])
def test_days_that_are_none_or_out_of_order_are_refused(days: list[int]) -> None:
    counts = DayCounts("x", "number", np.ones((len(days), 3), np.int64))
    with pytest.raises(Refused, match=f"A reference of {len(days)} days: give at least one, ascending, each once"):
        calibrate(days, [counts])


def test_counts_of_another_number_of_days_are_refused_by_name() -> None:
    at, columns = world(1, 20)
    with pytest.raises(Refused, match="Counts of n3, x are not of the 20 days given"):
        calibrate(at, [columns[0], columns[3].last(19), DayLevels("x", np.zeros(21), np.ones(21))])


def test_weekdays_are_those_of_the_calendar() -> None:
    days = np.arange(FIRST, FIRST + 400)
    assert weekday(days).tolist() == [date.fromordinal(int(day)).weekday() for day in days]
