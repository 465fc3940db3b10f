"""A table looked at: its days counted, its reference drawn, each new day judged. It reads one version and writes no table.

Owns which days are judged against which reference, and which never came although later ones did. The statistics stand in
`measure`, what is kept in `kept`.

A reference is drawn from the days before those that are judged first, without those on which the table still filled. While it
is worth too little it grows week by week; then it stands, until a model that learns from the table is promoted, or until twice
as many days are known and none of its columns drifts.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from itertools import pairwise, takewhile

import polars as pl

from lightkeeper.lake.table import Lake
from lightkeeper.lake.verdicts import Judged, profiles, references, states
from lightkeeper.measure.quiet_days import DISTANCE
from lightkeeper.values import BAD, TableVersion, Verdict
from lightkeeper.watch.drawing import ENOUGH, Drawing, Watched, awaited, calibrated, comparable, draw, settled, unrepeated
from lightkeeper.watch.drifted import Effects, Rows, gone
from lightkeeper.watch.judged_day import judged_day, missing_day
from lightkeeper.watch.kept import LEVEL, Days, Reference, counted, known_days, last_reference, profile_rows, reference_rows

__all__ = ["Looked", "look"]

HELD = 7  # days that the first reference leaves to be judged
GROWN = 7  # days by which a young reference grows
MOST = 31  # days that came before and are judged again, at most
_TWICE = 2


@dataclass(frozen=True, slots=True)
class Looked:
    """What a look found: the verdicts day by day, the reference (None: nothing was judged), and the days known in its cells."""

    judged: tuple[Judged, ...]
    reference: Reference | None = field(default=None, repr=False)
    known: Days = field(default_factory=Days.none, repr=False)

    def windows(self, verdict: Verdict) -> tuple[list[int], list[int]] | None:
        """The counts of the column or segment that a verdict on the last day names: of the reference, and of the last three days.

        None without any, and for a level: how high a number is beside what its members usually have is no share of rows.
        """
        last, segment, reference = self.judged[-1].day, verdict.segment or "", self.reference
        like = reference.cells.columns.get(verdict.column or "") if reference is not None else None
        if reference is None or like is None or last is None or segment.startswith(LEVEL):
            return None
        days = self.known.between(reference.quiet.start, reference.quiet.end), self.known.upto(last, DISTANCE)
        past, now = (one.counts(like.name, like.cells.size, segment).sum(axis=0).tolist() for one in days)
        return (past, now) if any(past) and any(now) else None


@dataclass(frozen=True, slots=True)
class _Look:
    """One look at one version: the lake, what is declared, the rows, and by whom."""

    lake: Lake
    watched: Watched
    rows: Rows
    run_id: str | None

    @property
    def version(self) -> TableVersion:
        """That is looked at."""
        return self.rows.version

    def past(self) -> list[date]:
        """The days before today, without the last ones that have not come true yet."""
        by, today = self.watched.by, self.rows.today
        days = self.rows.frame.select(pl.col(by).unique()).collect()[by].drop_nulls().sort().to_list()
        past = [day for day in days if day < today]
        coming = awaited(self.rows.frame, by, today) if len(past) < len(days) else set()
        return [day for day in past if day not in coming]

    def count(self, reference: Reference, rows: pl.DataFrame, known: Days) -> Days:
        """Keep the counts of whole days, and give them with those that are known."""
        made = counted(rows, self.watched.by, reference, unrepeated(self.watched, rows))
        new = list(profile_rows(self.watched.table, reference.number, self.version.version, made))
        profiles(self.lake).add(new)
        return known.with_rows(new)

    def keep(self, reference: Reference) -> Reference:
        """Keep a reference."""
        references(self.lake).add(reference_rows(self.watched.table, reference))
        return reference


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
    rows = Rows(version, frame, watched.by, lake.clock().date(), effects or {})
    looking = _Look(lake, watched, rows, run_id)
    days = looking.past()
    reference = last_reference(lake, watched.table)
    if not days:
        return Looked((_nothing(looking, f"{version} has no day before {rows.today}: there is nothing to judge."),))
    if not comparable(watched, frame.collect_schema()):
        return Looked((_nothing(looking, f"{version} has no column but days and times: there is nothing to compare."),))
    if reference is None or _outlived(looking, reference, days, promoted):
        return _first(looking, days, reference)
    return _again(looking, days, reference)


def _nothing(looking: _Look, why: str) -> Judged:
    checks = ("volume", "nulls", "categories", "range", "duplicates", "members", "drift")
    return Judged(looking.version, run_id=looking.run_id,
                  verdicts=tuple(Verdict(check, "unknown", why) for check in checks))  # fmt: skip


def _outlived(looking: _Look, reference: Reference, days: Sequence[date], promoted: datetime | None) -> bool:
    """Whether a reference is drawn anew; never for the number of days alone while a column drifts: that would be the new usual."""
    if promoted is not None and reference.known_at < promoted <= looking.lake.clock():  # else by a clock that went astray
        return True
    if len([day for day in days if day >= reference.quiet.start]) < _TWICE * max(1, reference.quiet.days):
        return False
    mine = (pl.col("asset") == looking.watched.table) & pl.col("check").is_in(["drift", "volume"]) & pl.col("state").is_in(BAD)
    lost = {one.column for one in gone(looking.rows, reference)}  # they come back in no reference but a new one
    return all(row["columns"] and {*row["columns"]} <= lost for row in states(looking.lake).rows(mine).iter_rows(named=True))


def _first(looking: _Look, days: Sequence[date], before: Reference | None) -> Looked:
    """Draw a reference, count every day in its cells, and judge those that it leaves."""
    held = HELD if len(days) >= ENOUGH + HELD else 1
    if before is not None:  # a day that came since the last look is judged
        seen = set(known_days(looking.lake, looking.watched.table, before.number).days)
        new = sum(1 for _ in takewhile(lambda day: day not in seen, reversed(days)))
        if _TWICE * new <= len(days):  # more than all that was known is history, which the reference is drawn from
            held = max(held, min(new, len(days) - ENOUGH))
    by = pl.col(looking.watched.by)
    rows = looking.rows.frame.filter(by <= days[-1]).collect()
    drawn = settled(rows, looking.watched.by, days[:-held] or days)
    why = "the first" if before is None else "a model was promoted, or twice as many days are known"
    number = 1 if before is None else before.number + 1
    drawing = Drawing(number, looking.version.version, looking.lake.clock(), why)
    reference = draw(looking.watched, rows.filter(by.is_between(drawn[0], drawn[-1])), drawing)
    known = looking.count(reference, rows, Days.none())
    reference = looking.keep(calibrated(reference, known.between(drawn[0], drawn[-1])))
    return _judged(looking, reference, known, days[-held:], list(_holes(days, days[-held:])))


def _again(looking: _Look, days: Sequence[date], reference: Reference) -> Looked:
    """Count what changed since the last look, let a young reference grow, and judge the days that changed."""
    ever = known_days(looking.lake, looking.watched.table, reference.number)
    before = known = ever.among(days)
    replaced, there = _replaced(looking, ever), set(before.days)
    changed = [day for day in days if day not in there or replaced is None or day in replaced]
    back = {day for day in set(ever.days) - {*days} if day < days[-1] and (replaced is None or day in replaced)}
    if changed:
        rows = looking.rows.frame.filter(pl.col(looking.watched.by).is_in(changed)).collect()
        known = looking.count(reference, rows, known)
    oldest = min(before.days, default=date.min)
    new = {day for day in set(changed) - set(before.days) if day > oldest}  # what came before all that was known is history
    wanted = sorted({*new, *before.altered(known, changed)[-MOST:], days[-1]})
    first = next((day for day in wanted if day > reference.quiet.end), days[-1])
    grown = [day for day in days if reference.quiet.start <= day < first]  # days before it are none of a reference's
    if not reference.quiet.ready and len(grown) >= reference.quiet.days + len(reference.quiet.left_out) + GROWN:
        older = replace(reference, version=looking.version.version, known_at=looking.lake.clock(), why="it grew by days")
        reference = looking.keep(calibrated(older, known.between(reference.quiet.start, grown[-1])))
    return _judged(looking, reference, known, wanted, [*_holes(known.days, new), *back])


def _replaced(looking: _Look, known: Days) -> frozenset[date] | None:
    """The days that another version has replaced since they were counted last; None where that is not known."""
    last = known.rows["version"].max() if known.rows.height else None
    table, version = looking.version.table, looking.version.version
    return frozenset() if last is None or last >= version else looking.lake.changed(table, int(str(last)), version)  # type: ignore[operator]


# -- judging


def _judged(looking: _Look, reference: Reference, known: Days, days: Sequence[date], missing: Sequence[date]) -> Looked:
    """The verdicts on some days, and on those that have no row any more or yet."""
    found = [(day, judged_day(looking.watched, looking.rows, reference, known, day)) for day in days]
    found += [(day, [verdict]) for day in missing if (verdict := missing_day(reference, known, day))]
    judged = [_day(looking, reference, day, verdicts) for day, verdicts in sorted(found, key=lambda one: one[0])]
    return Looked(tuple(judged), reference, known)


def _holes(known: Sequence[date], new: Collection[date]) -> Iterator[date]:
    """The days without a row right before new ones, back to the day that is known before each; of a long hole the last ones."""
    for earlier, later in pairwise(known):
        if later in new:
            yield from (later - timedelta(n) for n in range(min((later - earlier).days - 1, MOST), 0, -1))


def _day(looking: _Look, reference: Reference, day: date, found: Sequence[Verdict]) -> Judged:
    quiet = reference.quiet
    window = (quiet.start, quiet.end + timedelta(1)) if quiet.days else None
    return Judged(looking.version, day, window, reference.version, looking.run_id, tuple(found))
