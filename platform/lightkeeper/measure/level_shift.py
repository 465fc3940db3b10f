"""A shift of the level of all series together: by how much outcomes lie off what was forecast, and whether following it helps.

Owns the factor that a forecast is multiplied with while the world has another level than the model has learnt. Whose forecasts
they are, and what a moved forecast is called, stay out.

A model whose features are known weeks ahead learns of a break weeks late. Outcomes tell of it the next day: the ratio of what
came true to what was forecast, over all series and the last seven days. A ratio is never exactly 1, and following noise is worse
than none; so each day the forecast moved by the ratio of the day before is scored beside the one that was not. What it would have
missed less, less 15% of a usual day's error, adds up from 0 (Page 1954, "Continuous inspection schemes", on losses); beyond one
usual day's error the ratio is followed, until it has gained nothing for three weeks, or has cost a usual day's error again. No
distribution is assumed, and the most that a wrong turn costs is known: about one day's error a turn.

Absolute errors of rows decide. Where most rows are zero their best forecast lies below the mean, so that a rise is hardly followed
there, and a fall later: squared errors, which a mean minimises, turned on single large orders.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lightkeeper.errors import Refused

__all__ = ["CHECK", "LEAST", "MOST", "WINDOW", "LevelShift", "level_shifts"]

_Floats = NDArray[np.float64]

CHECK = "level_shift"
WINDOW = 7  # days of a ratio, so that every weekday is in it once
SLACK, LIMIT = 0.15, 1.0  # usual days' errors: what a day must gain to count, and what is needed to follow or to stop
FADES = 0.05  # usual days' errors that a followed day must gain to go on: what gains nothing any more ends within three weeks
LEAST, MOST = 0.1, 10.0  # of a factor
_FAR = 3.0  # times the median day of the seven, beyond which a day is one order, or broken, and no level
_CLOSED = 0.05  # of the largest day's forecast: below it nothing was expected, and a ratio says nothing
_DIGITS, _PLACES = 4, 6  # of a ratio, of a gain: sums over groups differ in their last digits, the same rows give the same table


@dataclass(frozen=True, slots=True)
class LevelShift:
    """What forecasts are multiplied with on and after a day.

    Attributes:
        factor: 1 while the level is not followed.
        ratio: what came true over what was forecast in the last seven days; None while they are not all known.
        since: the first day from which on it is followed; None while it is not.
    """

    factor: float = 1.0
    ratio: float | None = None
    since: date | None = None

    @classmethod
    def of(cls, found: pl.DataFrame) -> LevelShift:
        """The last day of what `level_shifts` found."""
        if found.is_empty():
            return cls()
        factor, ratio, since = found.select("factor", "ratio", "since").row(-1)
        return cls(factor, ratio, since)


def level_shifts(rows: pl.DataFrame, usual: float | None) -> pl.DataFrame:
    """The factor in force at the end of each day.

    Args:
        rows: forecasts by one and the same version of days that it had not learnt from: `day` (Date), `actual` and `forecast`,
            in units of the target, any number of series a day; rows in which one is null are left out.
        usual: its mean absolute error a row in its backtest, in units of the target; None where it has none: then nothing moves.

    Returns:
        One row a day, oldest first: `day`, `ratio` (Float64; null with fewer than seven days), `gained` (what the moved
        forecast missed less, in usual days' errors; null without a ratio of the day before), `factor` (Float64, 0.1 to 10,
        1 while the level is not followed), `since` (Date, from when on it is followed; null while not).

    Raises:
        Refused: a column is missing, or a number is not finite.
    """
    missing = [name for name in ("day", "actual", "forecast") if name not in rows.columns]
    if missing:
        raise Refused(f"Rows with columns {', '.join(rows.columns)}: {', '.join(missing)} is missing.")
    known = rows.select("day", pl.col("actual", "forecast").cast(pl.Float64)).drop_nulls()
    odd = known.filter(~pl.all_horizontal(pl.col("actual", "forecast").is_finite()))
    if odd.height:
        day, came, said = odd.row(0)
        raise Refused(f"On {day} {came} came true where {said} was forecast: no level can be taken from that. Give finite numbers.")
    sums = known.group_by("day").agg(pl.col("actual").sum(), pl.col("forecast").sum()).sort("day")
    days = sums.with_columns(_ratios(sums["day"].to_list(), *(sums[name].to_numpy() for name in ("actual", "forecast"))))
    gains = _gained(known, days, usual)
    return days.select("day", "ratio").join(gains, on="day", how="left", maintain_order="left").pipe(_followed)


def _ratios(days: Sequence[date], actual: _Floats, forecast: _Floats) -> pl.Series:
    """What came true over what was forecast, over the seven days up to each; a day far above the others counts as they do."""
    found: list[float | None] = []
    for place, day in enumerate(days):
        first = next(nth for nth in range(max(0, place - WINDOW + 1), place + 1) if (day - days[nth]).days < WINDOW)
        came, said = actual[first : place + 1], forecast[first : place + 1]
        if (day - days[0]).days < WINDOW - 1 or not (said > 0).any() or said.sum() <= 0:
            found.append(None)
            continue
        open_ = said > _CLOSED * said.max()
        far = _FAR * max(float(np.median(came[open_] / said[open_])), LEAST)
        kept = np.minimum(came, far * np.where(open_, said, said.max()))
        found.append(float(np.clip(kept.sum() / said.sum(), LEAST, MOST)))
    return pl.Series("ratio", found, pl.Float64).round_sig_figs(_DIGITS)


def _gained(known: pl.DataFrame, days: pl.DataFrame, usual: float | None) -> pl.DataFrame:
    """What each day's forecasts would have missed less, moved by the ratio of the day before; in usual days' errors."""
    if not usual:
        return pl.DataFrame(schema={"day": pl.Date, "gained": pl.Float64})
    before = days.select("day", ratio=pl.col("ratio").shift(1))
    less = (pl.col("actual") - pl.col("forecast")).abs() - (pl.col("actual") - pl.col("forecast") * pl.col("ratio")).abs()
    each = known.join(before.drop_nulls(), on="day", maintain_order="left").group_by("day", maintain_order=True)
    return each.agg((less.mean() / usual).round(_PLACES).alias("gained"))


def _followed(days: pl.DataFrame) -> pl.DataFrame:
    """With `factor` and `since`: the sum of what was gained, day after day."""
    factors: list[float] = []
    starts: list[date | None] = []
    total, since = 0.0, None
    for day, ratio, gained in days.select("day", "ratio", "gained").iter_rows():
        if since is not None:
            total = min(LIMIT, total + (gained or 0.0) - FADES)
            since = since if total > 0 else None
        elif gained is not None:
            total += gained - SLACK
            since = day if total > LIMIT else None
        total = min(LIMIT, max(0.0, total))
        factors.append(1.0 if since is None or ratio is None else ratio)
        starts.append(since)
    return days.with_columns(pl.Series("factor", factors, pl.Float64), pl.Series("since", starts, pl.Date))
