"""Members of a text column that have far more or fewer rows than usual of them: a product that sells three times as often. Pure.

The sum of a number is ruled by its largest rows; how many rows a member has is far steadier, and shows the same change days
earlier. Counts are compared by their roots, which vary alike whether they are many or few (Anscombe 1948): the root of a day's
count beside the mean root of the member on such weekdays, times the root of what the day has of rows beside such days. So a day
on which all buy less is no oddity of one; as its oddest member is left out of that, one that triples makes no others look few;
and where members lose rows that the table still has, they are too few. The last days are tested as those of series are
(`anomaly`), all columns of a table in one family, and one odd day is no alarm.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lightkeeper.measure.anomaly import BAND_OF_SD, WINDOWS, adjusted, anomalies, more_than_a_day
from lightkeeper.values import Verdict, plural

__all__ = ["CHECK", "HISTORY", "MemberRows", "member_rows"]

CHECK = "members"
HISTORY = 182  # days that are looked back on
_SEEN = 14  # days on which a member has rows: an invoice's number never comes again
_WRONG, _WRONG_TOGETHER = 0.05, 0.025  # shares of the named members that may be named wrongly; of days together, which alone alarm
_LEAST, _LEAST_WIDTH = 0.25, 0.1  # widths of a member that hardly varies: of the median width, and at all
_MIRRORED = 0.95  # correlation with a member of another column, from which it is the same thing by another name
_FEW = 3  # members of which one can be the odd one
_KEYS = ("column", "member")


Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class MemberRows:
    """Rows a member and day of one column.

    Attributes:
        column: its name.
        members: (m,), their names.
        counts: (days, m), rows.
    """

    column: str
    members: Sequence[str]
    counts: Ints = field(repr=False)

    def of(self, member: str) -> Ints:
        """(days,), the rows of one member."""
        return self.counts[:, list(self.members).index(member)]


def member_rows(days: Sequence[date], columns: Sequence[MemberRows], rows: Ints) -> Verdict:
    """Whether members of some columns have rows that are not usual of them on the last day, or on the last days together.

    Args:
        days: ascending; those on which the table has rows, the last one judged.
        columns: of the table; members with rows on fewer than 14 days before the last ten are left out, and columns that mirror
            another.
        rows: (days,), of the table, those of no member among them: how large each day is.

    Returns:
        The verdict `members`: measured is the number of odd members, n that of the members; `extra` has the clearest one: member,
        rows, usual (over `window` days). Learning while the days allow no member to be named; passed where no column has any.
    """
    past = np.array([day <= days[-1] - timedelta(2 * max(WINDOWS)) for day in days], bool)  # what the last days are beside
    judged = _distinct(columns, past)
    scores = [scored for one in judged if (scored := _scores(days, past, one, rows)) is not None]
    members = sum(one["member"].n_unique() for one in scores)
    if not scores:
        return _without(days, columns, judged)
    today, least = _tested(scores, days[-1])
    odd = (today["q"] <= _WRONG).any()
    before = _tested([one.filter(pl.col("day") < days[-1]) for one in scores], days[-2])[0] if odd else today.clear()
    alarm = more_than_a_day(today, before, _KEYS, _WRONG, _WRONG_TOGETHER)
    named = ", ".join(dict.fromkeys(one["column"][0] for one in scores))
    said = f"{alarm.height} of {members} values of {named} have far more or fewer rows than usual of them for days"
    controlled = f"{said} (false discoveries held at {_WRONG:.0%})"
    if not alarm.height:
        if members * least > _WRONG:
            return Verdict(CHECK, "learning", f"{controlled}; no single one could be named by {len(days)} days: more are needed.",
                           0.0, 0.0, members)  # fmt: skip
        return Verdict(CHECK, "passed", f"{controlled}; by these {len(days)} days p can be as low as {least:.2g}.", 0.0, 0.0,
                       members)  # fmt: skip
    first = alarm.row(0, named=True)
    mine = next(one for one in judged if one.column == first["column"]).of(first["member"])
    has, usual = int(mine[-first["window_days"] :].sum()), float(mine[past].mean() * first["window_days"])
    span = f"{first['window_days']} days" if first["window_days"] > 1 else "a day, again"
    why = f"{controlled}: {first['column']} {first['member']} has {has} in {span}, usually {usual:.1f}."
    extra = {"member": first["member"], "rows": has, "usual": usual, "window": first["window_days"], "p": first["p"]}
    return Verdict(CHECK, "failed", why, float(alarm.height), 0.0, members, first["column"], extra=extra)


def _without(days: Sequence[date], columns: Sequence[MemberRows], judged: Sequence[MemberRows]) -> Verdict:
    """Where no column has members that come again, or none of them has had such a day."""
    missing = 2 * _SEEN - len(days)
    if judged:
        return Verdict(CHECK, "learning", f"No {days[-1]:%A} is known yet that {days[-1]} could be compared with.")
    if columns and missing > 0:
        known = plural(len(days), "day is", "days are")
        return Verdict(CHECK, "learning", f"{known} known; {plural(missing, 'more tells', 'more tell')} which values come again.")
    return Verdict(CHECK, "passed", "No column of this table, its key aside, has values that come again day by day.", 0.0, 0.0)


def _distinct(columns: Sequence[MemberRows], past: NDArray[np.bool_]) -> list[MemberRows]:
    """The columns, each with the members that come again; those left out that are another one under other names."""
    kept: list[MemberRows] = []
    for one in columns:
        lasting = (one.counts[past] > 0).sum(axis=0) >= _SEEN
        names = [name for name, there in zip(one.members, lasting, strict=True) if there]
        mine = MemberRows(one.column, names, one.counts[:, lasting])
        if names and not any(_mirrors(mine, other) for other in kept):
            kept.append(mine)
    return kept


def _mirrors(one: MemberRows, other: MemberRows) -> bool:
    """Whether most members have the rows of a member of the other column, day by day."""
    varying, others = (each.counts[:, each.counts.std(axis=0) > 0] for each in (one, other))
    if not varying.size or not others.size:
        return False
    alike = np.corrcoef(varying, others, rowvar=False)[: varying.shape[1], varying.shape[1] :]
    return bool((alike.max(axis=1) > _MIRRORED).mean() > 0.5)  # noqa: PLR2004 - most


def _scores(days: Sequence[date], past: NDArray[np.bool_], one: MemberRows, rows: Ints) -> pl.DataFrame | None:
    """A row a member and day, as `anomalies` takes them: roots of counts, what is usual, half widths; None without such a day."""
    weekdays, roots = np.array([day.weekday() for day in days]), np.sqrt(one.counts + 0.375)
    usual = _usual(weekdays, past, one.counts, rows, np.full(len(days), -1))
    if len(one.members) >= _FEW:  # one that triples would make the others look few: the oddest of a day says not how large it is
        away = np.abs(roots - usual)
        usual = _usual(weekdays, past, one.counts, rows, np.where(np.isnan(away).any(axis=1), -1, away.argmax(axis=1)))
    known = ~np.isnan(usual.sum(axis=1))
    if (known & past).sum() < _SEEN or not known[-1]:
        return None
    widths = BAND_OF_SD * (roots - usual)[known & past].std(axis=0, ddof=1)
    widths = np.maximum(widths, max(_LEAST * float(np.median(widths)), _LEAST_WIDTH))
    known_days, m = int(known.sum()), len(one.members)
    judged = [day for day, there in zip(days, known, strict=True) if there]
    return pl.DataFrame({
        "column": pl.Series([one.column] * (known_days * m), dtype=pl.String),
        "member": pl.Series([*one.members] * known_days, dtype=pl.String),
        "day": pl.Series(judged, dtype=pl.Date).gather(np.repeat(np.arange(known_days), m)),
        "actual": roots[known].ravel(), "forecast": usual[known].ravel(), "width": np.tile(widths, known_days),
    })  # fmt: skip


def _usual(weekdays: Ints, past: NDArray[np.bool_], counts: Ints, rows: Ints, left_out: Ints) -> NDArray[np.float64]:
    """(days, m): of each member the usual root on such weekdays, times the root of how large the day is beside them.

    A past day is compared with the others, as the judged ones are. How large a day is is told by the members, without the one that
    is left out on it (-1: none); where they shrank more than the table, by the table. NaN where no such day is known.
    """
    roots, usual = np.sqrt(counts + 0.375), np.full(counts.shape, np.nan)
    beside = np.hstack([counts, np.zeros((len(counts), 1), counts.dtype)])  # the last one, without rows, where none is left out
    totals, table = counts.sum(axis=1) + 0.375, rows + 0.375
    for weekday in np.unique(weekdays):
        mine = weekdays == weekday
        whole, sizes = roots[mine & past].sum(axis=0), totals[mine & past].sum() - beside[mine & past].sum(axis=0)
        for day in np.flatnonzero(mine):
            own, out = bool(past[day]), left_out[day]
            others, total = int((mine & past).sum()) - own, totals[day] - beside[day, out]
            if others:
                size = total * others / (sizes[out] - own * total)
                of_table = table[day] * others / (table[mine & past].sum() - own * table[day])
                usual[day] = (whole - own * roots[day]) / others * np.sqrt(max(size, min(1.0, of_table)))
    return usual


def _tested(scores: Sequence[pl.DataFrame], last: date) -> tuple[pl.DataFrame, float]:
    """The members of all columns, the oddest first, q over all of them; and the least p that a column allows."""
    recent, found, least = pl.col("day") > last - timedelta(2 * max(WINDOWS)), [], 1.0
    for one in scores:
        members, verdict = anomalies(one.filter(recent), one.filter(~recent), _KEYS, _WRONG, common=False)
        found.append(members)
        least = min(least, float(str(verdict.extra["smallest_p"])))
    every = pl.concat(found)
    return every.with_columns(q=pl.Series(adjusted(every["p"].to_numpy()), dtype=pl.Float64)).sort("p", *_KEYS), least
