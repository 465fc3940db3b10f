"""Totals and joint paths keep what series and days share: independent sums, and sums of limits, do not."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from forecasts import FIRST, issued, shared
from polars.testing import assert_frame_equal

from lightkeeper.errors import Refused
from lightkeeper.measure.intervals import Calibration, Settings, calibrate
from lightkeeper.measure.paths import sample_paths, total_interval

STILL = Settings(gamma=0, gamma_after_break=0, find_breaks=False)
LONG = Settings(window=2000, gamma=0, gamma_after_break=0, find_breaks=False)


def learnt(
    seed: int = 1, days: int = 168, series: int = 4, share: float = 0.5, how: Settings = STILL
) -> tuple[Calibration, pl.DataFrame]:
    """A calibration, and 28 days ahead of it."""
    rows = issued(shared(seed, days, series, share=share))
    return calibrate(rows, ["product"], settings=how), after(rows.filter(pl.col("day") < FIRST + timedelta(28)), days)


def after(rows: pl.DataFrame, days: int) -> pl.DataFrame:
    return rows.with_columns(pl.col("day").dt.offset_by(f"{days}d")).drop("actual")


def variance_of_total(paths: pl.DataFrame) -> float:
    return float(paths.group_by("path").agg(pl.col("value").sum())["value"].var())  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_path_is_within_the_bands_as_often_as_they_say(seed: int) -> None:
    made, ahead = learnt(seed)
    paths = sample_paths(made, ahead, 500, seed).join(made.bands(ahead), on=["product", "day"])
    for level in (80, 95):
        inside = paths.select(pl.col("value").is_between(f"low_{level}", f"high_{level}").mean()).item()
        assert inside == pytest.approx(level / 100, abs=0.03)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_quantiles_of_the_paths_are_the_limits_of_the_bands(seed: int) -> None:
    made, ahead = learnt(seed, days=1120, how=LONG)
    paths = (
        sample_paths(made, ahead, 400, seed)
        .group_by("product")
        .agg(pl.col("value").quantile(0.1).alias("low"), pl.col("value").quantile(0.9).alias("high"))
    )
    bands = made.bands(ahead).group_by("product").agg(pl.col("low_80", "high_80").mean())
    both = paths.join(bands, on="product")
    assert both.select((pl.col("low") - pl.col("low_80")).abs().max()).item() < 0.15
    assert both.select((pl.col("high") - pl.col("high_80")).abs().max()).item() < 0.15


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_series_that_share_half_their_variance_are_as_correlated_in_the_paths(seed: int) -> None:
    made, ahead = learnt(seed, days=1120, how=LONG)
    paths = sample_paths(made, ahead, 400, seed).pivot("product", index=["day", "path"], values="value")
    assert paths.select(pl.corr("0", "1")).item() == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_variance_of_the_total_is_that_of_the_process_and_not_of_independent_draws(seed: int) -> None:
    made, ahead = learnt(seed, days=1120, how=LONG)
    truth = np.var([shared(1000 + draw, 28, 4, share=0.5).sum() for draw in range(2000)])
    independent = 28 * 4
    assert truth > 5 * independent
    assert variance_of_total(sample_paths(made, ahead, 2000, seed, block=14)) == pytest.approx(truth, rel=0.25)
    assert variance_of_total(sample_paths(made, ahead, 2000, seed, block=1)) < 0.55 * truth


def test_the_same_seed_gives_the_same_paths_whatever_the_order_and_another_seed_others() -> None:
    made, ahead = learnt()
    one = sample_paths(made, ahead, 20, 7)
    assert_frame_equal(one, sample_paths(made, ahead.sample(fraction=1, shuffle=True, seed=1), 20, 7))
    assert not one.equals(sample_paths(made, ahead, 20, 8))
    assert one.columns == ["product", "day", "path", "value"]
    assert one["path"].n_unique() == 20
    assert one.height == 20 * ahead.height


def test_a_path_keeps_to_the_width_of_its_day_and_its_total_is_not_raised_by_a_floor() -> None:
    made, ahead = learnt(how=Settings(floor_at=0.0))
    wide = ahead.with_columns(pl.col("low", "high") * 10)
    one, other = (sample_paths(made, each, 50, 1)["value"] for each in (ahead, wide))
    assert (one * 10 - other).abs().max() == pytest.approx(0.0, abs=1e-5)
    assert one.mean() == pytest.approx(float((made.residuals.error * made.residuals.width).mean()), abs=0.15)


def test_a_new_series_and_one_with_holes_have_paths_too() -> None:
    rows = issued(shared(1, 168, 3)).filter((pl.col("product") < 2) | (pl.col("day") > FIRST + timedelta(150)))
    made = calibrate(rows, ["product"], settings=STILL)
    ahead = after(rows.filter(pl.col("day") < FIRST + timedelta(28), pl.col("product") == 0), 168)
    more = pl.concat([ahead.with_columns(product=pl.lit(each)) for each in (0, 2, 9)])
    paths = sample_paths(made, more, 50, 1)
    assert paths["value"].null_count() == 0
    assert paths.group_by("product").agg(pl.col("value").std())["value"].min() > 0.5  # type: ignore[operator]


def test_nothing_to_sample_from_is_refused_and_nothing_to_sample_for_is_empty() -> None:
    made, ahead = learnt()
    with pytest.raises(Refused, match="0 matured rows"):
        sample_paths(calibrate(issued(shared(1, 28, 1)).clear(), ["product"]), ahead, 10, 1)
    with pytest.raises(Refused, match="0 paths"):
        sample_paths(made, ahead, 0, 1)
    assert sample_paths(made, ahead.clear(), 10, 1).height == 0
    assert total_interval(made, ahead.clear()).rows.height == 0


@pytest.mark.parametrize("by", [[], ["product"]])
def test_intervals_of_weekly_totals_cover_as_they_say(by: list[str]) -> None:
    inside = []
    for seed in range(30):
        rows = issued(shared(seed, 175, 4, share=0.5), every=7)
        first = pl.col("days_ahead") <= 7
        made = calibrate(rows.filter(first, pl.col("day") < FIRST + timedelta(168)), ["product"], settings=STILL)
        ahead = rows.filter(first, pl.col("day") >= FIRST + timedelta(168))
        found = total_interval(made, ahead, by).rows
        actual = ahead.group_by(by or pl.lit(1).alias("all")).agg(pl.col("actual").sum()).sort(by or "all")["actual"]
        inside += [((found["low_80"] <= actual) & (actual <= found["high_80"])).mean()]
    assert np.mean(inside) == pytest.approx(0.8, abs=0.12)


def test_the_interval_of_a_total_is_neither_the_sum_of_limits_nor_that_of_independent_series() -> None:
    made, ahead = learnt(days=1120, series=20, share=0.2, how=LONG)
    week = ahead.filter(pl.col("days_ahead") <= 7)
    half = total_interval(made, week).rows["high_80"].item()
    bands = made.bands(week)
    assert half < 0.75 * bands["high_80"].sum()
    assert half > 1.5 * np.sqrt((bands["high_80"] ** 2).sum())


def test_too_few_totals_that_do_not_overlap_are_refused_with_the_days_it_takes() -> None:
    made, ahead = learnt()
    found = total_interval(made, ahead)
    assert found.rows.select("days", "series", "windows").row(0) == (28, 4, 141)
    assert found.rows["high_95"].to_list() == [None]
    assert found.rows["high_80"].null_count() == 0
    assert found.refused == {
        0.95: "No 95% interval of one of the totals: over 28 days there are 6 past ones that do not overlap;"
        " it needs 19, that is 532 matured days."
    }


def test_a_total_of_one_day_and_series_has_the_limits_of_a_hand_table() -> None:
    rows = issued(np.arange(1.0, 29)[:, None], half=1.0)
    made = calibrate(rows, ["product"], settings=STILL)
    one = after(rows.head(1), 28)
    found = total_interval(made, one).rows
    assert found.select("low_80", "high_80", "low_95", "high_95").row(0) == pytest.approx((-24.0, 24.0, -28.0, 28.0))


def test_a_total_by_what_is_no_key_is_refused_and_counts_stay_above_zero() -> None:
    made, ahead = learnt(how=Settings(floor_at=0.0))
    with pytest.raises(Refused, match="Totals by shop, which is no key: give some of product"):
        total_interval(made, ahead, ["shop"])
    assert total_interval(made, ahead).rows["low_80"].to_list() == [0.0]
