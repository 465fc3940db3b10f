"""Sentences of `expect`: read at load, tried on a model whose behaviour is known by hand."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from lightkeeper.errors import BadDeclaration
from lightkeeper.models.expectations import Held, tried
from lightkeeper.models.judging import judge
from lightkeeper.models.model import Model
from tests.lightkeeper.lamps import LAMPS, LAST, table, trained

ROWS = pl.DataFrame({
    "weekday": [1, 2, 3, 4], "price": [1.0, 2.0, 3.0, 4.0], "open": [True, False, True, False], "wick": ["a", "b", "a", "b"],
})  # fmt: skip
SCORED = pl.DataFrame({
    "shop": ["Hull", "Hull", "York", "York"], "day": ["a", "b", "a", "b"], "actual": [10.0, 10.0, 10.0, 10.0],
    "forecast": [9.0, 11.0, 5.0, 5.0], "scale": 2.0, "scale_squared": 4.0,
})  # fmt: skip


@dataclass(frozen=True)
class By:
    """A model that is a formula of its rows."""

    formula: Callable[[pl.DataFrame], pl.Series]

    def predict(self, rows: pl.DataFrame) -> NDArray[np.float64]:
        return self.formula(rows).cast(pl.Float64).to_numpy()


def held(text: str, formula: Callable[[pl.DataFrame], pl.Series], rows: pl.DataFrame = ROWS) -> Held:
    (one,) = tried(replace(LAMPS, expect=(text,)).expectations, By(formula), rows, SCORED)
    return one


WRONG = [
    ("units fall when price rises", "is not understood. Write"),
    ("sales falls when price rises", "the model predicts units, not sales"),
    ("units falls when cost rises", "cost is no feature. Name one of weekday, price"),
    ("units stays when price rises", "write 'stays when ... changes'"),
    ("units falls when price changes", "write 'stays when ... changes'"),
    ("smape at most 0.5", "smape is not measured; it is one of wape"),
    ("wape at most 0.5 where price=1", "price is neither a key nor a slice. Name one of shop, lamp"),
    ("wape at most half", "is not understood"),
]


@pytest.mark.parametrize(("text", "said"), WRONG)
def test_a_sentence_that_cannot_be_tried_is_refused_at_load(text: str, said: str) -> None:
    with pytest.raises(BadDeclaration, match=re.escape(said)):
        replace(LAMPS, expect=(text,))


DIRECTIONS = [("falls", "rises", False), ("rises", "rises", True), ("falls", "falls", True), ("rises", "falls", False)]


@pytest.mark.parametrize(("effect", "cause", "holds"), DIRECTIONS)
def test_a_forecast_that_rises_with_the_price_keeps_the_sentences_that_say_so(effect: str, cause: str, *, holds: bool) -> None:
    found = held(f"units {effect} when price {cause}", lambda rows: rows["price"])
    assert found.holds == holds
    sign = "+" if cause == "rises" else "-"
    assert f"the mean forecast moves by {sign}51.6%" in found.why  # a standard deviation of 1.29 on a mean of 2.5


def test_a_price_that_is_not_a_number_in_some_rows_moves_by_the_deviation_of_the_others() -> None:
    holes = pl.concat([ROWS, ROWS.head(1).with_columns(price=float("nan"))])
    found = held("units rises when price rises", lambda rows: rows["price"].fill_nan(None).fill_null(0), holes)
    assert "+51.6%" in found.why


def test_what_a_model_does_not_use_can_be_shuffled_and_what_it_uses_cannot() -> None:
    assert held("units stays when price changes", lambda rows: rows["weekday"]).holds
    moved = held("units stays when weekday changes", lambda rows: rows["weekday"])
    assert not moved.holds
    assert "1% is allowed" in moved.why


def test_a_text_neither_rises_nor_falls() -> None:
    assert held("units falls when wick rises", lambda rows: rows["weekday"]).why == "wick is no number, so it cannot rise or fall."


FLOORS = [
    ("wape at most 0.5", True, "wape is 0.300 on 4 rows; 0.5 is allowed."),
    ("wape at most 0.3", True, "wape is 0.300"),
    ("wape at most 0.5 where shop=York", True, "wape is 0.500 on 2 rows"),
    ("wape at most 0.49 where shop=York", False, "wape is 0.500 on 2 rows"),
    ("mase at most 1 where shop=Hull", True, "mase is 0.500"),
    ("wape at most 0.5 where shop=Leeds", False, "no judged row has shop=Leeds."),
    ("brier at most 0.5", False, "brier cannot be computed on these 4 rows."),
]


@pytest.mark.parametrize(("text", "holds", "why"), FLOORS)
def test_a_floor_is_the_metric_of_its_rows(text: str, why: str, *, holds: bool) -> None:
    found = held(text, lambda rows: rows["price"])
    assert (found.holds, why in found.why) == (holds, True)


BOTH = ("units falls when price rises", "units stays when open changes", "wape at most 0.5")


def test_where_no_day_has_matured_no_expectation_holds_and_the_gate_says_too_few_days() -> None:
    model = replace(LAMPS, expect=BOTH)
    found = judge(model, table().lazy(), trained(model, table(), until=LAST), None, 0.05)
    assert ([one.holds for one in found.held], found.ruling.code) == ([False] * 3, "too_few_days")
    assert {one.why for one in found.held} == {"no row was judged.", "no judged row is there."}


def test_a_floor_is_tried_whatever_the_time_column_is_called() -> None:
    model: Model = replace(LAMPS, time="date", expect=("wape at most 0.9",))
    rows = table().rename({"day": "date"})
    assert judge(model, rows.lazy(), trained(model, rows), None, 0.05).held[0].holds


@pytest.mark.parametrize("effect", ["rises", "falls"])
def test_a_model_that_ignores_the_feature_keeps_no_sentence_about_its_direction(effect: str) -> None:
    assert not held(f"units {effect} when price rises", lambda rows: rows["weekday"]).holds
