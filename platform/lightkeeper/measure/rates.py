"""Shares of rows that should be rare, of a day against the reference days' own: nulls, unseen categories, values out of range.

Owns the limit of a day's share. What is counted, and what happens with the rows, stay out.

A day's count is beta-binomial: binomial around a share that itself differs from day to day. Mean and overdispersion are the
moments of the reference days (Kleinman 1973, "Proportions with extraneous variance"), after up to three bad days have been
left out, each far beyond the limit that the others give, the three worst looked at first so that they do not hide each other
(Rosner 1983). The limit is the upper quantile of a beta distribution with the mean and the variance of a new day's share,
both widened by what D days leave unsure; and never below what one reference day in eight reaches, such as those of a weekday.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lightkeeper.errors import Refused
from lightkeeper.values import Verdict, plural

__all__ = ["FEWEST", "nearest", "rate"]

_Floats = NDArray[np.float64]

FEWEST = 14  # reference days with rows
_ALPHA = 0.002  # of quiet days that may fail
_FAR = 1e-4  # the same, for a reference day to be left out
_REGULAR = 1 / 8  # of the reference days: what so many reach is usual, such as one day of the week
_BAD = 3  # days of the reference that may be bad
_HALF = 0.5  # usual share from which it is no news that all rows have it
_WIDER = 8.0  # how much D days widen the variance between days: 1 + this / sqrt(D - 1)


@dataclass(frozen=True, slots=True)
class _Usual:
    """Mean and overdispersion of a day's share, each with what is unsure of it, over `days` days."""

    days: int
    mean: float
    error: float  # variance of the mean
    between: float  # the correlation of two rows of a day, 0 to 1

    @classmethod
    def of(cls, k: _Floats, n: _Floats) -> _Usual:
        mean = (k.sum() + 0.5) / (n.sum() + 1)
        spread, days = mean * (1 - mean), len(k)
        # E sum n (p - mean)^2 = spread (D - 1 + between freedom), give or take spread sqrt(2 (D - 1)) by chance, which is added
        excess = float((n * (k / n - k.sum() / n.sum()) ** 2).sum()) / spread - (days - 1) + np.sqrt(2 * (days - 1))
        freedom = n.sum() - (n**2).sum() / n.sum() - (days - 1)
        between = min(max(excess / freedom, 0.0), 1.0) if freedom > 0 else 0.0
        weights = n / n.sum()
        error = spread * float((weights**2 * (1 + (n - 1) * between) / n).sum())
        return cls(days, float(mean), error, between)

    def limit(self, n: int, alpha: float) -> float:
        """The share of `n` rows that is exceeded with a chance of alpha."""
        from scipy.special import betaincinv

        wider = self.between * (1 + _WIDER / np.sqrt(self.days - 1))
        variance = self.mean * (1 - self.mean) * (1 + (n - 1) * min(wider, 1.0)) / n + self.error
        size = max(self.mean * (1 - self.mean) / variance - 1, 1e-9)
        return float(betaincinv(self.mean * size, (1 - self.mean) * size, 1 - alpha))


def rate(check: str, column: str | None, history: Sequence[tuple[int, int]], k: int, n: int, floor: float = 0.005) -> Verdict:  # noqa: PLR0913, PLR0917 - what is counted, and against what
    """Whether `k` of the `n` rows of a day are more than the reference days allow; fewer never fail.

    Args:
        check: nulls, unseen, range, duplicates: the name of the verdict.
        column: of the table; None for the whole.
        history: (k, n) of each reference day; those without rows are left out.
        k: of the day.
        n: rows of the day.
        floor: how much the share must exceed the usual one, however sure that is.

    Returns:
        Unknown without rows, or where some of so few rows have it and no share could fail; learning with fewer than 14
        reference days. `extra`: usual (share), left_out (reference days).

    Raises:
        Refused: a count below 0, or more than there are rows.
    """
    wrong = [pair for pair in (*history, (k, n)) if not 0 <= pair[0] <= pair[1]]
    if wrong or not 0 <= floor < 1:
        raise Refused(f"{check} of {column}: {wrong[:1] or floor} cannot be: give k of n rows, and a floor from 0 to 1.")
    days = [pair for pair in history if pair[1]]
    if not n:
        return Verdict(
            check,
            "unknown",
            f"The day has 0 rows, so that no share was measured against {plural(len(days), 'day')}.",
            column=column,
        )
    if len(days) < FEWEST:
        missing = f"{plural(FEWEST - len(days), 'more day is', 'more days are')} needed of {FEWEST} that tell what is usual"
        return Verdict(check, "learning", f"{k:,} of {plural(n, 'row')} ({k / n:.2%}); {missing}.", k / n, None, n, column)
    usual = _quiet(np.array(days, np.float64))
    reached = _reached(days)
    limit = min(max(usual.limit(n, _ALPHA), usual.mean + floor, reached), 1.0)
    left_out = len(days) - usual.days
    why = (
        f"{k:,} of {plural(n, 'row')} ({k / n:.2%}); usual are {usual.mean:.2%}, and the limit is {limit:.2%}, by {usual.days} days"
        f"{f' without the {left_out} worst' if left_out else ''}."
    )
    extra = {"usual": usual.mean, "left_out": left_out}
    by_chance = reached < 1 or usual.mean**n >= _ALPHA  # else all rows have it on days that come again and again
    if k and limit >= 1 and usual.mean < _HALF and by_chance:
        why = f"{why.removesuffix('.')}: with {plural(n, 'row')} a day no share could fail."
        return Verdict(check, "unknown", why, k / n, limit, n, column, extra=extra)
    return Verdict(check, "failed" if k / n > limit else "passed", why, k / n, limit, n, column, extra=extra)


def _reached(days: Sequence[tuple[int, int]]) -> float:
    """The share that every eighth reference day reaches, and more days than may be bad: what is so each Saturday is usual."""
    regular = max(_BAD + 1, int(np.ceil(_REGULAR * len(days))))
    return float(np.sort([k / n for k, n in days])[-regular])


def _quiet(days: _Floats) -> _Usual:
    """What is usual without the days that are far beyond it, at most three."""
    ordered = days[np.argsort(days[:, 0] / days[:, 1], kind="stable")]
    for bad in range(_BAD, 0, -1):
        rest, least = _Usual.of(*ordered[:-bad].T), ordered[-bad]
        if least[0] / least[1] > rest.limit(int(least[1]), _FAR):
            return rest
    return _Usual.of(*ordered.T)


def nearest(check: str, found: Sequence[Verdict], head: str) -> list[Verdict]:
    """One check of many verdicts: those that fail; else the first that is not judged; else the one nearest to its limit."""
    bad = [one for one in found if one.bad]
    young = [one for one in found if one.state != "passed"]
    if bad or young:
        return bad or young[:1]
    one = max(found, key=lambda each: (each.measured or 0.0) / (each.limit or 1.0))
    why = f"{head} Nearest to its limit is {one.column}: {one.why}"
    return [Verdict(check, "passed", why, one.measured, one.limit, one.n, extra=one.extra)]
