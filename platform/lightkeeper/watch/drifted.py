"""What drifted on a day, column by column, in sentences: by how much, of what kind, what it is worth, what would have been seen."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Any

import polars as pl

from lightkeeper.measure.counting import kind_of
from lightkeeper.measure.daily import RECENT, Found, judge
from lightkeeper.measure.deviations import FEW
from lightkeeper.measure.differing import like_sd
from lightkeeper.measure.drift import FLOOR
from lightkeeper.measure.kinds import Told, tell
from lightkeeper.measure.profile import ColumnProfile
from lightkeeper.measure.quiet import Quiet
from lightkeeper.values import TableVersion, Verdict, plural
from lightkeeper.watch.drawing import NUMBERING
from lightkeeper.watch.kept import LEVEL, Days, Reference, parts_of

__all__ = ["Effects", "Rows", "drift", "gone"]

Effects = Mapping[str, tuple[str, float]]  # column -> unit and mean |contribution| to a forecast

_BEFORE = 28  # reference days that a shift is explained with
_OTHERS = 0.5  # share of a text's rows that have no cell of their own
_FARTHEST = {"category": 1.0, "number": like_sd(0.5)}  # effects that no change is larger than
_SINCE, _DAYS = 5, 3  # calendar days, and days with rows, that show it


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows that are judged.

    Attributes:
        version: of the table.
        frame: its rows.
        by: its date column.
        today: by the home's clock.
        effects: of features that a model learns from the table.
    """

    version: TableVersion
    frame: pl.LazyFrame = field(repr=False)
    by: str
    today: date
    effects: Effects


def drift(rows: Rows, reference: Reference, known: Days, day: date) -> list[Verdict]:
    """A verdict a column and segment; those that drifted first, by what they are worth.

    A text whose frequent values hold less than half of its rows is named only where it has drifted: it has not passed.
    """
    vanished, names = gone(rows, reference), reference.cells.columns
    lost = {one.column for one in vanished} | {name for name, one in names.items() if one.cells.endless}
    window = known.upto(day, RECENT)
    compared = [one for one in window.compared(reference.cells, reference.members) if parts_of(one.name, names)[0] not in lost]
    found = judge(reference.quiet, [one.toordinal() for one in window.days], compared)
    judged = {str(one.column) for one in vanished} | {one.column for one in found}
    few = not reference.quiet.columns and len(known.days) <= FEW
    unjudged = [
        Verdict(
            "drift",
            "learning",
            f"{name}: {plural(len(known.days), 'day is', 'days are')} known, too few to compare with.",
            column=name,
        )
        if few
        else Verdict("drift", "unknown", f"{name} has no {_missing(one)}, so that none are compared.", column=name)
        for name, one in names.items()
        if name not in judged and (one.cells.size or not one.n)
    ]
    told = _kind(rows, reference, day, [one for one in found if one.drifted])
    thin = [name for name, one in names.items() if one.cells.kind == "category" and one.counts[-2:].sum() > _OTHERS * max(one.n, 1)]
    made = [_verdict(rows, reference, one, told) for one in found if one.rows and (one.drifted or one.column not in thin)]
    empty = [_empty(one, names) for one in found if not one.rows]
    made.sort(key=lambda one: (not one.bad, -float(str(one.extra.get("impact", 0.0))), -float(str(one.extra["strength"]))))
    beside = f" Of {', '.join(thin)} most values are too rare to be compared." if thin else ""
    every = [*vanished, *made, *empty, *unjudged] or [Verdict("drift", "unknown", f"{rows.version} has no column to compare.")]
    return [replace(every[0], why=every[0].why + beside), *every[1:]]


def _empty(one: Found, names: Iterable[str]) -> Verdict:
    column, segment = parts_of(one.column, names)
    where = f" where {segment}" if "=" in segment else ""
    return Verdict("drift", "unknown", f"{column}{where} has no values in the last 3 days.", None, None, 0, column, segment or None)


def _missing(one: ColumnProfile) -> str:
    return "finite value in the reference" if one.cells.endless and one.n else "values on most days of the reference"


def gone(rows: Rows, reference: Reference) -> list[Verdict]:
    """Columns of the reference that vanished, or whose type became another kind."""
    schema = rows.frame.collect_schema()
    found = []
    for name, one in reference.cells.columns.items():
        if name not in schema:
            why = f"{name} vanished: {rows.version} has no such column, {rows.version.table}@{reference.version} had one."
            found.append(Verdict("drift", "failed", why, column=name))
        elif kind_of(schema[name]) != one.cells.kind:
            why = f"{name} was {one.type} in {rows.version.table}@{reference.version} and is {schema[name]}: it is not compared."
            found.append(Verdict("drift", "failed", why, column=name))
    return found


