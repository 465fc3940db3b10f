"""Training: a frame and a declaration in, an artifact and all that made it out. Deterministic; no clock, no I/O."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING

import polars as pl

from lightkeeper.errors import Refused
from lightkeeper.measure.content import digest, sums
from lightkeeper.models.model import Model

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Artifact", "matrix", "train", "training_frame"]

_LIBRARIES = ("lightgbm", "numpy", "polars")


@dataclass(frozen=True)
class Artifact:
    """One trained model.

    Attributes:
        data: LightGBM's model text, UTF-8.
        sha256: of `data`, hex.
        rows: learnt from.
        first, last: days (ISO) of the first and last row learnt from.
        training_hash: content hash of the frame learnt from.
        environment: JSON: libraries and processor.
    """

    data: bytes
    sha256: str
    rows: int
    first: str
    last: str
    training_hash: str
    environment: str


def training_frame(model: Model, table: pl.LazyFrame) -> pl.DataFrame:
    """The rows with a known target, sorted by time and keys, which must name each row once.

    Raises Refused: a column is not there or no number, no row has a target, or two rows share a key.
    """
    schema = table.collect_schema()
    missing = [name for name in (*model.row_key, model.target, *model.features) if name not in schema]
    if missing:
        raise Refused(f"model {model.name}: {model.table} has no column {', '.join(missing)}; it has {', '.join(schema)}.")
    text = [name for name in (*model.features, model.target) if not (schema[name].is_numeric() or schema[name] == pl.Boolean)]
    if text:
        raise Refused(f"model {model.name}: {', '.join(text)} of {model.table} is no number. Make it one in {model.table}.")
    wanted = (*model.row_key, model.target, *model.features)
    rows = table.filter(pl.col(model.target).is_not_null()).select(wanted).sort(model.row_key).collect()
    if rows.is_empty():
        raise Refused(f"model {model.name}: no row of {model.table} has a known {model.target}, so there is nothing to learn.")
    double = rows.select(model.row_key).is_duplicated()
    if double.any():
        raise Refused(f"model {model.name}: {model.table} has two rows for {rows.filter(double).row(0)[: len(model.row_key)]}.")
    return rows


def matrix(model: Model, rows: pl.DataFrame) -> NDArray[np.float64]:
    """The features, float64, one row each, in declared order; nulls become NaN."""
    return rows.select(pl.col(name).cast(pl.Float64) for name in model.features).to_numpy(order="c")


def train(model: Model, rows: pl.DataFrame) -> Artifact:
    """Fit on all rows of a training frame. The same rows, parameters and library give the same bytes."""
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # waiting threads give their core away; read when lightgbm loads
    import lightgbm

    params = dict(model.lightgbm_params)
    rounds = int(str(params.pop("num_iterations")))
    labels = rows[model.target].cast(pl.Float64).to_numpy()
    data = lightgbm.Dataset(matrix(model, rows), labels, feature_name=list(model.features), params=params)
    booster = lightgbm.train(params, data, num_boost_round=rounds)
    text = booster.model_to_string().encode()
    return Artifact(
        data=text,
        sha256=hashlib.sha256(text).hexdigest(),
        rows=rows.height,
        first=str(rows[model.time][0]),
        last=str(rows[model.time][-1]),
        training_hash=digest(dict(rows.schema), sums(rows)),
        environment=json.dumps(
            {**{name: version(name) for name in _LIBRARIES}, "machine": platform.machine(), "python": platform.python_version()}
        ),
    )
