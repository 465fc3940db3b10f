"""A reference drawn from a table's rows, and calibrated on the days that are counted in its cells.

Owns what is compared of a table: columns, segments, members, known values, and which days are of no use to it. When a reference
is drawn, `tables` says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

import polars as pl

from lightkeeper.measure.members import members_of
from lightkeeper.measure.profile import Profile
from lightkeeper.measure.quiet_days import calibrate
from lightkeeper.watch.kept import NOTHING, Days, Reference

__all__ = [
    "ENOUGH", "NUMBERING", "Drawing", "Watched", "awaited", "calibrated", "comparable", "draw", "earlier", "settled", "unrepeated",
]  # fmt: skip

ENOUGH = 28  # days of a reference from which its last third tells how usual new values are
NUMBERING = frozenset({"row", "file"})  # columns of the landing that only say where a row came from
_AWAITED, _FORTNIGHT = 7, 14  # days before today that may still come true, and those that show what is filled at all
_MONTH = 28  # days whose median says how many rows a day has
_SMALL, _LARGE = 0.25, 0.75  # of the median day's rows: what began below the one has grown up at the other
_OF_SEGMENT = 30  # rows that a day of a segment usually has
_SEGMENTS = 4
_OF_VOLUME = 0.02  # of quiet days, for each statistic of the rows alone: on 25 seeds 1.3% were called bad, 0.9% at half of it


@dataclass(frozen=True, slots=True)
class Watched:
    """What is declared of a table.

    Attributes:
        table: its name.
        by: its date column.
        columns: to profile; none: all but dates, times and what numbers the rows.
        key: the columns by which the contract says that no row repeats another; none: it does not say so.
        segments: columns whose most frequent values are watched on their own.
    """

    table: str
    by: str
    columns: tuple[str, ...] = ()
    key: tuple[str, ...] = ()
    segments: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Drawing:
    """Which drawing it is: its number, the table version it is drawn from, when, and why."""

    number: int
    version: int
    known_at: datetime
    why: str


def draw(watched: Watched, rows: pl.DataFrame, drawing: Drawing) -> Reference:
    """A reference of the rows of some days, not calibrated yet."""
    past = rows.sort(watched.by, maintain_order=True)
    days = past[watched.by].drop_nulls().unique().sort().to_list()
    cells = _cells(watched, past, days)
    numbers = [name for name, one in cells.columns.items() if one.cells.kind == "number"]
    return Reference(
        number=drawing.number, version=drawing.version, cells=cells, members=members_of(past, numbers), quiet=NOTHING,
        volume=NOTHING, segments=_segments(watched, past, len(days)), known_at=drawing.known_at, why=drawing.why,
    )  # fmt: skip


def awaited(frame: pl.LazyFrame, by: str, today: date) -> set[date]:
    """The last days before today that look like those to come: what these do not hold yet, such as a target, they do not either.

    At most a week of them: a column that is never filled any more is found then.

    Args:
        frame: rows of a table, some of them of days to come.
        by: their date column.
        today: the first day to come.
    """
    recent = frame.filter(pl.col(by) >= today - timedelta(_FORTNIGHT))
    holds = recent.group_by(by).agg(pl.exclude(by).null_count() < pl.len()).collect()
    past, ahead = holds.filter(pl.col(by) < today), holds.filter(pl.col(by) >= today)
    coming = [name for name in holds.columns if name != by and past[name].any() and not ahead[name].any()]
    true = past.filter(pl.any_horizontal(coming))[by].to_list() if coming else []
    newest = max(true, default=date.min)
    if newest < today - timedelta(_AWAITED + 1):
        return set()
    return set(past.filter(pl.col(by) > newest)[by])


def settled(rows: pl.DataFrame, by: str, days: Sequence[date]) -> Sequence[date]:
    """Those of some days from which on a table has grown up: while it fills, each week is unlike the one before.

    Only where its first four weeks had less than a quarter of the rows of its median day; else all of them.
    """
    known = rows.select(day=by).filter(pl.col("day").is_in(list(days)))
    counts = known.group_by("day").len().sort("day")["len"].cast(pl.Float64)
    if len(counts) < 2 * _MONTH:
        return days
    level, usual = counts.rolling_median(_MONTH).drop_nulls(), float(str(counts.median()))
    if level[0] >= _SMALL * usual:
        return days
    grown = (level >= _LARGE * usual).arg_true()
    return days[int(grown[0]) + _MONTH - 1 :] if len(grown) else days


def comparable(watched: Watched, schema: Mapping[str, pl.DataType]) -> list[str]:
    """The columns that can be profiled: those declared, else all but dates, times and what numbers the rows."""
    if watched.columns:
        return [name for name in watched.columns if name in schema]
    return [name for name, dtype in schema.items() if not dtype.is_temporal() and name not in NUMBERING]


def _columns(watched: Watched, rows: pl.DataFrame) -> list[str]:
    names = comparable(watched, rows.schema)
    if watched.columns:
        return names
    of_days = rows.group_by(watched.by).agg(pl.col(names).n_unique()).select(pl.col(names).max())
    whole = rows.select(pl.col(names).n_unique())
    told = [name for name in names if of_days[name][0] != 1 or whole[name][0] == 1]  # what a whole day shares tells the day
    return told or names  # with a row a day every column does


def _cells(watched: Watched, past: pl.DataFrame, drawn: Sequence[date]) -> Profile:
    """The cells of a reference; values that its last third brought are called new, so that it tells how usual new ones are."""
    cells = Profile.of(past, columns=_columns(watched, past))
    early = past.filter(pl.col(watched.by) <= drawn[earlier(len(drawn)) - 1])
    seen = Profile.of(early, columns=[name for name, one in cells.columns.items() if one.cells.kind == "category"])
    columns = {
        name: replace(one, cells=replace(one.cells, known=seen.columns[name].cells.known)) if name in seen.columns else one
        for name, one in cells.columns.items()
    }
    return Profile(cells.rows, columns)


def earlier(days: int) -> int:
    """How many of the reference's days say which values are known."""
    return days if days < ENOUGH else 2 * days // 3


def unrepeated(watched: Watched, rows: pl.DataFrame) -> list[str] | None:
    """The columns in which no two rows of a day should agree: those of the key; None where one of them is missing."""
    if watched.key:
        return list(watched.key) if {*watched.key} <= {*rows.columns} else None
    return [name for name in rows.columns if name not in NUMBERING]


def _segments(watched: Watched, rows: pl.DataFrame, days: int) -> dict[str, tuple[str, str]]:
    """The most frequent values of the declared columns, where a day usually has enough rows of them."""
    found = {}
    for column in (one for one in watched.segments if one in rows.columns):
        counts = rows[column].alias("value").cast(pl.String).drop_nulls().value_counts(sort=True).head(_SEGMENTS)
        for value, n in counts.iter_rows():
            if n >= _OF_SEGMENT * days:
                found[f"{column}={value}"] = (column, str(value))
    return found


def calibrated(reference: Reference, known: Days) -> Reference:
    """The reference with what some days look like."""
    days = [day.toordinal() for day in known.days]
    quiet = calibrate(days, known.compared(reference.cells, reference.members))
    return replace(reference, quiet=quiet, volume=calibrate(days, [known.volumes()], _OF_VOLUME))
