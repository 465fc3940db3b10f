"""What quiet days of a table look like: the calibration on history. Pure: counts of days in, values out; no clock, no I/O.

Owns the scores of days and the limits that quiet days set. Which later days lie beyond them is told in `daily`.

Days hang together: they have a weekly season, and what is odd today is a little odd tomorrow. So a day is compared with the
days of its weekday, its distance is judged against the distances of the quiet days themselves, as a maximum over all columns
(one test a day, however many columns), and the margin grows with the memory of the days. Fixed limits and tests that take rows
for independent alarm on most quiet windows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from itertools import takewhile

import numpy as np
from numpy.typing import NDArray

from lightkeeper.errors import Refused
from lightkeeper.measure.deviations import (
    FEW,
    DayCounts,
    DayLevels,
    Places,
    centres,
    compared,
    jumps,
    means,
    own_centres,
    weekday,
    weights,
)
from lightkeeper.measure.quiet import Quiet, QuietColumn

__all__ = ["DISTANCE", "Scores", "calibrate", "scored", "thin"]

_Floats = NDArray[np.float64]
_Ints = NDArray[np.int64]

DISTANCE = 3  # days whose distance is taken together
_DEVIATIONS = (3, 6)  # days whose deviation is
_ALPHA = 0.01  # of a day, for each of the statistics
_LAGS = 14
_ODD = 2.2  # x the median day's largest robust z: an odd day is no reference
_USUAL = 2.0  # the least largest z of a median day: of a single column it is about 0
_ODD_MOST = 0.1  # share of the days that may be odd
_MARGIN, _MEMORY = 1.05, 8.5
_SLOW = 1.5  # x the memory of the table, and more than two weeks: such a column has limits of its own
_MAD = 1.4826
_MOST = 0.5  # share of the days on which a column has rows
_TINY = 1e-12
_FAR = 3.5  # scales within which the farthest 1% of the days of a usual column begin
_STEADY = 0.002  # the least scale: ranks, or a share, by which even a constant column may move
_MAX_PHI = 0.95


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """What days show, before any limit.

    Attributes:
        deviation: (d, c), signed.
        lasting: each (d, c): the statistics that must lie beyond their limit on two days running.
        jump: (d, c).
    """

    deviation: _Floats
    lasting: tuple[_Floats, ...]
    jump: _Floats


def calibrate(days: Sequence[int] | _Ints, columns: Sequence[DayCounts | DayLevels], alpha: float = _ALPHA) -> Quiet:
    """What quiet days look like, from the counts of days; odd days among them are found and left out.

    Args:
        days: (d,) ordinals, ascending, each once.
        columns: each with d rows of counts; those without a row on most days are left out.
        alpha: share of quiet days that may alarm, by each statistic.

    Raises:
        Refused: no days, days out of order, or counts of another number of days.
    """
    at = np.asarray(days, np.int64)
    if not len(at) or (np.diff(at) <= 0).any():
        raise Refused(f"A reference of {len(at)} days: give at least one, ascending, each once.")
    if odd := [one.name for one in columns if len(Places.of(one).rows) != len(at)]:
        raise Refused(f"Counts of {', '.join(odd)} are not of the {len(at)} days given.")
    named = [(one.name, Places.of(one)) for one in columns]
    named = [(name, place) for name, place in named if place.known.mean() >= _MOST and place.at.shape[1]]
    kept = _without_odd(at, [place for _, place in named])
    tried = [(_calibrated(at[kept], name, place.of_days(kept)), place.of_days(kept)) for name, place in named]
    used = [(one, place) for one, place in tried if one is not None]
    reference, days_kept = tuple(one for one, _ in used), int(kept.sum())
    span = (date.fromordinal(int(at[0])), date.fromordinal(int(at[-1])), days_kept)
    left_out = tuple(date.fromordinal(int(day)) for day in at[~kept])
    if not reference:
        return Quiet(*span, left_out, 1.0, (math.inf,) * 4, ())
    own = scored(at[kept], reference, [place for _, place in used], own=True)
    tau = float(np.mean([_memory(one) for one in own.deviation.T]))
    margin = _margin(tau, days_kept)
    limits = [_largest(one, alpha) * margin for one in own.lasting] + [_largest(own.jump, alpha / 2) * margin]
    slow = [_slower(_whole_memory(one), tau, days_kept) for one in own.deviation.T]
    return Quiet(*span, left_out, tau, tuple(limits), tuple(map(_widened, reference, slow)))


def thin(column: QuietColumn, rows: _Floats) -> _Floats:
    """(d,): how much larger the scales of days are that have fewer rows than usual."""
    found: _Floats = np.sqrt(np.maximum(1.0, column.rows / np.maximum(rows, 1.0)))
    return found


def scored(at: _Ints, columns: Sequence[QuietColumn], places: Sequence[Places], *, own: bool = False) -> Scores:
    """The scores of days; of reference days against centres that are made without them and their neighbours."""
    distances, deviations, jumped = [], [], []
    for column, place in zip(columns, places, strict=True):
        centre = own_centres(at, place) if own else column.centres[weekday(at)]
        distance, deviation = (np.nan_to_num(one) for one in compared(place, centre, column.weights))
        wider = thin(column, place.rows)
        distances.append(distance / (column.scales[0] * wider))
        deviations.append(deviation / wider)
        jumped.append(jumps(deviation / wider, column.phi, *column.errors))
    deviation = np.stack(deviations, axis=1)
    lasting = [means(np.stack(distances, axis=1), DISTANCE)]
    numbers = np.array([one.kind != "category" for one in columns])  # categories have no sign
    for which, days in enumerate(_DEVIATIONS, start=1):
        lasting.append(np.abs(means(deviation, days)) / np.array([one.scales[which] for one in columns]) * numbers)
    return Scores(deviation, tuple(lasting), np.stack(jumped, axis=1))


# -- calibration


def _without_odd(at: _Ints, places: Sequence[Places]) -> NDArray[np.bool_]:
    """Which days are fit for a reference: those whose largest robust z is not far above the median day's."""
    largest = np.zeros(len(at))
    for place in places:
        distance, _ = compared(place, own_centres(at, place), weights(place))
        known = np.isfinite(distance)
        if known.sum() < FEW:
            continue
        middle = np.median(distance[known])
        spread = max(_MAD * float(np.median(np.abs(distance[known] - middle))), _STEADY if place.kind == "level" else 0.0)
        if spread > _TINY:
            largest = np.fmax(largest, np.where(known, (distance - middle) / spread, 0.0))
    usual = max(float(np.median(largest)), _USUAL)
    fit: NDArray[np.bool_] = largest <= max(_ODD * usual, np.quantile(largest, 1 - _ODD_MOST))
    return fit


