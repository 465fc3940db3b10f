"""Models that retrain themselves, played day by day with the real sensors, runs and ledgers on a simulated clock."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Literal

import dagster as dg
import polars as pl
import pytest

from lightkeeper.alerts.alert import Alert
from lightkeeper.alerts.kept import alerts, raised, standing
from lightkeeper.lake.suspects import accept, follow, suspects
from lightkeeper.lake.verdicts import Judged, record, states
from lightkeeper.models.attempts import FORMER_BETTER, ended, half_opened, machine
from lightkeeper.models.decisions import champion, decisions, rolled_back
from lightkeeper.models.episodes import Attempt, Machine
from lightkeeper.models.model import Model
from lightkeeper.models.promotion import by_hand
from lightkeeper.models.registry import Made, version_row
from lightkeeper.models.training import fit, training_frame
from lightkeeper.orchestrate.arrivals import ARRIVAL
from lightkeeper.orchestrate.attempting import ATTEMPT, CAUSE, EPISODE, MODEL, PINS, ROLLBACK
from lightkeeper.orchestrate.learners import known
from lightkeeper.orchestrate.running import DAGSTER_YAML, materialize
from lightkeeper.orchestrate.sensing import Senses
from lightkeeper.orchestrate.telling import told_solved
from lightkeeper.values import Decision, TableVersion, Verdict
from lightkeeper.watch.models import look
from lightkeeper.watch.situation import situations
from tests.lamp_world import QUICK, Change, World, hopeless, new_normal, nothing, poisoned

AGED = replace(QUICK, max_age_days=15)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose model was trained on 120 quiet days."""
    return World(tmp_path_factory.mktemp("lamps") / "home").root


@pytest.fixture
def world(built: Path, tmp_path: Path) -> Callable[..., World]:
    """The same home again, with what is to happen after its history."""

    def start(change: Change = nothing, model: Model = QUICK) -> World:
        shutil.copytree(built, tmp_path / "home")
        return World.again(tmp_path / "home", change, model)

    return start


def actions(world: World) -> list[str]:
    return decisions(world.lake)["action"].to_list()


def told(world: World) -> dict[str, str]:
    """The symptom of each alert, and its state."""
    return dict(standing(world.lake).select("symptom", "state").iter_rows())


def test_a_lasting_change_is_followed_until_it_can_be_learnt_and_people_are_told(world: Callable[..., World]) -> None:
    lamps = world(new_normal)
    for days in (1, 1, 6, 1):
        assert lamps.pass_days(days) == []
    row = states(lamps.lake).rows(pl.col("check") == "level_shift").row(0, named=True)
    assert (row["asset"], row["state"]) == ("lamps_outcome", "drifted")
    assert "Its forecasts are multiplied by that since" in row["why"]
    factor = forecast_of(lamps)["level_factor"].unique().to_list()
    assert factor == [row["measured"]]
    assert factor[0] == pytest.approx(2.6, abs=0.3)
    alert = standing(lamps.lake).filter(pl.col("cause") == "accuracy").row(0, named=True)
    assert "lamps:v2 goes on serving, its forecasts multiplied by 2.5" in alert["done"]
    assert states(lamps.lake).rows(pl.col("check") == "accuracy")["state"].to_list() == ["failed"]  # of what it makes by itself
    assert lamps.pass_days(8) == []
    assert "attempted" not in actions(lamps)
    assert told(lamps)["lamps: forecasts miss by more than promised"] == "open"
    (run,) = lamps.pass_days(3)
    assert run.tags[CAUSE] == "accuracy"
    assert run.key == f"lamps:{run.tags[EPISODE]}:1"
    assert run.tags[PINS].startswith("lamp_features@")
    assert champion(lamps.lake, "lamps").name == "lamps:v4"
    newest = lamps.lake.read("lamps_forecast").filter(pl.col("origin") == pl.col("origin").max()).collect()
    assert set(newest["model_version"]) == {"lamps:v4"}
    assert newest["level_factor"].unique().to_list() == [1.0]
    found = machine(lamps.lake, "lamps", 3).attempts
    assert [(one.number, one.outcome) for one in found] == [(1, "promoted")]
    lamps.pass_days(1)
    assert told(lamps)["lamps: forecasts miss by more than promised"] == "solved"


