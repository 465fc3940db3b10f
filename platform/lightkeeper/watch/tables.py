"""A table looked at: its days counted, its reference drawn, each new day judged. It reads one version and writes no table.

Owns which days are judged against which reference. The statistics stand in `measure`, what is kept in `kept`.

A reference is drawn from the days before those that are judged first. While it is worth too little it grows week by week;
then it stands, until a model that learns from the table is promoted, or until twice as many days are known.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Any

import polars as pl

from lightkeeper.lake.table import Lake
from lightkeeper.lake.verdicts import Judged, profiles, references
from lightkeeper.measure.daily import RECENT, Found, Quiet, calibrate, judge
from lightkeeper.measure.kinds import Told, tell
from lightkeeper.measure.members import members_of
from lightkeeper.measure.norms import volume
from lightkeeper.measure.profile import ColumnProfile, Profile
from lightkeeper.measure.rates import rate
from lightkeeper.values import TableVersion, Verdict
from lightkeeper.watch.kept import (
    LEVEL,
    NOTHING,
    SEGMENT,
    Days,
    Reference,
    counted,
    known_days,
    last_reference,
    profile_rows,
    reference_rows,
)

__all__ = ["Effects", "Looked", "Watched", "look"]

Effects = Mapping[str, tuple[str, float]]  # column -> unit and mean |contribution| to a forecast

HELD = 7  # days that the first reference leaves to be judged
ENOUGH = 28  # days from which so many are left
GROWN = 7  # days by which a young reference grows
MOST = 31  # days that are judged at once
_BEFORE = 28  # reference days that a shift is explained with
_OF_SEGMENT = 30  # rows that a day of a segment usually has
_SEGMENTS = 4
_TWICE = 2
_FLOOR, _FEW_ROWS = 0.005, 2.5  # a share, and rows: so few new or extreme values come by themselves
LASTING = 0.2  # share by which rows a day must differ for long


@dataclass(frozen=True, slots=True)
class Watched:
    """What is declared of a table.

    Attributes:
        table: its name.
        by: its date column.
        columns: to profile; none: all but dates, times and what numbers the rows.
        keyed: whether the contract says that no row repeats another.
        segments: columns whose most frequent values are watched on their own.
    """

    table: str
    by: str
    columns: tuple[str, ...] = ()
    keyed: bool = False
    segments: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Looked:
    """What a look found: the verdicts day by day, and two windows of each column for a picture."""

    judged: tuple[Judged, ...]
    pictures: Mapping[str, tuple[list[int], list[int]]] = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Look:
    """One look at one version: the lake, what is declared, the rows, and by whom."""

    lake: Lake
    watched: Watched
    version: TableVersion
    frame: pl.LazyFrame
    today: date
    effects: Effects
    run_id: str | None

    def rows(self, days: Sequence[date]) -> pl.DataFrame:
        """All columns of some days."""
        return self.frame.filter(pl.col(self.watched.by).is_in(list(days))).collect()


def look(  # noqa: PLR0913 - a look is at something, for somebody
    lake: Lake, watched: Watched, version: TableVersion, effects: Effects | None = None, *,
    promoted: datetime | None = None, run_id: str | None = None,
) -> Looked:  # fmt: skip
    """Count what is new in a version, judge the new days, and keep profiles and reference; verdicts are the caller's to record.

    Args:
        lake: with its clock: days from today on are not judged.
        watched: what is declared of the table.
        version: of the table.
        effects: of features that a model learns from the table: what a drift is worth.
        promoted: when a model that learns from the table was last promoted: an older reference is drawn anew.
        run_id: of the run that looks.
    """
    frame = lake.read(version.table, version)
    looking = _Look(lake, watched, version, frame, lake.clock().date(), effects or {}, run_id)
    days = _past(looking)
    reference = last_reference(lake, watched.table)
    if not days:
        return Looked((_nothing(looking),), {})
    if reference is None or _outlived(reference, days, promoted):
        return _first(looking, days, reference)
    return _again(looking, days, reference)


def _past(looking: _Look) -> list[date]:
    by = looking.watched.by
    days = looking.frame.select(pl.col(by).unique()).collect()[by].drop_nulls().sort()
    return [day for day in days.to_list() if day < looking.today]


def _nothing(looking: _Look) -> Judged:
    why = f"{looking.version} has no day before {looking.today}: there is nothing to judge."
    checks = ("volume", "nulls", "categories", "range", "duplicates", "drift")
    return Judged(looking.watched.table, looking.version, run_id=looking.run_id,
                  verdicts=tuple(Verdict(check, "unknown", why) for check in checks))  # fmt: skip


def _outlived(reference: Reference, days: Sequence[date], promoted: datetime | None) -> bool:
    """Whether a reference is drawn anew."""
    if promoted is not None and promoted > reference.known_at:
        return True
    return len([day for day in days if day >= reference.quiet.start]) >= _TWICE * max(1, reference.quiet.days)


def _first(looking: _Look, days: Sequence[date], before: Reference | None) -> Looked:
    """Draw a reference, count every day in its cells, and judge those that it leaves."""
    held = HELD if len(days) >= ENOUGH + HELD else 1
    drawn = days[:-held] or days
    rows = looking.frame.filter(pl.col(looking.watched.by) <= days[-1]).collect()
    by = pl.col(looking.watched.by)
    past = rows.filter(by <= drawn[-1]).sort(looking.watched.by, maintain_order=True)
    cells = _cells(looking.watched, past, drawn)
    numbers = [name for name, one in cells.columns.items() if one.cells.kind == "number"]
    reference = Reference(
        number=1 if before is None else before.number + 1, version=looking.version.version, cells=cells,
        members=members_of(past, numbers), quiet=NOTHING, volume=NOTHING,
        segments=_segments(looking.watched, past, len(drawn)), known_at=looking.lake.clock(),
        why="the first" if before is None else "a model was promoted, or twice as many days are known",
    )  # fmt: skip
    made = counted(rows, looking.watched.by, reference, _unrepeated(looking.watched, rows))
    profiles(looking.lake).add(profile_rows(looking.watched.table, reference.number, looking.version.version, made))
    known = known_days(looking.lake, looking.watched.table, reference.number)
    reference = _calibrated(reference, known.upto(drawn[-1]))
    references(looking.lake).add(reference_rows(looking.watched.table, reference))
    return _judged(looking, reference, known, days[-held:])


def _again(looking: _Look, days: Sequence[date], reference: Reference) -> Looked:
    """Count what changed since the last look, let a young reference grow, and judge the days that changed."""
    known = known_days(looking.lake, looking.watched.table, reference.number)
    changed = _changed(looking, known, days)
    if changed:
        rows = looking.rows(changed)
        made = counted(rows, looking.watched.by, reference, _unrepeated(looking.watched, rows))
        version = looking.version.version
        profiles(looking.lake).add(profile_rows(looking.watched.table, reference.number, version, made))
        known = known_days(looking.lake, looking.watched.table, reference.number)
    wanted = [day for day in changed if day > reference.quiet.end][-MOST:] or list(days[-1:])
    grown = [day for day in days if day < wanted[0]]
    if not reference.quiet.ready and len(grown) >= reference.quiet.days + len(reference.quiet.left_out) + GROWN:
        grown_to = replace(reference, version=looking.version.version, known_at=looking.lake.clock(), why="it grew by days")
        reference = _calibrated(grown_to, known.upto(grown[-1]))
        references(looking.lake).add(reference_rows(looking.watched.table, reference))
    return _judged(looking, reference, known, wanted)


def _changed(looking: _Look, known: Days, days: Sequence[date]) -> list[date]:
    """The days that are not counted yet, or that another version has replaced since."""
    there = set(known.days)
    last = known.rows["version"].max() if known.rows.height else None
    table, version = looking.version.table, looking.version.version
    replaced = frozenset() if last is None or last >= version else looking.lake.changed(table, int(str(last)), version)  # type: ignore[operator]
    return [day for day in days if day not in there or replaced is None or day in replaced]


def _columns(watched: Watched, rows: pl.DataFrame) -> list[str]:
    if watched.columns:
        return [name for name in watched.columns if name in rows.columns]
    names = [name for name, dtype in rows.schema.items() if not dtype.is_temporal() and name not in {"row", "file"}]
    of_days = rows.group_by(watched.by).agg(pl.col(names).n_unique()).select(pl.col(names).max())
    whole = rows.select(pl.col(names).n_unique())
    return [name for name in names if of_days[name][0] != 1 or whole[name][0] == 1]  # what a whole day shares tells the day


def _cells(watched: Watched, past: pl.DataFrame, drawn: Sequence[date]) -> Profile:
    """The cells of a reference; values that its last third brought are called new, so that it tells how usual new ones are."""
    cells = Profile.of(past, columns=_columns(watched, past))
    early = past.filter(pl.col(watched.by) <= drawn[_earlier(len(drawn)) - 1])
    seen = Profile.of(early, columns=[name for name, one in cells.columns.items() if one.cells.kind == "category"])
    columns = {
        name: replace(one, cells=replace(one.cells, known=seen.columns[name].cells.known)) if name in seen.columns else one
        for name, one in cells.columns.items()
    }
    return Profile(cells.rows, columns)


def _earlier(days: int) -> int:
    """How many of the reference's days say which values are known."""
    return days if days < ENOUGH else 2 * days // 3


