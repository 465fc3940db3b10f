"""Runs that fail, and what ends the alert of one: the next run that makes what it was to make."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import dataframely as dy
import polars as pl
import pytest
from dagster._core.events import StepMaterializationData

import lightkeeper as lk
from lightkeeper.alerts.kept import standing
from lightkeeper.home import HomeRecord
from lightkeeper.lake.suspects import follow
from lightkeeper.lake.table import Lake
from lightkeeper.lake.verdicts import Judged
from lightkeeper.orchestrate.failures import failures_sensor
from lightkeeper.orchestrate.running import DAGSTER_YAML, RunFailed, materialize
from lightkeeper.orchestrate.sensing import Senses
from lightkeeper.values import TableVersion, Verdict
from tests.clock import Clock


class Pots(dy.Schema):
    """What was fired."""

    day = dy.Date(primary_key=True)
    pots = dy.Int64()


class Pottery:
    """A home with a kiln that may be cold, and glaze for what it fired, which may fail."""

    def __init__(self, root: Path) -> None:
        self.home, self.cold, self.fails = lk.Home(root), False, False
        self.home.create(HomeRecord("sample", "pots", 0, date(2026, 1, 1), datetime(2026, 3, 2, 6, tzinfo=UTC)))
        (self.home.dagster / "dagster.yaml").write_text(DAGSTER_YAML)
        self.instance = dg.DagsterInstance.from_config(str(self.home.dagster))
        self.defs = self.declared()
        self.senses = Senses(self.defs, self.instance, ["failures"])

    @property
    def lake(self) -> Lake:
        return Lake(self.home.lake, clock=self.home.now)

    def declared(self) -> dg.Definitions:
        @dg.asset(name="kiln", metadata=lk.about(Pots, by="day"), output_required=False)
        def kiln():  # noqa: ANN202 - an output, or none
            if not self.cold:
                yield dg.Output(pl.DataFrame({"day": [date(2026, 3, 1)], "pots": [7]}))

        @dg.asset(name="glaze", metadata=lk.about(Pots, by="day"))
        def glaze(kiln: pl.LazyFrame) -> pl.DataFrame:
            if self.fails:
                raise RuntimeError("the glaze ran")
            return kiln.collect()

        return lk.project(self.home.root, assets=[kiln, glaze], models=[], home=self.home)

    def run(self) -> None:
        materialize(self.defs, self.instance, [dg.AssetKey("kiln"), dg.AssetKey("glaze")])

    def told(self) -> list[tuple[str, str]]:
        """Of which asset a failure is told after a tick, and whether it is solved."""
        list(self.senses.settle())
        return list(standing(self.lake).select("asset", "state").iter_rows())

    def begun(self, *selected: str) -> dg.DagsterRun:
        """A run of some assets that has begun."""
        job = self.defs.resolve_implicit_global_asset_job_def()
        keys = frozenset(dg.AssetKey(name) for name in selected) or None
        return self.instance.create_run_for_job(job, asset_selection=keys, status=dg.DagsterRunStatus.STARTED)

    def tells(self, run: dg.DagsterRun, kind: dg.DagsterEventType, at: datetime | None = None, **more: Any) -> None:
        """A run tells an event, now or at a time."""
        event = dg.DagsterEvent(kind.value, run.job_name, **more)
        self.instance.report_dagster_event(event, run.run_id, timestamp=at.timestamp() if at else None)


@pytest.fixture
def pottery(tmp_path: Path) -> Pottery:
    return Pottery(tmp_path / "home")


@pytest.mark.parametrize(
    ("under_way", "selected", "asset"),
    [
        ("kiln", ("glaze", "kiln"), "kiln"),
        (None, ("glaze", "kiln"), "glaze"),
        (None, (), "__ASSET_JOB"),
    ],
    ids=["in a step", "before its first step", "of everything"],
)
def test_a_run_that_was_killed_is_told_of_what_it_made_and_solved_by_the_next_that_succeeds(
    pottery: Pottery, under_way: str | None, selected: tuple[str, ...], asset: str
) -> None:
    killed, next_one = pottery.begun(*selected), pottery.begun(*selected)
    if under_way is not None:
        pottery.tells(killed, dg.DagsterEventType.STEP_START, step_key=under_way)
    pottery.instance.report_run_failed(killed, message="its process was killed")
    assert pottery.told() == [(asset, "open")]
    assert standing(pottery.lake)["symptom"].to_list() == [f"A run failed in {asset}"]
    for name in selected:
        made = StepMaterializationData(dg.AssetMaterialization(name))
        pottery.tells(next_one, dg.DagsterEventType.ASSET_MATERIALIZATION, event_specific_data=made)
    pottery.tells(next_one, dg.DagsterEventType.RUN_SUCCESS)
    assert pottery.told() == [(asset, "solved")]


def test_a_run_that_skipped_what_had_failed_solves_nothing_and_one_that_made_it_does(pottery: Pottery) -> None:
    pottery.fails = True
    with pytest.raises(RunFailed, match="the glaze ran"):
        pottery.run()
    pottery.fails = False
    assert pottery.told() == [("glaze", "open")]
    pottery.cold = True
    pottery.run()
    assert pottery.told() == [("glaze", "open")]
    pottery.cold = False
    pottery.run()
    assert pottery.told() == [("glaze", "solved")]


def test_a_run_that_ended_by_a_clock_that_stood_ahead_keeps_no_later_failure_from_being_told(pottery: Pottery) -> None:
    clock, cursor = Clock(datetime(2026, 3, 2, 6, tzinfo=UTC)), [""]
    sensor = failures_sensor(pottery.home, lambda: pottery.lake, wall=lambda: clock().timestamp())

    def tick() -> list[str]:
        """The alerts after a tick of the sensor a minute later."""
        clock.now += timedelta(minutes=1)
        context = dg.build_sensor_context(instance=pottery.instance, cursor=cursor[0] or None)
        cursor[0] = sensor.evaluate_tick(context).cursor or ""
        return standing(pottery.lake)["episode"].to_list()

    ahead, later = pottery.begun("kiln"), pottery.begun("glaze")
    assert tick() == []
    right = clock.now
    pottery.tells(ahead, dg.DagsterEventType.RUN_SUCCESS, right + timedelta(days=365))
    clock.now += timedelta(days=365)  # a tick meanwhile
    assert tick() == []
    clock.now = right
    pottery.tells(later, dg.DagsterEventType.RUN_FAILURE, right + timedelta(seconds=30))
    assert tick() == [later.run_id]
    read = cursor[0]
    assert tick() == [later.run_id]
    assert cursor[0] == read
    assert datetime.fromisoformat(json.loads(read)["since"]) <= clock.now


def test_a_suspect_day_that_was_told_by_a_tick_that_was_killed_is_solved_when_it_is_mended(pottery: Pottery) -> None:
    list(pottery.senses.settle())
    before, broken = dict(pottery.senses.cursors), Verdict("nulls", "failed", "All of pots are null.", 1.0, 0.1, 9)
    follow(pottery.lake, [Judged(TableVersion("kiln", 0), date(2026, 3, 1), verdicts=(broken,))])
    list(pottery.senses.settle())
    pottery.senses.cursors = before  # the tick told, and ended before it was remembered
    follow(pottery.lake, [Judged(TableVersion("kiln", 1), date(2026, 3, 1), verdicts=(replace(broken, state="passed"),))])
    list(pottery.senses.settle())
    assert standing(pottery.lake).select("cause", "state").rows() == [("suspect", "solved")]
