"""The sensor `freshness`: a table that is due and not there is looked at; a late one asks its upstream, or its owner is told.

A late table never retrains a model: training on stale data helps nobody.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

import dagster as dg
import polars as pl

from lightkeeper.alerts.alert import Alert
from lightkeeper.alerts.kept import raised, solved, standing, version
from lightkeeper.home import Home
from lightkeeper.lake.table import Lake
from lightkeeper.lake.verdicts import states
from lightkeeper.orchestrate.io_manager import table_name
from lightkeeper.orchestrate.learners import LEARNERS, OWNERS
from lightkeeper.orchestrate.running import WRITES
from lightkeeper.orchestrate.telling import link, short

__all__ = ["freshness_sensor"]

_CHECK = "freshness"
_HOUR = timedelta(hours=1)  # at least, from one look at a table to the next
_ASKED, _TRIES = "lightkeeper/asked", 3  # for what a run was asked for, and how often it is
_Row = Mapping[str, Any]


def freshness_sensor(home: Home, open_lake: Callable[[], Lake]) -> dg.SensorDefinition:
    """The sensor over every table whose freshness is judged.

    Args:
        home: whose clock counts.
        open_lake: gives the lake, when a tick needs it.
    """

    @dg.sensor(
        name="freshness",
        target=dg.AssetSelection.all() | dg.AssetSelection.all_asset_checks(),
        minimum_interval_seconds=15,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Looks at a table when its next day is overdue; a late one asks its upstream, or its owner is told.",
    )
    def freshness(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        if not home.exists or context.repository_def is None:
            return dg.SkipReason(home.none_yet)
        lake, graph = open_lake(), context.repository_def.asset_graph
        rows = states(lake).rows(pl.col("check") == _CHECK).to_dicts()
        known = {table_name(key): key for key in graph.materializable_asset_keys}
        late = [row for row in rows if row["state"] == "failed" and row["asset"] in known]
        due = [row for row in rows if row["asset"] in known and overdue(row, lake.clock())]
        requests = [_look(graph, row, known[row["asset"]]) for row in due]
        before = _remembered(context.cursor, version(lake))
        now = {row["asset"]: str(row["since"]) for row in late}
        for row in late:
            upstream = sorted(_upstream(graph, known[row["asset"]]))
            requests += [_ask(row, upstream)] if upstream else []
            if before is None or before.get(row["asset"]) != now[row["asset"]]:
                raised(lake, _alert(row, [table_name(key) for key in upstream]))
        still = {row["asset"] for row in rows if row["state"] != "passed"}  # of what could not be judged nothing is solved
        if before is None or set(before) - still:
            _recovered(lake, still)
        told = {one: since for one, since in (before or {}).items() if one in still} | now
        cursor = json.dumps({"late": told, "alerts": version(lake)})
        asked = [one for request in requests if (one := _again(context.instance, request)) is not None]
        if asked:
            return dg.SensorResult(run_requests=asked, cursor=cursor)
        return dg.SensorResult(skip_reason=f"Late: {', '.join(now)}." if now else "No table is late.", cursor=cursor)

    return freshness


def _remembered(cursor: str | None, alerts: int | None) -> dict[str, str] | None:
    """The latenesses that were told; None where that is not known: somebody told something since, or another release wrote it."""
    before = json.loads(cursor or "{}")
    return before["late"] if "alerts" in before and before["alerts"] == alerts else None


def overdue(row: _Row, now: datetime) -> bool:
    """Whether a table that was in time may be late by now, or nothing could be measured; never within an hour of the last look."""
    since = now - row["known_at"]
    if since < _HOUR:
        return False
    if row["measured"] is None:  # a look that failed says nothing: the next one may
        return bool(row["state"] == "unknown")
    return row["state"] == "passed" and row["limit"] is not None and bool(row["measured"] + since / _HOUR > row["limit"])


def _look(graph: Any, row: _Row, key: dg.AssetKey) -> dg.RunRequest:
    """A run that judges the table's freshness anew, with all that its step judges; one for each look that it follows on."""
    step = graph.get_execution_set_asset_and_check_keys(dg.AssetCheckKey(key, _CHECK))
    return dg.RunRequest(
        run_key=f"freshness:{row['asset']}:{row['known_at'].isoformat()}",
        asset_selection=[],
        asset_check_keys=sorted(step, key=str),
    )


def _again(instance: dg.DagsterInstance, request: dg.RunRequest) -> dg.RunRequest | None:
    """A request, asked for once more where its run failed, up to three times; None while one is under way or has succeeded."""
    before = instance.get_runs(dg.RunsFilter(tags={_ASKED: str(request.run_key)}))
    if len(before) >= _TRIES or any(run.is_success or not run.is_finished for run in before):
        return None
    return dg.RunRequest(
        run_key=f"{request.run_key}:{len(before) + 1}" if before else request.run_key,
        asset_selection=request.asset_selection,
        asset_check_keys=request.asset_check_keys,
        tags={**request.tags, _ASKED: str(request.run_key)},
    )


def _upstream(graph: Any, key: dg.AssetKey) -> Iterator[dg.AssetKey]:
    """What a late table is made from and can be made here; a landed one waits for its files, and no model is trained for it."""
    node, trained = graph.get(key), {name for one in LEARNERS.values() for name in one.learner.model.training_tables}
    if node.partitions_def is None:
        yield key
        for parent in node.parent_keys & graph.materializable_asset_keys:
            if graph.get(parent).partitions_def is None and table_name(parent) not in trained:
                yield parent


def _ask(row: _Row, upstream: list[dg.AssetKey]) -> dg.RunRequest:
    """A run that makes the table and what it is made from, once for each lateness, though it may make new versions of it."""
    return dg.RunRequest(run_key=f"late:{row['asset']}:{row['since']}", asset_selection=upstream, tags=WRITES)


def _alert(row: _Row, asked: list[str]) -> Alert:
    outside = "Nothing can be done here: its files come from outside."
    done = f"A run was asked for that makes {', '.join(asked)}." if asked else outside
    return Alert(
        cause=_CHECK, asset=row["asset"], episode=str(row["since"]), role="it",
        symptom=short(f"{row['asset']} is late: the newest day is {row['day']}"), since=row["since"], why=row["why"],
        done=f"{done} No model is retrained on stale data.", to_do=f"lightkeeper check history {row['asset']}",
        links=(link(row["asset"]),), owners=OWNERS.get(row["asset"], ()),
    )  # fmt: skip


def _recovered(lake: Lake, late: set[str]) -> None:
    """The tables that were told to be late and are not any more."""
    open_ = standing(lake).filter(pl.col("cause") == _CHECK, pl.col("state") != "solved")
    for asset in set(open_["asset"]) - late:
        solved(lake, _CHECK, asset, f"{asset} is as new as it should be.")
