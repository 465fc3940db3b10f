"""Drift as Evidently, NannyML, alibi-detect and bare scipy report it, each in an environment of its own.

Owns these environments, the tasks and the form of an answer; how each peer is asked stands in `drift_peers`, what an answer is
worth is judged elsewhere. This file is also what runs inside an environment, where lightkeeper is not installed:

    python -P benchmarks/drift_rivals.py PEER alarms windows.npz
    python -P benchmarks/drift_rivals.py PEER speed reference.parquet current.parquet [--rows N] [--statistics wasserstein,ks]

The answer is one JSON object on stdout. `alarms` reads the arrays `reference` (rows x columns), `windows` (windows x rows x
columns) and, where it is there, `categorical` (positions; else the last fifth of the columns), and answers for each window and
column. `speed` reads two files whose columns of strings are categories, and times the reading and the report of all columns;
imports, and whatever a peer loads when first asked, are done before, on 2,000 rows.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time
import warnings
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

__all__ = ["OFFERED", "PINS", "NotInstalledError", "environment", "run"]

COMMON = ("pandas==2.3.3", "scipy==1.17.1")
NEWER = ("numpy==2.4.6", "pyarrow==26.0.1", *COMMON)
PINS = {
    "evidently": ("evidently==0.7.23", *NEWER),  # pandas 3 breaks its import
    "nannyml": ("nannyml==0.13.1", "statsmodels==0.15.0", *NEWER),  # it imports statsmodels, and does not say so
    "alibi-detect": (
        "alibi-detect==0.13.0",
        "numpy==1.26.4",
        "pyarrow==25.0.1",
        *COMMON,
    ),  # it takes no numpy 2, pyarrow 26 no other
    "scipy": NEWER,
}
# The statistics that can be asked for, by our names; alibi-detect's mixed detector has its own two and no choice.
OFFERED: dict[str, dict[str, dict[str, str]]] = {
    "evidently": {
        "numeric": {"wasserstein": "wasserstein", "ks": "ks", "psi": "psi", "jensen_shannon": "jensenshannon"},
        "categorical": {"psi": "psi", "jensen_shannon": "jensenshannon", "chi2": "chisquare"},
    },
    "nannyml": {
        "numeric": {"wasserstein": "wasserstein", "ks": "kolmogorov_smirnov", "jensen_shannon": "jensen_shannon"},
        "categorical": {"jensen_shannon": "jensen_shannon", "chi2": "chi2"},
    },
    "alibi-detect": {"numeric": {"ks": "ks"}, "categorical": {"chi2": "chi2"}},
    "scipy": {"numeric": {"wasserstein": "wasserstein", "ks": "ks"}, "categorical": {"chi2": "chi2"}},
}
WARM = 2000
HERE = Path(__file__).resolve()
KEPT = HERE.parent.parent / "build" / "rivals"  # git ignores it, `make clean` removes it
SILENT = {"DO_NOT_TRACK": "1", "NML_DISABLE_USAGE_LOGGING": "1", "OMP_WAIT_POLICY": "passive", "OMP_NUM_THREADS": "2"}


class NotInstalledError(RuntimeError):
    """A peer cannot be installed here."""


# ---- what our own Python calls


def run(peer: str, task: str, files: Sequence[Path | str], options: Sequence[str] = ()) -> dict[str, Any]:
    """What a peer answers, from a process of its own environment, which is made at the first call and kept.

    Args:
        peer: a key of `PINS`.
        task: "alarms" or "speed".
        files: one .npz for alarms, two Parquet files for speed.
        options: further words of the command line, such as `("--rows", "100000")`.

    Returns for alarms `flags`, `scores` (windows x columns), `windows` (the peer's flag of each window; None: it gives none),
    `methods`, `kinds` ("p" or "distance"), `thresholds` (a value each column), and `distances` beside scores that are p, else
    None. For speed `seconds`, `reading_seconds`, `cpu_seconds`, `peak_mb`, `idle_mb` (before the work), `rows`, `figures`
    (how many the report has), `statistics`, `not_offered`. Always `peer`, `task`, `versions`.

    Raises NotInstalledError; RuntimeError: the peer failed.
    """
    words = [environment(peer), "-P", HERE, peer, task, *files, *options]
    done = subprocess.run(words, capture_output=True, text=True, check=False, env={**os.environ, **SILENT})
    if done.returncode:
        raise RuntimeError(f"{peer}, {task}: {done.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def environment(peer: str, root: Path = KEPT) -> str:
    """The Python of the peer's environment below `root`, made where its pins are not installed yet.

    Raises NotInstalledError: what uv said.
    """
    uv, digest = Path(sys.executable).parent / "uv", hashlib.sha256("\n".join(PINS[peer]).encode()).hexdigest()[:8]
    home = root / f"drift-{peer}-{digest}"
    python = home / "bin" / "python"
    if (home / "complete").exists() and python.exists():
        return str(python)
    shutil.rmtree(home, ignore_errors=True)
    install = ["pip", "install", "-q", "--python", str(python), *PINS[peer]]
    for step in (["venv", "-q", "--python", sys.executable, str(home)], install):
        done = subprocess.run([uv, *step], capture_output=True, text=True, check=False)
        if done.returncode:
            raise NotInstalledError(f"{peer} cannot be installed, so it is not measured: {done.stderr.strip()[-300:]}")
    (home / "complete").touch()
    return str(python)


# ---- what runs in a peer's environment: the two tasks


def _main() -> None:
    """The answer goes to the stdout that was given; what peers print goes to stderr."""
    asked = _asked()
    answer = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    os.environ.update(SILENT)
    warnings.simplefilter("ignore")
    importlib.import_module(asked.peer.replace("-", "_"))
    found = _alarms(asked) if asked.task == "alarms" else _speed(asked)
    names = [pin.partition("==")[0] for pin in PINS[asked.peer]]
    made = {"peer": asked.peer, "task": asked.task, "versions": {name: version(name) for name in names}, **found}
    with answer:
        json.dump(made, answer)


def _peers() -> Any:
    """The module beside this one; this folder stays off the path (-P), since others might mean its names."""
    spec = importlib.util.spec_from_file_location("drift_peers", HERE.with_name("drift_peers.py"))
    if spec is None or spec.loader is None:
        raise ImportError("drift_peers.py does not lie beside drift_rivals.py: copy both")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("peer", choices=PINS)
    parser.add_argument("task", choices=("alarms", "speed"))
    parser.add_argument("files", nargs="+", type=Path, help="one .npz for alarms, two Parquet files for speed")
    parser.add_argument("--rows", type=int, help="speed: read only the first so many of each file")
    parser.add_argument("--statistics", help="speed: these instead of the peer's defaults, with commas; see OFFERED")
    return parser.parse_args()


def _alarms(asked: argparse.Namespace) -> dict[str, Any]:
    import numpy as np

    with np.load(asked.files[0]) as given:
        reference, windows = given["reference"], given["windows"]
        columns = reference.shape[1]
        last = range(columns - columns // 5, columns)
        categories = [int(at) for at in given.get("categorical", last)]
    started = time.perf_counter()
    found = _peers().ALARMS[asked.peer](reference, windows, categories)
    found["seconds"] = time.perf_counter() - started
    if not np.isfinite(np.array(found["scores"], dtype=float)).all():
        raise ValueError(f"{asked.peer} gave no number for some column of some window")
    return {"windows": None, "distances": None, **found, "categorical": categories}


def _speed(asked: argparse.Namespace) -> dict[str, Any]:
    """The report of a few rows, so that all is loaded; then the one that counts."""
    statistics, without = _statistics(asked.peer, asked.statistics)
    ask = _peers().SPEED[asked.peer]
    ask(*(_read(path, WARM) for path in asked.files), statistics)
    idle, cpu, started = _peak(), time.process_time(), time.perf_counter()
    frames = [_read(path, asked.rows) for path in asked.files]
    reading = time.perf_counter() - started
    figures = ask(*frames, statistics)
    return {
        "seconds": time.perf_counter() - started, "reading_seconds": reading, "cpu_seconds": time.process_time() - cpu,
        "peak_mb": _peak(), "idle_mb": idle, "rows": [len(frame) for frame in frames], "columns": frames[0].shape[1],
        "figures": figures, "statistics": statistics or "defaults", "not_offered": without,
    }  # fmt: skip


def _statistics(peer: str, asked: str | None) -> tuple[dict[str, list[str]] | None, list[str]]:
    """The peer's names of what was asked for, by kind of column (None: its defaults), and what it does not offer at all."""
    if asked is None:
        return None, []
    names, offered = asked.split(","), OFFERED[peer]
    chosen = {kind: [its[name] for name in names if name in its] for kind, its in offered.items()}
    if peer == "alibi-detect" or not all(chosen.values()):
        raise SystemExit(f"{peer} cannot be asked for {asked}: it offers {offered}; name one at least for each kind, or none")
    return chosen, [name for name in names if not any(name in its for its in offered.values())]


def _read(path: Path, rows: int | None) -> Any:
    """A pandas frame of the file, or of its first rows; others are not read."""
    import pandas as pd  # type: ignore[import-untyped]
    import pyarrow as pa
    import pyarrow.parquet as pq

    if rows is None:
        return pd.read_parquet(path)
    batches, left = [], rows
    for batch in pq.ParquetFile(path).iter_batches(batch_size=min(rows, 65_536)):
        batches.append(batch.slice(0, left))
        left -= len(batches[-1])
        if not left:
            break
    return pa.Table.from_batches(batches).to_pandas()


def _peak() -> float:
    """The most memory that this process ever had, in MB; Linux only."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1000


if __name__ == "__main__":
    _main()
