"""The ledger of alerts: raised, sent, acknowledged, solved. Rows are only added, and time never goes back in it.

What the rows amount to stands in `messages`; how something is sent, in `sending`. All times are the lake's clock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from difflib import get_close_matches
from typing import Any

import polars as pl

from lightkeeper.alerts.alert import Alert
from lightkeeper.alerts.messages import ATTEMPTS, Due, Told, due_of, next_of, told
from lightkeeper.errors import Refused
from lightkeeper.lake.ledger import Ledger
from lightkeeper.lake.table import Lake
from lightkeeper.lake.versions import newest_of

__all__ = [
    "EVENTS", "acknowledged", "alerts", "claimed", "due", "ended", "known", "next_due", "raised", "solved", "standing", "version",
]  # fmt: skip

EVENTS = ("raised", "nobody", "claimed", "put_back", "sent", "failed", "given_up", "acknowledged", "solved")

_UTC, _TEXT, _TEXTS = pl.Datetime("us", "UTC"), pl.String(), pl.List(pl.String())
_ALERT: dict[str, pl.DataType] = {
    "cause": _TEXT, "asset": _TEXT, "episode": _TEXT, "role": _TEXT, "symptom": _TEXT, "since": _TEXT, "why": _TEXT,
    "effect": _TEXT, "done": _TEXT, "to_do": _TEXT, "links": _TEXTS, "owners": _TEXTS,
}  # fmt: skip
_EVENT: dict[str, pl.DataType] = {
    "at": _UTC, "key": _TEXT, "event": _TEXT, **_ALERT, "message": _TEXT, "target": _TEXT, "by": _TEXT, "said": _TEXT,
}  # fmt: skip
_STANDING: dict[str, pl.DataType] = {
    "key": _TEXT, **_ALERT, "raised_at": _UTC, "state": _TEXT, "acknowledged_by": _TEXT, "acknowledged_why": _TEXT,
    "solved_at": _UTC, "solved_why": _TEXT, "delivery": _TEXT, "attempts": pl.Int64(), "last_error": _TEXT,
}  # fmt: skip


def alerts(lake: Lake) -> Ledger:
    """Every event, in the order in which they were added. Fields of the alert stand in its row `raised` alone."""
    return Ledger(lake.store, "alerts", _EVENT)


def version(lake: Lake) -> int | None:
    """A number that grows with every event; None before the first. Reads no row."""
    return newest_of(lake.store, alerts(lake).path)


def raised(lake: Lake, alert: Alert) -> bool:
    """Keep an alert, to be sent; False when its key was raised before, even if it is solved: one alert an episode."""

    def rule(there: Mapping[str, Told], _: datetime) -> Iterator[dict[str, object]]:
        if alert.key not in there:
            since = None if alert.since is None else alert.since.isoformat()
            row = {name: getattr(alert, name) for name in _ALERT} | {"links": list(alert.links), "owners": list(alert.owners)}
            yield row | {"key": alert.key, "event": "raised", "since": since}

    return not _noted(lake, rule).is_empty()


def solved(lake: Lake, cause: str, asset: str, why: str, episode: str | None = None) -> list[str]:
    """Close every alert of a cause and asset, or of one episode, that is not closed; their keys. Raises Refused without a why."""
    said = _sentence(why, f"{cause}:{asset}", "an alert is solved by something")

    def rule(there: Mapping[str, Told], _: datetime) -> Iterator[dict[str, object]]:
        for key, one in there.items():
            mine = one.raised["cause"] == cause and one.raised["asset"] == asset
            if mine and one.solved is None and episode in {None, one.raised["episode"]}:
                yield {"key": key, "event": "solved", "role": one.raised["role"], "said": said}

    return list(_noted(lake, rule)["key"])


def acknowledged(lake: Lake, key: str, who: str, why: str) -> None:
    """A person has seen to an alert. Raises Refused: no such alert, naming the nearest; solved or acknowledged already; no why."""
    said = _sentence(why, key, "whoever acknowledges says why")

    def rule(there: Mapping[str, Told], _: datetime) -> Iterator[dict[str, object]]:
        one = there[known(key, list(there))]
        if one.solved is not None:
            raise Refused(f"{key} was solved on {one.solved['at']:%Y-%m-%d %H:%M} UTC already: {one.solved['said']}")
        if one.acknowledged is not None:
            when, by = one.acknowledged["at"], one.acknowledged["by"]
            raise Refused(f"{key} was acknowledged on {when:%Y-%m-%d %H:%M} UTC already, by {by}: {one.acknowledged['said']}")
        yield {"key": key, "event": "acknowledged", "role": one.raised["role"], "by": who, "said": said}

    _noted(lake, rule)


def known(key: str, there: Sequence[str]) -> str:
    """`key` if it is among the keys of alerts. Raises Refused, naming the nearest."""
    if key in there:
        return key
    near = get_close_matches(key, there, 1, 0.4)
    mend = f"Did you mean {near[0]}?" if near else "Look: lightkeeper alert list --all" if there else "None was raised yet."
    raise Refused(f"There is no alert {key!r}. {mend}")


def standing(lake: Lake) -> pl.DataFrame:
    """One row an alert, oldest first: what it says, its state, and what became of its sending.

    `since` is ISO 8601 text, a day or a moment. `state` is open, acknowledged or solved. `delivery` is the worst of its messages:
    failing, given_up, waiting, sent; nobody where nobody is named or nobody was told before it was solved. `attempts` is the most
    that one message needed at one target; `last_error` is null where nothing failed.
    """
    rows = [_stands(key, one) for key, one in told(_rows(alerts(lake).rows())).items()]
    return pl.DataFrame(rows, schema=_STANDING, orient="row")


def _stands(key: str, one: Told) -> dict[str, object]:
    sendings = sorted(one.sendings.values(), key=lambda sending: sending.at)
    errors = [sending.said for sending in sendings if sending.said]
    ack, end = one.acknowledged or {}, one.solved or {}
    return {
        "key": key, **{name: one.raised[name] for name in _ALERT}, "raised_at": one.raised["at"], "state": one.state,
        "acknowledged_by": ack.get("by"), "acknowledged_why": ack.get("said"), "solved_at": end.get("at"),
        "solved_why": end.get("said"), "delivery": one.delivery,
        "attempts": max((sending.attempts for sending in sendings), default=0), "last_error": errors[-1] if errors else None,
    }  # fmt: skip


# -- sending ----------------------------------------------------------------------------------------------------


def due(lake: Lake, now: datetime) -> list[Due]:
    """The messages that may be sent at a moment (UTC), oldest first; reads the whole ledger."""
    return due_of(told(_rows(alerts(lake).rows())), now)


def next_due(lake: Lake, now: datetime) -> datetime | None:
    """The first moment after `now` at which more may be sent; None when time alone changes nothing."""
    return next_of(told(_rows(alerts(lake).rows())), now)


def claimed(lake: Lake, names: Mapping[str, Sequence[str]], by: str) -> tuple[list[tuple[Due, str]], pl.DataFrame]:
    """Take what is due, so that no other process sends it; and the rows that were added.

    Args:
        lake: where the ledger stands.
        names: the targets of each role, by name.
        by: who will send.

    Returns:
        Each message with one target that it was claimed for; a claim without an outcome is void after 5 minutes.
    """
    mine: list[Due] = []

    def rule(there: Mapping[str, Told], now: datetime) -> Iterator[dict[str, object]]:
        mine[:] = due_of(there, now)
        for one in mine:
            yield from _claims(one, names[one.alert.role], by)

    rows = _noted(lake, rule)
    taken = rows.filter(pl.col("event") == "claimed").select("key", "target").iter_rows()
    by_key = {one.alert.key: one for one in mine}
    return [(by_key[key], target) for key, target in taken], rows


def _claims(one: Due, named: Sequence[str], by: str) -> Iterator[dict[str, object]]:
    row: dict[str, object] = {"key": one.alert.key, "role": one.alert.role, "message": one.message, "by": by}
    for target in named if one.targets is None else one.targets:
        if target not in named:
            yield row | {"event": "given_up", "target": target, "said": f"{target} is no longer named for {one.alert.role}."}
        elif one.attempts.get(target, 0) >= ATTEMPTS:
            yield row | {"event": "given_up", "target": target, "said": f"{ATTEMPTS} attempts, and no outcome of the last."}
        else:
            yield row | {"event": "claimed", "target": target}
    if one.targets is None and not named and not one.nobody:
        yield row | {"event": "nobody"}


def ended(lake: Lake, outcomes: Iterable[tuple[Due, str, str, str | None]], by: str) -> pl.DataFrame:
    """Keep what became of claimed messages; the rows added. The last attempt that fails is `given_up`.

    Args:
        lake: where the ledger stands.
        outcomes: message, target, "sent", "failed" or "put_back" (never tried, which is no attempt), and why it failed.
        by: who sent.
    """
    found = list(outcomes)

    def rule(there: Mapping[str, Told], _: datetime) -> Iterator[dict[str, object]]:
        for one, target, event, said in found:
            last = event == "failed" and there[one.alert.key].sendings[one.message, target].attempts >= ATTEMPTS
            yield {
                "key": one.alert.key, "event": "given_up" if last else event, "role": one.alert.role, "message": one.message,
                "target": target, "by": by, "said": said,
            }  # fmt: skip

    return _noted(lake, rule)


# -- rows -------------------------------------------------------------------------------------------------------


def _noted(lake: Lake, rule: Callable[[Mapping[str, Told], datetime], Iterable[Mapping[str, object]]]) -> pl.DataFrame:
    """Add what a rule makes of the alerts that are there and of the clock's time; rows are never before one that stands there."""

    def timed(rows: pl.DataFrame) -> list[Mapping[str, object]]:
        last, now = rows["at"].max(), lake.clock()
        at = max(now, last) if isinstance(last, datetime) else now
        return [{**row, "at": at} for row in rule(told(_rows(rows)), now)]

    return alerts(lake).decide(timed)


def _rows(frame: pl.DataFrame) -> Iterator[dict[str, Any]]:
    return frame.iter_rows(named=True)


def _sentence(why: str, what: str, rule: str) -> str:
    if not why.strip():
        raise Refused(f"{what}: {rule}, in a sentence.")
    return why.strip()
