"""Model: what a data scientist declares. A value; training and forecasting are elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from lightkeeper.errors import BadDeclaration, BadName
from lightkeeper.values import check_name

__all__ = ["DEFAULTS", "Model"]

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
        wrong = self._wrong()
        if wrong:
            raise BadDeclaration(f"model {self.name}: {wrong}")

    def _wrong(self) -> str | None:
        """The first thing that is wrong with the declaration, with its mend."""
        given: tuple[object, object] = (self.features, self.keys)
        if any(isinstance(one, str) for one in given):
            return 'features and keys are tuples: write ("price",) with the comma.'
        if not self.features or not self.keys:
            return "it needs at least one feature and one key."
        if self.horizon < 1:
            return f"horizon is {self.horizon}; it is counted in days, 1 at least."
        if self.target in self.features:
            return f"the target {self.target!r} is among the features: the model would read the answer. Take it out."
        twice = sorted({name for name in self.features if self.features.count(name) > 1})
        if twice:
            return f"{', '.join(twice)} is named twice among the features."
        if self.time in self.features:
            return f"the time column {self.time!r} is no feature: derive one that repeats, such as weekday."
        fixed = sorted(set(self.params) & set(_FIXED))
        return f"{', '.join(fixed)} is what makes training reproducible and cannot be changed." if fixed else None

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
