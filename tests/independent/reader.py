"""Reads a Delta table with DuckDB's own reader and writes the rows to a Parquet file: `reader.py TABLE OUT [VERSION]`.

It runs in `.venv/independent`, which `make setup` fills, and shares no code with Lightkeeper. The extension is the file
that its package ships, loaded by its path: DuckDB asks no network and keeps nothing in the home folder.
"""

from __future__ import annotations

import sys
from pathlib import Path

import duckdb
import duckdb_extension_delta

EXTENSION = next(Path(duckdb_extension_delta.__file__).parent.glob("extensions/*/delta.duckdb_extension"))
CLOSED = {"autoinstall_known_extensions": "false", "autoload_known_extensions": "false", "threads": "1"}


def main(table: str, out: str, version: str | None = None) -> None:
    """Copy one version of a table, the newest when none is named."""
    connection = duckdb.connect(config=CLOSED)
    connection.execute(f"LOAD '{EXTENSION}'")
    scan = connection.from_query(
        "FROM delta_scan($table)" if version is None else f"FROM delta_scan($table, version => {int(version)})",
        params={"table": table},
    )
    scan.write_parquet(out)


if __name__ == "__main__":
    main(*sys.argv[1:])
