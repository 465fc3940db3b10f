"""Readers that share nothing with the lake's own read path agree with it on every version."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings

from lightkeeper.lake.table import Lake
from tests.independent import replay
from tests.lightkeeper.histories import Step, histories, play

ROOT = Path(__file__).parent.parent.parent
PEER = ROOT / ".venv" / "independent" / "bin" / "python"
EVERY_TYPE = pl.DataFrame(
    {
        "i8": pl.Series([1, None, -128], dtype=pl.Int8), "i64": pl.Series([2**63 - 1, None, -(2**63)], dtype=pl.Int64),
        "f32": pl.Series([0.5, None, float("inf")], dtype=pl.Float32), "f64": [float("nan"), -0.0, None],
        "flag": [True, None, False], "text": ["", "ü\0,", None], "raw": [b"", b"\xff", None],
        "day": [date(1, 1, 1), None, date(9999, 12, 31)], "money": pl.Series(["1.50", None, "-2.25"]).cast(pl.Decimal(10, 2)),
        "utc": [datetime(2026, 1, 1, 1, 2, 3, 4, tzinfo=UTC), None, None],
        "naive": [datetime(2026, 1, 1, 1, 2, 3, 4), None, None],  # noqa: DTZ001 - naive is what it is about
        "list": [[1, None], [], None], "struct": [{"a": 1, "b": ["x"]}, None, {"a": None, "b": []}],
        "a b,;{}()=.`'%/é": [1, 2, 3],
    }
)  # fmt: skip


def ours(lake: Lake, table: str, version: int) -> Counter[str]:
    rows = lake.read(table, version).collect()
    plain = rows.select(sorted(rows.columns)).rows()
    return Counter(repr(tuple(map(replay._plain, row))) for row in plain)


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(histories())
def test_a_replay_of_the_log_finds_the_rows_of_every_version_of_a_random_history(
    tmp_path_factory: pytest.TempPathFactory, steps: list[Step]
) -> None:
    lake = Lake(tmp_path_factory.mktemp("lake"))
    play(lake, steps)
    table = Path(lake.root) / "t"
    for version in replay.versions(table):
        assert replay.rows(table, version) == ours(lake, "t", version)
        assert replay.damaged(table, version) == []


def test_a_replay_agrees_on_every_type(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    lake.write("t", EVERY_TYPE)
    lake.append("t", EVERY_TYPE.reverse())
    assert replay.rows(tmp_path / "t", 1) == ours(lake, "t", 1)
    assert replay.rows(tmp_path / "t", 1).total() == 6


def test_the_record_is_read_with_the_standard_library_alone(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    up = lake.write("up", pl.DataFrame({"x": [1]}))
    lake.write("t", pl.DataFrame({"x": [2, 3]}), inputs=[up])
    code = (
        "import json,pathlib;"
        "first=pathlib.Path('t/_delta_log/00000000000000000000.json').read_text().splitlines();"
        "said=next(json.loads(line)['commitInfo']['lightkeeper'] for line in first if 'commitInfo' in line);"
        "print(said['format'],said['inputs'],said['rows'],said['content']['algorithm'],len(said['files'][0]['sha256']))"
    )
    said = subprocess.run([sys.executable, "-I", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert said.stdout == "1 [{'table': 'up', 'version': 0}] 2 lk1 64\n"


def test_a_flipped_bit_in_a_file_is_found_by_the_recorded_hash(tmp_path: Path) -> None:
    Lake(tmp_path).write("t", pl.DataFrame({"x": [1, 2]}))
    file = next((tmp_path / "t").glob("*.parquet"))
    data = bytearray(file.read_bytes())
    data[10] ^= 1
    file.write_bytes(data)
    assert replay.damaged(tmp_path / "t", 0) == [file.name]


def by_duckdb(table: Path, out: Path, version: int) -> pl.DataFrame:
    """What DuckDB's own Delta reader finds."""
    if not PEER.exists():
        pytest.fail(f"{PEER} is not there: make setup")
    reader = Path(__file__).parent / "reader.py"
    subprocess.run([PEER, reader, table, out, str(version)], check=True, capture_output=True, text=True)
    return pl.read_parquet(out)


def test_duckdb_agrees_on_every_version_of_a_history(tmp_path: Path) -> None:
    lake, days = Lake(tmp_path / "lake"), [date(2026, 1, 30), date(2026, 2, 2)]
    rows = pl.DataFrame({"day": days * 2, "units": [1, 2, 3, None], "price": [0.5, float("inf"), -1.0, float("nan")]})
    lake.write("t", rows, by="day")
    lake.write("t", rows.filter(day=days[1]).head(1), by="day", replace=[days[1]])
    lake.append("t", rows)
    lake.migrate("t", lambda frame: frame.with_columns(at=pl.lit(datetime(2026, 1, 1), pl.Datetime("us"))), "a time")  # noqa: DTZ001
    for version in range(lake.version("t").version + 1):
        found = by_duckdb(tmp_path / "lake/t", tmp_path / "out.parquet", version)
        assert Counter(map(repr, found.rows())) == Counter(map(repr, lake.read("t", version).collect().rows()))


def test_duckdb_agrees_on_every_type(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    lake.write("t", EVERY_TYPE)
    found = by_duckdb(tmp_path / "lake/t", tmp_path / "out.parquet", 0)
    assert sorted(map(repr, found.rows())) == sorted(map(repr, EVERY_TYPE.rows()))


def test_no_value_hides_from_a_filter_of_duckdb(tmp_path: Path) -> None:
    lake, nan, inf = Lake(tmp_path / "lake"), float("nan"), float("inf")
    columns = {"nan": [1.0, 3.0, nan, None], "inf": [1.0, inf, -inf, None], "zero": [-0.0, -0.0, None, None]}
    for name, values in columns.items():
        lake.write(name, pl.DataFrame({"x": values, "s": [{"x": value} for value in values]}))
    asking = [PEER, Path(__file__).parent / "filters.py", tmp_path / "lake"]
    said = subprocess.run(asking, capture_output=True, text=True, check=False)
    assert said.stdout == "agreed\n", said.stderr
