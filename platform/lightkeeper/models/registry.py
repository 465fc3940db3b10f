"""The table of a model's versions: one row each, with the bytes and what made them. It trains nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Literal

import polars as pl

from lightkeeper.errors import ModelAltered, Refused
from lightkeeper.models.model import Model
from lightkeeper.models.scoring import Fitted, sealed
from lightkeeper.models.training import Artifact
from lightkeeper.values import ModelVersion, TableVersion

__all__ = ["NOTES", "ROW", "Made", "Trained", "last_number", "read_version", "same_as_before", "summary", "version_row"]

Role = Literal["challenger", "refit"]

ROW: dict[str, pl.DataType] = {
    "model": pl.String(), "version": pl.Int64(), "role": pl.String(), "judged": pl.Int64(),
    "trained_at": pl.Datetime("us", "UTC"), "learnt_from": pl.List(pl.String()), "first_day": pl.Date(), "last_day": pl.Date(),
    "rows": pl.Int64(), "target": pl.String(), "kind": pl.String(), "features": pl.List(pl.String()), "horizon": pl.Int64(),
    "params": pl.String(), "seed": pl.Int64(), "threads": pl.Int64(), "rounds": pl.Int64(), "categories": pl.String(),
    "declared": pl.String(), "training_hash": pl.String(), "environment": pl.String(), "sha256": pl.String(),
    "artifact": pl.Binary(), "artifact_low": pl.Binary(), "artifact_high": pl.Binary(),
    "calibration": pl.Binary(), "reference": pl.Binary(), "evidence_sha256": pl.String(),
}  # fmt: skip

NOTES = {
    "model": "The model's name.",
    "version": "Counts from 1; demand:v3 is the row with 3.",
    "role": "challenger: fitted up to a cut, to be judged on the days after it; refit: one that won, up to the present.",
    "judged": "Of a refit the version of the challenger that was judged.",
    "trained_at": "When it was trained, by the home's clock, UTC.",
    "learnt_from": "The table versions that it learnt from.",
    "first_day": "Day of the first row learnt from.",
    "last_day": "Day of the last row learnt from.",
    "rows": "Rows learnt from.",
    "target": "What it predicts.",
    "kind": "Of the target: continuous, count or binary.",
    "features": "What it learnt from, in the order of the matrix.",
    "horizon": "Days ahead; null for predictions of rows without a target.",
    "params": "All parameters that LightGBM got, JSON.",
    "seed": "The seed of LightGBM.",
    "threads": "The threads of LightGBM; another number may give other trees.",
    "rounds": "Rounds of boosting.",
    "categories": "Of each text feature its values, whose places are its numbers, JSON.",
    "declared": "The declaration that it was trained by, JSON.",
    "training_hash": "Content hash of the rows learnt from.",
    "environment": "Libraries, processor, hash of the lock file, JSON.",
    "sha256": "Of the three artifacts, each after its length, hex.",
    "artifact": "LightGBM's model text of the point forecast, UTF-8.",
    "artifact_low": "The same of the band's lower quantile; null for a binary target.",
    "artifact_high": "The same of the band's upper quantile.",
    "calibration": "Forecasts of days that it had not learnt from, beside what came true, Parquet; the intervals stand on them.",
    "reference": "A sample of the rows learnt from, to tell new ones from.",
    "evidence_sha256": "Of calibration and reference, each after its length, hex.",
}
_ARTIFACTS = {"point": "artifact", "low": "artifact_low", "high": "artifact_high"}
_PLAIN = [name for name, dtype in ROW.items() if dtype != pl.Binary()]


@dataclass(frozen=True)
class Made:
    """How a version came to be, beside its artifact."""

    learnt_from: tuple[TableVersion, ...]
    trained_at: datetime
    environment: Mapping[str, object]
    role: Role = "challenger"
    judged: int | None = None
    calibration: bytes | None = None
    reference: bytes | None = None


@dataclass(frozen=True)
class Trained:
    """A stored model version: its bytes checked against the recorded sha256, and what it was trained for."""

    version: ModelVersion
    fitted: Fitted
    first_day: date
    last_day: date
    row: Mapping[str, Any]

    @property
    def target(self) -> str:
        """What it predicts."""
        return str(self.row["target"])


def version_row(model: Model, number: int, artifact: Artifact, made: Made) -> pl.DataFrame:
    """The row of a new version."""
    params = model.lightgbm_params
    row = {
        "model": model.name, "version": number, "role": made.role, "judged": made.judged, "trained_at": made.trained_at,
        "learnt_from": [str(v) for v in made.learnt_from], "first_day": artifact.first, "last_day": artifact.last,
        "rows": artifact.rows, "target": model.target, "kind": model.kind, "features": list(model.features),
        "horizon": model.horizon, "params": json.dumps(params, sort_keys=True), "seed": params["seed"],
        "threads": params["num_threads"], "rounds": artifact.rounds,
        "categories": json.dumps(artifact.fitted.categories, sort_keys=True), "declared": declared(model),
        "training_hash": artifact.training_hash, "environment": json.dumps(made.environment, sort_keys=True),
        "sha256": artifact.sha256, "calibration": made.calibration, "reference": made.reference,
        "evidence_sha256": sealed(made.calibration or b"", made.reference or b""),
        **{column: artifact.fitted.parts.get(part) for part, column in _ARTIFACTS.items()},
    }  # fmt: skip
    return pl.DataFrame([row], schema=ROW)


def declared(model: Model) -> str:
    """What of a declaration decides how a version is trained, JSON."""
    said = {
        "name": model.name, "table": model.table, "keys": model.keys, "time": model.time, "target": model.target,
        "features": model.features, "horizon": model.horizon, "kind": model.kind, "params": dict(model.params),
        "levels": model.levels, "season": model.season, "windows": model.windows, "slices": model.slices,
    }  # fmt: skip
    return json.dumps(said, sort_keys=True)


def as_declared(row: Mapping[str, Any]) -> Model:
    """The model as it was declared when a version was trained."""
    said: dict[str, Any] = json.loads(row["declared"])
    options: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in said.items()}
    return Model(**options)


def last_number(versions: pl.LazyFrame) -> int:
    """The number of the newest version; 0 when there is none."""
    return versions.select(pl.col("version").max()).collect().item() or 0


def same_as_before(versions: pl.LazyFrame, artifact: Artifact, role: Role = "challenger") -> int | None:
    """The number of the newest version of that role, if it holds the same bytes, learnt from the same rows."""
    found = versions.filter(pl.col("role") == role).select("version", "training_hash", "sha256").sort("version").collect()
    if found.is_empty() or found.row(-1)[1:] != (artifact.training_hash, artifact.sha256):
        return None
    number = int(found["version"][-1])
    try:
        read_version(str(versions.select("model").first().collect().item()), versions, number)
    except ModelAltered:
        return None
    return number


def summary(versions: pl.LazyFrame) -> pl.DataFrame:
    """All versions without their bytes, oldest first."""
    return versions.select(_PLAIN).sort("version").collect()


def read_version(model: str, versions: pl.LazyFrame, number: int) -> Trained:
    """One version, with the features that it was trained for, whatever is declared now.

    Raises:
        Refused: there is no such version.
        ModelAltered: the stored bytes are not those that were recorded.
    """
    rows = versions.filter(pl.col("version") == number).collect()
    if rows.is_empty():
        there = versions.select(pl.col("version").sort()).collect()["version"].to_list()
        what = f"it has {', '.join(f'v{one}' for one in there)}" if there else f"it has none yet: materialize {model}_model"
        raise Refused(f"model {model} has no version {number}; {what}.")
    row = rows.row(0, named=True)
    categories = {name: tuple(values) for name, values in json.loads(row["categories"]).items()}
    parts = {part: row[column] for part, column in _ARTIFACTS.items() if row[column] is not None}
    fitted = Fitted(tuple(row["features"]), categories, parts)
    version = ModelVersion(model, number)
    evidence = sealed(row["calibration"] or b"", row["reference"] or b"")
    if (fitted.sha256, evidence) != (row["sha256"], row["evidence_sha256"]):
        raise ModelAltered(
            f"{version}: its bytes are not those that were recorded (sha256 {row['sha256'][:12]}). "
            f"Bring {model}_model back from a backup, or train again: materialize {model}_model."
        )
    return Trained(version, fitted, row["first_day"], row["last_day"], row)


def as_calibration(scored: pl.DataFrame) -> bytes:
    """Scored rows as the bytes that a version's row keeps."""
    import io

    held = io.BytesIO()
    scored.write_parquet(held, compression="zstd", statistics=False)
    return held.getvalue()


def calibration_of(trained: Trained) -> pl.DataFrame | None:
    """The scored rows that a version's row keeps; None where it keeps none."""
    held = trained.row["calibration"]
    return None if held is None else pl.read_parquet(held)
