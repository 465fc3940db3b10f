"""What drift costs: a file against a stored profile beside reading it, two files beside peers, a day beside a year.

Owns the seconds and the memory. Files are in the system's cache, each is 1M rows of 20 floats and 5 texts without drift.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from benchmarks import drift_days, drift_rivals
from benchmarks.drift_data import parquet_pair
from lightkeeper.measure.daily import RECENT, judge
from lightkeeper.measure.drift import drift
from lightkeeper.measure.profile import Profile
from lightkeeper.measure.quiet import Quiet
from lightkeeper.measure.quiet_days import calibrate

__all__ = ["against", "speed"]

RATIO, SECONDS, SCRATCH, MEGABYTES = 1.5, 0.4, 1.5, 200.0
TIMES_FASTER = {"evidently": 60, "nannyml": 8}  # at least
SAME = {
    "evidently": "wasserstein,ks,psi,jensen_shannon,chi2",
    "nannyml": "wasserstein,ks,jensen_shannon,chi2",
    "scipy": "wasserstein,ks,chi2",
}


def speed(quick: bool) -> Iterator[dict[str, Any]]:  # noqa: FBT001 - the runner's own word
    """A large file against a stored profile beside reading it; both sides from scratch beside peers; a day beside a year."""
    with tempfile.TemporaryDirectory() as folder:
        before, now = parquet_pair(Path(folder), 20_000 if quick else 1_000_000)
        stored, turns = Path(folder) / "profile.parquet", 3 if quick else 9
        Profile.of(before).to_frame().write_parquet(stored)
        yield from _beside_reading(stored, now, turns)
        yield _memory(stored, now, 1 if quick else 5)
        yield _scratch(before, now, turns)
        for peer in () if quick else drift_rivals.PINS:
            yield from _raced(peer, before, now)
    yield _day(turns)


def against(stored: Path, current: Path) -> pl.DataFrame:
    """A file against a profile that is kept in another."""
    return drift(Profile.from_frame(pl.read_parquet(stored)), current)


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _beside_reading(stored: Path, current: Path, turns: int) -> Iterator[dict[str, Any]]:
    import pyarrow.parquet as pq

    reads: dict[str, Callable[[], object]] = {
        "pyarrow.parquet.read_table": lambda: pq.read_table(current), "polars.read_parquet": lambda: pl.read_parquet(current),
    }  # fmt: skip
    mine: list[float] = []
    for name, read in reads.items():
        found = [(_seconds(lambda: against(stored, current)), _seconds(read)) for _ in range(turns + 1)][1:]
        ratios, mine = [one / other for one, other in found], mine + [one for one, _ in found]
        middle, other = statistics.median(one for one, _ in found), statistics.median(one for _, one in found)
        yield {
            "what": f"1M rows x 25 against a stored profile, beside {name}", "ours_s": middle, "theirs_s": other, "n": turns,
            "ratio": statistics.median(ratios), "spread": [min(ratios), max(ratios)], "limit": RATIO, "limit_of": "ratio",
        }  # fmt: skip
    yield _timed("1M rows x 25 against a stored profile", mine, SECONDS)


def _timed(what: str, seconds: Sequence[float], limit: float | None) -> dict[str, Any]:
    middle, n = statistics.median(seconds), len(seconds)
    return {"what": what, "ours_s": middle, "spread": [min(seconds), max(seconds)], "limit": limit, "n": n}


_CHILD = """
import json, sys
from pathlib import Path
import pyarrow.parquet, scipy.special
from benchmarks.drift_speed import against
def peak(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1000
idle = peak("VmRSS")
against(Path(sys.argv[1]), Path(sys.argv[2]))
print(json.dumps(peak("VmHWM") - idle))
"""


def _memory(stored: Path, current: Path, turns: int) -> dict[str, Any]:
    """The most that a fresh process needs beyond what it has after its imports."""
    words = [sys.executable, "-c", _CHILD, str(stored), str(current)]
    found = [json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout) for _ in range(turns)]
    return {**_timed("the same, memory beyond imports", found, MEGABYTES), "unit": "MB"}


def _scratch(before: Path, now: Path, turns: int) -> dict[str, Any]:
    return _timed("two files of 1M rows x 25 from scratch", [_seconds(lambda: drift(before, now)) for _ in range(turns)], SCRATCH)


def _raced(peer: str, before: Path, now: Path) -> Iterator[dict[str, Any]]:
    """The peer on both files, reading included, with its defaults and with our statistics as far as it offers them."""
    mine = [_seconds(lambda: drift(before, now)) for _ in range(3)]
    cases: dict[str, list[str]] = {"its defaults": []}
    if peer in SAME:
        cases[SAME[peer].replace("_", " ").replace(",", ", ")] = ["--statistics", SAME[peer]]
    for name, options in cases.items():
        try:
            found = drift_rivals.run(peer, "speed", [before, now], options)
        except (drift_rivals.NotInstalledError, RuntimeError) as problem:
            print(problem, file=sys.stderr)
            continue
        ratios, limit = [one / found["seconds"] for one in mine], None if options else TIMES_FASTER.get(peer)
        yield {
            "what": f"two files from scratch, beside {peer}: {name}", "ours_s": statistics.median(mine), "n": 1,
            "theirs_s": found["seconds"], "ratio": statistics.median(ratios), "spread": [min(ratios), max(ratios)],
            "limit": limit and 1 / limit, "limit_of": "ratio",
        }  # fmt: skip


def _day(turns: int) -> dict[str, Any]:
    """One day judged by what a year left, beside looking at the year anew."""
    history = 52 * drift_days.WEEK
    made = drift_days.world(drift_days.SEED, history + 1, 0.5, 5_000)
    past = [type(one)(one.name, one.kind, one.counts[:history]) for one in made.columns]
    kept, last = calibrate(made.at[:history], past).to_frame(), [one.last(RECENT) for one in made.columns]
    mine = [_seconds(lambda: judge(Quiet.from_frame(kept), made.at[-RECENT:].tolist(), last)) for _ in range(turns + 1)][1:]
    other = statistics.median(_seconds(lambda: calibrate(made.at[:history], past)) for _ in range(turns))
    return {**_timed("a day judged, a year of 25 columns being known; beside calibrating the year", mine, None),
            "theirs_s": other, "ratio": statistics.median(mine) / other, "spread": [min(mine), max(mine)]}  # fmt: skip
