"""Forecasts of others for the accuracy benchmarks: AutoETS, AutoTheta and mlforecast with LightGBM, in an environment of their own.

Owns that environment, what each rival is given, and their forecasts as Parquet files. What these are worth is scored
elsewhere, on the same rows as ours. This file is also what runs inside the environment, where lightkeeper is not installed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import polars as pl

__all__ = ["PINS", "environment", "filled", "forecasts"]

PINS = ("statsforecast==2.1.1", "mlforecast==1.1.0", "lightgbm==4.7.0", "polars==2.1.0")
THREADS = 2
SEASON = 7
HERE = Path(__file__).resolve()


def environment(root: Path) -> str | None:
    """The Python of a throwaway environment with the rivals; None, with a word, where they cannot be installed."""
    uv, home = Path(sys.executable).parent / "uv", root / "rivals"
    python = str(home / "bin" / "python")
    install = ["pip", "install", "-q", "--python", python, *PINS]
    for step in (["venv", "-q", "--python", sys.executable, str(home)], install):
        done = subprocess.run([uv, *step], capture_output=True, text=True, check=False)
        if done.returncode:
            print(f"the rivals cannot be installed, so they are not measured: {done.stderr.strip()[-300:]}")
            return None
    return python


def filled(panel: pl.DataFrame, key: str, target: str) -> pl.DataFrame:
    """A panel for rivals that take no holes: `unique_id`, `ds`, `y`, without a null.

    A day without a value has the last one of its weekday, since a holiday or a closure is no change of level; a weekday
    that never had one, such as a Sunday on which a shop is always shut, has 0. All other columns are carried along.

    Args:
        panel: sorted by key and `day`, without holes.
        key: the column that names a series.
        target: the column to forecast; null where not known.
    """
    import polars as pl

    value = pl.col(target).cast(pl.Float64)
    weekday = pl.col("day").dt.weekday()
    return panel.select(
        pl.col(key).cast(pl.String).alias("unique_id"),
        pl.col("day").alias("ds"),
        value.fill_null(strategy="forward").over(key, weekday).fill_null(0.0).alias("y"),
        pl.exclude(key, "day", target),
    )


def forecasts(python: str, rival: str, panel: Path, at: Sequence[date], options: dict[str, Any]) -> pl.DataFrame:
    """What a rival forecasts at each origin, in a process of the rivals' environment.

    Args:
        python: that environment's.
        rival: "statistical" or "mlforecast".
        panel: a Parquet file of `unique_id`, `ds`, `y` and, for mlforecast, columns that are known ahead.
        at: the origins; each forecast knows nothing after its own.
        options: `horizon`; for "statistical" `models`; for "mlforecast" `known`, `static` (names of columns) and `params`.

    Returns `unique_id`, `ds`, `origin` and a column a model, Float64.
    """
    import polars as pl

    out = panel.with_suffix(f".{rival}.parquet")
    asked = json.dumps({"at": [day.isoformat() for day in at], **options})
    env = {**os.environ, "OMP_WAIT_POLICY": "passive", "POLARS_MAX_THREADS": str(THREADS)}
    done = subprocess.run([python, HERE, rival, panel, out, asked], capture_output=True, text=True, check=False, env=env)
    if done.returncode:
        raise RuntimeError(f"{rival}: {done.stderr[-2000:]}")
    return pl.read_parquet(out)


# What runs in the rivals' environment.


def _child(rival: str, panel: Path, out: Path, asked: dict[str, Any]) -> None:
    import polars as pl

    frame = pl.read_parquet(panel)
    make = {"statistical": _statistical, "mlforecast": _mlforecast}[rival]
    found = []
    for day in asked["at"]:
        origin = date.fromisoformat(day)
        known = frame.filter(pl.col("ds") <= origin)
        ahead = frame.filter(pl.col("ds").is_between(origin + timedelta(1), origin + timedelta(asked["horizon"]))).drop("y")
        found.append(make(known, ahead, asked).with_columns(pl.lit(origin).alias("origin")))
        print(rival, origin, flush=True)
    pl.concat(found).write_parquet(out)


def _statistical(known: pl.DataFrame, ahead: pl.DataFrame, asked: dict[str, Any]) -> pl.DataFrame:
    import polars as pl
    from statsforecast import StatsForecast  # type: ignore[import-not-found]
    from statsforecast.models import AutoETS, AutoTheta, Naive  # type: ignore[import-not-found]

    there = {"AutoETS": AutoETS, "AutoTheta": AutoTheta}
    models = [there[name](season_length=SEASON) for name in asked["models"]]
    going = known.filter(pl.col("unique_id").is_in(ahead["unique_id"].unique().implode()))
    rows = going.select("unique_id", "ds", "y")
    found: pl.DataFrame = StatsForecast(models, freq="1d", n_jobs=THREADS, fallback_model=Naive()).forecast(
        df=rows, h=asked["horizon"]
    )
    return found


def _mlforecast(known: pl.DataFrame, ahead: pl.DataFrame, asked: dict[str, Any]) -> pl.DataFrame:
    import polars as pl
    from lightgbm import LGBMRegressor
    from mlforecast import MLForecast  # type: ignore[import-not-found]
    from mlforecast.lag_transforms import RollingMean, SeasonalRollingMean  # type: ignore[import-not-found]

    rolls = [RollingMean(7, min_samples=1), RollingMean(28, min_samples=1), SeasonalRollingMean(7, 4, min_samples=1)]
    static, dynamic = asked["static"], asked["known"]
    forecaster = MLForecast(
        models={"mlforecast": LGBMRegressor(**asked["params"], n_jobs=THREADS, verbosity=-1)},
        freq="1d", lags=[1, 7, 14, 21, 28, 364], lag_transforms={1: rolls, 28: rolls}, date_features=["weekday", "month", "day"],
        num_threads=THREADS,
    )  # fmt: skip
    rows = known.select("unique_id", "ds", "y", *(pl.col(name).rank("dense").cast(pl.Int64) for name in static), *dynamic)
    forecaster.fit(rows, static_features=static, dropna=False)
    found: pl.DataFrame = forecaster.predict(asked["horizon"], X_df=ahead.select("unique_id", "ds", *dynamic))
    return found


if __name__ == "__main__":
    _child(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), json.loads(sys.argv[4]))
