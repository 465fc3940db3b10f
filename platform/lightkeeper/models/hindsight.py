"""What a model's forecasts missed by, day by day, beside what they would have missed by had the model never been retrained.

Owns a comparison in hindsight, for a story's end and for benchmarks. It decides nothing and nothing is learnt from it.
"""

from __future__ import annotations

from datetime import date, timedelta

import polars as pl

from lightkeeper.models.backtesting import naive_forecasts
from lightkeeper.models.model import Model
from lightkeeper.models.registry import Trained

__all__ = ["missed", "missed_by"]


def missed(model: Model, table: pl.LazyFrame, outcomes: pl.LazyFrame, first: Trained | None, since: date) -> pl.DataFrame:
    """The sum of absolute errors of each day.

    Args:
        model: its declaration.
        table: the feature table.
        outcomes: forecasts beside what came true; of each row the newest forecast counts.
        first: the version that served at `since`; None: the naive forecast.
        since: the first day.

    Returns:
        `day`, `n` rows, `actual` (their sum), `served` and `never`: what was missed, in units of the target.
    """
    day = pl.col(model.time)
    newest = (
        pl.col("days_ahead") == pl.col("days_ahead").min().over(*model.keys, model.time) if model.horizon else pl.lit(value=True)
    )
    mine = outcomes.filter(day >= since).filter(newest).collect()
    rows = _known(model, table).filter(day >= since).sort(model.row_key)
    other = missed_by(model, rows, first, _known(model, table))
    both = mine.join(other.select(*model.row_key, never="error"), on=list(model.row_key), how="inner")
    return (
        both.group_by(day.alias("day"))
        .agg(
            pl.len().cast(pl.Int64).alias("n"),
            pl.col("actual").sum(),
            pl.col("error").abs().sum().alias("served"),
            pl.col("never").abs().sum(),
        )
        .sort("day")
    )


def missed_by(model: Model, rows: pl.DataFrame, version: Trained | None, known: pl.DataFrame) -> pl.DataFrame:
    """`rows` with `forecast` of one version, one day ahead where it is the naive forecast, and `error` (actual less forecast)."""
    if version is not None:
        found = version.fitted.scored(rows)["forecast"]
    else:
        days = rows.partition_by(model.time, maintain_order=True)
        found = pl.concat([naive_forecasts(model, known, one, one[model.time][0] - timedelta(1))["forecast"] for one in days])
    actual = rows[model.target].cast(pl.Float64)
    return rows.with_columns(found.alias("forecast"), (actual - found).alias("error"))


def _known(model: Model, table: pl.LazyFrame) -> pl.DataFrame:
    return table.filter(pl.col(model.target).is_not_null()).collect()
