"""References and profiles of a table as they are kept: the cells, what quiet days look like, the counts of each day.

Owns their form in the lake's event tables. When a reference is drawn and what is judged stands in `tables`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lightkeeper.lake.table import Lake
from lightkeeper.lake.verdicts import PROFILED, profiles, references
from lightkeeper.measure.deviations import DayCounts, DayLevels
from lightkeeper.measure.members import Members, level_of
from lightkeeper.measure.profile import PROFILE, Profile
from lightkeeper.measure.quiet import QUIET, Quiet

__all__ = [
    "LEVEL",
    "NOTHING",
    "SEGMENT",
    "VOLUME",
    "Day",
    "Days",
    "Reference",
    "counted",
    "known_days",
    "last_reference",
    "parts_of",
    "profile_rows",
    "reference_rows",
]

SEGMENT = " | "  # between a column and its segment in the name of what is compared
LEVEL = "level among "  # the segment that is no segment: how high a number is beside what its members usually have
VOLUME = "rows a day"
NOTHING = Quiet(date.min, date.min, 0, (), 1.0, (float("inf"),) * 4, ())  # no column could be calibrated
Segments = Mapping[str, tuple[str, str]]  # "country=France" -> (column, value)


@dataclass(frozen=True, slots=True)
class Reference:
    """What a table is compared with.

    Attributes:
        number: of the drawing; profiles are counted in its cells.
        version: of the table that it was last calibrated on.
        cells: the profile of the reference rows; later profiles are made like it.
        members: of a number what its members usually have.
        quiet: what quiet days look like.
        volume: how many rows they have.
        segments: whose numbers are compared on their own.
        known_at: when.
        why: it was drawn.
    """

    number: int
    version: int
    cells: Profile = field(repr=False)
    members: Mapping[str, Members] = field(repr=False)
    quiet: Quiet = field(repr=False)
    volume: Quiet = field(repr=False)
    segments: Segments
    known_at: Any
    why: str


@dataclass(frozen=True, slots=True)
class Day:
    """The counts of one day: of all rows (segment ""), and of each segment; levels of numbers; rows that repeat another one."""

    day: date
    rows: int
    parts: Mapping[str, Profile] = field(repr=False)
    levels: Mapping[str, tuple[float | None, int]] = field(repr=False)
    repeated: int | None


@dataclass(frozen=True, slots=True)
class Days:
    """The known days of a table, by day, as their kept rows."""

    rows: pl.DataFrame = field(repr=False)

    @classmethod
    def none(cls) -> Days:
        """No day."""
        return cls(pl.DataFrame(schema=PROFILED))

    def with_rows(self, new: Sequence[Mapping[str, object]]) -> Days:
        """These and new rows of `profiles`; a day that is in both is as it was counted last."""
        return Days(_newest(pl.concat([self.rows, pl.DataFrame(new, schema=PROFILED)])))

    def altered(self, later: Days, days: Iterable[date]) -> list[date]:
        """Those of some days that both know, and that were counted otherwise later."""
        wanted = pl.col("day").is_in(list(days))
        mine, theirs = (
            one.rows.filter(wanted)
            .drop("asset", "reference", "version")
            .sort("day", "segment", "column")
            .partition_by("day", as_dict=True)
            for one in (self, later)
        )
        return sorted(day for (day,), rows in mine.items() if (day,) in theirs and not rows.equals(theirs[day,]))

    @property
    def days(self) -> list[date]:
        """Ascending."""
        return self.rows["day"].unique().sort().to_list()

    def among(self, days: Collection[date]) -> Days:
        """Those of some days."""
        return Days(self.rows.filter(pl.col("day").is_in(list(days))))

    def upto(self, day: date, last: int | None = None) -> Days:
        """Those up to a day; the last so many of them."""
        rows = self.rows.filter(pl.col("day") <= day)
        if last is not None:
            rows = rows.filter(pl.col("day").is_in(rows["day"].unique().sort().tail(last).implode()))
        return Days(rows)

    def between(self, start: date, end: date) -> Days:
        """Those from start to end, both inclusive."""
        return Days(self.rows.filter(pl.col("day").is_between(start, end)))

    def compared(self, cells: Profile, members: Mapping[str, Members]) -> list[DayCounts | DayLevels]:
        """The days of each column, of each of its segments, and of its level; a day without a row of it is all zero."""
        days = {day: place for place, day in enumerate(self.days)}
        found: list[DayCounts | DayLevels] = []
        for (segment, column), rows in self.rows.partition_by("segment", "column", as_dict=True, maintain_order=True).items():
            like = cells.columns.get(str(column))
            if like is None or not like.cells.size:
                continue
            counts = _counts(rows, days, like.cells.size)
            found.append(DayCounts(compared_name(str(column), str(segment)), like.cells.kind, counts))
            if not segment and column in members:
                found.append(_levels(str(column), members[str(column)].member, rows, days))
        return found

    def counts(self, column: str, size: int, segment: str = "") -> NDArray[np.int64]:
        """(days, size): the counts of one column, or of a segment of it; a day without a row of it is all zero."""
        rows = self.rows.filter((pl.col("column") == column) & (pl.col("segment") == segment))
        return _counts(rows, {day: place for place, day in enumerate(self.days)}, size)

    def volumes(self) -> DayLevels:
        """The rows of each day."""
        rows = self.volume()["rows"].to_numpy().astype(np.int64)
        return DayLevels(VOLUME, np.log(np.maximum(rows, 0.5)), np.maximum(rows, 1), "total")

    def columns(self) -> dict[str, pl.DataFrame]:
        """The rows of each column, those of segments left out: day, rows, nulls, infinite, counts, repeated."""
        whole = self.rows.filter(pl.col("segment") == "").sort("day").partition_by("column", as_dict=True)
        return {str(name): rows for (name,), rows in whole.items()}

    def volume(self) -> pl.DataFrame:
        """`day`, `rows`, `repeated`."""
        whole = self.rows.filter(pl.col("segment") == "")
        return whole.group_by("day").agg(pl.col("rows").max(), pl.col("repeated").max()).sort("day")


def _counts(rows: pl.DataFrame, days: Mapping[date, int], size: int) -> NDArray[np.int64]:
    counts = np.zeros((len(days), size), np.int64)
    for day, held in rows.select("day", "counts").iter_rows():
        if len(held) == size:  # else the column was of another kind that day
            counts[days[day]] = held
    return counts


def _levels(column: str, member: str, rows: pl.DataFrame, days: Mapping[date, int]) -> DayLevels:
    values, on = np.full(len(days), np.nan), np.zeros(len(days), np.int64)
    for day, level, n in rows.select("day", "level", "level_rows").drop_nulls().iter_rows():
        values[days[day]], on[days[day]] = level, n
    return DayLevels(compared_name(column, LEVEL + member), values, on)


def compared_name(column: str, segment: str) -> str:
    """What is compared: `price_gbp`, or `price_gbp | country=France`."""
    return f"{column}{SEGMENT}{segment}" if segment else column


def parts_of(name: str, columns: Iterable[str]) -> tuple[str, str]:
    """The column and the segment of what is compared; the name of a column may look like both."""
    column = max((one for one in columns if name == one or name.startswith(one + SEGMENT)), key=len, default=name)
    return column, name[len(column) + len(SEGMENT) :]


def counted(frame: pl.DataFrame, by: str, reference: Reference, unrepeated: Sequence[str] | None) -> Iterator[Day]:
    """The counts of each day of a frame, in the cells of a reference.

    Args:
        frame: rows of whole days.
        by: the date column.
        reference: whose cells, segments and members.
        unrepeated: the columns in which no two rows of a day should agree; None where that cannot be told.
    """
    like = reference.cells
    names = [name for name in like.columns if name in frame.columns]
    numbers = [name for name in names if like.columns[name].cells.kind == "number"]
    for (day,), rows in frame.partition_by(by, as_dict=True, maintain_order=True).items():
        if day is None:
            continue
        parts = {"": Profile.of(rows, like=like, columns=names)}
        for label, (column, value) in reference.segments.items():
            part = rows.filter(pl.col(column).cast(pl.String) == value) if column in rows.columns else rows.head(0)
            parts[label] = Profile.of(part, like=like, columns=numbers)
        repeated = None if unrepeated is None else rows.height - rows.select(unrepeated).n_unique()
        there = [one for one in reference.members.values() if {one.column, one.member} <= {*rows.columns}]
        levels = {one.column: level_of(rows, one) for one in there if rows.schema[one.column].is_numeric()}
        yield Day(day, rows.height, parts, levels, repeated)


def profile_rows(asset: str, reference: int, version: int, days: Iterable[Day]) -> Iterator[dict[str, object]]:
    """Rows of `profiles`; of a day none of whose columns is counted one alone, without a column, that says how many rows it has."""
    for day in days:
        whole = {"asset": asset, "reference": reference, "version": version, "day": day.day, "repeated": day.repeated}
        if not day.parts[""].columns:
            yield {**whole, "segment": "", "column": "", "rows": day.rows, "nulls": 0, "infinite": 0, "counts": []}
        for segment, profile in day.parts.items():
            for name, one in profile.columns.items():
                level, on = day.levels.get(name, (None, None)) if not segment else (None, None)
                yield whole | {
                    "segment": segment, "column": name, "rows": one.rows, "nulls": one.nulls, "infinite": one.infinite,
                    "counts": one.counts.tolist(), "level": level, "level_rows": on,
                }  # fmt: skip


def known_days(lake: Lake, asset: str, reference: int) -> Days:
    """The days that are counted in the cells of a reference, each as it was counted last."""
    return Days(_newest(profiles(lake).rows((pl.col("asset") == asset) & (pl.col("reference") == reference))))


def _newest(rows: pl.DataFrame) -> pl.DataFrame:
    """Of each day the rows of the version that it was counted in last."""
    last = rows.filter(pl.col("version") == pl.col("version").max().over("day"))
    return last.unique(["day", "segment", "column"], keep="last", maintain_order=True)


def reference_rows(asset: str, reference: Reference) -> Iterator[dict[str, object]]:
    """Rows of `references`: one a column of the cells, one more for each segment and level of it, one for the volume."""
    cells = {row["column"]: row for row in reference.cells.to_frame().iter_rows(named=True)}
    plain = {"asset": asset, "reference": reference.number, "version": reference.version, "known_at": reference.known_at,
             "why": reference.why}  # fmt: skip
    quiet = {row["column"]: _told(row) for row in reference.quiet.to_frame().iter_rows(named=True)}
    for name, row in cells.items():
        yield {**plain, "segment": "", **row, **quiet.pop(name, {}), **_usual(reference.members.get(name))}
    for name, told in quiet.items():
        column, segment = parts_of(name, cells)
        yield {**plain, "segment": segment, **cells[column], **told}
    for row in reference.volume.to_frame().iter_rows(named=True):
        yield {**plain, "segment": VOLUME, "column": VOLUME, "kind": "total", **_told(row)}


def _told(row: Mapping[str, Any]) -> dict[str, object]:
    """What quiet days say of a column, as a row of `references` has it."""
    return {key: value for key, value in row.items() if key not in {"column", "rows"}} | {"usual_rows": row["rows"]}


def _usual(members: Members | None) -> dict[str, object]:
    if members is None:
        return {}
    names, usual = members.medians[members.member].to_list(), members.medians["usual"].to_list()
    return {"member": members.member, "members": names, "usual": usual}


def last_reference(lake: Lake, asset: str) -> Reference | None:
    """The newest reference of a table; None before the first."""
    held = references(lake).rows(pl.col("asset") == asset)
    if held.is_empty():
        return None
    newest = held.row(-1, named=True)
    rows = held.filter((pl.col("version") == newest["version"]) & (pl.col("known_at") == newest["known_at"]))
    plain = rows.filter(pl.col("segment") == "")
    named = pl.when(pl.col("segment").is_in(["", VOLUME])).then("column").otherwise(pl.col("column") + SEGMENT + pl.col("segment"))
    calibrated = rows.filter(pl.col("tau").is_not_null()).with_columns(column=named, rows=pl.col("usual_rows"))
    of_volume = pl.col("segment") == VOLUME
    labels = [one for one in rows["segment"].unique(maintain_order=True) if one and "=" in one and not one.startswith(LEVEL)]
    return Reference(
        number=newest["reference"], version=newest["version"], cells=Profile.from_frame(plain.select(list(PROFILE))),
        members={row["column"]: _members(row) for row in plain.filter(pl.col("member").is_not_null()).iter_rows(named=True)},
        quiet=_quiet(calibrated.filter(~of_volume)), volume=_quiet(calibrated.filter(of_volume)),
        segments={label: (label.partition("=")[0], label.partition("=")[2]) for label in labels},
        known_at=newest["known_at"], why=newest["why"],
    )  # fmt: skip


def _quiet(rows: pl.DataFrame) -> Quiet:
    return NOTHING if rows.is_empty() else Quiet.from_frame(rows.select(list(QUIET)))


def _members(row: Mapping[str, Any]) -> Members:
    medians = pl.DataFrame({row["member"]: row["members"], "usual": row["usual"]})
    return Members(row["column"], row["member"], medians)