def _unrepeated(watched: Watched, rows: pl.DataFrame) -> list[str] | None:
    return None if watched.keyed else [name for name in rows.columns if name not in {"row", "file"}]


def _segments(watched: Watched, rows: pl.DataFrame, days: int) -> dict[str, tuple[str, str]]:
    """The most frequent values of the declared columns, where a day usually has enough rows of them."""
    found = {}
    for column in watched.segments:
        counts = rows[column].cast(pl.String).drop_nulls().value_counts(sort=True).head(_SEGMENTS)
        for value, n in counts.iter_rows():
            if n >= _OF_SEGMENT * days:
                found[f"{column}={value}"] = (column, str(value))
    return found


def _calibrated(reference: Reference, known: Days) -> Reference:
    """The reference with what some days look like."""
    days = [day.toordinal() for day in known.days]
    quiet = calibrate(days, known.compared(reference.cells, reference.members))
    return replace(reference, quiet=quiet, volume=calibrate(days, [known.volumes()]))


# -- judging


def _judged(looking: _Look, reference: Reference, known: Days, days: Sequence[date]) -> Looked:
    judged = [_day(looking, reference, known, day) for day in days]
    last = days[-1]
    window = known.upto(last, 3)
    past = known.between(reference.quiet.start, reference.quiet.end)
    pictures = {
        name: (_summed(past, name), _summed(window, name)) for name, one in reference.cells.columns.items() if one.cells.size
    }
    return Looked(tuple(judged), pictures)


