"""What training through the platform adds to bare LightGBM: time, memory, and what an explanation costs.

Three measurements, each side in a process of its own, in turns:

- `backtest` of two origins beside a script that does the same fits on the same frame: rounds by early stopping on the last
  days, then the point forecast and the two quantiles. The forecasts must agree to 1e-9, or the benchmark fails.
- a training of 10M rows x 20 features: the highest resident memory less that before the frame was there, over the bytes of
  the float64 matrix (rows x features x 8).
- forecasts with their contributions in units of the target beside LightGBM's own `pred_contrib` on a matrix at hand.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.machine import environment

if TYPE_CHECKING:
    import lightgbm
    import polars as pl

    import lightkeeper as lk

__all__ = ["run", "table"]

ROOT = Path(__file__).resolve().parent.parent
FIRST = date(2025, 1, 1)
FEATURES = tuple(f"x{number:02d}" for number in range(20))
HORIZON, PATIENCE, SAME = 28, 30, 1e-9
TIME_LIMIT, MEMORY_LIMIT = 1.15, 2.5
BAND = {"low": 0.1, "high": 0.9}


def run(quick: bool) -> dict[str, Any]:  # noqa: FBT001 - the runner's own word
    """Rows of time, memory and explanation; quick: small sizes, one turn."""
    series, turns, large = (20, 1, 20_000) if quick else (1_000, 5, 10_000_000)
    with tempfile.TemporaryDirectory(prefix="training-") as folder:
        place = Path(folder) / "table.parquet"
        table(series, 400).write_parquet(place)
        taken: dict[str, list[dict[str, float]]] = {side: [] for side in ("ours", "bare", "explained", "contributions")}
        for turn in range(turns):
            for side in sorted(taken, reverse=bool(turn % 2)):
                taken[side].append(_child(side, str(place)))
        memory = [_child("memory", str(large))["share"] for _ in range(1 if quick else 2)]
    _agree(taken)
    found = {"rows": [
        _beside("backtest of two origins beside bare LightGBM", taken["ours"], taken["bare"], TIME_LIMIT),
        _beside("forecasts explained beside pred_contrib", taken["explained"], taken["contributions"], None),
        {
            "what": f"training on {large:,} rows x {len(FEATURES)}: memory over the matrix", "ours_s": statistics.median(memory),
            "spread": [min(memory), max(memory)], "limit": MEMORY_LIMIT, "unit": "x", "n": len(memory),
        },
    ]}  # fmt: skip
    print(json.dumps(found, indent=1))
    return found


def _beside(what: str, ours: list[dict[str, float]], theirs: list[dict[str, float]], limit: float | None) -> dict[str, Any]:
    """Medians, and the ratio turn by turn with its spread."""
    ratios = [mine["s"] / its["s"] for mine, its in zip(ours, theirs, strict=True)]
    mine, its = (statistics.median(one["s"] for one in side) for side in (ours, theirs))
    return {
        "what": what, "ours_s": mine, "theirs_s": its, "ratio": statistics.median(ratios), "spread": [min(ratios), max(ratios)],
        "limit": limit, "limit_of": "ratio", "n": len(ratios),
    }  # fmt: skip


def _agree(taken: dict[str, list[dict[str, float]]]) -> None:
    """Raises when the two sides of a pair made other numbers."""
    for mine, its in (("ours", "bare"), ("explained", "contributions")):
        apart = abs(taken[mine][0]["sum"] / taken[its][0]["sum"] - 1)
        if apart > SAME:
            raise RuntimeError(f"{mine} and {its} differ: the sums of their numbers are {apart:.1e} apart.")


def _child(side: str, what: str) -> dict[str, float]:
    words = [sys.executable, "-m", "benchmarks.training", side, what]
    env = {**environment(), "OMP_WAIT_POLICY": "passive", "POLARS_MAX_THREADS": "2"}
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False, env=env)
    if done.returncode:
        raise RuntimeError(f"{side} failed:\n{done.stderr[-3000:]}")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def table(series: int, days: int) -> pl.DataFrame:
    """`key`, `day`, `y` and 20 features, sorted by day and key; the same for the same sizes.

    Args:
        series: how many.
        days: rows of each, from 2025-01-01 on.
    """
    import numpy as np
    import polars as pl

    rng = np.random.default_rng(11)
    last = FIRST + timedelta(days - 1)
    frame = pl.date_range(FIRST, last, eager=True).alias("day").to_frame().join(pl.DataFrame({"key": range(series)}), how="cross")
    frame = frame.with_columns(pl.Series(name, rng.standard_normal(frame.height)) for name in FEATURES)
    noise = pl.Series("noise", rng.standard_normal(frame.height))
    return frame.with_columns((10 * pl.col("x00") * pl.col("x01").sin() + 5 * pl.col("x02") + noise).alias("y"))


def model(features: tuple[str, ...] = FEATURES) -> lk.Model:
    """The declaration that is trained."""
    import lightkeeper as lk

    return lk.Model(name="bench", table="bench", keys=("key",), time="day", target="y", horizon=HORIZON, features=features)


# What runs in the processes that are measured.


def _measured(side: str, what: str) -> dict[str, float]:
    import lightgbm  # noqa: F401 - here, so that its import is not measured

    import lightkeeper.models.backtesting  # noqa: F401 - as above

    if side == "memory":
        return _memory(int(what))
    import polars as pl

    work = {"ours": _ours, "bare": _bare, "explained": _explained, "contributions": _contributions}[side](pl.read_parquet(what))
    started = time.perf_counter()
    total = work()
    return {"s": time.perf_counter() - started, "sum": total}


def _origins(frame: pl.DataFrame) -> list[date]:
    last: date = frame["day"].max()  # type: ignore[assignment]
    return [last - timedelta(2 * HORIZON), last - timedelta(HORIZON)]


def _ours(frame: pl.DataFrame) -> Callable[[], float]:
    from lightkeeper.models.backtesting import backtest

    def work() -> float:
        rows = backtest(model(), frame.lazy(), _origins(frame))
        return float(rows.select(rows["forecast"].abs() + rows["high"].abs() + rows["low"].abs()).sum().item())

    return work


def _bare(frame: pl.DataFrame) -> Callable[[], float]:
    """What somebody writes who does the same: a matrix, rounds by early stopping, three fits, three predictions."""
    import polars as pl

    def work() -> float:
        total = 0.0
        matrix, target = frame.select(FEATURES).to_numpy(order="c"), frame["y"].to_numpy()
        for origin in _origins(frame):
            end = frame.filter(pl.col("day") <= origin).height
            split = frame.filter(pl.col("day") <= origin - timedelta(HORIZON)).height
            stop = frame.filter(pl.col("day") <= origin + timedelta(HORIZON)).height
            boosters = _fits(matrix[:end], target[:end], split)
            total += sum(float(abs(one.predict(matrix[end:stop], num_threads=2)).sum()) for one in boosters)  # type: ignore[arg-type]
        return total

    return work


def _fits(matrix: Any, target: Any, split: int) -> list[lightgbm.Booster]:
    import lightgbm

    params = dict(model().lightgbm_params)
    most = int(str(params.pop("num_iterations")))
    data = lightgbm.Dataset(matrix, target, feature_name=list(FEATURES), params=params).construct()
    learnt, held = data.subset(list(range(split))), data.subset(list(range(split, len(target))))
    stop = lightgbm.early_stopping(PATIENCE, verbose=False)
    rounds = lightgbm.train(dict(params), learnt, most, valid_sets=[held], callbacks=[stop]).best_iteration or most
    kinds = [{}, *({"objective": "quantile", "alpha": level} for level in BAND.values())]
    return [lightgbm.train({**params, **kind}, data, rounds) for kind in kinds]


def _fitted(frame: pl.DataFrame) -> tuple[Any, pl.DataFrame]:
    """A model of 60 rounds and 20,000 rows to explain, or as many as there are."""
    from lightkeeper.models.training import fit, training_frame

    fitted = fit(model(), training_frame(model(), frame.lazy()), rounds=60).fitted
    _ = fitted.boosters
    return fitted, frame.tail(20_000)


def _explained(frame: pl.DataFrame) -> Callable[[], float]:
    from lightkeeper.models.explaining import contributions

    fitted, rows = _fitted(frame)
    return lambda: float(str(contributions(fitted, rows, ["key", "day"])["contribution"].abs().sum()))


def _contributions(frame: pl.DataFrame) -> Callable[[], float]:
    fitted, rows = _fitted(frame)
    matrix = fitted.matrix(rows)
    return lambda: float(abs(fitted.boosters["point"].predict(matrix, num_threads=2, pred_contrib=True)).sum())


def _memory(rows: int) -> dict[str, float]:
    """The highest memory of a training, in bytes of its matrix, above that of a tiny one before it."""
    from lightkeeper.models.training import fit, training_frame

    fit(model(), training_frame(model(), table(20, 60).lazy()), rounds=1)  # so that libraries and threads are there
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "table.parquet"
        _written_by_another(file, rows)
        before = _peak()
        import polars as pl

        fit(model(), training_frame(model(), pl.scan_parquet(file)), rounds=20)
    return {"share": (_peak() - before) / (rows * len(FEATURES) * 8)}


def _written_by_another(file: Path, rows: int) -> None:
    """The table as a file, written by a process of its own, so that its memory is not counted."""
    days = 1_000 if rows >= 1_000_000 else 100
    words = (
        "import sys; from benchmarks.training import table; table(int(sys.argv[1]), int(sys.argv[2])).write_parquet(sys.argv[3])"
    )
    subprocess.run([sys.executable, "-c", words, str(rows // days), str(days), str(file)], cwd=ROOT, check=True, env=os.environ)


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1024.0 if sys.platform == "linux" else 1.0)


if __name__ == "__main__":
    if len(sys.argv) == 3:
        print(json.dumps(_measured(sys.argv[1], sys.argv[2])))
    else:
        run("--quick" in sys.argv)
