"""What a declaration and a table's schema become in Dagster: a code version, a column schema with its notes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import dagster as dg
import polars as pl

from lightkeeper.measure.reading import type_text
from lightkeeper.models.model import Model
from lightkeeper.models.registry import declared

__all__ = ["columns_of", "declared_version"]


def declared_version(model: Model) -> str:
    """Changes with the declaration: other features or parameters are other code."""
    said = f"{declared(model)} {model.expect} {model.promote_if} {model.follow_level}"
    return f"declared:{hashlib.sha256(said.encode()).hexdigest()[:12]}"


def columns_of(schema: Mapping[str, pl.DataType], notes: Mapping[str, str]) -> dg.TableSchema:
    """A table's columns with their meaning, for Dagster's UI."""
    return dg.TableSchema(
        columns=[dg.TableColumn(name, type_text(dtype), description=notes[name]) for name, dtype in schema.items()]
    )
