"""What quiet days of a table look like, and which later days do not. Pure: counts of days in, values out; no clock, no I/O.

Owns the calibration on history and the judgement of a day. What kind of shift it is, and what to do about it, stay out.

Days hang together: they have a weekly season, and what is odd today is a little odd tomorrow. So a day is compared with the
days of its weekday, its distance is judged against the distances of the quiet days themselves, as a maximum over all columns
(one test a day, however many columns), and the margin grows with the memory of the days. Fixed limits and tests that take rows
for independent alarm on most quiet windows.

A column drifts when the mean distance of three days, or the mean signed deviation of three or of six, lies beyond its limit on
two days running; or when it jumps, which the one step and the two step error of an AR(1) forecast of its deviation agree on;
and when the effect is at least the floor. Nothing is called drifted before the days known are worth `WORTH` independent ones:
until then the state is learning.
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
    together,
    weekday,
    weights,
)
from lightkeeper.measure.drift import FLOOR
from lightkeeper.measure.quiet import Quiet, QuietColumn

__all__ = ["RECENT", "Found", "Scores", "alarms", "calibrate", "judge", "scored"]

_Floats = NDArray[np.float64]
_Ints = NDArray[np.int64]

RECENT = 9  # days that a judgement looks at
_ALPHA = 0.01  # of a day, for each of the statistics
_DISTANCE, _DEVIATIONS = 3, (3, 6)  # days that are taken together
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


@dataclass(frozen=True, slots=True)
class Found:
    """What a day shows in one column.

    Attributes:
        column: its name.
        kind: number, category, level or total.
        drifted: whether the column has drifted.
        effect: of the last three days against their weekdays: see QuietColumn.effect.
        smallest: the least lasting effect that would have been called drift.
        strength: the largest of the statistics, in its limit: above 1 is beyond it.
        rows: of the last three days.
        rising: whether a level or a total lies above what is usual.
        jumped: whether it drifted by a jump, which may be smaller than what lasts must be.
    """

    column: str
    kind: str
    drifted: bool
    effect: float
    smallest: float
    strength: float
    rows: int
    rising: bool = True
    jumped: bool = False

    @property
    def told(self) -> str:
        """The effect of a level or a total in words, such as 60.0% below."""
        return f"{self.share(self.effect):.1%} {'above' if self.rising else 'below'}"

    def share(self, effect: float) -> float:
        """An effect of a level or a total, a ratio less 1, as a share of what is usual, in the direction of this one."""
        return effect if self.rising else effect / (1 + effect)


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


def judge(quiet: Quiet, days: Sequence[int], columns: Sequence[DayCounts | DayLevels], floor: float = FLOOR) -> list[Found]:
    """What the last of some days shows, a row a calibrated column, what drifted first.

    Args:
        quiet: what quiet days look like.
        days: (d,) ordinals, ascending; the last RECENT of them are looked at. With fewer, what there is is taken.
        columns: with d rows of counts, in the cells of the calibration; a column that is not there is left out.
        floor: the least effect that is called drift.

    Raises:
        Refused: counts of another number of days.
    """
    at = np.asarray(days, np.int64)[-RECENT:]
    there = {one.name: one for one in columns}
    reference = [one for one in quiet.columns if one.name in there]
    if not reference or not len(at):
        return []
    if odd := [one.name for one in columns if len(Places.of(one.last(RECENT)).rows) != len(at)]:
        raise Refused(f"Counts of {', '.join(odd)} are not of the {len(at)} last days.")
    places = [Places.of(there[one.name].last(RECENT)) for one in reference]
    scores = scored(at, reference, places)
    drifted, strength = alarms(quiet, scores)[-1], _strength(quiet, scores)
    found = []
    for number, (column, place) in enumerate(zip(reference, places, strict=True)):
        last = place.of_days(slice(-_DISTANCE, None))
        effect = column.effect(together(last, column.centres[weekday(at[-_DISTANCE:])], column.weights))
        smallest = max(floor, column.effect(_least(quiet, column) * float(_thin(column, last.rows).mean())))
        seen = bool(drifted[number]) and effect >= floor
        beyond, rows = float(strength[-1, number]), int(last.rows.sum())
        rising = float(scores.deviation[-_DISTANCE:, number].sum()) > 0
        jumped = seen and bool(scores.jump[-1, number] > quiet.limits[-1])
        found.append(Found(column.name, column.kind, seen, effect, smallest, beyond, rows, rising, jumped))
    return sorted(found, key=lambda one: (not one.drifted, -one.effect))


def _least(quiet: Quiet, column: QuietColumn) -> float:
    """The least lasting distance that one of the statistics would have found beyond its limit."""
    found = [limit * scale for limit, scale in zip(quiet.limits, column.scales, strict=False)]
    return found[0] if column.kind == "category" else min(found)


def alarms(quiet: Quiet, scores: Scores) -> NDArray[np.bool_]:
    """(d, c): beyond a limit on two days running, or a confirmed jump; the effect is not asked here."""
    found = scores.jump > quiet.limits[-1]
    if not quiet.ready:
        return np.zeros_like(found)
    for values, limit in zip(scores.lasting, quiet.limits, strict=False):
        beyond = values > limit
        found[1:] |= beyond[1:] & beyond[:-1]
    return found


def _thin(column: QuietColumn, rows: _Floats) -> _Floats:
    """(d,): how much larger the scales of days are that have fewer rows than usual."""
    found: _Floats = np.sqrt(np.maximum(1.0, column.rows / np.maximum(rows, 1.0)))
    return found


def _strength(quiet: Quiet, scores: Scores) -> _Floats:
    """(d, c): the largest statistic in its limit."""
    every = zip((*scores.lasting, scores.jump), quiet.limits, strict=True)
    return np.max([values / limit for values, limit in every], axis=0)  # type: ignore[no-any-return]


def scored(at: _Ints, columns: Sequence[QuietColumn], places: Sequence[Places], *, own: bool = False) -> Scores:
    """The scores of days; of reference days against centres that are made without them and their neighbours."""
    distances, deviations, jumped = [], [], []
    for column, place in zip(columns, places, strict=True):
        centre = own_centres(at, place) if own else column.centres[weekday(at)]
        distance, deviation = (np.nan_to_num(one) for one in compared(place, centre, column.weights))
        thin = _thin(column, place.rows)
        distances.append(distance / (column.scales[0] * thin))
        deviations.append(deviation / thin)
        jumped.append(jumps(deviation / thin, column.phi, *column.errors))
    deviation = np.stack(deviations, axis=1)
    lasting = [means(np.stack(distances, axis=1), _DISTANCE)]
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
    apart = max(_rms(distance[fine]), _scale(_lasting(distance[fine], _DISTANCE)))
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
