"""Series of a model whose last outcomes are odd: beyond the champion's interval, or beyond what they did themselves.

A trained champion's interval says what is usual of a series. The naive forecast promises nothing of the kind: while it serves, a
series is compared with the days of its own weekdays. One huge order is told and is no alarm; an alarm is several days together, or
a second day.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from typing import cast

import polars as pl

from lightkeeper.measure.anomaly import BAND_OF_SD, WINDOWS, anomalies, more_than_a_day
from lightkeeper.measure.intervals import Settings, calibrate
from lightkeeper.models.forecasting import Server
from lightkeeper.models.model import Model
from lightkeeper.models.outcomes import level_name
from lightkeeper.values import Verdict

__all__ = ["BAND", "anomalous"]

BAND = 0.8
_WRONG, _WRONG_TOGETHER = 0.1, 0.05  # shares of the named series that may be named wrongly; of days together, which alone alarm
_LEAST_WIDTH = 0.25  # of the median width: the band of a series that hardly moves is no measure
_HISTORY = 182  # days that a series is compared with while the naive forecast serves
_REMEMBERED = 0.5  # autocorrelation from a day to the next up to which days count one by one


def anomalous(
    model: Model, who: Server, rows: pl.DataFrame, past: pl.DataFrame, known: pl.DataFrame
) -> tuple[pl.DataFrame, Verdict]:
    """The series that were tested, the oddest first, and the verdict `anomalies`.

    Args:
        model: whose.
        who: serves.
        rows: recent outcomes, with bands.
        past: what the server forecast without having learnt it, beside what came true.
        known: rows of the model's table with a target.
    """
    if who.trained is None and (memory := _memory(model, known)) > _REMEMBERED:
        why = (
            f"{who.name} serves and promises no interval, and {memory:.0%} of what is odd about {model.target} on a day"
            " is still there the day after: its days do not count one by one."
        )
        return pl.DataFrame(), Verdict("anomalies", "unknown", why, n=known.height)
    series, today = _named(model, who, rows, past, known)
    if today.state != "failed":
        return series, today
    before = rows.filter(pl.col(model.time) < rows[model.time].max())
    held = _named(model, who, before, past, known)[0] if before.height else series.clear()
    alarm = more_than_a_day(series, held, model.keys, _WRONG, _WRONG_TOGETHER)
    names = ", ".join(" ".join(str(value) for value in row) for row in alarm.select(*model.keys, "direction").head(3).iter_rows())
    told = f"For days together, or for a second day: {names}." if alarm.height else "One day alone is no alarm."
    state = "failed" if alarm.height else "passed"
    return series, replace(today, state=state, why=f"{today.why} {told}", measured=float(alarm.height))


def _named(model: Model, who: Server, rows: pl.DataFrame, past: pl.DataFrame, known: pl.DataFrame) -> tuple[pl.DataFrame, Verdict]:
    """Series whose last outcomes lie beyond what is usual of them; days on which nothing at all happened are left out."""
    last = cast("date", rows[model.time].max())
    recent = rows.filter(pl.col(model.time) > last - timedelta(2 * max(WINDOWS)))
    nearest = recent.sort("days_ahead").unique([*model.keys, model.time], keep="first", maintain_order=True)
    made = _beside_band(model, nearest, past) if who.trained is not None else _beside_own_days(model, nearest, known)
    texts = [pl.col(key).cast(pl.String) for key in model.keys]
    least = _LEAST_WIDTH * float(str(made[1]["width"].median() or 0.0))
    wide = pl.max_horizontal("width", pl.lit(least or 1.0))
    lively = (pl.col("actual") != 0).any().over("day")
    now, then = (one.filter(pl.col("width").is_not_null() & lively).with_columns(*texts, width=wide) for one in made)
    return anomalies(now, then.filter(pl.col("day") < now["day"].min()) if now.height else then, model.keys, _WRONG)


def _wanted(model: Model) -> list[pl.Expr]:
    return [
        *(pl.col(key) for key in model.keys),
        pl.col(model.time).alias("day"),
        pl.col("actual").cast(pl.Float64),
        pl.col("forecast"),
    ]


def _beside_band(model: Model, nearest: pl.DataFrame, past: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Outcomes and past days, each beside its forecast, with half the width of its band."""
    low, high = (f"{side}_{level_name(BAND)}" for side in ("low", "high"))
    width = ((pl.col(high) - pl.col(low)) / 2).alias("width")
    held = past if model.time == "day" else past.rename({model.time: "day"})
    banded = _others_bands(model, held).sort("days_ahead").unique([*model.keys, "day"], keep="first", maintain_order=True)
    return nearest.select(*_wanted(model), width), banded.rename({"day": model.time}).select(*_wanted(model), width)


def _beside_own_days(model: Model, nearest: pl.DataFrame, known: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Outcomes and past days, each beside the mean of its series on other such weekdays, with half an 80% band of its series."""
    first, keys = cast("date", nearest[model.time].min()), list(model.keys)
    day, actual = pl.col(model.time).alias("day"), pl.col(model.target).cast(pl.Float64).alias("actual")
    past = known.filter(pl.col(model.time).is_between(first - timedelta(_HISTORY), first, closed="left")).select(*keys, day, actual)
    weekday = pl.col("day").dt.weekday().alias("_weekday")
    usual = past.group_by(*keys, weekday).agg(pl.col("actual").sum().alias("_sum"), pl.col("actual").count().alias("_days"))
    spread = past.group_by(keys).agg((BAND_OF_SD * pl.col("actual").std()).alias("width"))

    def beside(rows: pl.DataFrame, own: pl.Expr) -> pl.DataFrame:
        """Rows that are in the mean themselves are left out of it: `own`, 1 or 0."""
        others = pl.col("_days") - own
        mean = pl.when(others > 0).then((pl.col("_sum") - own * pl.col("actual")) / others).alias("forecast")
        joined = rows.with_columns(weekday).join(usual, on=[*keys, "_weekday"]).join(spread, on=keys)
        return joined.with_columns(mean).drop("_weekday", "_sum", "_days")

    now = nearest.select(*keys, day, pl.col("actual").cast(pl.Float64))
    return beside(now, pl.lit(0)), beside(past, pl.col("actual").is_not_null().cast(pl.Int64))


def _memory(model: Model, known: pl.DataFrame) -> float:
    """The correlation of a series' deviation from its mean with that of the day before, over all series."""
    last, keys = cast("date", known[model.time].max()), list(model.keys)
    rows = known.filter(pl.col(model.time) > last - timedelta(_HISTORY)).sort(*keys, model.time)
    apart = (pl.col(model.target).cast(pl.Float64) - pl.col(model.target).mean().over(keys)).alias("_apart")
    pairs = rows.select(*keys, apart).with_columns(_before=pl.col("_apart").shift(1).over(keys)).drop_nulls()
    found = pairs.select(pl.corr("_apart", "_before", method="spearman")).item()
    return float(found) if found is not None and found == found else 0.0  # noqa: PLR0124 - NaN differs from itself


def _others_bands(model: Model, past: pl.DataFrame) -> pl.DataFrame:
    """The rows of each half of the past with bands that the other half gives: a band is never judged by what it was made of."""
    settings = Settings(floor_at=0.0 if model.kind == "count" else None)
    middle = pl.col("day") <= past["day"].median()
    halves = (past.filter(middle), past.filter(~middle))
    return pl.concat(
        calibrate(other, model.keys, (BAND,), settings).bands(mine) for mine, other in (halves, halves[::-1]) if mine.height
    )
