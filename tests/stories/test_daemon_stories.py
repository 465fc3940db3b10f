"""A scenario through Dagster's own daemon, run queue and code server: files arrive, and nobody asks for anything by hand."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
import polars as pl
import pytest

import lightkeeper as lk
from assets import LANDINGS, MODELS, TABLES
from assets.scenarios import scenarios
from benchmarks import latency
from lightkeeper.cli.project import Project
from lightkeeper.cli.scenario import code_of
from lightkeeper.errors import LightkeeperError
from lightkeeper.home import HomeRecord
from lightkeeper.lake.table import Lake
from lightkeeper.lake.verdicts import Judged, record
from lightkeeper.models.attempts import machine
from lightkeeper.models.decisions import decisions
from lightkeeper.orchestrate.daemon import Daemon, daemon, played
from lightkeeper.orchestrate.landing import files_ledger
from lightkeeper.orchestrate.replay import Moment, arrive, begin, clock, order, settle
from lightkeeper.orchestrate.running import DAGSTER_YAML
from lightkeeper.orchestrate.scenario import Script, Settings
from lightkeeper.values import TableVersion, Verdict

ROOT = Path(__file__).resolve().parents[2]
PRODUCTS = 12  # enough for every check, few enough for a run of six seconds
STATELESS = ("retraining", "outcomes", "freshness", "runtimes", "failures", "alerts")  # they decide from what is there
ARRIVAL = "lightkeeper/arrival"


NAMED = {one.name: one for one in scenarios(PRODUCTS)}
SEED = 7  # never one that tuned anything


def script() -> Script:
    """The last quiet day of a history of 26 weeks, the day after it, whose file never comes, and one that is garbage."""
    poison = NAMED["poison"].script(Settings(seed=SEED, after_days=2))
    *history, quiet, broken, last = poison.days
    said, on = str(broken.day).encode(), str(last.day).encode()
    files = {name: broken.files[name.replace(str(last.day), str(broken.day))].replace(said, on) for name in last.files}
    days = (*history, quiet, replace(broken, files={}, arrives=None), replace(last, files=files))
    return replace(poison, days=days, turns=quiet.day)


@pytest.fixture(scope="module")
def settled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in which the history has landed and both models were trained. Only to be copied."""
    return home_of(tmp_path_factory.mktemp("daemon"), script()).root


def home_of(folder: Path, played_: Script, tables: Sequence[dg.AssetsDefinition] = ()) -> lk.Home:
    """A home in which a script's history has landed and everything was made of it."""
    home = lk.Home(folder / "home")
    begin(home, "story", played_)
    (home.dagster / "dagster.yaml").write_text(DAGSTER_YAML)
    with dg.DagsterInstance.from_config(str(home.dagster)) as instance:
        settle(lk.project(home.root, landings=LANDINGS, assets=[*TABLES, *tables], models=MODELS, home=home), instance, played_)
    return home


@pytest.fixture
def home(settled: Path, tmp_path: Path) -> lk.Home:
    return lk.Home(shutil.copytree(settled, tmp_path / "home"))


def asked(one: Daemon) -> list[dg.DagsterRun]:
    """The runs that `arrivals` asked for, the first of them first."""
    return [run for run in one.instance.get_runs(ascending=True) if ARRIVAL in run.tags]


def until_one_is_asked_for(one: Daemon, seconds: float = 60) -> dg.DagsterRun:
    deadline = time.monotonic() + seconds
    while not (found := asked(one)):
        assert time.monotonic() < deadline, f"no run within {seconds} s; logs: {one.logs}"
        time.sleep(0.1)
    return found[0]


def days_of(home: lk.Home, table: str) -> list[date]:
    return sorted(Lake(home.lake).read(table).select("day").unique().collect()["day"])