@pytest.mark.nightly
def test_what_was_followed_is_a_part_of_the_explanation_and_of_what_changed(world: Callable[..., World]) -> None:
    lamps = world(new_normal)
    for days in (7, 1, 1):
        lamps.pass_days(days)
        materialize(lamps.defs, lamps.instance, [dg.AssetKey("lamps_explanation")])
    keys = ["day", "shop", "lamp"]
    parts = lamps.lake.read("lamps_explanation").collect()
    newest = forecast_of(lamps)
    older = lamps.lake.read("lamps_forecast").filter(pl.col("origin") == newest["origin"][0] - timedelta(1)).collect()
    level = parts.filter(pl.col("part") == "level")
    assert level.select("name", "value").unique().rows() == [("level_shift", newest["level_factor"][0])]
    sums = parts.group_by(*keys, pl.col("part") == "change").agg(pl.col("contribution").sum())
    whole = newest.join(sums.filter(~pl.col("part")), on=keys)
    assert whole.height == newest.height
    assert whole.select((pl.col("units_forecast") - pl.col("contribution")).abs().max()).item() < 1e-9
    both = newest.join(older.select(*keys, before="units_forecast"), on=keys).join(sums.filter(pl.col("part")), on=keys)
    assert both.height > 0
    assert both.select((pl.col("units_forecast") - pl.col("before") - pl.col("contribution")).abs().max()).item() < 1e-9
    assert "level_shift" in parts.filter(pl.col("part") == "change")["name"].to_list()


def forecast_of(world: World) -> pl.DataFrame:
    """The newest forecasts."""
    return world.lake.read("lamps_forecast").filter(pl.col("origin") == pl.col("origin").max()).collect()


def test_the_same_day_again_asks_for_nothing_more(world: Callable[..., World]) -> None:
    lamps = world(new_normal)
    for days in (1, 7, 12):
        runs = lamps.pass_days(days)
    assert len(runs) == 1
    before = decisions(lamps.lake).height
    assert list(lamps.senses.settle()) == []
    lamps.senses.keys.clear()  # a daemon that forgot its run keys
    assert list(lamps.senses.settle()) == []
    assert decisions(lamps.lake).height == before


@pytest.mark.nightly
def test_with_dagsters_log_gone_nothing_is_tried_twice(world: Callable[..., World]) -> None:
    lamps = world(hopeless)
    for days in (8, 18):
        lamps.pass_days(days)
    assert actions(lamps).count("attempted") == 1
    shutil.rmtree(lamps.home.dagster)
    lamps.home.dagster.mkdir()
    (lamps.home.dagster / "dagster.yaml").write_text(DAGSTER_YAML)
    lamps.instance = dg.DagsterInstance.from_config(str(lamps.home.dagster))
    lamps.senses = Senses(lamps.defs, lamps.instance, lamps.senses.names)
    assert list(lamps.senses.settle()) == []
    lamps.pass_days(1)
    assert actions(lamps).count("attempted") == 1
    lamps.pass_days(4)
    assert [one.number for one in machine(lamps.lake, "lamps", 3).attempts] == [1, 2]


@pytest.mark.nightly
def test_what_cannot_be_learnt_opens_the_breaker_and_calls_a_person_once(world: Callable[..., World]) -> None:
    lamps = world(hopeless)
    for days in (8, 18, 5, 8):
        lamps.pass_days(days)
    found = machine(lamps.lake, "lamps", 3)
    assert [one.outcome for one in found.attempts] == ["rejected"] * 3
    assert (found.breaker, champion(lamps.lake, "lamps").name) == ("open", "lamps:v2")
    escalated = standing(lamps.lake).filter(pl.col("cause") == "breaker")
    assert escalated["symptom"].to_list() == ["lamps: 3 retrainings in a row did not help; it is frozen"]
    assert escalated["owners"].to_list() == [["team:lamps"]]
    half_opened(lamps.lake, "lamps", "user ada", "the new list is in", 3)
    assert len(lamps.pass_days(13)) == 1
    assert machine(lamps.lake, "lamps", 3).breaker == "open"
    assert breaker_alerts(lamps) == ["open"]
    by_hand(lamps.lake, "lamps", 1, "user ada", "this one")
    lamps.pass_days(1)
    assert machine(lamps.lake, "lamps", 3).breaker == "closed"
    assert breaker_alerts(lamps) == ["solved"]


