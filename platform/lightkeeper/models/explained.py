"""Explanations of the forecasts that were given: which version made them, on which rows, and what was given before.

The arithmetic of contributions stands in `explaining`; here are the rows it is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from lightkeeper.errors import Refused
from lightkeeper.measure.level_shift import CHECK
from lightkeeper.models.explaining import Before, changed, contributions
from lightkeeper.models.model import Model
from lightkeeper.models.outcomes import unmoved
from lightkeeper.models.registry import Trained, read_version

__all__ = ["HISTORY", "HISTORY_NOTES", "NOTES", "explanation", "schema"]

_PARTS: dict[str, pl.DataType] = {
    "part": pl.String(), "name": pl.String(), "value": pl.Float64(), "category": pl.String(), "contribution": pl.Float64(),
    "model_version": pl.String(),
}  # fmt: skip

NOTES = {
    "part": "base, feature, level: of a shift that is followed; or change: of the forecast since the one before it.",
    "name": "Of a feature; level_shift; data, model, events or level_shift of a change.",
    "value": "The feature's value, or the factor of the level; null where it is a text or missing.",
    "category": "The feature's text.",
    "contribution": "In the unit of the target. Base, features and level add up to the forecast, changes to its difference.",
    "model_version": "The version that made the forecast.",
}

HISTORY: dict[str, pl.DataType] = {
    "model_version": pl.String(), "feature": pl.String(), "n": pl.Int64(), "null_share": pl.Float64(), "mean": pl.Float64(),
    "sd": pl.Float64(), "p05": pl.Float64(), "p25": pl.Float64(), "median": pl.Float64(), "p75": pl.Float64(),
    "p95": pl.Float64(), "min": pl.Float64(), "max": pl.Float64(), "effect": pl.Float64(), "rank_correlation": pl.Float64(),
    "effect_share": pl.Float64(), "direction": pl.Int64(),
}  # fmt: skip

HISTORY_NOTES = {
    "model_version": "The version whose training rows these are.",
    "feature": "The feature.",
    "n": "Rows learnt from.",
    "null_share": "Share of rows without a value.",
    "mean": "Mean of the values.",
    "sd": "Standard deviation.",
    "p05": "5% of the values lie at or below.",
    "p25": "A quarter lies at or below.",
    "median": "Half lies at or below.",
    "p75": "Three quarters lie at or below.",
    "p95": "95% lie at or below.",
    "min": "Smallest value.",
    "max": "Largest value.",
    "effect": "Mean absolute contribution to a forecast, in the unit of the target.",
    "rank_correlation": "Spearman's, of value and contribution; null where either is constant.",
    "effect_share": "Of the effects of all features.",
    "direction": "1 where larger values raise the forecast, -1 where they lower it.",
}


def schema(model: Model) -> Mapping[str, pl.DataType]:
    """The columns of `<name>_explanation`; keys are shown as texts."""
    keys: dict[str, pl.DataType] = dict.fromkeys(model.keys, pl.String())
    when: dict[str, pl.DataType] = {"origin": pl.Date()} if model.horizon else {}
    return {**keys, model.time: pl.Date(), **when, **_PARTS}


def explanation(
    model: Model, table: pl.LazyFrame, forecasts: pl.LazyFrame, versions: pl.LazyFrame | None, only: pl.Expr | None = None
) -> pl.DataFrame:
    """The newest forecasts in parts, and what changed them.

    Args:
        model: the declaration.
        table: the feature table that they were made from.
        forecasts: the table of forecasts, earlier ones included.
        versions: the table of model versions; None where there is none.
        only: which forecasts, by their keys and time; None: all of the newest origin.

    Returns the columns of `schema`, sorted by time and keys; a naive forecast is its base alone.

    Raises Refused: nothing was forecast. ModelAltered: the version's bytes are not those that were recorded.
    """
    given = _given(model, forecasts, only)
    newest, older = given
    names = newest["model_version"].unique().to_list()
    if len(names) != 1:
        raise Refused(f"{model.forecast_table} holds no forecast of that kind. Materialize it, or ask for another key or day.")
    trained = _trained(model, names[0], versions)
    parts = _naive(model, newest) if trained is None else _parts(model, table, newest, older, trained, versions)
    if model.horizon:
        parts = parts.with_columns(pl.lit(newest["origin"].max(), pl.Date).alias("origin"))
    return parts.with_columns(pl.lit(names[0]).alias("model_version")).select(list(schema(model)))


def _given(model: Model, forecasts: pl.LazyFrame, only: pl.Expr | None) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The newest forecasts and those of the origin before; without a horizon there is one set."""
    wanted = forecasts if only is None else forecasts.filter(only)
    if not model.horizon:
        rows = wanted.collect()
        return rows.filter(pl.col("table_version") == _last(rows)), rows.clear()
    origins = wanted.select(pl.col("origin").unique().sort(descending=True)).head(2).collect()["origin"].to_list()
    rows = wanted.filter(pl.col("origin").is_in(origins)).collect()
    newest, before = [*(rows.filter(pl.col("origin") == one) for one in origins), rows.clear(), rows.clear()][:2]
    return newest, before


