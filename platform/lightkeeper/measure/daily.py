"""Which later days are not like the quiet days of a table. Pure: counts of days in, values out; no clock, no I/O.

Owns the judgement of a day by the limits that quiet days set (`quiet_days`). What kind of shift it is, and what to do about it,
stay out.

A column drifts when the mean distance of three days, or the mean signed deviation of three or of six, lies beyond its limit on
two days running; or when it jumps, which the one step and the two step error of an AR(1) forecast of its deviation agree on;
and when the effect is at least the floor. Nothing is called drifted before the days known are worth `WORTH` independent ones:
until then the state is learning.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lightkeeper.errors import Refused
from lightkeeper.measure.deviations import DayCounts, DayLevels, Places, together, weekday
from lightkeeper.measure.drift import FLOOR
from lightkeeper.measure.quiet import Quiet, QuietColumn
from lightkeeper.measure.quiet_days import DISTANCE, Scores, scored, thin

__all__ = ["RECENT", "Found", "alarms", "judge"]

_Floats = NDArray[np.float64]

RECENT = 9  # days that a judgement looks at


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
        full: `smallest` of days that have as many rows as usual; infinite where that is not known.
        usual: rows of such a day.
        fewest: rows of the day among the last three that has the fewest.
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
    full: float = math.inf
    usual: float = 0.0
    fewest: int = 0

    @property
    def told(self) -> str:
        """The effect of a level or a total in words, such as 60.0% below."""
        return f"{self.share(self.effect):.1%} {'above' if self.rising else 'below'}"

    def share(self, effect: float) -> float:
        """An effect of a level or a total, a ratio less 1, as a share of what is usual, in the direction of this one."""
        return effect if self.rising else effect / (1 + effect)


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
        last = place.of_days(slice(-DISTANCE, None))
        effect = column.effect(together(last, column.centres[weekday(at[-DISTANCE:])], column.weights))
        least, wider = _least(quiet, column), float(thin(column, last.rows).mean())
        smallest, full = (max(floor, column.effect(least * times)) for times in (wider, 1.0))
        seen = bool(drifted[number]) and effect >= floor
        beyond, rows, fewest = float(strength[-1, number]), int(last.rows.sum()), int(last.rows.min())
        rising = float(scores.deviation[-DISTANCE:, number].sum()) > 0
        jumped = seen and bool(scores.jump[-1, number] > quiet.limits[-1])
        found.append(
            Found(column.name, column.kind, seen, effect, smallest, beyond, rows, rising, jumped, full, column.rows, fewest)
        )
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


def _strength(quiet: Quiet, scores: Scores) -> _Floats:
    """(d, c): the largest statistic in its limit."""
    every = zip((*scores.lasting, scores.jump), quiet.limits, strict=True)
    return np.max([values / limit for values, limit in every], axis=0)  # type: ignore[no-any-return]
