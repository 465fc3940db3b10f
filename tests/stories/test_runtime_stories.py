"""A run that takes too long, through the real daemon: its owner is warned once, and at twice the limit it is cancelled."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
import polars as pl
import psutil
import pytest

import lightkeeper as lk
from lightkeeper.alerts.kept import raised, standing
from lightkeeper.home import Home, HomeRecord
from lightkeeper.lake.table import Lake
from lightkeeper.lake.verdicts import Judged, record
from lightkeeper.orchestrate import learners, runtimes
from lightkeeper.orchestrate.daemon import Daemon, daemon
from lightkeeper.orchestrate.launcher import LocalRunLauncher
from lightkeeper.orchestrate.launcher import _lives as lives
from lightkeeper.orchestrate.running import DAGSTER_YAML
from lightkeeper.orchestrate.runtimes import Slow, cancelled, slow
from lightkeeper.orchestrate.runtimes import _limits as limits
from lightkeeper.values import TableVersion, Verdict
from tests.lightkeeper.lamps import LAMPS, table

PROJECT = '''
"""An asset that takes as long as it is told to, and a sensor that asks for it once."""
import time
from pathlib import Path
import dagster as dg
import dataframely as dy
import polars as pl
import lightkeeper as lk

class Kiln(dy.Schema):
    """What was fired."""
    pots = dy.Int64()

@dg.asset(owners=["team:clay"], metadata=lk.about(Kiln, runs_within="1m"))
def kiln() -> pl.DataFrame:
    time.sleep(120)
    return pl.DataFrame({"pots": [1]})

@dg.sensor(target=[kiln], minimum_interval_seconds=1, default_status=dg.DefaultSensorStatus.RUNNING)
def fire(context):
    yield dg.RunRequest(run_key="once")

defs = dg.Definitions.merge(lk.project(__file__, assets=[kiln]), dg.Definitions(sensors=[fire]))
'''


@dg.asset(name="lamp_features")
def features() -> pl.DataFrame:
    return table()


def kiln_of(folder: Path) -> Home:
    """The project with the kiln, and its home."""
    (folder / "pyproject.toml").write_text("[tool.lightkeeper]\n")
    (folder / "definitions.py").write_text(PROJECT)
    home = Home(folder / ".lightkeeper")
    home.create(HomeRecord("sample", "kiln", 0, date(2026, 1, 5), datetime(2026, 3, 2, 6, tzinfo=UTC)))
    return home


def test_only_steps_beyond_the_limit_of_their_asset_are_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(learners.STEPS, "land_sales", ("sales", "sales_rejected"))
    limits = {"sales": 10.0, "sales_rejected": 12.0, "demand": 100.0}
    found = slow("run-1", {"land_sales": 1000.0, "demand": 1000.0, "unknown": 0.0}, limits, 1015.0)
    assert [(one.asset, one.seconds, one.limit, one.cancelled) for one in found] == [("sales", 15.0, 10.0, False)]
    (late,) = slow("run-1", {"land_sales": 1000.0}, limits, 1020.1)
    assert late.cancelled
    (backlog,) = slow("run-1", {"land_sales": 1000.0}, limits, 1080.0, days=7)
    assert (backlog.limit, backlog.cancelled) == (70.0, False)
    assert [one.limit for one in slow("run-1", {"demand": 1000.0}, limits, 1150.0, days=7)] == [100.0]


def test_each_cancelled_run_doubles_what_the_next_may_take_until_one_keeps_to_its_limit(tmp_path: Path) -> None:
    now = [datetime(2026, 3, 2, 6, tzinfo=UTC)]
    lake = Lake(tmp_path / "lake", clock=lambda: now[0])
    norm = Verdict("run_time", "passed", "It took 1 s; the limit is 6 s.", 1.0, 6.0, 20)
    long = replace(norm, state="failed", why="It took 20 s; the limit is 6 s.", measured=20.0)
    first, second, third = (Slow(f"run-{number}", "kiln", 1000.0, 20.0, 6.0) for number in (1, 2, 3))

    def later(judged: Verdict | None = None, told: Slow | None = None) -> None:
        now[0] += timedelta(hours=1)
        if told is not None:
            raised(lake, runtimes._alert(told))
        if judged is not None:
            record(lake, [Judged(TableVersion("kiln", 0), verdicts=(judged,))])

    def seen(one: Slow) -> tuple[int, float, bool]:
        found = replace(one, before=cancelled(lake, one))
        return found.before, found.most, found.cancelled

    later(judged=norm)
    assert seen(first) == (0, 12.0, True)
    later(told=first)
    assert seen(first) == (0, 12.0, True)  # it ends as it was told
    assert seen(second) == (1, 24.0, False)
    later(judged=long)
    assert seen(third) == (1, 24.0, False)  # what ended was slow as well
    later(told=replace(second, seconds=30.0, before=1))
    assert seen(third) == (2, 48.0, False)
    later(judged=norm)
    assert seen(third) == (0, 12.0, True)


def test_until_a_norm_is_learnt_what_is_declared_of_a_model_is_the_limit_of_each_of_its_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    declared: dict[str, float] = {}
    monkeypatch.setattr(learners, "MAXIMA", declared)
    monkeypatch.setattr(runtimes, "MAXIMA", declared)
    home = Home(tmp_path / ".lightkeeper")
    home.create(HomeRecord("sample", "lamps", 0, date(2026, 1, 5), datetime(2026, 3, 2, 6, tzinfo=UTC)))
    lk.project(tmp_path, assets=[features], models=[replace(LAMPS, runs_within="30m"), replace(LAMPS, name="others")], home=home)
    assert declared == dict.fromkeys(LAMPS.tables, 1800.0)
    lake = Lake(home.lake, clock=home.now)
    assert limits(lake) == declared
    norm = Verdict("run_time", "passed", "It took 1 s; the limit is 6 s.", 1.0, 6.0, 20)
    before = Verdict("run_time", "passed", "It took 1 s; the declared limit is 60 s.", 1.0, 60.0, 1)  # declared otherwise since
    record(lake, [Judged(TableVersion("lamps_model", 0), verdicts=(norm,))])
    record(lake, [Judged(TableVersion("lamps_forecast", 0), verdicts=(before,))])
    assert limits(lake) == {**declared, "lamps_model": 6.0}


def test_a_run_beyond_its_norm_warns_once_and_beyond_twice_is_cancelled(tmp_path: Path) -> None:
    home = kiln_of(tmp_path)
    lake = Lake(home.lake, clock=home.now)
    norm = Verdict("run_time", "passed", "It took 1 s; the limit is 6 s.", 1.0, 6.0, 20)
    record(lake, [Judged(TableVersion("kiln", 0), verdicts=(norm,))])
    with daemon(tmp_path, tmp_path / "definitions.py", home, own_process=False) as one:
        end = time.monotonic() + 90
        while time.monotonic() < end and not canceled(one.instance):
            one.tick()
    (run,) = canceled(one.instance)
    told = standing(lake).filter(pl.col("asset") == "kiln")
    assert sorted(told["cause"]) == ["run_cancelled", "run_time"]
    assert set(told["episode"]) == {run.run_id}
    assert told["owners"].to_list() == [["team:clay"]] * 2
    assert "its limit, learnt from runs before it or declared, is 6 s" in told["why"][0]


def test_a_slow_run_of_a_command_is_told_of_and_goes_on_as_nobody_can_end_it_from_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Home(tmp_path / ".lightkeeper")
    home.create(HomeRecord("sample", "kiln", 0, date(2026, 1, 5), datetime(2026, 3, 2, 6, tzinfo=UTC)))
    lake = Lake(home.lake, clock=home.now)
    monkeypatch.setitem(runtimes.MAXIMA, "kiln", 60.0)
    sensor, instance = runtimes.runtimes_sensor(home, lambda: lake, wall=lambda: time.time() + 600), instance_of(home)
    statuses: list[dg.DagsterRunStatus] = []

    @dg.asset
    def kiln() -> None:
        with dg.build_sensor_context(instance=instance) as tick:
            sensor.evaluate_tick(tick)
        statuses.extend(run.status for run in instance.get_runs())

    assert dg.materialize([kiln], instance=instance).success
    assert statuses == [dg.DagsterRunStatus.STARTED]
    (told,) = standing(lake).select("cause", "done").rows()
    assert told == ("run_time", "It goes on; it runs in a command, which whoever began it can end.")


def instance_of(home: Home) -> dg.DagsterInstance:
    """Dagster's instance of a home, with the settings that every home has."""
    (home.dagster / "dagster.yaml").write_text(DAGSTER_YAML)
    return dg.DagsterInstance.from_config(str(home.dagster))


