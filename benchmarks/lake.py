"""What the lake costs beside bare Parquet: write, read, replace a day, open a long history; ratios of pairs in turns.

Both sides run in one process, one after the other, in turns. Beside each ratio stands the spread of the bare operation
alone, which is the noise of the machine.
"""

from __future__ import annotations

import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from deltalake import DeltaTable

from lightkeeper.lake.files import write_file
from lightkeeper.lake.gateway import Transaction, commit, live_files
from lightkeeper.lake.table import Lake

__all__ = ["run"]

ROWS = 3_000_000
VERSIONS = 5_000
DATA = Path(__file__).parent.parent / "assets" / "data"


def run(quick: bool) -> dict[str, Any]:  # noqa: FBT001 - the runner's own word
    """Every figure, each with its limit; quick: a tenth of the rows and versions, three turns."""
    rows, turns = (ROWS // 10, 3) if quick else (ROWS, 7)
    sales, floats = _sales(rows), _floats(rows)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        found = {
            "write sales": _write(root, sales, turns, 1.5),
            "write floats": _write(root, floats, turns, 2.2),
            "read sales": _read(root, sales, turns, 1.1),
            "read floats": _read(root, floats, turns, 1.1),
            "replace one day of 600": _replace(root, rows, turns, 0.15),
            **_open(root, VERSIONS // 10 if quick else VERSIONS, turns, 0.05),
        }
    _show(found)
    return found


def _sales(rows: int) -> pl.DataFrame:
    """The sales lines that the project ships, repeated."""
    shipped = sorted(DATA.glob("*.parquet"))
    if os.environ.get("LIGHTKEEPER_SAMPLE"):
        shipped = [Path(os.environ["LIGHTKEEPER_SAMPLE"])]
    lines = pl.read_parquet(max(shipped, key=lambda path: path.stat().st_size))
    lines = lines.with_columns(pl.col(pl.Categorical, pl.Enum).cast(pl.String))
    return pl.concat([lines] * (rows // lines.height + 1)).head(rows).rechunk()


def _floats(rows: int) -> pl.DataFrame:
    """Ten columns that do not compress."""
    return pl.DataFrame({f"c{i}": np.random.default_rng(i).random(rows) for i in range(10)})


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _ratio(ours: Callable[[], object], bare: Callable[[], object], turns: int, limit: float) -> dict[str, Any]:
    """Medians of pairs run in turns, after one pair that does not count."""
    ours(), bare()
    pairs = []
    for turn in range(turns):
        first, second = (ours, bare) if turn % 2 else (bare, ours)
        one, two = _seconds(first), _seconds(second)
        pairs.append((one, two) if turn % 2 else (two, one))
    alone = [bare_seconds for _, bare_seconds in pairs]
    ratios = sorted(mine / its for mine, its in pairs)
    return {
        "unit": "x",
        "median": statistics.median(ratios),
        "spread": [ratios[0], ratios[-1]],
        "limit": limit,
        "bare_s": statistics.median(alone),
        "noise": (max(alone) - min(alone)) / statistics.median(alone),
    }


def _times(work: Callable[[], object], turns: int, limit: float) -> dict[str, Any]:
    found = sorted(_seconds(work) for _ in range(turns))
    return {"unit": "s", "median": statistics.median(found), "spread": [found[0], found[-1]], "limit": limit}


def _write(root: Path, frame: pl.DataFrame, turns: int, limit: float) -> dict[str, Any]:
    """A first write with everything on, against the same frame as one bare Parquet file."""
    lake, names = Lake(root / "write"), iter(f"t{i}" for i in range(10_000))
    bare, name = root / "bare.parquet", [""]

    def ours() -> None:
        name[0] = next(each for each in names if not lake.exists(each))
        lake.write(name[0], frame)

    return _ratio(ours, lambda: frame.write_parquet(bare), turns, limit)


def _read(root: Path, frame: pl.DataFrame, turns: int, limit: float) -> dict[str, Any]:
    """All columns of a table, against a scan of one bare Parquet file of the same rows."""
    lake, name, bare = Lake(root), f"read{frame.width}", root / f"read{frame.width}.parquet"
    lake.write(name, frame)
    frame.write_parquet(bare)
    return _ratio(lambda: lake.read(name).collect(), lambda: pl.scan_parquet(bare).collect(), turns, limit)


def _replace(root: Path, rows: int, turns: int, limit: float) -> dict[str, Any]:
    """One day of 600 replaced by other rows."""
    lake, first, each = Lake(root), date(2024, 1, 1), rows // 600
    days = pl.Series([first + timedelta(i) for i in range(600)]).gather(np.repeat(np.arange(600), each))
    frame = _sales(each * 600).with_columns(days.alias("day"))
    lake.write("days", frame, by="day")
    turn = iter(range(10_000))

    def replace() -> None:
        number = next(turn)
        day = first + timedelta(37 * number % 600)
        part = frame.filter(pl.col("day") == day).head(each - 1 - number)
        started.append(time.perf_counter())
        lake.write("days", part, by="day", replace=[day])
        done.append(time.perf_counter() - started[-1])

    started: list[float] = []
    done: list[float] = []
    for _ in range(turns + 1):
        replace()
    found = sorted(done[1:])
    return {"unit": "s", "median": statistics.median(found), "spread": [found[0], found[-1]], "limit": limit}


def _open(root: Path, versions: int, turns: int, limit: float) -> dict[str, dict[str, Any]]:
    """A table of many versions, each a file in and a file out, by the lake's own gateway: opening it."""
    lake = Lake(root)
    lake.write("long", pl.DataFrame({"number": [0]}))
    handle, schema = DeltaTable(root / "long"), lake.schema("long")
    for base in range(versions - 1):
        written = write_file(lake.store, "long", pl.DataFrame({"number": [base + 1]}))
        change = Transaction("long", base, schema, [written], live_files(handle, None), {"mode": None}, handle=handle)
        commit(lake.store, change)
        handle.update_incremental()
    return {
        f"version of {versions} versions": _times(lambda: lake.version("long"), turns, limit),
        f"open a table of {versions} versions": _times(lambda: lake.schema("long"), turns, limit),
    }


def _show(found: dict[str, Any]) -> None:
    print(f"{'':36s} {'median':>8s} {'spread':>17s} {'limit':>8s} {'noise':>6s}")
    for name, one in found.items():
        low, high = one["spread"]
        noise = f"{one['noise']:6.0%}" if "noise" in one else ""
        unit = one["unit"]
        print(f"{name:36s} {one['median']:7.3f}{unit} {low:7.3f}-{high:7.3f}{unit} {one['limit']:7.2f}{unit} {noise}")


if __name__ == "__main__":
    import sys

    print(json.dumps(run("--quick" in sys.argv), indent=1))
