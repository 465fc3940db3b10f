"""What a run cost beside what such runs cost: time, memory, rows a second. Successful runs alone make the norm."""

from __future__ import annotations

from dataclasses import dataclass, replace

import polars as pl

from lightkeeper.lake.table import Lake
from lightkeeper.lake.verdicts import Judged, verdicts
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


def look(lake: Lake, version: TableVersion, run_id: str, cost: Cost, most: float | None = None) -> Judged:
    """Judge what a run took against those before it; its verdicts, once they are recorded, are the norm's next ones.

    `most`: the seconds that are declared, which hold while too few runs are known.
    """
    seconds = max(cost.seconds, _LEAST)
    found = run_time(_past(lake, version.table, run_id), seconds, cost.peak_mb, cost.rows, most)
    found = [replace(one, extra={**one.extra, "rows": cost.rows}) if one.check == "run_time" else one for one in found]
    return Judged(version, run_id=run_id, verdicts=tuple(found))


def _past(lake: Lake, asset: str, run_id: str) -> pl.DataFrame:
    """`seconds`, `peak_mb`, `rows` of the last runs of an asset, from their verdicts."""
    mine = (pl.col("asset") == asset) & pl.col("check").is_in(["run_time", "peak_memory"]) & (pl.col("run_id") != run_id)
    held = verdicts(lake).rows(mine & pl.col("measured").is_not_null())
    seconds = held.filter(pl.col("check") == "run_time").unique("run_id", keep="last", maintain_order=True).tail(_LAST)
    rows = pl.col("extra").str.json_path_match("$.rows").cast(pl.Int64, strict=False).alias("rows")
    peaks = held.filter(pl.col("check") == "peak_memory").unique("run_id", keep="last").select("run_id", peak_mb="measured")
    return seconds.select("run_id", rows, seconds="measured").join(peaks, on="run_id", how="left", maintain_order="left")
