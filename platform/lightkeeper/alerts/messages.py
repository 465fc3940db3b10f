"""What the rows of the ledger amount to: how each alert stands, and what is to be sent where, when. Pure: rows in, values out.

A message is an alert `raised` or `solved`. Whom it goes to is settled when somebody first sets out to send it, so that an address
named later is not told of what is long known. Back-off, claims and giving up are counted here; rows are written in `kept`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

from lightkeeper.alerts.alert import Alert

__all__ = ["ATTEMPTS", "BACK_OFF", "VOID", "Due", "Sending", "Told", "due_of", "next_of", "told"]

BACK_OFF = tuple(timedelta(minutes=one) for one in (1, 5, 30, 120, 720))  # after the first failure, the second ...
ATTEMPTS = len(BACK_OFF) + 1
VOID = timedelta(minutes=5)  # after so long a claim without an outcome is that of a process that died

RAISED, SOLVED = "raised", "solved"


@dataclass(slots=True)
class Sending:
    """One message on its way to one target. `state` is waiting, claimed, failed, sent or given_up; `at` since when."""

    at: datetime
    state: str = "waiting"
    attempts: int = 0
    said: str | None = None

    def follow(self, row: Mapping[str, Any]) -> None:
        """One more event. What was sent stays sent, whatever is said of it later."""
        if self.state == "sent":
            return
        event, self.at = row["event"], row["at"]
        self.attempts += {"claimed": 1, "put_back": -1}.get(event, 0)
        self.state = "waiting" if event == "put_back" else event
        self.said = row["said"] or self.said

    def next_at(self, now: datetime) -> datetime | None:
        """When it may be tried; None when it is over. What failed later than now, by a clock that has gone back, may be at once."""
        if self.state in {"sent", "given_up"}:
            return None
        if self.state == "failed":
            if self.at > now:
                return now
            return self.at + BACK_OFF[min(self.attempts, len(BACK_OFF)) - 1]
        return self.at + VOID if self.state == "claimed" else min(self.at, now)


@dataclass(slots=True)
class Told:
    """One alert as its events tell it. `nobody` is set once there was nobody to send it to."""

    raised: Mapping[str, Any]
    solved: Mapping[str, Any] | None = None
    acknowledged: Mapping[str, Any] | None = None
    nobody: bool = False
    sendings: dict[tuple[str, str], Sending] = field(default_factory=dict)  # by message and target

    def follow(self, row: Mapping[str, Any]) -> None:
        """One more event."""
        event = row["event"]
        if event == SOLVED:
            self.solved = row
        elif event == "acknowledged":
            self.acknowledged = row
        elif event == "nobody":
            self.nobody = True
        elif event != RAISED:
            self.sendings.setdefault((row["message"], row["target"]), Sending(row["at"])).follow(row)

    @property
    def alert(self) -> Alert:
        """As it was raised."""
        row = self.raised
        return Alert(
            cause=row["cause"], asset=row["asset"], episode=row["episode"], role=row["role"], symptom=row["symptom"],
            since=_since(row["since"]), why=row["why"], effect=row["effect"], done=row["done"], to_do=row["to_do"],
            links=tuple(row["links"]), owners=tuple(row["owners"]),
        )  # fmt: skip

    @property
    def state(self) -> str:
        """Open, acknowledged or solved."""
        return "solved" if self.solved else "acknowledged" if self.acknowledged else "open"

    @property
    def delivery(self) -> str:
        """The worst of what became of its messages: failing, given_up, waiting, sent; nobody where nobody was told."""
        if self.solved and not self._reached:
            return "nobody"
        states = {self._now(message, one.state) for (message, _), one in self.sendings.items()}
        if self.solved and any((SOLVED, target) not in self.sendings for target in self._reached):
            states.add("waiting")
        if not states:
            return "nobody" if self.nobody else "waiting"
        return min(states, key=("failing", "given_up", "waiting", "sent").index)

    def _now(self, message: str, state: str) -> str:
        """One sending's state in the words of `delivery`: a raised message that did not arrive before it was solved is given up."""
        if self.solved and message == RAISED:
            return "sent" if state == "sent" else "given_up"
        return {"failed": "failing", "claimed": "waiting"}.get(state, state)

    @property
    def _reached(self) -> list[str]:
        return [target for (message, target), one in self.sendings.items() if message == RAISED and one.state == "sent"]

    def unsent(self, now: datetime) -> Iterator[tuple[str, str | None, datetime]]:
        """Message, target and the time from which it may be sent; target None where whom it goes to is not settled yet."""
        if self.solved:
            new = [target for target in self._reached if (SOLVED, target) not in self.sendings]
            yield from ((SOLVED, target, now) for target in new)
        elif not self.sendings:
            yield RAISED, None, now
        wanted = SOLVED if self.solved else RAISED
        for (message, target), one in self.sendings.items():
            at = one.next_at(now)
            if message == wanted and at is not None:
                yield message, target, at


@dataclass(frozen=True, slots=True)
class Due:
    """One message that may be sent now.

    Attributes:
        alert: what it is about.
        message: "raised" or "solved".
        why: it is solved; empty for a raised one.
        targets: where to, by name; None where whom it goes to is not settled yet: all that its role names.
        attempts: by target, how often it was tried.
        nobody: whether it is kept already that nobody is named for its role.
    """

    alert: Alert
    message: str
    why: str = ""
    targets: tuple[str, ...] | None = None
    attempts: Mapping[str, int] = field(default_factory=dict)
    nobody: bool = False


def told(rows: Iterable[Mapping[str, Any]]) -> dict[str, Told]:
    """Each alert by its key, oldest first, from the ledger's rows in their order."""
    found: dict[str, Told] = {}
    for row in rows:
        found.setdefault(row["key"], Told(row)).follow(row)
    return found


def due_of(alerts: Mapping[str, Told], now: datetime) -> list[Due]:
    """What may be sent at a moment, oldest first."""
    found = []
    for one in alerts.values():
        ripe = [(message, target) for message, target, at in one.unsent(now) if at <= now]
        if ripe:
            found.append(_due(one, ripe))
    return found


def _due(one: Told, ripe: list[tuple[str, str | None]]) -> Due:
    message = ripe[0][0]
    targets = tuple(target for _, target in ripe if target is not None)
    attempts = {target: one.sendings[message, target].attempts for target in targets if (message, target) in one.sendings}
    why = one.solved["said"] if one.solved else ""
    return Due(one.alert, message, why, targets or None, attempts, one.nobody)


def next_of(alerts: Mapping[str, Told], now: datetime) -> datetime | None:
    """The first moment after `now` at which something more may be sent; None when time alone changes nothing.

    What failed by a clock that has gone back since is due at once, and again after the first back-off.
    """
    back = now + BACK_OFF[0]
    rewound = [back for one in alerts.values() if any(each.state == "failed" and each.at > now for each in one.sendings.values())]
    return min([*(at for one in alerts.values() for _, _, at in one.unsent(now) if at > now), *rewound], default=None)


def _since(kept: str | None) -> date | datetime | None:
    if kept is None:
        return None
    return datetime.fromisoformat(kept) if "T" in kept else date.fromisoformat(kept)
