"""Explaining: why a forecast is what it is, what changed it since the last one, and how each feature behaved in training.

Owns the arithmetic that turns LightGBM's contributions into units of the target, and its words. Which rows are explained,
and where the frames are kept, stay out. A contribution says what the model made of a value; it is no cause in the world.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np
import polars as pl

from lightkeeper.errors import Refused

if TYPE_CHECKING:
    from numpy.typing import NDArray

    _Floats = NDArray[np.float64]

__all__ = ["Before", "Link", "Scorer", "changed", "contributions", "feature_history", "link_of", "sentence"]

Link = Literal["identity", "log", "logit"]

_LINKS: dict[str, Link] = {
    "poisson": "log",
    "tweedie": "log",
    "gamma": "log",
    "binary": "logit",
    "cross_entropy": "logit",
}
_NEAR = 1e-6  # of the sum of absolute contributions: a sum below it may be rounding
_EXACT = 1e-9  # of the forecast: to which parts add up to it
_SEED = 1  # of the sample that effects are measured on
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_COLUMNS = ("part", "name", "value", "category", "contribution")
_QUANTILES = {"p05": 0.05, "p25": 0.25, "median": 0.5, "p75": 0.75, "p95": 0.95}


class Scorer(Protocol):
    """What is asked of a model version."""

    @property
    def features(self) -> tuple[str, ...]:
        """Their names, in order."""
        ...

    @property
    def link(self) -> Link:
        """What the forecast is to the raw score: the same, its exponential, or its logistic."""
        ...

    def predict(self, rows: pl.DataFrame) -> _Floats:
        """(n,), the forecast in units of the target."""
        ...

    def contributions(self, rows: pl.DataFrame) -> _Floats:
        """(n, k + 1), LightGBM's `pred_contrib`: a column a feature, the base last; a row adds up to the raw score."""
        ...


def link_of(text: bytes) -> Link:
    """The link that LightGBM's model text (UTF-8) names by its objective.

    Raises:
        Refused: the target was transformed (reg_sqrt) or the logistic has a slope of its own, which is not explained here.
    """
    found = re.search(rb"^objective=(\w+)(.*)$", text, re.MULTILINE)
    objective, rest = (found[1].decode(), found[2].decode().split()) if found else ("regression", [])
    if "sqrt" in rest or any(word.startswith("sigmoid:") and float(word[8:]) != 1 for word in rest):
        raise Refused(
            f"objective {objective} with {' '.join(rest)} is not explained. Leave reg_sqrt and sigmoid at their defaults."
        )
    return _LINKS.get(objective, "identity")


def contributions(scorer: Scorer, rows: pl.DataFrame, row_key: Sequence[str]) -> pl.DataFrame:
    """The forecast of each row in parts: the base, and what each feature added, in units of the target.

    A part is LightGBM's contribution (TreeSHAP, Lundberg et al. 2020). Where a link f stands between their sum and the
    forecast, each is multiplied by (forecast - base) / (sum - raw base), with the base f(raw base): the allocation of
    Aumann and Shapley (1974), the integral of f' along the straight path from the base to the sum. So all parts of a row
    keep their proportions and their signs, and add up to the forecast. With a logarithm the base is the exponential of the
    mean raw score, a geometric mean, which is below the mean forecast.

    Returns:
        For each row, in order, 1 + k rows: the key columns, `part` ("base" or "feature"), `name` ("base" for the base),
        `value` (Float64; null for the base, a null and a text), `category` (String; null unless the feature is a text),
        `contribution` (Float64).

    Raises:
        Refused: the rows lack a column.
    """
    _assert_columns(rows, scorer.features, row_key)
    names, parts = pl.Series(["base", *scorer.features]), _in_units(scorer, rows)
    each, at = np.repeat(np.arange(rows.height), len(names)), np.tile(np.arange(len(names)), rows.height)
    return rows.select(row_key)[each].with_columns(
        pl.Series("part", np.where(at, "feature", "base"), pl.String),
        names[at].alias("name"),
        _by_row([_number(rows, name) for name in scorer.features]).alias("value"),
        _by_row([_text(rows, name) for name in scorer.features]).alias("category"),
        pl.Series("contribution", np.roll(parts, 1, axis=1).ravel()),
    )


def _in_units(scorer: Scorer, rows: pl.DataFrame) -> _Floats:
    """(n, k + 1), the contributions in units of the target, the base last."""
    parts, forecast = scorer.contributions(rows).copy(), scorer.predict(rows)
    base, slope = _at_base(scorer.link, parts[:, -1])
    added = parts[:, :-1]
    sums = added.sum(axis=1)
    near = np.abs(sums) <= _NEAR * np.abs(added).sum(axis=1)  # the quotient would be rounding; its limit is the slope
    added *= np.where(near, slope, (forecast - base) / np.where(near, 1.0, sums))[:, None]
    rest = forecast - base - added.sum(axis=1)
    parts[:, -1] = base + np.where(np.abs(rest) > _EXACT * np.abs(forecast), rest, 0.0)
    return parts