def assert_told(one: Daemon, moments: Iterator[Moment]) -> None:
    """A quiet day lands without a word, a missing and a poisoned one are told; one run a day, and all that depends on it."""
    quiet, missing, poisoned = moments
    before, turns = script().turns, script().turns + timedelta(2)
    assert (quiet.day, missing.day, poisoned.day) == (before, None, turns)
    assert quiet.noticed.is_empty()
    late = missing.noticed.filter(pl.col("asset") == "sales")
    assert late.select("check", "state", "kind").rows() == [("freshness", "failed", "arrival")]
    assert "freshness" in set(missing.told["cause"].drop_nulls())
    found = poisoned.noticed.filter(pl.col("asset") == "sales")
    assert {"quantity", "price_gbp"} <= set(found.filter(pl.col("check") == "range")["column"])
    hole = pl.col("day") == turns - timedelta(1)  # it has not come, and a later day has
    assert found.filter(hole).select("check", "state", "kind").rows() == [("volume", "failed", "arrival")]
    assert set(found.filter(~hole)["day"]) == {turns}
    runs = asked(one)
    assert [run.tags["dagster/asset_partition_range_start"] for run in runs] == [str(before), str(turns)]
    assert {run.tags["dagster/sensor_name"] for run in runs} == {"arrivals"}
    assert all(run.is_success for run in runs)
    assert days_of(one.home, "sales")[-2:] == [before, turns]
    assert Lake(one.home.lake).read("demand_forecast").collect()["origin"].max() == turns
    assert "suspect" in set(poisoned.told["cause"].drop_nulls())


def test_a_quiet_a_missing_and_a_poisoned_day_are_judged_by_the_daemons_own_code(home: lk.Home) -> None:
    environ = dict(os.environ)
    with daemon(ROOT, ROOT / "definitions.py", home, own_process=False) as one:
        assert_told(one, played(one, script()))
        assert dict(os.environ) == environ
    assert all(process.poll() is not None for process in one.processes.values())


@pytest.mark.nightly  # a process that keeps its own time needs a minute a day
def test_a_quiet_a_missing_and_a_poisoned_day_are_judged_by_a_daemon_that_keeps_its_own_time(home: lk.Home) -> None:
    with daemon(ROOT, ROOT / "definitions.py", home) as one:
        assert_told(one, played(one, script(), once=STATELESS))


THE_REST = {
    "season": (3, None),
    "campaign": (4, "demand_outcome.anomalies"),
    "lockdown": (4, "sales.volume"),
    "calibration": (12, "sales.drift"),
    "population": (4, "sales.drift"),
    "late": (2, "sales.freshness"),
    "duplicates": (2, "sales.contract"),
    "new-normal": (9, "sales.drift"),
    "hopeless": (4, "demand_outcome.anomalies"),
    "slow": (20, "basket_pairs.run_time"),
}  # calendar days, and what must be noticed in them


@pytest.mark.nightly  # a quarter of a minute a day
@pytest.mark.parametrize("name", THE_REST)
def test_every_other_scenario_is_noticed_by_the_daemons_own_code(name: str, tmp_path: Path) -> None:
    (days, expected), scenario = THE_REST[name], NAMED[name]
    story = scenario.script(Settings(seed=SEED, after_days=days))
    home = home_of(tmp_path, story, scenario.tables(story) if scenario.tables else ())
    with daemon(ROOT, code_of(Project(ROOT), scenario, story, home), home, own_process=False) as one:
        moments = list(played(one, story, once=STATELESS))
        assert all(run.is_success for run in one.instance.get_runs())
    noticed = {f"{row['asset']}.{row['check']}" for moment in moments for row in moment.noticed.iter_rows(named=True)}
    assert expected is None or expected in noticed


@pytest.mark.nightly  # as above, and two starts
def test_a_daemon_killed_between_an_arrival_and_its_run_lands_the_day_once_when_it_is_started_again(home: lk.Home) -> None:
    settings = home.dagster / "dagster.yaml"
    settings.write_text(DAGSTER_YAML.replace("dequeue_interval_seconds: 1", "dequeue_interval_seconds: 3600"))
    at, day = next(order(script()))
    assert day is not None
    versions = len(list(Lake(home.lake).history("sales")))
    with daemon(ROOT, ROOT / "definitions.py", home) as one:
        clock(home, at)
        arrive(home, day)
        waiting = until_one_is_asked_for(one)
        os.killpg(one.processes["daemon"].pid, signal.SIGKILL)
        one.processes["daemon"].wait()
        with pytest.raises(LightkeeperError, match="The daemon ended by itself"):
            one.settled()
        assert [run.is_finished for run in asked(one)] == [False]
    assert day.day not in days_of(home, "sales")
    settings.write_text(DAGSTER_YAML)
    with daemon(ROOT, ROOT / "definitions.py", home) as one:
        one.settled(once=STATELESS)
        (run,) = asked(one)
        assert (run.run_id, run.is_success) == (waiting.run_id, True)
    assert days_of(home, "sales")[-1] == day.day
    assert len(list(Lake(home.lake).history("sales"))) == versions + 1
    landed = files_ledger(Lake(home.lake)).rows().filter(pl.col("part") == day.day)
    assert landed["state"].to_list() == ["landed"]


