"""A model that is declared wrongly fails when its file is loaded, and the error says how to mend it."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from lightkeeper.errors import BadDeclaration
from lightkeeper.models.model import DEFAULTS, Model
from tests.lightkeeper.lamps import LAMPS

WRONG: list[tuple[dict[str, Any], str]] = [
    ({"name": "no lamps"}, "cannot name a table"),
    ({"table": "../lamps"}, "cannot name a table"),
    ({"features": "price"}, 'write ("price",) with the comma'),
    ({"features": ["price"]}, 'write ("price",) with the comma'),
    ({"keys": "lamp"}, 'write ("price",) with the comma'),
    ({"features": ()}, "at least one feature"),
    ({"keys": ()}, "at least one feature and one key"),
    ({"horizon": 0}, "horizon is 0; it is a whole number of days, 1 at least"),
    ({"horizon": 28.0}, "horizon is 28.0; it is a whole number"),
    ({"horizon": True}, "horizon is True; it is a whole number"),
    ({"features": ("price", "units")}, "the model would read the answer. Take it out"),
    ({"features": ("price", "day")}, "derive one that repeats, such as weekday"),
    ({"features": ("price", "open", "price")}, "price is named twice among the features"),
    ({"keys": ("lamp", "day")}, "day is named twice among the keys, time and target"),
    ({"target": "lamp"}, "lamp is named twice among the keys, time and target"),
    ({"features": ("price: gbp",)}, "LightGBM takes no feature named 'price: gbp': rename it"),
    ({"features": ("",)}, "LightGBM takes no feature named ''"),
    ({"params": {"deterministic": False}}, "deterministic is what makes training reproducible"),
    ({"params": {"verbose": 1}}, "verbose is what makes training reproducible"),
    ({"params": {"n_estimators": 50}}, "Write num_iterations"),
    ({"params": {"random_state": 7}}, "LightGBM leaves random_state unread beside seed. Write seed"),
    ({"params": {"num_iterations": 0}}, "num_iterations is 0; give a whole number"),
    ({"params": {"num_threads": "all"}}, "num_threads is 'all'; give a whole number"),
    ({"params": {"seed": 1.5}}, "seed is 1.5; give a whole number"),
    ({"params": {"objective": print}}, "params are recorded as JSON"),
    ({"params": {"alpha": float("nan")}}, "params are recorded as JSON"),
]


@pytest.mark.parametrize(("change", "said"), WRONG, ids=[f"{change}" for change, _ in WRONG])
def test_a_wrong_declaration_fails_at_load_and_says_the_mend(change: dict[str, Any], said: str) -> None:
    with pytest.raises(BadDeclaration, match=re.escape(said)) as error:
        replace(LAMPS, **change)
    assert str(error.value).startswith("model ")


def test_a_model_names_its_tables_and_its_rows() -> None:
    assert (LAMPS.model_table, LAMPS.forecast_table) == ("lamps_model", "lamps_forecast")
    assert LAMPS.row_key == ("day", "shop", "lamp")


def test_params_stand_over_the_defaults_and_never_over_what_makes_training_reproducible() -> None:
    params = replace(LAMPS, params={"num_leaves": 7, "seed": 0}).lightgbm_params
    assert (params["num_leaves"], params["seed"], params["learning_rate"]) == (7, 0, DEFAULTS["learning_rate"])
    assert params["deterministic"]
    assert params["force_row_wise"]


def test_a_model_needs_no_more_than_what_it_learns_from_and_what_it_predicts() -> None:
    least = Model(name="m", table="t", keys=("k",), time="day", target="y", horizon=1, features=("x",))
    assert (least.params, least.owners) == ({}, ())
