"""Training: rows and a declaration in, a model and all that made it out. Deterministic; no clock, no I/O.

The point forecast and the two quantiles of the band are fitted on the same binned data, for the same number of rounds. That
number is found by early stopping on a time split: fitted on the earlier days, stopped by the error on the last ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from lightkeeper.errors import Refused, TooLittle
from lightkeeper.measure.content import digest, sums
from lightkeeper.models.model import Model
from lightkeeper.models.params import UNBANDED
from lightkeeper.models.scoring import Fitted, encoded, kinds_of

if TYPE_CHECKING:
    import lightgbm

__all__ = [
    "BAND",
    "Artifact",
    "assert_columns",
    "assert_known",
    "assert_rows",
    "assert_same_types",
    "cut_of",
    "fit",
    "judged_on",
    "least_days",
    "training_frame",
]

BAND: Mapping[str, float] = {"low": 0.1, "high": 0.9}  # the quantiles of the band's models
_PATIENCE = 30  # rounds without a better error before training stops
_LEAST = 30  # rounds: with fewer a model has hardly left the mean, and one stretch of days is a noisy judge of that
_CATEGORIES = 1_000  # of a text feature, at most
_SHORTEST = 14  # days to learn from, at least, before those that are judged


@dataclass(frozen=True)
class Artifact:
    """One trained model and what it was made of.

    Attributes:
        fitted: the model itself.
        sha256: of its bytes, hex.
        rows: learnt from.
        first, last: days of the first and last row learnt from.
        rounds: of boosting.
        training_hash: content hash of the frame learnt from.
    """

    fitted: Fitted
    sha256: str
    rows: int
    first: date
    last: date
    rounds: int
    training_hash: str


def least_days(model: Model) -> int:
    """How many known days a model needs: those that are judged, and as many before as can be learnt from at all."""
    return model.judged_days + _SHORTEST


def judged_on(model: Model) -> int:
    """How many days a challenger is judged on: a horizon, and never fewer than its gate needs."""
    return max(model.judged_days, model.promote_if.least_days)


def cut_of(model: Model, table: pl.LazyFrame, today: date | None = None) -> date:
    """The day up to which a challenger is fitted: the last known one less those that it is judged on.

    Where a horizon holds fewer known days than the gate needs, as a short one does, or one over days without rows, it lies earlier.

    Raises TooLittle: no day is known, or too few are. Refused: one lies after `today`.
    """
    assert_columns(model, table, ())
    known = table.filter(pl.col(model.target).is_not_null()).select(pl.col(model.time).unique()).collect()[model.time].sort()
    days, judged = known.len(), judged_on(model)
    if not days:
        raise TooLittle(f"{_of(model)}: no row has a known {model.target}, so there is nothing to learn. Land more days.")
    last: date = known[-1]
    if today is not None and last > today:
        raise Refused(f"{_of(model)}: {model.target} is known for {last}, and today is {today}. Make targets of days to come null.")
    if days < judged + _SHORTEST:
        raise TooLittle(
            f"{_of(model)} has {days} known days; {judged + _SHORTEST} are needed: {judged} to be judged on, and "
            f"{_SHORTEST} before them to learn from. Land more days; until then the naive forecast serves."
        )
    enough: date = known[-model.promote_if.least_days]
    return min(last - timedelta(model.judged_days), enough - timedelta(1))


def training_frame(model: Model, table: pl.LazyFrame, until: date | None = None, today: date | None = None) -> pl.DataFrame:
    """The rows with a known target up to the day `until`, sorted by time and keys, which must name each row once.

    Columns: time, keys, target, features; other columns are not read.

    Raises Refused: a column is not there or of no use, no row has a target, two rows share a key or one lacks it, a value is
        infinite, a target is known after `today`, is no count or no 0 or 1 where it was declared so.
    """
    assert_columns(model, table, model.features)
    wanted = (*model.row_key, model.target, *model.features)
    known = table.filter(pl.col(model.target).is_not_null()).select(wanted)
    rows = _sorted(known if until is None else known.filter(pl.col(model.time) <= until), model.row_key)
    if rows.is_empty():
        before = "" if until is None else f" up to {until}"
        raise Refused(f"{_of(model)}: no row has a known {model.target}{before}, so there is nothing to learn. Land more days.")
    assert_known(model, rows, model.features, today)
    return rows


def assert_known(model: Model, rows: pl.DataFrame, features: Sequence[str], today: date | None = None) -> None:
    """Raise Refused unless rows with a known target, sorted by time and keys, can be learnt from and judged on."""
    assert_rows(model, rows)
    _assert_target(model, rows, today)
    _assert_finite(model, rows, features)


def _sorted(rows: pl.LazyFrame, key: Sequence[str]) -> pl.DataFrame:
    """Collected and sorted, one column after the other, so that no column stands in memory twice for long."""
    frame = rows.collect()
    order = frame.select(pl.arg_sort_by(key)).to_series()
    return pl.DataFrame([frame.drop_in_place(name).gather(order) for name in list(frame.columns)])


def _of(model: Model) -> str:
    return f"model {model.name}: {model.table}"


def assert_columns(model: Model, table: pl.LazyFrame, features: Sequence[str]) -> None:
    """Raise Refused unless the table has keys, time as a Date, a target that is a number, and features of use."""
    schema, of = table.collect_schema(), _of(model)
    missing = [name for name in (*model.row_key, model.target, *features) if name not in schema]
    if missing:
        raise Refused(f"{of} has no column {', '.join(missing)}; it has {', '.join(schema)}.")
    odd = [name for name in features if kinds_of(schema[name]) is None]
    if odd or kinds_of(schema[model.target]) != "number":
        name = odd[0] if odd else model.target
        raise Refused(f"{of}: {name} ({schema[name]}) is no number{' and no text' if odd else ''}. Make it one in {model.table}.")
    if schema[model.time] != pl.Date:
        raise Refused(f"{of}: the time column {model.time} is {schema[model.time]}. Make it a Date in {model.table}.")


def assert_same_types(name: str, fitted: Fitted, table: pl.LazyFrame) -> None:
    """Raise Refused where the table has a text in the place of a number that a version learnt from."""
    schema = table.collect_schema()
    for one in fitted.features:
        if one not in fitted.categories and kinds_of(schema[one]) != "number":
            raise Refused(f"{name} learnt {one} as a number, and {one} ({schema[one]}) is no number. Make it one, or train again.")


def assert_rows(model: Model, rows: pl.DataFrame) -> None:
    """Raise Refused unless time and keys, by which the rows are sorted, name each row once."""
    of, keys = _of(model), rows.select(model.row_key)
    nameless = [name for name in model.row_key if keys[name].null_count()]
    if nameless:
        raise Refused(f"{of} has {keys[nameless[0]].null_count()} rows without {nameless[0]}. Each row needs its keys and day.")
    double = pl.all_horizontal(pl.col(name) == pl.col(name).shift() for name in model.row_key)  # they are sorted
    twice = keys.filter(double)
    if twice.height:
        raise Refused(f"{of} has two rows for {twice.row(0)}. Each {' and '.join(model.row_key)} stands once.")


def _assert_target(model: Model, rows: pl.DataFrame, today: date | None) -> None:
    of, target = _of(model), rows[model.target].cast(pl.Float64)
    wrong = {"continuous": ~target.is_finite(), "count": ~(target.is_finite() & (target >= 0)), "binary": ~target.is_in([0.0, 1.0])}
    odd = rows.filter(wrong[model.kind])
    if odd.height:
        what = {"continuous": "Make it null", "count": "A count is 0 or more", "binary": "A binary target is 0, 1 or null"}
        raise Refused(f"{of}: {model.target} is {odd[model.target][0]} for {odd.select(model.row_key).row(0)}. {what[model.kind]}.")
    last = rows[model.time][-1]
    if today is not None and last > today:
        raise Refused(f"{of}: {model.target} is known for {last}, and today is {today}. Make targets of days to come null.")


def _assert_finite(model: Model, rows: pl.DataFrame, features: Sequence[str]) -> None:
    for name in features:
        if rows[name].dtype.is_float() and rows[name].is_infinite().any():
            row = rows.filter(pl.col(name).is_infinite()).select(model.row_key).row(0)
            raise Refused(f"{_of(model)}: the feature {name} is infinite for {row}. Make it null.")


def _assert_learnable(model: Model, rows: pl.DataFrame) -> None:
    days = rows[model.time].n_unique()
    if days < _SHORTEST:
        raise TooLittle(f"{_of(model)} has {days} known days to learn from, {_SHORTEST} are needed. Land more days, then train.")
    if rows[model.target].n_unique() == 1:
        value = rows[model.target][0]
        raise TooLittle(f"{_of(model)}: {model.target} is {value} in each of {rows.height:,} rows, so there is nothing to learn.")


def fit(model: Model, rows: pl.DataFrame, rounds: int | None = None) -> Artifact:
    """Fit on all rows of a training frame. The same rows, parameters and library give the same bytes.

    Args:
        model: the declaration.
        rows: what `training_frame` gives.
        rounds: of boosting; None finds the number by early stopping on the last days.

    Raises TooLittle: the rows are too few days, or their target is constant. Refused: LightGBM takes no such parameter.
    """
    from lightgbm.basic import LightGBMError

    _assert_learnable(model, rows)
    try:
        return _fitted(model, rows, rounds)
    except LightGBMError as error:
        said = " ".join(str(error).split())
        raise Refused(f"model {model.name}: LightGBM refuses params {dict(model.params)}: {said}. Mend params=.") from error


def _fitted(model: Model, rows: pl.DataFrame, rounds: int | None) -> Artifact:
    params = dict(model.lightgbm_params)
    most = int(str(params.pop("num_iterations")))
    categories = _categories(model, rows)
    data = _dataset(model, rows, categories, params)
    rounds = rounds or _rounds(data, params, most, _split(model, rows))
    parts = {"point": _boosted(data, params, rounds)}
    if model.kind != "binary":
        parts |= {part: _boosted(data, _quantile(params, level), rounds) for part, level in BAND.items()}
    fitted = Fitted(model.features, categories, parts)
    return Artifact(
        fitted=fitted,
        sha256=fitted.sha256,
        rows=rows.height,
        first=rows[model.time][0],
        last=rows[model.time][-1],
        rounds=rounds,
        training_hash=digest(dict(rows.schema), sums(rows)),
    )


def _categories(model: Model, rows: pl.DataFrame) -> dict[str, tuple[str, ...]]:
    """The values of each text feature, sorted."""
    found = {
        name: tuple(rows[name].cast(pl.String).unique().drop_nulls().sort())
        for name in model.features
        if kinds_of(rows.schema[name]) == "text"
    }
    for name, values in found.items():
        if len(values) > _CATEGORIES:
            raise Refused(
                f"{_of(model)}: the feature {name} has {len(values):,} values; {_CATEGORIES:,} can be told apart. Group them."
            )
    return found


def _dataset(
    model: Model, rows: pl.DataFrame, categories: Mapping[str, Sequence[str]], params: Mapping[str, Any]
) -> lightgbm.Dataset:
    import lightgbm

    matrix = encoded(rows, model.features, categories).to_arrow(compat_level=pl.CompatLevel.oldest())
    data = lightgbm.Dataset(
        matrix,
        rows[model.target].cast(pl.Float64).to_numpy(),
        feature_name=list(model.features),
        categorical_feature=list(categories),
        params=dict(params),
    )
    return data.construct()


def _split(model: Model, rows: pl.DataFrame) -> int:
    """How many rows, from the first, stand before the days that stop the training."""
    first, last = rows[model.time][0], rows[model.time][-1]
    held = min(model.judged_days, max(((last - first).days + 1) // 4, 1))
    return rows.filter(pl.col(model.time) <= last - timedelta(held)).height


def _rounds(data: lightgbm.Dataset, params: Mapping[str, Any], most: int, split: int) -> int:
    import lightgbm

    if params.get("boosting") == "dart":  # has no early stopping
        return most
    if not np.asarray(data.get_label())[:split].any():  # all 0 before the last days: LightGBM cannot take the mean's logarithm
        return min(_LEAST, most)
    learnt, held = data.subset(list(range(split))), data.subset(list(range(split, data.num_data())))
    stop = lightgbm.early_stopping(_PATIENCE, verbose=False)
    booster = lightgbm.train(dict(params), learnt, most, valid_sets=[held], callbacks=[stop])
    return min(max(int(booster.best_iteration), _LEAST), most) if booster.best_iteration > 0 else most


def _quantile(params: Mapping[str, Any], level: float) -> dict[str, Any]:
    return {**{name: value for name, value in params.items() if name not in UNBANDED}, "objective": "quantile", "alpha": level}


def _boosted(data: lightgbm.Dataset, params: Mapping[str, Any], rounds: int) -> bytes:
    import lightgbm

    return lightgbm.train(dict(params), data, rounds).model_to_string(num_iteration=-1).encode()
