"""The columns of forecasts, and outcomes: forecasts beside what came true. Which days are computed anew is the caller's."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from lightkeeper.models.model import Model

__all__ = ["band_columns", "forecast_schema", "level_name", "outcome_schema", "outcomes", "unmoved"]


def level_name(level: float) -> str:
    """How a level stands in a column's name: 0.8 is 80, 0.995 is 99_5."""
    return f"{level * 100:g}".replace(".", "_")


def band_columns(model: Model) -> tuple[str, ...]:
    """The columns of the limits: low and high of each level."""
    return tuple(f"{side}_{level_name(level)}" for level in _levels(model) for side in ("low", "high"))


def _levels(model: Model) -> tuple[float, ...]:
    return () if model.kind == "binary" else model.levels


def outcomes(model: Model, forecasts: pl.LazyFrame, table: pl.LazyFrame) -> pl.DataFrame:
    """Each forecast of a day whose target is known, sorted by time, origin and keys.

    Returns keys, time, `origin` and `days_ahead` (with a horizon), `forecast`, the limits of the bands, `actual` (Float64),
        `error` (actual less forecast), `inside_<level>` (Boolean, null where there was no band), `model_version`, `made_by`,
        `level_factor`.
    """
    known = table.filter(pl.col(model.target).is_not_null()).select(
        *model.row_key, pl.col(model.target).cast(pl.Float64).alias("actual")
    )
    when = ("origin", "days_ahead") if model.horizon else ()
    joined = forecasts.rename({model.forecast_column: "forecast"}).join(known, on=list(model.row_key), how="inner")
    inside = [
        pl.col("actual")
        .is_between(pl.col(f"low_{level_name(one)}"), pl.col(f"high_{level_name(one)}"))
        .alias(f"inside_{level_name(one)}")
        for one in _levels(model)
    ]
    return (
        joined.with_columns((pl.col("actual") - pl.col("forecast")).alias("error"), *inside)
        .select(
            *model.keys, model.time, *when, "forecast", *band_columns(model), "actual", "error",
            *(f"inside_{level_name(one)}" for one in _levels(model)), "model_version", "made_by", "level_factor",
        )
        .sort(model.time, *when[:1], *model.keys)
        .collect()
    )  # fmt: skip


def unmoved(rows: pl.DataFrame, column: str = "forecast") -> pl.DataFrame:
    """Forecasts, or outcomes, with those that the version itself made, before a shift of the level was followed."""
    return rows.with_columns(pl.col(column) / pl.col("level_factor"))


def forecast_schema(model: Model) -> tuple[Mapping[str, pl.DataType], Mapping[str, str]]:
    """The columns of the forecasts and their notes; keys are shown as texts."""
    unit = f"in the unit of {model.target}" if model.kind != "binary" else "a probability"
    limits = {
        f"{side}_{level_name(level)}": f"{side.capitalize()} end of the {level:.0%} interval; null where too little has matured."
        for level in _levels(model)
        for side in ("low", "high")
    }
    ahead = {"origin": "The last day that was known.", "days_ahead": f"1 to {model.horizon}."} if model.horizon else {}
    notes = {
        **dict.fromkeys(model.keys, "Which series."),
        model.time: "The day that is forecast.",
        **ahead,
        model.forecast_column: f"The forecast, {unit}.",
        **limits,
        "band_from": "Whose past errors the intervals stand on: series and horizon, series, all series.",
        "novelty": "How usual the inputs are among those learnt from, a conformal p: 0.01 is as far as one row in a hundred.",
        "outside": "Features beyond anything learnt from.",
        "model_version": "The version that made it, such as demand:v3, or demand:naive.",
        "made_by": "champion, or who stood in for it: previous, naive.",
        "level_factor": "What the version's own forecast was multiplied with: 1 unless a shift of the level is followed.",
        "table_version": "The version of the feature table that it was made from.",
    }
    types: dict[str, pl.DataType] = {model.time: pl.Date(), "origin": pl.Date(), "days_ahead": pl.Int64()}
    numbers = {model.forecast_column, *limits, "novelty", "level_factor"}
    schema = {
        name: types.get(name, pl.Float64() if name in numbers else pl.List(pl.String()) if name == "outside" else pl.String())
        for name in notes
    }
    return schema, notes


def outcome_schema(model: Model) -> tuple[Mapping[str, pl.DataType], Mapping[str, str]]:
    """The columns of the outcomes and their notes."""
    given, told = forecast_schema(model)
    when = ("origin", "days_ahead") if model.horizon else ()
    inside = {
        f"inside_{level_name(one)}": f"Whether it came true inside the {one:.0%} interval; null where there was none."
        for one in _levels(model)
    }
    notes = {
        **{name: told[name] for name in (*model.keys, model.time, *when)},
        "forecast": told[model.forecast_column],
        **{name: told[name] for name in band_columns(model)},
        "actual": "What came true.",
        "error": "Actual less forecast.",
        **inside,
        **{name: told[name] for name in ("model_version", "made_by", "level_factor")},
    }
    numbers = {"forecast", "actual", "error", "level_factor"}
    types = {name: pl.Float64() if name in numbers else pl.Boolean() if name in inside else given[name] for name in notes}
    return types, notes
