"""Judgements in the ledger, by runs on a simulated clock: what they spend, how they are numbered, and what a kill leaves."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest

from lightkeeper.models.decisions import champion, decisions
from lightkeeper.models.judging import judge, judgement_rows
from lightkeeper.models.registry import read_version
from lightkeeper.orchestrate.running import materialize
from tests.lamp_world import QUICK, Change, World, new_normal, nothing


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose model was trained on 120 quiet days."""
    return World(tmp_path_factory.mktemp("lamps") / "home").root


@pytest.fixture
def world(built: Path, tmp_path: Path) -> Callable[..., World]:
    """The same home again, with what is to happen after its history."""

    def start(change: Change = nothing) -> World:
        shutil.copytree(built, tmp_path / "home")
        return World.again(tmp_path / "home", change, QUICK)

    return start


def trained(lamps: World, *tables: str) -> None:
    """A person trains, or makes some of the tables of a training."""
    materialize(lamps.defs, lamps.instance, [dg.AssetKey(one) for one in tables or lamps.model.training_tables])


def gates_of(lamps: World) -> list[tuple[object, ...]]:
    """What stands of the judgements in the ledger: number, code, what was spent."""
    rows = decisions(lamps.lake)
    return rows.filter(rows["action"] == "judged").select("judgement", "code", "alpha").rows()


def test_a_judgement_on_too_few_days_spends_nothing_and_the_next_has_all_that_was_earned(world: Callable[..., World]) -> None:
    lamps = world(new_normal)
    for days in (5, 20):
        lamps.made(days)
        trained(lamps)
    codes, spent = ([row[at] for row in gates_of(lamps)] for at in (1, 2))
    assert codes[1] == "too_few_days"
    assert spent == [0.05, 0.0, pytest.approx(25 * 0.05 / 365)]


def test_after_the_table_of_judgements_was_lost_the_next_judgement_is_followed(world: Callable[..., World]) -> None:
    lamps = world(new_normal)
    lamps.made(30)
    shutil.rmtree(lamps.home.lake / lamps.model.judgement_table)
    trained(lamps)
    assert [row[0] for row in gates_of(lamps)] == [1, 2]
    assert champion(lamps.lake, "lamps").name == "lamps:v4"


def test_what_a_judgement_spent_is_noted_though_its_run_was_killed_before_it_could(world: Callable[..., World]) -> None:
    lamps = world(new_normal)
    lamps.made(30)
    trained(lamps, "lamps_model")
    versions, features = lamps.lake.read("lamps_model"), lamps.lake.version("lamp_features")
    challenger, serves = (read_version("lamps", versions, number) for number in (3, 2))
    found = judge(QUICK, lamps.lake.read("lamp_features"), challenger, serves, 0.004)
    lamps.lake.append("lamps_judgement", judgement_rows(QUICK, found, 2, lamps.home.now(), features))  # and killed
    trained(lamps, "lamps_judgement", "lamps_champion")
    assert champion(lamps.lake, "lamps").name == "lamps:v4"
    assert gates_of(lamps) == [(1, "better", 0.05), (2, "better", 0.004)]
