"""What Dagster's UI shows of a version: numbers, versions, schema, column lineage, the command. It reads the commit only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import dagster as dg
import dataframely as dy

from lightkeeper.errors import BadDeclaration
from lightkeeper.lake.table import Lake
from lightkeeper.measure.contract import column_lineage, columns
from lightkeeper.measure.freshness import span
from lightkeeper.measure.picture import markdown, trend
from lightkeeper.values import Input, TableVersion

__all__ = ["CONTRACT", "FRESH", "SEGMENTS", "WITHIN", "about", "picture", "shown", "watched"]

CONTRACT = "contract"  # metadata of an asset: where its contract can be imported, module:Class
FRESH = "fresh within"  # metadata of an asset: the promise on its newest event day
WITHIN = "runs within"  # metadata of an asset: the longest that a run of it may take while no norm is learnt
SEGMENTS = "segments"  # metadata of an asset: columns whose values are watched on their own
_SCHEMA, _LINEAGE = "dagster/column_schema", "dagster/column_lineage"


def about(
    contract: type[dy.Schema],
    by: str | None = None,
    *,
    fresh_within: str | None = None,
    segments: Sequence[str] = (),
    runs_within: str | None = None,
) -> dict[str, Any]:
    """Definition metadata of an asset from its contract, and what its checks need to know.

    Args:
        contract: columns, their lineage, its import path.
        by: the date column of the parts; a table with one is watched day by day.
        fresh_within: how long after its end an event day may stay the newest, such as "26h" or "3d".
        segments: columns whose most frequent values are watched on their own.
        runs_within: the longest that a run may take, such as "30m", until eight runs have told what is usual.

    Raises BadDeclaration: a span cannot be read, or a segment is no column of the contract.
    """
    found: dict[str, Any] = {_SCHEMA: _schema(contract), CONTRACT: f"{contract.__module__}:{contract.__qualname__}"}
    lineage = _lineage(contract)
    if lineage is not None:
        found[_LINEAGE] = lineage
    if by is not None:
        found["partition_expr"] = by
    if runs_within is not None:
        span(runs_within)
        found[WITHIN] = runs_within
    return {**found, **watched(contract, fresh_within, segments)}


def watched(contract: type[dy.Schema], fresh_within: str | None, segments: Sequence[str]) -> dict[str, Any]:
    """What the checks need to know, as definition metadata. Raises BadDeclaration."""
    if odd := [name for name in segments if name not in contract.column_names()]:
        raise BadDeclaration(f"segments: {contract.__name__} has no column {', '.join(odd)}; it has {contract.column_names()}.")
    found: dict[str, Any] = {}
    if fresh_within is not None:
        span(fresh_within)
        found[FRESH] = fresh_within
    return {**found, SEGMENTS: list(segments)} if segments else found


def picture(values: Sequence[float | None], what: str = "") -> dg.MarkdownMetadataValue:
    """A small trend picture that Dagster's UI shows inline."""
    return dg.MetadataValue.md(markdown(trend(values), what))


def _schema(contract: type[dy.Schema]) -> dg.TableSchema:
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                note.name,
                note.type,
                description=note.description,
                constraints=dg.TableColumnConstraints(nullable=note.nullable, other=list(note.constraints)),
            )
            for note in columns(contract)
        ]
    )


def _lineage(contract: type[dy.Schema]) -> dg.TableColumnLineage | None:
    deps = {column: [_dep(one) for one in origins] for column, origins in column_lineage(contract).items() if origins}
    return dg.TableColumnLineage(deps_by_column=deps) if deps else None


def _dep(origin: str) -> dg.TableColumnDep:
    table, _, column = origin.rpartition(".")
    return dg.TableColumnDep(asset_key=dg.AssetKey(table.split("__")), column_name=column)


def shown(
    lake: Lake,
    made: TableVersion,
    definition: Mapping[str, Any],
    unchanged: bool,  # noqa: FBT001
    inputs: Sequence[Input] | None = None,
) -> dict[str, Any]:
    """Materialization metadata of a version; `inputs` are those that were read this time, by default the commit's."""
    commit = lake.commit(made)
    read = commit.inputs if inputs is None else inputs
    found: dict[str, Any] = {
        "table version": str(made),
        "inputs": ", ".join(str(one.version) for one in read) or "none",
        "dagster/row_count": commit.rows or 0,
        "rows written": 0 if unchanged else commit.rows_written or 0,
        "bytes written": 0 if unchanged else commit.bytes_written,
        "content hash": (commit.content_hash or "")[:16],
        "known at": commit.known_at.isoformat() if commit.known_at else "",
        "dagster/table_name": made.table,
        "dagster/uri": lake.store.uri(made.table),
        "show": dg.MetadataValue.md(f"`lightkeeper table show {made}`"),
        _SCHEMA: _column_schema(lake, made, definition),
    }
    if unchanged:
        found["unchanged"] = dg.MetadataValue.text("The same content again: no new version was made.")
    if commit.sources:
        found["landed files"] = dg.MetadataValue.int(len(commit.sources))
    return {**found, _LINEAGE: definition[_LINEAGE]} if _LINEAGE in definition else found


def _column_schema(lake: Lake, made: TableVersion, definition: Mapping[str, Any]) -> Any:
    if _SCHEMA in definition:
        return definition[_SCHEMA]
    stored: Iterable[tuple[str, Any]] = lake.schema(made.table, made).items()
    return dg.TableSchema(columns=[dg.TableColumn(name, str(dtype)) for name, dtype in stored])