@pytest.mark.parametrize("by", ["promotion", "rollback"])
def test_a_breaker_that_a_person_closes_while_nothing_asks_calls_nobody_any_more(world: Callable[..., World], by: str) -> None:
    lamps = world()
    for number in (1, 2, 3):
        one = Attempt("lamps_outcome.accuracy.2026-04-01.v2", number, lamps.lake.clock(), lamps.breaks, "accuracy", f"run-{number}")
        ended(lamps.lake, "lamps", one, "run_failed", "it was killed")
    bad = Verdict("accuracy", "failed", "The loss is 2.1 x the backtest's.", 2.1, 1.3, 14)
    record(lamps.lake, [Judged(lamps.lake.version("lamps_outcome"), lamps.breaks, verdicts=(bad,))])
    list(lamps.senses.settle())
    assert breaker_alerts(lamps) == ["open"]
    record(lamps.lake, [Judged(lamps.lake.version("lamps_outcome"), lamps.breaks, verdicts=(replace(bad, state="passed"),))])
    list(lamps.senses.settle())
    assert breaker_alerts(lamps) == ["open"]  # the breaker is, whatever asks
    if by == "promotion":
        by_hand(lamps.lake, "lamps", 1, "user ada", "this one")
    else:
        rolled_back(lamps.lake, Decision("lamps", "rolled_back", 0, "user ada", "the one before"))
    list(lamps.senses.settle())
    assert breaker_alerts(lamps) == ["solved"]


def breaker_alerts(lamps: World) -> list[str]:
    """The state of each call of a person."""
    return standing(lamps.lake).filter(pl.col("cause") == "breaker")["state"].to_list()


def test_what_was_told_of_a_model_is_solved_when_it_is_declared_by_another_name(world: Callable[..., World]) -> None:
    lamps = world()
    bad = Verdict("accuracy", "failed", "The loss is 2.1 x the backtest's.", 2.1, 1.3, 14)
    record(lamps.lake, [Judged(lamps.lake.version("lamps_outcome"), lamps.breaks, verdicts=(bad,))])
    list(lamps.senses.settle())
    assert told(lamps) == {"lamps: forecasts miss by more than promised": "open"}
    renamed = World.again(lamps.root, nothing, replace(QUICK, name="lanterns"))
    renamed.senses.cursors = lamps.senses.cursors
    list(renamed.senses.settle())
    assert told(renamed) == {"lamps: forecasts miss by more than promised": "solved"}


def test_what_could_not_be_told_is_told_by_the_next_tick(world: Callable[..., World]) -> None:
    lamps = world()
    bad = Verdict("accuracy", "failed", "The loss is 2.1 x the backtest's.", 2.1, 1.3, 14)
    record(lamps.lake, [Judged(lamps.lake.version("lamps_outcome"), lamps.breaks, verdicts=(bad,))])
    ledger = lamps.home.lake / alerts(lamps.lake).path
    ledger.write_text("in the way")
    with pytest.raises(Exception, match="alerts"):
        list(lamps.senses.settle())
    ledger.unlink()
    assert list(lamps.senses.settle()) == []
    assert told(lamps) == {"lamps: forecasts miss by more than promised": "open"}


