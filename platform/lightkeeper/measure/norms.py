"""What is usual of a number of a day or of a run, learnt from its own past: rows of a day, run time, memory.

Owns the norm (median and spread of the logarithm) and the verdicts that need nothing else. Where days and runs come from,
and what is done with a run that takes too long, stay out.

The spread is 1.4826 x the median absolute deviation (Hampel 1974), which a third of bad days does not move. The limit lies
6.5 x (1 + 8 / n) spreads away, within a group of m values 6.5 x (1 + 3 / m): what leaves out 0.2% of the days where the
logarithm has the tails of Student's t with 4 degrees, and as n or m fall also the error of median and spread. Simulated with
n of 8 to 365, and with 7 groups of 4 to 26: beyond it lay at most 0.01% of normal days, 0.14 to 0.20% of t(4) days, 0.10 to
0.17% of Laplace days, up to 0.5% of t(3) days; of 507 days of a shop (Online Retail II) against their last 8 weeks none, the
farthest at 6.7 spreads. Less is not seen: with a day's spread of 5% rows must fall below 0.64 of usual, after 8 weeks.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lightkeeper.errors import Refused, TooLittle
from lightkeeper.values import Verdict, plural

__all__ = ["FEWEST", "Norm", "run_time", "volume"]

_Floats = NDArray[np.float64]

FEWEST = 8  # values that a norm is learnt from
_OF_GROUP = 4  # values of a group with a centre of its own
_TO_SD = 1.4826  # of a normal, times the median absolute deviation
_FAR = 6.5  # spreads: the 99.9% quantile of Student's t(4) in units of its own normalised MAD
_FLOOR = 0.05  # the least spread of a logarithm: 5%
_FLOOR_OF_RUNS = 0.1  # a machine is never as steady as that
_ALIKE = 2  # such weekdays, without which a day is not judged
_VARIES = 2.0  # times that row counts must vary for a slope
_OFTEN = 0.2  # share of a weekday's days without rows from which such a day is usual
_OF_RUN = {"run_time": ("seconds", "s", 1.0), "peak_memory": ("peak_mb", "MB", 100.0)}  # column, unit, never fails that close


@dataclass(frozen=True, slots=True)
class Norm:
    """What is usual: a centre, and how far a value may lie from it, both of the logarithm.

    Attributes:
        n, centre: values learnt from, and their median.
        spread: their robust standard deviation around the centre, or around those of their groups.
        groups: of each group with at least 4 values its median and number, where all spread is measured around those.
        few: the same of groups with fewer.
    """

    n: int
    centre: float
    spread: float
    groups: Mapping[Hashable, tuple[float, int]] = field(default_factory=dict)
    few: Mapping[Hashable, tuple[float, int]] = field(default_factory=dict)

    @classmethod
    def of(cls, values: Sequence[float] | _Floats, groups: Sequence[Hashable] | None = None, floor: float = _FLOOR) -> Norm:
        """The norm of positive values.

        Args:
            values: at least 8, above 0.
            groups: of each, such as its weekday; they count once those with 4 values have 8 together.
            floor: the least spread.

        Raises:
            TooLittle: fewer than 8 values.
            Refused: a value is not above 0 or not finite, or there is not one group a value.
        """
        found = np.asarray(values, np.float64)
        _check(found, groups)
        logs = np.log(found)
        told = {} if groups is None else _centres(logs, groups)
        own = {group: one for group, one in told.items() if one[1] >= _OF_GROUP}
        few = {group: one for group, one in told.items() if group not in own}
        if groups is None or sum(count for _, count in own.values()) < FEWEST:
            own, few, off = {}, told, logs - np.median(logs)
        else:
            off = np.array([log - own[group][0] for log, group in zip(logs, groups, strict=True) if group in own])
        spread = max(floor, _TO_SD * float(np.median(np.abs(off))))
        return cls(len(found), float(np.median(logs)), spread, own, few)

    def usual(self, group: Hashable = None) -> float:
        """The middle of what is usual, in the unit of the values."""
        return float(np.exp(self.groups[group][0] if group in self.groups else self.centre))

    def limits(self, group: Hashable = None) -> tuple[float, float]:
        """(low, high) in the unit of the values; of a group with few values, where these may lie and where all may."""
        centre, m = self.groups.get(group, (self.centre, 0))
        reach = self.spread * _FAR * (1 + max(FEWEST / self.n, 3 / m if m else 0.0))
        other = self.few[group][0] if group in self.few else centre
        return float(np.exp(min(centre, other) - reach)), float(np.exp(max(centre, other) + reach))


def _check(found: _Floats, groups: Sequence[Hashable] | None) -> None:
    _positive(found)
    if found.ndim != 1 or (groups is not None and len(groups) != len(found)):
        raise Refused(f"A norm of values of shape {found.shape}: give one number, and one group if any, a day.")
    if len(found) < FEWEST:
        raise TooLittle(f"A norm of {len(found)} values: it needs {FEWEST}, {FEWEST - len(found)} more.")


def _positive(values: _Floats) -> None:
    wrong = values[~(np.isfinite(values) & (values > 0))]
    if len(wrong):
        raise Refused(f"Of {len(values)} numbers, all to be above 0, {len(wrong)} are not, such as {wrong[0]}: leave them out.")


def _centres(logs: _Floats, groups: Sequence[Hashable]) -> dict[Hashable, tuple[float, int]]:
    places = {group: [one == group for one in groups] for group in set(groups)}
    return {group: (float(np.median(logs[at])), sum(at)) for group, at in places.items()}


def volume(day_counts: pl.DataFrame, day: date, rows: int) -> Verdict:
    """Whether a day has as many rows as such a weekday usually has; too few and too many fail.

    Args:
        day_counts: `day` (Date, each once), `rows` (whole number, 0 for a day without any) of the days that tell what is
            usual, best half a year; those from `day` on are left out, and a day that is missing tells nothing.
        day: that is judged, a whole one.
        rows: of it.

    Returns:
        Check volume. Learning with fewer than 8 days that have rows, or fewer than 2 of the weekday. No rows fail where the
        lower limit is 1 or more, unless a fifth of such weekdays, and 2 of them, had none; that excuses no day with some rows.
        `extra`: usual, low, high.

    Raises:
        Refused: a column is missing or of another type, a number is null or below 0, or a day comes twice.
    """
    dates, counts = _counted(day_counts, day, rows)
    some = [(one, count) for one, count in zip(dates, counts, strict=True) if count > 0]
    same = [count for one, count in zip(dates, counts, strict=True) if one.weekday() == day.weekday()]
    empty = same.count(0)
    seldom = empty >= max(2, _OFTEN * len(same))  # rows on such a day are not certain
    said, alike = f"{plural(rows, 'row')} on {day:%A} {day}", len(same) - empty
    if len(some) < FEWEST or (alike < _ALIKE and not seldom):
        missing = f"{max(0, FEWEST - len(some))} and {0 if seldom else max(0, _ALIKE - alike)} are missing"
        why = f"{said}; what is usual is learnt from {FEWEST} days with rows, {_ALIKE} of them {day:%A}s, of which {missing}."
        return Verdict("volume", "learning", why, rows, n=len(some))
    middle = float(np.median([count for _, count in some]))
    norm = Norm.of([count for _, count in some], [one.weekday() for one, _ in some], max(_FLOOR, middle**-0.5))
    usual, (low, high) = norm.usual(day.weekday()), norm.limits(day.weekday())
    low = 0.0 if low < 1 or (seldom and not rows) else low
    why = (
        f"{said}; usual are {usual:,.0f}, and {low:,.0f} to {high:,.0f} are within the limits, by {alike} {day:%A}s with rows"
        f" of {len(some)} days{f' and {empty} without' if empty else ''}."
    )
    extra = {"usual": usual, "low": low, "high": high}
    state, limit = "passed" if low <= rows <= high else "failed", low if rows < usual else high
    return Verdict("volume", state, why, rows, limit, len(some), extra=extra)


def _counted(frame: pl.DataFrame, day: date, rows: int) -> tuple[list[date], list[int]]:
    """The days before `day`, each once, and their rows."""
    if frame.schema.get("day") != pl.Date or not frame.schema.get("rows", pl.Null()).is_integer():
        raise Refused(f"Counts of days with {dict(frame.schema)}: give day, a date, and rows, a whole number.")
    if rows < 0 or frame.null_count().sum_horizontal()[0] or frame.filter(pl.col("rows") < 0).height:
        raise Refused(f"{rows} rows on {day}, or counts of days with a null or one below 0: give the rows of each day.")
    if twice := frame.height - frame["day"].n_unique():
        raise Refused(f"{twice} days are counted twice: give each day once.")
    before = frame.filter(pl.col("day") < day).sort("day")
    return before["day"].to_list(), before["rows"].to_list()


def run_time(
    history: pl.DataFrame, seconds: float, peak_mb: float | None, rows: int | None, declared_max_seconds: float | None = None
) -> list[Verdict]:
    """Whether a run took longer or more memory than runs with as many rows do.

    Where rows varied by more than 2 x, values follow them with the slope of the logarithms after Theil (1950) and Sen (1968), 0
    to 2; beyond the most rows so far at least 1, below the fewest 0.

    Args:
        history: `seconds`, `peak_mb` (null where unknown), `rows` (null where unknown), of successful runs, best the last 100.
        seconds: of the run; above 0, as all others.
        peak_mb: its peak memory in MB, or None.
        rows: that it wrote or read, or None.
        declared_max_seconds: judged against while fewer than 8 runs are known.

    Returns:
        Checks run_time (a run fails beyond the limit and 1 s above the norm), peak_memory (and 100 MB above it) and
        rows_per_second, the first one told in rows a second. `extra` of a judged one: norm, twice_limit.

    Raises:
        Refused: a column is missing, a number is not above 0 or not finite, rows are below 0.
    """
    if missing := [name for name in ("seconds", "peak_mb", "rows") if name not in history.columns]:
        raise Refused(f"Runs with columns {history.columns}: {', '.join(missing)} is missing.")
    if rows is not None and rows < 0:
        raise Refused(f"A run with {rows} rows: give how many it wrote or read, or None.")
    past = history.select(pl.col("seconds", "peak_mb", "rows").cast(pl.Float64))
    slow = _of_run("run_time", past, seconds, rows)
    if slow.state == "learning" and declared_max_seconds is not None:
        slow = _declared(slow, seconds, declared_max_seconds)
    return [slow, _of_run("peak_memory", past, peak_mb, rows), _in_rows(slow, seconds, rows)]


def _of_run(check: str, past: pl.DataFrame, measured: float | None, rows: int | None) -> Verdict:
    column, unit, slack = _OF_RUN[check]
    known = past.filter(pl.col(column).is_not_null())
    values = known[column].to_numpy()
    _positive(values if measured is None else np.append(values, measured))
    if measured is None:
        return Verdict(check, "unknown", f"Nothing was measured of {check} in this run, to compare with n {known.height}.")
    if known.height < FEWEST:
        return Verdict(check, "learning", f"{_figure(measured)} {unit}; {_lacking(known.height)}", measured, n=known.height)
    norm = Norm.of(_as_with(values, known["rows"].to_numpy(), rows), floor=_FLOOR_OF_RUNS)
    usual, limit = norm.usual(), max(norm.limits()[1], norm.usual() + slack)
    state = "failed" if measured > limit else "passed"
    why = f"{_figure(measured)} {unit}; usual are {_figure(usual)}, and the limit is {_figure(limit)}, by {norm.n} runs."
    return Verdict(check, state, why, measured, limit, norm.n, extra={"norm": usual, "twice_limit": 2 * limit})


def _as_with(values: _Floats, of: _Floats, rows: int | None) -> _Floats:
    """The values as they would have been with as many rows; as they are where rows varied little or are not known."""
    known = of > 0  # a null is not
    if not rows or known.sum() < FEWEST or of[known].max() <= _VARIES * of[known].min():
        return values
    y, x, at = np.log(values[known]), np.log(of[known]), np.log(rows)
    slope = min(max(_slope(y, x), 0.0), 2.0)
    moved = slope * (np.clip(at, x.min(), x.max()) - x) + max(slope, 1.0) * max(at - x.max(), 0.0)
    return np.asarray(np.exp(y + moved), np.float64)


def _slope(y: _Floats, x: _Floats) -> float:
    """The median of the slopes of all pairs that differ in x, as `scipy.stats.theilslopes` gives it."""
    one, other = np.triu_indices(len(x), 1)
    apart = x[other] - x[one]
    return float(np.median((y[other] - y[one])[apart != 0] / apart[apart != 0]))


def _declared(learning: Verdict, seconds: float, most: float) -> Verdict:
    state, extra = "failed" if seconds > most else "passed", {"norm": None, "twice_limit": 2 * most}
    why = (
        f"{_figure(seconds)} s; the declared limit is {most:,.1f} s, and holds until {FEWEST} runs are known, with n {learning.n}."
    )
    return Verdict("run_time", state, why, seconds, most, learning.n, extra=extra)


def _lacking(n: int) -> str:
    return f"the norm is learnt from {FEWEST} runs, and {plural(FEWEST - n, 'is', 'are')} missing."


def _figure(value: float) -> str:
    """`1,234.5`; two digits of what is small: a model has one row after a minute."""
    return f"{value:,.1f}" if value >= 1 or not value else f"{value:.2g}"


def _in_rows(slow: Verdict, seconds: float, rows: int | None) -> Verdict:
    check, norm = "rows_per_second", slow.extra.get("norm")
    if not rows:
        had = "How many rows the run has is not known" if rows is None else f"The run has 0 rows in {_figure(seconds)} s"
        return Verdict(check, "unknown", f"{had}: no rate, no limit, n {slow.n}.", n=slow.n)
    if slow.limit is None or not isinstance(norm, float):
        return Verdict(check, "learning", f"{_figure(rows / seconds)} rows a second; {_lacking(slow.n)}", rows / seconds, n=slow.n)
    rate, usual, least = rows / seconds, rows / norm, rows / slow.limit
    why = f"{_figure(rate)} rows a second; usual are {_figure(usual)}, and the limit is {_figure(least)}, by {slow.n} runs."
    return Verdict(check, slow.state, why, rate, least, slow.n, extra={"norm": usual, "twice_limit": least / 2})
