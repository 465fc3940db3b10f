"""Forecasting: who serves, a row for each series and day ahead, stamped; by the features that the version was trained for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from itertools import pairwise
from typing import Any

import lightgbm
import polars as pl
import pytest

from lightkeeper.errors import Refused
from lightkeeper.measure.novelty import Reference
from lightkeeper.models.backtesting import scored
from lightkeeper.models.following import moved as move
from lightkeeper.models.forecasting import Server, _rounded, forecast, server
from lightkeeper.models.model import Model
from lightkeeper.models.outcomes import forecast_schema, outcome_schema, outcomes
from lightkeeper.models.registry import Trained, as_calibration
from tests.lightkeeper.lamps import AHEAD, COUNTS, KNOWN, LAMPS, LAST, REPAIRS, RETURNS, SERIES, SOLD, row, table, trained


def serves(model: Model = LAMPS, number: int = 3) -> Server:
    """A version with a sample of the rows that it learnt from."""
    one = trained(model, table(), number)
    known = table().filter(pl.col("day") <= one.last_day)
    reference = Reference.of(one.fitted.matrix(known), one.fitted.features, tuple(one.fitted.categories)).to_bytes()
    return Server(
        model.name, Trained(one.version, one.fitted, one.first_day, one.last_day, {**one.row, "reference": reference}), "champion"
    )


NAIVE = Server("lamps", None, "champion")


def made(model: Model = LAMPS, who: Server | None = None, rows: pl.DataFrame | None = None) -> pl.DataFrame:
    return forecast(model, who or serves(model), (table() if rows is None else rows).lazy(), "lamp_features@12").rows


def test_each_series_has_one_row_for_each_day_of_the_horizon_after_the_last_known_one() -> None:
    rows = made()
    assert rows.height == SERIES * AHEAD == rows.select("shop", "lamp", "day").n_unique()
    assert rows["day"].unique().sort().to_list() == [LAST + timedelta(n + 1) for n in range(AHEAD)]
    assert (rows["day"] - rows["origin"]).dt.total_days().to_list() == rows["days_ahead"].to_list()
    assert rows["units_forecast"].null_count() == 0
    assert rows.columns == list(forecast_schema(LAMPS)[0])


def test_each_row_is_stamped_with_the_model_version_who_it_was_the_table_version_and_the_origin() -> None:
    stamps = made().select("model_version", "made_by", "table_version", "origin").unique().rows()
    assert stamps == [("lamps:v3", "champion", "lamp_features@12", LAST)]
    assert made(who=NAIVE).select("model_version", "made_by").unique().rows() == [("lamps:naive", "champion")]


def test_the_numbers_are_those_that_lightgbm_gives_for_the_same_rows() -> None:
    rows, who = table().filter(pl.col("day") > LAST).sort("day", "shop", "lamp"), serves()
    assert who.trained is not None
    booster = lightgbm.Booster(model_str=who.trained.fitted.parts["point"].decode())
    oracle = booster.predict(who.trained.fitted.matrix(rows), num_threads=1)
    assert made(who=who).sort("day", "shop", "lamp")["units_forecast"].to_list() == list(oracle)


def test_the_naive_forecast_is_the_same_weekday_of_the_last_known_week() -> None:
    rows = made(who=NAIVE)
    week = table().filter(pl.col("day") > LAST - timedelta(7), pl.col("day") <= LAST)
    for weeks in (1, 2):
        ahead = rows.join(week.select("shop", "lamp", pl.col("day") + timedelta(7 * weeks), "units"), on=["shop", "lamp", "day"])
        assert ahead.height == SERIES * 7
        assert ahead["units_forecast"].to_list() == ahead["units"].cast(pl.Float64).to_list()


@pytest.mark.parametrize("who", [None, NAIVE], ids=["model", "naive"])
def test_limits_lie_around_the_forecast_and_the_wider_level_around_the_narrower(who: Server | None) -> None:
    rows = made(who=who).drop_nulls("low_80")
    assert rows.height > 0
    ordered = ["low_80", "units_forecast", "high_80"]
    assert all((rows[one] <= rows[next_]).all() for one, next_ in pairwise(ordered))
    wide = rows.drop_nulls("low_95")
    assert (wide["low_95"] <= wide["low_80"]).all()
    assert (wide["high_95"] >= wide["high_80"]).all()


def test_what_a_subtraction_left_over_of_a_limit_is_nothing() -> None:
    left = pl.DataFrame(
        {"low_80": [0.3 - (0.1 + 0.2), 2.0, None], "high_80": [0.6, 3.0 + 4e-16, None], "band_from": ["series"] * 3}
    )
    sure = pl.DataFrame({"low_80": [0.0, 2.0, None], "high_80": [0.6, 3.0, None], "band_from": ["series"] * 3})
    assert left["low_80"][0] != 0
    assert _rounded(left, pl.Series([0.3, 2.5, 1.0])).equals(sure)


def test_an_interval_that_the_past_cannot_support_is_refused_with_a_sentence() -> None:
    found = forecast(LAMPS, serves(), table().lazy(), "t@1")
    assert found.calibration is not None
    assert 0.95 in found.calibration.refused  # 14 matured days are fewer than 19
    assert found.rows["low_95"].null_count() == found.rows.height


def test_inputs_unlike_any_that_were_learnt_from_are_told() -> None:
    far = table().with_columns(pl.when(pl.col("day") > LAST).then(pl.lit(900.0)).otherwise("price").alias("price"))
    rows, usual = made(rows=far), made()
    assert (rows["novelty"] < 0.02).all()
    assert (usual["novelty"] > 0.02).mean() > 0.9  # type: ignore[operator]
    assert rows["outside"].to_list() == [["price"]] * rows.height


def test_a_new_category_is_told_and_forecast_without_it() -> None:
    new = table().with_columns(pl.when(pl.col("day") > LAST).then(pl.lit("square")).otherwise("wick").alias("wick"))
    found = forecast(LAMPS, serves(), new.lazy(), "t@1")
    assert found.unseen == {"wick": ("square",)}
    assert all("wick" in one for one in found.rows["outside"])
    assert found.rows["units_forecast"].is_finite().all()


def judged(level: float, since: int = 20) -> tuple[Server, pl.DataFrame]:
    """A version with a backtest, trained well before the last day; from the day `since` before it the world has another level."""
    rows = beyond()
    until = LAST + timedelta(10)
    version = trained(LAMPS, rows, 3, until)
    backtest = scored(LAMPS, *_of_days(version, rows, until - timedelta(AHEAD), until))
    held = Trained(
        version.version, version.fitted, version.first_day, until, {**version.row, "calibration": as_calibration(backtest)}
    )
    after = pl.col("day") > LAST + timedelta(40 - since)
    shifted = rows.with_columns(pl.when(after).then((pl.col("units") * level).round()).otherwise(pl.col("units")).cast(pl.Int64))
    shifted = shifted.with_columns(pl.when(pl.col("day") <= LAST + timedelta(40)).then(pl.col("units")).alias("units"))
    return Server("lamps", held, "champion"), shifted


def beyond() -> pl.DataFrame:
    """All days of `judged`, those ahead with what will come true before the world's level changes."""
    return table(known=KNOWN + 40 + AHEAD, ahead=0)


