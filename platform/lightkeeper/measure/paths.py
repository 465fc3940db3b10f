"""What many forecasts are together: totals over series and days, and joint paths. Never the sum of limits.

Owns the interval of a total from backtested totals of the same length, and sample paths that keep what days and series
share. Bands of single forecasts, and what a plan makes of a path, stay out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lightkeeper.errors import Refused
from lightkeeper.measure.intervals import Calibration, limit_names
from lightkeeper.measure.ladder import needed
from lightkeeper.measure.residuals import NUMBERS, checked

__all__ = ["Totals", "sample_paths", "total_interval"]

Ints = NDArray[np.int64]

_ALL = pl.lit(0, pl.Int32).alias("_all")
_TINY = 1e-9  # 0.95 * 20 is 19


@dataclass(frozen=True, slots=True, eq=False)
class Totals:
    """Totals with their intervals.

    Attributes:
        rows: one a group: the keys in `by`, `days` and `series` (summed over), `forecast` (their sum), `windows` (past
            totals), `low_80`, `high_80` and so on (Float64, units of the target; null where refused).
        refused: for each level that some group has no interval at a sentence.
    """

    rows: pl.DataFrame = field(repr=False)
    refused: Mapping[float, str]


def sample_paths(calibration: Calibration, ahead: pl.DataFrame, n: int, seed: int, block: int = 7) -> pl.DataFrame:
    """Joint paths of all series over the days ahead: each forecast plus its width times the error of a past day.

    Past days are drawn in moving blocks (Kuensch 1989), the same day for every series, so that a path keeps what series
    share on a day and what days of a block remember. A series that has no error on a drawn day takes one of another of
    its days; a series without any takes that of another series on the same day.

    Values below zero are kept, for counts too: sum first, floor then. Flooring each value of 1,396 to 1,667 products that
    mostly sell nothing on a day put the total of four weeks 19 to 32% above that of the values themselves.

    Args:
        calibration: of the contender whose forecasts these are.
        ahead: keys, `day` (Date), `days_ahead`, `forecast`, `low`, `high`; one row a series and day. Rows without a
            forecast have no values.
        n: number of paths.
        seed: of the drawing; the same seed gives the same paths whatever the order of the rows.
        block: days drawn together, at most as many as the calibration has.

    Returns:
        Sorted by keys, `day` and `path`: keys, `day`, `path` (Int64, from 0), `value` (Float64, units of the target).

    Raises:
        Refused: the calibration has no days, the rows are malformed, or n or block lies below 1.
    """
    keys = list(calibration.keys)
    checked(ahead, (*keys, "day", "days_ahead", *NUMBERS), "Rows to sample paths for")
    if n < 1 or block < 1 or not calibration.n:
        raise Refused(
            f"{n} paths in blocks of {block} days from {calibration.n} matured rows:"
            " give at least 1 of each, and a calibration that has rows."
        )
    rows = calibration.placed(ahead.filter(pl.col("forecast").is_not_null())).sort(*keys, "day")
    rng = np.random.default_rng(seed)
    days, place = np.unique(rows["day"].to_physical().to_numpy(), return_inverse=True)
    errors = _errors(calibration, rng)
    drawn = _blocks(len(errors.days), len(days), n, block, rng)
    series = rows["_series"].cast(pl.Int64).fill_null(-1).to_numpy()
    series = np.where(series < 0, rng.integers(0, errors.wide.shape[2], len(series)), series)
    week = np.minimum(rows["_week"].to_numpy(), errors.wide.shape[0] - 1)
    error = errors.wide[week[:, None], drawn[:, place].T, series[:, None]]
    values = rows["forecast"].cast(pl.Float64).to_numpy()[:, None] + rows["_width"].to_numpy()[:, None] * error
    path = pl.Series("path", np.tile(np.arange(n), rows.height), pl.Int64)
    repeated = rows.select(*keys, "day")[np.repeat(np.arange(rows.height), n)]
    return repeated.with_columns(path, pl.Series("value", values.ravel(), pl.Float64))


@dataclass(frozen=True, slots=True, eq=False)
class _Errors:
    """Errors of past days, in widths: `wide` by week ahead, place of the day, and series, without holes."""

    days: Ints
    wide: NDArray[np.float32]


def _errors(calibration: Calibration, rng: np.random.Generator) -> _Errors:
    """A hole is filled from the same day at the longest other horizon, then from another day, then from another series."""
    rows = calibration.residuals
    kept = rows.day >= calibration.start
    days, place = np.unique(rows.day[kept], return_inverse=True)
    series, week, error = rows.series[kept], rows.week[kept], rows.error[kept]
    wide = np.full((int(week.max()) + 1, len(days), int(rows.series.max()) + 1), np.nan, np.float32)
    longest = np.lexsort((-rows.origin[kept],))  # the last one written stays
    wide[week[longest], place[longest], series[longest]] = error[longest]
    any_week = np.full(wide.shape[1:], np.nan, np.float32)
    any_week[place[longest], series[longest]] = error[longest]
    whole = _filled(any_week, rng)
    return _Errors(days, np.where(np.isnan(wide), whole, wide))


def _filled(errors: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Errors a day and series without holes."""
    known = ~np.isnan(errors)
    order = np.argsort(~known, axis=0, kind="stable")  # known days first
    drawn = (rng.random(errors.shape) * np.maximum(known.sum(0), 1)).astype(np.int64)
    other = np.take_along_axis(errors, np.take_along_axis(order, drawn, 0), 0)
    filled = np.where(known, errors, other)
    none = ~known.any(0)
    if none.any():
        filled[:, none] = filled[:, rng.choice(np.flatnonzero(~none), int(none.sum()))]
    return filled


