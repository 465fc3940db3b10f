"""Matured forecasts of a made-up panel, for the tests of intervals and of paths."""

from __future__ import annotations

from datetime import date

import numpy as np
import polars as pl
from numpy.typing import NDArray

FIRST = date(2025, 1, 1)


def ar(rng: np.random.Generator, days: int, phi: float, series: int = 1) -> NDArray[np.float64]:
    """Days x series of an AR(1) with variance 1."""
    x = rng.normal(size=(days, series))
    x[1:] *= np.sqrt(1 - phi**2)
    for day in range(1, days):
        x[day] += phi * x[day - 1]
    return x


def shared(seed: int, days: int, series: int, phi: float = 0.5, share: float = 0.2) -> NDArray[np.float64]:
    """Days x series, variance 1, of which `share` is common to all series of a day."""
    rng = np.random.default_rng(seed)
    return np.sqrt(share) * ar(rng, days, phi) + np.sqrt(1 - share) * ar(rng, days, phi, series)


def issued(actual: NDArray[np.float64], every: int = 28, half: float | None = 1.28, spread: float = 1.0) -> pl.DataFrame:
    """Forecasts of 0 for 28 days ahead, one origin each `every` days; the raw band is `half` wide on each side."""
    origins = np.arange(-1, len(actual), every)
    origin, ahead, series = (a.ravel() for a in np.meshgrid(origins, np.arange(1, 29), np.arange(actual.shape[1]), indexing="ij"))
    kept = origin + ahead < len(actual)
    day, ahead, series = (origin + ahead)[kept], ahead[kept], series[kept]
    raw = None if half is None else half * spread
    return pl.DataFrame(
        {
            "product": series,
            "day": pl.Series(day + FIRST.toordinal() - date(1970, 1, 1).toordinal(), dtype=pl.Int32).cast(pl.Date),
            "days_ahead": ahead,
            "actual": actual[day, series] * spread,
            "forecast": 0.0,
            "low": pl.Series([None if raw is None else -raw] * len(day), dtype=pl.Float64),
            "high": pl.Series([raw] * len(day), dtype=pl.Float64),
        }
    )
