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


def asks_after(lake: Lake, *seen: Verdict) -> list[tuple[str, date]]:
    """What asks once the table was looked at on so many days, one after the other."""
    for day, one in enumerate(seen):
        record(lake, [Judged(TableVersion("lamp_features", day), FIRST + timedelta(day), verdicts=(one,))])
    return [(one.check, one.since) for one in situations(lake, [Learner(LAMPS, ("lamp_features",))])["lamps"].causes]


def test_a_drift_asks_when_it_has_lasted_five_days_and_is_as_old_as_it_is(lake: Lake) -> None:
    assert asks_after(lake, *[DRIFTS] * 4) == []
    assert asks_after(lake, *[DRIFTS] * 5) == [("drift", FIRST)]


def test_a_drift_that_rests_for_a_day_begins_anew(lake: Lake) -> None:
    assert asks_after(lake, *[DRIFTS] * 4, QUIET, *[DRIFTS] * 4) == []


def test_a_drift_of_what_the_model_does_not_learn_from_does_not_ask(lake: Lake) -> None:
    assert asks_after(lake, *[replace(DRIFTS, column="colour")] * 6) == []
    assert asks_after(lake, *[replace(DRIFTS, column="units")] * 6) == [("drift", FIRST)]  # its target
