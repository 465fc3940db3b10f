"""What the accuracy and training benchmarks compute by themselves; no network, no rivals."""

from __future__ import annotations

from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path

import polars as pl
import pytest

from benchmarks import accuracy_rivals, accuracy_scores, retail, rossmann, training
from lightkeeper.measure.intervals import Settings

MONDAY = date(2024, 1, 1)
ORIGINS = [MONDAY + timedelta(28 * n) for n in range(8)]


def rows(error: float = 1.0) -> pl.DataFrame:
    """Scored rows of two series at eight origins whose actuals are 10 and whose forecasts are off by turns."""
    made = [
        {
            "shop": shop, "day": origin + timedelta(ahead), "origin": origin, "days_ahead": ahead, "actual": 10.0,
            "forecast": 10 + error * (-1) ** ahead, "low": 9.0, "high": 11.0, "other": 10 + 2 * error * (-1) ** ahead,
        }
        for origin in ORIGINS for shop in "ab" for ahead in range(1, 29)
    ]  # fmt: skip
    return pl.DataFrame(made)


def csv(folder: Path, days: int = 500) -> Path:
    """Two shops that are shut on Sundays and have a promotion every other week; the second has no rows for ten days."""
    data = pl.DataFrame({"Date": pl.date_range(MONDAY, MONDAY + timedelta(days - 1), eager=True)})
    data = data.join(pl.DataFrame({"Store": [1, 2]}), how="cross").with_row_index("n").with_columns(
        (pl.col("Date").dt.weekday() < 7).alias("Open"), (pl.col("Date").dt.week() % 2 == 0).alias("Promo")
    )  # fmt: skip
    data = data.with_columns(
        pl.when("Open").then(pl.col("n") + 1).otherwise(0).alias("Sales"),
        *(pl.lit(value=False).alias(name) for name in ("Promo2", "SchoolHoliday")),
        *(pl.lit("a").alias(name) for name in ("StoreType", "Assortment", "State")),
    )
    gone = (pl.col("Store") == 2) & pl.col("Date").is_between(MONDAY + timedelta(50), MONDAY + timedelta(59))
    data.filter(~gone).drop("n").write_csv(folder / "shops.csv")
    return folder / "shops.csv"


def test_the_days_of_two_origins_do_not_overlap_and_the_last_ends_on_the_last_known_day() -> None:
    found = accuracy_scores.origins(date(2015, 7, 31), 28, 6)
    assert (found[0], found[-1]) == (date(2015, 2, 13), date(2015, 7, 3))
    assert {(after - before).days for before, after in pairwise(found)} == {28}


def test_a_rival_s_panel_has_no_hole_and_takes_a_closed_day_from_its_own_weekday_before() -> None:
    days = pl.date_range(MONDAY, MONDAY + timedelta(13), eager=True)
    panel = pl.DataFrame({"shop": "a", "day": days, "sales": [*range(1, 7), None, None, *range(9, 14), None]})
    found = accuracy_rivals.filled(panel, "shop", "sales")["y"].to_list()
    assert (found[6], found[7], found[13]) == (0.0, 1.0, 0.0)  # a Sunday that never had a value, and a Monday that had
    assert None not in found


def test_a_band_stands_on_what_had_come_by_its_origin_and_on_nothing_after_it() -> None:
    table = rows()
    told = accuracy_scores.banded(table, ["shop"], [ORIGINS[6]], Settings())
    lied = table.with_columns(pl.when(pl.col("day") > ORIGINS[6]).then(1e6).otherwise("actual").alias("actual"))
    found = accuracy_scores.banded(lied, ["shop"], [ORIGINS[6]], Settings())
    assert told["low_80"].null_count() == 0
    assert found.drop("actual").equals(told.drop("actual"))


