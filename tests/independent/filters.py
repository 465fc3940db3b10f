"""Whether DuckDB finds by a filter what it finds by reading every row: `filters.py LAKE`; tables hold `x` and `s.x`."""

from __future__ import annotations

import sys
from itertools import product
from pathlib import Path

import duckdb
from reader import CLOSED, EXTENSION

OPERATORS = ("<", "<=", "=", ">=", ">", "<>")
VALUES = ("0.0", "-0.0", "1.0", "3.0", "5.0", "'nan'", "'inf'", "'-inf'")


def main(lake: Path) -> None:
    """Ask every table for every comparison, with and without skipping."""
    connection = duckdb.connect(config=CLOSED)
    connection.execute(f"LOAD '{EXTENSION}'")
    for table, column, operator, value in product(sorted(lake.iterdir()), ("x", "s.x"), OPERATORS, VALUES):
        asked, scan = f"{column} {operator} {value}::double", f"delta_scan('{table}')"
        skipping = connection.execute(f"SELECT count(*) FROM {scan} WHERE {asked}").fetchone()  # noqa: S608
        whole = f"WITH every AS MATERIALIZED (FROM {scan}) SELECT count(*) FROM every WHERE {asked}"  # noqa: S608
        every = connection.execute(whole).fetchone()
        if skipping != every:
            sys.exit(f"{table.name}: {asked}: {skipping} by the filter, {every} by reading every row")
    print("agreed")  # noqa: T201


if __name__ == "__main__":
    main(Path(sys.argv[1]))
