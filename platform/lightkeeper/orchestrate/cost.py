"""What a step of a run took: seconds by Dagster's own events, peak memory by the kernel. It judges nothing."""

from __future__ import annotations

from pathlib import Path

import dagster as dg

from lightkeeper.watch.runs import Cost

__all__ = ["cost_of", "peak_mb"]

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_RESET = "5"  # the kernel's word for: forget the peak


def peak_mb() -> float | None:
    """The process's peak memory, in MB, since this was last asked; None where the kernel does not tell it (outside Linux)."""
    try:
        line = next(one for one in _STATUS.read_text().splitlines() if one.startswith("VmHWM:"))
        _CLEAR.write_text(_RESET)
    except (OSError, StopIteration):
        return None
    return int(line.split()[1]) * 1024 / 1e6


def cost_of(instance: dg.DagsterInstance, run_id: str, step: str, peak: float | None, rows: int | None) -> Cost | None:
    """What a step of a run took; None where Dagster has no start and end of it."""
    found = [one for one in instance.get_run_step_stats(run_id, [step]) if one.start_time and one.end_time]
    if not found:
        return None
    start, end = found[0].start_time, found[0].end_time
    return None if start is None or end is None else Cost(end - start, peak, rows)
