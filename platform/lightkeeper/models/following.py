"""A version's forecasts as they are served: moved while a shift of the level is followed. It knows no ledger and writes nothing."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date, timedelta

import polars as pl

from lightkeeper.measure.level_shift import level_shifts
from lightkeeper.models.backtesting import matured
from lightkeeper.models.model import Model
from lightkeeper.models.registry import Trained, calibration_of

__all__ = ["as_served", "moved", "past_as_served", "past_of", "shifts"]

_AHEAD = 7  # days before its day at which a past forecast is taken to have been made, for the factor that it had


def past_of(model: Model, trained: Trained, table: pl.LazyFrame, *, banded: bool = True) -> pl.DataFrame:
    """A version's forecasts of days that it had not learnt from: those that its row keeps, and of days that matured since.

    Without bands those of the days since have a null low and high.
    """
    new, held = matured(model, trained, table, banded=banded), calibration_of(trained)
    return new if held is None else pl.concat([held, new.select(held.columns)])


def shifts(model: Model, trained: Trained | None, past: pl.DataFrame, left_out: Collection[date] = ()) -> pl.DataFrame:
    """The factor in force at the end of each day since a version was trained, as `measure.level_shift` finds it.

    Args:
        model: the declaration.
        trained: the version; None: the naive forecast, which has the level of the last days by itself.
        past: what `past_of` gives.
        left_out: days that are no outcome of the world, such as those that look broken.

    Returns the columns of `level_shifts`; no row for the naive forecast, and where the model does not follow.
    """
    if trained is None or not model.follows:
        return level_shifts(pl.DataFrame(schema={"day": pl.Date, "actual": pl.Float64, "forecast": pl.Float64}), None)
    own = pl.col(model.time) > trained.last_day
    backtest = past.filter(~own).select((pl.col("actual") - pl.col("forecast")).abs().mean()).item()
    known = past.filter(own, ~pl.col(model.time).is_in(list(left_out)))
    return level_shifts(known.select(pl.col(model.time).alias("day"), "actual", "forecast"), backtest)


def moved(rows: pl.DataFrame, factor: pl.Expr) -> pl.DataFrame:
    """Rows with their `forecast` and `low` multiplied, and `high` at least as far above the forecast as it was.

    Where the level falls, what is sold may still vary as before: how much less it varies is learnt from what is missed.
    """
    forecast, high = pl.col("forecast") * factor, pl.col("high")
    above = pl.max_horizontal(high * factor, forecast + high - pl.col("forecast"))
    return rows.with_columns(
        forecast.alias("forecast"), pl.col("low") * factor, pl.when(high.is_not_null()).then(above).alias("high")
    )


def past_as_served(model: Model, rows: pl.DataFrame, factors: pl.DataFrame, ahead: int = _AHEAD) -> pl.DataFrame:
    """Forecasts of past days as they were served: each with the factor that was in force so many days before its day."""
    if factors.is_empty() or (factors["factor"] == 1).all():
        return rows
    made = factors.select((pl.col("day") + timedelta(ahead)).alias(model.time), pl.col("factor").alias(" factor")).sort(model.time)
    days = rows.select(pl.col(model.time).unique().sort()).join_asof(made, on=model.time, strategy="backward")
    found = rows.join(days, on=model.time, how="left", maintain_order="left")
    return moved(found, pl.col(" factor").fill_null(1.0)).drop(" factor")


def as_served(model: Model, trained: Trained, table: pl.LazyFrame, rows: pl.DataFrame) -> pl.DataFrame:
    """A version's forecasts of rows of known days as they were served: `forecast`, in the order of the rows; `low`, `high` null."""
    found = trained.fitted.scored(rows, banded=False)
    factors = shifts(model, trained, past_of(model, trained, table, banded=False)) if model.follows else pl.DataFrame()
    return past_as_served(model, found.with_columns(rows[model.time]), factors).select(found.columns)