def test_a_broken_day_is_never_trained_on_until_it_is_mended(world: Callable[..., World]) -> None:
    lamps = world(poisoned, AGED)
    lamps.pass_days(1)
    assert set(suspects(lamps.lake)["day"]) == {lamps.breaks}
    for days in (8, 9):
        assert lamps.pass_days(days) == []
    assert actions(lamps)[-1] == "held"
    assert "is suspect" in decisions(lamps.lake)["why"][-1]
    assert told(lamps)[f"lamp_features of {lamps.breaks} looks broken"] == "open"
    lamps.mended = True
    (run,) = lamps.pass_days(1)
    assert run.tags[CAUSE] == "age"
    assert suspects(lamps.lake).is_empty()
    assert told(lamps)[f"lamp_features of {lamps.breaks} looks broken"] == "solved"
    bad = Verdict("range", "failed", "It is broken again.", 1.0, 0.1, 9)
    record(lamps.lake, judged := [Judged(lamps.lake.version("lamp_features"), lamps.breaks, verdicts=(bad,))])
    follow(lamps.lake, judged)
    list(lamps.senses.settle())
    assert told(lamps)[f"lamp_features of {lamps.breaks} looks broken"] == "open"


def test_a_training_by_hand_refuses_a_suspect_day_with_the_next_step_until_a_person_accepts_it(world: Callable[..., World]) -> None:
    lamps = world(poisoned)
    lamps.pass_days(1)
    before, training = lamps.lake.version("lamps_model"), [dg.AssetKey(name) for name in lamps.model.training_tables]
    with pytest.raises(Exception, match="is not trained, as bad data never train") as refused:
        materialize(lamps.defs, lamps.instance, training)
    said = str(refused.value)
    assert f"suspect is lamp_features of {lamps.breaks}" in said
    assert f'lightkeeper check accept lamp_features {lamps.breaks} --why "..."' in said
    assert (lamps.lake.version("lamps_model"), champion(lamps.lake, "lamps").name) == (before, "lamps:v2")
    accept(lamps.lake, "lamp_features", lamps.breaks, "user ada", "it was a sale")
    materialize(lamps.defs, lamps.instance, training)
    assert lamps.lake.version("lamps_model") != before


def test_a_training_by_hand_looks_first_at_what_nobody_has_looked_at(world: Callable[..., World]) -> None:
    lamps = world(poisoned)
    lamps.turn()
    rows = lamps.lake.read("lamp_features").collect()
    last = rows.filter(pl.col("units").is_not_null())["day"].max()
    broken = pl.when(pl.col("day") == last).then(pl.col("price") * 1000).otherwise(pl.col("price")).alias("price")
    lamps.lake.write("lamp_features", rows.with_columns(broken), by="day")
    with pytest.raises(Exception, match=f"suspect is lamp_features of {last}"):
        materialize(lamps.defs, lamps.instance, [dg.AssetKey("lamps_model")])


def test_a_first_training_that_a_sensor_asked_for_waits_for_the_suspect_day_and_fails_nothing(world: Callable[..., World]) -> None:
    lamps = world(poisoned)
    lamps.pass_days(1)
    before = lamps.lake.read("lamps_model").select(pl.len()).collect().item()
    keys = [dg.AssetKey(name) for name in (*lamps.model.training_tables, *lamps.model.served_tables)]
    ran = materialize(lamps.defs, lamps.instance, keys, tags={ARRIVAL: "sha"})
    shown = lamps.instance.get_latest_materialization_event(dg.AssetKey("lamps_model"))
    assert shown is not None
    assert shown.asset_materialization is not None
    assert "suspect is lamp_features" in str(shown.asset_materialization.metadata["not trained"].value)
    assert lamps.lake.read("lamps_model").select(pl.len()).collect().item() == before
    assert "lamps_forecast" in ran.versions


@pytest.mark.nightly  # the command's own test is quicker
def test_a_person_may_say_that_a_suspect_day_was_so(world: Callable[..., World]) -> None:
    lamps = world(poisoned, AGED)
    lamps.pass_days(1)
    assert lamps.pass_days(17) == []
    assert accept(lamps.lake, "lamp_features", lamps.breaks, "user ada", "it was a sale") >= 1
    assert [run.tags[CAUSE] for run in lamps.pass_days(1)] == ["age"]


