"""A run that takes too long, through the real daemon: its owner is warned once, and at twice the limit it is cancelled."""

from __future__ import annotations

import time
from datetime import UTC, date, datetime
from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from lightkeeper.alerts.kept import standing
from lightkeeper.home import Home, HomeRecord
from lightkeeper.lake.table import Lake
from lightkeeper.lake.verdicts import Judged, record
from lightkeeper.orchestrate import learners
from lightkeeper.orchestrate.daemon import daemon
from lightkeeper.orchestrate.runtimes import slow
from lightkeeper.values import TableVersion, Verdict

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

@dg.asset(metadata=lk.about(Kiln, runs_within="1m"))
def kiln() -> pl.DataFrame:
    time.sleep(120)
    return pl.DataFrame({"pots": [1]})

@dg.sensor(target=[kiln], minimum_interval_seconds=1, default_status=dg.DefaultSensorStatus.RUNNING)
def fire(context):
    yield dg.RunRequest(run_key="once")

defs = dg.Definitions.merge(lk.project(__file__, assets=[kiln]), dg.Definitions(sensors=[fire]))
'''


def test_only_steps_beyond_the_limit_of_their_asset_are_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(learners.STEPS, "land_sales", ("sales", "sales_rejected"))
    limits = {"sales": 10.0, "sales_rejected": 12.0, "demand": 100.0}
    found = slow("run-1", {"land_sales": 1000.0, "demand": 1000.0, "unknown": 0.0}, limits, 1015.0)
    assert [(one.asset, one.seconds, one.limit, one.cancelled) for one in found] == [("sales", 15.0, 10.0, False)]
    (late,) = slow("run-1", {"land_sales": 1000.0}, limits, 1020.1)
    assert late.cancelled


def test_a_run_beyond_its_norm_warns_once_and_beyond_twice_is_cancelled(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.lightkeeper]\n")
    (tmp_path / "definitions.py").write_text(PROJECT)
    home = Home(tmp_path / ".lightkeeper")
    home.create(HomeRecord("sample", "kiln", 0, date(2026, 1, 5), datetime(2026, 3, 2, 6, tzinfo=UTC)))
    lake = Lake(home.lake, clock=home.now)
    norm = Verdict("run_time", "passed", "It took 1 s; the limit is 6 s.", 1.0, 6.0, 20)
    record(lake, [Judged(TableVersion("kiln", 0), verdicts=(norm,))])
    with daemon(tmp_path, "definitions", home, own_process=False) as one:
        end = time.monotonic() + 90
        while time.monotonic() < end and not canceled(one.instance):
            one.tick()
    (run,) = canceled(one.instance)
    told = standing(lake).filter(pl.col("asset") == "kiln")
    assert sorted(told["cause"]) == ["run_cancelled", "run_time"]
    assert set(told["episode"]) == {run.run_id}
    assert "its limit, learnt from runs before it or declared, is 6 s" in told["why"][0]


def canceled(instance: dg.DagsterInstance) -> list[dg.DagsterRun]:
    return list(instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.CANCELED])))