def _blocks(past: int, ahead: int, n: int, block: int, rng: np.random.Generator) -> Ints:
    """Places of past days, one row a path and one column a day ahead, in blocks of consecutive ones."""
    block = min(block, past)
    blocks = -(-ahead // block)
    starts = rng.integers(0, past - block + 1, (n, blocks))
    return (starts[:, :, None] + np.arange(block)).reshape(n, blocks * block)[:, :ahead]


def total_interval(calibration: Calibration, ahead: pl.DataFrame, by: Sequence[str] = ()) -> Totals:
    """The interval of a sum over series and days, from the errors of past totals over as many days.

    The largest errors of past totals, overlapping windows of consecutive matured days, in sums of widths. D days hold
    D / length windows that do not overlap, so that many count: the (n + 1) rule is taken at n = D / length, rounded down.

    Args:
        calibration: of the contender whose forecasts these are; its levels are those of the interval.
        ahead: keys, `day` (Date), `days_ahead`, `forecast`, `low`, `high`. Rows without a forecast are left out.
        by: keys that stay apart; none for one total over all series.

    Raises:
        Refused: the rows are malformed, or `by` names what is no key.
    """
    keys = list(calibration.keys)
    unknown = [name for name in by if name not in keys]
    if unknown:
        raise Refused(f"Totals by {', '.join(unknown)}, which is no key: give some of {', '.join(keys)}.")
    checked(ahead, (*keys, "day", "days_ahead", *NUMBERS), "Rows to total")
    rows = calibration.placed(ahead.filter(pl.col("forecast").is_not_null()))
    group: list[str | pl.Expr] = [*by] or [_ALL]
    totals = rows.group_by(group).agg(
        pl.col("day").n_unique().cast(pl.Int64).alias("days"),
        pl.struct(keys or "_series").n_unique().cast(pl.Int64).alias("series"),
        pl.col("forecast").sum().cast(pl.Float64),
        pl.col("_width").sum(),
    )
    totals = totals.filter(pl.col("days") > 0)
    past = _past(calibration, by, _longest(rows))
    return _totals(calibration, totals.sort(*(by or ["_all"])), past, by)


def _longest(rows: pl.DataFrame) -> int:
    """The most days ahead; 1 without rows."""
    longest = rows["days_ahead"].cast(pl.Int64).max()
    return longest if isinstance(longest, int) else 1


def _past(calibration: Calibration, by: Sequence[str], longest: int) -> pl.DataFrame:
    """What past days missed together, a row a group and day: `error` and `width`.

    Each series counts once a day: at its longest horizon up to `longest`, else at its shortest.
    """
    rows = calibration.residuals
    frame = pl.DataFrame(
        {
            "_series": pl.Series(rows.series, dtype=pl.UInt32),
            "day": rows.day,
            "_ahead": rows.day - rows.origin,
            "error": rows.error * rows.width,
            "width": rows.width,
        }
    )
    ahead = pl.col("_ahead")
    near = pl.when(ahead <= longest).then(ahead).otherwise(-ahead)
    each = frame.sort("_series", "day", near).unique(["_series", "day"], keep="last")
    named = each.join(rows.names.with_row_index("_series"), on="_series", how="left") if by else each.with_columns(_ALL)
    return named.group_by(*(by or ["_all"]), "day").agg(pl.col("error", "width").sum()).sort("day")


def _totals(calibration: Calibration, totals: pl.DataFrame, past: pl.DataFrame, by: Sequence[str]) -> Totals:
    """The totals with low and high for each level."""
    group, levels = list(by) or ["_all"], calibration.levels
    lengths = totals["days"].unique().sort().to_list()
    found = pl.concat([_limits(past, group, length, levels) for length in lengths or [1]])
    on = [*group, "days"]
    made = totals.join(found, on=on, nulls_equal=True, how="left", maintain_order="left").with_columns(
        pl.col("windows", "_apart").fill_null(0)
    )
    shown = made.with_columns(limit for level in levels for limit in _around(level, calibration.settings.floor_at))
    limits = [name for level in levels for name in limit_names(level)]
    refused = {level: _why(level, made.filter(pl.col("_apart") < needed(level))) for level in levels}
    return Totals(
        shown.select(*by, "days", "series", "forecast", "windows", *limits), {level: why for level, why in refused.items() if why}
    )


def _limits(past: pl.DataFrame, group: Sequence[str], length: int, levels: Sequence[float]) -> pl.DataFrame:
    """For each group the largest errors of its windows of `length` days, in sums of widths, at each level."""
    sums = [pl.col(name).rolling_sum(length).over(group) for name in ("error", "width")]
    windows = past.with_columns(sums).filter(pl.col("width").is_not_null())
    score, n, apart = (pl.col("error") / pl.col("width")).abs(), pl.len(), pl.col("_apart").first()
    apart_of = past.group_by(group).agg((pl.len() // length).cast(pl.Int64).alias("_apart"))
    share = [((apart + 1) * level / apart).clip(upper_bound=1.0) for level in levels]
    place = [((n * each - _TINY).ceil().cast(pl.Int64).clip(1, n) - 1) for each in share]
    limits = [
        pl.when(apart >= needed(level)).then(score.sort().get(each)).alias(f"_{level}")
        for level, each in zip(levels, place, strict=True)
    ]
    made = (
        windows.join(apart_of, on=list(group), nulls_equal=True)
        .group_by(group)
        .agg(n.cast(pl.Int64).alias("windows"), apart, *limits)
    )
    return made.with_columns(pl.lit(length, pl.Int64).alias("days"))


def _around(level: float, floor_at: float | None) -> tuple[pl.Expr, pl.Expr]:
    """Low and high of a total at a level, not below the floor."""
    low, high = limit_names(level)
    out = pl.col(f"_{level}") * pl.col("_width")
    below = pl.col("forecast") - out
    below = below if floor_at is None else pl.min_horizontal(pl.max_horizontal(below, pl.lit(floor_at)), "forecast")
    return pl.when(out.is_not_null()).then(below).alias(low), (pl.col("forecast") + out).alias(high)


def _why(level: float, refused: pl.DataFrame) -> str | None:
    """Why totals have no interval at a level, told of the group that has the fewest windows."""
    if not refused.height:
        return None
    worst, some = refused.sort("_apart").row(0, named=True), "one" if refused.height == 1 else refused.height
    return (
        f"No {100 * level:.6g}% interval of {some} of the totals: over {worst['days']} days there are"
        f" {worst['_apart']} past ones that do not overlap; it needs {needed(level)}, that is"
        f" {needed(level) * worst['days']} matured days."
    )
