"""Whether a champion still does what its backtest promised: its losses, and how often its bands cover.

Owns the two verdicts on days whose outcome is known. What a loss is of, and what follows from a decayed model, stay out.

Days that follow each other resemble each other, so that no standard error here takes them for independent: those of the means
are `paired`'s, of moving blocks of days. The error of the matured days' mean is that of as many days of the backtest, which is
what a champion that has not decayed is compared with; so the degrees of freedom are the backtest's.

Coverage has its error from the days that are judged, so that a sudden break among them hides itself: the days before and after
it differ so much that nothing could fail. Where that is so, and one break explains most of how the days differ, the days since
are judged alone, with the error of what is left of the days on both sides. Simulated over 28 days, with effects of days that
remember each other up to 0.7, that adds at most 0.13% of false failures where bands cover what they say. A break from 80% to
30% ten days before is seen always with 100 rows a day that differ by chance, in 17 of 20 with 20 rows; where a twentieth of what
moves a row is common to its day, in two of three. The others stay learning until the days before are out of the window.
"""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lightkeeper.errors import Refused
from lightkeeper.measure.paired import paired
from lightkeeper.values import Verdict, plural

__all__ = ["FEWEST", "FEWEST_BACKTEST", "accuracy", "covers"]

_Floats = NDArray[np.float64]

FEWEST, FEWEST_BACKTEST = 7, 14  # matured days, days of the backtest
_ALPHA = 0.0002  # of quiet days: a month that fails is one of a dozen a year, and somebody is called
_ALPHA_SHARE = 0.001  # of shares: at 0.005 one quiet year in five had a month below its limit
_BENT = (3.54**2 - 1) / 6  # Cornish & Fisher 1938: what skewness adds to the normal's quantile of alpha
_WORSE = 1.10  # the least ratio of losses that fails
_SHORT = 0.04  # the least shortfall of a share that fails
_ALPHA_BREAK = 0.0002  # of what is left beside a break, which was looked for
_BROKEN = 0.8  # share of how days differ that a break explains: of days that wander it is about half
_GENEROUS = 0.75  # of 1 - level: coverage above the level by more is told


def accuracy(matured: pl.DataFrame, backtest: pl.DataFrame) -> Verdict:
    """The champion's losses on matured outcomes beside those of its backtest.

    Args:
        matured: `day` (Date, each once), `loss` (the mean scaled loss of the day, 0 or above; null days are left out).
        backtest: the same of the backtest.

    Returns:
        Check accuracy: measured is the ratio of the means, limit at least 1.10, n the matured days. Learning with fewer than 7
        matured days or 14 of the backtest; unknown where the backtest has no loss. `extra`: backtest_days, matured, backtest.

    Raises:
        Refused: a column is missing, a loss is below 0 or not finite, a day is null or comes twice.
    """
    now, then = (_by_day(frame, ("loss",))[:, 0] for frame in (matured, backtest))
    if len(now) < FEWEST or len(then) < FEWEST_BACKTEST:
        missing = f"{max(0, FEWEST - len(now))} matured days and {max(0, FEWEST_BACKTEST - len(then))} of the backtest are missing"
        had = f"{len(now)} matured days beside {len(then)} of the backtest"
        return Verdict("accuracy", "learning", f"{had}: {missing} of the {FEWEST} and {FEWEST_BACKTEST} needed.", n=len(now))
    if not then.any():
        return Verdict(
            "accuracy", "unknown", f"The backtest's loss is 0 on all {len(then)} days: no ratio is measured.", n=len(now)
        )
    ratio, (error, df) = float(now.mean() / then.mean()), _error(then)
    larger = float(np.sqrt(1 + len(then) / len(now)))
    reach = (_quantile(df, _ALPHA) + _skewed(then, len(now))) * error * larger / then.mean()
    limit = max(_WORSE, 1 + float(reach))
    why = (
        f"The loss is {ratio:.2f} x the backtest's ({now.mean():.3g} over {len(now)} matured days, {then.mean():.3g} over"
        f" {len(then)}); the limit is {limit:.2f} x."
    )
    extra = {"backtest_days": len(then), "matured": float(now.mean()), "backtest": float(then.mean())}
    return Verdict("accuracy", "failed" if ratio > limit else "passed", why, ratio, limit, len(now), extra=extra)


