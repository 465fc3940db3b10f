"""Forecasting: a row for each series and day ahead, stamped; by the features that the version was trained for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import lightgbm
import polars as pl
import pytest

from lightkeeper.errors import Refused
from lightkeeper.models.forecasting import forecast
from lightkeeper.models.model import Model
from lightkeeper.models.registry import Trained, newest, version_row
from lightkeeper.models.training import matrix, train, training_frame
from tests.lightkeeper.lamps import AHEAD, LAMPS, LAST, table


def trained(model: Model = LAMPS, number: int = 3) -> Trained:
    artifact = train(model, training_frame(model, table().lazy()))
    return newest(model, version_row(model, number, artifact, [], datetime(2026, 3, 6, tzinfo=UTC)).lazy())


def test_each_series_has_one_row_for_each_day_of_the_horizon_after_the_last_known_one() -> None:
    made = forecast(LAMPS, trained(), table(5).lazy(), "lamp_features@12")
    assert made.height == 4 * AHEAD == made.select("shop", "lamp", "day").n_unique()
    assert made["day"].unique().sort().to_list() == [LAST + timedelta(n + 1) for n in range(AHEAD)]
    assert (made["day"] - made["origin"]).dt.total_days().to_list() == made["days_ahead"].to_list()
    assert made["units_forecast"].null_count() == 0


def test_each_row_is_stamped_with_the_model_version_the_table_version_and_the_origin() -> None:
    made = forecast(LAMPS, trained(), table().lazy(), "lamp_features@12")
    assert made.select("model_version", "table_version", "origin").unique().rows() == [("lamps:v3", "lamp_features@12", LAST)]


def test_the_numbers_are_those_that_lightgbm_gives_for_the_same_rows() -> None:
    rows = table().filter(pl.col("day") > LAST).sort("day", "shop", "lamp")
    oracle = lightgbm.Booster(model_str=trained().data.decode()).predict(matrix(LAMPS, rows), num_threads=1)
    made = forecast(LAMPS, trained(), table().lazy(), "t@1").sort("day", "shop", "lamp")
    assert made["units_forecast"].to_list() == list(oracle)


def test_days_beyond_the_horizon_are_left_out() -> None:
    made = forecast(replace(LAMPS, horizon=2), trained(), table().lazy(), "t@1")
    assert made["days_ahead"].unique().sort().to_list() == [1, 2]


def test_a_version_trained_for_other_features_than_are_declared_now_uses_its_own() -> None:
    fewer = trained(replace(LAMPS, features=("price",)))
    now = table().with_columns(weekday=pl.lit(None, pl.Int64))
    assert forecast(LAMPS, fewer, now.lazy(), "t@1").equals(forecast(LAMPS, fewer, table().lazy(), "t@1"))


Change = Callable[[pl.LazyFrame], pl.LazyFrame]
REFUSED: list[tuple[str, Change, str]] = [
    ("no known day", lambda t: t.with_columns(units=pl.lit(None, pl.Int64)), "no row of lamp_features has a known units"),
    ("no day ahead", lambda t: t.filter(pl.col("day") <= LAST), f"no rows after {LAST}; it must reach 7 days ahead"),
    ("a feature that is gone", lambda t: t.drop("price"), "lamps:v3 cannot forecast .* has no column price"),
    (
        "a feature that became text",
        lambda t: t.with_columns(price=pl.lit("dear")),
        r"lamps:v3 cannot .* price \(String\) is no number",
    ),
]


@pytest.mark.parametrize(("change", "said"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_a_table_that_nothing_can_be_forecast_from_is_refused_by_name(change: Change, said: str) -> None:
    with pytest.raises(Refused, match=said):
        forecast(LAMPS, trained(), change(table().lazy()), "t@1")


def test_a_version_trained_for_another_target_is_not_taken_for_this_one() -> None:
    other = replace(LAMPS, target="revenue")
    with pytest.raises(Refused, match=r"lamps:v3 was trained for units, not for revenue\. Materialize lamps_model"):
        forecast(other, trained(), table().with_columns(revenue=pl.col("units")).lazy(), "t@1")
