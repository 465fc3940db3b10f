"""Series of a model whose last outcomes are odd: beyond the champion's interval, or beyond what they did themselves.

A trained champion's interval says what is usual of a series. The naive forecast promises nothing of the kind: while it serves, a
series is compared with the days of its own weekdays. One huge order is told and is no alarm; an alarm is several days together, or
a second day.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
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


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is asked of a model: its keys under names that no column beside them has, since a key may be called width or score."""

    keys: tuple[str, ...]
    time: str
    target: str
    kind: str


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
    names = {key: f" {key}" for key in model.keys}
    rows, past, known = (one.rename(names, strict=False) for one in (rows, past, known))
    asked = _Asked(tuple(names.values()), model.time, model.target, model.kind)
    if who.trained is None and (memory := _memory(asked, known)) > _REMEMBERED:
        why = (
            f"{who.name} serves and promises no interval, and {memory:.0%} of what is odd about {model.target} on a day"
            " is still there the day after: its days do not count one by one."
        )
        return pl.DataFrame(), Verdict("anomalies", "unknown", why, n=known.height)
    series, today = _named(asked, who, rows, past, known)
    own = {safe: key if key not in series.columns else f"{key}_" for key, safe in names.items()}
    if today.state != "failed":
        return series.rename(own), today
    before = rows.filter(pl.col(model.time) < rows[model.time].max())
    held = _named(asked, who, before, past, known)[0] if before.height else series.clear()
    alarm = more_than_a_day(series, held, asked.keys, _WRONG, _WRONG_TOGETHER)
    odd = ", ".join(" ".join(str(value) for value in row) for row in alarm.select(*asked.keys, "direction").head(3).iter_rows())
    told = f"For days together, or for a second day: {odd}." if alarm.height else "One day alone is no alarm."
    state = "failed" if alarm.height else "passed"
    return series.rename(own), replace(today, state=state, why=f"{today.why} {told}", measured=float(alarm.height))


def _named(asked: _Asked, who: Server, rows: pl.DataFrame, past: pl.DataFrame, known: pl.DataFrame) -> tuple[pl.DataFrame, Verdict]:
    """Series whose last outcomes lie beyond what is usual of them; days on which nothing at all happened are left out."""
    last = cast("date", rows[asked.time].max())
    recent = rows.filter(pl.col(asked.time) > last - timedelta(2 * max(WINDOWS)))
    nearest = recent.sort("days_ahead").unique([*asked.keys, asked.time], keep="first", maintain_order=True)
    made = _beside_band(asked, nearest, past) if who.trained is not None else _beside_own_days(asked, nearest, known)
    texts = [pl.col(key).cast(pl.String) for key in asked.keys]
    least = _LEAST_WIDTH * float(str(made[1]["width"].median() or 0.0))
    wide = pl.max_horizontal("width", pl.lit(least or 1.0))
    lively = (pl.col("actual") != 0).any().over("day")
    now, then = (one.filter(pl.col("width").is_not_null() & lively).with_columns(*texts, width=wide) for one in made)
    return anomalies(now, then.filter(pl.col("day") < now["day"].min()) if now.height else then, asked.keys, _WRONG)


def _wanted(asked: _Asked) -> list[pl.Expr]:
    return [
        *(pl.col(key) for key in asked.keys),
        pl.col(asked.time).alias("day"),
        pl.col("actual").cast(pl.Float64),
        pl.col("forecast"),
    ]


def _beside_band(asked: _Asked, nearest: pl.DataFrame, past: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Outcomes and past days, each beside its forecast, with half the width of its band."""
    low, high = (f"{side}_{level_name(BAND)}" for side in ("low", "high"))
    width = ((pl.col(high) - pl.col(low)) / 2).alias("width")
    held = past if asked.time == "day" else past.rename({asked.time: "day"})
    banded = _others_bands(asked, held).sort("days_ahead").unique([*asked.keys, "day"], keep="first", maintain_order=True)
    return nearest.select(*_wanted(asked), width), banded.rename({"day": asked.time}).select(*_wanted(asked), width)


def _beside_own_days(asked: _Asked, nearest: pl.DataFrame, known: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Outcomes and past days, each beside the mean of its series on other such weekdays, with half an 80% band of its series."""
    first, keys = cast("date", nearest[asked.time].min()), list(asked.keys)
    day, actual = pl.col(asked.time).alias("day"), pl.col(asked.target).cast(pl.Float64).alias("actual")
    past = known.filter(pl.col(asked.time).is_between(first - timedelta(_HISTORY), first, closed="left")).select(*keys, day, actual)
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


def _memory(asked: _Asked, known: pl.DataFrame) -> float:
    """The correlation of a series' deviation from its mean with that of the day before, over all series."""
    last, keys = cast("date", known[asked.time].max()), list(asked.keys)
    rows = known.filter(pl.col(asked.time) > last - timedelta(_HISTORY)).sort(*keys, asked.time)
    apart = (pl.col(asked.target).cast(pl.Float64) - pl.col(asked.target).mean().over(keys)).alias("_apart")
    pairs = rows.select(*keys, apart).with_columns(_before=pl.col("_apart").shift(1).over(keys)).drop_nulls()
    found = pairs.select(pl.corr("_apart", "_before", method="spearman")).item()
    return float(found) if found is not None and found == found else 0.0  # noqa: PLR0124 - NaN differs from itself


def _others_bands(asked: _Asked, past: pl.DataFrame) -> pl.DataFrame:
    """The rows of each half of the past with bands that the other half gives: a band is never judged by what it was made of."""
    settings = Settings(floor_at=0.0 if asked.kind == "count" else None)
    middle = pl.col("day") <= past["day"].median()
    halves = (past.filter(middle), past.filter(~middle))
    return pl.concat(
        calibrate(other, asked.keys, (BAND,), settings).bands(mine) for mine, other in (halves, halves[::-1]) if mine.height
    )