def _summed(known: Days, column: str) -> list[int]:
    counts = known.of(column)["counts"].to_list()
    return [sum(cell) for cell in zip(*counts, strict=True)] if len({len(one) for one in counts}) == 1 else []


def _day(looking: _Look, reference: Reference, known: Days, day: date) -> Judged:
    quiet = reference.quiet
    past = known.between(quiet.start, quiet.end) if quiet.days else known.upto(day - timedelta(1))
    left_out = [one for one in past.days if one not in set(quiet.left_out) and one != day]
    past = Days(past.rows.filter(pl.col("day").is_in(left_out)))
    found = [
        _volume(reference, past, known, day),
        *_rates(reference, past, known, day),
        _duplicates(looking.watched, past, known, day),
        *_drift(looking, reference, known, day),
    ]
    window = (quiet.start, quiet.end + timedelta(1)) if quiet.days else None
    return Judged(looking.watched.table, looking.version, day, window, reference.version, looking.run_id, tuple(found))


def _volume(reference: Reference, past: Days, known: Days, day: date) -> Verdict:
    """A day that is far off on its own; else days that are off together."""
    rows = known.volume().filter(pl.col("day") == day)["rows"]
    alone = volume(past.volume().select("day", "rows"), day, int(rows[0]) if len(rows) else 0)
    window = known.upto(day, RECENT)
    found = judge(reference.volume, [one.toordinal() for one in window.days], [window.volumes()], floor=LASTING)
    if alone.bad or not found or not reference.volume.ready:
        return alone
    one = found[0]
    why = f"{alone.why} The last 3 days together are off by {one.effect:.0%}: {one.strength:.2f} x the limit of such days."
    extra = {**alone.extra, "strength": round(one.strength, 4), "smallest": one.smallest}
    return replace(alone, state="failed" if one.drifted else alone.state, why=why, extra=extra)


