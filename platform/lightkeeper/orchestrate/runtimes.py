"""The sensor `runtimes`: a run that takes longer than its norm warns once; at twice the norm's limit it is cancelled.

The norm is the run time check's, of each asset; where none is learnt yet, what is declared beside the asset. The champion
stays: a training that is cancelled promotes nobody. Each run that was cancelled doubles what the next may take, until one keeps
to its limit: what a change has made slower for good comes to its end, and the norm learns it; what hangs is cancelled each time.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime

import dagster as dg
import polars as pl
from dagster._core.storage.tags import GRPC_INFO_TAG

from lightkeeper.alerts.alert import Alert
from lightkeeper.alerts.kept import alerts, raised
from lightkeeper.home import Home
from lightkeeper.lake.table import Lake
from lightkeeper.lake.verdicts import states, verdicts
from lightkeeper.measure.norms import FEWEST
from lightkeeper.orchestrate.landing import LANDS
from lightkeeper.orchestrate.learners import MAXIMA, OWNERS, STEPS
from lightkeeper.orchestrate.telling import link, short

__all__ = ["Slow", "cancelled", "runtimes_sensor", "slow"]

_RUNS = 50  # under way at once that are looked at
_TWICE = 2


@dataclass(frozen=True, slots=True)
class Slow:
    """A step that runs longer than its limit.

    Attributes:
        run_id, asset: whose step it is.
        since: seconds since the epoch.
        seconds: that it has run for.
        limit: in seconds.
        before: runs of the asset that were cancelled since one kept to its limit.
        by_hand: whether it runs in a command, which nobody can end from here.
    """

    run_id: str
    asset: str
    since: float
    seconds: float
    limit: float
    before: int = 0
    by_hand: bool = False

    @property
    def most(self) -> float:
        """The seconds beyond which it is cancelled."""
        return float(_TWICE ** (1 + self.before) * self.limit)

    @property
    def cancelled(self) -> bool:
        """Whether it has run for longer than that, and can be."""
        return self.seconds > self.most and not self.by_hand

    @property
    def key(self) -> str:
        """What makes a warning one."""
        return f"{self.run_id}:{self.asset}:{self.cancelled}"


def slow(run_id: str, started: Mapping[str, float], limits: Mapping[str, float], now: float, days: int = 1) -> list[Slow]:
    """The assets of a run whose step has run for longer than its limit.

    Args:
        run_id: of the run.
        started: of each step under way, when it began, in seconds since the epoch.
        limits: of each asset, in seconds.
        now: in seconds since the epoch.
        days: that the run lands: the limits of a landing are those of one.
    """
    found = []
    for step, at in started.items():
        times = days if step.startswith(LANDS) else 1
        known = [(asset, times * limits[asset]) for asset in STEPS.get(step, (step,)) if asset in limits]
        asset, limit = min(known, key=lambda one: one[1], default=("", 0.0))
        if known and now - at > limit:
            found.append(Slow(run_id, asset, at, now - at, limit))
    return found


def runtimes_sensor(home: Home, open_lake: Callable[[], Lake], wall: Callable[[], float] = time.time) -> dg.SensorDefinition:
    """The sensor over the runs under way.

    Args:
        home: it waits for.
        open_lake: gives the lake, when a tick needs it.
        wall: the real time, in seconds since the epoch: runs take real time, whatever a home's clock says.
    """

    @dg.sensor(
        name="runtimes",
        minimum_interval_seconds=10,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="A run beyond its norm warns its owner once; beyond twice the limit it is cancelled, and the champion stays.",
    )
    def runtimes(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        if not home.exists:
            return dg.SkipReason(home.none_yet)
        runs = context.instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED]), limit=_RUNS)
        if not runs:
            return dg.SkipReason("No run is under way.")
        lake = open_lake()
        limits, told = _limits(lake), set(json.loads(context.cursor or "[]"))
        found = [one for run in runs for one in _slow(context.instance, lake, run, limits, wall())]
        for one in found:
            if one.key not in told:
                _act(context.instance, lake, one)
        ids = {run.run_id for run in runs}
        kept = sorted({one for one in told if one.split(":")[0] in ids} | {one.key for one in found})
        said = "; ".join(f"{one.asset} runs for {one.seconds:,.0f} s, the limit is {one.limit:,.0f} s" for one in found)
        return dg.SensorResult(skip_reason=said or f"{len(runs)} under way, none beyond its norm.", cursor=json.dumps(kept))

    return runtimes


def _slow(instance: dg.DagsterInstance, lake: Lake, run: dg.DagsterRun, limits: Mapping[str, float], now: float) -> list[Slow]:
    """What of a run is slow, with what it may take, and whether it was launched by a server, which alone can cancel it."""
    late = slow(run.run_id, _started(instance, run.run_id), limits, now, _days(run))
    return [replace(one, before=cancelled(lake, one), by_hand=GRPC_INFO_TAG not in run.tags) for one in late]


def _limits(lake: Lake) -> dict[str, float]:
    """Of each asset the seconds beyond which a run is too slow: by its norm where one is learnt, else as it is declared now."""
    rows = states(lake).rows((pl.col("check") == "run_time") & pl.col("limit").is_not_null() & (pl.col("n") >= FEWEST))
    return MAXIMA | dict(rows.select("asset", "limit").iter_rows())


def cancelled(lake: Lake, one: Slow) -> int:
    """How many other runs of an asset were cancelled since one kept to its limit."""
    mine = pl.col("asset") == one.asset
    kept = verdicts(lake).rows(mine & (pl.col("check") == "run_time") & (pl.col("state") == "passed"))["known_at"].max()
    of_runs = (pl.col("cause") == "run_cancelled") & (pl.col("event") == "raised") & (pl.col("episode") != one.run_id)
    told = alerts(lake).rows(mine & of_runs)
    return told.height if kept is None else told.filter(pl.col("at") >= kept).height


def _started(instance: dg.DagsterInstance, run_id: str) -> dict[str, float]:
    """The steps under way, and when each began."""
    found = instance.get_run_step_stats(run_id)
    return {one.step_key: one.start_time for one in found if one.start_time and not one.end_time}


def _days(run: dg.DagsterRun) -> int:
    """How many days a run lands at once; 1 where it lands none."""
    first, last = (run.tags.get(f"dagster/asset_partition_range_{end}") for end in ("start", "end"))
    try:
        return (date.fromisoformat(str(last)) - date.fromisoformat(str(first))).days + 1
    except ValueError:  # no range, or partitions that are no days
        return 1


def _act(instance: dg.DagsterInstance, lake: Lake, one: Slow) -> None:
    """Tell first, then cancel: what was told stands, even where cancelling fails."""
    raised(lake, _alert(one))
    if one.cancelled:
        instance.run_coordinator.cancel_run(one.run_id)


def _alert(one: Slow) -> Alert:
    times = one.seconds / one.limit
    ended = "The run was cancelled; what served before goes on serving. The next may take twice as long, should a change need it."
    waits = "it runs in a command, which whoever began it can end" if one.by_hand else f"beyond {one.most:,.0f} s it is cancelled"
    done = ended if one.cancelled else f"It goes on; {waits}."
    cause = "run_cancelled" if one.cancelled else "run_time"
    return Alert(
        cause=cause, asset=one.asset, episode=one.run_id, role="it",
        symptom=short(f"{one.asset} runs {times:.1f} x as long as its limit"),
        since=datetime.fromtimestamp(one.since, UTC),
        why=f"It has run for {one.seconds:,.0f} s; its limit, learnt from runs before it or declared, is {one.limit:,.0f} s.",
        done=done, to_do=f"lightkeeper check history {one.asset}", links=(link(one.asset),),
        owners=OWNERS.get(one.asset, ()),
    )  # fmt: skip