def _at_base(link: Link, raw: _Floats) -> tuple[_Floats, _Floats]:
    """The base in units of the target, and how much of it a unit of the raw score is worth there."""
    if link == "log":
        return np.exp(raw), np.exp(raw)
    if link == "logit":
        base = (1 + np.tanh(raw / 2)) / 2
        return base, base * (1 - base)
    return raw.copy(), np.ones_like(raw)


def _is_number(dtype: pl.DataType) -> bool:
    return dtype.is_numeric() or dtype == pl.Boolean


def _number(rows: pl.DataFrame, name: str) -> pl.Series:
    """A feature's values as Float64; null where they are NaN or a text."""
    if not _is_number(rows.schema[name]):
        return pl.Series(name, [None], pl.Float64).new_from_index(0, rows.height)
    return rows[name].cast(pl.Float64).fill_nan(None)


def _text(rows: pl.DataFrame, name: str) -> pl.Series:
    """A feature's values as String; null where they are numbers."""
    if _is_number(rows.schema[name]):
        return pl.Series(name, [None], pl.String).new_from_index(0, rows.height)
    return rows[name].cast(pl.String)


def _by_row(columns: Sequence[pl.Series]) -> pl.Series:
    """The values of columns of one type, row after row, each row opened by a null for the base."""
    nothing = pl.Series(" base", [None], columns[0].dtype).new_from_index(0, len(columns[0]))
    return pl.DataFrame([nothing, *columns]).select(pl.concat_list(pl.all()).explode()).to_series()


def _assert_columns(rows: pl.DataFrame, wanted: Sequence[str], keys: Sequence[str] = ()) -> None:
    missing = [name for name in (*keys, *wanted) if name not in rows.columns]
    if missing:
        raise Refused(f"rows to explain have no column {', '.join(missing)}; they have {', '.join(rows.columns)}.")
    taken = [name for name in keys if name in _COLUMNS]
    if taken:
        raise Refused(f"a key column cannot be called {taken[0]}: an explanation has a column of its own of that name. Rename it.")


@dataclass(frozen=True)
class Before:
    """The forecasts that were given before.

    Attributes:
        rows: a row a key, with the key columns and the forecast; others are not read.
        forecast: name of the forecast's column, in units of the target.
        scorer: the version that made them; None where it is the one that forecasts now.
    """

    rows: pl.DataFrame
    forecast: str
    scorer: Scorer | None = None


def changed(scorer: Scorer, rows: pl.DataFrame, row_key: Sequence[str], before: Before) -> pl.DataFrame:
    """What changed since the previous forecast of the same key and day, in units of the target.

    `data` is the previous version on the rows of now, less the previous forecast; `model` is the version of now less the
    previous one, both on the rows of now; `events` is 0, as none are recorded. They add up to the new forecast less the
    previous one. Which comes first is a choice: the data are new whoever forecasts, so their share is told by the version
    that the reader knew.

    Returns:
        Three rows for each row that had a forecast, in order, in the columns of `contributions`; `part` is "change".

    Raises:
        Refused: a column is missing or a key column has another type, a key had two forecasts.
    """
    previous = before.scorer or scorer
    _assert_columns(rows, (*scorer.features, *previous.features), row_key)
    both = rows.join(_given(before, rows, row_key), on=list(row_key), how="inner", maintain_order="left")
    new, given = scorer.predict(both), both[" given"].to_numpy()
    middle = new if previous is scorer else previous.predict(both)
    parts = np.column_stack([middle - given, new - middle, np.zeros(both.height)])
    return both.select(row_key)[np.repeat(np.arange(both.height), 3)].with_columns(
        pl.lit("change").alias("part"),
        pl.Series("name", ["data", "model", "events"] * both.height, pl.String),
        pl.lit(None, pl.Float64).alias("value"),
        pl.lit(None, pl.String).alias("category"),
        pl.Series("contribution", parts.ravel(), pl.Float64),
    )


def _given(before: Before, rows: pl.DataFrame, row_key: Sequence[str]) -> pl.DataFrame:
    """The keys that had a forecast, with it."""
    _assert_columns(before.rows, [before.forecast], row_key)
    forecast = pl.col(before.forecast).cast(pl.Float64).fill_nan(None).alias(" given")
    given = before.rows.select(*row_key, forecast).drop_nulls(" given")
    keys = given.select(row_key)
    if keys.schema != rows.select(row_key).schema:
        raise Refused(f"the keys of the previous forecast are {keys.schema}, those of now {rows.select(row_key).schema}.")
    twice = keys.filter(keys.is_duplicated())
    if twice.height:
        raise Refused(f"{twice.row(0)} had two previous forecasts: pass those of one version of the table.")
    return given