def _duplicates(watched: Watched, past: Days, known: Days, day: date) -> Verdict:
    if watched.keyed:
        return Verdict("duplicates", "passed", "The contract has a key, and no row breaks it: none is there twice.", 0.0, 0.0)
    history = [(repeated or 0, rows) for _, rows, repeated in past.volume().iter_rows()]
    now = known.volume().filter(pl.col("day") == day)
    if now.is_empty():
        return rate("duplicates", None, history, 0, 0)
    return rate("duplicates", None, history, now["repeated"][0] or 0, now["rows"][0])


def _rates(reference: Reference, past: Days, known: Days, day: date) -> list[Verdict]:
    """Nulls, new categories and values out of range: those columns that fail, else the one that comes nearest to its limit."""
    made: dict[str, list[Verdict]] = {"nulls": [], "categories": [], "range": []}
    for name, like in reference.cells.columns.items():
        history, now = past.of(name), known.of(name).filter(pl.col("day") == day)
        for check, expression in _counts_of(like):
            pairs = [tuple(pair) for pair in history.select(expression, "rows").iter_rows()]
            if check == "categories" and len(pairs) >= ENOUGH:
                pairs = pairs[_earlier(len(pairs)) :]
            k, n = now.select(expression, "rows").row(0) if now.height else (0, 0)
            floor = _FLOOR if check == "nulls" or not n else min(max(_FLOOR, _FEW_ROWS / n), 0.5)
            made[check].append(rate(check, name, pairs, k, n, floor))
    return [one for check, found in made.items() for one in _told(check, found)]


def _counts_of(like: ColumnProfile) -> list[tuple[str, pl.Expr]]:
    """What is counted of a column for each check: rows without a value, of a new value, outside the range."""
    counts, found = pl.col("counts").list, [("nulls", pl.col("nulls"))]
    if like.cells.kind == "number" and len(like.cells.uppers):
        found.append(("range", counts.first() + counts.last()))
    if like.cells.kind == "category" and like.cells.known is not None:
        found.append(("categories", counts.last()))
    return found


def _told(check: str, found: Sequence[Verdict]) -> list[Verdict]:
    if not found:
        return [Verdict(check, "passed", "No column of this table can show it.", 0.0, 0.0)]
    bad = [one for one in found if one.state != "passed"]
    if bad:
        return [one for one in bad if one.bad] or bad[:1]
    nearest = max(found, key=lambda one: (one.measured or 0.0) / (one.limit or 1.0))
    why = f"All {len(found)} columns. Nearest to its limit is {nearest.column}: {nearest.why}"
    return [Verdict(check, "passed", why, nearest.measured, nearest.limit, nearest.n, extra=nearest.extra)]


# -- drift


def _drift(looking: _Look, reference: Reference, known: Days, day: date) -> list[Verdict]:
    """A verdict a column and segment; those that drifted first, by what they are worth."""
    gone = _gone(looking, reference)
    window = known.upto(day, RECENT)
    found = judge(reference.quiet, [one.toordinal() for one in window.days], window.compared(reference.cells, reference.members))
    judged = {one.column for one in found}
    unjudged = [
        Verdict("drift", "unknown", f"{name} has no values on most days of the reference, so that none are compared.", column=name)
        for name, one in reference.cells.columns.items()
        if name not in judged and name not in {each.column for each in gone} and (one.cells.size or not one.n)
    ]
    told = _kind(looking, reference, day, [one for one in found if one.drifted])
    made = [_verdict(looking, reference, one, told) for one in found if one.rows]
    empty = [
        Verdict("drift", "unknown", f"{one.column} has no values in the last 3 days.", column=one.column, n=0)
        for one in found if not one.rows
    ]  # fmt: skip
    made.sort(key=lambda one: (not one.bad, -float(str(one.extra.get("impact", 0.0))), -float(str(one.extra["strength"]))))
    return [*gone, *made, *empty, *unjudged] or [_no_columns(looking)]


