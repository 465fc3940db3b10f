"""The code location as Dagster's servers load it, through workspace.yaml, in a process of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import dagster as dg

from tests.harness import Story

GROUPS = {"landing", "demand", "returns", "models", "forecasts", "outcomes", "explanations"}
ROOT = Path(__file__).resolve().parent.parent


def test_dagster_validates_the_definitions_of_a_fresh_clone(tmp_path: Path) -> None:
    environ = {**os.environ, "LIGHTKEEPER_HOME": str(tmp_path / "home"), "DAGSTER_HOME": ""}
    words = [sys.executable, "-m", "dagster", "definitions", "validate", "-w", "workspace.yaml"]
    done = subprocess.run(words, cwd=ROOT, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not (tmp_path / "home").exists()


def test_every_job_and_sensor_of_the_repository_resolves(fresh: Story) -> None:
    repository = fresh.defs.get_repository_def()
    repository.load_all_definitions()
    assert [sensor.name for sensor in repository.sensor_defs] == [
        "alerts", "arrivals", "failures", "freshness", "outcomes", "retraining", "runtimes",
    ]  # fmt: skip
    assert len(repository.get_all_jobs()) == 5  # all assets, and those of the four sensors that ask for runs


def test_every_asset_says_what_it_is_who_owns_it_and_what_its_columns_are(fresh: Story) -> None:
    graph = fresh.defs.resolve_asset_graph()
    for key in graph.materializable_asset_keys:
        node = graph.get(key)
        assert node.description, key
        assert node.owners, key
        assert "deltalake" in node.kinds, key
        assert node.group_name in GROUPS
        schema = node.metadata["dagster/column_schema"]
        assert isinstance(schema, dg.TableSchema), key
        assert all(column.description for column in schema.columns), key


def test_dagsters_own_policy_of_freshness_is_on_what_was_promised_and_on_nothing_else(fresh: Story) -> None:
    graph = fresh.defs.resolve_asset_graph()
    policies = {key.to_user_string(): graph.get(key).freshness_policy for key in graph.materializable_asset_keys}
    promised = dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=24 + 30))  # of the sales: 30h after the end of a day
    assert {name: one for name, one in policies.items() if one is not None} == {"sales": promised}


def test_the_code_location_is_assembled_in_about_twelve_lines() -> None:
    code = re.sub(r'^""".*?"""', "", (ROOT / "definitions.py").read_text(), flags=re.DOTALL)
    assert len([line for line in code.splitlines() if line.strip()]) <= 14


def test_a_new_model_is_twelve_lines() -> None:
    lines = (ROOT / "assets" / "demand.py").read_text().splitlines()
    assert len([line for line in lines if line.strip()]) <= 12