def feature_history(scorer: Scorer, rows: pl.DataFrame, version: str, sample: int = 2000) -> pl.DataFrame:
    """How each feature was in the rows that a version learnt from, and what the version made of it.

    Args:
        scorer: the version.
        rows: its training rows.
        version: what it is called, "demand:v3".
        sample: rows that effects are measured on, drawn with a fixed seed.

    Returns:
        A row a feature, in order: `model_version`, `feature`, `n` (rows), `null_share`, `mean`, `sd` (n - 1), `p05`,
        `p25`, `median`, `p75`, `p95` (linear between values), `min`, `max`; `effect`: mean absolute contribution, in units of
        the target; `effect_share`: of the sum of effects, null where that is 0; `rank_correlation`: Spearman's, of value and
        contribution, null where either is constant; `direction`: its sign. A text has neither numbers nor direction.

    Raises:
        Refused: there is no row, or a column is missing.
    """
    _assert_columns(rows, scorer.features)
    if rows.is_empty() or sample < 1:
        raise Refused(f"{version}: {rows.height} training rows and a sample of {sample}: both need at least 1.")
    drawn = np.random.default_rng(_SEED).choice(rows.height, min(sample, rows.height), replace=False)
    some = rows[np.sort(drawn)]
    parts = pl.DataFrame(_in_units(scorer, some)[:, :-1], [*scorer.features])
    told = [
        {"model_version": version, "feature": name, "n": rows.height}
        | _spread(rows, name)
        | {"effect": parts[name].abs().mean(), "rank_correlation": _rank_correlation(_number(some, name), parts[name])}
        for name in scorer.features
    ]
    types = dict.fromkeys(told[0], pl.Float64()) | {"model_version": pl.String(), "feature": pl.String(), "n": pl.Int64()}
    total = pl.col("effect").sum()
    return pl.DataFrame(told, types).with_columns(
        pl.when(total > 0).then(pl.col("effect") / total).alias("effect_share"),
        pl.col("rank_correlation").sign().cast(pl.Int64).alias("direction"),
    )


def _spread(rows: pl.DataFrame, name: str) -> dict[str, object]:
    """What is told of a feature's values."""
    number = _is_number(rows.schema[name])
    values = _number(rows, name)
    null = (values if number else rows[name]).null_count()
    quantiles = {what: values.quantile(level, "linear") for what, level in _QUANTILES.items()}
    ends = {"mean": values.mean(), "sd": values.std(), **quantiles, "min": values.min(), "max": values.max()}
    return {"null_share": null / rows.height, **ends}


def _rank_correlation(values: pl.Series, parts: pl.Series) -> float | None:
    """Spearman's, over the known values; null where one does not vary."""
    known = pl.DataFrame([values.alias("value"), parts.alias("part")]).drop_nulls()
    found: float | None = known.select(pl.corr("value", "part", method="spearman").fill_nan(None)).item()
    return found


def sentence(parts: pl.DataFrame, day: date, unit: str, reasons: int = 3) -> str:
    """The explanation of one forecast in words, with its main reasons, those that point its way first.

    "Monday 24 Nov: 548 pieces, 138 more than a usual day (410). Main reasons: list_price +29, units_mean_28d +18;
    units_28d_ago -24." The usual day is the base. Numbers have three digits, or all before the point.

    Args:
        parts: the rows of one key and day that `contributions` made.
        day: the day.
        unit: the word for what is forecast, in the plural.
        reasons: features that are named, at most; those that round to nothing are not.

    Raises:
        Refused: the parts are not those of one forecast.
    """
    bases = parts.filter(pl.col("part") == "base")["contribution"]
    if len(bases) != 1:
        raise Refused(f"{len(bases)} forecasts are to be told in one sentence: pass the parts of one key and day.")
    added = parts.filter(pl.col("part").is_in(["feature", "level"]))
    base, features = bases[0], dict(added.select("name", "contribution").iter_rows())
    forecast = base + sum(features.values())
    digits = _digits(forecast, base)
    main = dict(sorted(features.items(), key=lambda one: -abs(one[1]))[:reasons])
    more = _rounded(forecast, digits) - _rounded(base, digits)
    usual = f"{_told(abs(more), digits)} {'more' if more > 0 else 'less'} than" if more else "as on"
    said = f"{_DAYS[day.weekday()]} {day.day} {_MONTHS[day.month - 1]}: {_told(forecast, digits)} {unit}, "
    said += f"{usual} a usual day ({_told(base, digits)})."
    why = _reasons(main, digits, up=more >= 0)
    return said + (f" Main reasons: {why}." if why else "")


def _reasons(parts: dict[str, float], digits: int, *, up: bool) -> str:
    """The parts that point one way, then the others; those that round to nothing are left out."""
    told = [(name, _rounded(part, digits)) for name, part in parts.items() if _rounded(part, digits)]
    ways = ([one for one in told if (one[1] > 0) == up], [one for one in told if (one[1] > 0) != up])
    return "; ".join(", ".join(f"{name} {part:+,.{digits}f}" for name, part in way) for way in ways if way)


def _digits(*numbers: float) -> int:
    """Places after the point that show three digits of the largest."""
    largest = max(abs(number) for number in numbers)
    return 0 if largest == 0 else min(max(2 - math.floor(math.log10(largest)), 0), 6)


def _rounded(number: float, digits: int) -> float:
    return round(number, digits) + 0.0


def _told(number: float, digits: int) -> str:
    return f"{_rounded(number, digits):,.{digits}f}"
