"""The ledger of decisions on models: trained, judged, promoted, attempted, held ...; and who serves by it.

Rows are only added, each on top of all that was there, so at each time exactly one version of a model serves: the one of the
last promotion or rollback, and the naive forecast (version 0) before the first. What is worth promoting is decided elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from itertools import takewhile
from typing import Any

import polars as pl

from lightkeeper.errors import Conflict, Refused
from lightkeeper.lake.ledger import Ledger
from lightkeeper.lake.table import Lake
from lightkeeper.values import Decision, version_name

__all__ = [
    "ACTIONS",
    "Serving",
    "champion",
    "decided",
    "decisions",
    "expected",
    "gates",
    "noted",
    "numbered",
    "promoted",
    "reigns",
    "rolled_back",
    "standing",
]

ACTIONS = (
    "trained", "judged", "rejected", "confirmed", "promoted", "rolled_back", "attempted", "held", "failed", "half_opened",
)  # fmt: skip
_MOVES = ("promoted", "rolled_back")

_SCHEMA: dict[str, pl.DataType] = {
    "decided_at": pl.Datetime("us", "UTC"), "model": pl.String(), "action": pl.String(), "version": pl.Int64(),
    "against": pl.Int64(), "by": pl.String(), "why": pl.String(), "code": pl.String(), "alpha": pl.Float64(),
    "judgement": pl.Int64(), "pins": pl.List(pl.String()), "run_id": pl.String(),
    "cause": pl.String(), "episode": pl.String(), "attempt": pl.Int64(), "matured": pl.Date(),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Serving:
    """Which version serves, or served: `version` 0 is the naive forecast; `since` and `why` are None before any decision."""

    model: str
    version: int
    since: datetime | None = None
    until: datetime | None = None
    action: str | None = None
    by: str | None = None
    why: str | None = None

    @property
    def name(self) -> str:
        """Such as demand:v3, or demand:naive."""
        return version_name(self.model, self.version)


def _ledger(lake: Lake) -> Ledger:
    return Ledger(lake.store, "decisions", _SCHEMA)


def decisions(lake: Lake, model: str | None = None, until: datetime | date | None = None) -> pl.DataFrame:
    """The rows of the ledger in the order in which they were decided; of one model, up to a moment (a date: its end, UTC)."""
    rows = _ledger(lake).rows()
    rows = rows if model is None else rows.filter(pl.col("model") == model)
    return rows if until is None else rows.filter(pl.col("decided_at") <= _moment(until))


def _moment(until: datetime | date) -> datetime:
    return until if isinstance(until, datetime) else datetime.combine(until, time.max, UTC)


def reigns(rows: pl.DataFrame, model: str) -> list[Serving]:
    """Who served when, oldest first; empty when the naive forecast has always served. Each ends where the next begins."""
    moves = rows.filter(pl.col("model") == model, pl.col("action").is_in(_MOVES))
    found = [
        Serving(model, row["version"], row["decided_at"], None, row["action"], row["by"], row["why"])
        for row in moves.iter_rows(named=True)
    ]
    ends = [one.since for one in found[1:]]
    return [
        Serving(model, one.version, one.since, end, one.action, one.by, one.why)
        for one, end in zip(found, [*ends, None], strict=False)
    ]


def champion(lake: Lake, model: str, at: datetime | date | None = None) -> Serving:
    """Who serves, or served at a moment (a date: at its end, UTC)."""
    found = reigns(decisions(lake, model, at), model)
    return found[-1] if found else Serving(model, 0)


def standing(rows: pl.DataFrame, model: str) -> list[int]:
    """The champion, then those that it would be rolled back to, one after the other, down to the naive forecast."""
    return [*takewhile(bool, reversed(_stack(rows, model))), 0]


def _stack(rows: pl.DataFrame, model: str) -> list[int]:
    """Who served, each once, the one that serves last: a promotion goes on top, a rollback takes off what is above its version."""
    stack = [0]
    for action, version in (
        rows.filter(pl.col("model") == model, pl.col("action").is_in(_MOVES)).select("action", "version").iter_rows()
    ):
        if version in stack and action == "rolled_back":
            del stack[stack.index(version) + 1 :]
        else:
            stack = [*(one for one in stack if one != version), version]
    return stack if 0 in stack else [0, *stack]


def numbered(rows: pl.DataFrame, model: str, what: str = "version") -> int:
    """The highest number of a version, or of a judgement, that any decision names; 0 without one.

    No number is given twice, even if a table was lost.
    """
    found = rows.filter(pl.col("model") == model)[what].max()
    return int(str(found)) if found is not None else 0


def expected(rows: pl.DataFrame, judgement: Mapping[str, Any]) -> int:
    """Who served by the ledger when a judgement was held; it may have been compared with another, if that one's bytes were gone."""
    same = (
        (pl.col("model") == judgement["model"]) & (pl.col("judgement") == judgement["judgement"]) & (pl.col("action") == "judged")
    )
    found = rows.filter(same)["against"].to_list()
    return int(found[-1] if found else judgement["champion"])


