"""What Dagster's UI shows: of a definition its contract, of a materialization its version, of a history a small picture."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import dagster as dg
import dataframely as dy
import polars as pl
import pytest

import lightkeeper as lk
from lightkeeper.orchestrate.shown import about, picture, shown
from lightkeeper.values import Input, LandedFile, TableVersion


class Demand(dy.Schema):
    product = dy.String(primary_key=True, description="stock code")
    units = dy.Int64(nullable=True, min=0, description="pieces", metadata={"from": ("shop__sales.quantity", "returns.pieces")})


def test_the_contract_is_the_column_schema_with_types_descriptions_and_rules() -> None:
    product, units = about(Demand)["dagster/column_schema"].columns
    assert (product.name, product.type, product.description) == ("product", "String", "stock code")
    assert (product.constraints.nullable, units.constraints.nullable) == (False, True)
    assert "part of the primary key" in product.constraints.other
    assert ">= 0" in units.constraints.other


def test_column_lineage_is_shown_where_the_contract_says_it() -> None:
    lineage = about(Demand)["dagster/column_lineage"].deps_by_column
    assert {name: {(one.asset_key.to_user_string(), one.column_name) for one in deps} for name, deps in lineage.items()} == {
        "units": {("shop/sales", "quantity"), ("returns", "pieces")}
    }

    class Silent(dy.Schema):
        x = dy.Int64()

    assert "dagster/column_lineage" not in about(Silent)


def test_the_date_column_of_the_parts_is_named_where_there_is_one() -> None:
    assert about(Demand, by="day")["partition_expr"] == "day"
    assert "partition_expr" not in about(Demand)


def test_the_contract_says_where_it_can_be_imported() -> None:
    assert about(Demand)["contract"] == f"{__name__}:Demand"


@pytest.mark.parametrize("count", [0, 1, 40, 600])
def test_a_picture_is_short_enough_to_show_inline(count: int) -> None:
    values = [None if n % 7 == 5 else 1e9 * ((n * 37) % 101) for n in range(count)]
    found = picture(values, "units a day")
    assert isinstance(found, dg.MarkdownMetadataValue)
    assert len(found.md_str or "") < 1_000
    assert ("data:image/svg" in (found.md_str or "")) == (count > 1) or count <= 1


@pytest.fixture
def lake(tmp_path: Path) -> lk.Lake:
    made = lk.Lake(tmp_path)
    up = made.write("sales", pl.DataFrame({"x": [1, 2]}))
    stamp = lk.Stamp(files=(LandedFile("a.csv", "0" * 64, 9, 2),))
    made.write("demand", pl.DataFrame({"product": ["a"], "units": [3]}), inputs=[up], stamp=stamp)
    return made


def test_a_version_shows_its_rows_bytes_inputs_files_and_command(lake: lk.Lake) -> None:
    made = TableVersion("demand", 0)
    said = shown(lake, made, about(Demand), unchanged=False)
    assert (said["table version"], said["inputs"], said["landed files"].value) == ("demand@0", "sales@0", 1)
    assert (said["dagster/row_count"], said["rows written"]) == (1, 1)
    assert said["bytes written"] == lake.commit(made).bytes_written > 0
    assert said["show"].md_str == "`lightkeeper table show demand@0`"
    assert said["dagster/column_schema"].columns[1].description == "pieces"
    assert "dagster/column_lineage" in said


def test_without_a_contract_the_stored_schema_is_shown(lake: lk.Lake) -> None:
    said = shown(lake, TableVersion("demand", 0), {}, unchanged=False)
    assert [(one.name, one.type) for one in said["dagster/column_schema"].columns] == [("product", "String"), ("units", "Int64")]
    assert "dagster/column_lineage" not in said


def test_what_was_there_already_shows_what_was_read_this_time_and_that_nothing_was_written(lake: lk.Lake) -> None:
    said = shown(lake, TableVersion("demand", 0), {}, True, [Input(TableVersion("sales", 7))])
    assert (said["inputs"], said["rows written"], said["bytes written"]) == ("sales@7", 0, 0)
    assert "The same content again" in said["unchanged"].text


@pytest.mark.parametrize(
    ("promise", "window"), [("26h", timedelta(hours=50)), ("3d", timedelta(days=4)), (None, None)], ids=["26h", "3d", "none"]
)
def test_a_promise_is_dagsters_own_policy_counted_from_the_end_of_the_newest_day(
    promise: str | None, window: timedelta | None
) -> None:
    @dg.asset(name="demand", metadata=about(Demand, by="day", fresh_within=promise))
    def demand() -> None: ...

    policy = lk.definitions(tables=[demand]).resolve_asset_graph().get(dg.AssetKey("demand")).freshness_policy
    assert policy == (window and dg.FreshnessPolicy.time_window(fail_window=window))
