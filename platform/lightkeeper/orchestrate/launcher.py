"""The run launcher of a home: Dagster's own, which can also say whether the process of a run still lives.

A process that is killed, with its code server or alone in a command, can say nothing any more: without this its run counts as
under way for ever, holds its place in the queue, and its model waits for it. A home is of one machine, and knows them by their id.
"""

from dagster import DagsterEventType, DagsterRun, DefaultRunLauncher
from dagster._core.launcher import CheckRunHealthResult, WorkerStatus

__all__ = ["LocalRunLauncher"]


class LocalRunLauncher(DefaultRunLauncher):
    """Runs are launched as by Dagster's default, and those whose process is gone are told to the monitor of runs."""

    @property
    def supports_check_run_worker_health(self) -> bool:
        """True: see `check_run_worker_health`."""
        return True

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        """Whether the process that began a run lives: running, or not found."""
        entries = self._instance.all_logs(run.run_id, of_type=DagsterEventType.RUN_START)
        event = entries[-1].dagster_event if entries else None
        if event is None or event.pid is None:
            return CheckRunHealthResult(WorkerStatus.RUNNING, "it has not told its process yet")
        if _lives(event.pid, entries[-1].timestamp, run.run_id):
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        return CheckRunHealthResult(
            WorkerStatus.NOT_FOUND, f"Its process {event.pid} is gone: it was killed, or the machine stopped."
        )


def _lives(pid: int, at: float, run_id: str) -> bool:
    """Whether the process that ran a run at a time (seconds since the epoch) runs still.

    One that seems to have begun later is another with the same id, or the clock was set forward. A run writes what it prints to a
    file of its own: whoever has that open is it.
    """
    import psutil

    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        return bool(process.create_time() <= at) or any(run_id in file.path for file in process.open_files())
    except psutil.Error:  # it ended, or is somebody else's
        return False
