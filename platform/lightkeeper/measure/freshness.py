"""Whether data are as new as they usually are, and a model as new as its data. Pure: the time is passed in.

Owns what is learnt from earlier arrivals, and the verdicts on age: of the newest day alone. Where arrivals are recorded stays out;
a day without rows, after which others came, is `norms.volume`'s.

A weekday is expected when it was there in at least half of the last 8 weeks. A day is late when it comes later than its
weekday's median delay by more than 6 x what 90% of the days stay within, each measured from its weekday's median, and by an
hour at least. Of 3,600 simulated days each after 8 weeks, with an exponential tail 0.08% were late, with a lognormal one
(sd 0.6) 0.14%, of normal ones none; after 3 weeks, without weekdays of their own, none. More than 7 days that came within 24
hours (a first load, a repair, in one run or in many) tell nothing of delays. Delays by which a day would be late only two weeks
after its usual time are still learning.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

import numpy as np
import polars as pl

from lightkeeper.errors import BadDeclaration, Refused
from lightkeeper.values import Verdict, plural

__all__ = ["FEWEST", "Usual", "arrivals", "fresh", "model_age", "span"]

FEWEST = 14  # days from the first to the last that arrived, to tell weekdays; arrivals, to tell delays
_WEEKS = 8
_OF_WEEKDAY = 6  # arrivals from which a weekday has a delay of its own
_AT_ONCE, _BATCH = 7, timedelta(hours=24)  # event days that come by themselves in so long
_FAR = 6.0  # times
_HOUR = timedelta(hours=1)
_LONGEST = timedelta(days=14)  # after its usual time: a day that is late only then is hardly ever late
_UNITS = {"h": "hours", "d": "days", "m": "minutes"}


def span(text: str) -> timedelta:
    """`span("26h")`, `span("3d")`, `span("90m")`. Raises BadDeclaration for anything else."""
    number, unit = text[:-1], text[-1:]
    if unit not in _UNITS or not number.isascii() or not number.isdigit() or int(number) == 0:
        raise BadDeclaration(f"{text!r} is no span of time: write 26h, 3d or 90m.")
    return timedelta(**{_UNITS[unit]: int(number)})


@dataclass(frozen=True, slots=True)
class Usual:
    """When data usually arrive.

    Attributes:
        days: event days that arrived in the last 8 weeks.
        span: days from the first to the last of them.
        weekdays: expected ones, Monday is 0.
        median: of each expected weekday, after the start of the event day (UTC); empty with fewer than 14 arrivals to learn from.
        limit: the same, when it is late.
    """

    days: int
    span: int
    weekdays: frozenset[int]
    median: Mapping[int, timedelta]
    limit: Mapping[int, timedelta]

    def expects(self, day: date) -> bool:
        """Whether a day like this has data."""
        return day.weekday() in self.weekdays

    def late_at(self, day: date) -> datetime:
        """When an expected day is late."""
        return _start(day) + self.limit[day.weekday()]


def arrivals(files: pl.DataFrame) -> Usual:
    """What is usual, from what arrived in the 8 weeks up to the newest event day.

    Args:
        files: `day` (Date, of the events), `arrived` (Datetime, UTC), a row a file; the first file of a day counts.

    Raises:
        Refused: a column is missing, of another type or null.
    """
    if files.schema.get("day") != pl.Date or files.schema.get("arrived") not in [pl.Datetime(u, "UTC") for u in ("ms", "us", "ns")]:
        raise Refused(f"Arrivals with {dict(files.schema)}: give day, a date, and arrived, a time in UTC.")
    if files.select("day", "arrived").null_count().sum_horizontal().sum():
        raise Refused("Arrivals with a null: give the event day and the time of each file.")
    first = files.group_by("day").agg(pl.col("arrived").min()).sort("day")
    newest = first["day"].max()
    if not isinstance(newest, date):
        return Usual(0, 0, frozenset(), {}, {})
    last = first.filter(pl.col("day") > newest - timedelta(weeks=_WEEKS))
    days = last["day"].to_list()
    span = (newest - days[0]).days + 1
    seen = np.bincount([day.weekday() for day in days], minlength=7)
    possible = np.bincount([(newest - timedelta(days=n)).weekday() for n in range(span)], minlength=7)
    weekdays = frozenset(int(one) for one in np.flatnonzero((seen > 0) & (seen >= possible / 2)))
    median, limit = _delays(last.filter(~_at_once(last["arrived"])), weekdays)
    return Usual(len(days), span, weekdays, median, limit)


def _at_once(arrived: pl.Series) -> pl.Series:
    """Which days came with more than 7 within 24 hours."""
    at = arrived.dt.cast_time_unit("us").to_physical().to_numpy()
    order = np.argsort(at, kind="stable")
    came = at[order]
    ends = came.searchsorted(came + int(_BATCH / timedelta(microseconds=1)), "right")
    many, found = ends - np.arange(len(came)) > _AT_ONCE, np.zeros(len(came), bool)
    for start in np.flatnonzero(many):
        found[order[start : ends[start]]] = True
    return pl.Series(found)


def _delays(last: pl.DataFrame, weekdays: frozenset[int]) -> tuple[dict[int, timedelta], dict[int, timedelta]]:
    """Of each weekday the median delay, and that beyond which it is late."""
    if last.height < FEWEST:
        return {}, {}
    of = last["day"].dt.weekday().to_numpy() - 1
    hours = (last["arrived"].dt.replace_time_zone(None) - last["day"].cast(pl.Datetime("us"))).dt.total_seconds().to_numpy() / 3600
    own = {int(one): float(np.median(hours[of == one])) for one in set(of) if (of == one).sum() >= _OF_WEEKDAY}
    middle = {one: own.get(one, float(np.median(hours))) for one in {*weekdays, *(int(each) for each in of)}}
    off = hours - np.array([middle[int(one)] for one in of])
    beyond = max(_HOUR, timedelta(hours=_FAR * float(np.quantile(off, 0.9))))
    median = {one: timedelta(hours=middle[one]) for one in weekdays}
    return median, {one: delay + beyond for one, delay in median.items()}


def fresh(newest: date | None, now: datetime, usual: Usual | None, fresh_within: timedelta | None) -> Verdict:
    """Whether the newest event day is as new as promised, or without a promise as usual.

    Args:
        newest: event day that is there; None where none is.
        now: UTC.
        usual: what was learnt of earlier arrivals, if anything.
        fresh_within: promised: how long after its end an event day may stay the newest; days on which no data are expected do
            not count, once two weeks have told which those are.

    Returns:
        Check freshness: measured in hours since the end of the newest event day (0 while it lasts), limit in hours too. Unknown
        without a day, or with one after now; learning without a promise and without 14 arrivals, or with delays so apart that
        a day would be late only two weeks after its usual time. `extra`: missing (the first expected day that is not there),
        usually (when it is), late_at.

    Raises:
        Refused: `now` is not UTC, or the promise is below 0.
    """
    _assert_utc(now)
    if fresh_within is not None and fresh_within < timedelta(0):
        raise Refused(f"A promise of {fresh_within}: give how long after its end an event day may stay the newest.")
    days = usual.days if usual else 0
    if newest is None:
        return Verdict("freshness", "unknown", "No event day has arrived yet: there is no age to measure.", n=days)
    if newest > now.date():
        why = f"The newest event day {newest} lies after now ({now:%Y-%m-%d %H:%M} UTC): the clock or the day is wrong."
        return Verdict("freshness", "unknown", why, n=days)
    known = usual if usual and usual.span >= FEWEST and usual.weekdays else None  # without weekdays no day is expected
    missing = _missing(newest, now, known)
    age = _hours(max(timedelta(0), now - _start(newest + timedelta(days=1))))
    said = f"{newest} is the newest event day, over for {age:,.1f} hours; {_named(missing, known)}"
    extra = {"missing": missing, "usually": _usually(missing, known), "late_at": None}
    if fresh_within is not None:
        off = sum((_closed(now, newest, n, known) for n in range(1, (now.date() - newest).days + 1)), timedelta(0))
        limit = _hours(fresh_within + off)
        without = f" and {_hours(off):,.1f} on which no data are expected" if off else ""
        why = f"{said}; promised are {_hours(fresh_within):,.1f} hours{without}, by {plural(days, 'earlier day')}."
        return Verdict("freshness", "failed" if age > limit else "passed", why, age, limit, days, extra=extra)
    if known is None or not known.limit or missing is None:
        needed = f"nothing is promised, and {FEWEST} days and arrivals tell what is usual"
        why = f"{said}; {needed}, of which {plural(days, 'day is', 'days are')} known."
        return Verdict("freshness", "learning", why, age, None, days, extra=extra)
    late_at = known.late_at(missing)
    limit = _hours(late_at - _start(newest + timedelta(days=1)))
    why = f"{said}, and late from {late_at:%Y-%m-%d %H:%M} UTC (limit {limit:,.1f} hours), by {plural(days, 'earlier day')}."
    state = "failed" if now > late_at else "passed"
    if state == "passed" and known.limit[missing.weekday()] - known.median[missing.weekday()] > _LONGEST:
        state = "learning"
        why = f"{why.removesuffix('.')}: delays so far apart that more than {_LONGEST.days} days pass before a day is late."
    return Verdict("freshness", state, why, age, limit, days, extra={**extra, "late_at": late_at})


def _missing(newest: date, now: datetime, usual: Usual | None) -> date | None:
    """The first expected day after the newest one: one that is late if any is, as a day may arrive before an earlier one."""
    if usual is None or not usual.weekdays:
        return None
    ahead = [newest + timedelta(days=n) for n in range(1, max(8, (now.date() - newest).days + 1))]
    expected = [day for day in ahead if usual.expects(day)]
    return min(expected, key=usual.late_at) if usual.limit else expected[0]


def _closed(now: datetime, newest: date, n: int, usual: Usual | None) -> timedelta:
    """How much of the n-th day after the newest has passed, if no data are expected on it."""
    day = newest + timedelta(days=n)
    return timedelta(0) if usual is None or usual.expects(day) else min(timedelta(days=1), now - _start(day))


def _usually(missing: date | None, usual: Usual | None) -> datetime | None:
    if missing is None or usual is None or not usual.median:
        return None
    return _start(missing) + usual.median[missing.weekday()]


def _named(missing: date | None, usual: Usual | None) -> str:
    at = _usually(missing, usual)
    if missing is None:
        return "which day is next is not known yet"
    return f"next is {missing:%A %Y-%m-%d}" + (f", usually there at {at:%Y-%m-%d %H:%M} UTC" if at else "")


def model_age(
    learnt_up_to: date, matured_up_to: date, now: datetime, max_age_days: int | None, confirmed: date | None = None
) -> list[Verdict]:
    """How old what a model has learnt is, and how many matured days it has not learnt from.

    Args:
        learnt_up_to: the last day that it learnt from.
        matured_up_to: the last day whose outcome is known.
        now: UTC.
        max_age_days: the limit of both; None: none is declared.
        confirmed: the last judged day of a challenger that was no better: age and limit count from it where it is later.

    Returns:
        Checks age and unlearnt, in days, n being the matured days not learnt from; unknown without a limit, or where one of
        the days lies after now.

    Raises:
        Refused: `now` is not UTC, or the limit is below 0.
    """
    _assert_utc(now)
    if max_age_days is not None and max_age_days < 0:
        raise Refused(f"A limit of {max_age_days} days: give 0 or more.")
    since = learnt_up_to if confirmed is None else max(learnt_up_to, confirmed)
    n = max(0, (matured_up_to - since).days)
    old, new = f"The model has learnt up to {learnt_up_to}", f"outcomes are known up to {matured_up_to}"
    if since != learnt_up_to:
        old += f" and was confirmed on outcomes up to {since}"
    if max(learnt_up_to, matured_up_to) > now.date():
        why = f"{old} and {new}, of which one lies after now ({now:%Y-%m-%d %H:%M} UTC): the clock or the day is wrong."
        return [Verdict(check, "unknown", why, n=n) for check in ("age", "unlearnt")]
    found = {"age": (now.date() - since).days, "unlearnt": n}
    words = {"age": f"{old}, {plural(found['age'], 'day')} ago", "unlearnt": f"{old} and {new}, {plural(n, 'day')} more"}
    return [_aged(check, words[check], days, max_age_days, n) for check, days in found.items()]


def _aged(check: str, words: str, days: int, most: int | None, n: int) -> Verdict:
    if most is None:
        return Verdict(check, "unknown", f"{words}; no limit is declared to judge it by.", days, None, n)
    return Verdict(check, "failed" if days > most else "passed", f"{words}; the limit is {plural(most, 'day')}.", days, most, n)


def _start(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def _hours(span: timedelta) -> float:
    return span / _HOUR


def _assert_utc(now: datetime) -> None:
    if now.utcoffset() != timedelta(0):
        raise Refused(f"now is {now!r}: give a time in UTC.")
