"""Levels that follow what was missed, and breaks that are confirmed by it.

Owns adaptive conformal inference and the sequential test for a break, both on the share of misses of each day. Where
the misses come from, and what a break changes, stay out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lightkeeper.errors import Refused

__all__ = ["Adapting", "adapted", "confirmed_break", "found_break"]

_SLACK = 0.5  # long-run standard deviations that a day may lie above the expected share
_LIMIT = 11.0  # of the sum; see `confirmed_break`
_LEARN = 28  # days that the test learns from before it tests, or half of them
_MARGIN = 30.0  # how much the limit widens with the memory, as a share of the days learnt from
_LAGS = 14


@dataclass(frozen=True, slots=True)
class Adapting:
    """How fast a level follows: `gamma`, and `gamma_after_break` from the first day after a break on; 0 keeps the level."""

    gamma: float = 0.02
    gamma_after_break: float = 0.05

    def gamma_at(self, day: int, since: int | None) -> float:
        """The pace on a day; `since` is the first day after a break, None without one."""
        return self.gamma if since is None or day < since else self.gamma_after_break

    def moved(self, used: float, level: float, missed: float, gamma: float) -> float:
        """The level after one more day: further out after more misses than 1 - level, at most twice them inside it."""
        alpha = (1 - used) + gamma * ((1 - level) - missed)
        return 1 - min(max(alpha, 0.0), 2 * (1 - level), 0.5)


def adapted(missed: Sequence[float | None], level: float, gamma: float = 0.02, delay: int = 0) -> float:
    """The level that bands at a nominal `level` are to be issued with, after what earlier bands missed.

    Adaptive conformal inference: alpha moves by gamma (1 - level - missed) a day (Gibbs & Candes 2021, "Adaptive
    conformal inference under distribution shift"), kept within 0 and twice its nominal value.

    Args:
        missed: share of the actual values outside the band that was issued for them, one a day, oldest first; null where
            there was none.
        level: between 0 and 1.
        gamma: the pace.
        delay: days, from the last one back, whose outcome is not known yet when the band is issued: the horizon.

    Raises:
        Refused: a share, the level, the pace or the delay is out of its range.
    """
    if not 0 < level < 1 or gamma < 0 or delay < 0:
        raise Refused(f"A level of {level}, gamma {gamma}, delay {delay}: give 0 < level < 1, and no negative pace or delay.")
    known = [share for share in missed[: len(missed) - delay] if share is not None]
    wrong = [share for share in known if not 0 <= share <= 1]
    if wrong:
        raise Refused(f"A day missed {wrong[0]} of its values: give shares between 0 and 1.")
    pace, used = Adapting(), level
    for share in known:
        used = pace.moved(used, level, share, gamma)
    return used


def confirmed_break(misses: pl.DataFrame, nominal: float) -> date | None:
    """The first day after a break, once the bands have missed so much more since then that chance does not explain it.

    A one-sided cumulative sum (Page 1954, "Continuous inspection schemes") of each day's share of misses above the
    expected one, in long-run standard deviations: series share their days and days remember each other.

    Simulated on 152 days at a time (1, 10 and 100 series, AR 0 to 0.7, 20 or 50% of the variance shared by a day): at most
    0.6 false alarms in three years in each of 15 cells. A doubled standard deviation was confirmed after a median of 6 to
    29 matured days with 10 series or more, a shift by one after 10 to 55; a single series is hardly ever confirmed.

    Args:
        misses: `day` (Date, each once), `missed` (share of the day's rows outside their bands; null is left out) and, if
            known, `n` (rows of the day). The levels of those bands must not have been adapted: that hides a break.
        nominal: the share expected, 0.2 for bands at 80%.

    Returns:
        None while no break is confirmed, and with fewer than 29 days.
    """
    missing = [name for name in ("day", "missed") if name not in misses.columns]
    if missing or not 0 < nominal < 1:
        raise Refused(f"Misses with columns {misses.columns} against {nominal}: give day and missed, and a share between 0 and 1.")
    known = misses.drop_nulls(["day", "missed"]).sort("day")
    counts = known["n"].to_numpy().astype(float) if "n" in known.columns else np.full(known.height, math.inf)
    found = found_break(known["missed"].cast(pl.Float64).to_numpy(), counts, nominal)
    return None if found is None else known["day"][found[0]]


def found_break(missed: NDArray[np.float64], n: NDArray[np.float64], nominal: float) -> tuple[int, int] | None:
    """Places of the first day after the break and of the day that confirms it; see `confirmed_break`."""
    learn = max(_LEARN, len(missed) // 2)
    if len(missed) <= learn:
        return None
    centre, spread, memory = _learnt(missed[:learn], n[:learn], nominal)
    limit = _LIMIT * (1 + _MARGIN * memory / learn)
    above = (missed - centre) / spread
    total, begins = 0.0, learn
    for place in range(learn, len(missed)):
        total += above[place] - _SLACK
        if total <= 0:
            total, begins = 0.0, place + 1
        elif total > limit:
            return begins + _split(above[begins : place + 1]), place
    return None


def _split(above: NDArray[np.float64]) -> int:
    """The place from which on the values lie most clearly above half their mean."""
    return len(above) - 1 - int(np.argmax(np.cumsum((above - above.mean() / 2)[::-1])))


def _learnt(missed: NDArray[np.float64], n: NDArray[np.float64], nominal: float) -> tuple[float, float, float]:
    """The share expected of a day, the long-run standard deviation of a day's share, and the memory in days."""
    centre = max(nominal, float(missed.mean()))
    off = missed - missed.mean()
    variance = max(float(np.mean(off**2)), float(np.mean(nominal * (1 - nominal) / np.maximum(n, 1))), 1e-4)
    lags = range(1, min(_LAGS, len(missed) // 3) + 1)
    memory = 1 + 2 * sum(max(0.0, float(np.mean(off[lag:] * off[:-lag])) / variance) * (1 - lag / (_LAGS + 1)) for lag in lags)
    return centre, math.sqrt(variance * memory), memory
