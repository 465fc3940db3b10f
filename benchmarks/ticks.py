"""A tick of the sensor `retraining`: with 20, 100 and 200 models, after 50 and after 5,000 commits to the ledger of decisions.

Every model has 12 states; every second one has a failing check that waits for matured days, as in a bad week. The ledger's
commits are real ones, an attempt and its rejection in turn, spread over the models. A tick is what the daemon's code server
does: open three small Delta tables, fold, decide for each model. Seconds are the median of 9 ticks; spreads are their least
and most.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg

import lightkeeper as lk
from assets.demand import demand
from lightkeeper.home import HomeRecord
from lightkeeper.lake.table import Lake
from lightkeeper.lake.verdicts import Judged, record
from lightkeeper.models.attempts import began
from lightkeeper.models.decisions import decided
from lightkeeper.orchestrate.retraining import retraining_sensor
from lightkeeper.values import Decision, TableVersion, Verdict

__all__ = ["run"]

MODELS, COMMITS, LIMIT = (20, 100, 200), (50, 5_000), 1.0
NOW = datetime(2026, 3, 2, 6, tzinfo=UTC)
CHECKS = (
    "accuracy", "coverage_80", "coverage_95", "anomalies", "former", "age", "unlearnt", "run_time", "peak_memory", "freshness",
    "volume", "drift",
)  # fmt: skip


def run(quick: bool) -> dict[str, Any]:  # noqa: FBT001 - the runner's own word
    """Rows of the ticks; quick: 3 models, 4 commits."""
    models, commits = ((3,), (4,)) if quick else (MODELS, COMMITS)
    medians: dict[tuple[int, int], float] = {}
    rows = []
    for many in commits:
        with tempfile.TemporaryDirectory() as folder:
            home = _filled(folder, max(models), many)
            for count in models:
                times = _ticks(home, count)
                medians[count, many] = statistics.median(times)
                rows.append(_row(f"a tick with {count} models after {many:,} commits", times))
    few, lots, most = commits[0], commits[-1], models[-1]
    flat = {"ours_s": medians[most, lots], "theirs_s": medians[most, few], "ratio": medians[most, lots] / medians[most, few]}
    what = f"{most} models: {lots:,} commits beside {few:,}"
    rows.append({"what": what, **flat, "spread": [flat["ratio"], flat["ratio"]], "limit": None, "limit_of": "ratio"})
    return {"rows": rows}


def _row(what: str, times: list[float]) -> dict[str, Any]:
    return {"what": what, "ours_s": statistics.median(times), "theirs_s": None, "ratio": None, "spread": [min(times), max(times)],
            "limit": LIMIT, "limit_of": "ours_s", "n": len(times), "unit": "s"}  # fmt: skip


def _models(count: int) -> list[lk.Model]:
    return [replace(demand, name=f"model{n}", table=f"features{n}") for n in range(count)]


def _filled(folder: str, models: int, commits: int) -> lk.Home:
    home = lk.Home(Path(folder) / "home")
    home.create(HomeRecord("sample", "ticks", 0, date(2025, 1, 6), NOW))
    clock = [NOW - timedelta(days=commits)]
    lake = Lake(home.lake, clock=lambda: clock[0])
    judged = [_states(one, odd=number % 2 == 1) for number, one in enumerate(_models(models))]
    for n in range(commits // 2):
        clock[0] = NOW - timedelta(days=(commits // 2 - n) * 2)
        name = f"model{n % models}"
        episode = f"{name}_outcome.accuracy.{clock[0].date()}.v0"
        asked = Decision(name, "attempted", 0, "run", "it fails", 0, "accuracy", cause="accuracy", episode=episode, attempt=1,
                         matured=clock[0].date())  # fmt: skip
        began(lake, asked, f"run-{n}")
        decided(lake, Decision(name, "rejected", n, "run", "not better", 0, "tie", judgement=n, run_id=f"run-{n}"))
    clock[0] = NOW
    record(lake, judged)
    return home


def _states(model: lk.Model, *, odd: bool) -> Judged:
    bad = {"accuracy"} if odd else set()
    found = tuple(Verdict(name, "failed" if name in bad else "passed", "It was measured.", 1.0, 2.0, 28) for name in CHECKS)
    return Judged(TableVersion(model.outcome_table, 3), date(2026, 3, 1), verdicts=found)


def _ticks(home: lk.Home, count: int) -> list[float]:
    sensor = retraining_sensor(_models(count), home, lambda: Lake(home.lake, clock=home.now))
    times = []
    with dg.DagsterInstance.ephemeral() as instance:
        for _ in range(10):
            with dg.build_sensor_context(instance=instance) as context:
                began_at = time.perf_counter()
                sensor(context)
                times.append(time.perf_counter() - began_at)
    return times[1:]  # the first one notes the reasons