def covers(days: pl.DataFrame, level: float) -> Verdict:
    """Whether bands cover the share of actual values that they say.

    Args:
        days: `day` (Date, each once), `n` (rows with a band and an outcome), `inside` (of them, inside the band).
        level: of the bands, between 0 and 1.

    Returns:
        Check coverage: measured is the share inside over all days, limit the share below which it fails, 0.04 below the level
        at least; n rows. After a sudden break all of these are of the days since. Learning with fewer than 7 days with rows,
        or where they differ too much. Bands that cover far more than they say pass, and `why` tells it. `extra`: level, days,
        generous.

    Raises:
        Refused: the level or a count cannot be, a column is missing, a day is null or comes twice.
    """
    counts = _by_day(days, ("n", "inside"))
    if not 0 < level < 1 or (counts[:, 1] > counts[:, 0]).any():
        raise Refused(f"Coverage at {level}: give a level between 0 and 1, and of each day no more rows inside than there are.")
    n, inside = counts[counts[:, 0] > 0].T
    if len(n) < FEWEST:
        had = f"{plural(len(n), 'day has', 'days have')} rows with a band at {level:.0%} and an outcome"
        why = f"{had}; {plural(FEWEST - len(n), 'more is', 'more are')} needed of {FEWEST}."
        return Verdict("coverage", "learning", why, n=int(n.sum()))
    share = float(inside.sum() / n.sum())
    of_days, df = _error((inside - share * n) / n.mean())
    error = max(of_days, float(np.sqrt(level * (1 - level) / n.sum())))
    limit = level - max(_SHORT, _quantile(df, _ALPHA_SHARE) * error)
    if limit <= 0 and (broken := _broken(n, inside, level)) is not None:
        return broken
    if limit <= 0:
        why = (
            f"Bands at {level:.0%} covered {share:.1%} of {int(n.sum()):,} values; its {len(n)} days differ too much to be judged."
        )
        return Verdict("coverage", "learning", why, share, None, int(n.sum()))
    generous = share - level > _GENEROUS * (1 - level)
    why = (
        f"Bands at {level:.0%} covered {share:.1%} of {int(n.sum()):,} values on {len(n)} days; the limit is {limit:.1%}"
        f"{', and they are far wider than they say' if generous else ''}."
    )
    extra = {"level": level, "days": len(n), "generous": generous}
    return Verdict("coverage", "failed" if share < limit else "passed", why, share, limit, int(n.sum()), extra=extra)


def _broken(n: _Floats, inside: _Floats, level: float) -> Verdict | None:
    """The failure of the days since a sudden break, with at least 7 on either side of it; None where they do not fail."""
    tried = [(_apart(n, inside, at), at) for at in range(FEWEST, len(n) - FEWEST + 1)]
    if not tried:
        return None
    whole = _apart(n, inside, 0)
    left, at = min(tried, key=lambda one: float(one[0] @ one[0]))
    if left @ left > (1 - _BROKEN) * (whole @ whole):
        return None
    before, share = float(inside[:at].sum() / n[:at].sum()), float(inside[at:].sum() / n[at:].sum())
    days, of_days, df = len(n) - at, *_error(left)
    error = max(of_days * np.sqrt(len(n) / (len(n) - 2)), np.sqrt(level * (1 - level) / n.sum())) * np.sqrt(len(n) / days)
    limit = level - max(_SHORT, _quantile(df, _ALPHA_BREAK) * float(error))
    if share >= min(limit, before):
        return None
    rows = int(n[at:].sum())
    why = (
        f"Bands at {level:.0%} covered {share:.1%} of {rows:,} values on the last {days} days, and {before:.1%} on the {at} before;"
        f" the limit is {limit:.1%}."
    )
    return Verdict("coverage", "failed", why, share, limit, rows, extra={"level": level, "days": days, "generous": False})


def _apart(n: _Floats, inside: _Floats, at: int) -> _Floats:
    """How far each day lies from what its side of a break covers, in rows of a mean day."""
    parts = [(n[side], inside[side]) for side in (slice(at), slice(at, None))]
    found: _Floats = np.concatenate([mine - mine.sum() / max(rows.sum(), 1) * rows for rows, mine in parts])
    return found / float(n.mean())


def _by_day(frame: pl.DataFrame, columns: tuple[str, ...]) -> _Floats:
    """(days, columns), oldest first, without days that have a null."""
    if missing := [name for name in ("day", *columns) if name not in frame.columns]:
        raise Refused(f"Days with columns {frame.columns}: {', '.join(missing)} is missing.")
    if frame["day"].null_count() or frame["day"].n_unique() < frame.height:
        raise Refused(f"Of {frame.height} days one is null or comes twice: give each day once.")
    found = frame.sort("day").select(pl.col(*columns).cast(pl.Float64)).drop_nulls().to_numpy()
    wrong = found[~(np.isfinite(found) & (found >= 0))]
    if len(wrong):
        raise Refused(
            f"{', '.join(columns)} of a day is {wrong[0]}: give finite numbers from 0 on, and null where nothing is known."
        )
    return found


def _error(values: _Floats) -> tuple[float, float]:
    """Standard error of the mean of dependent days, and its degrees of freedom; 0 where each week is like the one before."""
    found = paired(values, _ALPHA)
    return found.se, found.df


def _skewed(then: _Floats, days: int) -> float:
    """What the quantile of a mean of so many days is larger than Student's for losses with a long right tail, in errors."""
    apart = then - then.mean()
    right = max(0.0, float(np.mean(apart**3) / np.mean(apart**2) ** 1.5)) if np.ptp(then) else 0.0
    return float(_BENT * right / np.sqrt(days) / (1 + days / len(then)) ** 1.5)


def _quantile(df: float, alpha: float) -> float:
    from scipy.special import stdtrit

    return -float(stdtrit(df, alpha))