def _no_columns(looking: _Look) -> Verdict:
    return Verdict("drift", "unknown", f"{looking.version} has no column that can be compared.")


def _gone(looking: _Look, reference: Reference) -> list[Verdict]:
    """Columns of the reference that vanished, or whose type became another kind."""
    schema = looking.frame.collect_schema()
    found = []
    for name, one in reference.cells.columns.items():
        if name not in schema:
            why = f"{name} vanished: {looking.version} has no such column, {looking.watched.table}@{reference.version} had one."
            found.append(Verdict("drift", "failed", why, column=name))
        elif schema[name].is_numeric() != (one.cells.kind == "number") and one.cells.kind != "other":
            why = f"{name} was {one.type} in {looking.watched.table}@{reference.version} and is {schema[name]}: it is not compared."
            found.append(Verdict("drift", "failed", why, column=name))
    return found


def _verdict(looking: _Look, reference: Reference, found: Found, told: Told | None) -> Verdict:
    quiet = reference.quiet
    column, _, segment = found.column.partition(SEGMENT)
    size, least = _sizes(found, segment)
    state = "learning" if not quiet.ready else "drifted" if found.drifted else "passed"
    where = f" where {segment}" if "=" in segment else ""
    why = f"{column}{where}: {size} in the last 3 days ({found.rows:,} values against {quiet.days} days)"
    if quiet.ready:
        why += f"; {found.strength:.2f} x the limit, {least} would have been seen."
    else:
        why += f". {_learning(looking, quiet)}"
    extra: dict[str, Any] = {"strength": round(found.strength, 4), "smallest": found.smallest, "tau": round(quiet.tau, 2)}
    if column in looking.effects and not segment:
        unit, effect = looking.effects[column]
        extra |= {"impact": found.effect * effect, "unit": unit}
    if state == "drifted" and told is not None:
        why += f" {told.evidence}" if told.kind else ""
    kind = told.kind if told is not None and state == "drifted" else None
    limit = found.smallest if quiet.ready else None
    return Verdict("drift", state, why, found.effect, limit, found.rows, column, segment or None, kind, extra)


def _sizes(found: Found, segment: str) -> tuple[str, str]:
    """An effect and the least one that would have been seen, in words."""
    if found.kind == "level":
        return f"off by {found.effect:.1%} from what each {segment.removeprefix(LEVEL)} usually has", f"{found.smallest:.1%}"
    if found.kind == "category":
        return f"{found.effect:.1%} of its rows changed value", f"{found.smallest:.1%}"
    return f"moved like a normal by {found.effect:.3f} of its sd", f"{found.smallest:.3f}"


def _learning(looking: _Look, quiet: Quiet) -> str:
    """What is missing before a day can be judged, and about when it will be there."""
    if not quiet.days:
        return "No day is known to compare with."
    when = looking.today + timedelta(quiet.missing)
    return (
        f"{quiet.days} days are worth {quiet.worth:.0f} independent ones (memory {quiet.tau:.1f} days): alerts start about {when}."
    )


def _kind(looking: _Look, reference: Reference, day: date, drifted: Sequence[Found]) -> Told | None:
    """What kind of shift the drifted columns show, from the rows of both windows; read only when something drifted."""
    if not drifted or not reference.quiet.ready:
        return None
    by, quiet = looking.watched.by, reference.quiet
    start = quiet.end - timedelta(_BEFORE)
    both = looking.frame.filter(pl.col(by).is_between(start, quiet.end) | pl.col(by).is_between(day - timedelta(5), day)).collect()
    before = both.filter(pl.col(by).is_between(start, quiet.end) & ~pl.col(by).is_in(list(quiet.left_out)))
    last = both.filter(pl.col(by) > quiet.end)
    now = last.filter(pl.col(by).is_in(last[by].unique().sort().tail(3).implode()))
    columns = [name for name in looking.frame.collect_schema().names() if name not in {"row", "file"}]
    names = list(dict.fromkeys(one.column.partition(SEGMENT)[0] for one in drifted))
    return tell(before.select(columns), now.select(columns), names)
