"""A scenario day by day through Dagster's own daemon: sensors, run queue and code server as in production, on the home's clock.

Owns the processes for as long as a block runs, and the question whether all that follows from what is there has been done. What
is asked for, run and judged is the project's own; what arrives when is the script's. A replay without all this is `replay`.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
from dagster._core.scheduler.instigation import InstigatorType, SensorInstigatorData

from lightkeeper.errors import LightkeeperError
from lightkeeper.home import Home
from lightkeeper.lake.table import Lake
from lightkeeper.orchestrate import servers
from lightkeeper.orchestrate.replay import Ledgers, Moment, arrive, clock, order
from lightkeeper.orchestrate.running import DAGSTER_YAML
from lightkeeper.orchestrate.scenario import Script

if TYPE_CHECKING:
    from dagster._core.remote_representation.external import RemoteSensor
    from dagster._core.workspace.context import WorkspaceProcessContext
    from dagster._daemon.run_coordinator.queued_run_coordinator_daemon import QueuedRunCoordinatorDaemon

__all__ = ["Daemon", "daemon", "played"]

_POLL = 0.2  # seconds between two looks at the instance
_ROUND = 5.0  # seconds between two rounds of the sensors while a run is under way: the daemon's own floor
_OPEN = [one for one in dg.DagsterRunStatus if one.value not in ("SUCCESS", "FAILURE", "CANCELED")]


@dataclass
class Daemon:
    """The daemon of one home, with its code server.

    Attributes:
        home: whose clock and folders count.
        instance: of Dagster, for the home.
        processes: by name; `code` first, `daemon` where it is a process of its own.
        logs: the folder of what the processes say.
    """

    home: Home
    instance: dg.DagsterInstance
    processes: dict[str, subprocess.Popen[bytes]]
    logs: Path
    _workspace: WorkspaceProcessContext = field(repr=False)
    _queue: QueuedRunCoordinatorDaemon | None = field(default=None, repr=False)
    _ticked: float = field(default=0.0, repr=False)

    def settled(self, timeout_seconds: float = 180.0, ticks: int = 2, once: Collection[str] = ()) -> None:
        """Return when all that follows from what is there has been done.

        That is: no run is open, and every running sensor has since then looked and asked for nothing.

        Args:
            timeout_seconds: real ones, of everything that happens meanwhile.
            ticks: that each sensor must have begun since the call and since the last run ended, and completed. `arrivals` lands
                a file that two looks saw unchanged.
            once: sensors of which one tick is enough: they decide from what is there, whatever they saw before.

        Raises LightkeeperError: the time passed, or a process ended by itself.
        """
        since, deadline = time.time(), time.monotonic() + timeout_seconds
        while waits := self._waits_for(since, ticks, once):
            _alive(self.processes, self.logs)
            if time.monotonic() > deadline:
                raise LightkeeperError(f"After {timeout_seconds:g} s the daemon still waits for {waits}. Logs: {self.logs}")
            self._go_on()

    def tick(self) -> None:
        """One round of every running sensor, due or not, of the run queue, and of the monitor of runs. Only without its process.

        The code is the daemon's own; only its waiting is left out. Runs go on in processes of the code server.
        """
        from dagster._daemon.monitoring.run_monitoring import execute_run_monitoring_iteration
        from dagster._daemon.sensor import execute_sensor_iteration

        if self._queue is None:
            raise LightkeeperError("This daemon is a process and ticks by itself: wait with settled().")
        self._ticked = time.monotonic()
        for state in self.instance.all_instigator_state(instigator_type=InstigatorType.SENSOR):
            data = state.instigator_data
            if isinstance(data, SensorInstigatorData):
                due = data._replace(last_tick_timestamp=None, last_tick_start_timestamp=None)
                self.instance.update_instigator_state(state.with_data(due))
        list(execute_sensor_iteration(self._workspace, logging.getLogger("dagster.daemon.SensorDaemon"), None, None))
        list(self._queue.run_iteration(self._workspace))
        if self.instance.run_monitoring_enabled:
            list(execute_run_monitoring_iteration(self._workspace, logging.getLogger("dagster.daemon.MonitoringDaemon")))

    def runs(self) -> set[str]:
        """The ids of all runs that Dagster knows of."""
        return set(self.instance.get_run_ids())

    def _go_on(self) -> None:
        if self._queue is None:
            time.sleep(_POLL)
        elif self._open_run() is None or time.monotonic() - self._ticked > _ROUND:
            self.tick()
        else:
            list(self._queue.run_iteration(self._workspace))
            time.sleep(_POLL)

    def _open_run(self) -> dg.DagsterRun | None:
        return next(iter(self.instance.get_runs(dg.RunsFilter(statuses=_OPEN), limit=1)), None)

    def _waits_for(self, since: float, ticks: int, once: Collection[str]) -> str | None:
        """What is not done yet, in words."""
        run = self._open_run()
        if run is not None:
            asked = run.tags.get("dagster/sensor_name", "somebody")
            return f"run {run.run_id}, which {asked} asked for and which is {run.status.value.lower()}"
        last = self.instance.get_run_records(limit=1, order_by="update_timestamp")
        after = max(since, *(one.end_time or 0.0 for one in last))
        looks = (self._look(one, after, 1 if one.name in once else ticks) for one in self._sensors())
        return next((said for said in looks if said), None)

    def _look(self, sensor: RemoteSensor, after: float, ticks: int) -> str | None:
        """What a sensor has still to do; None when it has looked often enough, and at last asked for nothing."""
        found = self.instance.get_ticks(sensor.get_remote_origin_id(), sensor.selector_id, after=after, limit=ticks + 1)
        done = [one for one in found if one.is_completed]
        if len(done) < ticks:
            return f"the sensor {sensor.name}: {len(done)} of {ticks} ticks since the last event are done"
        if done[0].is_failure:
            said = (done[0].error.message.strip().splitlines() if done[0].error else []) or ["it said nothing"]
            return f"the sensor {sensor.name}, whose tick failed: {said[0]}"
        return f"the run that the sensor {sensor.name} asked for" if done[0].run_ids else None

    def _sensors(self) -> Iterator[RemoteSensor]:
        """Those that run, as the code server tells."""
        known = {one.selector_id: one for one in self.instance.all_instigator_state(instigator_type=InstigatorType.SENSOR)}
        location = self._workspace.create_request_context().get_code_location(servers.LOCATION)
        for repository in location.get_repositories().values():
            for sensor in repository.get_sensors():
                if sensor.get_current_instigator_state(known.get(sensor.selector_id)).is_running:
                    yield sensor


def _alive(processes: Mapping[str, subprocess.Popen[bytes]], logs: Path) -> None:
    for name, process in processes.items():
        if process.poll() is not None:
            raise LightkeeperError(f"The {name} ended by itself. Read {logs}/{name}.log")


@contextmanager
def daemon(project: Path, file: Path, home: Home, *, own_process: bool = True) -> Iterator[Daemon]:
    """The daemon and the code server of a home, for as long as the block runs.

    Args:
        project: the folder of the project.
        file: of the definitions, such as its definitions.py.
        home: that is there already; Dagster's home in it is made ready.
        own_process: the daemon is a process and keeps its own time. Otherwise it ticks in this process when it is waited for: see
            `Daemon.tick`.

    Raises LightkeeperError: servers of this home run already, or the code server ends while it starts.
    """
    from dagster._core.workspace.context import WorkspaceProcessContext
    from dagster._core.workspace.load_target import GrpcServerTarget
    from dagster._daemon.run_coordinator.queued_run_coordinator_daemon import QueuedRunCoordinatorDaemon

    servers.refuse_second(home)
    logs, port, processes = servers.folder(home), servers.any_port(), dict[str, subprocess.Popen[bytes]]()
    environ = {**os.environ, "LIGHTKEEPER_HOME": str(home.root), "DAGSTER_HOME": str(home.dagster)}
    where = GrpcServerTarget(servers.LOOPBACK, port, None, servers.LOCATION)
    with _instance(home) as instance:
        try:
            words = servers.code(project, file, port, "api", "grpc")
            processes["code"] = servers.start("code", words, project, logs, environ)
            servers.note(home, processes)
            servers.wait_for(port, processes["code"], threading.Event())
            _alive(processes, logs)
            with WorkspaceProcessContext(instance, where) as workspace, QueuedRunCoordinatorDaemon(interval_seconds=1) as queue:
                one = Daemon(home, instance, processes, logs, workspace, None if own_process else queue)
                if own_process:
                    words = [sys.executable, "-m", "dagster._daemon", "run", "-w", str(servers.workspace(home, port)),
                             "--log-level", "warning"]  # fmt: skip
                    processes["daemon"] = servers.start("daemon", words, project, logs, environ)
                    servers.note(home, processes)
                yield one
        finally:
            servers.end(processes)
            servers.forget(home)


@contextmanager
def _instance(home: Home) -> Iterator[dg.DagsterInstance]:
    """Dagster's instance for a home, its storages made before any server starts; nothing of this process's environment moves."""
    home.dagster.mkdir(parents=True, exist_ok=True)
    settings = home.dagster / "dagster.yaml"
    if not settings.exists():
        settings.write_text(DAGSTER_YAML)
    with dg.DagsterInstance.from_config(str(home.dagster)) as instance:
        instance.get_runs_count()
        instance.all_instigator_state()
        yield instance


def played(
    one: Daemon, script: Script, timeout_seconds: float = 180.0, ticks: int = 2, once: Collection[str] = ()
) -> Iterator[Moment]:
    """Let each day after the history arrive by its clock, wait until the daemon has settled, and tell what was noticed.

    Args:
        one: of the scenario's home, begun and settled as in `replay`.
        script: whose days are played.
        timeout_seconds: of one day.
        ticks: see `Daemon.settled`.
        once: see `Daemon.settled`.
    """
    ledgers = Ledgers(Lake(one.home.lake, clock=one.home.now))
    for at, day in order(script):
        before = one.runs()
        clock(one.home, at)
        if day is not None:
            arrive(one.home, day)
        one.settled(timeout_seconds, ticks, once)
        yield Moment(at, None if day is None else day.day, ledgers.noticed(one.runs() - before), *ledgers.since())