def _verdict(rows: Rows, reference: Reference, found: Found, told: Told | None) -> Verdict:
    quiet = reference.quiet
    column, segment = parts_of(found.column, reference.cells.columns)
    blind = found.smallest >= _FARTHEST.get(found.kind, math.inf)
    state = "learning" if not quiet.ready else "drifted" if found.drifted else "unknown" if blind else "passed"
    jumped = found.jumped and found.effect < found.smallest
    where = f" where {segment}" if "=" in segment else ""
    size, least = _size(found, segment), _amount(found, found.smallest)
    why = f"{column}{where}: {size} in the last 3 days ({plural(found.rows, 'value')} against {plural(quiet.days, 'day')})"
    why += f". {_learning(rows, quiet)}" if state == "learning" else f"; {_beside(found, state, least, jumped=jumped)}"
    extra: dict[str, Any] = {"strength": round(found.strength, 4), "smallest": found.smallest, "tau": round(quiet.tau, 2)}
    if column in rows.effects and not segment:
        unit, effect = rows.effects[column]
        extra |= {"impact": found.effect * effect, "unit": unit}
    if state == "drifted" and told is not None:
        why += f" {told.evidence}" if told.kind else ""
    kind = told.kind if told is not None and state == "drifted" else None
    limit = found.smallest if quiet.ready and not jumped else None  # the limit of a jump is in another unit
    return Verdict("drift", state, why, found.effect, limit, found.rows, column, segment or None, kind, extra)


def _beside(found: Found, state: str, least: str, *, jumped: bool) -> str:
    """How far a column lies beside its limit, and what would have been seen."""
    if state == "unknown":
        if found.full >= _FARTHEST[found.kind]:
            return "its quiet days differ so much that no change of it would have been seen."
        few = plural(found.fewest, "value on one of these days is", "values on one of these days are")
        day = plural(round(found.usual), "value")
        return f"{few} too few to tell; on days of {day}, as is usual, {_amount(found, found.full)} would have been seen."
    if jumped:
        return f"it jumped, {found.strength:.2f} x the limit of a jump. What comes slowly is seen from {least} on."
    if state == "passed" and found.effect < FLOOR and found.strength > 1:
        return f"{found.strength:.2f} x the limit, and too small to be called drift; {least} would have been seen."
    if state == "passed" and (found.effect >= found.smallest or found.strength > 1):
        return f"{found.strength:.2f} x the limit. That is no drift until it lasts; a lasting {least} is seen."
    return f"{found.strength:.2f} x the limit, {least} would have been seen."


def _size(found: Found, segment: str) -> str:
    """An effect in words."""
    if found.kind == "level":
        return f"{found.told} what each {segment.removeprefix(LEVEL)} usually has"
    if found.kind == "category":
        return f"{found.effect:.1%} of its rows changed value"
    return f"moved like a normal by {found.effect:.3f} of its sd"


def _amount(found: Found, effect: float) -> str:
    """An effect as a number, in the unit of the words."""
    if found.kind == "level":
        return f"{found.share(effect):.1%}"
    return f"{effect:.1%}" if found.kind == "category" else f"{effect:.3f}"


def _learning(rows: Rows, quiet: Quiet) -> str:
    """What is missing before a day can be judged, and about when it will be there."""
    if not quiet.days:
        return "No day is known to compare with."
    when = rows.today + timedelta(quiet.missing)
    return (
        f"{quiet.days} days are worth {quiet.worth:.0f} independent ones (memory {quiet.tau:.1f} days): alerts start about {when}."
    )


def _kind(rows: Rows, reference: Reference, day: date, drifted: Sequence[Found]) -> Told | None:
    """What kind of shift the drifted columns show, from the rows of both windows; read only when something drifted."""
    if not drifted or not reference.quiet.ready or day <= reference.quiet.end:  # no row after the reference explains it
        return None
    by, quiet = rows.by, reference.quiet
    start = quiet.end - timedelta(_BEFORE)
    both = rows.frame.filter(
        pl.col(by).is_between(start, quiet.end) | pl.col(by).is_between(day - timedelta(_SINCE), day)
    ).collect()
    before = both.filter(pl.col(by).is_between(start, quiet.end) & ~pl.col(by).is_in(list(quiet.left_out)))
    last = both.filter(pl.col(by) > quiet.end)
    now = last.filter(pl.col(by).is_in(last[by].unique().sort().tail(_DAYS).implode()))
    columns = [name for name in rows.frame.collect_schema().names() if name not in NUMBERING]
    names = list(dict.fromkeys(parts_of(one.column, reference.cells.columns)[0] for one in drifted))
    return tell(before.select(columns), now.select(columns), names)
