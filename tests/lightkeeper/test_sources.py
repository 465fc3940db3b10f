"""Data that something else writes: pinned at a version, or read with the hash of what was read."""

from __future__ import annotations

import hashlib
import sqlite3
from pathlib import Path

import polars as pl
import pytest
from deltalake import DeltaTable, write_deltalake

from lightkeeper.errors import BadDeclaration, BadName, FileRefused, LightkeeperError, NoSuchTable, NoSuchVersion, Refused
from lightkeeper.lake.sources import DeltaSource, read_folder, read_query
from lightkeeper.lake.table import Lake
from lightkeeper.values import Input, Stamp, TableVersion

ROWS = pl.DataFrame({"x": [1, 2]})


def test_a_delta_table_elsewhere_is_read_at_the_version_that_was_pinned(tmp_path: Path) -> None:
    uri = str(tmp_path / "weather")
    write_deltalake(uri, ROWS.to_arrow())
    source = DeltaSource("weather", uri)
    pinned = source.newest()
    write_deltalake(uri, ROWS.to_arrow(), mode="append")
    assert pinned == Input(TableVersion("weather", 0), uri)
    assert source.read(0).collect().height == 2
    assert source.newest().version.version == 1
    lake = Lake(tmp_path / "lake")
    made = lake.write("t", source.read(0), inputs=[pinned])
    assert lake.lineage(made).nodes[0].uri == uri
    assert [str(one) for one in lake.pins()] == ["t@0"]


def test_a_source_that_is_no_table_or_has_lost_a_version_says_so(tmp_path: Path) -> None:
    with pytest.raises(NoSuchTable, match="holds no Delta table"):
        DeltaSource("weather", str(tmp_path)).newest()
    with pytest.raises(BadName):
        DeltaSource("../weather", str(tmp_path))
    write_deltalake(tmp_path / "w", ROWS.to_arrow())
    with pytest.raises(NoSuchVersion, match="no version 5"):
        DeltaSource("w", str(tmp_path / "w")).read(5)


def test_a_pinned_version_that_its_owner_vacuumed_is_a_clear_error(tmp_path: Path) -> None:
    write_deltalake(tmp_path / "w", ROWS.to_arrow())
    write_deltalake(tmp_path / "w", ROWS.to_arrow(), mode="overwrite")
    DeltaTable(tmp_path / "w").vacuum(retention_hours=0, dry_run=False, enforce_retention_duration=False)
    with pytest.raises(LightkeeperError, match="w@0: 1 of its 1 files are not there any more"):
        DeltaSource("w", str(tmp_path / "w")).read(0)


def test_a_folder_lands_with_name_hash_size_and_rows_of_every_file(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    ROWS.write_parquet(tmp_path / "b.parquet")
    ROWS.head(1).write_parquet(tmp_path / "sub" / "a.parquet")
    (tmp_path / "_part.parquet").write_text("still being written by something else")
    frame, files = read_folder(tmp_path)
    assert [(one.name, one.rows) for one in files] == [("b.parquet", 2), ("sub/a.parquet", 1)]
    assert files[0].sha256 == hashlib.sha256((tmp_path / "b.parquet").read_bytes()).hexdigest()
    lake = Lake(tmp_path / "lake")
    assert lake.lineage(lake.write("t", frame, stamp=Stamp(files=files))).files == files


def test_a_folder_of_csv_is_read_alike(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("day,x\n2026-01-01,1\n")
    frame, _ = read_folder(tmp_path, "*.csv")
    assert frame.collect_schema() == {"day": pl.Date, "x": pl.Int64}


def test_a_file_cut_in_the_middle_is_named(tmp_path: Path) -> None:
    ROWS.write_parquet(tmp_path / "a.parquet")
    data = (tmp_path / "a.parquet").read_bytes()
    for cut in (len(data) // 2, 0, 7, len(data) - 1):
        (tmp_path / "a.parquet").write_bytes(data[:cut])
        with pytest.raises(FileRefused, match=r"a\.parquet: it cannot be parsed"):
            read_folder(tmp_path)


def test_files_that_differ_in_columns_are_named(tmp_path: Path) -> None:
    ROWS.write_parquet(tmp_path / "a.parquet")
    ROWS.cast(pl.String).write_parquet(tmp_path / "b.parquet")
    with pytest.raises(FileRefused, match=r"b\.parquet: columns .* differ"):
        read_folder(tmp_path)


def test_an_empty_folder_and_an_unknown_format_are_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="holds no file that matches"):
        read_folder(tmp_path)
    (tmp_path / "a.xlsx").write_text("")
    with pytest.raises(FileRefused, match="known_format"):
        read_folder(tmp_path, "*")


def test_a_query_lands_with_its_text_and_the_hash_of_it(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "shop.db") as shop:
        shop.execute("create table sales (x integer)")
        shop.executemany("insert into sales values (?)", [(1,), (2,)])
        shop.commit()
        frame, (landed,) = read_query("select * from sales", shop)
        assert (frame["x"].to_list(), landed.name, landed.rows) == ([1, 2], "sql: select * from sales", 2)
        assert landed.sha256 == hashlib.sha256(b"select * from sales").hexdigest()
        with pytest.raises(BadDeclaration, match="no such table"):
            read_query("select * from nowhere", shop)
    shop.close()
    assert read_query("select * from sales", f"sqlite:///{tmp_path}/shop.db")[0].height == 2
