"""The table of champions: who served when, and why. It is made from the ledger of decisions, which alone decides."""

from __future__ import annotations

import polars as pl

from lightkeeper.lake.table import Lake
from lightkeeper.models.decisions import Serving, decisions, reigns
from lightkeeper.values import Stamp

__all__ = ["NOTES", "ROW", "publish", "rows"]

ROW: dict[str, pl.DataType] = {
    "model": pl.String(), "serves": pl.String(), "version": pl.Int64(), "since": pl.Datetime("us", "UTC"),
    "until": pl.Datetime("us", "UTC"), "action": pl.String(), "by": pl.String(), "why": pl.String(),
}  # fmt: skip

NOTES = {
    "model": "The model's name.",
    "serves": "The version that serves, such as demand:v3, or demand:naive.",
    "version": "Its number; 0 is the naive forecast.",
    "since": "From when on, UTC; null for the naive forecast before any decision.",
    "until": "Until when; null for the one that serves now.",
    "action": "What brought it there: promoted or rolled_back; null before any decision.",
    "by": "Whose decision: a run, a person.",
    "why": "The reason.",
}


def rows(lake: Lake, model: str) -> pl.DataFrame:
    """Who served when, oldest first; the last row serves now."""
    served = reigns(decisions(lake, model), model)
    first = Serving(model, 0, None, served[0].since if served else None, why="Nothing was judged before.")
    return pl.DataFrame([_row(one) for one in (first, *served)], schema=ROW, orient="row")


def _row(one: Serving) -> tuple[object, ...]:
    return (one.model, one.name, one.version, one.since, one.until, one.action, one.by, one.why)


def publish(lake: Lake, model: str) -> None:
    """Write the table anew from the ledger, outside a run."""
    table = f"{model}_champion"
    lake.write(table, rows(lake, model), stamp=Stamp(asset=table))