def test_an_old_model_that_is_as_good_is_confirmed_without_a_word(world: Callable[..., World]) -> None:
    lamps = world(nothing, AGED)
    (run,) = lamps.pass_days(16)
    assert run.tags[CAUSE] == "age"
    assert actions(lamps)[-2:] == ["confirmed", "held"]
    assert champion(lamps.lake, "lamps").name == "lamps:v2"
    assert standing(lamps.lake).is_empty()
    age = states(lamps.lake).rows(pl.col("check") == "age").row(0, named=True)
    assert (age["state"], "was confirmed on outcomes up to" in age["why"]) == ("passed", True)
    assert lamps.pass_days(9) == []


def test_a_promotion_that_turns_out_worse_is_taken_back(world: Callable[..., World]) -> None:
    lamps = world()
    worse(lamps)
    assert by_hand(lamps.lake, "lamps", 3, "user ada", "it looks better")
    assert lamps.pass_days(13) == []
    (run,) = lamps.pass_days(1)
    assert run.sensor == "outcomes"
    assert champion(lamps.lake, "lamps").name == "lamps:v2"
    assert "Over the 14 days since lamps:v3 replaced lamps:v2" in decisions(lamps.lake)["why"][-1]
    assert lamps.lake.read("lamps_champion").collect()["serves"][-1] == "lamps:v2"
    assert lamps.pass_days(1) == []


def failing_rollback(lamps: World) -> dg.RunRequest:
    """What the sensor asks for, as a run that died before its first step."""
    (request,) = ticked(lamps)
    run = lamps.instance.create_run_for_job(lamps.defs.resolve_implicit_global_asset_job_def(), tags=dict(request.tags))
    assert not ticked(lamps)  # one that waits to start is waited for
    lamps.instance.report_run_failed(run, message="the code server was gone")
    return request


def ticked(lamps: World) -> list[dg.RunRequest]:
    """What the sensor over outcomes asks for now."""
    repository = lamps.defs.get_repository_def()
    with dg.build_sensor_context(instance=lamps.instance, repository_def=repository, sensor_name="outcomes") as context:
        return list(repository.get_sensor_def("outcomes").evaluate_tick(context).run_requests or [])


def is_worse(lamps: World, day: date) -> None:
    """The former champion's check fails, as of a day."""
    bad = Verdict("former", "failed", "Over the 14 days since lamps:v3 replaced lamps:v2, it was worse.", column="lamps:v3")
    record(lamps.lake, [Judged(lamps.lake.version("lamps_outcome"), day, verdicts=(bad,))])


def regretted(lamps: World) -> World:
    """Somebody has promoted a version, and the one before it would have been better."""
    worse(lamps)
    by_hand(lamps.lake, "lamps", 3, "user ada", "it looks better")
    lamps.made(1)
    is_worse(lamps, lamps.breaks)
    return lamps


def test_a_rollback_whose_run_failed_is_asked_for_again_and_no_more_than_three_times_a_day(world: Callable[..., World]) -> None:
    lamps = regretted(world())
    keys = [failing_rollback(lamps).run_key for _ in range(3)]
    assert len(set(keys)) == 3
    assert ticked(lamps) == []
    is_worse(lamps, lamps.breaks + timedelta(1))
    lamps.turn()
    assert [run.sensor for run in lamps.senses.settle()] == ["outcomes"]
    assert champion(lamps.lake, "lamps").name == "lamps:v2"
    assert ticked(lamps) == []


def test_a_rollback_whose_reason_is_gone_when_its_run_starts_moves_nobody(world: Callable[..., World]) -> None:
    lamps = regretted(world())
    (request,) = ticked(lamps)
    again = Verdict("former", "passed", "Over the 14 days since lamps:v3 replaced lamps:v2, it was as good.")
    record(lamps.lake, [Judged(lamps.lake.version("lamps_outcome"), lamps.breaks, verdicts=(again,))])
    materialize(lamps.defs, lamps.instance, request.asset_selection or [], tags=dict(request.tags))
    assert champion(lamps.lake, "lamps").name == "lamps:v3"


