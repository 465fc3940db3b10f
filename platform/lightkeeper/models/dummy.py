"""Rows made up from a contract: enough to run a model through, with nothing in them to learn. Deterministic; no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

import dataframely as dy
import numpy as np
import polars as pl

from lightkeeper.errors import Refused
from lightkeeper.models.model import Model
from lightkeeper.models.training import least_days

__all__ = ["dummy_rows"]

_SERIES = 4
_ROUNDS = 100  # in which dataframely looks for rows that keep the contract
_FIRST = date(2024, 1, 1)


def dummy_rows(model: Model, contract: type[dy.Schema], seed: int = 1) -> pl.DataFrame:
    """A panel of four series in the contract's columns: known days enough to be judged, and the days ahead without target.

    Raises Refused: the contract lacks a column that the model needs, or no values that keep it were found.
    """
    missing = [name for name in (*model.row_key, model.target, *model.features) if name not in contract.column_names()]
    if missing:
        raise Refused(f"model {model.name}: the contract {contract.__name__} has no column {', '.join(missing)}.")
    known = 2 * least_days(model) + model.judged_days
    days = [_FIRST + timedelta(n) for n in range(known + (model.horizon or 1))]
    rows = _SERIES * len(days)
    given = {**_keys(model, contract, days), model.target: _targets(model, contract, rows, seed)}
    try:
        with dy.Config(max_sampling_iterations=_ROUNDS):
            made = contract.sample(rows, generator=dy.random.Generator(seed=seed + 1), overrides=given)
    except (ValueError, pl.exceptions.PolarsError) as error:
        raise Refused(f"model {model.name}: no rows that keep the contract {contract.__name__} were found: {error}") from error
    ahead = pl.col(model.time) > days[known - 1]
    return made.with_columns(pl.when(~ahead).then(pl.col(model.target)).alias(model.target))


def _keys(model: Model, contract: type[dy.Schema], days: list[date]) -> Mapping[str, Any]:
    """Each series on each day; the first key tells the series apart, the others are constant."""
    types = contract.columns()
    series = [n for n in range(_SERIES) for _ in days]
    found: dict[str, Any] = {model.time: days * _SERIES}
    for place, key in enumerate(model.keys):
        numbers = series if place == 0 else [0] * len(series)
        found[key] = [f"{key} {n}" for n in numbers] if types[key].dtype == pl.String() else numbers
    return found


def _targets(model: Model, contract: type[dy.Schema], rows: int, seed: int) -> list[Any]:
    """Random targets of the declared kind, within the limits that the contract gives the column."""
    random, column = np.random.default_rng(seed), contract.columns()[model.target]
    if model.kind == "binary":
        return [int(one) for one in random.integers(0, 2, rows)]
    if model.kind == "count":
        return [int(one) for one in random.poisson(5, rows)]
    low, high = (getattr(column, limit, None) for limit in ("min", "max"))
    start = 1 if low is None else low
    found = random.uniform(start, start + 98 if high is None else high, rows)
    return [int(one) for one in found] if column.dtype.is_integer() else found.tolist()
