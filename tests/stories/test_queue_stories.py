"""Runs that make tables wait for each other: what the sensors ask for, and what Dagster's queue lets begin."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from lightkeeper.home import Home
from lightkeeper.orchestrate.attempting import MODEL
from lightkeeper.orchestrate.learners import known
from lightkeeper.orchestrate.retraining import _of_model
from lightkeeper.orchestrate.running import DAGSTER_YAML, WRITES, ready
from lightkeeper.watch.situation import situations
from tests.lamp_world import QUICK, World, nothing


def test_one_run_that_makes_tables_begins_at_a_time() -> None:
    limits = yaml.safe_load(DAGSTER_YAML)["concurrency"]["runs"]["tag_concurrency_limits"]
    assert [one for one in limits if one["key"] in WRITES] == [{"key": "lightkeeper/writes", "limit": 1}]


def test_a_retraining_waits_for_a_landing_and_for_another_run_of_its_model(tmp_path: Path) -> None:
    world = World(tmp_path / "home", nothing, replace(QUICK, max_age_days=15))
    world.made(16)
    state = situations(world.lake, [known(world.model).learner])["lamps"]
    asked, _ = _of_model(world.instance, world.lake, world.model, state)
    assert asked is not None
    assert asked.tags.items() >= WRITES.items()
    other = world.instance.create_run_for_job(world.defs.resolve_implicit_global_asset_job_def(), tags={MODEL: "lamps"})
    again, why = _of_model(world.instance, world.lake, world.model, state)
    assert again is None
    assert f"waits for run {other.run_id[:8]} of lamps to end" in why


def test_a_home_of_an_earlier_build_gets_the_limit_and_one_with_settings_of_its_own_keeps_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("DAGSTER_HOME", "LIGHTKEEPER_HOME"):  # which `ready` sets
        monkeypatch.setenv(name, "")
    home = Home(tmp_path / "home")
    ready(home)
    settings = home.dagster / "dagster.yaml"
    settings.write_text(DAGSTER_YAML.replace("lightkeeper/writes", "lightkeeper/landing"))
    ready(home)
    assert settings.read_text() == DAGSTER_YAML
    mine = DAGSTER_YAML.replace("max_concurrent_runs: 2", "max_concurrent_runs: 1")
    settings.write_text(mine)
    ready(home)
    assert settings.read_text() == mine
