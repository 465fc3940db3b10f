"""What a figure was measured on: versions, processor, load, git commit, and how much a fixed operation varies by itself."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from lightkeeper.models.environment import processor

__all__ = ["commit", "environment", "load", "machine", "noise", "told", "versions"]

ROOT = Path(__file__).resolve().parent.parent
LIBRARIES = ("dagster", "polars", "deltalake", "lightgbm", "pyarrow")


# A home of somebody else, and Python's caches switched off: then each process compiles every source anew (Dagster's: 1 s).
_NOT_HANDED_ON = {"LIGHTKEEPER_HOME", "DAGSTER_HOME", "PYTHONDONTWRITEBYTECODE"}


def environment() -> dict[str, str]:
    """The environment that every side of a benchmark runs in: this one, without what would make it like no user's."""
    return {name: value for name, value in os.environ.items() if name not in _NOT_HANDED_ON}


def versions() -> dict[str, str]:
    """Python and the libraries that do the work, by name."""
    return {"python": platform.python_version(), **{name: version(name) for name in LIBRARIES}}


def machine() -> dict[str, object]:
    """Processor, cores that this process may use, memory in GB, system and kernel."""
    return {
        "processor": processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "system": platform.system(),
        "kernel": platform.release(),
    }


def load() -> list[float]:
    """Processes that wanted a core, averaged over 1, 5 and 15 minutes."""
    return [round(value, 2) for value in os.getloadavg()]


def commit() -> dict[str, object]:
    """The git commit of the tree and whether tracked files differ from it; None outside git."""
    found = _git("rev-parse", "HEAD")
    return {"commit": found, "dirty": None if found is None else bool(_git("status", "--porcelain", "-uno"))}


def _git(*words: str) -> str | None:
    command = ["git", "-c", "safe.directory=*", "-C", str(ROOT), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else None


def noise(turns: int = 9) -> dict[str, dict[str, float]]:
    """A fixed sort and a fixed flush to disk, timed again and again: median in seconds, and (slowest - fastest) / median."""
    import polars as pl

    numbers = pl.int_range(2_000_000, eager=True).shuffle(seed=1)
    with tempfile.NamedTemporaryFile(dir=ROOT / "benchmarks", suffix=".noise") as file:

        def flush() -> None:
            file.write(b"x" * 4096)
            file.flush()
            os.fsync(file.fileno())

        return {"sort": _varies(numbers.sort, turns), "flush": _varies(flush, 3 * turns)}


def _varies(work: Callable[[], object], turns: int) -> dict[str, float]:
    work()
    taken = []
    for _ in range(turns):
        started = time.perf_counter()
        work()
        taken.append(time.perf_counter() - started)
    middle = statistics.median(taken)
    return {"median_s": middle, "spread": (max(taken) - min(taken)) / middle}


def told(found: dict[str, Any]) -> str:
    """Noise as people read it."""
    return ", ".join(f"{name} {one['median_s'] * 1000:.1f} ms ±{one['spread'] / 2:.0%}" for name, one in found.items())


if __name__ == "__main__":
    sys.stdout.write(f"{versions()}\n{machine()}\nload {load()}\n{told(noise())}\n{commit()}\n")
