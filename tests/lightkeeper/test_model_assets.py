"""Declared models in anybody's Dagster project: merged, materialized, checked against the table's contract at load."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import dagster as dg
import dataframely as dy
import polars as pl
import pytest

import lightkeeper as lk
from tests.lightkeeper.lamps import AHEAD, KNOWN, LAMPS, REPAIRS, SERIES, SOLD, table


class LampFeatures(dy.Schema):
    """What the lamps learn from; nobody says that the price is known ahead."""

    shop = dy.String(primary_key=True)
    lamp = dy.String(primary_key=True)
    day = dy.Date(primary_key=True)
    weekday = dy.Int64(metadata={"known_ahead": True})
    price = dy.Float64()
    open = dy.Bool(metadata={"known_ahead": True})
    wick = dy.String(metadata={"known_ahead": True})
    units = dy.Int64(nullable=True)


@dg.asset(name="lamp_features")
def features() -> pl.DataFrame:
    return table()


@dg.asset(name="lamp_features", metadata=lk.about(LampFeatures))
def with_a_contract() -> pl.DataFrame:
    return table().drop("sold")


def run(root: Path, *models: lk.Model, made: dg.AssetsDefinition = features) -> dg.ExecuteInProcessResult:
    """A foreign project with its own lake, all of it in one run."""
    manager = lk.LakeIOManager(root=str(root))
    defs = dg.Definitions.merge(
        lk.definitions(models=list(models)), dg.Definitions(assets=[made], resources={"io_manager": manager})
    )
    with dg.DagsterInstance.ephemeral(str(root.parent / "dagster")) as instance:
        return defs.resolve_implicit_global_asset_job_def().execute_in_process(instance=instance, raise_on_error=False)


def test_a_model_merges_into_a_project_that_knows_no_home(tmp_path: Path) -> None:
    assert run(tmp_path / "lake", LAMPS).success
    lake = lk.Lake(tmp_path / "lake")
    names = ("model", "judgement", "champion", "forecast", "outcome", "explanation", "feature_history")
    assert {f"lamps_{name}" for name in names} < set(lake.tables())
    rows = lake.read("lamps_forecast").collect()
    assert (rows.height, rows["model_version"].unique().to_list()) == (SERIES * AHEAD, ["lamps:v2"])


@pytest.mark.parametrize("model", [SOLD, REPAIRS], ids=["a probability", "rows without a target"])
def test_other_kinds_of_model_run_through_all_their_assets(model: lk.Model, tmp_path: Path) -> None:
    assert run(tmp_path / "lake", model).success
    lake = lk.Lake(tmp_path / "lake")
    parts = lake.read(model.explanation_table).collect().group_by("shop", "lamp", "day").agg(pl.col("contribution").sum())
    rows = lake.read(model.forecast_table).collect().join(parts, on=["shop", "lamp", "day"])
    assert rows.height == SERIES * AHEAD
    assert rows.select((pl.col(model.forecast_column) - pl.col("contribution")).abs().max()).item() < 1e-9
    assert lake.read(model.outcome_table).collect().is_empty()


def test_a_feature_that_the_contract_does_not_call_known_ahead_fails_at_load_with_the_mend(tmp_path: Path) -> None:
    said = r"model lamps: feature price is not declared known_ahead in LampFeatures, the contract of lamp_features"
    with pytest.raises(lk.BadDeclaration, match=said):
        lk.definitions(models=[LAMPS], tables=[with_a_contract])
    lk.definitions(models=[replace(LAMPS, horizon=None)], tables=[with_a_contract])  # predicts rows that are there
    result = run(tmp_path / "lake", LAMPS, made=with_a_contract)  # merged, it is found when it is trained
    assert not result.success
    assert "price is not declared known_ahead" in str(result.failure_data_for_node("lamps_model").error.cause)  # type: ignore[union-attr]


def test_two_models_of_one_name_are_refused() -> None:
    with pytest.raises(lk.BadDeclaration, match="model lamps is declared twice: give each a name of its own"):
        lk.definitions(models=[LAMPS, LAMPS])


def test_the_total_of_a_week_has_an_interval_of_its_own_or_says_why_not(tmp_path: Path) -> None:
    result = run(tmp_path / "lake", LAMPS)
    (event,) = result.asset_materializations_for_node("lamps_forecast")
    said = str(event.metadata["units of the next 7 days"].value)
    week = lk.Lake(tmp_path / "lake").read("lamps_forecast").filter(pl.col("days_ahead") <= 7).collect()["units_forecast"].sum()
    assert said.startswith(f"{week:,.1f}; ")
    assert KNOWN < 19 * 7  # so that no level can be supported yet
    assert "80%" in said
