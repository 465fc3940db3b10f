"""What the drift benchmark counts is what it says it counts; no peer, no network. How good anything is, is not asserted here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from benchmarks import drift, drift_days, run
from benchmarks.drift_days import Trial, judged, world
from lightkeeper.measure.daily import RECENT, judge
from lightkeeper.measure.deviations import DayCounts
from lightkeeper.measure.quiet_days import calibrate

HISTORY = 84


def cut(columns: Sequence[DayCounts], first: int, last: int) -> list[DayCounts]:
    return [replace(one, counts=one.counts[first:last]) for one in columns]


def answer(**others: Any) -> dict[str, Any]:
    """A peer's answer to two windows of three columns."""
    scores = [[0.5, 0.04, 0.9], [0.5, 0.2, 1e-9]]
    return {"peer": "one", "scores": scores, "flags": [[False, True, False], [False, False, True]],
            "thresholds": [0.05, 0.1, 0.5], "kinds": ["p"] * 3, "methods": ["ks"] * 3, **others}  # fmt: skip


@pytest.mark.parametrize("part", drift.PARTS)
def test_each_part_gives_rows_in_the_form_of_all_benchmarks(part: str) -> None:
    rows = run.adapted("drift", {"rows": list(drift.PARTS[part](True))})
    assert rows
    assert len({row["what"] for row in rows}) == len(rows)
    assert all(row["ours_s"] is not None and 0 <= row["spread"][0] <= row["spread"][1] for row in rows)
    assert all(row["unit"] in {"%", "days", "s", "MB"} and run._cells(row) for row in rows)


@pytest.mark.parametrize(("seed", "memory"), [(1, 0.0), (2, 0.5)])
def test_days_judged_at_once_are_judged_as_the_platform_judges_each_of_them(seed: int, memory: float) -> None:
    made = world(seed, HISTORY + 12, memory, 1_000).moved([3, 21], HISTORY + 4, 0.3)
    quiet = calibrate(made.at[:HISTORY], cut(made.columns, 0, HISTORY))
    found, learning = judged(made, HISTORY)
    assert (quiet.ready, learning) == (True, 0)
    assert found.any()
    for day in range(HISTORY, HISTORY + 12):
        first = day + 1 - RECENT
        told = judge(quiet, made.at[first : day + 1].tolist(), cut(made.columns, first, day + 1))
        drifted = {one.column for one in told if one.drifted}
        assert drifted == {one.name for one, seen in zip(made.columns, found[day - HISTORY], strict=True) if seen}


@pytest.mark.parametrize("seed", [3, 4, 5])
def test_a_column_that_moves_by_a_whole_sd_is_named_within_a_week_and_one_that_does_not_move_never(seed: int) -> None:
    shown = Trial(seed, 0.5, 5_000).shown()
    columns, seen = shown["one number", 1.0]
    assert seen[:, columns].any()
    made = world(seed, HISTORY, 0.5, 5_000)
    quiet = calibrate(made.at, made.columns)
    assert not drift_days.drifts(quiet, made.at, made.moved(columns, HISTORY, 1.0).columns)[:, columns].any()


@pytest.mark.parametrize("memory", [0.0, 0.9])
def test_days_hang_together_as_much_as_is_said_once_their_weekdays_are_taken_off(memory: float) -> None:
    means = world(1, 700, memory, 10).means
    apart = (means.reshape(100, 7, -1) - means.reshape(100, 7, -1).mean(axis=0)).reshape(700, -1)
    lag = [np.corrcoef(one[1:], one[:-1])[0, 1] for one in apart.T]
    assert np.mean(lag) == pytest.approx(memory, abs=0.1)
    assert 0.015 < apart.std(axis=0).min() < apart.std(axis=0).max() < 0.2
    assert np.std(means.reshape(100, 7, -1).mean(axis=0), axis=0).min() > 0.1


def test_a_category_moves_so_much_of_its_mass_and_the_other_columns_stay() -> None:
    made = world(1, 20, 0.5, 100_000)
    moved = made.moved([22], 10, 0.2)
    shares = [each.columns[22].counts / 100_000 for each in (made, moved)]
    apart = np.abs(shares[0] - shares[1]).sum(axis=1) / 2
    assert apart[:10].max() == 0
    assert apart[10:] == pytest.approx(np.full(10, 0.2), abs=0.01)
    assert sum(one is not other for one, other in zip(made.columns, moved.columns, strict=True)) == 1


def test_days_that_cannot_be_judged_are_learning_and_not_quiet() -> None:
    found, learning = judged(world(1, 30, 0.5, 1_000), 14)
    assert learning > 0
    assert not found[:learning].any()
    row = drift_days.Cell(2, 0.9, 1_000, seeds=1, days=7).row()
    assert (row["ours_s"], row["theirs_s"], row["n"]) == (None, 100.0, 0)


def test_the_most_telling_column_is_the_least_p_or_the_largest_distance_in_its_own_limit() -> None:
    flagged, odd = drift.told(answer())
    assert flagged.tolist() == [True, True]
    assert odd == pytest.approx([-np.log10(0.04), 9.0])
    assert drift.told(answer(kinds=["distance"] * 3))[1] == pytest.approx([10.0, 10.0])
    with pytest.raises(ValueError, match="mixes"):
        drift.told(answer(kinds=["p", "p", "distance"]))


def test_one_in_a_hundred_windows_of_those_that_set_the_limit_reaches_it_and_none_goes_beyond_the_largest_of_few() -> None:
    telling = np.random.default_rng(1).permutation(1_000).astype(np.float64)
    sides = [drift.Answer({}, {"calibrating": telling[:n], "quiet": telling[:n]}) for n in (1_000, 50)]
    assert [int(one.beyond("quiet").sum()) for one in sides] == [9, 0]


def test_a_reference_and_windows_of_each_sort_follow_from_a_number_and_share_no_draw() -> None:
    reference, sets = drift.Asked(1, 2, 1, 2).sets(3)
    again = drift.Asked(1, 2, 1, 2).sets(3)[1]
    assert reference.shape == (drift.REFERENCE, 25)
    assert {sort: len(one) for sort, one in sets.items()} == {"calibrating": 2, "quiet": 1} | dict.fromkeys(
        ["0.1", "0.2", "0.3", "0.5", "1"], 2
    )
    assert all(np.array_equal(one, again[sort]) for sort, one in sets.items())
    assert not np.isin(sets["calibrating"][:, :, 0], [*reference[:, 0], *sets["quiet"][:, :, 0].ravel()]).any()
