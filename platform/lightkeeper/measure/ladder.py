"""How many of the known scores lie below: the limit that a level takes from matured rows, and what it would have been before.

Owns the ladder (a series in one week ahead, else the whole series, else all series), the (n + 1) rule on each of its
rungs, and the replay of past days by what was known on them. What follows from the misses stays out.

A replayed row misses by the part of its rank that lies beyond the level (smoothed ranks, Vovk et al. 2005): exactly
1 - level is expected, also of a closed shop whose scores are all alike, so that it does not narrow the bands of others.

The limit at a level is the ceil((n + 1) level)-th smallest of n scores: with exchangeable rows a new one lies beyond it
with a probability of at most 1 - level (Vovk, Gammerman & Shafer 2005; Lei et al. 2018). A rung carries a level from
n = 1 / (1 - level) - 1 on, counted in days, since the rows of one day share its luck: 4 for 80%, 19 for 95%. The finest
rung waits for five times as many: with 7 rows the limit is the largest of them, and covers 87.5% where 80% was asked.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from lightkeeper.measure.adapting import Adapting
from lightkeeper.measure.residuals import Residuals

__all__ = ["RUNGS", "Ladder", "Replay", "needed", "rank"]

RUNGS = ("series and horizon", "series", "all series")
_STEPS = 60  # origins replayed apart; more are taken together, known as of the first of them
_PATIENCE = (5, 1, 1)  # how many times the fewest days each rung waits for
_TINY = 1e-9  # 0.95 * 20 is 19

Mask = NDArray[np.bool_]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def needed(level: float) -> int:
    """The fewest days that carry a level: 1 / (1 - level) - 1, rounded up."""
    return math.ceil(1 / (1 - level) - 1 - _TINY)


def rank(n: int, level: float) -> int:
    """Which of n sorted scores, from 1, is the limit at a level: ceil((n + 1) level), at most n."""
    return min(n, math.ceil((n + 1) * level - _TINY))


@dataclass(frozen=True, slots=True)
class Counts:
    """For each of some rows: known scores, their days, and how many lie below the row's score or equal it."""

    n: Ints
    days: Ints
    below: Ints
    equal: Ints


class Rung:
    """The scores sorted within groups; known ones among them are counted by cumulative sums."""

    def __init__(self, group: Ints, score: Floats, day: Ints, patience: int) -> None:
        self.group, self.score, self.patience = group, score, patience
        self.groups = int(group.max()) + 1 if len(group) else 0
        self.order = np.lexsort((score, group))
        self.first = np.searchsorted(group[self.order], np.arange(self.groups + 1))
        by_day = np.lexsort((day, group))
        starts = np.ones(len(group), bool)
        starts[1:] = (np.diff(group[by_day]) != 0) | (np.diff(day[by_day]) != 0)
        self.day_starts = np.zeros(len(group), bool)
        self.day_starts[by_day] = starts

    @cached_property
    def ties(self) -> tuple[Ints, Ints]:
        """For each row the sorted places where the scores of its group that equal its own start and stop."""
        group, score = self.group[self.order], self.score[self.order]
        starts = np.ones(len(group), bool)
        starts[1:] = (np.diff(group) != 0) | (np.diff(score) != 0)
        edges = np.append(starts.nonzero()[0], len(group))
        run = np.empty(len(group), np.int64)
        run[self.order] = np.cumsum(starts) - 1
        return edges[run], edges[run + 1]

    def counted(self, known: Mask, rows: Ints) -> Counts:
        """What is known in the groups of these rows, and how much of it lies below their scores."""
        total, days = _summed(known[self.order]), _summed((known & self.day_starts)[self.order])
        first, last = self.first[self.group[rows]], self.first[self.group[rows] + 1]
        start, stop = (places[rows] for places in self.ties)
        return Counts(total[last] - total[first], days[last] - days[first], total[start] - total[first], total[stop] - total[start])

    def limits(self, known: Mask, level: float, used: float) -> Floats:
        """For each group the limit at the level `used`; NaN where its known days do not carry `level`."""
        kept = self.order[known[self.order]]
        n = np.bincount(self.group[kept], minlength=self.groups)
        days = np.bincount(self.group[known & self.day_starts], minlength=self.groups)
        place = np.clip(np.ceil((n + 1) * used - _TINY), 1, np.maximum(n, 1)).astype(np.int64)
        carried = days >= self.patience * needed(level)
        limits = np.full(self.groups, np.nan)
        limits[carried] = self.score[kept][(np.cumsum(n) - n + place - 1)[carried]]
        return limits


def _summed(known: Mask) -> Ints:
    """How many of the first 0, 1, 2 ... are known."""
    return np.concatenate((np.zeros(1, np.int64), np.cumsum(known, dtype=np.int64)))


@dataclass(frozen=True, slots=True, eq=False)
class Replay:
    """The bands of past days as they would have been issued, and what they missed.

    Attributes:
        day: ordinals of the days that have banded rows, sorted.
        n: banded rows of each day, one array a level.
        missed: the share of them beyond the level itself, NaN where none was banded; one array a level.
        used: for each level the level in use after the last day.
    """

    day: Ints
    n: Mapping[float, Ints]
    missed: Mapping[float, Floats]
    used: Mapping[float, float]


