"""Another reader of a Delta table: replays the log with the standard library and reads files with pyarrow alone.

No delta-rs, no Polars, nothing of Lightkeeper. It knows what the lake writes: no folders, no deletion vectors.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

__all__ = ["live", "record", "rows", "versions"]


def versions(table: Path) -> list[int]:
    """The numbers of the versions in the log."""
    return sorted(int(entry.stem) for entry in (table / "_delta_log").glob("*.json"))


def actions(table: Path, version: int) -> list[dict[str, Any]]:
    """What one commit did."""
    return [json.loads(line) for line in (table / "_delta_log" / f"{version:020d}.json").read_text().splitlines()]


def record(table: Path, version: int) -> dict[str, Any]:
    """What the platform recorded in one commit; empty when another writer made it."""
    infos = [action["commitInfo"] for action in actions(table, version) if "commitInfo" in action]
    return dict(infos[0].get("lightkeeper", {})) if infos else {}


def live(table: Path, version: int) -> tuple[dict[str, dict[str, Any]], list[dict[str, Any]]]:
    """The files of a version by path, and its columns, from the log's beginning."""
    files: dict[str, dict[str, Any]] = {}
    columns: list[dict[str, Any]] = []
    for number in range(version + 1):
        for action in actions(table, number):
            if "add" in action:
                files[action["add"]["path"]] = action["add"]
            if "remove" in action:
                files.pop(action["remove"]["path"], None)
            if "metaData" in action:
                columns = json.loads(action["metaData"]["schemaString"])["fields"]
    return files, columns


def rows(table: Path, version: int) -> Counter[str]:
    """The rows of a version as a multiset, each with its columns in the order of their names, as text."""
    files, columns = live(table, version)
    names = sorted(column["name"] for column in columns)
    found: Counter[str] = Counter()
    for path, add in files.items():
        read = pq.read_table(table / path)
        stated = json.loads(add["stats"])["numRecords"]
        if read.num_rows != stated or (table / path).stat().st_size != add["size"]:
            raise AssertionError(f"{path}: {read.num_rows} rows, {stated} stated in the log")
        found.update(_texts(read.select(names)))
    return found


def _texts(table: pa.Table) -> list[str]:
    return [repr(tuple(map(_plain, row))) for row in zip(*(column.to_pylist() for column in table.columns), strict=True)]


def _plain(value: Any) -> Any:
    """One text for each value: a zone shows as UTC's offset, NaN and the two zeros as themselves."""
    return value.isoformat() if hasattr(value, "isoformat") else value


def damaged(table: Path, version: int) -> list[str]:
    """Files named by the commit of a version whose bytes are not those that were recorded."""
    return [
        file["path"]
        for file in record(table, version).get("files", [])
        if hashlib.sha256((table / file["path"]).read_bytes()).hexdigest() != file["sha256"]
    ]
