"""Runs in this process: Dagster's home made ready, a project's definitions loaded, assets materialized. It shows nothing."""

from __future__ import annotations

import fcntl
import importlib
import os
import sys
import traceback
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg

from lightkeeper.errors import BadDeclaration, LightkeeperError
from lightkeeper.home import Home
from lightkeeper.orchestrate.cheap_records import cheap_records
from lightkeeper.orchestrate.landing import FOLDER

__all__ = [
    "DAGSTER_YAML",
    "WRITES",
    "Ran",
    "RunFailed",
    "beside",
    "checked",
    "folders",
    "landed",
    "load",
    "materialize",
    "others",
    "ready",
    "refreshed",
]

DAGSTER_YAML = """\
telemetry: {enabled: false}
nux: {enabled: false}
concurrency:
  runs:
    max_concurrent_runs: 2
    tag_concurrency_limits:
      - {key: lightkeeper/writes, limit: 1}
run_coordinator:
  module: dagster.core.run_coordinator
  class: QueuedRunCoordinator
  config: {dequeue_interval_seconds: 1}
run_launcher: {module: lightkeeper.orchestrate.launcher, class: LocalRunLauncher}
run_monitoring: {enabled: true, poll_interval_seconds: 20}
retention:
  schedule: {purge_after_days: 90}
  sensor: {purge_after_days: {skipped: 7, failure: 30, success: -1}}
"""

_EARLIER = DAGSTER_YAML.replace("lightkeeper/writes", "lightkeeper/landing")  # in homes of an earlier build
WRITES = {"lightkeeper/writes": "lake"}  # a run that makes tables: one at a time, else the second loses the race for one

_QUIETLY = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
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
    if not settings.exists() or settings.read_text() == _EARLIER:
        settings.write_text(DAGSTER_YAML)
    os.environ["LIGHTKEEPER_HOME"] = str(home.root)
    os.environ["DAGSTER_HOME"] = str(home.dagster)
    with _alone_in(home.dagster), cheap_records():
        instance = dg.DagsterInstance.get()
        instance.get_runs_count()  # touches the storages, so that their schema exists
        instance.all_instigator_state()
    return instance


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """One process at a time: two that make the same SQLite schema leave one that Dagster refuses for ever."""
    handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def load(project: Path, module: str = "definitions") -> dg.Definitions:
    """The definitions of a project, imported from its folder.

    Raises BadDeclaration when the module has no `defs`, or fails: then it names the project's file and line.
    """
    if str(project) not in sys.path:
        sys.path.insert(0, str(project))
    os.chdir(project)
    try:
        found = getattr(importlib.import_module(module), "defs", None)
    except LightkeeperError:
        raise
    except Exception as error:
        raise BadDeclaration(_failed_at(project, error)) from error
    if not isinstance(found, dg.Definitions):
        raise BadDeclaration(f"{project}/{module}.py has no `defs`: make one, defs = dg.Definitions(...).")
    return found


def _failed_at(project: Path, error: Exception) -> str:
    """Where the project's own code failed, and how: its last line on the way to the error."""
    library, root, where = Path(__file__).resolve().parents[1], project.resolve(), str(project)
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        path = Path(frame.filename).resolve()
        if path.is_relative_to(root) and not path.is_relative_to(library) and "site-packages" not in path.parts:
            where = f"{path} line {frame.lineno}"
            break
    if isinstance(error, SyntaxError) and error.filename:
        where = f"{error.filename} line {error.lineno}"
    said = error.msg if isinstance(error, SyntaxError) else str(error)
    mend = ". What is missing, and how to mend it: lightkeeper doctor" if isinstance(error, ImportError) else ""
    return f"{where}: {type(error).__name__}: {said}{mend}"


def landed(defs: dg.Definitions) -> frozenset[dg.AssetKey]:
    """The assets that land: those with daily partitions, and what the same step makes beside them."""
    graph = defs.resolve_asset_graph()
    partitioned = {key for key in graph.materializable_asset_keys if graph.get(key).partitions_def is not None}
    return frozenset(beside for key in partitioned for beside in graph.get(key).execution_set_asset_keys)


def refreshed(defs: dg.Definitions, *, explained: bool = True) -> frozenset[dg.AssetKey]:
    """The assets that a landing refreshes: those that land and what depends on them, models left out.

    Explanations of a forecast that the next day replaces can be left out too: they cost more than all else.
    """
    graph = defs.resolve_asset_graph()
    below = dg.AssetSelection.assets(*landed(defs)).downstream().resolve(graph)
    left_out = {"models"} if explained else {"models", "explanations"}
    return frozenset(key for key in below if graph.get(key).group_name not in left_out)


def folders(defs: dg.Definitions) -> dict[dg.AssetKey, Path]:
    """The landed tables, and the folder in which the files of each arrive."""
    graph = defs.resolve_asset_graph()
    found = {key: graph.get(key).metadata.get(FOLDER) for key in sorted(graph.materializable_asset_keys)}
    return {key: Path(str(folder)) for key, folder in found.items() if folder is not None}


def beside(defs: dg.Definitions, key: dg.AssetKey) -> frozenset[dg.AssetKey]:
    """An asset and what the same step makes."""
    return frozenset({key, *defs.resolve_asset_graph().get(key).execution_set_asset_keys})


def others(defs: dg.Definitions) -> frozenset[dg.AssetKey]:
    """The assets that do not land, models among them."""
    return frozenset(defs.resolve_asset_graph().materializable_asset_keys) - landed(defs)


def materialize(
    defs: dg.Definitions,
    instance: dg.DagsterInstance,
    keys: Iterable[dg.AssetKey],
    days: tuple[date, date] | None = None,
    tags: Mapping[str, str] | None = None,
) -> Ran:
    """Materialize assets in one run of this process; landed days from `days[0]` to `days[1]` inclusive. Raises RunFailed.

    Dagster notes a planned event for every asset and partition of a run: a long history lands in a run of its own.
    """
    job = defs.resolve_implicit_global_asset_job_def()
    of_days = {} if days is None else {_START: days[0].isoformat(), _END: days[1].isoformat()}
    with cheap_records():
        result = job.execute_in_process(
            instance=instance,
            asset_selection=sorted(keys),
            tags={**(tags or {}), **of_days},
            raise_on_error=False,
            run_config=_QUIETLY,
        )
    if not result.success:
        if _was_interrupted(result):
            raise KeyboardInterrupt
        raise RunFailed(_why(result))
    return Ran(result.run_id, _versions(result))


def checked(
    defs: dg.Definitions, instance: dg.DagsterInstance, keys: Iterable[dg.AssetCheckKey], tags: Mapping[str, str] | None = None
) -> str:
    """Look at what is there, in one run of this process that makes no table; the run's id. Raises RunFailed."""
    job = defs.resolve_implicit_global_asset_job_def().get_subset(asset_selection=set(), asset_check_selection=set(keys))
    with cheap_records():
        result = job.execute_in_process(instance=instance, tags=dict(tags or {}), raise_on_error=False, run_config=_QUIETLY)
    if not result.success:
        if _was_interrupted(result):
            raise KeyboardInterrupt
        raise RunFailed(_why(result))
    return str(result.run_id)


def _was_interrupted(result: Any) -> bool:
    """Whether somebody ended the run, with Ctrl-C or a signal."""
    errors = [event.step_failure_data.error for event in result.all_events if event.is_step_failure]
    return any(error is not None and "DagsterExecutionInterruptedError" in str(error.to_string()) for error in errors)


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
