"""Other people's data as assets: observed where they stand and pinned, or copied with what landed recorded."""

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg

from lightkeeper.lake.sources import DeltaSource, read_folder, read_query
from lightkeeper.orchestrate.io_manager import TableOutput, declare_source

__all__ = ["copied_folder", "copied_query", "observed_table"]


def observed_table(source: DeltaSource, description: str = "", group_name: str = "sources") -> dg.AssetsDefinition:
    """A Delta table that something else writes, as an external asset: its newest version is what an observation tells.

    A run that reads it reads the version that was newest when the run started, and records the number and where it stands.
    """
    declare_source(source)

    told = description or f"A Delta table at {source.uri}."
    spec = dg.AssetSpec(source.name, group_name=group_name, kinds={"deltalake"}, description=told)

    def observe() -> Iterator[dg.ObserveResult]:
        newest = source.newest()
        yield dg.ObserveResult(
            asset_key=source.name,
            data_version=dg.DataVersion(str(newest.version.version)),
            metadata={"table version": str(newest.version), "dagster/uri": source.uri},
        )

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)  # Dagster calls it so; the release is pinned
        made: dg.AssetsDefinition = dg.multi_observable_source_asset(name=f"observe_{source.name}", specs=[spec])(observe)
    return made


def copied_folder(
    name: str, folder: str | Path, pattern: str = "**/*.parquet", description: str = "", group_name: str = "sources"
) -> dg.AssetsDefinition:
    """A table that is a copy of all Parquet or CSV files of a folder; the commit names each file with its sha256."""

    @dg.asset(
        name=name,
        group_name=group_name,
        kinds={"file", "deltalake"},
        code_version="1",
        description=description or f"Copy of {pattern} in {folder}.",
    )
    def copy() -> TableOutput:
        frame, files = read_folder(folder, pattern)
        return TableOutput(frame, files=files)

    return copy


def copied_query(
    name: str, query: str, connect: Callable[[], Any], description: str = "", group_name: str = "sources"
) -> dg.AssetsDefinition:
    """A table that is a copy of what a SQL query gives when it is materialized.

    Args:
        name: of the table.
        query: one SELECT.
        connect: gives what `polars.read_database` takes (a DB-API connection, a SQLAlchemy engine or its URL), so that
            credentials are read when they are needed and stand in no definition.
        description: for Dagster's UI.
        group_name: for Dagster's UI.
    """

    @dg.asset(
        name=name, group_name=group_name, kinds={"sql", "deltalake"}, code_version="1", description=description or query[:200]
    )
    def copy() -> TableOutput:
        frame, files = read_query(query, connect())
        return TableOutput(frame, files=files)

    return copy
