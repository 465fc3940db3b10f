"""Stories of the model and its forecasts in a home: what they were made of, when they were known, what makes a new version."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

import lightkeeper as lk
from assets import LANDINGS, MODELS, TABLES
from lightkeeper.orchestrate.forecast_assets import forecast_assets
from lightkeeper.orchestrate.landing import landing_assets
from lightkeeper.orchestrate.model_assets import model_assets
from tests.harness import Story

MODEL = next(model for model in MODELS if model.name == "demand")
MADE = {
    "demand_model", "demand_judgement", "demand_champion", "demand_feature_history", "demand_forecast", "demand_outcome",
    "demand_explanation",
}  # fmt: skip
KEPT = {"sales", "sales_rejected", "holidays", "daily_demand", "demand_features", *MADE}
INPUTS = {
    "sales": set(), "holidays": set(), "daily_demand": {"sales@0", "holidays@0"},
    "demand_features": {"daily_demand@0", "holidays@0"}, "demand_judgement": {"demand_features@0", "demand_model@0"},
    "demand_champion": {"demand_judgement@0", "demand_model@0"}, "demand_feature_history": {"demand_champion@0", "demand_model@1"},
    "demand_forecast": {"demand_features@0", "demand_model@1"}, "demand_outcome": {"demand_features@0", "demand_forecast@0"},
    "demand_explanation": {"demand_features@0", "demand_forecast@0", "demand_model@1"},
}  # fmt: skip


def last_day(story: Story) -> date:
    return story.home.now().date() - timedelta(1)


def test_a_home_with_history_has_each_table_once_and_each_commit_names_what_it_was_made_of(history: Story) -> None:
    assert set(history.lake.tables()) >= KEPT
    assert len(history.lake.history("demand_model")) == 2  # the challenger, and its refit
    for table, inputs in INPUTS.items():
        (made,) = history.lake.history(table)
        assert {str(one.version) for one in made.inputs} == inputs
        assert (made.asset, made.known_at) == (table, history.home.now())
        assert made.run_id
        assert made.code_version


def test_a_forecast_has_one_row_for_each_product_and_each_of_the_28_days_after_the_last_known_one(history: Story) -> None:
    rows = history.rows("demand_forecast")
    products = history.rows("daily_demand")["product"].n_unique()
    assert rows.height == products * 28 == rows.select("product", "day").n_unique()
    assert rows["origin"].unique().to_list() == [last_day(history)]
    assert (rows["day"] - rows["origin"]).dt.total_days().unique().sort().to_list() == list(range(1, 29))
    assert rows.select("model_version", "table_version").unique().rows() == [("demand:v2", "demand_features@0")]
    assert rows["units_forecast"].is_finite().all()


def test_the_row_of_the_model_says_all_that_it_was_made_of(history: Story) -> None:
    row = history.rows("demand_model").filter(pl.col("role") == "refit").row(0, named=True)
    parts = [row[name] for name in ("artifact", "artifact_low", "artifact_high")]
    assert hashlib.sha256(b"".join(len(one).to_bytes(8, "big") + one for one in parts)).hexdigest() == row["sha256"]
    assert (row["version"], row["learnt_from"], row["last_day"]) == (2, ["demand_features@0"], last_day(history))
    assert (json.loads(row["params"]), row["features"]) == (MODEL.lightgbm_params, list(MODEL.features))
    assert row["rows"] == history.rows("demand_features").filter(pl.col("units").is_not_null()).height
    assert row["trained_at"] == history.home.now()
    extra = history.lake.commit("demand_model@1").extra
    assert (extra["model_version"], extra["sha256"]) == ("demand:v2", row["sha256"])


def test_training_again_on_the_same_table_makes_no_new_version_and_on_a_new_day_it_makes_one(story: Story, next_day: date) -> None:
    story.train()
    assert story.newest("demand_model") == "demand_model@1"
    assert story.lake.unchanged.rows()["table"].to_list() == ["demand_model"]
    story.release(next_day, next_day)
    story.land(next_day)
    story.train()
    rows = story.rows("demand_model").sort("version")
    learnt_from = [["demand_features@0"], ["demand_features@0"], ["demand_features@1"]]
    assert (rows["version"].to_list(), rows["learnt_from"].to_list()) == ([1, 2, 3], learnt_from)
    assert rows["sha256"].n_unique() == 3
    assert len(story.rows("demand_model", 0)) == 1


def test_yesterdays_forecast_is_read_as_of_yesterday(story: Story, next_day: date) -> None:
    yesterday, was = story.home.now(), story.rows("demand_forecast")
    story.release(next_day, next_day)
    story.land(next_day)
    now = story.home.now()
    assert (now, story.lake.history("demand_forecast")[0].known_at) == (
        datetime.combine(next_day + timedelta(1), datetime.min.time(), UTC),
        now,
    )
    assert story.lake.read("demand_forecast", as_of=yesterday).collect().equals(was)
    both = story.rows("demand_forecast")
    assert both["origin"].unique().sort().to_list() == [yesterday.date() - timedelta(1), next_day]
    assert both.filter(pl.col("origin") == next_day)["table_version"].unique().to_list() == ["demand_features@1"]


def test_a_days_forecast_can_be_followed_up_to_the_files_it_came_from(story: Story, next_day: date) -> None:
    story.release(next_day, next_day)
    story.land(next_day)
    walked = list(story.lake.lineage("demand_forecast@1").walk())
    assert {str(node.version) for node in walked} >= {"demand_features@1", "demand_model@1", "daily_demand@1", "sales@1"}
    (sales,) = {node.version: node for node in walked if str(node.version) == "sales@1"}.values()
    content = (story.home.landing / "sales" / f"sales-{next_day}.csv").read_bytes()
    assert hashlib.sha256(content).hexdigest() in {file.sha256 for file in sales.files}


def test_the_whole_history_landed_in_one_run(history: Story) -> None:
    (made,) = history.lake.history("sales")
    assert len(made.sources) == history.files().height > 150
    assert set(history.files()["run_id"]) == {made.run_id}


LANDED = [landing_assets(one, lk.Home(Path("nowhere")), date(2026, 1, 1)) for one in LANDINGS]
SPECS = {
    spec.key.to_user_string(): spec
    for one in [*TABLES, *LANDED, *model_assets(MODEL), *forecast_assets(MODEL)]
    for spec in one.specs
}


@pytest.mark.parametrize("name", sorted(KEPT))
def test_each_asset_has_an_owner_a_group_kinds_a_description_a_code_version_and_a_column_schema(name: str) -> None:
    spec = SPECS[name]
    assert spec.owners
    assert spec.group_name in {"landing", "demand", "models", "forecasts", "outcomes", "explanations"}
    assert "deltalake" in spec.kinds
    assert len(spec.description or "") > 20
    assert spec.code_version
    columns = spec.metadata["dagster/column_schema"].columns
    assert [column.name for column in columns if not column.description or not column.type] == []


def test_the_column_schema_in_the_ui_is_that_of_the_table(history: Story) -> None:
    told = {name: [column.name for column in spec.metadata["dagster/column_schema"].columns] for name, spec in SPECS.items()}
    assert {name: set(columns) for name, columns in told.items()} == {name: set(history.rows(name).columns) for name in SPECS}


@pytest.mark.parametrize("name", sorted(KEPT))
def test_each_materialization_shows_version_inputs_rows_bytes_schema_and_the_command(name: str, history: Story) -> None:
    said, made = history.shown(name), history.lake.history(name)[0]
    assert (said["table version"], said["dagster/row_count"]) == (str(made.version), made.rows)
    assert set(str(said["inputs"]).split(", ")) == ({str(one.version) for one in made.inputs} or {"none"})
    assert said["bytes written"] == made.bytes_written
    assert made.bytes_written > 0 or made.rows == 0
    assert said["show"] == f"`lightkeeper table show {made.version}`"
    assert said["dagster/column_schema"] == SPECS[name].metadata["dagster/column_schema"]
    assert ("dagster/column_lineage" in said) == (name in {"daily_demand", "demand_features"})


@pytest.mark.parametrize(
    ("name", "label"),
    [("demand_model", "what it learnt from"), ("demand_forecast", "forecast"), ("daily_demand", "units a day")],
)
def test_models_and_headline_tables_carry_a_picture_that_shows_inline(name: str, label: str, history: Story) -> None:
    picture = str(history.shown(name)[label])
    assert "data:image/svg" in picture
    assert len(picture) < 1_000


def test_column_lineage_leads_to_columns_that_exist() -> None:
    for name in ("daily_demand", "demand_features"):
        deps = SPECS[name].metadata["dagster/column_lineage"].deps_by_column
        named = {(one.asset_key.to_user_string(), one.column_name) for origins in deps.values() for one in origins}
        assert named
        for table, column in named:
            assert column in {one.name for one in SPECS[table].metadata["dagster/column_schema"].columns}
