"""LightGBM's parameters: the defaults, what keeps training reproducible, and what a declaration may not say. It trains nothing."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from types import MappingProxyType

__all__ = ["DEFAULTS", "OBJECTIVES", "UNBANDED", "all_params", "wrong_params"]

DEFAULTS: Mapping[str, object] = MappingProxyType({
    "num_iterations": 200,  # at most; early stopping ends sooner
    "learning_rate": 0.06,
    "num_leaves": 31,
    "min_data_in_leaf": 100,
    "max_bin": 127,
    "seed": 1,
    "num_threads": 2,
})  # fmt: skip
OBJECTIVES: Mapping[str, str] = MappingProxyType({"continuous": "regression", "count": "tweedie", "binary": "binary"})

_NUMBERS = ("regression", "regression_l1", "huber", "fair", "poisson", "mape", "gamma", "tweedie")
_CHOICES: Mapping[str, tuple[str, ...]] = {"continuous": _NUMBERS, "count": _NUMBERS, "binary": ("binary", "cross_entropy")}
_FIXED = {"deterministic": True, "force_row_wise": True, "verbosity": -1}  # what makes a model byte-identical when rebuilt
UNBANDED = ("monotone_constraints", "monotone_constraints_method", "monotone_penalty")  # LightGBM refuses them for a quantile
_OURS = {
    "force_col_wise": "rows are summed in one order, so that training is reproducible",
    "num_class": "the target is one number",
    "metric": "early stopping goes by the objective",
    "early_stopping_round": "the platform stops early on a time split; num_iterations is the most it may take",
    "quantile": "the band has its own models; levels= says which intervals are wanted",
}
_OTHERS = {
    "objective", "feature_fraction", "bagging_fraction", "bagging_freq", "lambda_l1", "lambda_l2", "max_depth", "min_gain_to_split",
    "min_sum_hessian_in_leaf", "max_cat_to_onehot", "cat_smooth", "tweedie_variance_power", "alpha", "extra_trees", "path_smooth",
    "monotone_constraints", "max_delta_step", "boosting", "linear_tree", "num_machines", "scale_pos_weight",
}  # fmt: skip
_ALIASES = {
    "num_iterations": "num_iteration n_iter num_tree num_trees num_round num_rounds nrounds num_boost_round n_estimators max_iter",
    "learning_rate": "shrinkage_rate eta",
    "num_leaves": "num_leaf max_leaves max_leaf max_leaf_nodes",
    "min_data_in_leaf": "min_data_per_leaf min_data min_child_samples min_samples_leaf",
    "max_bin": "max_bins",
    "objective": "objective_type app application loss",
    "seed": "random_seed random_state",
    "num_threads": "num_thread nthread nthreads n_jobs",
    "verbosity": "verbose",
    "early_stopping_round": "early_stopping early_stopping_rounds n_iter_no_change",
    "num_class": "num_classes",
    "metric": "metrics metric_types",
}  # LightGBM takes the name and leaves an alias beside it unread
_NAME_OF = {alias: name for name, aliases in _ALIASES.items() for alias in aliases.split()}
_WHOLE = ("num_iterations", "seed", "num_threads")  # parameters that are recorded as whole numbers


def all_params(kind: str, params: Mapping[str, object]) -> dict[str, object]:
    """All parameters that LightGBM gets for the point forecast of a kind of target."""
    return {"objective": OBJECTIVES[kind], **DEFAULTS, **params, **_FIXED}


def wrong_params(kind: str, params: object) -> Iterator[str]:
    """What is wrong with declared parameters of a kind of target, each with its mend."""
    if not isinstance(params, Mapping) or not all(isinstance(name, str) for name in params):
        yield f'params is {params!r}; it maps names to values, such as {{"num_leaves": 15}}.'
        return
    fixed = sorted({name for name in params if _NAME_OF.get(name, name) in _FIXED})
    if fixed:
        yield f"{', '.join(fixed)} is what makes training reproducible and cannot be changed. Take it out of params."
    for name in sorted(name for name in params if _NAME_OF.get(name, name) in _OURS):
        yield f"params: {name} cannot be set: {_OURS[_NAME_OF.get(name, name)]}. Take it out."
    for alias in sorted(set(params) & set(_NAME_OF)):
        yield f"params: LightGBM leaves {alias} unread beside {_NAME_OF[alias]}. Write {_NAME_OF[alias]}."
    if params.get("objective") == "quantile":
        yield "params: a quantile is no point forecast. Write regression_l1 for the median; levels= asks for intervals."
    said = params.get("objective", OBJECTIVES[kind])
    if said not in _CHOICES[kind]:
        yield f"params: objective is {said!r}; for a {kind} target it is one of {', '.join(_CHOICES[kind])}."
    yield from _wrong_values(params)
    yield from _unknown(set(params) - set(DEFAULTS) - _OTHERS - set(_NAME_OF) - set(_FIXED) - set(_OURS))


def _wrong_values(params: Mapping[str, object]) -> Iterator[str]:
    for name in _WHOLE:
        value = params.get(name, 1)
        whole = isinstance(value, int) and not isinstance(value, bool)
        if not whole or (isinstance(value, int) and value < (name != "seed")):
            yield f"params: {name} is {value!r}; give a whole number."
    try:
        json.dumps(dict(params), allow_nan=False)
    except (TypeError, ValueError) as error:
        yield f"params are recorded as JSON, so they are numbers, texts, booleans or lists of them: {error}."


def _unknown(names: Iterable[str]) -> Iterator[str]:
    """Names that LightGBM does not know; it would take them in silence. LightGBM is asked only for rare ones."""
    if not (rare := sorted(names)):
        return
    from lightgbm.basic import _ConfigAliases  # the only list of its parameters that LightGBM gives

    known = {one for aliases in _ConfigAliases._get_all_param_aliases().items() for one in (aliases[0], *aliases[1])}  # noqa: SLF001
    for name in rare:
        if name not in known:
            near = get_close_matches(name, known | _OTHERS, 1)
            yield f"params: LightGBM has no parameter {name!r}." + (f" Did you mean {near[0]}?" if near else " Take it out.")
