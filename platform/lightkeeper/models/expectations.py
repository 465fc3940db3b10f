"""What must be true of a model's behaviour: sentences of the declaration, read at load and tried on a fitted model.

Three forms, as in behavioural testing (Ribeiro et al. 2020): direction, invariance, and a floor on a named case:
    "units falls when price_gbp rises"              the mean forecast falls when the feature rises by one standard deviation
    "units stays when week changes"                 forecasts move by at most 1% when the feature's values are shuffled
    "wape at most 0.5 where product=85123A"         on the judged rows with that value
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

import polars as pl

from lightkeeper.measure.skill import Kind, measured

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from lightkeeper.models.model import Model

__all__ = ["Expectation", "Held", "parse", "tried"]

_STAYS = 0.01  # of the mean forecast: a smaller move is none
_SEED = 1
_METRICS = ("wape", "mase", "rmsse", "brier", "log_loss")
_BEHAVES = re.compile(r"(?P<target>\S+) (?P<effect>rises|falls|stays) when (?P<feature>\S+) (?P<cause>rises|falls|changes)")
_FLOOR = re.compile(r"(?P<metric>\S+) at most (?P<limit>[0-9.]+)(?: where (?P<column>[^=\s]+)=(?P<value>.+))?")


@dataclass(frozen=True, slots=True)
class Expectation:
    """One sentence of `expect`, read: `what` is the target of a behaviour, or the metric of a floor, which has no `feature`."""

    text: str
    what: str
    feature: str | None = None
    effect: Literal["rises", "falls", "stays"] = "stays"
    cause: Literal["rises", "falls", "changes"] = "changes"
    limit: float = 0.0
    column: str | None = None
    value: str | None = None


@dataclass(frozen=True, slots=True)
class Held:
    """Whether an expectation holds, with what was measured, as a sentence."""

    text: str
    holds: bool
    why: str


class Predicts(Protocol):
    """What an expectation asks of a fitted model."""

    def predict(self, rows: pl.DataFrame) -> NDArray[np.float64]:
        """The point forecast of each row."""
        ...


def parse(model: Model) -> tuple[tuple[Expectation, ...], list[str]]:
    """The declared expectations, and what is wrong with them, each with its mend."""
    found: list[Expectation] = []
    wrong: list[str] = []
    for text in model.expect:
        one = _read(str(text))
        said = next(_wrong(model, str(text), one), None)
        if one is None or said:
            wrong.append(str(said))
        else:
            found.append(one)
    return tuple(found), wrong


def _read(text: str) -> Expectation | None:
    plain = " ".join(text.split())
    if behaves := _BEHAVES.fullmatch(plain):
        groups = behaves.groupdict()
        return Expectation(text, groups["target"], groups["feature"], groups["effect"], groups["cause"])  # type: ignore[arg-type]
    if floor := _FLOOR.fullmatch(plain):
        groups = floor.groupdict()
        return Expectation(text, groups["metric"], limit=float(groups["limit"]), column=groups["column"], value=groups["value"])
    return None


def _wrong(model: Model, text: str, one: Expectation | None) -> Iterator[str]:
    if one is None:
        yield (
            f'expect: {text!r} is not understood. Write "{model.target} falls when {model.features[0]} rises", '
            f'"{model.target} stays when {model.features[0]} changes" or "wape at most 0.5 where {model.keys[0]}=VALUE".'
        )
    elif one.feature is None:
        if one.what not in _METRICS:
            yield f"expect: {text!r}: {one.what} is not measured; it is one of {', '.join(_METRICS)}."
        named = (*model.keys, *model.slices)
        if one.column is not None and one.column not in named:
            yield f"expect: {text!r}: {one.column} is neither a key nor a slice. Name one of {', '.join(named)}."
    else:
        if one.what != model.target:
            yield f"expect: {text!r}: the model predicts {model.target}, not {one.what}."
        if one.feature not in model.features:
            yield f"expect: {text!r}: {one.feature} is no feature. Name one of {', '.join(model.features)}."
        if (one.effect == "stays") != (one.cause == "changes"):
            yield f"expect: {text!r}: write 'stays when ... changes', or 'rises' or 'falls' on both sides."


def tried(  # noqa: PLR0913, PLR0917 - a model, its rows before and after, and how they are called
    expectations: Sequence[Expectation],
    fitted: Predicts,
    rows: pl.DataFrame,
    scored: pl.DataFrame,
    kind: Kind | None = None,
    time: str = "day",
) -> list[Held]:
    """Each expectation on the judged rows.

    Args:
        expectations: what must hold.
        fitted: the model.
        rows: features of the judged rows.
        kind: of the target.
        time: the column with the day.
        scored: the judged rows with keys, slices, `actual`, `forecast`, `low`, `high`, `scale`, `scale_squared`.
    """
    return [
        _floor(one, scored, kind, time) if one.feature is None else _behaviour(one, one.feature, fitted, rows)
        for one in expectations
    ]


def _behaviour(one: Expectation, feature: str, fitted: Predicts, rows: pl.DataFrame) -> Held:
    values = rows[feature]
    if rows.is_empty():
        return Held(one.text, holds=False, why="no row was judged.")
    if not (values.dtype.is_numeric() or values.dtype == pl.Boolean or one.cause == "changes"):
        return Held(one.text, holds=False, why=f"{feature} is no number, so it cannot rise or fall.")
    before = fitted.predict(rows)
    size = float(abs(before).mean()) or 1.0
    moved = (fitted.predict(rows.with_columns(_moved(values, one.cause))) - before) / size
    if one.effect == "stays":
        share = float(abs(moved).mean())
        return Held(
            one.text, share <= _STAYS, f"shuffling {feature} moves forecasts by {share:.1%} on average; {_STAYS:.0%} is allowed."
        )
    share = float(moved.mean())
    holds = share < 0 if one.effect == "falls" else share > 0  # a model that ignores the feature does neither
    return Held(one.text, holds, f"when {feature} {one.cause} by one standard deviation, the mean forecast moves by {share:+.1%}.")


def _moved(values: pl.Series, cause: str) -> pl.Series:
    if cause == "changes":
        return values.sample(fraction=1, shuffle=True, seed=_SEED)
    number = values.cast(pl.Float64).fill_nan(None)
    step = number.std() or 1.0
    return number + (float(str(step)) if cause == "rises" else -float(str(step)))


def _floor(one: Expectation, scored: pl.DataFrame, kind: Kind | None, time: str) -> Held:
    rows = scored if one.column is None else scored.filter(pl.col(one.column).cast(pl.String) == one.value)
    if rows.is_empty():
        which = f" has {one.column}={one.value}" if one.column else ""
        return Held(one.text, holds=False, why=f"no judged row{which or ' is there'}.")
    found = measured(rows, kind=kind, time=time)[one.what][0]
    if found is None:
        return Held(one.text, holds=False, why=f"{one.what} cannot be computed on these {rows.height} rows.")
    return Held(one.text, bool(found <= one.limit), f"{one.what} is {found:.3f} on {rows.height:,} rows; {one.limit:g} is allowed.")
