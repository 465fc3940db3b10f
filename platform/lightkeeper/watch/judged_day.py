"""One day of a table judged: rows, values, duplicates, members, drift. It reads counts that are known and keeps nothing.

Owns what each check compares a day with. Which days are judged, beside which reference, stands in `tables`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta

import polars as pl

from lightkeeper.measure.anomaly import WINDOWS
from lightkeeper.measure.daily import RECENT, judge
from lightkeeper.measure.member_rows import HISTORY, MemberRows, member_rows
from lightkeeper.measure.norms import volume
from lightkeeper.measure.profile import KNOWN, ColumnProfile
from lightkeeper.measure.rates import nearest, rate
from lightkeeper.values import Verdict, plural
from lightkeeper.watch.drawing import ENOUGH, Watched, earlier
from lightkeeper.watch.drifted import Rows, drift, gone
from lightkeeper.watch.kept import Days, Reference

__all__ = ["judged_day", "missing_day"]

_FLOOR, _FEW_ROWS = 0.005, 2.5  # a share, and rows: so few new or extreme values come by themselves
_LASTING = 0.2  # share by which rows a day must differ for long


@dataclass(frozen=True, slots=True)
class _Seen:
    """A day among those that are known.

    Attributes:
        day: that is judged.
        known: every day that was counted.
        past: the days of the reference, odd ones and the day itself left out.
        rows: of the day.
        repeated: of them; None where that could not be told.
        lost: columns of the reference that vanished or became of another kind; drift tells of them.
        empty: columns without a value in any row of the day.
    """

    day: date
    known: Days = field(repr=False)
    past: Days = field(repr=False)
    rows: int
    repeated: int | None
    lost: Collection[str]
    empty: Collection[str]

    @classmethod
    def of(cls, reference: Reference, known: Days, day: date, lost: Collection[str]) -> _Seen:
        quiet = reference.quiet
        past = known.between(quiet.start, quiet.end) if quiet.days else known.upto(day - timedelta(1))
        kept = [one for one in past.days if one not in set(quiet.left_out) and one != day]
        now = known.between(day, day)
        rows, repeated = now.volume().select("rows", "repeated").row(0) if now.rows.height else (0, 0)
        empty = now.rows.filter(pl.col("segment") == "", pl.col("rows") > 0, pl.col("nulls") == pl.col("rows"))["column"].to_list()
        return cls(day, known, Days(past.rows.filter(pl.col("day").is_in(kept))), rows, repeated, lost, empty)


def judged_day(watched: Watched, rows: Rows, reference: Reference, known: Days, day: date) -> list[Verdict]:
    """The verdicts of every check on one day.

    Args:
        watched: what is declared of the table.
        rows: of the version that is looked at.
        reference: what days are compared with.
        known: the days that were counted in its cells, this one among them.
        day: that is judged.
    """
    seen = _Seen.of(reference, known, day, {str(one.column) for one in gone(rows, reference)})
    found = [
        _volume(reference, seen),
        *_rates(reference, seen),
        _repeats(watched.key, seen) if watched.key else _duplicates(seen),
        _members(watched, reference, seen),
        *drift(rows, reference, known, day),
        *_unsegmented(watched, rows, seen.lost),
    ]
    if day >= reference.quiet.start:
        return found
    return [one if watched.key and one.check == "duplicates" else _beside(reference.quiet.start, one) for one in found]


def missing_day(reference: Reference, known: Days, day: date) -> Verdict | None:
    """The verdict `volume` on a day without any row before others that have some; None where that is usual or cannot be told."""
    seen = _Seen.of(reference, known, day, ())
    found = volume(_rows_a_day(reference, seen), day, 0)
    return replace(found, kind="arrival", why=f"{found.why} Later days have rows.") if found.bad else None


def _unsegmented(watched: Watched, rows: Rows, lost: Collection[str]) -> list[Verdict]:
    """Columns whose segments are declared and that are not there; of a column that the reference still has drift tells."""
    there = {*rows.frame.collect_schema(), *lost}
    why = f"is declared to be watched by its segments, and {rows.version} has no such column."
    return [Verdict("drift", "unknown", f"{name} {why}", column=name) for name in watched.segments if name not in there]


def _beside(start: date, one: Verdict) -> Verdict:
    """Of a day before the reference, when the table may have filled still: it can be as usual; that it is not says nothing."""
    if not one.bad:
        return one
    why = f"{one.why} The day lies before the reference, which begins on {start}: what was usual then is not known."
    return replace(one, state="unknown", why=why)


def _volume(reference: Reference, seen: _Seen) -> Verdict:
    """A day that is far off on its own; else days that are off together."""
    alone = volume(_rows_a_day(reference, seen), seen.day, seen.rows)
    window = seen.known.upto(seen.day, RECENT)
    found = judge(reference.volume, [one.toordinal() for one in window.days], [window.volumes()], floor=_LASTING)
    if alone.bad or not found or not reference.volume.ready:
        return alone
    one = found[0]
    why = f"{alone.why} The last 3 days together lie {one.told} what is usual: {one.strength:.2f} x the limit of such days."
    extra = {**alone.extra, "strength": round(one.strength, 4), "smallest": one.smallest}
    if not one.drifted:
        return replace(alone, why=why, extra=extra)
    return replace(alone, state="failed", why=why, measured=one.strength, limit=1.0, n=one.rows, extra=extra)


def _rows_a_day(reference: Reference, seen: _Seen) -> pl.DataFrame:
    """Day and rows of the reference, with those days on which there were none; odd ones are left out."""
    there = seen.past.volume().select("day", "rows")
    if there.is_empty():
        return there
    quiet = reference.quiet
    end = quiet.end if quiet.days else seen.day - timedelta(1)
    days = pl.DataFrame({"day": pl.date_range(there["day"].min(), end, eager=True)})  # type: ignore[arg-type]
    wanted = days.filter(~pl.col("day").is_in([*quiet.left_out, seen.day]))
    return wanted.join(there, on="day", how="left").with_columns(pl.col("rows").fill_null(0))


def _duplicates(seen: _Seen) -> Verdict:
    """Rows of a day that repeat another one, beside how many usually do."""
    history = [(repeated or 0, rows) for _, rows, repeated in seen.past.volume().iter_rows()]
    return rate("duplicates", None, history, seen.repeated or 0, seen.rows)


def _repeats(key: Sequence[str], seen: _Seen) -> Verdict:
    """Rows of a day that share their key with another: none may."""
    named = ", ".join(key)
    if seen.repeated is None:
        return Verdict("duplicates", "unknown", f"Rows that share their key ({named}) were not counted: a column of it is missing.")
    why = f"{seen.repeated:,} of {seen.rows:,} rows share their key ({named}) with another row of their day."
    state = "failed" if seen.repeated else "passed"
    return Verdict("duplicates", state, why, seen.repeated / max(seen.rows, 1), 0.0, seen.rows)


def _members(watched: Watched, reference: Reference, seen: _Seen) -> Verdict:
    """Values of text columns whose rows are odd; how many rows a value of a key has is what the key makes it."""
    recent, left_out = seen.known.between(seen.day - timedelta(HISTORY + 2 * max(WINDOWS)), seen.day), {*watched.key, *seen.lost}
    cells = {
        name: one.cells
        for name, one in reference.cells.columns.items()
        if one.cells.kind == "category" and one.cells.categories and name not in left_out
    }
    empty = [name for name in cells if name in seen.empty]
    columns = [
        MemberRows(name, one.categories, recent.counts(name, one.size)[:, :-2]) for name, one in cells.items() if name not in empty
    ]
    found = member_rows(recent.days, columns, recent.volume()["rows"].to_numpy())
    return replace(found, state="unknown", why=f"{_valueless(empty, seen.rows)} {found.why}") if empty and not found.bad else found


def _rates(reference: Reference, seen: _Seen) -> list[Verdict]:
    """Nulls, new categories and values out of range: those columns that fail, else the one that comes nearest to its limit."""
    made: dict[str, list[Verdict]] = {"nulls": [], "categories": [], "range": []}
    columns, past, today = reference.cells.columns, seen.past.columns(), seen.known.between(seen.day, seen.day).columns()
    nothing = seen.known.rows.clear()
    for name, like in columns.items():
        if name in seen.lost:
            continue
        same = pl.col("counts").list.len() == like.cells.size  # else the column was of another type that day
        history, now = past.get(name, nothing).filter(same), today.get(name, nothing).filter(same)
        for check, expression in _counts_of(like):
            if name in seen.empty and check != "nulls":
                made[check].append(Verdict(check, "unknown", _valueless([name], seen.rows), column=name))
                continue
            pairs = [tuple(pair) for pair in history.select(expression, "rows").iter_rows()]
            if check == "categories" and len(pairs) >= ENOUGH:
                pairs = pairs[earlier(len(pairs)) :]
            k, n = now.select(expression, "rows").row(0) if now.height else (0, 0)
            floor = _FLOOR if check == "nulls" or not n else min(max(_FLOOR, _FEW_ROWS / n), 0.5)
            made[check].append(rate(check, name, pairs, k, n, floor))
    unlisted = [name for name, one in columns.items() if one.cells.kind == "category" and one.cells.known is None]
    lost = [name for name in columns if name in seen.lost]
    return [
        *_told("nulls", made["nulls"], blind=lost),
        *_told("categories", made["categories"], unlisted, [name for name in lost if columns[name].cells.kind == "category"]),
        *_told("range", made["range"], blind=[name for name, one in columns.items() if name in lost or one.cells.endless]),
    ]


def _valueless(names: Sequence[str], rows: int) -> str:
    return f"None of the {plural(rows, 'row')} of the day has a value of {', '.join(names)}: nothing could be judged of it."


def _counts_of(like: ColumnProfile) -> list[tuple[str, pl.Expr]]:
    """What is counted of a column for each check: rows without a value, of a new value, outside the range."""
    counts, found = pl.col("counts").list, [("nulls", pl.col("nulls"))]
    if like.cells.kind == "number" and not like.cells.endless:
        found.append(("range", counts.first() + counts.last()))
    if like.cells.kind == "category" and like.cells.known is not None:
        found.append(("categories", counts.last()))
    return found


def _told(check: str, found: Sequence[Verdict], unlisted: Sequence[str] = (), blind: Sequence[str] = ()) -> list[Verdict]:
    """The verdicts of a check, which say what they do not cover; where that is all there is, nothing was judged.

    Args:
        check: its name.
        found: of each column that could be judged.
        unlisted: columns with more values than are listed.
        blind: columns that cannot be compared with the reference.
    """
    said = f"{', '.join(blind)} cannot be compared with the reference"
    if not found and blind:
        return [Verdict(check, "unknown", f"{said}, and no other column can show it.")]
    beside = f" New values of {', '.join(unlisted)} are not noticed: more than {KNOWN:,} were known." if unlisted else ""
    beside += f" {said}." if blind else ""
    if not found and unlisted:
        return [Verdict(check, "unknown", beside.strip())]
    if not found:
        return [Verdict(check, "passed", "No column of this table can show it.", 0.0, 0.0)]
    told = nearest(check, found, f"All {len(found)} columns." if len(found) > 1 else "Its one column.")
    return [replace(told[0], why=told[0].why + beside), *told[1:]]
