"""What checks found, kept: the verdicts, the states that hold now, the profiles and references that they stand on.

Owns four event tables and what may be asked of them. How something is judged stands in `measure`; when, in `orchestrate`.

`verdicts` is never changed. `states` has one row an asset and check, so that a sensor reads in one small file what holds now;
a verdict on an older table version, or an older day, than the state's own does not move it, unless that day is still to come.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import polars as pl

from lightkeeper.lake.ledger import Ledger
from lightkeeper.lake.table import Lake
from lightkeeper.measure.profile import PROFILE
from lightkeeper.measure.quiet import QUIET
from lightkeeper.values import BAD, TableVersion, Verdict, worst_of

__all__ = [
    "PROFILED",
    "REFERENCE",
    "STATE",
    "VERDICT",
    "Judged",
    "profiles",
    "record",
    "references",
    "states",
    "verdicts",
]

_UTC = pl.Datetime("us", "UTC")

VERDICT: dict[str, pl.DataType] = {
    "asset": pl.String(), "check": pl.String(), "column": pl.String(), "segment": pl.String(), "state": pl.String(),
    "measured": pl.Float64(), "limit": pl.Float64(), "n": pl.Int64(), "kind": pl.String(), "why": pl.String(),
    "day": pl.Date(), "version": pl.Int64(), "reference_start": pl.Date(), "reference_end": pl.Date(),
    "reference_version": pl.Int64(), "extra": pl.String(), "known_at": _UTC, "run_id": pl.String(),
}  # fmt: skip

STATE: dict[str, pl.DataType] = {
    "asset": pl.String(), "check": pl.String(), "state": pl.String(), "since": pl.Date(), "failing": pl.Int64(),
    "columns": pl.List(pl.String()), "columns_since": pl.List(pl.Date()), "measured": pl.Float64(), "limit": pl.Float64(),
    "n": pl.Int64(), "kind": pl.String(), "why": pl.String(), "day": pl.Date(), "version": pl.Int64(), "known_at": _UTC,
    "run_id": pl.String(), "impact": pl.Float64(), "unit": pl.String(),
}  # fmt: skip

PROFILED: dict[str, pl.DataType] = {
    "asset": pl.String(), "reference": pl.Int64(), "version": pl.Int64(), "day": pl.Date(), "segment": pl.String(),
    "column": pl.String(), "rows": pl.Int64(), "nulls": pl.Int64(), "infinite": pl.Int64(), "repeated": pl.Int64(),
    "counts": pl.List(pl.Int64()), "level": pl.Float64(), "level_rows": pl.Int64(),
}  # fmt: skip

REFERENCE: dict[str, pl.DataType] = {
    "asset": pl.String(), "reference": pl.Int64(), "version": pl.Int64(), "known_at": _UTC, "why": pl.String(),
    "segment": pl.String(), **PROFILE, **{name: dtype for name, dtype in QUIET.items() if name not in {"column", "rows"}},
    "usual_rows": pl.Float64(), "member": pl.String(), "members": pl.List(pl.String()), "usual": pl.List(pl.Float64()),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Judged:
    """What verdicts are about.

    Attributes:
        version: of the table that was judged.
        day: the newest day of the window; None for what has no days.
        reference: the window that it was compared with, half-open, where there was one.
        reference_version: the table version that the reference was drawn from.
        run_id: of the run that judged.
    """

    version: TableVersion
    day: date | None = None
    reference: tuple[date, date] | None = None
    reference_version: int | None = None
    run_id: str | None = None
    verdicts: tuple[Verdict, ...] = field(default=(), repr=False)

    @property
    def asset(self) -> str:
        """The table, as assets are named."""
        return self.version.table


def verdicts(lake: Lake) -> Ledger:
    """Every verdict, in the order in which they were reached."""
    return Ledger(lake.store, "verdicts", VERDICT)


def states(lake: Lake) -> Ledger:
    """One row an asset and check: what holds now."""
    return Ledger(lake.store, "states", STATE)


def profiles(lake: Lake) -> Ledger:
    """One row an asset, day, segment and column: its counts in the cells of a reference."""
    return Ledger(lake.store, "profiles", PROFILED)


def references(lake: Lake) -> Ledger:
    """One row an asset, drawing and column: the cells that values are counted in, and what quiet days look like."""
    return Ledger(lake.store, "references", REFERENCE)


def record(lake: Lake, judged: Sequence[Judged]) -> None:
    """Keep verdicts, days in their order, and let the states follow; with the states last, a kill between leaves none ahead."""
    if not judged:
        return
    now = lake.clock()
    verdicts(lake).add(row for one in judged for row in _rows(one, now))
    states(lake).renew(lambda held: _moved(held, judged, now))


def _rows(judged: Judged, now: object) -> Iterator[dict[str, object]]:
    start, end = judged.reference or (None, None)
    for one in judged.verdicts:
        yield {
            "asset": judged.asset, "check": one.check, "column": one.column, "segment": one.segment, "state": one.state,
            "measured": one.measured, "limit": one.limit, "n": one.n, "kind": one.kind, "why": one.why, "day": judged.day,
            "version": judged.version.version, "reference_start": start, "reference_end": end,
            "reference_version": judged.reference_version, "extra": _json(one.extra), "known_at": now,
            "run_id": judged.run_id,
        }  # fmt: skip


def _json(extra: Mapping[str, object]) -> str | None:
    return json.dumps(dict(extra), default=str, sort_keys=True) if extra else None


def _moved(held: pl.DataFrame, judged: Iterable[Judged], now: object) -> list[dict[str, Any]]:
    """The states after some verdicts: one row an asset and check."""
    rows = {(row["asset"], row["check"]): row for row in held.iter_rows(named=True)}
    for one in judged:
        for check in dict.fromkeys(verdict.check for verdict in one.verdicts):
            before = rows.get((one.asset, check))
            if before is None or _follows(one, before, _day(now)):
                rows[one.asset, check] = _state(one, check, before, now)
    return [rows[key] for key in sorted(rows)]


def _follows(judged: Judged, before: Mapping[str, Any], today: date) -> bool:
    """Whether a verdict is on what the state is about, or on something newer; a day to come was judged by a clock gone astray."""
    if judged.version.version < before["version"]:
        return False
    return judged.day is None or before["day"] is None or judged.day >= before["day"] or before["day"] >= today


def _state(judged: Judged, check: str, before: Mapping[str, Any] | None, now: object) -> dict[str, Any]:
    mine = [one for one in judged.verdicts if one.check == check]
    worst = worst_of(mine)
    day, since, failing, columns = _goes_on(judged.day, mine, worst, before, judged.day or _day(now))
    return {
        "asset": judged.asset, "check": check, "state": worst.state, "failing": failing,
        "columns": list(columns), "columns_since": list(columns.values()), "since": since,
        "measured": worst.measured, "limit": worst.limit, "n": worst.n, "kind": worst.kind, "why": _why(worst, mine),
        "day": day, "version": judged.version.version, "known_at": now, "run_id": judged.run_id,
        "impact": worst.extra.get("impact"), "unit": worst.extra.get("unit"),
    }  # fmt: skip


def _goes_on(
    day: date | None, mine: Sequence[Verdict], worst: Verdict, before: Mapping[str, Any] | None, today: date
) -> tuple[date | None, date, int, dict[str, date]]:
    """Day, since when, days that failed, and columns, after what held before; a look that saw nothing neither ends nor adds."""
    if before is None:
        return day, today, int(worst.bad), _columns(mine, worst, today, before)
    since = before["since"] if before["state"] == worst.state else today
    if all(one.state == "unknown" for one in mine):
        if before["failing"]:
            return before["day"], before["since"], before["failing"], _known(before)
        return day or before["day"], since, 0, _known(before)
    failing = _failing(worst, day, before)
    if failing and before["failing"] and before["state"] not in BAD:  # it failed before a look that saw nothing
        since = before["since"]
    return day, since, failing, _columns(mine, worst, today, before)


def _why(worst: Verdict, mine: Sequence[Verdict]) -> str:
    """The worst one's sentence, and the first one's of those that are bad in another way."""
    other = next((one.why for one in mine if one.bad and one.state != worst.state), None)
    return worst.why if other is None else f"{worst.why} {other}"


def _failing(worst: Verdict, day: date | None, before: Mapping[str, Any]) -> int:
    """Days that a check has failed, one after the other."""
    if not worst.bad:
        return 0
    failed: int = before["failing"]
    return failed if failed and day is not None and before["day"] == day else failed + 1


def _columns(mine: Sequence[Verdict], worst: Verdict, today: date, before: Mapping[str, Any] | None) -> dict[str, date]:
    """The columns that are bad, else those in the worst state, each with the day since when."""
    known = {} if before is None or not before["failing"] else _known(before)
    alike = [one for one in mine if (one.bad if worst.bad else one.state == worst.state)]
    named = dict.fromkeys(str(one.column) for one in alike if one.column)
    return {name: known.get(name, today) for name in named}


def _known(before: Mapping[str, Any]) -> dict[str, date]:
    columns = before["columns"] or ()
    return dict(zip(columns, before["columns_since"] or [before["since"]] * len(columns), strict=False))  # null of an earlier build


def _day(now: Any) -> date:
    found: date = now.date()
    return found
