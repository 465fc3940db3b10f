"""Runs in this process: Dagster's home made ready, a project's definitions loaded, assets materialized. It shows nothing."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg

from lightkeeper.errors import BadDeclaration, LightkeeperError
from lightkeeper.home import Home

__all__ = ["DAGSTER_YAML", "Ran", "RunFailed", "load", "materialize", "ready"]

DAGSTER_YAML = """\
telemetry: {enabled: false}
nux: {enabled: false}
concurrency:
  runs:
    max_concurrent_runs: 2
    tag_concurrency_limits:
      - {key: lightkeeper/landing, limit: 1}
run_coordinator:
  module: dagster.core.run_coordinator
  class: QueuedRunCoordinator
  config: {dequeue_interval_seconds: 1}
retention:
  schedule: {purge_after_days: 90}
  sensor: {purge_after_days: {skipped: 7, failure: 30, success: -1}}
"""

_START, _END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"


class RunFailed(LightkeeperError):
    """A run ended without success; its message says in which step and why."""


@dataclass(frozen=True)
class Ran:
    """A run that succeeded: its id, and the tables it wrote with their versions ("sales@41")."""

    run_id: str
    versions: Mapping[str, str]


def ready(home: Home) -> dg.DagsterInstance:
    """Dagster's home inside `home`, made and migrated before any server starts. Sets DAGSTER_HOME and LIGHTKEEPER_HOME."""
    home.dagster.mkdir(parents=True, exist_ok=True)
    settings = home.dagster / "dagster.yaml"
    if not settings.exists():
        settings.write_text(DAGSTER_YAML)
    os.environ["LIGHTKEEPER_HOME"] = str(home.root)
    os.environ["DAGSTER_HOME"] = str(home.dagster)
    instance = dg.DagsterInstance.get()
    instance.get_runs_count()  # touches the storages, so that their schema exists
    instance.all_instigator_state()
    return instance


def load(project: Path, module: str = "definitions") -> dg.Definitions:
    """The definitions of a project, imported from its folder. Raises BadDeclaration when the module has no `defs`."""
    if str(project) not in sys.path:
        sys.path.insert(0, str(project))
    os.chdir(project)
    found = getattr(importlib.import_module(module), "defs", None)
    if not isinstance(found, dg.Definitions):
        raise BadDeclaration(f"{project}/{module}.py has no `defs`: make one, defs = dg.Definitions(...).")
    return found


def materialize(
    defs: dg.Definitions,
    instance: dg.DagsterInstance,
    days: tuple[date, date] | None = None,
    leave_out: Iterable[str] = (),
) -> Ran:
    """Materialize every asset, in one run of this process; landed days from `days[0]` to `days[1]` inclusive.

    Args:
        defs: the project's definitions.
        instance: Dagster's.
        days: the partitions of the landed tables; None where no asset is partitioned.
        leave_out: assets that are not materialized.

    Raises RunFailed.
    """
    job = defs.resolve_implicit_global_asset_job_def()
    keys = {key for key in defs.resolve_asset_graph().materializable_asset_keys}
    wanted = sorted(keys - {dg.AssetKey.from_user_string(name) for name in leave_out})
    tags = {} if days is None else {_START: days[0].isoformat(), _END: days[1].isoformat()}
    result = job.execute_in_process(
        instance=instance,
        asset_selection=wanted,
        tags=tags,
        raise_on_error=False,
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
    )
    if not result.success:
        raise RunFailed(_why(result))
    return Ran(result.run_id, _versions(result))


def _why(result: Any) -> str:
    failures = [event for event in result.all_events if event.is_step_failure]
    if not failures:
        return f"Run {result.run_id} failed before its first step."
    error = failures[0].step_failure_data.error
    cause = error.cause or error if error else None
    said = cause.message.strip().splitlines()[0] if cause else "no reason was recorded"
    return f"Step {failures[0].step_key} of run {result.run_id} failed: {said}"


def _versions(result: Any) -> dict[str, str]:
    found: dict[str, str] = {}
    for event in result.get_asset_materialization_events():
        metadata = event.materialization.metadata
        if event.asset_key and "table version" in metadata:
            found[event.asset_key.to_user_string()] = str(metadata["table version"].value)
    return found
