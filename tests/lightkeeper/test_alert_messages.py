"""What is due when, from the rows of the ledger alone: also where a clock has jumped ahead and back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from lightkeeper.alerts.kept import alerts, claimed, ended, raised
from lightkeeper.alerts.messages import BACK_OFF, VOID, Told, due_of, next_of, told
from lightkeeper.lake.table import Lake

NOW = datetime(2026, 3, 2, 6, tzinfo=UTC)
AHEAD = NOW + timedelta(days=365)
ALERT = {
    "key": "drift:sales:1", "cause": "drift", "asset": "sales", "episode": "1", "role": "it", "symptom": "sales has drifted",
    "since": None, "why": "It moved.", "effect": "", "done": "", "to_do": "", "links": [], "owners": [], "said": None,
}  # fmt: skip


def ledger(*events: tuple[str, datetime]) -> dict[str, Told]:
    raised = {**ALERT, "event": "raised", "at": events[0][1], "message": None, "target": None}
    sent: list[dict[str, Any]] = [
        {"key": ALERT["key"], "event": event, "at": at, "message": "raised", "target": "mail", "said": None}
        for event, at in events[1:]
    ]
    return told([raised, *sent])


def test_what_failed_waits_for_its_back_off() -> None:
    failed = ledger(("raised", NOW), ("claimed", NOW), ("failed", NOW))
    assert due_of(failed, NOW) == []
    assert next_of(failed, NOW) == NOW + BACK_OFF[0]
    assert [one.targets for one in due_of(failed, NOW + BACK_OFF[0])] == [("mail",)]


def test_what_failed_by_a_clock_that_has_gone_back_is_tried_now_and_a_minute_later() -> None:
    failed = ledger(("raised", AHEAD), ("claimed", AHEAD), ("failed", AHEAD))
    assert [one.targets for one in due_of(failed, NOW)] == [("mail",)]
    assert next_of(failed, NOW) == NOW + BACK_OFF[0]


def test_what_was_raised_or_put_back_by_a_clock_that_has_gone_back_is_due() -> None:
    assert [one.targets for one in due_of(ledger(("raised", AHEAD)), NOW)] == [None]
    back = ledger(("raised", AHEAD), ("claimed", AHEAD), ("put_back", AHEAD))
    assert [one.targets for one in due_of(back, NOW)] == [("mail",)]


def test_the_ledger_gives_it_out_again_though_its_own_time_stays_ahead(tmp_path: Path) -> None:
    now = [AHEAD]
    lake = Lake(tmp_path, clock=lambda: now[0])
    raised(lake, next(iter(ledger(("raised", AHEAD)).values())).alert)
    ((due, target),) = claimed(lake, {"it": ["mail"]}, "one")[0]
    ended(lake, [(due, target, "failed", "It does not answer.")], "one")
    assert claimed(lake, {"it": ["mail"]}, "one")[0] == []
    now[0] = NOW
    assert [target for _, target in claimed(lake, {"it": ["mail"]}, "one")[0]] == ["mail"]
    assert alerts(lake).rows()["at"].to_list() == [AHEAD] * 4


@pytest.mark.parametrize("at", [NOW, AHEAD])
def test_what_another_process_has_claimed_is_its_own_until_the_claim_is_void(at: datetime) -> None:
    claimed = ledger(("raised", at), ("claimed", at))
    assert due_of(claimed, NOW) == []
    assert len(due_of(claimed, at + VOID)) == 1