def test_where_the_clock_stands_still_a_rollback_is_not_rolled_back_by_the_same_verdict(world: Callable[..., World]) -> None:
    lamps = regretted(world())
    (request,) = ticked(lamps)
    rolled_back(lamps.lake, Decision("lamps", "rolled_back", 0, "run", "worse", code=FORMER_BETTER))
    assert ticked(lamps) == []
    further = {**request.tags, ROLLBACK: "lamps:v2"}
    materialize(lamps.defs, lamps.instance, request.asset_selection or [], tags=further)
    assert champion(lamps.lake, "lamps").name == "lamps:v2"


def test_a_verdict_on_a_champion_that_serves_no_more_takes_nothing_back(world: Callable[..., World]) -> None:
    lamps = world()
    lamps.pass_days(1)
    bad = Verdict("former", "failed", "Over the 14 days since lamps:v2 replaced lamps:naive, it was worse.", column="lamps:v2")
    record(lamps.lake, [Judged(lamps.lake.version("lamps_outcome"), lamps.breaks, verdicts=(bad,))])
    lamps.turn()
    by_hand(lamps.lake, "lamps", 1, "user ada", "this one")
    assert list(lamps.senses.settle()) == []
    assert champion(lamps.lake, "lamps").version == 1


def worse(lamps: World) -> None:
    """A version that has learnt the opposite."""
    rows = training_frame(lamps.model, lamps.lake.read("lamp_features").with_columns((60 - pl.col("units")).alias("units")))
    artifact = fit(lamps.model, rows, 30)
    made = Made((TableVersion("lamp_features", 0),), lamps.lake.clock(), {})
    lamps.lake.append("lamps_model", version_row(lamps.model, 3, artifact, made))


@pytest.mark.nightly
def test_a_run_that_died_before_its_first_step_is_noted_and_the_next_attempt_follows(world: Callable[..., World]) -> None:
    lamps = world(nothing, AGED)
    lamps.made(16)
    request = asked(lamps)
    job = lamps.defs.resolve_implicit_global_asset_job_def()
    run = lamps.instance.create_run_for_job(job, tags=request.tags)
    lamps.instance.report_run_failed(run, message="the code server was gone")
    assert list(lamps.senses.settle()) == []
    assert actions(lamps)[-2:] == ["attempted", "failed"]
    assert [run.tags[ATTEMPT] for run in lamps.pass_days(9)] == ["2"]


def test_a_run_that_waits_to_start_is_not_asked_for_again(world: Callable[..., World]) -> None:
    lamps = world(nothing, AGED)
    lamps.made(16)
    request = asked(lamps)
    lamps.instance.create_run_for_job(lamps.defs.resolve_implicit_global_asset_job_def(), tags=request.tags)
    assert list(lamps.senses.settle()) == []
    assert "attempt 1 of lamps_outcome.age.2026-05-20.v2 waits for run " in lamps.senses.said["retraining"]
    assert "attempted" not in actions(lamps)


def asked(lamps: World) -> dg.RunRequest:
    """What the sensor asks for now, as a daemon sees it that is killed before it asks."""
    repository = lamps.defs.get_repository_def()
    with dg.build_sensor_context(instance=lamps.instance, repository_def=repository, sensor_name="retraining") as context:
        (request,) = repository.get_sensor_def("retraining").evaluate_tick(context).run_requests or []
    assert request.tags[MODEL] == "lamps"
    return request


def test_two_runs_of_one_attempt_train_once(world: Callable[..., World]) -> None:
    lamps = world(nothing, AGED)
    (run,) = lamps.pass_days(16)
    versions = lamps.lake.version("lamps_model")
    again = materialize(lamps.defs, lamps.instance, [dg.AssetKey(name) for name in lamps.model.training_tables], tags=run.tags)
    assert lamps.lake.version("lamps_model") == versions
    assert again.versions == {}
    assert actions(lamps).count("attempted") == 1