def _of_days(version: Trained, rows: pl.DataFrame, first: date, last: date) -> tuple[pl.DataFrame, pl.DataFrame, date]:
    mine = rows.filter(pl.col("day") > first, pl.col("day") <= last).sort(LAMPS.row_key)
    return mine, version.fitted.scored(mine), first


@pytest.mark.parametrize("level", [0.4, 2.0])
def test_while_outcomes_have_another_level_forecasts_and_limits_are_moved_to_it(level: float) -> None:
    who, rows = judged(level)
    moved, own = (made(model, who, rows) for model in (LAMPS, replace(LAMPS, follow_level=False)))
    factor = moved["level_factor"].unique().to_list()
    assert len(factor) == 1
    assert factor[0] == pytest.approx(level, rel=0.1)
    assert moved["units_forecast"].to_list() == pytest.approx((own["units_forecast"] * factor[0]).to_list())
    assert own["level_factor"].unique().to_list() == [1.0]
    held = moved.drop_nulls("low_80")
    assert held.height == moved.height
    assert held.filter((pl.col("low_80") > pl.col("units_forecast")) | (pl.col("high_80") < pl.col("units_forecast"))).is_empty()
    truth = beyond().join(moved, on=LAMPS.row_key, how="semi").sort(LAMPS.row_key)["units"] * level
    error = {name: (truth - one.sort(LAMPS.row_key)["units_forecast"]).abs().mean() for name, one in (("m", moved), ("o", own))}
    assert float(str(error["m"])) < float(str(error["o"])) / 3


def test_a_band_is_not_narrowed_above_by_a_fall_and_is_widened_by_a_rise() -> None:
    rows = pl.DataFrame({"forecast": [10.0], "low": [4.0], "high": [25.0]})
    assert move(rows, pl.lit(0.5)).row(0) == (5.0, 2.0, 20.0)
    assert move(rows, pl.lit(2.0)).row(0) == (20.0, 8.0, 50.0)
    assert move(rows.with_columns(low=pl.lit(None, pl.Float64), high=pl.lit(None, pl.Float64)), pl.lit(2.0)).row(0) == (
        20.0,
        None,
        None,
    )


def test_intervals_around_moved_forecasts_learn_from_what_moved_forecasts_missed() -> None:
    who, rows = judged(0.4, since=39)
    moved, own = (made(model, who, rows) for model in (LAMPS, replace(LAMPS, follow_level=False)))
    width = {name: (one["high_80"] - one["low_80"]).mean() for name, one in (("moved", moved), ("own", own))}
    assert float(str(width["moved"])) < float(str(width["own"]))


