"""What may ask for a retraining, as the states of checks tell it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from lightkeeper.lake.ledger import Ledger
from lightkeeper.lake.suspects import follow
from lightkeeper.lake.table import Lake
from lightkeeper.lake.verdicts import STATE, Judged, record
from lightkeeper.measure.level_shift import CHECK as LEVEL_SHIFT
from lightkeeper.models.decisions import promoted
from lightkeeper.values import Decision, TableVersion, Verdict
from lightkeeper.watch.situation import Learner, situations
from tests.clock import Clock
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


def test_a_drift_that_a_promotion_has_answered_asks_when_it_is_seen_again(lake: Lake) -> None:
    assert asks_after(lake, *[[DRIFTS]] * 6)
    later = Lake(lake.store.root, clock=lambda: datetime(2026, 4, 1, 7, tzinfo=UTC))  # type: ignore[attr-defined]
    promoted(later, Decision("lamps", "promoted", 2, "run", "better", code="better"))
    assert asks_after(later) == []
    record(later, [Judged(TableVersion("lamp_features", 7), FIRST + timedelta(7), verdicts=(DRIFTS,))])
    assert asks_after(later) == [("drift", FIRST)]


def test_a_drift_that_an_earlier_build_saw_is_as_old_when_it_is_seen_again(lake: Lake) -> None:
    before = {name: dtype for name, dtype in STATE.items() if name != "columns_since"}
    held = {"since": FIRST, "failing": 9, "columns": ["price"], "day": FIRST + timedelta(8), "version": 0, "known_at": lake.clock()}
    row = {"asset": "lamp_features", "check": "drift", "state": "drifted", "why": "price moved.", **held}
    Ledger(lake.store, "states", before).add([row])
    record(lake, [Judged(TableVersion("lamp_features", 1), FIRST + timedelta(9), verdicts=(DRIFTS,))])
    assert asks_after(lake) == [("drift", FIRST)]


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


# -- of whom a verdict is ---------------------------------------------------------------------------------------


def test_a_promotion_by_a_clock_that_jumped_ahead_does_not_blind_the_model_until_that_day_comes(tmp_path: Path) -> None:
    clock = Clock(datetime(2026, 7, 1, 6, tzinfo=UTC))
    lake, learner = Lake(tmp_path, clock=clock), Learner(LAMPS, ("lamp_features",))
    failed = Verdict("accuracy", "failed", "The loss is 2.1 x the backtest's.", 2.1, 1.3, 14)
    moves = Verdict(LEVEL_SHIFT, "drifted", "It is followed.", 1.4, n=7)

    def known(day: int, at: datetime) -> tuple[int, float]:
        clock.now = at
        record(lake, [Judged(TableVersion("lamps_outcome", day), FIRST + timedelta(day), verdicts=(failed, moves))])
        found = situations(lake, [learner])["lamps"]
        return len(found.causes), found.level_factor

    assert known(0, clock.now) == (1, 1.4)
    promoted(lake, Decision("lamps", "promoted", 2, "user ada", "this one"))
    clock.now -= timedelta(90)
    assert situations(lake, [learner])["lamps"].causes == ()  # reached before it, in the same hour ahead
    for day in (1, 30, 59):
        assert known(day, datetime(2026, 4, 2, 6, tzinfo=UTC) + timedelta(day)) == (1, 1.4)
    assert known(95, datetime(2026, 7, 6, 6, tzinfo=UTC)) == (1, 1.4)


def test_a_model_with_a_short_horizon_waits_for_the_days_that_its_gate_needs(lake: Lake) -> None:
    short = replace(LAMPS, horizon=7)
    assert situations(lake, [Learner(short, ("lamp_features",))])["lamps"].judged_days == short.promote_if.least_days


# -- why data must not be learnt from ---------------------------------------------------------------------------


def bad(lake: Lake, *raw: str) -> tuple[str, ...]:
    """Why the lamps must not learn now; of their tables those are landed."""
    return tuple(one.why for one in situations(lake, [Learner(LAMPS, ("lamp_features", "sales"), raw)])["lamps"].broken)


def seen(lake: Lake, asset: str, verdict: Verdict, days: int = 1) -> None:
    for day in range(days):
        record(lake, [Judged(TableVersion(asset, day), FIRST + timedelta(day), verdicts=(verdict,))])


@pytest.mark.parametrize("raw", [(), ("sales",)], ids=["made here", "landed"])
def test_a_late_table_holds_a_retraining_and_one_that_came_does_not(lake: Lake, raw: tuple[str, ...]) -> None:
    late = Verdict("freshness", "failed", "2026-03-01 is the newest day, over for 50 hours.", 50.0, 30.0, 60)
    seen(lake, "sales", late)
    assert bad(lake, *raw) == ("sales is late: 2026-03-01 is the newest day, over for 50 hours.",)
    seen(lake, "sales", replace(late, state="passed"), days=2)
    assert bad(lake, *raw) == ()


def test_a_late_table_of_another_model_holds_nothing(lake: Lake) -> None:
    seen(lake, "prices", Verdict("freshness", "failed", "It is late.", 50.0, 30.0, 60))
    assert bad(lake) == ()


@pytest.mark.parametrize("check", ["contract", "volume", "nulls", "categories", "range", "duplicates"])
@pytest.mark.parametrize(("days", "holds"), [(1, True), (2, True), (3, False)])
def test_values_that_fail_hold_a_retraining_for_two_days_and_are_the_world_from_the_third(
    lake: Lake, check: str, days: int, *, holds: bool
) -> None:
    seen(lake, "sales", Verdict(check, "failed", "12 of 400 rows.", 0.03, 0.01, 400), days)
    said = f"sales {check} fails since {FIRST}, which may be a broken file: 12 of 400 rows."
    assert bad(lake, "sales") == ((said,) if holds else ())


@pytest.mark.parametrize(("raw", "check", "state"), [((), "range", "failed"), (("sales",), "drift", "failed")])
def test_only_values_of_a_landed_table_say_that_a_file_is_broken(lake: Lake, raw: tuple[str, ...], check: str, state: Any) -> None:
    seen(lake, "sales", Verdict(check, state, "12 of 400 rows.", 0.03, 0.01, 400))
    assert bad(lake, *raw) == ()


def test_a_suspect_day_of_a_landed_table_holds_a_retraining(lake: Lake) -> None:
    broken = Verdict("range", "failed", "400 of 400 rows.", 1.0, 0.01, 400)
    follow(lake, [Judged(TableVersion("sales", 0), FIRST, verdicts=(broken,))])
    assert bad(lake, "sales") == (f"sales of {FIRST} is suspect: 400 of 400 rows.",)
    assert bad(lake) == ()


def test_what_is_wrong_is_told_by_its_kind_table_and_day(lake: Lake) -> None:
    broken = Verdict("range", "failed", "400 of 400 rows.", 1.0, 0.01, 400)
    follow(lake, [Judged(TableVersion("sales", 0), FIRST, verdicts=(broken,))])
    seen(lake, "sales", broken)
    seen(lake, "lamp_features", Verdict("freshness", "failed", "It is late.", 50.0, 30.0, 60))
    found = situations(lake, [Learner(LAMPS, ("sales", "lamp_features"), ("sales",))])["lamps"]
    assert [(one.kind, one.table, one.day) for one in found.broken] == [
        ("suspect", "sales", FIRST),
        ("values", "sales", FIRST),
        ("late", "lamp_features", FIRST),
    ]
