"""Model: what a data scientist declares. A value; training, judging and forecasting are elsewhere."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from functools import cached_property
from typing import Any, Self, get_args

from lightkeeper.errors import BadDeclaration, BadName
from lightkeeper.measure.freshness import span
from lightkeeper.measure.gate import Gate
from lightkeeper.measure.skill import Kind
from lightkeeper.models.episodes import Retrain
from lightkeeper.models.expectations import Expectation, parse
from lightkeeper.models.params import all_params, wrong_params
from lightkeeper.values import check_name

__all__ = ["Model"]

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # waiting threads give their core away; read when lightgbm loads

_JUDGED_DAYS = 28  # of a model without a horizon
_MADE = {
    "origin",
    "days_ahead",
    "actual",
    "forecast",
    "low",
    "high",
    "scale",
    "scale_squared",
    "band_from",
    "novelty",
    "outside",
    "model_version",
    "made_by",
    "level_factor",
    "table_version",
    "error",
    "part",
    "name",
    "value",
    "category",
    "contribution",
    "step",
}  # columns of forecasts, outcomes, explanations
_SUMMED = {"n", "weight", "champion", "challenger", "naive", "days", "day"}  # columns of what is compared in a slice
_UNFIT = re.compile(r'["\[\]{}:,\s]')  # in a feature's name, for LightGBM


@dataclass(frozen=True, kw_only=True)
class Model:
    """A model that learns `target` from `features` of one table and predicts it where it is not known yet.

    Args:
        name: of the model; its tables are `<name>_model`, `<name>_judgement`, `<name>_forecast` and so on.
        table: holds one row for each combination of `keys` and `time`; rows whose target is null are not learnt from, and
            those after the last known day are what is forecast.
        keys: columns that name a series.
        time: the date column.
        target: the column to predict.
        features: the columns to learn from: numbers, booleans, or texts, which are taken as categories.
        horizon: days ahead; every feature must be known that long before its day. None: no forecast of days to come, but a
            prediction for each row without a target.
        kind: of the target: "continuous", "count" (never below 0) or "binary" (0 or 1; the prediction is a probability).
        params: LightGBM parameters over the defaults; those that make training reproducible cannot be changed.
        slices: columns of the table; a challenger may not be worse in a slice, whatever it gains elsewhere.
        promote_if: the gate between a challenger and the champion.
        retrain_if: when it is retrained by itself.
        expect: what must be true of the model's behaviour, such as "units falls when price_gbp rises",
            "units stays when week rises", "wape at most 0.5 where product=85123A".
        levels: of the intervals, such as 0.8; none for a binary target.
        season: days of the naive forecast's season.
        windows: how many stretches of the horizon's length are backtested for the intervals, the judged one included.
        max_age_days: after which what the champion learnt is called old; None: never.
        runs_within: the longest that a run of one of its tables may take, such as "30m", until eight runs have told what is usual.
        follow_level: whether forecasts are moved while outcomes have another level, as `measure.level_shift` says.
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
    features: tuple[str, ...]
    horizon: int | None = None
    kind: Kind = "continuous"
    params: Mapping[str, object] = field(default_factory=dict)
    slices: tuple[str, ...] = ()
    promote_if: Gate = field(default_factory=Gate)
    retrain_if: Retrain = field(default_factory=Retrain)
    expect: tuple[str, ...] = ()
    levels: tuple[float, ...] = (0.8, 0.95)
    season: int = 7
    windows: int = 1
    max_age_days: int | None = 91
    runs_within: str | None = None
    follow_level: bool = True
    owners: tuple[str, ...] = ()
    description: str = ""

    def __new__(cls, *_: Any, **options: Any) -> Self:
        """Name an option that there is not, before Python only says that it is unexpected."""
        there = [one.name for one in fields(cls)]
        for option in sorted(set(options) - set(there)):
            near = get_close_matches(option, there, 1)
            mend = f"Did you mean {near[0]}?" if near else f"It has {', '.join(there)}."
            raise BadDeclaration(f"model {options.get('name', '')}: there is no option {option!r}. {mend}")
        return super().__new__(cls)

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
        given: tuple[object, ...] = (self.features, self.keys, self.slices, self.expect, self.levels, self.owners)
        if not all(isinstance(one, tuple) for one in given):
            yield 'features, keys, slices, expect, levels and owners are tuples: write ("price",) with the comma.'
        texts = (*self.features, *self.keys, *self.slices, self.time, self.target)
        if odd := [one for one in texts if not isinstance(one, str)]:
            yield f"{odd[0]!r} names no column: features, keys, slices, time and target are texts."
        if not self.features or not self.keys:
            yield "it needs at least one feature and one key."
        if self.horizon is not None and not _at_least_one(self.horizon):
            yield f"horizon is {self.horizon!r}; it is a whole number of days, 1 at least, or None."
        if self.max_age_days is not None and not _at_least_one(self.max_age_days):
            yield f"max_age_days is {self.max_age_days!r}; it is a whole number of days, 1 at least, or None."
        yield from self._wrong_columns()
        yield from self._wrong_choices()
        yield from wrong_params(self.kind, self.params)
        yield from parse(self)[1]

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
        if self.target in self.slices:
            yield f"the target {self.target!r} is no slice: a slice is known before the outcome. Take it out."

        if self.time in self.slices:
            yield f"the time column {self.time!r} is no slice: derive one that repeats, such as weekday."
        shown = _MADE | {self.forecast_column} if self.time == "day" else _MADE | {self.forecast_column, "day"}
        levels = [one for one in (*self.keys, *self.slices) if one.startswith(("low_", "high_", "inside_"))]
        taken = [one for one in (*self.keys, self.time) if one in shown]
        taken += [one for one in self.slices if one in shown | _SUMMED and one not in self.keys] + levels
        if taken:
            yield f"no key, slice or time column is called {taken[0]!r}: a table of the model has one. Rename it."
        if hidden := [one for one in (*self.keys, self.time, *self.slices) if one.startswith("_")]:
            yield f"no key, slice or time column begins with an underscore, as {hidden[0]!r} does: such are made inside. Rename it."

    def _wrong_choices(self) -> Iterator[str]:
        if self.kind not in get_args(Kind):
            yield f"kind is {self.kind!r}; it is one of {', '.join(get_args(Kind))}."
        gate: object = self.promote_if
        if not isinstance(gate, Gate):
            yield f"promote_if is {self.promote_if!r}; give a gate, such as lk.Gate(alpha=0.01)."
        rule: object = self.retrain_if
        if not isinstance(rule, Retrain):
            yield f"retrain_if is {self.retrain_if!r}; give a rule, such as lk.Retrain(cool_down_days=14)."
        follow: object = self.follow_level
        if not isinstance(follow, bool):
            yield f"follow_level is {follow!r}; it is True or False."
        if self.runs_within is not None:
            yield from _wrong_span(self.runs_within)
        odd = [level for level in self.levels if not isinstance(level, float) or not 0 < level < 1]
        if odd or len(set(self.levels)) < len(self.levels):
            yield f"levels are shares between 0 and 1, each once, such as (0.8, 0.95); given is {self.levels!r}."
        for what in ("season", "windows"):
            if not _at_least_one(getattr(self, what)):
                yield f"{what} is {getattr(self, what)!r}; it is a whole number, 1 at least."

    @property
    def model_table(self) -> str:
        """The table of its versions, one row each."""
        return f"{self.name}_model"

    @property
    def judgement_table(self) -> str:
        """The table of its judgements: each contender in each slice."""
        return f"{self.name}_judgement"

    @property
    def champion_table(self) -> str:
        """The table of who served when."""
        return f"{self.name}_champion"

    @property
    def forecast_table(self) -> str:
        """The table of its forecasts; without a horizon, of its predictions."""
        return f"{self.name}_forecast" if self.horizon else f"{self.name}_predictions"

    @property
    def explanation_table(self) -> str:
        """The table of what the newest forecasts are made of."""
        return f"{self.name}_explanation"

    @property
    def outcome_table(self) -> str:
        """The table of forecasts beside what came true."""
        return f"{self.name}_outcome"

    @property
    def history_table(self) -> str:
        """The table of each feature's distribution and effect, by model version."""
        return f"{self.name}_feature_history"

    @property
    def training_tables(self) -> tuple[str, ...]:
        """The tables that a training writes, and a landing does not."""
        return (self.model_table, self.judgement_table, self.champion_table, self.history_table)

    @property
    def served_tables(self) -> tuple[str, ...]:
        """The tables that are made of who serves, with each landing."""
        return (self.forecast_table, self.outcome_table, self.explanation_table)

    @property
    def tables(self) -> tuple[str, ...]:
        """The tables that are the model's own."""
        return (*self.training_tables, *self.served_tables)

    @property
    def follows(self) -> bool:
        """Whether its forecasts follow a shift of the level: it is asked to, and its target has one."""
        return self.follow_level and self.horizon is not None and self.kind != "binary"

    @property
    def forecast_column(self) -> str:
        """The column of the forecast."""
        return f"{self.target}_forecast" if self.horizon else f"{self.target}_prediction"

    @property
    def judged_days(self) -> int:
        """A horizon: how many days a challenger is judged on, unless its gate needs more known ones (`training.judged_on`)."""
        return self.horizon or _JUDGED_DAYS

    @property
    def lightgbm_params(self) -> dict[str, object]:
        """All parameters that LightGBM gets."""
        return all_params(self.kind, self.params)

    @cached_property
    def expectations(self) -> tuple[Expectation, ...]:
        """What `expect` says, read."""
        return parse(self)[0]

    @property
    def row_key(self) -> tuple[str, ...]:
        """The columns that name a row: time first, so that training rows are in the order in which they came."""
        return (self.time, *self.keys)


def _wrong_span(text: object) -> Iterator[str]:
    try:
        span(str(text))
    except BadDeclaration as error:
        yield f"runs_within: {error}"


def _at_least_one(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1
