"""What a declaration and a table's schema become in Dagster: what the assets of a model share, a column schema with its notes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import dagster as dg
import polars as pl

from lightkeeper.measure.reading import type_text
from lightkeeper.models.model import Model
from lightkeeper.models.registry import declared

__all__ = ["asset_of", "columns_of"]


def _declared_version(model: Model) -> str:
    """Changes with the declaration: other features or parameters are other code."""
    said = f"{declared(model)} {model.expect} {model.promote_if} {model.follow_level}"
    return f"declared:{hashlib.sha256(said.encode()).hexdigest()[:12]}"


def asset_of(model: Model, group: str, made_with: str, **said: Any) -> Callable[[Callable[..., Any]], dg.AssetsDefinition]:
    """Declares an asset of a model, with what all of them share: owners, code version, the lake; Dagster is told the rest."""
    made: Callable[[Callable[..., Any]], dg.AssetsDefinition] = dg.asset(
        group_name=group, kinds={made_with, "deltalake"}, owners=list(model.owners), code_version=_declared_version(model),
        required_resource_keys={"io_manager"}, **said,
    )  # fmt: skip
    return made


def columns_of(schema: Mapping[str, pl.DataType], notes: Mapping[str, str]) -> dg.TableSchema:
    """A table's columns with their meaning, for Dagster's UI."""
    return dg.TableSchema(
        columns=[dg.TableColumn(name, type_text(dtype), description=notes[name]) for name, dtype in schema.items()]
    )
