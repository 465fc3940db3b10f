"""From a failing check to the start of the retraining run: the real daemon, queue and code server, as shipped.

A small project of its own is built; then a check fails (its verdict is recorded, as the step of a check does) and the clock
runs until Dagster notes the start of the run that the sensor asked for, and until its first step has noted the attempt. Seconds
by the wall. The run itself trains a small model: its seconds stand beside those of the same assets in this process.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

__all__ = ["run"]

TIMES, TIMEOUT = 10, 60.0
START = date(2026, 1, 5)
DEFINITIONS = '''
"""A shop of pots, for a benchmark."""
from datetime import date, timedelta
import dagster as dg
import numpy as np
import polars as pl
import lightkeeper as lk

@dg.asset(metadata={"partition_expr": "day"})
def pot_features() -> pl.DataFrame:
    days = [date(2026, 1, 5) + timedelta(n) for n in range(114)]
    rng = np.random.default_rng(1)
    rows = pl.DataFrame({"day": [d for d in days for _ in range(20)], "pot": list(range(20)) * 114})
    rows = rows.with_columns(price=pl.Series(rng.uniform(1, 5, rows.height)), weekday=pl.col("day").dt.weekday().cast(pl.Int64))
    units = (30 - 5 * pl.col("price") + 2 * pl.col("weekday")).round()
    return rows.with_columns(units=pl.when(pl.col("day") < date(2026, 4, 15)).then(units))

pots = lk.Model(
    name="pots", table="pot_features", keys=("pot",), time="day", target="units", features=("price", "weekday"), horizon=14,
    retrain_if=lk.Retrain(attempts=1000, cool_down_days=0, fresh_days=1, budget=1000),
)
defs = lk.project(__file__, assets=[pot_features], models=[pots])
'''


def run(quick: bool) -> dict[str, Any]:  # noqa: FBT001 - the runner's own word
    """Rows of seconds; quick: two failing checks."""
    with tempfile.TemporaryDirectory() as folder:
        waits, noted, took, training = _measured(Path(folder), 2 if quick else TIMES)
    waits.sort()
    p95 = waits[min(len(waits) - 1, round(0.95 * len(waits)) - 1)]
    rest = [one - training for one in took]
    return {"rows": [
        _row("from a failing check to the start of its run, median", statistics.median(waits), waits, 10.0),
        _row("the same, 95% of them", p95, waits, 15.0),
        _row("from a failing check to the noted attempt, median", statistics.median(noted), noted, None),
        _row("the run, beyond training, judging and forecasting in process", statistics.median(rest), rest, 3.0),
    ]}  # fmt: skip


def _row(what: str, seconds: float, every: list[float], limit: float | None) -> dict[str, Any]:
    return {"what": what, "ours_s": seconds, "theirs_s": None, "ratio": None, "spread": [min(every), max(every)], "limit": limit,
            "limit_of": "ours_s", "n": len(every), "unit": "s"}  # fmt: skip


def _measured(folder: Path, times: int) -> tuple[list[float], list[float], list[float], float]:
    from lightkeeper.home import Home, HomeRecord
    from lightkeeper.lake.table import Lake
    from lightkeeper.orchestrate.daemon import daemon
    from lightkeeper.orchestrate.running import load, materialize, others, ready

    (folder / "pyproject.toml").write_text("[tool.lightkeeper]\n")
    (folder / "definitions.py").write_text(DEFINITIONS)
    home = Home(folder / ".lightkeeper")
    home.create(HomeRecord("sample", "pots", 0, START, datetime(2026, 4, 15, 6, tzinfo=UTC)))
    instance = ready(home)
    defs = load(folder)
    materialize(defs, instance, others(defs))
    lake = Lake(home.lake, clock=home.now)
    training = _trained(defs, instance)
    waits, noted, took = [], [], []
    with daemon(folder, folder / "definitions.py", home) as one:
        one.settled(120.0, ticks=1)
        for n in range(times):
            wait, note, run_seconds = _once(one, lake, date(2026, 4, 29) + timedelta(2 * n))
            waits.append(wait)
            noted.append(note)
            took.append(run_seconds)
    return waits, noted, took, training


def _trained(defs: Any, instance: Any) -> float:
    """The same assets once more, in this process."""
    import dagster as dg

    from lightkeeper.orchestrate.running import materialize

    names = ("model", "judgement", "champion", "feature_history", "forecast", "outcome", "explanation")
    began = time.perf_counter()
    materialize(defs, instance, [dg.AssetKey(f"pots_{name}") for name in names])
    return time.perf_counter() - began


def _once(one: Any, lake: Any, matured: date) -> tuple[float, float, float]:
    """One failing check: seconds to the start of the run, to its noted attempt, and of the run."""
    import polars as pl

    from lightkeeper.lake.verdicts import Judged, record
    from lightkeeper.models.decisions import decisions
    from lightkeeper.values import TableVersion, Verdict

    version = TableVersion("pots_outcome", 1_000_000)
    passed = Verdict("unlearnt", "passed", "It was measured.", 1.0, 91.0, 14)
    before, known = decisions(lake, "pots").filter(pl.col("action") == "attempted").height, one.runs()
    record(lake, [Judged(version, matured, verdicts=(Verdict("age", "failed", "It is old.", 92.0, 91.0, 14), passed))])
    failed = time.time()
    while decisions(lake, "pots").filter(pl.col("action") == "attempted").height == before:
        if time.time() - failed > TIMEOUT:
            raise TimeoutError(f"No run began within {TIMEOUT:.0f} s. Logs: {one.logs}")
        time.sleep(0.1)
    noted = time.time() - failed
    (run_id,) = one.runs() - known
    while not one.instance.get_run_by_id(run_id).is_finished:
        time.sleep(0.1)
    stats = one.instance.get_run_stats(run_id)
    return stats.start_time - failed, noted, stats.end_time - stats.start_time
