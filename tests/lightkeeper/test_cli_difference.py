"""`lightkeeper table diff | migrate` on a real lake."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from typer.testing import CliRunner, Result

from lightkeeper.cli import app
from lightkeeper.cli.migration import Migration
from lightkeeper.errors import Refused, SchemaChanged, TypeRefused
from lightkeeper.home import Home
from lightkeeper.lake.table import Lake

OLD = pl.DataFrame({"product": ["a", "b", "c"], "units": [1.0, 2.0, None], "price": [1.25, 2.5, 4.0]})
NEW = pl.DataFrame({"product": ["b", "c", "d"], "units": [3.0, None, 4.0], "price": [2.5, 4.0, 8.0]})
Run = Callable[..., Result]


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    home = Home(tmp_path)
    home.create()
    lake = Lake(home.lake, clock=lambda: datetime(2026, 6, 1, tzinfo=UTC))
    lake.write("demand", OLD)
    lake.write("demand", NEW)
    return lake


@pytest.fixture
def run(tmp_path: Path) -> Run:
    def command(*words: str) -> Result:
        return CliRunner().invoke(app, ["table", *words, "--home", str(tmp_path)], env={"COLUMNS": "80"})

    return command


def document(result: Result) -> Any:
    return json.loads(result.stdout)


# -- diff -------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("lake")
def test_versions_that_differ_end_with_1_and_show_rows_added_removed_and_changed(run: Run) -> None:
    result = run("diff", "demand@0", "demand@1", "--key", "product")
    assert result.exit_code == 1
    assert "1 added, 1 removed, 1 changed, 1 same" in result.stdout
    assert ["b", "units", "2.0", "3.0"] in [line.split() for line in result.stdout.splitlines()]
    assert "changed in: units 1" in result.stdout


@pytest.mark.usefixtures("lake")
def test_versions_that_are_the_same_end_with_0(run: Run) -> None:
    for words in (["demand@1", "demand"], ["demand@1", "demand", "--key", "product"]):
        result = run("diff", *words)
        assert result.exit_code == 0
        assert "demand@1 and demand@1 hold the same: 3 rows." in result.stdout


@pytest.mark.usefixtures("lake")
def test_without_a_key_whole_rows_are_compared(run: Run) -> None:
    found = document(run("diff", "demand@0", "demand@1", "--json"))
    assert found["rows"] == {"added": 2, "removed": 2, "changed": None, "same": 1}
    assert "--key a,b tells changed rows from new ones" in run("diff", "demand@0", "demand@1").stdout


@pytest.mark.usefixtures("lake")
def test_a_difference_as_json_holds_old_and_new_side_by_side(run: Run) -> None:
    result = run("diff", "demand@0", "demand@1", "--key", "product", "--json")
    assert result.exit_code == 1
    changed = document(result)["changed"]
    assert changed == [{"old": {"product": "b", "units": 2.0, "price": 2.5}, "new": {"product": "b", "units": 3.0, "price": 2.5}}]


def test_only_the_first_rows_of_each_kind_are_shown(run: Run, lake: Lake) -> None:
    lake.write("demand", pl.DataFrame({"product": list("defghijk"), "units": [1.0] * 8, "price": [1.0] * 8}))
    said = run("diff", "demand@1", "demand@2", "--rows", "2").stdout
    assert "added (the first 2 of 8)" in said
    assert "removed (the first 2 of 3)" in said


def test_a_key_that_is_not_unique_is_refused_naming_the_versions(run: Run, lake: Lake) -> None:
    lake.write("demand", pl.concat([NEW, NEW]))
    found = run("diff", "demand@1", "demand@2", "--key", "product").exception
    assert isinstance(found, Refused)
    assert "demand@1 (old) and demand@2 (new)" in str(found)
    assert "product='b' occurs 2 times in the new rows" in str(found)


# -- migrate ----------------------------------------------------------------------------------------------------


def test_a_migration_makes_one_version_with_its_reason_and_the_old_one_stays(run: Run, lake: Lake) -> None:
    words = ["--rename", "units=sold", "--drop", "price", "--cast", "units=Int64", "--add", "note=String"]
    result = run("migrate", "demand", *words, "--why", "units are whole")
    assert result.exit_code == 0
    assert "demand@2 is made; demand@1 stays readable" in result.stdout
    made = pl.DataFrame({"product": ["b", "c", "d"], "sold": [3, None, 4], "note": pl.Series([None] * 3, dtype=pl.String)})
    assert lake.read("demand").collect().sort("product").equals(made)
    assert lake.read("demand", 1).collect().sort("product").equals(NEW)
    assert lake.commit("demand@2").extra["why"] == "units are whole"
    assert lake.commit("demand@2").mode == "migrate"


def test_a_dry_run_shows_old_and_new_schema_and_makes_nothing(run: Run, lake: Lake) -> None:
    result = run("migrate", "demand", "--cast", "units=Int64", "--rename", "price=price_gbp", "--why", "try", "--dry-run")
    assert ["price", "Float64", "price_gbp", "Float64"] in [line.split() for line in result.stdout.splitlines()]
    assert "Nothing was written." in result.stdout
    assert lake.version("demand").version == 1
    found = document(run("migrate", "demand", "--cast", "units=Int64", "--why", "try", "--dry-run", "--json"))
    assert (found["new"], found["old_schema"]["units"], found["new_schema"]["units"]) == (None, "Float64", "Int64")


def test_a_cast_that_would_change_a_value_is_refused_and_nothing_is_written(run: Run, lake: Lake) -> None:
    for more in ([], ["--dry-run"]):
        found = run("migrate", "demand", "--cast", "price=Int64", "--why", "smaller", *more).exception
        assert isinstance(found, TypeRefused)
        assert "column 'price' is Float64; as Int64 it would change 1 value, it is 2.5." in str(found)
    assert lake.version("demand").version == 1


def test_two_columns_may_swap_their_names(run: Run, lake: Lake) -> None:
    run("migrate", "demand", "--rename", "units=price", "--rename", "price=units", "--why", "they were confused")
    swapped = lake.read("demand").collect().sort("product")
    assert swapped["price"].equals(NEW["units"].alias("price"), null_equal=True)
    assert swapped["units"].equals(NEW["price"].alias("units"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "nothing to change"),
        (["--cast", "unit=Int64"], "no column 'unit'. Did you mean units?"),
        (["--rename", "units=sold", "--cast", "sold=Int64"], "Columns go by their present names: units."),
        (["--cast", "units=Time"], "'Time' is no type that a column can get. There are: Boolean, Int8"),
        (["--cast", "units=Decimal(2,5)"], "is no type"),
        (["--cast", "units"], "write it like --cast quantity=Int64"),
        (["--cast", "units=Int64", "--cast", "units=Int32"], "names column 'units' twice: Int64 and Int32"),
        (["--rename", "units=price"], "two columns would be named 'price'"),
        (["--add", "units=Int64"], "two columns would be named 'units'"),
        (["--drop", "units", "--cast", "units=Int64"], "to be dropped and to be changed"),
    ],
)
def test_a_migration_that_does_not_fit_is_refused_with_what_to_do(run: Run, lake: Lake, words: list[str], said: str) -> None:
    found = run("migrate", "demand", *words, "--why", "try").exception
    assert isinstance(found, Refused)
    assert said in str(found)
    assert lake.version("demand").version == 1


def test_dropping_every_column_is_refused_by_the_lake(run: Run, lake: Lake) -> None:
    drops = [word for name in OLD.columns for word in ("--drop", name)]
    assert isinstance(run("migrate", "demand", *drops, "--why", "gone").exception, SchemaChanged)
    assert lake.version("demand").version == 1


def test_a_migration_without_a_reason_is_wrong_usage(run: Run, lake: Lake) -> None:
    assert run("migrate", "demand", "--drop", "units").exit_code == 2
    assert isinstance(run("migrate", "demand", "--drop", "units", "--why", " ").exception, Refused)
    assert lake.version("demand").version == 1


NOON = datetime(2026, 6, 1, 12, 30, 15, 250_000)  # noqa: DTZ001 - a column without time zone
DAY = date(2026, 6, 1)


@pytest.mark.parametrize(
    ("value", "old", "spec", "becomes"),
    [
        ("12", pl.String, "Int64", 12),
        ("1.50", pl.String, "float64", 1.5),
        ("2026-06-01", pl.String, "Date", DAY),
        ("2026-06-01 12:30:15.25", pl.String, "Datetime", NOON),
        (3.0, pl.Float64, "Int8", 3),
        (0.1, pl.Float64, "Decimal(10, 2)", Decimal("0.10")),
        (0.5, pl.Float64, "Float32", 0.5),
        (2**53, pl.Int64, "Float64", float(2**53)),
        (True, pl.Boolean, "Int64", 1),
        (DAY, pl.Date, "String", "2026-06-01"),
        (datetime(2026, 6, 1), pl.Datetime("us"), "Date", DAY),  # noqa: DTZ001
        (NOON, pl.Datetime("us"), "Datetime(UTC)", NOON.replace(tzinfo=UTC)),
        ("£", pl.String, "Binary", "£".encode()),
    ],
)
def test_a_cast_that_keeps_every_value_is_done(value: object, old: Any, spec: str, becomes: object) -> None:
    rows = pl.DataFrame({"c": [value, None]}, schema={"c": old}).lazy()
    change = Migration.parse("t", [], [], [f"c={spec}"], [])
    found = change(rows).collect()
    assert found["c"].to_list() == [becomes, None]
    assert dict(found.schema) == change.schema({"c": old})


@pytest.mark.parametrize(
    ("value", "old", "spec"),
    [
        ("007", pl.String, "Int64"),
        ("1,000", pl.String, "Int64"),
        ("", pl.String, "Float64"),
        ("1e999", pl.String, "Float64"),
        ("0.1234567890123456", pl.String, "Float64"),
        ("0.1234567", pl.String, "Float32"),
        ("1.6.2026", pl.String, "Date"),
        ("2026-06-01T00:00:00.1234567", pl.String, "Datetime"),
        ("true", pl.String, "Boolean"),
        (1.5, pl.Float64, "Int64"),
        (float("nan"), pl.Float64, "Int64"),
        (0.1, pl.Float64, "Float32"),
        (0.125, pl.Float64, "Decimal(10,2)"),
        (2**53 + 1, pl.Int64, "Float64"),
        (2**63 - 1, pl.Int64, "Float64"),
        (300, pl.Int64, "Int8"),
        (2, pl.Int64, "Boolean"),
        (NOON, pl.Datetime("us"), "Date"),
        (b"\xff", pl.Binary, "String"),
        ([1], pl.List(pl.Int64), "String"),
        ({"a": 1}, pl.Struct({"a": pl.Int64}), "String"),
    ],
)
def test_a_cast_that_loses_a_value_is_refused(value: object, old: Any, spec: str) -> None:
    rows = pl.DataFrame({"c": [None, value]}, schema={"c": old}).lazy()
    with pytest.raises(TypeRefused, match=r"column 'c' is .*lk\.Lake\(\.\.\.\)\.migrate"):
        Migration.parse("t", [], [], [f"c={spec}"], [])(rows)
