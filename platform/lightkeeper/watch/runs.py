"""What a run cost beside what such runs cost: time, memory, rows a second. Successful runs alone make the norm."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from lightkeeper.lake.table import Lake
from lightkeeper.lake.verdicts import Judged, runs
from lightkeeper.measure.norms import run_time
from lightkeeper.values import TableVersion

__all__ = ["CHECKS", "Cost", "look"]

CHECKS = ("run_time", "peak_memory", "rows_per_second")
_LAST = 100  # runs that make the norm
_LEAST = 1e-4  # seconds that a step takes at least


@dataclass(frozen=True, slots=True)
class Cost:
    """What a step took.

    Attributes:
        seconds: by the wall.
        peak_mb: of the process while it ran; None where it could not be measured.
        rows: of the table after it; None where it wrote none.
    """

    seconds: float
    peak_mb: float | None = None
    rows: int | None = None


def look(lake: Lake, asset: str, version: TableVersion, run_id: str, cost: Cost) -> Judged:
    """Judge what a run took against those before it, and keep it for the next ones; a run is kept once."""
    ledger = runs(lake)
    past = ledger.rows(pl.col("asset") == asset)
    seconds = max(cost.seconds, _LEAST)
    history = past.filter(pl.col("run_id") != run_id).tail(_LAST)
    found = run_time(history.select("seconds", "peak_mb", "rows"), seconds, cost.peak_mb, cost.rows or None)
    if run_id not in past["run_id"]:
        ledger.add([
            {
                "asset": asset, "run_id": run_id, "version": version.version, "known_at": lake.clock(), "seconds": seconds,
                "peak_mb": cost.peak_mb, "rows": cost.rows or None,
            }
        ])  # fmt: skip
    return Judged(asset, version, run_id=run_id, verdicts=tuple(found))
