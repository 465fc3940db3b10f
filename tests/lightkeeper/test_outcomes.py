"""Outcomes: each forecast beside what came true, once; what has not come true is left out."""

from __future__ import annotations

from dataclasses import replace

import polars as pl
import pytest

from lightkeeper.models.forecasting import Server, forecast
from lightkeeper.models.model import Model
from lightkeeper.models.outcomes import band_columns, forecast_schema, level_name, outcome_schema, outcomes
from tests.lightkeeper.lamps import AHEAD, COUNTS, KNOWN, LAMPS, REPAIRS, RETURNS, SERIES, SOLD, table, trained

MODELS = [LAMPS, COUNTS, SOLD, RETURNS, REPAIRS]


def made(model: Model) -> pl.DataFrame:
    return forecast(model, Server(model.name, trained(model, table()), "champion"), table().lazy(), "lamp_features@0").rows


def truth() -> pl.DataFrame:
    """The days ahead of `table()`, known: the same draw, all of it in the past."""
    return table(1, KNOWN + AHEAD, 0)


@pytest.mark.parametrize("model", MODELS, ids=["continuous", "count", "binary", "binary rows", "rows"])
def test_each_forecast_stands_once_beside_its_truth(model: Model) -> None:
    found = outcomes(model, made(model).lazy(), truth().lazy())
    assert found.height == SERIES * AHEAD == found.select(model.row_key).n_unique()
    assert found["error"].to_list() == (found["actual"] - found["forecast"]).to_list()
    assert found.columns == list(outcome_schema(model)[0])
    assert made(model).columns == list(forecast_schema(model)[0])


def test_nothing_has_come_true_of_days_that_are_not_known() -> None:
    assert outcomes(LAMPS, made(LAMPS).lazy(), table().lazy()).is_empty()


def test_inside_says_whether_the_limits_held_and_nothing_where_there_were_none() -> None:
    model = replace(LAMPS, levels=(0.8,))
    limits = made(model).with_columns(low_80=pl.lit(0.0), high_80=pl.when(pl.col("shop") == "Hull").then(1e9))
    found = outcomes(model, limits.lazy(), truth().lazy())
    assert found.select("shop", "inside_80").unique().sort("shop").rows() == [("Hull", True), ("York", None)]


def test_a_level_is_named_by_its_percent() -> None:
    assert [level_name(one) for one in (0.8, 0.95, 0.995)] == ["80", "95", "99_5"]
    assert band_columns(replace(LAMPS, levels=(0.5,))) == ("low_50", "high_50")
    assert band_columns(SOLD) == ()
