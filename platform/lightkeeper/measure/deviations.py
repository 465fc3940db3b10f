"""How far days lie from the days of their weekday. Pure: arrays in, arrays out. What is far, `daily` learns and says.

Days are compared at places: the cumulative shares up to each cell of a number, so that the weighted sum of the differences is
the Wasserstein distance in ranks; the shares of categories, so that it is the total variation.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

__all__ = ["FEW", "DayCounts", "Places", "centres", "compared", "jumps", "means", "own_centres", "together", "weekday", "weights"]

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
        number: counted in ordered cells; else in categories.
        counts: (d, cells), a row a day.
    """

    name: str
    number: bool
    counts: _Ints = field(repr=False)

    def last(self, days: int) -> DayCounts:
        """The last days of it."""
        return DayCounts(self.name, self.number, self.counts[-days:])


@dataclass(frozen=True, slots=True, eq=False)
class Places:
    """The days of one column at the places that are compared.

    Attributes:
        number: as in DayCounts.
        at: (d, places); NaN on days without a row.
        rows: (d,), of each day.
    """

    number: bool
    at: _Floats
    rows: _Floats

    @classmethod
    def of(cls, column: DayCounts) -> Places:
        """The places of a column's counts."""
        total = column.counts.sum(axis=1, keepdims=True).astype(np.float64)
        shares = np.divide(column.counts, total, out=np.full(column.counts.shape, np.nan), where=total > 0)
        return cls(column.number, np.cumsum(shares, axis=1)[:, :-1] if column.number else shares, total[:, 0])

    @property
    def known(self) -> NDArray[np.bool_]:
        """Which days have rows."""
        return self.rows > 0

    def of_days(self, which: NDArray[np.bool_] | slice) -> Places:
        """Some of the days."""
        return Places(self.number, self.at[which], self.rows[which])


def weights(places: Places) -> _Floats:
    """What a difference at each place counts: of a number the share of its neighbouring cells, of a category a half."""
    if not places.number:
        return np.full(places.at.shape[1], 0.5)
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
    distance: _Floats = np.abs(apart) @ weight
    return distance, -(apart @ weight) if places.number else distance


def together(places: Places, centre: _Floats, weight: _Floats) -> float:
    """The distance of some days taken together from their centres; 0 where none has rows."""
    known = places.known
    return float(np.abs((places.at[known] - centre[known]).mean(axis=0)) @ weight) if known.any() else 0.0


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