def gates(rows: pl.DataFrame, model: str, now: date) -> list[tuple[date, float]]:
    """The gates that were held: the day of each, and the alpha that it spent.

    Of one that a clock noted ahead of `now`, which has gone back since, the last judged day.
    """
    held = rows.filter(pl.col("model") == model, pl.col("action") == "judged", pl.col("alpha") > 0)
    day = pl.col("decided_at").dt.date()
    return list(held.select(pl.when(day <= now).then(day).otherwise(pl.coalesce("matured", day)), "alpha").iter_rows())


def decided(lake: Lake, *made: Decision) -> None:
    """Add decisions that move no champion. A decision that stands there from the same run is not added again."""

    def rule(rows: pl.DataFrame) -> Iterator[Decision]:
        there = set(rows.select("model", "action", "version", "run_id").iter_rows()) if rows.height else set()
        for one in made:
            if one.run_id is None or (one.model, one.action, one.version, one.run_id) not in there:
                yield one

    noted(lake, rule)


def noted(lake: Lake, rule: Callable[[pl.DataFrame], Iterable[Decision]]) -> pl.DataFrame:
    """Add the decisions that `rule` makes of the rows that are there, so that nobody adds one in between; what was added.

    Raises Refused: one of them moves a champion.
    """

    def rows_of(rows: pl.DataFrame) -> Iterator[Mapping[str, object]]:
        for one in rule(rows):
            if one.action in _MOVES:
                raise Refused(f"{one.action} moves the champion of {one.model}: ask for a promotion or a rollback.")
            yield _row(one, _now(lake, rows))

    return _ledger(lake).decide(rows_of)


def promoted(lake: Lake, one: Decision, expected: int | None = None) -> bool:
    """Make a version the champion; False when it is already.

    Args:
        lake: where the ledger stands.
        one: the promotion; `version` 0 promotes the naive forecast.
        expected: the champion that it was judged against.

    Raises Conflict: another version serves than the one that was expected.
    """

    def rule(rows: pl.DataFrame) -> Iterable[Mapping[str, object]]:
        serves = standing(rows, one.model)[0]
        known = rows.filter(pl.col("model") == one.model, pl.col("action").is_in(_MOVES)).height
        if serves == one.version and (known or one.version):
            return []
        if expected is not None and serves != expected:
            raise Conflict(
                f"{version_name(one.model, one.version)} was judged against {version_name(one.model, expected)}, and "
                f"{version_name(one.model, serves)} serves now. Nothing was promoted: materialize {one.model}_judgement again."
            )
        return [_row(one, _now(lake, rows))]

    return not _ledger(lake).decide(rule).is_empty()


def rolled_back(
    lake: Lake, one: Decision, to: int | None = None, check: Callable[[int], Any] = lambda _: None, expected: int | None = None
) -> int:
    """Roll back to a version, by default to the one that served before; the version that serves now.

    `check` is asked for the version and raises where it cannot serve. Raises Refused: there is nothing to roll back to, or
    that version serves already. Conflict: another version serves than the one that was expected.
    """

    def rule(rows: pl.DataFrame) -> Iterable[Mapping[str, object]]:
        stack = _stack(rows, one.model)[::-1]
        if expected is not None and stack[0] != expected:
            names = version_name(one.model, expected), version_name(one.model, stack[0])
            raise Conflict(f"{names[0]} was to be rolled back, and {names[1]} serves now. Nothing was rolled back.")
        target = to if to is not None else stack[1] if len(stack) > 1 else None
        if target is None:
            raise Refused(f"{version_name(one.model, 0)} serves and nothing served before it, so there is nothing to roll back to.")
        if target == stack[0]:
            raise Refused(f"{version_name(one.model, target)} serves already.")
        check(target)
        return [_row(one, _now(lake, rows)) | {"version": target, "against": stack[0], "action": "rolled_back"}]

    return int(_ledger(lake).decide(rule)["version"][0])


def _now(lake: Lake, rows: pl.DataFrame) -> datetime:
    """The clock's time, and never before a decision that stands there already."""
    last = rows["decided_at"].max() if rows.height else None
    now = lake.clock()
    return max(now, last) if isinstance(last, datetime) else now


def _row(one: Decision, at: datetime) -> dict[str, object]:
    if one.action not in ACTIONS:
        raise Refused(f"{one.action!r} is no decision on a model: one of {', '.join(ACTIONS)}.")
    if not one.why.strip():
        raise Refused(f"{version_name(one.model, one.version)}: a decision says why.")
    return {
        "decided_at": at, "model": one.model, "action": one.action, "version": one.version, "against": one.against,
        "by": one.by, "why": one.why, "code": one.code, "alpha": one.alpha, "judgement": one.judgement,
        "pins": list(one.pins), "run_id": one.run_id,
        "cause": one.cause, "episode": one.episode, "attempt": one.attempt, "matured": one.matured,
    }  # fmt: skip
