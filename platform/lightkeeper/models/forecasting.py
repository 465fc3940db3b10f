"""Forecasting: a stored model and the rows ahead of the last known day in, one row for each key and day ahead out."""

from __future__ import annotations

from dataclasses import replace

import polars as pl

from lightkeeper.errors import Refused
from lightkeeper.models.model import Model
from lightkeeper.models.registry import Trained
from lightkeeper.models.training import matrix

__all__ = ["forecast"]


def forecast(model: Model, trained: Trained, table: pl.LazyFrame, made_from: str) -> pl.DataFrame:
    """Forecasts for the `horizon` days after the last day with a known target.

    Returns one row a key and day: keys, time, `origin` (last known day), `days_ahead` (1 to horizon), `<target>_forecast`
    (Float64), `model_version` ("demand:v3"), `table_version` ("demand_features@12"); sorted by time and keys.

    Raises Refused: no day is known, or the table has no rows ahead of it.
    """
    origin = table.filter(pl.col(model.target).is_not_null()).select(pl.col(model.time).max()).collect().item()
    if origin is None:
        raise Refused(f"model {model.name}: no row of {model.table} has a known {model.target}, so there is no day to start from.")
    ahead = (pl.col(model.time) - pl.lit(origin)).dt.total_days().alias("days_ahead")
    trained_for = replace(model, features=trained.features)
    rows = (
        table.filter(pl.col(model.time) > origin)
        .select(*model.row_key, ahead, *trained.features)
        .filter(pl.col("days_ahead") <= model.horizon)
        .sort(model.row_key)
        .collect()
    )
    if rows.is_empty():
        raise Refused(f"model {model.name}: {model.table} has no rows after {origin}; it must reach {model.horizon} days ahead.")
    return rows.select(
        *(pl.col(name) for name in (*model.keys, model.time)),
        pl.lit(origin).alias("origin"),
        pl.col("days_ahead").cast(pl.Int64),
        pl.Series(f"{model.target}_forecast", _predict(trained_for, trained, rows)),
        pl.lit(str(trained.version)).alias("model_version"),
        pl.lit(made_from).alias("table_version"),
    )


def _predict(model: Model, trained: Trained, rows: pl.DataFrame) -> pl.Series:
    import lightgbm

    booster = lightgbm.Booster(model_str=trained.data.decode())
    return pl.Series(booster.predict(matrix(model, rows), num_threads=2), dtype=pl.Float64)
