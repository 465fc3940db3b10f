"""Complete panels, and what one knows of earlier days: lags and rolling values, by rolling the whole column at once.

Owns panels of series and days without holes, and the features declared on them. Which features a model has, and which
days a table must be given anew, are the caller's.

A panel is sorted by its keys and then by day; the rows of one combination of keys, a series, are consecutive days. So
the row n places up is the day n days before, unless it belongs to another series, and no grouping is needed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise
from typing import Any, NoReturn, get_args

import numpy as np
import polars as pl

from lightkeeper.errors import BadDeclaration, Refused
from lightkeeper.measure.buffers import Rows
from lightkeeper.measure.rolling import Ages, How, Window, rolled

__all__ = ["Lag", "Roll", "complete", "extended", "features", "in_parts", "reach", "touched"]


@dataclass(frozen=True, slots=True)
class Lag:
    """The value of `column` so many `days` before; null where the panel has no such day, or no value on it."""

    column: str
    days: int

    def __post_init__(self) -> None:
        _check(self.days >= 0, f"{self} looks ahead: give 0 or more days.")

    @property
    def reach(self) -> int:
        """How many days back it looks."""
        return self.days


@dataclass(frozen=True, slots=True)
class Roll:
    """Something of the `window` days that end so many `days` before.

    `how` is the mean, the sum or the last of the known values. Nulls in the window are left out, and so are days before
    the series begins; without any known value the result is null. It is a Float64.
    """

    column: str
    days: int
    window: int
    how: How = "mean"

    def __post_init__(self) -> None:
        _check(self.days >= 0, f"{self} looks ahead: give 0 or more days.")
        _check(self.window >= 1, f"{self} has no window: give 1 or more days.")
        _check(self.how in get_args(How), f"{self}: how is one of {', '.join(get_args(How))}.")

    @property
    def reach(self) -> int:
        """How many days back it looks."""
        return self.days + self.window - 1


def _check(good: bool, why: str) -> None:  # noqa: FBT001
    if not good:
        raise BadDeclaration(why)


def reach(declared: Iterable[Lag | Roll]) -> int:
    """The most days that a feature looks back; 0 for no features."""
    return max((each.reach for each in declared), default=0)


def touched(changed: Iterable[date], declared: Iterable[Lag | Roll], until: date) -> list[date]:
    """The days up to `until` whose features change when the values of the `changed` days change; sorted."""
    spans = {(each.days, each.reach) for each in declared}
    ordinals: set[int] = set()
    for day in {each.toordinal() for each in changed}:
        for first, last in spans:
            ordinals.update(range(day + first, min(day + last, until.toordinal()) + 1))
    return [date.fromordinal(each) for each in sorted(ordinals)]


def complete(entries: pl.DataFrame, until: date, *, time: str = "day") -> pl.DataFrame:
    """One row for each series and day, from the day on which the series enters to `until`, sorted.

    Args:
        entries: one row a series; `time` is its first day (Date, no null), all other columns are its keys.
        until: the last day. A series that enters later has no rows.
        time: name of the column of days.
    """
    keys = [name for name in entries.columns if name != time]
    twice = entries.filter(pl.struct(keys).is_duplicated())
    if twice.height:
        raise Refused(f"The series {_shown(twice.row(0, named=True), keys)} enters twice: give one row a series.")
    days = pl.date_ranges(pl.col(time), pl.lit(until)).alias(time)
    return entries.filter(pl.col(time) <= until).sort(keys).with_columns(days).explode(time, empty_as_null=False)


def extended(panel: pl.DataFrame, horizon: int, keys: Sequence[str] = ("product",), time: str = "day") -> pl.DataFrame:
    """The panel with `horizon` more days after the last day of each series, all other columns null there; sorted."""
    last = panel.group_by(keys).agg(pl.col(time).max())
    ahead = last.with_columns(pl.date_ranges(pl.col(time) + timedelta(1), pl.col(time) + timedelta(horizon)).alias(time)).explode(
        time, empty_as_null=False
    )
    return pl.concat([panel, ahead], how="diagonal").sort(*keys, time)


def features(
    panel: pl.DataFrame,
    declared: Mapping[str, Lag | Roll],
    keys: Sequence[str] = ("product",),
    time: str = "day",
) -> pl.DataFrame:
    """The panel with one more column for each declared feature, by name.

    Days that are not known yet may stand at the end of the series with null values: a feature of at least so many days
    is known there.

    Raises:
        Refused: the panel is not sorted, has a hole or a day twice (the message names the series and the day), or a
            column to roll is missing or holds no numbers.
    """
    return next(in_parts(panel, declared, keys, time, panel.height))


def in_parts(
    panel: pl.DataFrame,
    declared: Mapping[str, Lag | Roll],
    keys: Sequence[str] = ("product",),
    time: str = "day",
    rows: int = 500_000,
) -> Iterator[pl.DataFrame]:
    """What `features` gives, one part after the other, so that not all of it is in memory at once.

    A part holds whole series, about `rows` rows; there is at least one part. Checks the whole panel first; raises as
    `features` does.
    """
    starts = _starts(panel, keys, time)
    _check_columns(panel, declared)
    cuts = np.unique(np.searchsorted(starts, np.arange(0, panel.height + 1, max(rows, 1))))
    edges = [0, *(int(starts[cut]) for cut in cuts if 0 < cut < len(starts)), panel.height]
    for start, stop in pairwise(edges):
        firsts = starts[(starts >= start) & (starts < stop)] - start
        yield _features(panel[start:stop], declared, _ages(firsts, stop - start))


def _features(panel: pl.DataFrame, declared: Mapping[str, Lag | Roll], ages: Ages) -> pl.DataFrame:
    """The panel with its features, `ages` being the number of rows of its series above each row."""
    age = pl.Series(ages)
    lagged = [
        pl.when(age >= each.days).then(pl.col(each.column).shift(each.days)).alias(name)
        for name, each in declared.items()
        if isinstance(each, Lag)
    ]
    rolled = _rolled(panel, {name: each for name, each in declared.items() if isinstance(each, Roll)}, ages)
    return panel.with_columns(*lagged, *rolled).select(*panel.columns, *declared)


def _ages(starts: Rows, rows: int) -> Ages:
    return np.arange(rows, dtype=np.int32) - np.repeat(starts.astype(np.int32), np.diff(starts, append=rows))


def _check_columns(panel: pl.DataFrame, declared: Mapping[str, Lag | Roll]) -> None:
    """Raise Refused where a feature stands on no column, or would replace one."""
    taken = sorted(set(declared) & set(panel.columns))
    if taken:
        raise Refused(f"The panel already has a column {', '.join(taken)}: give the feature another name.")
    for each in declared.values():
        dtype = panel.schema.get(each.column)
        if dtype is None:
            raise Refused(f"The panel has no column {each.column}; it has {', '.join(panel.columns)}.")
        if isinstance(each, Roll) and not (dtype.is_numeric() or dtype == pl.Boolean):
            raise Refused(f"The column {each.column} is a {dtype}: roll numbers only.")


def _starts(panel: pl.DataFrame, keys: Sequence[str], time: str) -> Rows:
    """The row in which each series begins. Raises Refused if it is no panel."""
    names = [*keys, time]
    if panel.schema.get(time) != pl.Date or panel.select(names).null_count().sum_horizontal().item():
        raise Refused(f"A panel has the keys {', '.join(keys)} and a Date {time}, without nulls; got {panel.schema}.")
    as_before = pl.all_horizontal(pl.col(key) == pl.col(key).shift(1) for key in keys).fill_null(value=False)
    step = pl.col(time).to_physical().diff()
    found = panel.select(new=~as_before, odd=as_before & (step != 1))
    if found["odd"].any():
        _refuse_step(panel, names, found["odd"].arg_max() or 0)
    starts = np.flatnonzero(found["new"].to_numpy())
    heads = panel.select(keys)[starts]
    if not heads.equals(heads.sort(keys)):
        raise Refused(f"The panel is not sorted, or a series is interrupted: sort it by {', '.join(names)}.")
    return starts


def _refuse_step(panel: pl.DataFrame, names: Sequence[str], row: int) -> NoReturn:
    """Raise what is wrong between a row and the one above it."""
    *keys, time = names
    before, here = panel.select(names)[row - 1 : row + 1].iter_rows(named=True)
    series, day = _shown(here, keys), before[time] + timedelta(1)
    if here[time] > day:
        raise Refused(f"The series {series} has a hole at {day}: its next day is {here[time]}. Complete the panel first.")
    raise Refused(
        f"In the series {series} the day {here[time]} stands after {before[time]}: "
        f"give each day once, sorted by {', '.join(names)}."
    )


def _shown(row: Mapping[str, Any], keys: Sequence[str]) -> str:
    return " ".join(f"{key}={row[key]!r}" for key in keys)


def _rolled(panel: pl.DataFrame, rolls: Mapping[str, Roll], ages: Ages) -> Iterator[pl.Series]:
    """The features of all rolls, column by column."""
    for column in dict.fromkeys(roll.column for roll in rolls.values()):
        of_column = {name: roll for name, roll in rolls.items() if roll.column == column}
        windows = [Window(roll.days, roll.window, roll.how) for roll in of_column.values()]
        made = rolled(panel.get_column(column).cast(pl.Float64), ages, windows)
        yield from (series.alias(name) for name, series in zip(of_column, made, strict=True))
