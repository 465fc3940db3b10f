"""Stories of people and their tables, on real Delta tables alone."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from lightkeeper.errors import Conflict, SchemaChanged
from lightkeeper.lake.table import Lake
from lightkeeper.values import LandedFile, Stamp, TableVersion
from tests.clock import Clock

MONDAY = date(2026, 3, 2)
WEEK = [MONDAY + timedelta(n) for n in range(7)]


@pytest.fixture
def clock() -> Clock:
    return Clock(datetime(2026, 3, 9, tzinfo=UTC))


@pytest.fixture
def lake(tmp_path: Path, clock: Clock) -> Lake:
    made = Lake(tmp_path, clock=clock)
    for number, day in enumerate(WEEK):
        land(made, day, number + 1, f"{number}")
    return made


def land(lake: Lake, day: date, units: int, letter: str) -> TableVersion:
    rows = pl.DataFrame({"day": [day, day], "product": ["lamp", "bowl"], "units": [units, 2 * units]})
    stamp = Stamp(asset="sales", files=(LandedFile(f"sales-{day}.csv", letter * 64, 99, 2, day),))
    return lake.write("sales", rows, by="day", replace=[day], stamp=stamp)


def demand(lake: Lake) -> TableVersion:
    now = lake.version("sales")
    total = lake.read("sales", now).group_by("product").agg(pl.col("units").sum())
    return lake.write("demand", total, inputs=[now])


def lamps(lake: Lake, at: int | None = None, as_of: date | None = None) -> int:
    rows = lake.read("sales", at, as_of).filter(pl.col("product") == "lamp")
    return int(rows.select(pl.col("units").sum()).collect().item())


def test_a_correction_of_last_tuesday_replaces_one_day_and_keeps_the_old_version_readable(lake: Lake) -> None:
    before = lake.version("sales")
    made = land(lake, WEEK[1], 100, "c")
    assert (lamps(lake), lamps(lake, before.version)) == (28 - 2 + 100, 28)
    assert lake.commit(made).replaced == (WEEK[1],)
    assert lake.changed("sales", before.version, made.version) == {WEEK[1]}
    assert [file.sha256[0] for file in lake.lineage(made).files] == ["0", "c", "2", "3", "4", "5", "6"]


def test_an_auditor_asks_what_was_known_on_a_day_and_gets_the_rows_of_that_day(lake: Lake, clock: Clock) -> None:
    clock.now = datetime(2026, 3, 20, 8, tzinfo=UTC)
    land(lake, WEEK[1], 100, "c")
    assert lamps(lake, as_of=date(2026, 3, 19)) == 28
    assert lamps(lake, as_of=date(2026, 3, 20)) == 126


def test_two_analysts_correct_the_same_day_and_the_second_is_told(lake: Lake) -> None:
    both_read = lake.version("sales").version
    rows = pl.DataFrame({"day": [WEEK[1]], "product": ["lamp"], "units": [7]})
    lake.write("sales", rows, by="day", replace=[WEEK[1]], base=both_read, stamp=Stamp(run_id="first"))
    with pytest.raises(Conflict, match="by run first"):
        lake.write("sales", rows.with_columns(units=8), by="day", replace=[WEEK[1]], base=both_read)
    other = rows.with_columns(day=pl.lit(WEEK[2]))
    lake.write("sales", other, by="day", replace=[WEEK[2]], base=both_read)
    assert lamps(lake) == 28 - 2 - 3 + 7 + 7


def test_a_file_landed_twice_makes_nothing_new_and_what_depends_on_it_is_not_new_either(lake: Lake) -> None:
    first = demand(lake)
    again = land(lake, WEEK[1], 2, "1")
    assert again == TableVersion("sales", 6)
    assert demand(lake) == first
    assert lake.unchanged.rows()["table"].to_list() == ["sales", "demand"]


def test_from_a_strange_number_up_to_the_file_it_came_from(lake: Lake) -> None:
    tree = lake.lineage(demand(lake))
    (sales,) = tree.nodes
    tuesday = next(file for file in sales.files if file.part == WEEK[1])
    assert (tuesday.name, tuesday.sha256) == ("sales-2026-03-03.csv", "1" * 64)
    assert [str(node.version) for node in lake.lineage(sales.version, down=True).walk()] == ["sales@6", "demand@0"]


def test_a_new_column_comes_by_a_migration_and_not_by_the_way(lake: Lake) -> None:
    rows = pl.DataFrame({"day": [WEEK[0]], "product": ["lamp"], "units": [1], "shop": ["Hull"]})
    with pytest.raises(SchemaChanged, match="'shop' is new"):
        lake.append("sales", rows)
    lake.migrate("sales", lambda old: old.with_columns(shop=pl.lit(None, pl.String)), "a second shop opens")
    lake.append("sales", rows)
    assert lake.commit("sales@7").extra == {"why": "a second shop opens"}
    assert lake.read("sales", 6).collect().columns == ["day", "product", "units"]
