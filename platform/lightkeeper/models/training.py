"""Training: a frame and a declaration in, an artifact and all that made it out. Deterministic; no clock, no I/O."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Sequence
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

__all__ = ["Artifact", "assert_columns", "matrix", "train", "training_frame"]

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

    Raises Refused: a column is not there or no number, no row has a target, a target is infinite, two rows share a key or
        one lacks it.
    """
    assert_columns(model, table, (*model.features, model.target))
    wanted = (*model.row_key, model.target, *model.features)
    rows = table.filter(pl.col(model.target).is_not_null()).select(wanted).sort(model.row_key).collect()
    if rows.is_empty():
        raise Refused(f"model {model.name}: no row of {model.table} has a known {model.target}, so there is nothing to learn.")
    _assert_rows(model, rows)
    return rows


def assert_columns(model: Model, table: pl.LazyFrame, numbers: Sequence[str]) -> None:
    """Raise Refused unless the table has the model's keys, its time as a Date, and `numbers` as numbers or booleans."""
    schema, of = table.collect_schema(), f"model {model.name}: {model.table}"
    missing = [name for name in (*model.row_key, *numbers) if name not in schema]
    if missing:
        raise Refused(f"{of} has no column {', '.join(missing)}; it has {', '.join(schema)}.")
    text = [name for name in numbers if not (schema[name].is_numeric() or schema[name] == pl.Boolean)]
    if text:
        raise Refused(f"{of}: {', '.join(f'{name} ({schema[name]})' for name in text)} is no number. Make it one in {model.table}.")
    if schema[model.time] != pl.Date:
        raise Refused(f"{of}: the time column {model.time} is {schema[model.time]}. Make it a Date in {model.table}.")


def _assert_rows(model: Model, rows: pl.DataFrame) -> None:
    of, keys = f"model {model.name}: {model.table}", rows.select(model.row_key)
    nameless = [name for name in model.row_key if keys[name].null_count()]
    if nameless:
        raise Refused(f"{of} has {keys[nameless[0]].null_count()} rows without {nameless[0]}. Each row needs its keys and day.")
    double = keys.is_duplicated()
    if double.any():
        raise Refused(f"{of} has two rows for {keys.filter(double).row(0)}. Each {' and '.join(model.row_key)} stands once.")
    wild = rows.filter(~pl.col(model.target).cast(pl.Float64).is_finite())
    if wild.height:
        raise Refused(f"{of}: {model.target} is {wild[model.target][0]} for {wild.select(model.row_key).row(0)}. Make it null.")


def matrix(model: Model, rows: pl.DataFrame) -> NDArray[np.float64]:
    """The features, float64, one row each, in declared order; nulls become NaN."""
    return rows.select(pl.col(name).cast(pl.Float64) for name in model.features).to_numpy(order="c")


def train(model: Model, rows: pl.DataFrame) -> Artifact:
    """Fit on all rows of a training frame. The same rows, parameters and library give the same bytes."""
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
