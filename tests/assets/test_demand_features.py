"""The features of demand: each is known 28 days ahead, and each equals what a plain loop over the days gives."""

from __future__ import annotations

import random
from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from assets import MODELS
from lightkeeper.errors import Refused
from lightkeeper.measure.contract import known_ahead
from tests.assets.shop import FIRST, Shop, ahead, demand

DAYS, LAST = 480, FIRST + timedelta(479)
NONE = pl.DataFrame(schema={"day": pl.Date, "name": pl.String, "closed": pl.Boolean})


def panel(seed: int, days: int = DAYS) -> pl.DataFrame:
    """Two products, one of which enters late; some days missing, prices only where something was sold."""
    chance, rows = random.Random(seed), []  # noqa: S311 - a seed
    for product, entry in (("10001A", 0), ("10002", 90)):
        for n in range(entry, days):
            units = None if chance.random() < 0.05 else chance.randint(-1, 9)
            price = chance.choice([1.5, 2.25]) if units and units > 0 and chance.random() < 0.2 else None
            rows.append((product, FIRST + timedelta(n), units, price, "traded"))
    names = {"product": pl.String, "day": pl.Date, "units": pl.Int64, "price_gbp": pl.Float64, "day_state": pl.String}
    return pl.DataFrame(rows, schema=names, orient="row")


def features(rows: pl.DataFrame) -> pl.DataFrame:
    return ahead.features(rows, NONE, rows["day"].max())


def mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def by_hand(rows: pl.DataFrame, product: str, day: date) -> dict[str, float | None]:
    """Every feature of one row, by a plain loop."""
    mine = rows.filter(pl.col("product") == product)
    units = dict(mine.select("day", "units").iter_rows())
    price = dict(mine.select("day", "price_gbp").iter_rows())

    def back(what: dict[date, float | None], first: int, count: int) -> list[float | None]:
        return [what.get(day - timedelta(first + n)) for n in range(count)]

    known = back(units, 28, 91)
    return {
        "weekday": day.isoweekday(),
        "week": day.isocalendar().week,
        "closed": day.isoweekday() == 6,
        "list_price_gbp": next((one for one in back(price, 28, 182) if one is not None), None),
        "units_28d_ago": units.get(day - timedelta(28)),
        "units_364d_ago": units.get(day - timedelta(364)),
        "units_same_weekday": mean([units.get(day - timedelta(lag)) for lag in (28, 35, 42, 49)]),
        "units_mean_7d": mean(known[:7]),
        "units_mean_28d": mean(known[:28]),
        "units_mean_91d": mean(known),
        "sold_share_91d": mean([None if one is None else float(one > 0) for one in known]),
    }


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_each_feature_equals_a_plain_loop_over_the_days(seed: int) -> None:
    rows, chance = panel(seed), random.Random(seed)  # noqa: S311 - a seed
    found = features(rows)
    for row in chance.sample(list(found.iter_rows(named=True)), 60):
        wanted = by_hand(rows, row["product"], row["day"])
        assert {name: row[name] for name in wanted} == pytest.approx(wanted, abs=1e-12), (row["product"], row["day"])


def test_no_feature_of_a_day_depends_on_what_happened_less_than_28_days_before() -> None:
    rows = panel(4)
    day = LAST - timedelta(40)
    later = pl.col("day") > day - timedelta(28)
    other = rows.with_columns(
        pl.when(later).then(99).otherwise(pl.col("units")).alias("units"),
        pl.when(later).then(9.9).otherwise(pl.col("price_gbp")).alias("price_gbp"),
    )
    was, now = (features(one).filter(pl.col("day") == day).drop("units") for one in (rows, other))
    assert_frame_equal(was, now, check_exact=True)
    after = [features(one).filter(pl.col("day") == day + timedelta(1)) for one in (rows, other)]
    assert not after[0].equals(after[1])


def test_every_feature_of_the_model_is_declared_as_known_ahead_and_the_target_is_not() -> None:
    declared = known_ahead(ahead.DemandFeatures)
    model = next(one for one in MODELS if one.name == "demand")
    assert set(model.features) == set(declared)
    assert model.target not in declared
    assert model.horizon == ahead.HORIZON


def test_each_product_has_rows_for_exactly_28_days_ahead_without_a_target_and_with_features() -> None:
    beyond = features(panel(1)).filter(pl.col("day") > LAST)
    assert beyond.height == 2 * 28
    assert beyond["day"].max() == LAST + timedelta(28)
    assert beyond["units"].null_count() == beyond.height
    assert beyond["units_mean_28d"].null_count() == 0


@pytest.mark.parametrize("seed", [0, 1])
def test_a_change_long_ago_is_followed_as_far_as_features_look_back(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demand, "DAYS_SOLD_TO_ENTER", 3)
    shop = Shop.opened(tmp_path, seed, days=430)
    shop.refresh()
    for back in (1, 120, 400):
        shop.correct(back)
        shop.refresh()
        shop.arrive(1, gap=seed)
        shop.refresh()
    assert_frame_equal(shop.rows("demand_features"), shop.whole()["demand_features"], check_exact=True)
    assert set(shop.modes["demand_features"][1:]) == {"days"}


def test_a_new_day_computes_itself_and_what_lies_ahead_of_it_and_nothing_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demand, "DAYS_SOLD_TO_ENTER", 3)
    shop = Shop.opened(tmp_path, 7, days=430)
    shop.refresh()
    shop.arrive()
    shop.refresh()
    replaced = shop.lake.history("demand_features")[0].replaced
    assert (min(replaced), max(replaced), len(replaced)) == (shop.last, shop.last + timedelta(28), 29)


def test_a_panel_without_a_product_says_when_features_begin(tmp_path: Path) -> None:
    shop = Shop.opened(tmp_path, 1, days=5)
    with pytest.raises(Refused, match="no product has sold on 100 days yet"):
        shop.refresh()
