"""A model that is declared wrongly fails when its file is loaded, and the error says how to mend it."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from lightkeeper.errors import BadDeclaration
from lightkeeper.measure.gate import Gate
from lightkeeper.models.model import Model
from lightkeeper.models.params import DEFAULTS
from tests.lightkeeper.lamps import LAMPS

WRONG: list[tuple[dict[str, Any], str]] = [
    ({"name": "no lamps"}, "cannot name a table"),
    ({"table": "../lamps"}, "cannot name a table"),
    ({"features": "price"}, 'write ("price",) with the comma'),
    ({"features": ["price"]}, 'write ("price",) with the comma'),
    ({"keys": "lamp"}, 'write ("price",) with the comma'),
    ({"features": ()}, "at least one feature"),
    ({"keys": ()}, "at least one feature and one key"),
    ({"horizon": 0}, "horizon is 0; it is a whole number of days, 1 at least, or None"),
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
    ({"params": {"objective": print}}, "params: objective is <built-in function print>"),
    ({"params": {"max_depth": print}}, "params are recorded as JSON"),
    ({"features": (1,)}, "1 names no column"),
    ({"slices": ("day",)}, "the time column 'day' is no slice"),
    ({"params": {"alpha": float("nan")}}, "params are recorded as JSON"),
    ({"params": {"learning_rte": 0.1}}, "LightGBM has no parameter 'learning_rte'. Did you mean learning_rate?"),
    ({"params": {"early_stopping_round": 5}}, "the platform stops early on a time split"),
    ({"params": {"objective": "quantile"}}, "a quantile is no point forecast"),
    ({"kind": "counts"}, "kind is 'counts'; it is one of continuous, count, binary"),
    ({"levels": (80,)}, "levels are shares between 0 and 1"),
    ({"levels": (0.8, 0.8)}, "levels are shares between 0 and 1, each once"),
    ({"season": 0}, "season is 0; it is a whole number, 1 at least"),
    ({"windows": 1.5}, "windows is 1.5; it is a whole number"),
    ({"runs_within": "soon"}, "runs_within: 'soon' is no span of time: write 26h, 3d or 90m"),
    ({"runs_within": 30}, "runs_within: '30' is no span of time"),
    ({"follow_level": "no"}, "follow_level is 'no'; it is True or False"),
    ({"promote_if": 0.05}, "give a gate, such as lk.Gate(alpha=0.01)"),
    ({"slices": "shop"}, 'write ("price",) with the comma'),
    ({"slices": ("units",)}, "the target 'units' is no slice"),
    ({"expect": ("units falls a lot",)}, 'is not understood. Write "units falls when weekday rises"'),
    ({"expect": ("units falls when warmth rises",)}, "warmth is no feature. Name one of weekday, price"),
    ({"expect": ("price falls when weekday rises",)}, "the model predicts units, not price"),
    ({"expect": ("units stays when price rises",)}, "write 'stays when ... changes'"),
    ({"expect": ("accuracy at most 0.5 where lamp=oil",)}, "accuracy is not measured; it is one of wape"),
    ({"expect": ("wape at most 0.5 where price=3",)}, "price is neither a key nor a slice. Name one of shop, lamp"),
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


def test_an_option_that_there_is_not_is_named_with_the_nearest_one() -> None:
    with pytest.raises(BadDeclaration, match=r"model m: there is no option 'horizn'\. Did you mean horizon\?"):
        Model(name="m", table="t", keys=("k",), time="day", target="y", horizn=1, features=("x",))  # type: ignore[call-arg]


def test_without_a_horizon_it_predicts_and_with_one_it_forecasts() -> None:
    assert (replace(LAMPS, horizon=None).forecast_table, LAMPS.forecast_table) == ("lamps_predictions", "lamps_forecast")
    assert (replace(LAMPS, horizon=None).forecast_column, LAMPS.forecast_column) == ("units_prediction", "units_forecast")


@pytest.mark.parametrize(
    ("change", "said"), [({"alpha": 0.0}, "alpha"), ({"alpha_year": 0.05}, "alpha_year"), ({"block": 0}, "block")]
)
def test_a_gate_that_cannot_be_is_refused_by_name(change: dict[str, Any], said: str) -> None:
    with pytest.raises(BadDeclaration, match=f"gate's {said}"):
        Gate(**change)


@pytest.mark.parametrize(("kind", "objective"), [("continuous", "regression"), ("count", "tweedie"), ("binary", "binary")])
def test_each_kind_of_target_has_an_objective_of_its_own(kind: Any, objective: str) -> None:
    assert replace(LAMPS, kind=kind).lightgbm_params["objective"] == objective


TAKEN = ["origin", "days_ahead", "actual", "forecast", "low", "scale", "novelty", "category", "name", "units_forecast", "low_80"]


@pytest.mark.parametrize("column", TAKEN)
@pytest.mark.parametrize("place", ["keys", "slices"])
def test_a_key_or_slice_that_a_table_of_the_model_would_have_twice_is_refused_at_load(column: str, place: str) -> None:
    with pytest.raises(BadDeclaration, match=f"no key, slice or time column is called '{column}'"):
        replace(LAMPS, **{place: ("shop", column)})  # type: ignore[arg-type]


@pytest.mark.parametrize("column", ["n", "weight", "champion", "naive", "step"])
def test_a_slice_that_a_comparison_would_have_twice_is_refused_at_load(column: str) -> None:
    with pytest.raises(BadDeclaration, match=f"is called '{column}'"):
        replace(LAMPS, slices=(column,))


@pytest.mark.parametrize("change", [{"keys": ("shop", "_n")}, {"slices": ("_n",)}, {"time": "_n"}])
def test_a_key_slice_or_time_that_begins_with_an_underscore_is_refused_at_load(change: dict[str, Any]) -> None:
    with pytest.raises(BadDeclaration, match="begins with an underscore, as '_n' does"):
        replace(LAMPS, **change)


def test_a_key_is_called_day_only_where_it_is_the_time() -> None:
    with pytest.raises(BadDeclaration, match="is called 'day'"):
        replace(LAMPS, keys=("shop", "day"), time="date")
