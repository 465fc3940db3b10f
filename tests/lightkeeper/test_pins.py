"""What a run reads: the lake as it stood when the run started, and what the run itself made; nothing that comes between."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import polars as pl
import pytest
from deltalake import write_deltalake

import lightkeeper as lk
from lightkeeper.errors import NoSuchTable
from lightkeeper.orchestrate.pins import RunPins
from lightkeeper.values import Input, TableVersion

ONE = pl.DataFrame({"x": [1]})
PROJECT = """
import os
import dagster as dg
import polars as pl
import lightkeeper as lk

LAKE = os.environ["PINS_LAKE"]

@dg.asset
def made() -> pl.DataFrame:
    return pl.DataFrame({"x": [100, os.getpid()]})

@dg.asset(deps=[made])
def meddler() -> pl.DataFrame:
    for table in ("outside", "made"):
        lk.Lake(LAKE).write(table, pl.DataFrame({"x": [-1, os.getpid()]}))
    return pl.DataFrame({"x": [os.getpid()]})

@dg.asset(deps=[meddler])
def reader(outside: pl.LazyFrame, made: pl.LazyFrame) -> pl.LazyFrame:
    return pl.concat([outside.select("x"), made.select("x").head(1)])

outside = dg.AssetSpec("outside")
defs = dg.Definitions(
    [outside, made, meddler, reader],
    jobs=[dg.define_asset_job("all", [made, meddler, reader], executor_def=EXECUTOR)],
    resources={"io_manager": lk.LakeIOManager(root=LAKE)},
)

def job():
    return defs.resolve_job_def("all")
"""


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> lk.Lake:
    monkeypatch.setenv("PINS_LAKE", str(tmp_path / "lake"))
    made = lk.Lake(tmp_path / "lake")
    made.write("outside", ONE)
    return made


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test(temp_dir=str(tmp_path)) as found:
        yield found


def told(result: dg.JobExecutionResult, asset: str) -> str:
    events = [one for one in result.all_events if one.is_step_materialization and one.asset_key == dg.AssetKey(asset)]
    return str(events[0].step_materialization_data.materialization.metadata["inputs"].value)


def run(folder: Path, instance: dg.DagsterInstance, executor: str) -> dg.JobExecutionResult:
    """One run of the project above, which stands in a file so that other processes can load it."""
    (folder / f"pins_{executor}.py").write_text(PROJECT.replace("EXECUTOR", f"dg.{executor}"))
    job = dg.build_reconstructable_job(f"pins_{executor}", "job", reconstructor_working_directory=str(folder))
    found = dg.execute_job(job, instance)
    assert found.success
    return found


def assert_pinned(lake: lk.Lake, result: dg.JobExecutionResult) -> None:
    made = lake.commit("reader@0")
    assert sorted(str(one.version) for one in made.inputs) == ["made@0", "outside@0"]
    assert sorted(told(result, "reader").split(", ")) == ["made@0", "outside@0"]
    assert sorted(lake.read("reader").collect()["x"]) == [1, 100]
    assert (lake.version("outside").version, lake.version("made").version) == (1, 1)


@pytest.mark.parametrize("executor", ["in_process_executor", pytest.param("multiprocess_executor", marks=pytest.mark.nightly)])
def test_a_run_reads_what_stood_at_its_start_and_what_its_own_steps_made_whoever_writes_in_between(
    executor: str, lake: lk.Lake, tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    assert_pinned(lake, run(tmp_path, instance, executor))
    processes = {lake.read("made", 0).collect()["x"][1], lake.read("meddler").collect()["x"][0]}
    assert len(processes) == (1 if executor == "in_process_executor" else 2)


def test_the_pins_of_a_run_hold_for_each_process_that_opens_them_later(lake: lk.Lake, tmp_path: Path) -> None:
    first = RunPins(lake, tmp_path / "run")
    lake.write("outside", pl.concat([ONE, ONE]))
    lake.write("new", ONE)
    second = RunPins(lake, tmp_path / "run")
    assert first.input("outside") == second.input("outside") == Input(TableVersion("outside", 0))
    assert (second.base("new"), second.base("outside")) == (-1, 0)
    with pytest.raises(NoSuchTable, match="'new' had no version when this run started"):
        second.input("new")


def test_what_the_run_made_is_what_every_process_of_it_reads_next(lake: lk.Lake, tmp_path: Path) -> None:
    one, other = RunPins(lake, tmp_path / "run"), RunPins(lake, tmp_path / "run")
    one.record(lake.write("outside", pl.concat([ONE, ONE])))
    assert (other.input("outside"), other.base("outside")) == (Input(TableVersion("outside", 1)), 1)


def test_processes_that_start_at_once_agree_on_the_pins_of_the_first(lake: lk.Lake, tmp_path: Path) -> None:
    ready, found = threading.Barrier(8, timeout=60), []

    def start() -> None:
        ready.wait()
        found.append(RunPins(lake, tmp_path / "run").input("outside"))
        lake.append("outside", ONE)

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["pins.json"]


def test_a_source_outside_the_lake_is_pinned_with_its_place(lake: lk.Lake, tmp_path: Path) -> None:
    uri = str(tmp_path / "weather")
    write_deltalake(uri, ONE.to_arrow())
    pins = RunPins(lake, tmp_path / "run", [lk.DeltaSource("weather", uri)])
    write_deltalake(uri, ONE.to_arrow(), mode="append")
    assert pins.input("weather") == Input(TableVersion("weather", 0), uri)
    assert json.loads((tmp_path / "run" / "pins.json").read_text())["weather"] == {"version": 0, "uri": uri}


def test_a_source_that_cannot_be_read_stops_only_who_reads_it_and_says_why(lake: lk.Lake, tmp_path: Path) -> None:
    pins = RunPins(lake, tmp_path / "run", [lk.DeltaSource("weather", str(tmp_path / "gone"))])
    assert pins.input("outside").version.version == 0
    with pytest.raises(NoSuchTable, match=r"When this run started, source weather: .*gone holds no Delta table"):
        pins.input("weather")
