"""Reproducing: a past model rebuilt from the table versions that it learnt from, and compared with what is stored."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import polars as pl

from lightkeeper.errors import BadDeclaration, LightkeeperError, ModelAltered, Refused
from lightkeeper.lake.table import Lake
from lightkeeper.measure.content import digest, sums
from lightkeeper.models.environment import differences, environment
from lightkeeper.models.registry import Trained, as_declared, read_version
from lightkeeper.models.scoring import Fitted, trees
from lightkeeper.models.training import fit, training_frame
from lightkeeper.values import ModelVersion, TableVersion

__all__ = ["Answer", "Verification", "verify"]

Answer = Literal["IDENTICAL", "EQUIVALENT", "DIFFERENT", "CANNOT"]

_SAME = 1e-6  # of the largest forecast: a smaller difference is rounding of another processor or library
_COMPARED = 10_000  # rows whose predictions are compared


@dataclass(frozen=True)
class Verification:
    """What became of a rebuilt model.

    Attributes:
        version: the model version.
        answer: IDENTICAL, same trees, byte for byte; EQUIVALENT, made with another library or on another processor, and
            forecasts differ by rounding; DIFFERENT; CANNOT, something that it needs is missing.
        why: in one sentence.
        learnt_from: the table versions that it was rebuilt from.
        largest: largest difference of two forecasts, in the unit of the target; None where none was compared.
        environment: in what libraries and processor now differ from then.
    """

    version: ModelVersion
    answer: Answer
    why: str
    learnt_from: tuple[TableVersion, ...] = ()
    largest: float | None = None
    environment: tuple[str, ...] = ()


def verify(lake: Lake, version: ModelVersion) -> Verification:
    """Rebuild a stored version and compare. Raises Refused: there is no such version or no such model."""
    table = f"{version.model}_model"
    if not lake.exists(table):
        raise Refused(f"{lake.root} holds no model {version.model}. Look: lightkeeper model list")
    try:
        stored = read_version(version.model, lake.read(table), version.number)
    except ModelAltered as error:
        return Verification(version, "CANNOT", str(error))
    learnt_from = tuple(TableVersion.parse(one) for one in stored.row["learnt_from"])
    now = tuple(differences(json.loads(stored.row["environment"]), environment()))
    try:
        as_declared(stored.row)
    except BadDeclaration as error:
        why = f"this release refuses what it was declared by, use the one that trained it: {error}"
        return Verification(version, "CANNOT", why, learnt_from, None, now)
    try:
        rows = _rows(lake, stored, learnt_from[0])
    except BaseException as error:
        if (
            not isinstance(error, LightkeeperError | pl.exceptions.PolarsError | OSError)
            and type(error).__name__ != "PanicException"
        ):
            raise  # a truncated Parquet file raises Polars' PanicException, which is no Exception
        return Verification(version, "CANNOT", f"{learnt_from[0]} cannot be read as it was: {error}", learnt_from, None, now)
    return _compared(stored, rows, learnt_from, now)


def _rows(lake: Lake, stored: Trained, at: TableVersion) -> pl.DataFrame:
    return training_frame(as_declared(stored.row), lake.read(at.table, at), stored.last_day)


def _compared(stored: Trained, rows: pl.DataFrame, learnt_from: tuple[TableVersion, ...], now: tuple[str, ...]) -> Verification:
    said: Mapping[str, object] = {"learnt_from": learnt_from, "environment": now}
    if digest(dict(rows.schema), sums(rows)) != stored.row["training_hash"]:
        why = f"{learnt_from[0]} gives other rows than the {stored.row['rows']:,} that {stored.version} learnt from"
        return Verification(stored.version, "DIFFERENT", f"{why}: {rows.height:,} rows, another content hash.", **said)  # type: ignore[arg-type]
    again = fit(as_declared(stored.row), rows, stored.row["rounds"])
    if all(trees(text) == trees(again.fitted.parts[part]) for part, text in stored.fitted.parts.items()):
        why = f"the same trees, byte for byte, from {rows.height:,} rows of {learnt_from[0]}."
        return Verification(stored.version, "IDENTICAL", why, largest=0.0, **said)  # type: ignore[arg-type]
    largest, scale = _largest(stored.fitted, again.fitted, rows)
    by = f"forecasts differ by at most {largest:.3g}"
    if now and largest <= _SAME * scale:
        return Verification(stored.version, "EQUIVALENT", f"{by}; {'; '.join(now)}.", largest=largest, **said)  # type: ignore[arg-type]
    because = f"; {'; '.join(now)}" if now else ", with the same libraries and processor"
    return Verification(stored.version, "DIFFERENT", f"{by}{because}.", largest=largest, **said)  # type: ignore[arg-type]


def _largest(stored: Fitted, again: Fitted, rows: pl.DataFrame) -> tuple[float, float]:
    """The largest difference of two forecasts over the last rows, and the largest forecast."""
    some = rows.tail(_COMPARED)
    then, now = stored.scored(some), again.scored(some)
    apart = [(then[name] - now[name]).abs().max() for name in then.columns if then[name].null_count() == 0]
    return max(float(str(one)) for one in apart), max(float(str(then["forecast"].abs().max())), 1.0)
