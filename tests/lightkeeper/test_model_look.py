"""A trained champion looked at, without Dagster: what its look finds in a quiet world, and each of its checks made to fail."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from pathlib import Path

import polars as pl
import pytest

from lightkeeper.lake.table import Lake
from lightkeeper.models.backtesting import backtest, origins
from lightkeeper.models.decisions import decided, promoted
from lightkeeper.models.forecasting import Server, forecast
from lightkeeper.models.model import Model
from lightkeeper.models.outcomes import outcomes
from lightkeeper.models.registry import Made, as_calibration, read_version, version_row
from lightkeeper.models.training import fit, training_frame
from lightkeeper.values import Decision, Verdict
from lightkeeper.watch.models import look
from tests.clock import Clock
from tests.lightkeeper.lamps import FEATURES, FIRST, LAMPS, NOW, table

AHEAD = 28
MODEL = replace(LAMPS, horizon=AHEAD)
LEARNT, LAST = FIRST + timedelta(151), FIRST + timedelta(179)  # the last day that was learnt from, and that has matured
ROWS = table(1, 180, 0).with_columns(pl.col("units").cast(pl.Float64))


@cache
def version(number: int, features: tuple[str, ...] = LAMPS.features) -> pl.DataFrame:
    """The row of a version, with its backtest of the twelve weeks up to what it learnt."""
    recipe = replace(MODEL, features=features)
    artifact = fit(recipe, training_frame(recipe, ROWS.lazy(), LEARNT))
    kept = as_calibration(backtest(recipe, ROWS.lazy(), origins(LEARNT, AHEAD, 3)))
    return version_row(recipe, number, artifact, Made((FEATURES,), NOW, {}, "refit", calibration=kept))


@cache
def forecasts() -> pl.DataFrame:
    """What version 1 forecast on the day that it was trained, of the four weeks that have matured since."""
    then = ROWS.with_columns(pl.when(pl.col("day") <= LEARNT).then(pl.col("units")))
    who = Server("lamps", read_version("lamps", version(1).lazy(), 1), "champion")
    return forecast(MODEL, who, then.lazy(), str(FEATURES)).rows


class Shop:
    """A lake in which version 1 has served since it was trained, on the morning after its forecasts have come true."""

    def __init__(self, folder: Path, features: tuple[str, ...] = LAMPS.features) -> None:
        self.clock = Clock(morning(LEARNT + timedelta(1)))
        self.lake = Lake(folder, clock=self.clock)
        self.serves(1, features)
        self.clock.now = morning(LAST + timedelta(1))

    def serves(self, number: int, features: tuple[str, ...] = LAMPS.features) -> None:
        self.lake.append("lamps_model", version(number, features))
        promoted(self.lake, Decision("lamps", "promoted", number, "a test", "It is better."))

    def looked(self, model: Model = MODEL, *, rows: pl.DataFrame = ROWS, made: pl.DataFrame | None = None) -> dict[str, Verdict]:
        """Check -> the verdict on the forecasts, or on others that were made, beside what came true."""
        features = self.lake.write("lamp_features", rows, by="day")
        found = outcomes(model, (forecasts() if made is None else made).lazy(), rows.lazy())
        newest = self.lake.write("lamps_outcome", found, by="day", inputs=[features])
        return {one.check: one for judged in look(self.lake, model, newest).judged for one in judged.verdicts}


def morning(day: date) -> datetime:
    return datetime.combine(day, time(6), UTC)


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


def test_a_look_at_a_champion_in_a_quiet_world_fails_nothing(shop: Shop) -> None:
    found = shop.looked()
    states = {check: one.state for check, one in found.items()}
    asked = ("age", "unlearnt", "accuracy", "coverage_80", "coverage_95", "anomalies", "level_shift")
    assert states == {**dict.fromkeys(asked, "passed"), "former": "passed"}


# ---- anomalies


def moved(widths: Sequence[float]) -> pl.DataFrame:
    """What came true, with the oil of York on the last days so many half widths of its 80% band above its forecast."""
    last = [LAST - timedelta(len(widths) - 1 - number) for number in range(len(widths))]
    half = (pl.col("high_80") - pl.col("low_80")) / 2
    theirs = (
        forecasts()
        .filter(pl.col("shop") == "York", pl.col("lamp") == "oil")
        .join(pl.DataFrame({"day": last, "widths": widths}), on="day")
        .select("shop", "lamp", "day", units=pl.col("units_forecast") + pl.col("widths") * half)
    )
    return ROWS.update(theirs, on=["shop", "lamp", "day"])


@pytest.mark.parametrize(("widths", "direction"), [([1.5] * 5, "above"), ([-1.5] * 5, "below")], ids=["above", "below"])
def test_a_series_that_is_beyond_its_band_for_days_is_named(shop: Shop, widths: list[float], direction: str) -> None:
    found = shop.looked(rows=moved(widths))["anomalies"]
    assert (found.state, found.measured, found.n) == ("failed", 1.0, 4)
    assert found.why.endswith(f"For days together, or for a second day: York oil {direction}.")


def test_one_huge_day_of_a_series_is_told_and_is_no_alarm(shop: Shop) -> None:
    found = shop.looked(rows=moved([0, 0, 0, 0, 6]))["anomalies"]
    assert (found.state, found.measured) == ("passed", 0.0)
    assert found.why.startswith("1 of 4 series are anomalous")
    assert found.why.endswith("One day alone is no alarm.")


@pytest.mark.parametrize("widths", [[0.9, -0.9, 0.9, -0.9, 0.9], [0.4] * 5], ids=["on both sides", "on one side"])
def test_a_series_within_its_band_is_not_named(shop: Shop, widths: list[float]) -> None:
    found = shop.looked(rows=moved(widths))["anomalies"]
    assert (found.state, found.measured, found.n) == ("passed", 0.0, 4)


# ---- coverage


def narrowed(level: str, share: float) -> pl.DataFrame:
    """The forecasts with one interval a share as wide on either side."""
    middle = pl.col("units_forecast")
    limits = (f"{side}_{level}" for side in ("low", "high"))
    return forecasts().with_columns((middle + (pl.col(name) - middle) * share).alias(name) for name in limits)


@pytest.mark.parametrize(("level", "other"), [("80", "95"), ("95", "80")])
def test_an_interval_that_is_too_narrow_fails_its_own_coverage_and_no_other(shop: Shop, level: str, other: str) -> None:
    made = narrowed(level, 0.2)
    beside = made.join(ROWS.select("shop", "lamp", "day", "units"), on=["shop", "lamp", "day"])
    inside = beside["units"].is_between(beside[f"low_{level}"], beside[f"high_{level}"])
    found = shop.looked(made=made)
    failed = found[f"coverage_{level}"]
    assert (failed.state, failed.n) == ("failed", 4 * AHEAD)
    assert failed.measured == pytest.approx(inside.mean())
    assert failed.measured < failed.limit < int(level) / 100
    assert f"Bands at {level}% covered" in failed.why
    assert [found[name].state for name in (f"coverage_{other}", "accuracy")] == ["passed", "passed"]


def test_the_intervals_of_who_stood_in_for_the_champion_are_none_of_its_own(shop: Shop) -> None:
    stood_in = narrowed("80", 0.2).filter(pl.col("day") <= LEARNT + timedelta(14)).with_columns(model_version=pl.lit("lamps:naive"))
    own = forecasts().filter(pl.col("day") > LEARNT + timedelta(14))
    found = shop.looked(made=pl.concat([stood_in, own]))["coverage_80"]
    assert (found.state, found.n) == ("passed", 4 * 14)


# ---- who served before


PRICELESS = tuple(name for name in LAMPS.features if name != "price")  # the price moves the units most


@pytest.mark.parametrize(
    ("first", "second", "state"),
    [(LAMPS.features, PRICELESS, "failed"), (PRICELESS, LAMPS.features, "passed")],
    ids=["worse", "better"],
)
def test_who_served_before_is_compared_with_the_champion_on_the_outcomes_since_it_serves(
    tmp_path: Path, first: tuple[str, ...], second: tuple[str, ...], state: str
) -> None:
    shop = Shop(tmp_path, first)
    shop.clock.now = morning(LAST - timedelta(AHEAD - 1))
    shop.serves(2, second)
    shop.clock.now = morning(LAST + timedelta(1))
    former = shop.looked()["former"]
    assert (former.state, former.n, former.column) == (state, AHEAD, "lamps:v2")
    assert former.why.startswith("Over the 28 days since lamps:v2 replaced lamps:v1, ")
    assert (former.measured > 0.5) == (state == "failed")


def test_a_champion_that_has_served_for_a_few_days_is_not_compared_yet(shop: Shop) -> None:
    shop.clock.now = morning(LAST - timedelta(12))
    shop.serves(2, PRICELESS)
    shop.clock.now = morning(LAST + timedelta(1))
    former = shop.looked()["former"]
    assert (former.state, former.n) == ("learning", 13)


# ---- days that were not learnt from


@pytest.mark.parametrize(
    ("most", "unlearnt", "age"),
    [(AHEAD - 1, "failed", "failed"), (AHEAD, "passed", "failed"), (AHEAD + 1, "passed", "passed")],
    ids=["27", "28", "29"],
)
def test_matured_days_that_were_not_learnt_from_fail_by_themselves_beyond_the_limit(
    shop: Shop, most: int, unlearnt: str, age: str
) -> None:
    found = shop.looked(replace(MODEL, max_age_days=most))
    assert (found["unlearnt"].state, found["unlearnt"].measured, found["unlearnt"].limit) == (unlearnt, AHEAD, most)
    assert (found["age"].state, found["age"].measured) == (age, AHEAD + 1)  # by the clock, which is a day further


def test_days_on_which_a_challenger_was_no_better_count_as_learnt_from(shop: Shop) -> None:
    said = Decision("lamps", "confirmed", 2, "a test", "It is no better.", against=1, judgement=1, matured=LEARNT + timedelta(10))
    decided(shop.lake, said)
    found = shop.looked(replace(MODEL, max_age_days=AHEAD - 10))["unlearnt"]
    assert (found.state, found.measured, found.n) == ("passed", AHEAD - 10, AHEAD - 10)
    assert f"was confirmed on outcomes up to {LEARNT + timedelta(10)}" in found.why
