"""A fitted model asked: rows in any number and type give numbers, or a sentence; a part of it stands for its own."""

from __future__ import annotations

from dataclasses import replace

import polars as pl
import pytest

from lightkeeper.errors import Refused
from lightkeeper.models.forecasting import Server, forecast
from lightkeeper.models.judging import judge
from lightkeeper.models.scoring import Fitted, encoded, trees, unseen
from tests.lightkeeper.lamps import LAMPS, SOLD, table, trained

WICKS = {"wick": ("flat", "none", "round")}


def test_no_rows_give_no_forecasts() -> None:
    found = trained(LAMPS, table()).fitted.scored(table().clear())
    assert (found.height, found.columns) == (0, ["forecast", "low", "high"])


def test_without_bands_the_forecasts_are_the_same_and_the_limits_unknown() -> None:
    fitted = trained(LAMPS, table()).fitted
    banded, bare = fitted.scored(table()), fitted.scored(table(), banded=False)
    assert banded["low"].null_count() == 0
    assert bare["forecast"].equals(banded["forecast"])
    assert bare["low"].null_count() == bare["high"].null_count() == bare.height


def test_a_probability_lies_between_0_and_1_and_has_no_band() -> None:
    found = trained(SOLD, table()).fitted.scored(table())
    assert found["forecast"].is_between(0, 1).all()
    assert found["low"].null_count() == found["high"].null_count() == found.height


def test_a_category_is_its_place_and_what_was_not_learnt_is_missing_and_told() -> None:
    rows = pl.DataFrame({"wick": ["round", "flat", "square", None], "open": [True, False, None, True]})
    assert encoded(rows, ("wick", "open"), WICKS).rows() == [(2.0, 1.0), (0.0, 0.0), (None, None), (None, 1.0)]
    assert unseen(rows, WICKS) == {"wick": ("square",)}
    assert unseen(rows.head(2), WICKS) == {}


def test_a_text_feature_without_any_value_trains_and_meets_its_first_value_later() -> None:
    one = trained(LAMPS, table().with_columns(wick=pl.lit(None, pl.String))).fitted
    assert one.categories == {"wick": ()}
    assert one.predict(table()).shape == (table().height,)
    assert unseen(table(), one.categories) == {"wick": ("flat", "none", "round")}


@pytest.mark.parametrize("feature", ["price", "open", "weekday"])
def test_a_number_that_became_a_text_is_refused_by_name_when_it_is_forecast_and_when_it_is_judged(feature: str) -> None:
    one, now = trained(LAMPS, table()), table().with_columns(pl.lit("dear").alias(feature)).lazy()
    said = rf"lamps:v1 learnt {feature} as a number, and {feature} \(String\) is no number"
    with pytest.raises(Refused, match=said):
        forecast(LAMPS, Server("lamps", one, "champion"), now, "t@1")
    with pytest.raises(Refused, match=said):
        judge(LAMPS, now, one, None, 0.05)


def test_two_rows_of_one_day_ahead_are_refused() -> None:
    twice = pl.concat([table(), table().filter(pl.col("units").is_null()).head(1)])
    with pytest.raises(Refused, match="lamp_features has two rows for"):
        forecast(LAMPS, Server("lamps", trained(LAMPS, table()), "champion"), twice.lazy(), "t@1")


def test_a_model_without_levels_forecasts_without_intervals_and_is_judged() -> None:
    model = replace(LAMPS, levels=())
    made = forecast(model, Server("lamps", trained(model, table()), "champion"), table().lazy(), "t@1")
    assert (made.rows["band_from"].null_count(), made.calibration) == (made.rows.height, None)
    assert judge(model, table().lazy(), trained(model, table()), None, 0.05).ruling.action == "promote"


def test_the_sha256_tells_parts_apart_that_are_the_same_bytes_joined() -> None:
    one, other = Fitted((), {}, {"point": b"ab", "low": b"c"}), Fitted((), {}, {"point": b"a", "low": b"bc"})
    assert len({one.sha256, other.sha256, Fitted((), {}, {"point": b"abc"}).sha256}) == 3


def test_the_trees_of_a_text_leave_out_its_parameters() -> None:
    assert trees(b"tree 1\nparameters:\n[num_threads: 2]") == trees(b"tree 1\nparameters:\n[num_threads: 1]") == b"tree 1"
