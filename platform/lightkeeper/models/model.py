"""Model: what a data scientist declares. A value; training and forecasting are elsewhere."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from lightkeeper.errors import BadDeclaration, BadName
from lightkeeper.values import check_name

__all__ = ["DEFAULTS", "Model"]

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # waiting threads give their core away; read when lightgbm loads

DEFAULTS: Mapping[str, object] = {
    "objective": "regression",
    "num_iterations": 200,
    "learning_rate": 0.06,
    "num_leaves": 31,
    "min_data_in_leaf": 100,
    "max_bin": 127,
    "seed": 1,
    "num_threads": 2,
}

_FIXED = {"deterministic": True, "force_row_wise": True, "verbosity": -1}  # what makes a model byte-identical when rebuilt
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
}  # LightGBM takes the name and leaves an alias beside it unread
_NAME_OF = {alias: name for name, aliases in _ALIASES.items() for alias in aliases.split()}
_WHOLE = ("num_iterations", "seed", "num_threads")  # parameters that are recorded as whole numbers
_UNFIT = re.compile(r'["\[\]{}:,\s]')  # in a feature's name, for LightGBM


@dataclass(frozen=True)
class Model:
    """A model that learns `target` from `features` of one table and forecasts it for each key and day ahead.

    Args:
        name: of the model; its tables are `<name>_model` and `<name>_forecast`.
        table: holds one row for each combination of `keys` and `time`; rows whose target is null are not learnt from, and
            those after the last known day are what is forecast.
        keys: columns that name a series.
        time: the date column.
        target: the column to forecast.
        horizon: days ahead; every feature must be known that long before its day.
        features: the columns to learn from, numbers or booleans.
        params: LightGBM parameters over the defaults; those that make training reproducible cannot be changed.
        owners: e-mail addresses or `team:name`, as Dagster takes them.
        description: what it is for, in a sentence.

    Raises:
        BadDeclaration: at load, with the mend.
    """

    name: str
    table: str
    keys: tuple[str, ...]
    time: str
    target: str
    horizon: int
    features: tuple[str, ...]
    params: Mapping[str, object] = field(default_factory=dict)
    owners: tuple[str, ...] = ()
    description: str = ""

    def __post_init__(self) -> None:
        try:
            check_name(self.name), check_name(self.table)
        except BadName as error:
            raise BadDeclaration(f"model {self.name!r}: {error}") from error
        wrong = next(self._wrong(), None)
        if wrong:
            raise BadDeclaration(f"model {self.name}: {wrong}")

    def _wrong(self) -> Iterator[str]:
        """What is wrong with the declaration, with its mend; what comes later stands on what comes before."""
        given: tuple[object, object] = (self.features, self.keys)
        if not all(isinstance(one, tuple) for one in given):
            yield 'features and keys are tuples: write ("price",) with the comma.'
        if not self.features or not self.keys:
            yield "it needs at least one feature and one key."
        if not _is_whole(self.horizon) or self.horizon < 1:
            yield f"horizon is {self.horizon!r}; it is a whole number of days, 1 at least."
        yield from self._wrong_columns()
        yield from _wrong_params(self.params)

    def _wrong_columns(self) -> Iterator[str]:
        if self.target in self.features:
            yield f"the target {self.target!r} is among the features: the model would read the answer. Take it out."
        for what, names in (("features", self.features), ("keys, time and target", (*self.row_key, self.target))):
            twice = [name for name, times in Counter(names).items() if times > 1]
            if twice:
                yield f"{', '.join(twice)} is named twice among the {what}. Name each once."
        if self.time in self.features:
            yield f"the time column {self.time!r} is no feature: derive one that repeats, such as weekday."
        unfit = [name for name in self.features if not name or _UNFIT.search(name)]
        if unfit:
            yield f"LightGBM takes no feature named {unfit[0]!r}: rename it to letters, digits and underscores."

    @property
    def model_table(self) -> str:
        """The table of its versions, one row each."""
        return f"{self.name}_model"

    @property
    def forecast_table(self) -> str:
        """The table of its forecasts."""
        return f"{self.name}_forecast"

    @property
    def lightgbm_params(self) -> dict[str, object]:
        """All parameters that LightGBM gets."""
        return {**DEFAULTS, **self.params, **_FIXED}

    @property
    def row_key(self) -> tuple[str, ...]:
        """The columns that name a row: time first, so that training rows are in the order in which they came."""
        return (self.time, *self.keys)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _wrong_params(params: Mapping[str, object]) -> Iterator[str]:
    fixed = sorted({name for name in params if _NAME_OF.get(name, name) in _FIXED})
    if fixed:
        yield f"{', '.join(fixed)} is what makes training reproducible and cannot be changed. Take it out of params."
    for alias in sorted(set(params) & set(_NAME_OF)):
        yield f"params: LightGBM leaves {alias} unread beside {_NAME_OF[alias]}. Write {_NAME_OF[alias]}."
    for name in _WHOLE:
        value = params.get(name, 1)
        if not _is_whole(value) or (isinstance(value, int) and value < (name != "seed")):
            yield f"params: {name} is {value!r}; give a whole number."
    try:
        json.dumps(dict(params), allow_nan=False)
    except (TypeError, ValueError) as error:
        yield f"params are recorded as JSON, so they are numbers, texts, booleans or lists of them: {error}."
