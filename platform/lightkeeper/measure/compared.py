"""Two contenders on the same days: their losses, whether the difference is more than noise, and the same in words.

Owns a comparison and its words. The statistics are in `paired`, what follows from comparisons in `gate`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import polars as pl

from lightkeeper.errors import Refused
from lightkeeper.measure.paired import Paired, paired
from lightkeeper.measure.skill import Loss

__all__ = ["Comparison", "compared", "figure", "told"]

_VERBS: dict[Loss, str] = {
    "absolute": "misses by",
    "squared": "has a scaled squared error of",
    "brier": "has a Brier score of",
}
_DECIMALS = 6


@dataclass(frozen=True)
class Comparison:
    """Whether one contender is better than another; the first is the one asked about.

    Attributes:
        better: name of the first.
        worse: name of the second.
        loss_better: loss of the first, sum of its losses / sum of the weights.
        loss_worse: loss of the second.
        paired: `loss_worse - loss_better` with its interval.
    """

    better: str
    worse: str
    loss_better: float
    loss_worse: float
    paired: Paired


def compared(days: pl.DataFrame, better: tuple[str, str], worse: tuple[str, str], alpha: float, block: int) -> Comparison:
    """The comparison of two columns of losses.

    Args:
        days: one row a day: `day`, `weight` and the sums of losses, as `skill.daily` gives them; in any order.
        better: column and name of the contender asked about.
        worse: column and name of the other.
        alpha: one-sided error rate of the interval.
        block: days of a block.

    Raises:
        Refused: a day is there twice, a loss is missing or not finite, or the weights do not add up to more than 0.
    """
    weight = float(days.get_column("weight").sum())
    if days.get_column("day").is_duplicated().any():
        raise Refused("A comparison was given a day twice: give one row a day, as `skill.daily` makes them.")
    if not weight > 0:
        raise Refused(f"The actuals of {days.height} days add up to 0, no error is a share of them: let the squared error decide.")
    columns = (days.sort("day").get_column(column).cast(pl.Float64) for column, _ in (better, worse))
    one, other = (column.fill_null(math.nan).to_numpy() for column in columns)
    found = paired((other - one) * (days.height / weight), alpha, block)
    return Comparison(better[1], worse[1], float(one.sum()) / weight, float(other.sum()) / weight, found)


def told(pair: Comparison, loss: Loss, name: str = "") -> str:
    """Both figures and the difference with its interval, such as "demand:v2 misses by 8.3% where demand:v1 misses by 9.0% (...)".

    Args:
        pair: to tell.
        loss: of which kind.
        name: what to call the first; as it is named where empty.
    """
    apart, share, points = pair.paired, _share(loss), " points" if loss == "absolute" else ""
    sign, way = (1, "better") if apart.mean >= 0 else (-1, "worse")
    places = _places(pair, loss)
    low, high = sorted((sign * apart.low * share, sign * apart.high * share))
    spread = f", {low:.{places}f} to {high:.{places}f}" if math.isfinite(low) else ""
    by = f"{way} by {abs(apart.mean) * share:.{places}f}{points}{spread}"
    first, second = (figure(value, loss, pair) for value in (pair.loss_better, pair.loss_worse))
    return f"{name or pair.better} {first} where {pair.worse} {second} ({by})"


def figure(value: float, loss: Loss, pair: Comparison) -> str:
    """A loss in words, as precise as the difference of the pair needs, such as "misses by 8.3%"."""
    return f"{_VERBS[loss]} {value * _share(loss):.{_places(pair, loss)}f}{'%' if loss == 'absolute' else ''}"


def _share(loss: Loss) -> int:
    return 100 if loss == "absolute" else 1


def _places(pair: Comparison, loss: Loss) -> int:
    """Decimals that show the difference and its interval: one at least, and at most one more than the difference needs."""
    apart, share = pair.paired, _share(loss)
    mean, reach = _decimals(apart.mean * share), _decimals(2 * (apart.high - apart.mean) * share)
    return min(max(mean, reach), mean + 1, _DECIMALS)


def _decimals(value: float) -> int:
    """Decimals of the first digit that is not 0; one at least."""
    return max(1, -math.floor(math.log10(abs(value)))) if value and math.isfinite(value) else 1
