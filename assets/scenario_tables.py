"""The table that only the scenario `slow` has: its step takes ever longer, as a step does that counts again what it has counted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import dagster as dg
import polars as pl

if TYPE_CHECKING:
    from lightkeeper.orchestrate.scenario import Script

__all__ = ["QUIET_DAYS", "TIMES", "slow_tables"]

QUIET_DAYS = 9  # days of trade after the history on which the step is as fast as it should be
TIMES = 3.5  # by which it takes longer on each day after them


def slow_tables(script: Script) -> Sequence[dg.AssetsDefinition]:
    """`basket_pairs`, whose work grows more than threefold with each day of trade once QUIET_DAYS have passed after the history."""
    turns = script.turns

    @dg.asset(name="basket_pairs", group_name="demand", code_version="1", description="Products bought together on the last day.")
    def pairs(sales: pl.LazyFrame) -> pl.DataFrame:
        days = sales.filter(pl.col("day") >= turns).select(pl.col("day").n_unique()).collect().item()
        last = sales.filter(pl.col("day") == pl.col("day").max()).select("invoice", "stock_code").unique().collect()
        counted = last.clear()
        for _ in range(round(TIMES ** max(0, days - QUIET_DAYS))):
            counted = last.join(last, on="invoice", suffix="_other").filter(pl.col("stock_code") < pl.col("stock_code_other"))
        return counted.group_by("stock_code", "stock_code_other").agg(pl.len().cast(pl.Int64).alias("times")).sort(pl.all())

    return [pairs]
