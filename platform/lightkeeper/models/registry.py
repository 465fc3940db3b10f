"""The table of a model's versions: one row each, with the bytes and what made them. It reads and makes rows; it trains nothing."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from lightkeeper.errors import LightkeeperError, Refused
from lightkeeper.models.model import Model
from lightkeeper.models.training import Artifact
from lightkeeper.values import ModelVersion, TableVersion

__all__ = ["NOTES", "ROW", "Trained", "newest", "same_as_newest", "version_row"]

ROW: dict[str, pl.DataType] = {
    "model": pl.String(), "version": pl.Int64(), "trained_at": pl.Datetime("us", "UTC"), "learnt_from": pl.List(pl.String()),
    "first_day": pl.String(), "last_day": pl.String(), "rows": pl.Int64(), "target": pl.String(),
    "features": pl.List(pl.String()), "horizon": pl.Int64(), "params": pl.String(), "seed": pl.Int64(), "threads": pl.Int64(),
    "training_hash": pl.String(), "environment": pl.String(), "sha256": pl.String(), "artifact": pl.Binary(),
}  # fmt: skip

NOTES = {
    "model": "The model's name.",
    "version": "Counts from 1; demand:v3 is the row with 3.",
    "trained_at": "When it was trained, by the home's clock, UTC.",
    "learnt_from": "The table versions that it learnt from.",
    "first_day": "Day of the first row learnt from, ISO.",
    "last_day": "Day of the last row learnt from, ISO.",
    "rows": "Rows learnt from.",
    "target": "What it forecasts.",
    "features": "What it learnt from, in the order of the matrix.",
    "horizon": "Days ahead.",
    "params": "All parameters that LightGBM got, JSON.",
    "seed": "The seed of LightGBM.",
    "threads": "The threads of LightGBM; another number may give other trees.",
    "training_hash": "Content hash of the rows learnt from.",
    "environment": "Versions of the libraries, processor, JSON.",
    "sha256": "Of the artifact, hex.",
    "artifact": "LightGBM's model text, UTF-8.",
}


@dataclass(frozen=True)
class Trained:
    """A stored model version: its bytes checked against the recorded sha256, and what it was trained for."""

    version: ModelVersion
    features: tuple[str, ...]
    data: bytes
    last_day: str
    target: str


def version_row(
    model: Model, number: int, artifact: Artifact, learnt_from: Iterable[TableVersion], trained_at: datetime
) -> pl.DataFrame:
    """The row of a new version."""
    params = model.lightgbm_params
    row = {
        "model": model.name, "version": number, "trained_at": trained_at, "learnt_from": [str(v) for v in learnt_from],
        "first_day": artifact.first, "last_day": artifact.last, "rows": artifact.rows, "target": model.target,
        "features": list(model.features), "horizon": model.horizon, "params": json.dumps(params, sort_keys=True),
        "seed": params["seed"], "threads": params["num_threads"], "training_hash": artifact.training_hash,
        "environment": artifact.environment, "sha256": artifact.sha256, "artifact": artifact.data,
    }  # fmt: skip
    return pl.DataFrame([row], schema=ROW)


def same_as_newest(versions: pl.LazyFrame, artifact: Artifact) -> bool:
    """Whether the newest version holds the same bytes, learnt from the same rows."""
    last = _last(versions, "artifact", "training_hash")
    return last.height == 1 and last.row(0) == (artifact.data, artifact.training_hash)


def _last(versions: pl.LazyFrame, *columns: str) -> pl.DataFrame:
    """The row of the newest version, none when there is none; the bytes of older ones are not read."""
    number = versions.select(pl.col("version").max()).collect().item()
    return versions.filter(pl.col("version") == pl.lit(number, pl.Int64)).select(columns).last().collect()


def newest(model: Model, versions: pl.LazyFrame) -> Trained:
    """The newest version, with the features that it was trained for, whatever is declared now.

    Raises:
        Refused: there is none.
        LightkeeperError: the stored bytes are not those that were recorded.
    """
    row = _last(versions, "version", "features", "artifact", "sha256", "last_day", "target")
    if row.is_empty():
        raise Refused(f"model {model.name} has no version yet. Materialize {model.model_table}.")
    found = row.row(0, named=True)
    version = ModelVersion(model.name, found["version"])
    if hashlib.sha256(found["artifact"]).hexdigest() != found["sha256"]:
        raise LightkeeperError(
            f"{version}: its bytes are not those that were recorded (sha256 {found['sha256'][:12]}). "
            f"Materialize {model.model_table} to train it again, or bring the table back from a backup."
        )
    return Trained(version, tuple(found["features"]), found["artifact"], found["last_day"], found["target"])
