"""The sensor `alerts`: sends what is due, and says what it did. It raises no alert and judges nothing."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime

import dagster as dg

from lightkeeper.alerts import kept
from lightkeeper.alerts.alert import ROLES
from lightkeeper.alerts.post import named
from lightkeeper.alerts.sending import VARIABLES, Delivered, deliver, targets
from lightkeeper.home import Home
from lightkeeper.lake.table import Lake

__all__ = ["alerts_sensor"]

_DEADLINE = 15.0  # seconds of a tick that sending may take, so that the daemon is never kept longer than 20
_NAMED = 3  # failures in a message
_QUIET = "Nothing is to be sent."


def alerts_sensor(open_lake: Callable[[], Lake], home: Home) -> dg.SensorDefinition:
    """The sensor that sends alerts. A tick without news reads the number of the ledger's last version, and no row.

    Args:
        open_lake: gives the lake, when a tick needs it.
        home: whose alerts are sent; without one there is nothing to do.
    """

    @dg.sensor(
        name="alerts",
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Sends alerts to those whom LIGHTKEEPER_ALERT_IT and its like name, and tries again what failed.",
    )
    def alerts(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        if not home.exists:
            return dg.SkipReason(home.none_yet)
        lake = open_lake()
        seen = kept.version(lake)
        named_now = [name for role in ROLES for name in named(targets(role, os.environ))]
        if seen is None or _nothing_new(context.cursor, seen, named_now, lake.clock()):
            return dg.SkipReason(_QUIET)
        done = deliver(lake, os.environ, deadline_seconds=_DEADLINE)
        following = kept.next_due(lake, lake.clock())
        context.update_cursor(json.dumps({"version": seen, "next": following and following.isoformat(), "named": named_now}))
        return dg.SkipReason(_sentence(done))

    return alerts


def _nothing_new(cursor: str | None, version: int, named_now: list[str], now: datetime) -> bool:
    """Whether the ledger, the addresses and the time are such that the last look found all there is to do."""
    before = _load(cursor)
    if (before.get("version"), before.get("named")) != (version, named_now):
        return False
    following = before.get("next")
    return following is None or now < datetime.fromisoformat(str(following))


def _load(cursor: str | None) -> Mapping[str, object]:
    """What was remembered; nothing when another release wrote it: then the ledger is read."""
    try:
        found = json.loads(cursor or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _sentence(done: Delivered) -> str:
    counts = ", ".join(_counts(done))
    if not counts:
        return _QUIET
    more = len(done.said) - _NAMED
    said = " ".join(done.said[:_NAMED]) + (f" And {more} more." if more > 0 else "")
    return f"{counts}: {said}" if said else f"{counts}."


def _counts(done: Delivered) -> Iterator[str]:
    words = (
        (done.sent, "sent"),
        (done.failed, "failed"),
        (done.given_up, "given up"),
        (done.left, "left for the next tick"),
        (done.nobody, f"kept because nobody is named ({VARIABLES['it']})"),
    )
    yield from (f"{number} {word}" for number, word in words if number)
