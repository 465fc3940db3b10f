"""LightGBM's parameters: what cannot work is refused at load, by name; what can, trains."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from typing import Any

import polars as pl
import pytest

from lightkeeper.errors import BadDeclaration, Refused
from lightkeeper.models.model import Model
from lightkeeper.models.params import _NAME_OF, wrong_params
from tests.lightkeeper.lamps import COUNTS, CUT, LAMPS, SOLD, table, trained

WRONG: list[tuple[Model, dict[str, Any], str]] = [
    (LAMPS, {"num_leafs": 7}, "LightGBM has no parameter 'num_leafs'. Did you mean num_leaf?"),
    (LAMPS, {"early_stopping_rounds": 5}, "early_stopping_rounds cannot be set: the platform stops early on a time split"),
    (LAMPS, {"n_iter_no_change": 5}, "n_iter_no_change cannot be set"),
    (LAMPS, {"force_col_wise": True}, "force_col_wise cannot be set"),
    (LAMPS, {"metric": "None"}, "metric cannot be set"),
    (LAMPS, {"num_classes": 3}, "num_classes cannot be set"),
    (LAMPS, {"objective": "quantile"}, "a quantile is no point forecast"),
    (LAMPS, {"objective": "mae"}, "objective is 'mae'; for a continuous target it is one of regression, regression_l1"),
    (LAMPS, {"objective": "binary"}, "objective is 'binary'; for a continuous target"),
    (SOLD, {"objective": "regression"}, "for a binary target it is one of binary, cross_entropy"),
    (LAMPS, {1: 2}, "params is {1: 2}; it maps names to values"),
]


@pytest.mark.parametrize(("model", "params", "said"), WRONG, ids=[str(row[1]) for row in WRONG])
def test_a_parameter_that_cannot_work_is_refused_at_load(model: Model, params: dict[str, Any], said: str) -> None:
    with pytest.raises(BadDeclaration, match=re.escape(said)):
        replace(model, params=params)


def test_params_that_are_no_mapping_are_refused() -> None:
    with pytest.raises(BadDeclaration, match="it maps names to values"):
        replace(LAMPS, params=("num_leaves",))  # type: ignore[arg-type]


def test_every_alias_that_lightgbm_knows_of_a_name_of_ours_is_known() -> None:
    from lightgbm.basic import _ConfigAliases

    theirs = _ConfigAliases._get_all_param_aliases()
    for name in set(_NAME_OF.values()):
        assert {alias for alias, of in _NAME_OF.items() if of == name} == set(theirs[name]) - {name}


WORKS: list[tuple[Model, dict[str, Any]]] = [
    *((LAMPS, {"objective": one}) for one in ("regression", "regression_l1", "huber", "fair", "mape")),
    *((COUNTS, {"objective": one}) for one in ("poisson", "tweedie")),
    *((SOLD, {"objective": one}) for one in ("binary", "cross_entropy")),
    (LAMPS, {"boosting": "dart"}),
    (LAMPS, {"linear_tree": True}),
    (LAMPS, {"monotone_constraints": [0, -1, 0, 0]}),
]


@pytest.mark.parametrize(("model", "params"), WORKS, ids=[str(row[1]) for row in WORKS])
def test_a_parameter_that_is_taken_trains_with_its_band(model: Model, params: dict[str, Any]) -> None:
    chosen = replace(model, params={**LAMPS.params, **params})
    assert list(wrong_params(chosen.kind, chosen.params)) == []
    rows = table().with_columns(units=pl.col("units").clip(1))
    assert set(trained(chosen, rows).fitted.parts) == ({"point"} if model is SOLD else {"point", "low", "high"})


def test_a_monotone_constraint_holds_for_the_point_forecast() -> None:
    one = trained(replace(LAMPS, params={**LAMPS.params, "monotone_constraints": [0, 1, 0, 0]}), table()).fitted
    rows = table().head(1).select(pl.all().repeat_by(50).explode()).with_columns(price=pl.int_range(50) / 8)
    assert (one.predict(rows)[1:] >= one.predict(rows)[:-1]).all()


@pytest.mark.parametrize("params", [{"learning_rate": "fast"}, {"num_leaves": 1}, {"boosting": "rf"}, {"max_bin": 1}], ids=str)
def test_what_lightgbm_itself_refuses_is_told_with_the_parameters(params: dict[str, Any]) -> None:
    with pytest.raises(Refused, match=r"model lamps: LightGBM refuses params \{.*Mend params="):
        trained(replace(LAMPS, params={**LAMPS.params, **params}), table())


def test_counts_that_are_all_0_until_the_last_days_are_learnt_from() -> None:
    late = pl.when(pl.col("day") > CUT - timedelta(3)).then(3).otherwise(0)
    rows = table().with_columns(units=pl.when(pl.col("units").is_not_null()).then(late).cast(pl.Int64))
    assert trained(COUNTS, rows).row["rounds"] == 30
