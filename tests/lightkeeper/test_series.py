"""Series beside their own days while the naive forecast serves, and the bands of a past: who is named, how seldom without cause."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest
from forecasts import issued
from lamps import LAMPS
from numpy.typing import NDArray

from lightkeeper.models.forecasting import Server
from lightkeeper.values import Verdict
from lightkeeper.watch.series import _Asked, _others_bands, anomalous

FIRST, SERIES = date(2026, 1, 5), 12
NAIVE = Server("lamps", None, "naive")
Counts = NDArray[np.int64]


def sold(seed: int, days: int) -> Counts:
    """(days, SERIES): quiet sales, some series of few and some of many."""
    random = np.random.default_rng(seed)
    return random.poisson(random.uniform(3, 40, SERIES), (days, SERIES))


def judged(counts: Counts, key: str = "shop") -> tuple[pl.DataFrame, Verdict]:
    days, series = np.indices(counts.shape)
    known = pl.DataFrame(
        {
            key: pl.Series(np.where(series % 2, "Hull", "York").ravel(), dtype=pl.String),
            "lamp": pl.Series(series.ravel(), dtype=pl.Int64).cast(pl.String),
            "day": [FIRST + timedelta(int(day)) for day in days.ravel()],
            "units": counts.ravel(),
        }
    )
    recent = known.filter(pl.col("day") > known["day"].max() - timedelta(28))  # type: ignore[operator]
    outcomes = recent.rename({"units": "actual"}).with_columns(forecast=pl.col("actual").mean(), days_ahead=pl.lit(1))
    return anomalous(replace(LAMPS, keys=(key, "lamp")), NAIVE, outcomes, known.clear(), known)


def test_a_month_of_history_names_no_series_more_often_than_it_says() -> None:
    found = [judged(sold(seed, 38))[0] for seed in range(60)]
    odd = np.concatenate([one["p"].to_numpy() <= 0.05 for one in found])
    assert odd.mean() <= 0.07


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_series_of_three_times_its_sales_is_named(seed: int) -> None:
    counts = sold(seed, 150)
    counts[-5:, 7] *= 3
    series, verdict = judged(counts)
    assert verdict.state == "failed"
    assert (series["lamp"][0], series["direction"][0]) == ("7", "above")


@pytest.mark.parametrize("key", ["width", "score", "p", "q", "direction", "window_days", "count", "usual", "rows"])
def test_a_key_may_have_a_name_of_what_is_made_of_series(key: str) -> None:
    counts = sold(1, 150)
    counts[-5:, 7] *= 3
    plain, named = judged(counts), judged(counts, key)
    assert named[1] == plain[1]
    assert named[0].rows() == plain[0].rows()


def test_a_weekday_that_was_there_once_is_no_measure_of_itself() -> None:
    series, verdict = judged(sold(4, 14))
    assert verdict.state in {"unknown", "learning"}
    assert series.filter(pl.col("q") <= 0.1).is_empty()


@pytest.mark.parametrize("calm", [slice(0, 56), slice(56, 112)], ids=["first", "last"])
def test_a_past_day_stands_beside_a_band_of_the_half_that_it_is_not_in(calm: slice) -> None:
    random = np.random.default_rng(1)
    actual = 8 * random.normal(size=(112, SERIES))
    actual[calm] /= 8
    banded = _others_bands(_Asked(("product",), "day", "units", "continuous"), issued(actual))
    days = banded["day"].unique().sort()
    widths = banded.group_by("day").agg((pl.col("high_80") - pl.col("low_80")).mean()).sort("day")["high_80"].to_numpy()
    assert banded.height == actual.size == len(days) * SERIES
    others = np.delete(widths, np.arange(112)[calm])
    assert widths[calm].min() > 4 * others.max()  # calm days have the band of the wild ones
