"""The sensor `failures`: tells of runs that failed and of days that are suspect, each once, and when they are solved.

It asks for no run: what failed is tried again by whoever asked for it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import polars as pl

from lightkeeper.alerts.alert import Alert
from lightkeeper.alerts.kept import raised, solved, standing, version
from lightkeeper.home import Home
from lightkeeper.lake.suspects import suspects
from lightkeeper.lake.table import Lake
from lightkeeper.orchestrate.io_manager import table_name
from lightkeeper.orchestrate.learners import OWNERS, STEPS
from lightkeeper.orchestrate.telling import address, link, mended, short

__all__ = ["failures_sensor"]

_AT_ONCE = 20  # runs of one tick
_LOOKS_BACK = timedelta(hours=1)  # at its first tick, and where it has looked by a clock that stood ahead
_OF_RUNS = ("failure", "run_time", "run_cancelled")
_FINISHED = [dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.SUCCESS]


def failures_sensor(home: Home, open_lake: Callable[[], Lake], wall: Callable[[], float] = time.time) -> dg.SensorDefinition:
    """The sensor over runs that ended, and over suspect days.

    Args:
        home: it waits for.
        open_lake: gives the lake, when a tick needs it.
        wall: the real time, in seconds since the epoch: by it Dagster says when runs ended, whatever a home's clock says.
    """

    @dg.sensor(
        name="failures",
        minimum_interval_seconds=15,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Tells of runs that failed and of days that look broken, each once, and when they are solved.",
    )
    def failures(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        if not home.exists:
            return dg.SkipReason(home.none_yet)
        lake = open_lake()
        before = json.loads(context.cursor or "{}")
        now = datetime.fromtimestamp(wall(), UTC)
        since = datetime.fromisoformat(before["since"]) if before else now
        since = since if since < now else now - _LOOKS_BACK
        found = context.instance.get_run_records(
            dg.RunsFilter(statuses=_FINISHED, updated_after=since), limit=_AT_ONCE, order_by="update_timestamp", ascending=True
        )
        records = [record for record in found if _ended(record) <= now]  # the rest by a clock that stood ahead: in their time
        told = _of_runs(context.instance, lake, [record.dagster_run for record in records])
        same = before.get("alerts") == version(lake)  # else somebody told something since, such as a tick that was killed
        days, doubted = _of_days(lake, before.get("suspect") if same else None)
        last = max((_ended(record) for record in records), default=since)
        cursor = json.dumps({"since": last.isoformat(), "suspect": doubted, "alerts": version(lake)})
        said = " ".join((*told, *days)) or "Nothing failed."
        return dg.SensorResult(skip_reason=said, cursor=cursor)

    return failures


def _ended(record: dg.RunRecord) -> datetime:
    at = record.update_timestamp
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _of_runs(instance: dg.DagsterInstance, lake: Lake, runs: Sequence[dg.DagsterRun]) -> list[str]:
    """Tell of runs that failed, oldest first; what the last run of an asset says of it holds. What was told."""
    told, well = [], set[str]()
    for run in runs:
        steps = instance.get_run_step_stats(run.run_id)
        if run.is_success:
            well |= _well(instance, run, steps)
            continue
        step = _failed(run, steps)
        asset = STEPS.get(step, (step,))[0]
        well.discard(asset)
        if raised(lake, _run_failed(instance, lake, run, asset, step)):
            told.append(f"Run {run.run_id[:8]} failed in {step}.")
    if well:
        _solve(lake, well)
    return told


def _well(instance: dg.DagsterInstance, run: dg.DagsterRun, steps: Sequence[Any]) -> set[str]:
    """What a run that succeeded has made, and the looks that it had: what it skipped is as it was before."""
    entries = instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION)
    keys = [entry.dagster_event.asset_key for entry in entries if entry.dagster_event is not None]
    others = {one.step_key for one in steps if one.step_key not in STEPS and one.status and one.status.value == "SUCCESS"}
    whole = set() if run.asset_selection or run.asset_check_selection else {run.job_name}
    return {table_name(key) for key in keys if key is not None} | others | whole


def _failed(run: dg.DagsterRun, steps: Sequence[Any]) -> str:
    """The step that failed; of a run that was killed the one that was under way, else what it was to make first by name."""
    for state in ("FAILURE", "IN_PROGRESS"):
        found = [one.step_key for one in steps if one.status and one.status.value == state]
        if found:
            return str(found[0])
    return min(_made(run) or {table_name(one.asset_key) for one in run.asset_check_selection or ()}, default=run.job_name)


def _made(run: dg.DagsterRun) -> set[str]:
    """The tables that a run was asked to make."""
    return {table_name(key) for key in run.asset_selection or ()}


def _run_failed(instance: dg.DagsterInstance, lake: Lake, run: dg.DagsterRun, asset: str, step: str) -> Alert:
    return Alert(
        cause="failure", asset=asset, episode=run.run_id, role="it", symptom=short(f"A run failed in {step}"),
        since=lake.clock().date(), why=_why(instance, run), done="What was there before is there unchanged.",
        to_do=f"Look at run {run.run_id[:8]} in Dagster's UI.", links=(f"{address()}/runs/{run.run_id}",),
        owners=OWNERS.get(asset, ()),
    )  # fmt: skip


def _why(instance: dg.DagsterInstance, run: dg.DagsterRun) -> str:
    """What the failing step said, in a line."""
    events = instance.all_logs(run.run_id, of_type=dg.DagsterEventType.STEP_FAILURE)
    for entry in events:
        event = entry.dagster_event
        error = event.step_failure_data.error if event is not None else None
        if error is not None:
            said = (error.cause or error).message.strip().splitlines()
            return said[0] if said else "it said nothing."
    return "it ended before a step could say why."


def _of_days(lake: Lake, before: list[str] | None) -> tuple[list[str], list[str]]:
    """Tell of suspect days, and of those that are not any more; what was told, and which are suspect now."""
    rows = suspects(lake).unique(["asset", "day"], keep="first", maintain_order=True)
    now = [f"{asset}:{day}" for asset, day in rows.select("asset", "day").iter_rows()]
    if now == before:
        return [], now
    known = standing(lake).filter(pl.col("cause") == "suspect")
    ended = set(known.filter(pl.col("state") == "solved").select("asset", "episode").iter_rows())
    told = [
        f"{row['asset']} of {row['day']} is suspect." for row in rows.iter_rows(named=True) if raised(lake, _suspect(row, ended))
    ]
    for row in known.filter(pl.col("state") != "solved").iter_rows(named=True):
        if f"{row['asset']}:{row['episode'].partition('@')[0]}" not in now:
            solved(lake, "suspect", row["asset"], "The day was mended or accepted, or what looked broken lasts.", row["episode"])
    return told, now


def _suspect(row: dict[str, object], ended: Collection[tuple[str, str]]) -> Alert:
    day = str(row["day"])  # of a day that was mended and is suspect again, with the version that is
    episode = f"{day}@{row['version']}" if (row["asset"], day) in ended else day
    return Alert(
        cause="suspect", asset=str(row["asset"]), episode=episode, role="domain_expert",
        symptom=short(f"{row['asset']} of {row['day']} looks broken"), since=row["day"],  # type: ignore[arg-type]
        why=str(row["why"]), done="No model learns from it until it is mended or accepted.",
        to_do=mended(row["asset"], row["day"]),
        links=(link(str(row["asset"])),), owners=OWNERS.get(str(row["asset"]), ()),
    )  # fmt: skip


def _solve(lake: Lake, assets: set[str]) -> None:
    """A run succeeded: what was told of runs of its assets is solved."""
    open_ = standing(lake).filter(pl.col("cause").is_in(_OF_RUNS), pl.col("state") != "solved", pl.col("asset").is_in(list(assets)))
    for cause, asset in open_.select("cause", "asset").unique().iter_rows():
        solved(lake, cause, asset, "A run of it succeeded.")