def _calibrated(at: _Ints, name: str, places: Places) -> QuietColumn | None:
    """One column's quiet days; None where too few have rows."""
    if places.known.sum() < FEW:
        return None
    weight = weights(places)
    distance, deviation = compared(places, own_centres(at, places), weight)
    fine = np.isfinite(distance)
    steps = deviation[fine]
    phi = float(np.clip(_autocorrelation(steps, 1), 0.0, _MAX_PHI))
    errors = (_scale(steps[1:] - phi * steps[:-1]), _scale(steps[2:] - phi**2 * steps[:-2]))
    apart = max(_rms(distance[fine]), _scale(_lasting(distance[fine], DISTANCE)))
    scales = (apart, *(_scale(_lasting(steps, days)) for days in _DEVIATIONS))
    rows = float(np.median(places.rows[places.known]))
    return QuietColumn(name, places.kind, weight, centres(at, places), scales, rows, phi, errors)


def _scale(values: _Floats) -> float:
    """Root mean square; more where the farthest values lie further out than a usual column's.

    The limits are common to all columns, in their scales: one column with heavy tails would set those of the others.
    """
    far = float(np.sort(np.abs(values))[-max(1, math.floor(_ALPHA * (len(values) + 1)))]) if len(values) else 0.0
    return max(_rms(values), far / _FAR, _STEADY)


def _rms(values: _Floats) -> float:
    """Root mean square; 0 for none."""
    return float(np.sqrt(np.mean(values**2))) if len(values) else 0.0


def _lasting(values: _Floats, days: int) -> _Floats:
    """The means of so many days each."""
    return means(values[:, None], days)[days - 1 :, 0]


def _memory(deviation: _Floats) -> float:
    """Days of memory: 1 + twice the sum of the positive autocorrelations up to a lag of two weeks."""
    lags = range(1, min(_LAGS, len(deviation) - 2) + 1)
    return 1.0 + 2.0 * sum(max(0.0, _autocorrelation(deviation, lag)) for lag in lags)


def _whole_memory(deviation: _Floats) -> float:
    """The same of a column alone: up to the first lag, within a quarter of the days, that is not positive (Geyer 1992)."""
    lags = (_autocorrelation(deviation, lag) for lag in range(1, len(deviation) // 4))
    return 1.0 + 2.0 * sum(takewhile(lambda one: one > 0, lags))


def _margin(tau: float, days: int) -> float:
    """By how much a limit lies above the largest of the quiet days: they tell less, the longer their memory."""
    return _MARGIN + _MEMORY * tau / days


def _slower(own: float, tau: float, days: int) -> float:
    """How much wider the limits of a column are whose memory is far longer than the table's: a mean of 91 days is one.

    Its history holds few independent values, so that its scale is a guess as well: its memory counts twice.
    """
    slow = own > _LAGS and own > _SLOW * tau
    return _margin(2.0 * own, days) / _margin(tau, days) if slow else 1.0


def _widened(column: QuietColumn, by: float) -> QuietColumn:
    scales, (one, two) = tuple(scale * by for scale in column.scales), column.errors
    return replace(column, scales=scales, errors=(one * by, two * by))


def _autocorrelation(values: _Floats, lag: int) -> float:
    if len(values) <= lag + 1:
        return 0.0
    centred = values - values.mean()
    total = float(centred @ centred)
    return float(centred[lag:] @ centred[:-lag]) / total if total > _TINY**2 else 0.0


def _largest(values: _Floats, alpha: float) -> float:
    """The k-th largest of the days' maxima over columns, so that a share alpha of the days lies at it or beyond."""
    maxima = values[max(_DEVIATIONS) :].max(axis=1, initial=0.0)
    if not len(maxima):
        return math.inf
    k = max(1, math.floor(alpha * (len(maxima) + 1)))
    return max(float(np.sort(maxima)[-k]), 1.0)  # in scales: columns that never move have a limit as well
