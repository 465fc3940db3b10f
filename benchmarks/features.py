"""Lags and rolling means of a large panel beside mlforecast: time and peak memory, each in its own process.

The same 16 features (8 lags, 8 rolling means) of 20,000 series of 730 days, in turns with mlforecast, which is installed
into a throwaway environment. The time begins when the panel is read and all is imported; the memory is the peak of the
whole process. "in memory" gives one frame, "to a file" writes it as Parquet, "new day" computes the last day alone.
"""

from __future__ import annotations

import json
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import polars as pl

    Make = Callable[[pl.DataFrame], pl.DataFrame | None]

__all__ = ["run"]

SERIES, DAYS = 20_000, 730
FIRST = date(2024, 1, 1)
LAST = FIRST + timedelta(DAYS - 1)
LAGS = (28, 35, 42, 49, 56, 63, 182, 364)
ROLLS = tuple((lag, size) for lag in (28, 56) for size in (7, 28, 91, 182))
THREADS, TURNS = 2, 3
UNITS = ("seconds", "cpu", "megabytes")
HERE = Path(__file__).resolve()


def run(quick: bool) -> dict[str, Any]:  # noqa: FBT001 - the runner's own word
    """Every figure, ours and mlforecast's, and their ratios; quick: a tenth of the series."""
    with tempfile.TemporaryDirectory() as folder:
        panel = _write_panel(Path(folder) / "panel.parquet", SERIES // 10 if quick else SERIES)
        peer = _peer(Path(folder))
        found: dict[str, list[dict[str, float]]] = {}
        for _ in range(TURNS):
            for case in ("in memory", "to a file", "new day"):
                found.setdefault(f"ours {case}", []).append(_measured(sys.executable, f"ours {case}", panel))
                if peer is not None and case != "new day":
                    found.setdefault(f"mlforecast {case}", []).append(_measured(peer, f"mlforecast {case}", panel))
    result = _result(found)
    _show(result)
    return result


def _write_panel(path: Path, series: int) -> Path:
    import numpy as np
    import polars as pl

    rng = np.random.default_rng(7)
    names = pl.Series("product", [f"p{n:05d}" for n in range(series)])
    frame = names.to_frame().join(pl.date_range(FIRST, LAST, eager=True).alias("day").to_frame(), how="cross")
    frame.with_columns(pl.Series("units", rng.poisson(5, frame.height).astype(float))).write_parquet(path)
    return path


def _peer(root: Path) -> str | None:
    """The Python of a throwaway environment with mlforecast; None where it cannot be installed."""
    uv, home = Path(sys.executable).parent / "uv", root / "peer"
    python = str(home / "bin" / "python")
    install = ["pip", "install", "-q", "--python", python, "mlforecast", "polars"]
    for step in (["venv", "-q", "--python", sys.executable, str(home)], install):
        done = subprocess.run([uv, *step], capture_output=True, text=True, check=False)
        if done.returncode:
            print(f"mlforecast cannot be installed, so it is not measured: {done.stderr.strip()[-300:]}")
            return None
    return python


def _measured(python: str, what: str, panel: Path) -> dict[str, float]:
    """Seconds and peak megabytes of one case in a process of its own, its rows and the sum of its numbers."""
    env = {**os.environ, "PYTHONPATH": str(HERE.parent.parent / "platform"), "POLARS_MAX_THREADS": str(THREADS)}
    done = subprocess.run([python, HERE, what, panel], capture_output=True, text=True, check=False, env=env)
    if done.returncode:
        raise RuntimeError(f"{what}: {done.stderr[-2000:]}")
    found: dict[str, float] = json.loads(done.stdout)
    return found


def _result(found: dict[str, list[dict[str, float]]]) -> dict[str, Any]:
    """Medians and spreads, ratios turn by turn, and how far the sums of both are apart (relative)."""
    result: dict[str, Any] = {"python": platform.python_version(), "cases": {}, "ratios": {}, "apart": {}}
    for case, turns in found.items():
        result["cases"][case] = {unit: _spread([turn[unit] for turn in turns]) for unit in UNITS}
        result["cases"][case]["rows"] = turns[0]["rows"]
        ours = found[case.replace("mlforecast", "ours")]
        if ours is turns:
            continue
        for unit in UNITS:
            ratios = [a[unit] / b[unit] for a, b in zip(ours, turns, strict=True)]
            result["ratios"][f"{case}, {unit}"] = _spread(ratios)
        result["apart"][case] = abs(ours[0]["sum"] / turns[0]["sum"] - 1)
    return result


def _spread(values: list[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def _show(result: dict[str, Any]) -> None:
    print(f"{'':28}{'seconds':>22}{'CPU seconds':>22}{'peak MB':>22}")
    for case, each in result["cases"].items():
        print(f"{case:28}{_text(each['seconds'], 2):>22}{_text(each['cpu'], 2):>22}{_text(each['megabytes'], 0):>22}")
    for name, ratio in result["ratios"].items():
        print(f"ours / {name}: {_text(ratio, 2)}")
    for name, apart in result["apart"].items():
        print(f"sum of all numbers, ours and {name}: {apart:.1e} apart")


def _text(spread: dict[str, float], digits: int) -> str:
    return f"{spread['median']:.{digits}f} ({spread['min']:.{digits}f}-{spread['max']:.{digits}f})"


# What runs in the processes that are measured.


def _child(what: str, panel: Path) -> None:
    import polars as pl

    who, case = what.split(" ", 1)
    folder = panel.parent / "features"
    folder.mkdir(exist_ok=True)
    make = {"ours": _ours, "mlforecast": _mlforecast}[who](case, folder)
    frame = pl.read_parquet(panel)
    start, cpu = time.perf_counter(), time.process_time()
    made = make(frame)
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**10 if sys.platform == "linux" else 2**20)
    rows = pl.scan_parquet(folder) if made is None else made.lazy()
    sums = rows.select(pl.len().alias("rows"), pl.col(pl.Float64).fill_nan(0).sum()).collect().row(0)
    shutil.rmtree(folder)
    print(json.dumps({"seconds": seconds, "cpu": cpu, "megabytes": peak, "rows": sums[0], "sum": sum(sums[1:])}))


def _ours(case: str, folder: Path) -> Make:
    import polars as pl
    import pyarrow as pa  # noqa: F401 - so that its import is not measured

    from lightkeeper.measure.panel import Lag, Roll, features, in_parts, reach

    declared: dict[str, Lag | Roll] = {f"lag{lag}": Lag("units", lag) for lag in LAGS}
    declared |= {f"mean{size}_{lag}": Roll("units", lag, size) for lag, size in ROLLS}
    since = LAST - timedelta(reach(declared.values()))

    def new_day(panel: pl.DataFrame) -> pl.DataFrame:
        parts = in_parts(panel.filter(pl.col("day") >= since), declared)
        return pl.concat(part.filter(pl.col("day") == LAST) for part in parts)

    def to_a_file(panel: pl.DataFrame) -> None:
        for number, part in enumerate(in_parts(panel, declared)):
            part.write_parquet(folder / f"{number:04d}.parquet")

    cases: dict[str, Make] = {"in memory": lambda panel: features(panel, declared)}
    return {**cases, "new day": new_day, "to a file": to_a_file}[case]


def _mlforecast(case: str, folder: Path) -> Make:
    from mlforecast import MLForecast  # type: ignore[import-not-found]
    from mlforecast.lag_transforms import RollingMean  # type: ignore[import-not-found]

    rolls = {lag: [RollingMean(size, min_samples=1) for of, size in ROLLS if of == lag] for lag, _ in ROLLS}
    model = MLForecast(models=[], freq="1d", lags=LAGS, lag_transforms=rolls, num_threads=THREADS)
    columns = {"id_col": "product", "time_col": "day", "target_col": "units"}

    def in_memory(panel: pl.DataFrame) -> pl.DataFrame:
        made: pl.DataFrame = model.preprocess(panel, **columns, static_features=[], dropna=False)
        return made

    def to_a_file(panel: pl.DataFrame) -> None:
        in_memory(panel).write_parquet(folder / "0000.parquet")

    return in_memory if case == "in memory" else to_a_file


if __name__ == "__main__":
    if sys.argv[1:] in ([], ["--quick"]):
        print(json.dumps(run("--quick" in sys.argv), indent=1))
    else:
        _child(sys.argv[1], Path(sys.argv[2]))