def test_half_the_error_is_a_ratio_of_one_half_and_of_a_quarter_when_squared() -> None:
    table = rows().with_columns(pl.lit(1.0).alias("scale_squared"))
    plain, squared = (accuracy_scores.ratio_row(table, "other", loss, "") for loss in ("absolute", "squared"))
    assert (plain["ratio"], squared["ratio"]) == pytest.approx((0.5, 0.25))
    assert accuracy_scores.loss_row(table, "other", "wape", "")["ours_s"] == pytest.approx(0.1)
    assert plain["ours_s"] == plain["spread"][1] >= plain["ratio"] >= plain["spread"][0]


def test_the_distance_of_a_coverage_from_its_level_counts_on_both_sides() -> None:
    banded = rows().with_columns(
        pl.lit(0.0).alias("low_80"), pl.lit(20.0).alias("high_80"), pl.lit(10.5).alias("low_95"), pl.lit(20.0).alias("high_95")
    )
    found = {row["what"]: row["ours_s"] for row in accuracy_scores.coverage_rows(banded, ["shop"])}
    assert found["80% band, off its level"] == pytest.approx(0.2)
    assert found["95% band, off its level"] == pytest.approx(0.95)


def test_a_rival_without_a_forecast_for_a_row_is_refused() -> None:
    table = rows()
    rival = table.select(pl.col("shop").alias("unique_id"), pl.col("day").alias("ds"), "origin", pl.lit(9.0).alias("theirs"))
    assert accuracy_scores.together(table, rival, "shop")["theirs"].null_count() == 0
    with pytest.raises(RuntimeError, match="theirs': 1"):
        accuracy_scores.together(table, rival.head(-1), "shop")


def test_no_feature_of_a_shop_s_day_knows_sales_of_the_28_days_before_it(tmp_path: Path) -> None:
    panel = rossmann.panel(csv(tmp_path))
    day = panel["day"].max() - timedelta(20)  # type: ignore[operator]
    recent = pl.col("day").is_between(day - timedelta(27), day)
    before, after = (
        rossmann.features(given).filter(pl.col("day") == day).drop("sales")
        for given in (panel, panel.with_columns(pl.when(recent).then(10**9).otherwise("sales").alias("sales")))
    )
    assert before.equals(after)
    known = panel.with_columns(pl.when(pl.col("day") == day - timedelta(28)).then(10**9).otherwise("sales").alias("sales"))
    assert not rossmann.features(known).filter(pl.col("day") == day).drop("sales").equals(before)


def test_the_shops_have_no_hole_and_no_sales_while_they_are_shut(tmp_path: Path) -> None:
    panel = rossmann.panel(csv(tmp_path))
    assert panel.height == 1000
    assert panel.filter(~pl.col("open"))["sales"].null_count() == panel.filter(~pl.col("open")).height > 140
    assert panel.null_count().drop("sales").row(0) == (0,) * 9


def test_every_feature_of_the_shops_model_is_a_column_of_its_table(tmp_path: Path) -> None:
    table = rossmann.features(rossmann.panel(csv(tmp_path)))
    assert set(rossmann.recipe().features) <= set(table.columns)


def test_the_mean_of_28_days_is_no_demand_on_a_closed_day_and_more_on_the_others() -> None:
    day = pl.Series("day", [MONDAY, MONDAY + timedelta(1)])
    table = pl.DataFrame({"product": "a", "day": day, "closed": [True, False], "units_mean_28d": 6.0})
    assert retail.mean_beside(table.select("product", "day"), table)["mean_28"].to_list() == [0.0, 7.0]


def test_every_fourth_product_by_name_is_kept() -> None:
    names = [f"p{number:02d}" for number in range(9)]
    assert retail.some_products(pl.DataFrame({"product": names[::-1]}))["product"].to_list() == ["p08", "p04", "p00"]


def test_both_sides_of_the_training_benchmark_make_the_same_numbers() -> None:
    frame = training.table(10, 250)
    assert training._ours(frame)() == pytest.approx(training._bare(frame)(), rel=1e-9)
