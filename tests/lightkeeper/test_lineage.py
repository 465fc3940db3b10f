"""From a version up to the landed files it stands on, and down to everything made from it."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import polars as pl
import pytest
from deltalake import DeltaTable, write_deltalake

from lightkeeper.errors import NoSuchTable, NoSuchVersion
from lightkeeper.lake.lineage import KEEP_EVERY_VERSION, Node
from lightkeeper.lake.table import Lake
from lightkeeper.measure.content import sums
from lightkeeper.values import Input, LandedFile, Stamp, TableVersion

ONE, TWO = date(2026, 1, 1), date(2026, 1, 2)


def file(day: date, letter: str) -> LandedFile:
    return LandedFile(f"sales-{day}.csv", letter * 64, 10, 1, day)


def land(lake: Lake, day: date, letter: str, units: int) -> TableVersion:
    frame = pl.DataFrame({"day": [day], "units": [units]})
    return lake.write("sales", frame, by="day", replace=[day], stamp=Stamp(files=(file(day, letter),)))


def derive(lake: Lake, name: str, source: TableVersion, stamp: Stamp | None = None) -> TableVersion:
    total = lake.read(source.table, source).select(pl.col("units").sum())
    return lake.write(name, total, inputs=[source], stamp=stamp)


def versions(node: Node) -> list[str]:
    return [str(one.version) for one in node.walk()]


def test_a_version_leads_up_to_the_files_whose_rows_it_stands_on(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    land(lake, ONE, "a", 1)
    second = land(lake, TWO, "b", 2)
    demand = derive(lake, "demand", second)
    land(lake, ONE, "c", 3)
    tree = lake.lineage(derive(lake, "forecast", demand))
    assert versions(tree) == ["forecast@0", "demand@0", "sales@1"]
    assert [(one.name, one.sha256[0]) for one in list(tree.walk())[-1].files] == [
        ("sales-2026-01-01.csv", "a"), ("sales-2026-01-02.csv", "b"),
    ]  # fmt: skip
    assert [one.sha256[0] for one in lake.lineage("sales@2").files] == ["c", "b"]


def test_a_whole_write_forgets_the_files_before_it(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    land(lake, ONE, "a", 1)
    lake.write("sales", pl.DataFrame({"day": [TWO], "units": [5]}), stamp=Stamp(files=(file(TWO, "d"),)))
    assert [one.sha256[0] for one in lake.lineage("sales@1").files] == ["d"]


def test_a_version_leads_down_to_everything_made_from_it_unchanged_results_included(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    first = land(lake, ONE, "a", 1)
    demand = derive(lake, "demand", first)
    second = land(lake, TWO, "b", 0)
    assert derive(lake, "demand", second) == demand
    lake.write("forecast", lake.read("demand"), inputs=[demand])
    assert versions(lake.lineage(first, down=True)) == ["sales@0", "demand@0", "forecast@0"]
    assert versions(lake.lineage(second, down=True)) == ["sales@1", "demand@0", "forecast@0"]


def test_a_version_seen_twice_is_drawn_once(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    sales = land(lake, ONE, "a", 1)
    one, two = derive(lake, "one", sales), derive(lake, "two", sales)
    both = lake.write("both", lake.read("one"), inputs=[one, two, one])
    nodes = list(lake.lineage(both).walk())
    assert [(str(node.version), node.seen) for node in nodes] == [
        ("both@0", False), ("one@0", False), ("sales@0", False), ("two@0", False), ("sales@0", True),
    ]  # fmt: skip


def test_an_input_from_outside_keeps_its_address_and_a_lost_one_says_why(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    outside = Input(TableVersion("weather", 7), "s3://elsewhere/weather")
    made = lake.write("t", pl.DataFrame({"x": [1]}), inputs=[outside, TableVersion("never", 3)])
    first, second = lake.lineage(made).nodes
    assert (first.uri, first.missing) == ("s3://elsewhere/weather", None)
    assert second.missing is not None
    assert "never" in second.missing


def test_pins_hold_what_the_newest_versions_and_every_model_stand_on(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    old = land(lake, ONE, "a", 1)
    kept = Stamp(extra={KEEP_EVERY_VERSION: True})
    derive(lake, "model", old, kept)
    new = land(lake, TWO, "b", 2)
    land(lake, TWO, "c", 3)
    derive(lake, "model", new, kept)
    pins = lake.pins()
    assert pins[old] == ("model@0",)
    assert pins[new] == ("model@1",)
    assert pins[TableVersion("sales", 2)] == ("sales@2",)


def test_lineage_of_what_is_not_there_is_refused(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    with pytest.raises(NoSuchTable):
        lake.lineage("sales@0")
    land(lake, ONE, "a", 1)
    with pytest.raises(NoSuchVersion):
        lake.lineage("sales@1")


def test_commits_of_another_writer_keep_history_hashes_and_lineage_right(tmp_path: Path) -> None:
    lake, table = Lake(tmp_path), tmp_path / "sales"
    land(lake, ONE, "a", 1)
    land(lake, TWO, "b", 2)
    write_deltalake(table, pl.DataFrame({"day": [ONE], "units": [9]}).to_arrow(), mode="append")
    DeltaTable(table).optimize.compact()
    DeltaTable(table).vacuum(dry_run=False)
    made = land(lake, TWO, "e", 4)
    assert lake.commit(made).sums == sums(lake.read("sales").collect())
    assert sorted(lake.read("sales").collect()["units"]) == [1, 4, 9]
    operations = [one.operation for one in lake.history("sales")]
    assert operations[-3:] == ["WRITE", "WRITE", "CREATE TABLE"]
    assert "OPTIMIZE" in operations
    for number in range(made.version + 1):
        lake.read("sales", number).collect()


def test_a_foreign_append_leads_to_the_version_before_it_and_says_its_operation(tmp_path: Path) -> None:
    lake, table = Lake(tmp_path), tmp_path / "sales"
    land(lake, ONE, "a", 1)
    write_deltalake(table, pl.DataFrame({"day": [ONE], "units": [9]}).to_arrow(), mode="append")
    tree = lake.lineage("sales@1")
    assert versions(tree) == ["sales@1", "sales@0"]
    assert tree.commit is not None
    assert (tree.commit.operation, tree.commit.ours) == ("WRITE", False)
    write_deltalake(table, pl.DataFrame({"day": [ONE], "units": [9]}).to_arrow(), mode="overwrite")
    assert versions(lake.lineage("sales@2")) == ["sales@2"]
    assert lake.lineage("sales@2").files == ()


def test_a_compaction_is_no_change_and_the_same_content_after_it_no_version(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    rows = pl.DataFrame({"day": [ONE, TWO], "units": [1, 2]})
    lake.append("sales", rows.head(1))
    lake.append("sales", rows.tail(1))
    DeltaTable(tmp_path / "sales").optimize.compact()
    assert lake.write("sales", rows) == TableVersion("sales", 2)
    assert lake.changed("sales", 1, 2) == frozenset()


def test_a_foreign_version_is_known_once_the_platform_recorded_the_next(tmp_path: Path) -> None:
    lake, table = Lake(tmp_path), tmp_path / "sales"
    land(lake, ONE, "a", 1)
    write_deltalake(table, pl.DataFrame({"day": [ONE], "units": [9]}).to_arrow(), mode="append")
    assert lake.resolve("sales", as_of=date(9999, 1, 1)).version == 0
    land(lake, TWO, "b", 1)
    assert lake.resolve("sales", as_of=date(9999, 1, 1)).version == 2


def test_a_file_from_before_another_writer_added_a_column_survives_a_replacement(tmp_path: Path) -> None:
    lake, table = Lake(tmp_path), tmp_path / "sales"
    lake.write("sales", pl.DataFrame({"day": [ONE, TWO], "units": [1, 2]}), by="day")
    wide = pl.DataFrame({"day": [TWO], "units": [3], "shop": ["x"]})
    write_deltalake(table, wide.to_arrow(), mode="append", schema_mode="merge")
    made = lake.write("sales", wide.with_columns(units=4), by="day", replace=[TWO])
    assert sorted(lake.read("sales").collect().rows(), key=repr) == [(ONE, 1, None), (TWO, 4, "x")]
    assert lake.commit(made).sums == sums(lake.read("sales").collect())