def test_a_late_table_is_told_once_and_solved_when_it_is_there(world: Callable[..., World]) -> None:
    lamps = world()
    late = Verdict("freshness", "failed", "2026-05-04 is the newest event day, over for 50 hours.", 50.0, 30.0, 60)
    record(lamps.lake, [Judged(TableVersion("lamp_features", 0), date(2026, 5, 4), verdicts=(late,))])
    assert [run.key for run in lamps.senses.settle()] == ["late:lamp_features:2026-05-04"]  # what it is made from is asked
    assert standing(lamps.lake)["owners"].to_list() == [["team:oil"]]
    assert list(lamps.senses.settle()) == []
    assert told(lamps) == {"lamp_features is late: the newest day is 2026-05-04": "open"}
    unknown = Verdict("freshness", "unknown", "It could not be looked at.")
    record(lamps.lake, [Judged(lamps.lake.version("lamp_features"), date(2026, 5, 4), verdicts=(unknown,))])
    assert list(lamps.senses.settle()) == []
    assert set(told(lamps).values()) == {"open"}
    there = replace(late, state="passed", measured=2.0)
    record(lamps.lake, [Judged(lamps.lake.version("lamp_features"), date(2026, 5, 5), verdicts=(there,))])
    assert list(lamps.senses.settle()) == []
    assert told(lamps) == {"lamp_features is late: the newest day is 2026-05-04": "solved"}


def test_a_run_that_fails_is_told_with_its_reason_and_solved_by_the_next_that_succeeds(world: Callable[..., World]) -> None:
    lamps = world()
    lamps.fails = True
    with pytest.raises(Exception, match="the shop is on fire"):
        lamps.pass_days(1)
    list(lamps.senses.settle())
    row = standing(lamps.lake).row(0, named=True)
    assert (row["symptom"], row["why"]) == ("A run failed in lamp_features", "RuntimeError: the shop is on fire")
    assert row["owners"] == ["team:oil"]
    lamps.fails = False
    lamps.pass_days(1)
    assert standing(lamps.lake)["state"].to_list() == ["solved"]


@pytest.mark.parametrize("cause", ["run_time", "run_cancelled"])
def test_what_was_told_of_a_slow_run_is_solved_by_the_next_that_succeeds(world: Callable[..., World], cause: str) -> None:
    lamps = world()
    slow = Alert(cause=cause, asset="lamp_features", episode="1", role="it", symptom=cause, since=None, why="It took long.")
    raised(lamps.lake, slow)
    raised(lamps.lake, replace(slow, asset="lanterns"))
    lamps.pass_days(1)
    assert dict(standing(lamps.lake).select("asset", "state").iter_rows()) == {"lamp_features": "solved", "lanterns": "open"}


def test_forecasts_that_miss_while_no_feature_moved_are_called_a_concept(world: Callable[..., World]) -> None:
    lamps = world(hopeless)
    lamps.pass_days(8)
    row = states(lamps.lake).rows(pl.col("check") == "accuracy").row(0, named=True)
    assert (row["state"], row["kind"]) == ("failed", "concept")
    assert "No feature has drifted: what they mean for units has changed." in row["why"]


def test_outcomes_are_judged_beside_the_features_that_they_were_made_from(world: Callable[..., World]) -> None:
    lamps = world()
    lamps.pass_days(8)
    version = lamps.lake.version("lamps_outcome")
    before = look(lamps.lake, QUICK, version).judged
    tripled = lamps.lake.read("lamp_features").with_columns(pl.col("units") * 3).collect()
    lamps.lake.write("lamp_features", tripled, by="day")
    assert look(lamps.lake, QUICK, version).judged == before
    rows = lamps.lake.read("lamps_outcome").collect()
    new = lamps.lake.version("lamp_features")
    assert lamps.lake.write("lamps_outcome", rows, by="day", inputs=[new]) == version  # made again from them, to the same rows
    assert look(lamps.lake, QUICK, version).judged != before