def test_what_is_waited_for_is_named_when_the_time_has_passed_and_a_second_daemon_is_refused(home: lk.Home) -> None:
    with daemon(ROOT, ROOT / "definitions.py", home, own_process=False) as one:
        with pytest.raises(LightkeeperError, match=r"still waits for the sensor \w+: 0 of 2 ticks .* Logs: .*servers"):
            one.settled(timeout_seconds=0)
        with pytest.raises(LightkeeperError, match="run already"), daemon(ROOT, ROOT / "definitions.py", home):
            pass
    assert not (home.dagster / "servers.json").exists()


def test_a_code_server_that_cannot_load_the_project_is_told_with_its_log(home: lk.Home, tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("raise RuntimeError('no lamp')\n")
    with (
        pytest.raises(LightkeeperError, match=r"ended by itself. Read .*code\.log"),
        daemon(tmp_path, tmp_path / "broken.py", home),
    ):
        pass
    assert "no lamp" in (home.dagster / "servers" / "code.log").read_text()


def shop_of_pots(folder: Path, slowly: float = 0) -> lk.Home:
    """A project of its own, built; from then on a training may take some seconds more."""
    (folder / "pyproject.toml").write_text("[tool.lightkeeper]\n")
    (folder / "definitions.py").write_text(latency.DEFINITIONS)
    home = lk.Home(folder / ".lightkeeper")
    home.create(HomeRecord("sample", "pots", 0, latency.START, datetime(2026, 4, 15, 6, tzinfo=UTC)))
    (home.dagster / "dagster.yaml").write_text(DAGSTER_YAML)
    environ = {**os.environ, "LIGHTKEEPER_HOME": str(home.root), "DAGSTER_HOME": str(home.dagster)}
    build = [sys.executable, "-m", "dagster", "asset", "materialize", "--select", "*", "-f", str(folder / "definitions.py")]
    subprocess.run(build, env=environ, cwd=folder, check=True, capture_output=True)
    if slowly:  # while a version is trained: the declaration, and so every decision, is the same
        (folder / "definitions.py").write_text(latency.DEFINITIONS + SLOWLY.format(slowly))
    return home


SLOWLY = """
import time
from lightkeeper.orchestrate import model_assets
fit = model_assets.fit
model_assets.fit = lambda *args: (time.sleep({}), fit(*args))[1]
"""


def fails(home: lk.Home) -> None:
    """A check fails: its verdict is recorded, as the step of a check does."""
    old = Verdict("age", "failed", "It is old.", 92.0, 91.0, 14)
    matured = Verdict("unlearnt", "passed", "It was measured.", 14.0, 91.0, 14)
    lake = Lake(home.lake, clock=home.now)
    record(lake, [Judged(TableVersion("pots_outcome", 1_000_000), date(2026, 4, 29), verdicts=(old, matured))])


def test_a_check_that_fails_ends_in_one_run_of_the_queue_with_its_cause_on_it(tmp_path: Path) -> None:
    home = shop_of_pots(tmp_path)
    lake = Lake(home.lake, clock=home.now)
    with daemon(tmp_path, tmp_path / "definitions.py", home, own_process=False) as one:
        fails(home)
        one.settled(once=STATELESS)
        (run,) = one.instance.get_runs(dg.RunsFilter(tags={"lightkeeper/cause": "age"}))
    assert run.tags["lightkeeper/episode"] == "pots_outcome.age.2026-04-29.v2"
    assert run.tags["dagster/run_key"] == "pots:pots_outcome.age.2026-04-29.v2:1"
    assert run.is_success
    row = decisions(lake, "pots").filter(pl.col("action") == "attempted").row(0, named=True)
    assert (row["run_id"], row["attempt"], row["cause"]) == (run.run_id, 1, "age")


KILLED = ("before a sensor looks", "before its run starts", "while it trains")


@pytest.mark.nightly  # two starts of everything, each with a daemon that keeps its own time
@pytest.mark.parametrize("place", KILLED)
def test_a_retraining_whose_machine_stops_is_neither_lost_nor_done_twice(place: str, tmp_path: Path) -> None:
    home = shop_of_pots(tmp_path, slowly=30 if place == KILLED[2] else 0)
    lake, settings = Lake(home.lake, clock=home.now), home.dagster / "dagster.yaml"
    if place == KILLED[1]:
        settings.write_text(DAGSTER_YAML.replace("dequeue_interval_seconds: 1", "dequeue_interval_seconds: 3600"))
    with daemon(tmp_path, tmp_path / "definitions.py", home) as one:
        fails(home)
        waited = {KILLED[0]: lambda: True, KILLED[1]: lambda: bool(retrainings(one)), KILLED[2]: lambda: "attempted" in acted(lake)}
        until(waited[place], one)
        for process in one.processes.values():  # all at once, as when a machine stops
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    (tmp_path / "definitions.py").write_text(latency.DEFINITIONS)
    settings.write_text(DAGSTER_YAML)
    with daemon(tmp_path, tmp_path / "definitions.py", home) as one:
        one.settled(300, once=STATELESS)
        runs = retrainings(one)
    tried = machine(lake, "pots", 1000).attempts
    if place != KILLED[2]:
        assert [run.status.value for run in runs] == ["SUCCESS"]
        assert [one.number for one in tried] == [1]
        assert tried[0].run_id == runs[0].run_id
        assert ended(lake) == "nothing_new"  # it went to its end: the same rows give the same model
    else:
        assert runs[0].status.value == "FAILURE"
        assert tried[0].run_id == runs[0].run_id
        assert ended(lake) == "run_failed"
        assert [one.number for one in tried] == list(range(1, len(runs) + 1))
    assert acted(lake).count("attempted") == len(tried)


def retrainings(one: Daemon) -> list[dg.DagsterRun]:
    return list(one.instance.get_runs(dg.RunsFilter(tags={"lightkeeper/cause": "age"}), ascending=True))


def acted(lake: Lake) -> list[str]:
    return decisions(lake, "pots")["action"].to_list()


def ended(lake: Lake) -> str:
    """How the first attempt ended."""
    rows = decisions(lake, "pots")
    return str(rows.filter(pl.col("action") == "failed")["code"][0])


def until(done: Callable[[], bool], one: Daemon, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, f"not within {seconds} s; logs: {one.logs}"
        time.sleep(0.2)


@pytest.mark.nightly  # a daemon that keeps its own time
def test_two_daemons_of_one_home_ask_for_one_retraining(tmp_path: Path) -> None:
    home = shop_of_pots(tmp_path)
    lake = Lake(home.lake, clock=home.now)
    with daemon(tmp_path, tmp_path / "definitions.py", home) as one:
        words = [sys.executable, "-m", "dagster._daemon", "run", "-w", str(home.dagster / "workspace.yaml")]
        environ = {**os.environ, "LIGHTKEEPER_HOME": str(home.root), "DAGSTER_HOME": str(home.dagster)}
        with (
            (tmp_path / "second.log").open("wb") as log,
            subprocess.Popen(words, cwd=tmp_path, env=environ, stdout=log, stderr=log, start_new_session=True) as second,
        ):
            try:
                time.sleep(10)
                fails(home)
                until(lambda: bool(retrainings(one)), one)
                one.settled(240, once=STATELESS)
                runs = retrainings(one)
            finally:
                os.killpg(second.pid, signal.SIGKILL)
    assert [run.is_success for run in runs] == [True]
    assert acted(lake).count("attempted") == 1
