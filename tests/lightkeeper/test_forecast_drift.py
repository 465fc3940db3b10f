"""A table of forecasts, watched by its origin: forecasts that are other than they were are named, and quiet ones are not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import polars as pl
import pytest

import lightkeeper as lk
from lightkeeper.lake.verdicts import states
from lightkeeper.orchestrate.checks import look, plans
from tests.lightkeeper.lamps import FIRST, LAMPS, table, trained

WEEK = 7
MODEL = replace(LAMPS, horizon=WEEK)
ORIGINS = [FIRST + timedelta(90 + number) for number in range(180)]  # each shares six of its seven days with the one before
LOWERED = ORIGINS[-3]  # the first origin of lower prices, and of another version


def forecasts(seed: int, lowered: date) -> Iterator[pl.DataFrame]:
    """What a model says of the week after each origin; from an origin on all lamps of the days to come are cheap.

    The last three origins are another version's, which says the same.
    """
    rows = table(seed, 90 + len(ORIGINS) + WEEK, 0)
    version = trained(MODEL, rows, 1, ORIGINS[0])
    ahead = pl.DataFrame({"days_ahead": range(1, WEEK + 1)}, schema={"days_ahead": pl.Int64})
    each = rows.join(ahead, how="cross").with_columns(origin=pl.col("day") - pl.duration(days="days_ahead"))
    for priced, those in (("price", pl.col("origin") < lowered), (pl.lit(1.0), pl.col("origin") >= lowered)):
        mine = each.filter(pl.col("origin").is_in(ORIGINS), those).with_columns(price=priced)
        made = pl.Series(MODEL.forecast_column, version.fitted.predict(mine), dtype=pl.Float64)
        said = pl.when(pl.col("origin") < LOWERED).then(pl.lit("lamps:v1")).otherwise(pl.lit("lamps:v2")).alias("model_version")
        yield mine.select("shop", "lamp", "day", "origin", made, said)


def looked(folder: Path, seed: int, lowered: date) -> dict[str, dict[str, object]]:
    """Check -> what holds of the forecasts after a look on the morning after the last origin."""
    lake = lk.Lake(folder, clock=lambda: datetime.combine(ORIGINS[-1] + timedelta(1), time(6), UTC))
    version = lake.write(MODEL.forecast_table, pl.concat(forecasts(seed, lowered)), by="origin")
    declared = plans(lk.definitions(models=[MODEL]).assets, models_=[MODEL])
    (plan,) = [one for one in declared if one.table == MODEL.forecast_table]
    look(plan, lake, version, "a run")
    rows = states(lake).rows(pl.col("asset") == MODEL.forecast_table)
    return {row["check"]: row for row in rows.iter_rows(named=True)}


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_forecasts_that_are_other_than_they_were_are_a_drift_of_their_column_on_the_last_origin(seed: int, tmp_path: Path) -> None:
    drift = looked(tmp_path, seed, LOWERED)["drift"]
    assert (drift["state"], drift["columns"], drift["day"]) == ("drifted", ["units_forecast"], ORIGINS[-1])


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_forecasts_that_are_as_they_were_fail_nothing_though_another_version_makes_them(seed: int, tmp_path: Path) -> None:
    found = looked(tmp_path, seed, date.max)
    assert {check: row["state"] for check, row in found.items()} == dict.fromkeys(
        ("volume", "nulls", "categories", "range", "duplicates", "members", "drift"), "passed"
    )
