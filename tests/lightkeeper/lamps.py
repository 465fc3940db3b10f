"""A shop of lamps: a small table of features and the model that learns from it."""

from __future__ import annotations

from datetime import date, timedelta

import polars as pl

from lightkeeper.models.model import Model

FIRST, KNOWN, AHEAD = date(2026, 1, 5), 60, 7
LAST = FIRST + timedelta(KNOWN - 1)
LAMPS = Model(
    name="lamps",
    table="lamp_features",
    keys=("shop", "lamp"),
    time="day",
    target="units",
    horizon=AHEAD,
    features=("weekday", "price", "open"),
    params={"num_iterations": 5, "min_data_in_leaf": 5, "num_threads": 1},
)


def table(seed: int = 1) -> pl.DataFrame:
    """Two shops, two lamps, 60 known days and a week ahead; rows in no order."""
    days = pl.DataFrame({"day": [FIRST + timedelta(n) for n in range(KNOWN + AHEAD)]})
    keys = pl.DataFrame({"shop": ["Hull", "York"]}).join(pl.DataFrame({"lamp": ["oil", "gas"]}), how="cross")
    weekday = pl.col("day").dt.weekday().cast(pl.Int64)
    rows = keys.join(days, how="cross").with_columns(
        weekday.alias("weekday"),
        (weekday * 0.5 + pl.col("lamp").str.len_chars()).alias("price"),
        (weekday < 6).alias("open"),
        pl.when(pl.col("day") <= LAST).then(weekday * 10 + (pl.int_range(pl.len()) * seed) % 3).alias("units"),
    )
    return rows.sample(fraction=1, shuffle=True, seed=seed)
