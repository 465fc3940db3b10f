"""History stays: the settings that keep it are there and in force; tables of other writers get them or are refused."""

from __future__ import annotations

import os
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from lightkeeper.errors import Refused, SchemaChanged, StorageFailed
from lightkeeper.lake.retention import KEEP_EVERYTHING, effective_retention_days, verify_retention
from lightkeeper.lake.table import Lake

YEAR = 365 * 86_400


def numbers(*values: int) -> pl.DataFrame:
    return pl.DataFrame({"x": list(values)})


def aged(log: Path) -> None:
    """Make every file of a log look a year old."""
    for entry in log.iterdir():
        os.utime(entry, (entry.stat().st_mtime - YEAR,) * 2)


def test_the_settings_are_on_every_new_table_and_in_force(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    lake.write("t", numbers(1))
    lake.write("t", numbers(1))
    ledgers = KEEP_EVERYTHING | {"delta.checkpointInterval": "10"}
    for table, settings in ((tmp_path / "t", KEEP_EVERYTHING), (tmp_path / "_ledger" / "unchanged", ledgers)):
        handle = DeltaTable(table)
        assert handle.metadata().configuration == settings
        assert effective_retention_days(handle) == 36_500


def test_version_0_is_readable_after_a_log_of_a_year_and_two_checkpoints(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    lake.write("t", numbers(-1))
    for number in range(60):
        lake.write("t", numbers(number))
    aged(tmp_path / "t/_delta_log")
    for number in range(60, 120):
        lake.write("t", numbers(number))
    DeltaTable(tmp_path / "t").cleanup_metadata()
    DeltaTable(tmp_path / "t").create_checkpoint()
    DeltaTable(tmp_path / "t").vacuum(dry_run=False)
    assert len(list((tmp_path / "t/_delta_log").glob("*.checkpoint.parquet"))) >= 2
    assert lake.read("t", 0).collect()["x"].to_list() == [-1]
    assert len(lake.history("t")) >= 121


def test_a_setting_that_delta_does_not_understand_is_found_out(tmp_path: Path) -> None:
    settings = {**KEEP_EVERYTHING, "delta.deletedFileRetentionDuration": "interval 100 years"}
    write_deltalake(tmp_path / "t", numbers(1).to_arrow(), configuration=settings)
    with pytest.raises(StorageFailed, match="keeps deleted files 7 days"):
        verify_retention(DeltaTable(tmp_path / "t"), "t")
    write_deltalake(tmp_path / "u", numbers(1).to_arrow())
    with pytest.raises(StorageFailed, match="expired log files are deleted"):
        verify_retention(DeltaTable(tmp_path / "u"), "u")


def test_a_table_of_another_writer_gets_the_settings_with_the_first_write(tmp_path: Path) -> None:
    write_deltalake(tmp_path / "t", numbers(1, 2).to_arrow())
    lake = Lake(tmp_path)
    assert lake.read("t").collect().height == 2
    assert lake.append("t", numbers(3)).version == 2
    assert DeltaTable(tmp_path / "t").metadata().configuration == KEEP_EVERYTHING
    assert [made.operation for made in lake.history("t")] == ["WRITE", "SET TBLPROPERTIES", "WRITE"]
    assert lake.append("t", numbers(4)).version == 3


FORMS = {
    "folders": {"partition_by": ["x"]},
    "append only": {"configuration": {"delta.appendOnly": "true"}},
    "change feed": {"configuration": {"delta.enableChangeDataFeed": "true"}},
    "deletion vectors": {"configuration": {"delta.enableDeletionVectors": "true"}},
}


@pytest.mark.parametrize("form", FORMS)
def test_a_table_that_writing_would_spoil_is_refused(tmp_path: Path, form: str) -> None:
    write_deltalake(tmp_path / "t", numbers(1, 2).with_columns(y=1).to_arrow(), **FORMS[form])  # type: ignore[arg-type]
    before = DeltaTable(tmp_path / "t").version()
    with pytest.raises(Refused, match="made by something else"):
        Lake(tmp_path).append("t", numbers(3).with_columns(y=1))
    assert DeltaTable(tmp_path / "t").version() == before
    assert Lake(tmp_path).read("t").collect().height == 2


def test_a_constraint_of_another_writer_is_not_broken(tmp_path: Path) -> None:
    write_deltalake(tmp_path / "t", numbers(1, 2).to_arrow())
    DeltaTable(tmp_path / "t").alter.add_constraint({"positive": "x > 0"})
    with pytest.raises(Refused, match="made by something else"):
        Lake(tmp_path).append("t", numbers(-3))


def test_a_column_that_is_not_null_stays_so_until_a_migration(tmp_path: Path) -> None:
    strict = pa.schema([pa.field("x", pa.int64(), nullable=False)])
    write_deltalake(tmp_path / "t", pa.table({"x": [1]}, schema=strict))
    lake = Lake(tmp_path)
    with pytest.raises((SchemaChanged, Refused), match="made by something else"):
        lake.append("t", pl.DataFrame({"x": [None]}, schema={"x": pl.Int64}))