def _last(rows: pl.DataFrame) -> str | None:
    """The table version that was forecast from last."""
    return max(rows["table_version"].unique(), key=lambda one: int(one.rpartition("@")[2]), default=None)


def _trained(model: Model, name: str, versions: pl.LazyFrame | None) -> Trained | None:
    number = name.rpartition(":v")[2]
    if versions is None or not number.isdigit():
        return None
    return read_version(model.name, versions, int(number))


def _naive(model: Model, newest: pl.DataFrame) -> pl.DataFrame:
    return newest.sort(model.row_key).select(
        *model.row_key,
        pl.lit("base").alias("part"),
        pl.lit("base").alias("name"),
        pl.lit(None, pl.Float64).alias("value"),
        pl.lit(None, pl.String).alias("category"),
        pl.col(model.forecast_column).alias("contribution"),
    )


def _parts(  # noqa: PLR0913, PLR0917 - what was given, then and now
    model: Model, table: pl.LazyFrame, newest: pl.DataFrame, older: pl.DataFrame, trained: Trained, versions: pl.LazyFrame | None
) -> pl.DataFrame:
    before, features = _before(model, older, trained, versions)
    wanted = dict.fromkeys((*model.row_key, *trained.fitted.features, *features))
    keys = newest.select(model.row_key)
    rows = table.select(list(wanted)).join(keys.lazy(), on=list(model.row_key), how="semi").sort(model.row_key).collect()
    made = contributions(trained.fitted, rows, model.row_key)
    level = _level(model, newest)
    if before is None:
        return pl.concat([made, level.select(made.columns)]).sort(model.row_key, maintain_order=True)
    moved = changed(trained.fitted, rows, model.row_key, before)
    followed = _level_changed(model, level, _level(model, older), moved)
    found = [made, *(one.select(made.columns) for one in (level, moved, followed))]
    return pl.concat(found).sort(model.row_key, maintain_order=True)


def _level(model: Model, given: pl.DataFrame) -> pl.DataFrame:
    """What following a shift of the level added to forecasts: a row each where there is one."""
    factor, forecast = pl.col("level_factor"), pl.col(model.forecast_column)
    return given.filter(factor != 1).sort(model.row_key).select(
        *model.row_key,
        pl.lit("level").alias("part"),
        pl.lit(CHECK).alias("name"),
        factor.alias("value"),
        pl.lit(None, pl.String).alias("category"),
        (forecast - forecast / factor).alias("contribution"),
    )  # fmt: skip


def _level_changed(model: Model, now: pl.DataFrame, then: pl.DataFrame, moved: pl.DataFrame) -> pl.DataFrame:
    """What following a shift of the level added more than before, to forecasts that had one before."""
    keys = list(model.row_key)
    both = now.select(*keys, now="contribution").join(then.select(*keys, then="contribution"), on=keys, how="full", coalesce=True)
    more = (pl.col("now").fill_null(0.0) - pl.col("then").fill_null(0.0)).alias("contribution")
    rows = both.join(moved.select(keys).unique(), on=keys, how="semi").sort(keys)
    return rows.select(
        *keys,
        pl.lit("change").alias("part"),
        pl.lit(CHECK).alias("name"),
        pl.lit(None, pl.Float64).alias("value"),
        pl.lit(None, pl.String).alias("category"),
        more,
    )


def _before(
    model: Model, older: pl.DataFrame, trained: Trained, versions: pl.LazyFrame | None
) -> tuple[Before | None, tuple[str, ...]]:
    """What was forecast before by a version that can still be asked, and the features that it needs."""
    names: list[Any] = older["model_version"].unique().to_list()
    if len(names) != 1:
        return None, ()
    if names[0] == str(trained.version):
        return Before(unmoved(older, model.forecast_column), model.forecast_column), ()
    previous = _trained(model, names[0], versions)
    if previous is None:  # the naive forecast served: what changed is who forecasts
        return None, ()
    return Before(unmoved(older, model.forecast_column), model.forecast_column, previous.fitted), previous.fitted.features