def test_days_that_look_broken_tell_no_level() -> None:
    who, rows = judged(0.4)
    broken = [LAST + timedelta(nth) for nth in range(21, 41)]
    found = forecast(LAMPS, who, rows.lazy(), "lamp_features@12", broken)
    assert found.rows["level_factor"].unique().to_list() == [1.0]
    assert forecast(LAMPS, who, rows.lazy(), "lamp_features@12").shift.since is not None


@pytest.mark.parametrize("change", [{"follow_level": False}, {"horizon": None}, {"kind": "binary", "target": "sold"}])
def test_a_model_without_days_ahead_a_probability_and_one_that_is_told_not_to_follow_nothing(change: dict[str, Any]) -> None:
    assert not replace(LAMPS, **change).follows


def test_a_quiet_world_moves_nothing() -> None:
    who, rows = judged(1.0)
    assert made(LAMPS, who, rows)["level_factor"].unique().to_list() == [1.0]
    assert made(who=NAIVE)["level_factor"].unique().to_list() == [1.0]


def test_days_beyond_the_horizon_are_left_out() -> None:
    assert made(replace(LAMPS, horizon=2), serves())["days_ahead"].unique().sort().to_list() == [1, 2]


def test_a_version_trained_for_other_features_than_are_declared_now_uses_its_own() -> None:
    fewer = serves(replace(LAMPS, features=("price",)))
    now = table().with_columns(weekday=pl.lit(None, pl.Int64))
    assert made(who=fewer, rows=now).equals(made(who=fewer))


def test_who_cannot_serve_is_passed_over_down_to_the_naive_forecast_with_the_reason() -> None:
    broken = row(LAMPS, table(), 3).with_columns(artifact=pl.lit(b"tree"))
    versions = pl.concat([row(LAMPS, table(2), 2), broken]).lazy()
    previous, naive = server("lamps", versions, [3, 2, 0]), server("lamps", versions, [3, 0])
    assert (previous.name, previous.made_by) == ("lamps:v2", "previous")
    assert (naive.name, naive.made_by) == ("lamps:naive", "naive")
    assert "lamps:v3: its bytes are not those that were recorded" in previous.passed_over[0]
    assert server("lamps", None, [3, 0]).passed_over == ("model lamps has no version 3; it has none yet: materialize lamps_model.",)
    assert server("lamps", versions, [2, 0]).made_by == server("lamps", versions, [0]).made_by == "champion"


Change = Callable[[pl.LazyFrame], pl.LazyFrame]
REFUSED: list[tuple[str, Change, str]] = [
    ("no known day", lambda t: t.with_columns(units=pl.lit(None, pl.Int64)), "no row of lamp_features has a known units"),
    ("no day ahead", lambda t: t.filter(pl.col("day") <= LAST), f"no rows after {LAST}; it must reach 14 days ahead"),
    ("a feature that is gone", lambda t: t.drop("price"), "lamps:v3 cannot forecast .* has no column price"),
    ("a feature of lists", lambda t: t.with_columns(price=pl.lit([1])), r"lamps:v3 cannot .* is no number and no text"),
    (
        "an endless feature",
        lambda t: t.with_columns(price=pl.lit(float("inf"))),
        "the feature price is infinite for .* Make it null",
    ),
]


@pytest.mark.parametrize(("change", "said"), [row_[1:] for row_ in REFUSED], ids=[row_[0] for row_ in REFUSED])
def test_a_table_that_nothing_can_be_forecast_from_is_refused_by_name(change: Change, said: str) -> None:
    with pytest.raises(Refused, match=said):
        forecast(LAMPS, serves(), change(table().lazy()), "t@1")


def test_a_version_trained_for_another_target_is_not_taken_for_this_one() -> None:
    other = replace(LAMPS, target="revenue")
    with pytest.raises(Refused, match=r"lamps:v3 was trained for units, not for revenue\. Materialize lamps_model"):
        forecast(other, serves(), table().with_columns(revenue=pl.col("units")).lazy(), "t@1")


@pytest.mark.parametrize("model", [COUNTS, SOLD, RETURNS, REPAIRS], ids=["count", "binary", "binary rows", "rows"])
def test_each_kind_of_model_forecasts_and_has_outcomes_when_the_truth_comes(model: Model) -> None:
    rows, truth = made(model), table(known=KNOWN + AHEAD, ahead=0)
    assert rows.columns == list(forecast_schema(model)[0])
    found = outcomes(model, rows.lazy(), truth.lazy())
    assert found.columns == list(outcome_schema(model)[0])
    assert found.height == rows.height == SERIES * AHEAD
    joined = found.join(truth, on=["shop", "lamp", "day"])
    assert joined["actual"].to_list() == joined[model.target].cast(pl.Float64).to_list()
    assert (found["actual"] - found["forecast"]).to_list() == found["error"].to_list()
    assert outcomes(model, rows.lazy(), table().lazy()).is_empty()
    assert (rows[model.forecast_column] >= 0).all()
