"""A shop of lamps: a small table of features, and the model that learns from it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl

from lightkeeper.models.model import Model
from lightkeeper.models.registry import Made, Role, Trained, read_version, version_row
from lightkeeper.models.training import cut_of, fit, training_frame
from lightkeeper.values import TableVersion

FIRST, KNOWN, AHEAD, SERIES = date(2026, 1, 5), 70, 14, 4
LAST = FIRST + timedelta(KNOWN - 1)
CUT = LAST - timedelta(AHEAD)
NOW = datetime(2026, 3, 16, 6, tzinfo=UTC)
FEATURES = TableVersion("lamp_features", 0)
LAMPS = Model(
    name="lamps",
    table="lamp_features",
    keys=("shop", "lamp"),
    time="day",
    target="units",
    horizon=AHEAD,
    features=("weekday", "price", "open", "wick"),
    params={"num_iterations": 30, "learning_rate": 0.3, "num_leaves": 7, "min_data_in_leaf": 5, "num_threads": 1},
)
COUNTS = replace(LAMPS, kind="count")
SOLD = replace(LAMPS, name="sold", target="sold", kind="binary")
RETURNS = replace(SOLD, name="returns", horizon=None)
REPAIRS = replace(LAMPS, name="repairs", horizon=None)


def table(seed: int = 1, known: int = KNOWN, ahead: int = AHEAD) -> pl.DataFrame:
    """Two shops, two lamps, `known` days and `ahead` more whose targets are null; rows in no order.

    A price of the day, drawn anew each day, moves the units most: a season's naive forecast cannot know it.
    """
    rng, rows = np.random.default_rng(seed), SERIES * (known + ahead)
    days = pl.DataFrame({"day": [FIRST + timedelta(n) for n in range(known + ahead)]})
    series = pl.DataFrame({"shop": ["Hull", "York"]}).join(pl.DataFrame({"lamp": ["oil", "gas"]}), how="cross")
    drawn = series.join(days, how="cross").with_columns(
        pl.col("day").dt.weekday().cast(pl.Int64).alias("weekday"),
        pl.Series("price", rng.uniform(1, 6, rows)),
        pl.Series("wick", rng.choice(["flat", "round", "none"], rows)),
        pl.Series("noise", rng.integers(-2, 3, rows)),
    )
    units = 40 + 2 * pl.col("weekday") - 6 * pl.col("price") + 5 * (pl.col("wick") == "round") + pl.col("noise")
    whole = drawn.with_columns((pl.col("weekday") < 6).alias("open"), units.round().cast(pl.Int64).alias("units")).drop("noise")
    outcomes = whole.with_columns((pl.col("units") > 30).cast(pl.Int64).alias("sold"))
    hidden = outcomes.with_columns(
        pl.when(pl.col("day") < FIRST + timedelta(known)).then(pl.col(name)).alias(name) for name in ("units", "sold")
    )
    return hidden.sample(fraction=1, shuffle=True, seed=seed)


def row(model: Model, rows: pl.DataFrame, number: int = 1, until: date | None = None, role: Role = "challenger") -> pl.DataFrame:
    """The row of a version that was fitted on the rows up to a day, by default the cut of a challenger."""
    last = until or cut_of(model, rows.lazy())
    artifact = fit(model, training_frame(model, rows.lazy(), last))
    return version_row(model, number, artifact, Made((FEATURES,), NOW, {}, role))


def trained(model: Model, rows: pl.DataFrame, number: int = 1, until: date | None = None) -> Trained:
    """The same, as it is read."""
    return read_version(model.name, row(model, rows, number, until).lazy(), number)