class Ladder:
    """The three rungs over the same matured rows."""

    def __init__(self, rows: Residuals) -> None:
        self.rows = rows
        self.weeks = int(rows.week.max()) + 1 if len(rows.week) else 1
        groups = (rows.series * self.weeks + rows.week, rows.series, np.zeros_like(rows.series))
        self.rungs = tuple(Rung(group, rows.score, rows.day, wait) for group, wait in zip(groups, _PATIENCE, strict=True))

    def known(self, origin: int, start: int) -> Mask:
        """The rows known at the end of the day `origin`, and of the day `start` or later."""
        return (self.rows.day <= origin) & (self.rows.day >= start)

    def start(self, origin: int, level: float, breaks: Sequence[tuple[int, int]]) -> int:
        """The first day of the calibration at `origin`: after the last break confirmed by then that leaves days enough.

        Args:
            origin: the last day known.
            level: a level that has fewer days after the break keeps the days before.
            breaks: the first day after each break, and the day on which it was confirmed.
        """
        days = np.unique(self.rows.day)
        for begins, confirmed in sorted(breaks, reverse=True):
            if confirmed <= origin and ((days >= begins) & (days <= origin)).sum() >= needed(level):
                return begins
        return 0

    def replayed(self, levels: Sequence[float], breaks: Sequence[tuple[int, int]], adapting: Adapting) -> Replay:
        """Each past origin's rows against what was known then, by the same ladder, the levels adapted on the way."""
        day, place = np.unique(self.rows.day, return_inverse=True)
        tracks = {level: _Track(level, day, adapting, min((b for b, _ in breaks), default=None)) for level in levels}
        for origin, rows in self._steps():
            for level, track in tracks.items():
                start = self.start(origin, level, breaks)
                low, high = self._reached(self.known(origin, start), rows, needed(level))
                track.stepped(origin, start, place[rows], low, high)
        for track in tracks.values():
            track.fed(int(day[-1]) if len(day) else 0)
        return Replay(
            day,
            {level: track.n for level, track in tracks.items()},
            {level: track.shares() for level, track in tracks.items()},
            {level: track.used for level, track in tracks.items()},
        )

    def _steps(self) -> Iterator[tuple[int, Ints]]:
        """Origins in their order, with the rows forecast then; above 60 origins some are taken together."""
        origins, place = np.unique(self.rows.origin, return_inverse=True)
        if not len(origins):
            return
        together = max(1, math.ceil(len(origins) / _STEPS))
        order = np.argsort(place, kind="stable")
        edges = np.searchsorted(place[order], np.arange(0, len(origins), together))
        for first, start, stop in zip(origins[::together], edges, [*edges[1:], len(order)], strict=True):
            yield int(first), order[start:stop]

    def _reached(self, known: Mask, rows: Ints, least: int) -> tuple[Floats, Floats]:
        """The ranks from and to which each row's score reaches among the known, of n + 1; NaN where no rung carries."""
        low, high = np.full(len(rows), np.nan), np.full(len(rows), np.nan)
        for rung in self.rungs:
            left = np.isnan(low).nonzero()[0]
            if not len(left) or not known.any():
                break
            found = rung.counted(known, rows[left])
            carried = found.days >= rung.patience * least
            low[left[carried]] = (found.below / (found.n + 1))[carried]
            high[left[carried]] = ((found.below + found.equal + 1) / (found.n + 1))[carried]
        return low, high


class _Track:
    """One level on its way through the days: what it missed, and what it is adapted to."""

    def __init__(self, level: float, day: Ints, adapting: Adapting, since: int | None) -> None:
        self.level, self.day, self.adapting, self.since = level, day, adapting, since
        self.used, self.start, self.next = level, -1, 0
        self.n, self.missed = np.zeros(len(day), np.int64), np.zeros(len(day))
        self.fresh, self.beyond = np.zeros(len(day), np.int64), np.zeros(len(day))

    def fed(self, until: int) -> None:
        """The level after the misses of the days up to `until`, of bands from the calibration in use."""
        while self.next < len(self.day) and self.day[self.next] <= until:
            day, n = int(self.day[self.next]), self.fresh[self.next]
            if n:
                gamma = self.adapting.gamma_at(day, self.since)
                self.used = self.adapting.moved(self.used, self.level, float(self.beyond[self.next] / n), gamma)
            self.next += 1

    def stepped(self, origin: int, start: int, place: Ints, low: Floats, high: Floats) -> None:
        """The rows forecast at `origin` are banded and scored; a calibration that starts anew starts at the level itself."""
        self.fed(origin)
        if start != self.start:
            self.start, self.used = start, self.level
            self.fresh[:], self.beyond[:] = 0, 0.0
        banded = ~np.isnan(low)
        low, high, n = low[banded], high[banded], np.bincount(place[banded], minlength=len(self.day))
        self.n += n
        self.fresh += n
        self.missed += np.bincount(place[banded], _beyond(low, high, self.level), minlength=len(self.day))
        self.beyond += np.bincount(place[banded], _beyond(low, high, self.used), minlength=len(self.day))

    def shares(self) -> Floats:
        """The share missed at the level itself; NaN where nothing was banded."""
        shares = np.full(len(self.day), np.nan)
        np.divide(self.missed, self.n, out=shares, where=self.n > 0)
        return shares


def _beyond(low: Floats, high: Floats, level: float) -> Floats:
    """The part of each span of ranks that lies above the level: of exchangeable rows 1 - level on average, ties or none."""
    return np.clip((high - level) / (high - low), 0.0, 1.0)
