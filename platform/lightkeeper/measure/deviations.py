"""How far days lie from the days of their weekday. Pure: arrays in, arrays out. What is far, `daily` learns and says.

Days are compared at places: the cumulative shares up to each cell of a number, so that the weighted sum of the differences is
the Wasserstein distance in ranks; the shares of categories, so that it is the total variation; a level, which is one place.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "FEW",
    "DayCounts",
    "DayLevels",
    "Places",
    "centres",
    "compared",
    "jumps",
    "means",
    "own_centres",
    "together",
    "weekday",
    "weights",
]

_Floats = NDArray[np.float64]
_Ints = NDArray[np.int64]

FEW = 3  # days of a weekday that make a centre of its own
_NEAR = 14  # days on either side that a reference day is not compared with
_WEEK = 7


@dataclass(frozen=True, slots=True, eq=False)
class DayCounts:
    """The days of one column.

    Attributes:
        name: of the column.
        kind: number, counted in ordered cells; or category.
        counts: (d, cells), a row a day.
    """

    name: str
    kind: str
    counts: _Ints = field(repr=False)

    def last(self, days: int) -> DayCounts:
        """The last days of it."""
        return DayCounts(self.name, self.kind, self.counts[-days:])


@dataclass(frozen=True, slots=True, eq=False)
class DayLevels:
    """One figure a day: of a column, or of the whole.

    Attributes:
        name: what it is of.
        values: (d,) logarithms, so that a difference is a ratio; NaN where a day has none.
        rows: (d,) that each stands on.
        kind: level, of which a single odd day tells nothing: medians of three days are compared; or total.
    """

    name: str
    values: _Floats = field(repr=False)
    rows: _Ints = field(repr=False)
    kind: str = "level"

    def last(self, days: int) -> DayLevels:
        """The last days of it."""
        return DayLevels(self.name, self.values[-days:], self.rows[-days:], self.kind)


@dataclass(frozen=True, slots=True, eq=False)
class Places:
    """The days of one column at the places that are compared.

    Attributes:
        kind: number, category, level or total.
        at: (d, places); NaN on days without a row.
        rows: (d,), of each day; 0 where the places are not known.
    """

    kind: str
    at: _Floats
    rows: _Floats

    @classmethod
    def of(cls, column: DayCounts | DayLevels) -> Places:
        """The places of a column's counts, or of levels."""
        if isinstance(column, DayLevels):
            return cls(column.kind, column.values[:, None], np.where(np.isfinite(column.values), column.rows, 0).astype(np.float64))
        total = column.counts.sum(axis=1, keepdims=True).astype(np.float64)
        shares = np.divide(column.counts, total, out=np.full(column.counts.shape, np.nan), where=total > 0)
        return cls(column.kind, np.cumsum(shares, axis=1)[:, :-1] if column.kind == "number" else shares, total[:, 0])

    @property
    def known(self) -> NDArray[np.bool_]:
        """Which days have rows."""
        return self.rows > 0

    def of_days(self, which: NDArray[np.bool_] | slice) -> Places:
        """Some of the days."""
        return Places(self.kind, self.at[which], self.rows[which])


def weights(places: Places) -> _Floats:
    """What a difference at each place counts: of a number the share of its neighbouring cells, of a category a half."""
    if places.kind != "number":
        return np.full(places.at.shape[1], 0.5 if places.kind == "category" else 1.0)
    shares = np.diff(places.at[places.known].mean(axis=0), prepend=0.0, append=1.0)
    found: _Floats = (shares[:-1] + shares[1:]) / 2
    return found


def weekday(days: _Ints) -> _Ints:
    """0 for Monday to 6 for Sunday, of ordinals."""
    found: _Ints = (days - 1) % _WEEK  # ordinal 1 was a Monday
    return found


def centres(days: _Ints, places: Places) -> _Floats:
    """(7, places): the mean of each weekday; of all days where a weekday has too few."""
    known, whole = places.known, places.at[places.known].mean(axis=0)
    mine = [(weekday(days) == one) & known for one in range(_WEEK)]
    return np.stack([places.at[one].mean(axis=0) if one.sum() >= FEW else whole for one in mine])


def own_centres(days: _Ints, places: Places) -> _Floats:
    """(d, places): of each day the mean of its weekday without the 14 days on either side; NaN where none is left."""
    kind, known = weekday(days), places.known
    far = (np.abs(days[:, None] - days[None, :]) > _NEAR) & known[None, :]
    same = far & (kind[:, None] == kind[None, :])
    few = same.sum(axis=1) < FEW
    same[few] = far[few]
    found: _Floats = (same / np.maximum(same.sum(axis=1, keepdims=True), 1)) @ np.nan_to_num(places.at)
    found[~same.any(axis=1)] = np.nan
    return found


def compared(places: Places, centre: _Floats, weight: _Floats) -> tuple[_Floats, _Floats]:
    """Distance of each day from its centre, and its signed deviation (of categories the distance); NaN where unknown."""
    apart = places.at - centre
    if places.kind == "level":
        apart = _median3(apart)
    distance: _Floats = np.abs(apart) @ weight
    signed: _Floats = (apart @ weight) * (-1.0 if places.kind == "number" else 1.0)
    return distance, distance if places.kind == "category" else signed


def _median3(values: _Floats) -> _Floats:
    """(d, 1): medians of the last three days up to each, of those that are known; of fewer at the start."""
    filled = np.concatenate([np.full((2, values.shape[1]), np.nan), values])
    three = np.stack([filled[:-2], filled[1:-1], filled[2:]])
    known = ~np.isnan(three).all(axis=0)
    found = np.full(values.shape, np.nan)
    found[known] = np.nanmedian(three[:, known], axis=0)
    return found


def together(places: Places, centre: _Floats, weight: _Floats) -> float:
    """The distance of some days taken together from their centres; 0 where none has rows."""
    known = places.known
    if not known.any():
        return 0.0
    apart = places.at[known] - centre[known]
    middle = np.median(apart, axis=0) if places.kind == "level" else apart.mean(axis=0)
    return float(np.abs(middle) @ weight)


def means(values: _Floats, days: int) -> _Floats:
    """(d, c): means over the last days up to each; over fewer at the start."""
    total = np.cumsum(values, axis=0)
    found = total / np.arange(1, len(values) + 1)[:, None]
    found[days:] = (total[days:] - total[:-days]) / days
    return found


def jumps(deviation: _Floats, phi: float, one_step: float, two_steps: float) -> _Floats:
    """(d,): how far the day before was from its AR(1) forecast, and the day itself from one two days old, if they agree.

    The smaller of both errors, each in its root mean square; 0 where their signs differ.
    """
    found = np.zeros(len(deviation))
    if len(deviation) <= 2:  # noqa: PLR2004 - the two forecasts need a day before both
        return found
    first = (deviation[1:-1] - phi * deviation[:-2]) / one_step
    second = (deviation[2:] - phi**2 * deviation[:-2]) / two_steps
    found[2:] = np.where(first * second > 0, np.minimum(np.abs(first), np.abs(second)), 0.0)
    return found