@pytest.mark.nightly
def test_a_run_whose_process_was_killed_is_told_and_holds_no_place_in_the_queue(tmp_path: Path) -> None:
    home = kiln_of(tmp_path)
    with daemon(tmp_path, tmp_path / "definitions.py", home, own_process=False) as one:
        killed = until_it_works(one)
        assert lives_by_a_clock_set_forward(one, killed)
        one.tick()
        (alive,) = one.instance.get_runs()
        assert alive.status is dg.DagsterRunStatus.STARTED
        os.killpg(one.processes["code"].pid, signal.SIGKILL)  # the code server and its runs, as when a machine stops
        one.processes["code"].wait()
    with daemon(tmp_path, tmp_path / "definitions.py", home, own_process=False) as one:
        one.tick()
        one.tick()
        (run,) = one.instance.get_runs()
        said = [entry.message for entry in one.instance.all_logs(killed, of_type=dg.DagsterEventType.RUN_FAILURE)]
    assert (run.run_id, run.status) == (killed, dg.DagsterRunStatus.FAILURE)
    assert "is gone: it was killed, or the machine stopped" in said[0]
    told = standing(Lake(home.lake)).filter(pl.col("cause") == "failure")
    assert told["episode"].to_list() == [killed]


def until_it_works(one: Daemon) -> str:
    """The run of the kiln, once its step is under way."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        one.tick()
        for run in one.instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])):
            if any(step.start_time for step in one.instance.get_run_step_stats(run.run_id)):
                return run.run_id
    raise AssertionError(f"No run works; logs: {one.logs}")


def lives_by_a_clock_set_forward(one: Daemon, run_id: str) -> bool:
    """Whether the process of a run is known by what it has open, when by the clock it began long after the run."""
    (start,) = one.instance.all_logs(run_id, of_type=dg.DagsterEventType.RUN_START)
    assert start.dagster_event is not None
    return lives(start.dagster_event.pid or 0, 1.0, run_id)


@pytest.mark.parametrize(
    ("mine", "at", "status"),
    [
        (True, 4e9, "RUNNING"),
        (True, 1.0, "NOT_FOUND"),  # it began later than the event: another process has the id now
        (False, 4e9, "NOT_FOUND"),
    ],
    ids=["it lives", "another has its id", "it is gone"],
)
def test_a_process_is_known_by_its_id_and_by_when_it_began(at: float, status: str, tmp_path: Path, *, mine: bool) -> None:
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        run = instance.create_run_for_job(kilns, status=dg.DagsterRunStatus.STARTED)
        assert health(instance, run) == "RUNNING"  # it has told nothing yet
        starts(instance, run, os.getpid() if mine else 2**22 + 7, at)
        assert health(instance, run) == status


def test_a_process_that_took_the_id_of_a_killed_run_within_the_hour_is_not_that_run(tmp_path: Path) -> None:
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        run = instance.create_run_for_job(kilns, status=dg.DagsterRunStatus.STARTED)
        starts(instance, run, os.getpid(), psutil.Process().create_time() - 60)
        assert health(instance, run) == "NOT_FOUND"
        log = tmp_path / run.run_id / "compute_logs" / "abc.out"
        log.parent.mkdir(parents=True)
        with log.open("w"):  # as the process of a run has it: the clock was set forward by more than a minute
            assert health(instance, run) == "RUNNING"


def starts(instance: dg.DagsterInstance, run: dg.DagsterRun, pid: int, at: float) -> None:
    """A run says which process it is of, at a time."""
    event = dg.DagsterEvent(dg.DagsterEventType.RUN_START.value, "kilns", pid=pid)
    instance.store_event(dg.EventLogEntry(None, 20, "", run.run_id, at, job_name="kilns", dagster_event=event))  # type: ignore[no-untyped-call]


def health(instance: dg.DagsterInstance, run: dg.DagsterRun) -> str:
    """What the launcher says of a run."""
    launcher = LocalRunLauncher()
    launcher.register_instance(instance)
    return launcher.check_run_worker_health(run).status.value


@dg.job
def kilns() -> None:
    """No kiln."""


def canceled(instance: dg.DagsterInstance) -> list[dg.DagsterRun]:
    return list(instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.CANCELED])))