@pytest.mark.nightly
def test_the_level_that_a_former_champion_followed_is_told_of_nobody(world: Callable[..., World]) -> None:
    lamps = world(new_normal)
    lamps.pass_days(8)
    lamps.pass_days(1)
    learner = known(lamps.model).learner
    assert situations(lamps.lake, [learner])["lamps"].level_factor > 2
    lamps.turn()
    by_hand(lamps.lake, "lamps", 1, "user ada", "this one")
    assert situations(lamps.lake, [learner])["lamps"].level_factor == 1.0


def test_a_version_that_nobody_looked_at_is_looked_at_by_the_run_before_it_trains(world: Callable[..., World]) -> None:
    lamps = world(nothing, AGED)
    lamps.made(16)
    request = asked(lamps)
    last = lamps.breaks.replace(day=lamps.breaks.day + 15)
    broken = pl.when(pl.col("day") == last).then(pl.col("price") * 1000).otherwise(pl.col("price")).alias("price")
    rows = lamps.lake.read("lamp_features").with_columns(broken).collect()
    lamps.lake.write("lamp_features", rows, by="day")  # between the request and the start of its run
    before = actions(lamps)
    materialize(lamps.defs, lamps.instance, request.asset_selection or [], tags=dict(request.tags))
    assert actions(lamps)[len(before) :] == ["attempted", "held"]
    assert decisions(lamps.lake)["pins"].to_list()[-2:] == [[str(lamps.lake.version("lamp_features"))]] * 2
    assert f"lamp_features of {last} is suspect" in decisions(lamps.lake)["why"][-1]
    assert machine(lamps.lake, "lamps", 3).attempts[-1].outcome == "held"
    assert list(lamps.senses.settle()) == []
    assert told(lamps)["lamps is not retrained: its data look broken"] == "open"


def test_a_failing_check_of_a_champion_that_serves_no_more_asks_for_nothing(world: Callable[..., World]) -> None:
    lamps = world()
    bad = Verdict("accuracy", "failed", "The loss is 2.1 x the backtest's.", 2.1, 1.3, 14)
    record(lamps.lake, [Judged(lamps.lake.version("lamps_outcome"), lamps.breaks, verdicts=(bad,))])
    learner = known(lamps.model).learner
    assert [one.check for one in situations(lamps.lake, [learner])["lamps"].causes] == ["accuracy"]
    lamps.turn()
    by_hand(lamps.lake, "lamps", 1, "user ada", "this one")
    assert situations(lamps.lake, [learner])["lamps"].causes == ()


@pytest.mark.parametrize(("breaker", "left"), [("closed", {"suspect", "failure"}), ("open", {"suspect", "failure", "breaker"})])
def test_when_nothing_asks_only_what_was_told_of_retraining_is_solved(
    world: Callable[..., World], breaker: Literal["closed", "open"], left: set[str]
) -> None:
    lamps = world()
    tables = {"suspect": "lamp_features", "failure": "lamp_features", "drift": "lamp_features", "coverage_80": "lamps_outcome"}
    for cause, asset in {**tables, "accuracy": "lamps_outcome", "bad_data": "lamp_features", "breaker": "lamps"}.items():
        for episode in ("lamps:1", "1"):  # an earlier build named no model
            raised(lamps.lake, Alert(cause=cause, asset=asset, episode=episode, role="it", symptom=cause, since=None, why="Seen."))
    state = situations(lamps.lake, [known(lamps.model).learner])["lamps"]
    told_solved(lamps.lake, lamps.model, replace(state, machine=Machine(breaker=breaker)))
    assert set(standing(lamps.lake).filter(pl.col("state") == "open")["cause"]) == left


def test_nothing_is_asked_for_while_a_command_lands(world: Callable[..., World]) -> None:
    lamps = world(nothing, AGED)
    lamps.made(16)
    with lamps.home.landing_lock():
        assert list(lamps.senses.settle()) == []
        assert lamps.senses.said["retraining"] == "A command is landing files into this home."
    assert asked(lamps).tags[CAUSE] == "age"
