"""What could be found of a moved number at most, in the world of `drift_days`: by one who knows it.

He knows the usual of every day, how much a column's days vary, how they hang together, and that what comes is a shift that
stays; only when, in which column and how far is unknown. Each day he takes the likeliest start among the last seven days (the
generalised likelihood ratio of a shift, the days weighted by the inverse of their covariance). His limit is the one that 1% of
quiet days of 25 such columns go beyond.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

__all__ = ["found_by_one_who_knows"]

Floats = NDArray[np.float64]

COLUMNS, ALPHA, EFFECTS = 25, 0.01, (0.02, 0.15)
WINDOW, STARTS, WEEK = 14, 7, 7  # days that he looks back on; days on which it may have begun; days that are judged
KINDS, QUIET, MOVED, SEED = 100, 4_000, 200, 3_000  # columns of each kind; days of each that set the limit; moved ones of each


@dataclass(frozen=True)
class Column:
    """How a column's days vary: their memory, the rows of each, the sd of their effects in sd within a day."""

    memory: float
    rows: int
    effect: float

    def days(self, random: np.random.Generator, count: int, days: int) -> Floats:
        """(count, days): how far the means of so many stretches of quiet days lie from what is usual."""
        return random.standard_normal((count, days)) @ np.linalg.cholesky(self._covariance(days)).T

    def scores(self, days: Floats) -> Floats:
        """(count, windows): the largest score over starts, of each window of WINDOW days."""
        inverse, since = np.linalg.inv(self._covariance(WINDOW)), np.tri(WINDOW)[:, -STARTS:]  # 1 from each start on
        weights = inverse @ since / np.sqrt(np.einsum("ds,de,es->s", since, inverse, since))
        windows = np.lib.stride_tricks.sliding_window_view(days, WINDOW, axis=1)
        return np.asarray(np.abs(windows @ weights).max(axis=2))

    def _covariance(self, days: int) -> Floats:
        """Of the means of days: an AR(1) of day effects, and what a sample of rows adds."""
        apart = np.abs(np.subtract.outer(np.arange(days), np.arange(days)))
        return np.asarray(self.effect**2 * self.memory**apart + np.eye(days) / self.rows)


Bound = dict[float, tuple[float, float]]


def found_by_one_who_knows(shifts: Sequence[float], memories: Sequence[float], rows: Sequence[int]) -> Bound:
    """Of each shift, in sd, the share found within seven days, in %, and the median day on which; 1 is the first."""
    random = np.random.default_rng(SEED)
    columns = [Column(memory, n, float(random.uniform(*EFFECTS))) for memory, n in product(memories, rows) for _ in range(KINDS)]
    quiet = np.concatenate([one.scores(one.days(random, QUIET, WINDOW))[:, 0] for one in columns])
    limit = float(np.quantile(quiet, (1 - ALPHA) ** (1 / COLUMNS)))
    found: dict[float, list[NDArray[np.int64]]] = {by: [] for by in shifts}
    for one in columns:
        days = one.days(random, MOVED, WINDOW + WEEK - 1)
        for by in shifts:
            moved = days.copy()
            moved[:, -WEEK:] += by
            beyond = one.scores(moved) > limit
            found[by].append(np.where(beyond.any(axis=1), beyond.argmax(axis=1) + 1, 0))
    firsts = {by: np.concatenate(one) for by, one in found.items()}
    return {by: (100 * float((one > 0).mean()), float(np.median(one[one > 0]))) for by, one in firsts.items()}
