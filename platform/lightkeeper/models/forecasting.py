"""Forecasting: a stored model and the rows ahead of the last known day in, one row for each key and day ahead out."""

from __future__ import annotations

from dataclasses import replace

import polars as pl

from lightkeeper.errors import Refused
from lightkeeper.models.model import Model
from lightkeeper.models.registry import Trained
from lightkeeper.models.training import assert_columns, matrix

__all__ = ["forecast"]


def forecast(model: Model, trained: Trained, table: pl.LazyFrame, made_from: str) -> pl.DataFrame:
    """Forecasts for the `horizon` days after the last day with a known target.

    Returns one row a key and day: keys, time, `origin` (last known day), `days_ahead` (1 to horizon), `<target>_forecast`
    (Float64), `model_version` ("demand:v3"), `table_version` ("demand_features@12"); sorted by time and keys.

    A model that was trained for other features than are declared now uses its own.

    Raises Refused: no day is known, the table has no rows ahead of it, it lacks a column that the model was trained for, or
        the model was trained for another target.
    """
    trained_for = _trained_for(model, trained, table)
    origin = table.filter(pl.col(model.target).is_not_null()).select(pl.col(model.time).max()).collect().item()
    if origin is None:
        raise Refused(f"model {model.name}: no row of {model.table} has a known {model.target}, so there is no day to start from.")
    ahead = (pl.col(model.time) - pl.lit(origin)).dt.total_days().alias("days_ahead")
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


def _trained_for(model: Model, trained: Trained, table: pl.LazyFrame) -> Model:
    """The declaration with the features that the version was trained for."""
    if trained.target != model.target:
        raise Refused(
            f"{trained.version} was trained for {trained.target}, not for {model.target}. Materialize {model.model_table}."
        )
    try:
        assert_columns(model, table, (model.target, *trained.features))
    except Refused as error:
        raise Refused(f"{trained.version} cannot forecast from {model.table}: {error}") from error
    return replace(model, features=trained.features)


def _predict(model: Model, trained: Trained, rows: pl.DataFrame) -> pl.Series:
    import lightgbm

    booster = lightgbm.Booster(model_str=trained.data.decode())
    return pl.Series(booster.predict(matrix(model, rows), num_threads=2), dtype=pl.Float64)
