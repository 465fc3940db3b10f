"""What may ask for a retraining, as the states of checks tell it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from lightkeeper.lake.table import Lake
from lightkeeper.lake.verdicts import Judged, record
from lightkeeper.values import TableVersion, Verdict
from lightkeeper.watch.situation import Learner, situations
from tests.lightkeeper.lamps import LAMPS

FIRST = date(2026, 3, 2)
DRIFTS = Verdict("drift", "drifted", "price: off by 40%.", 0.4, 0.1, 60, "price")
QUIET = replace(DRIFTS, state="passed")


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path, clock=lambda: datetime(2026, 4, 1, 6, tzinfo=UTC))


def asks_after(lake: Lake, *seen: list[Verdict]) -> list[tuple[str, date]]:
    """What asks once the table was looked at on so many days, one after the other; each look with what it found."""
    for day, found in enumerate(seen):
        record(lake, [Judged(TableVersion("lamp_features", day), FIRST + timedelta(day), verdicts=tuple(found))])
    return [(one.check, one.since) for one in situations(lake, [Learner(LAMPS, ("lamp_features",))])["lamps"].causes]


def of(column: str) -> Verdict:
    return replace(DRIFTS, column=column)


@pytest.mark.parametrize(("days", "asks"), [(4, []), (5, [("drift", FIRST)]), (9, [("drift", FIRST)])])
def test_a_drift_asks_when_it_has_lasted_five_days_and_is_as_old_as_it_is(lake: Lake, days: int, asks: list[object]) -> None:
    assert asks_after(lake, *[[DRIFTS]] * days) == asks


def test_a_drift_that_rests_for_a_day_begins_anew(lake: Lake) -> None:
    assert asks_after(lake, *[[DRIFTS]] * 4, [QUIET], *[[DRIFTS]] * 4) == []


def test_a_look_that_could_not_judge_ends_no_drift(lake: Lake) -> None:
    failed = Verdict("drift", "unknown", "The look failed.")
    assert asks_after(lake, *[[DRIFTS]] * 3, [failed], [DRIFTS]) == [("drift", FIRST)]


@pytest.mark.parametrize(
    ("check", "days", "asks"), [("coverage_80", 4, False), ("coverage_80", 5, True), ("accuracy", 1, True), ("age", 1, True)]
)
def test_of_the_checks_on_outcomes_only_coverage_must_last(lake: Lake, check: str, days: int, *, asks: bool) -> None:
    failed = Verdict(check, "failed", "It was measured.", 0.7, 0.74, 40)
    for day in range(days):
        record(lake, [Judged(TableVersion("lamps_outcome", day), FIRST + timedelta(day), verdicts=(failed,))])
    found = situations(lake, [Learner(LAMPS, ("lamp_features",))])["lamps"].causes
    assert [(one.check, one.since) for one in found] == ([(check, FIRST)] if asks else [])


def test_a_column_that_is_never_judged_keeps_no_old_drift_alive(lake: Lake) -> None:
    never = Verdict("drift", "unknown", "wick has no values.", column="wick")
    assert asks_after(lake, [DRIFTS, never], *[[QUIET, never]] * 7, [DRIFTS, never]) == []
    assert asks_after(lake, *[[QUIET, never]] * 9, *[[DRIFTS, never]] * 5) == [("drift", FIRST + timedelta(9))]


@pytest.mark.parametrize(("column", "asks"), [("colour", []), ("units", [("drift", FIRST)])], ids=["unused", "the target"])
def test_only_drift_of_what_the_model_learns_from_asks(lake: Lake, column: str, asks: list[object]) -> None:
    assert asks_after(lake, *[[of(column)]] * 6) == asks


@pytest.mark.parametrize(("days", "asks"), [(4, []), (5, [("drift", FIRST + timedelta(10))])])
def test_a_drift_beside_an_older_one_of_another_column_has_its_own_age(lake: Lake, days: int, asks: list[object]) -> None:
    assert asks_after(lake, *[[of("colour")]] * 10, *[[of("colour"), DRIFTS]] * days) == asks
