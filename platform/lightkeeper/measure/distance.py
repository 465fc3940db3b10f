"""Distances between two windows of one column. Pure: counts or values in, numbers out. Limits belong to `drift`.

From counts in the same cells: total variation, population stability index, Jensen-Shannon divergence, Kolmogorov-Smirnov,
Wasserstein, and two-sample tests. From the values themselves: Kolmogorov-Smirnov and Wasserstein exactly as scipy gives them.

Counted distances know values up to their cell: Kolmogorov-Smirnov is at most the exact one, and smaller by at most the largest
share of a cell; Wasserstein takes values as spread evenly over their cell, so that it is off by at most a cell's width.
An empty cell counts as half a row, never as a tiny share: an index of stability would otherwise measure that constant.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lightkeeper.measure.profile import Cells

__all__ = [
    "chi_square",
    "exact_ks",
    "exact_wasserstein",
    "freedom",
    "frequent",
    "jensen_shannon",
    "ks",
    "psi",
    "rank_distance",
    "rank_sum",
    "surely_frequent",
    "total_variation",
    "wasserstein",
]

_Floats = NDArray[np.float64]
_Ints = NDArray[np.int64]
_SMOOTH = 0.5  # rows
_LUCK = 5.0  # of the noise of a value's rows: what may have made it one of the most frequent
_EXPECTED = 5.0  # rows of a cell that a chi-square test needs
_ITS_OWN = 30.0  # the same of the window that cut the cells, beside one that is six times larger or more


def total_variation(a: _Ints, b: _Ints) -> float:
    """Half the summed difference of the shares: the share of rows that would have to move to another cell, 0 to 1."""
    return float(np.abs(_shares(a) - _shares(b)).sum() / 2)


def psi(a: _Ints, b: _Ints) -> float:
    """Population stability index: sum of (q - p) log(q / p), natural log, of counts with half a row added to each cell."""
    p, q = (_shares(one.astype(np.float64) + _SMOOTH) for one in (a, b))
    return float(((q - p) * np.log(q / p)).sum())


def jensen_shannon(a: _Ints, b: _Ints) -> float:
    """Jensen-Shannon divergence, natural log, 0 to log 2; its square root is the distance that scipy gives."""
    p, q = _shares(a), _shares(b)
    middle = (p + q) / 2

    def half(share: _Floats) -> float:
        some = share > 0
        return float((share[some] * np.log(share[some] / middle[some])).sum())

    return max(0.0, (half(p) + half(q)) / 2)


def ks(a: _Ints, b: _Ints) -> float:
    """Kolmogorov-Smirnov distance at the edges of the cells, 0 to 1."""
    return float(np.abs(np.cumsum(_shares(a)) - np.cumsum(_shares(b))).max(initial=0.0))


def rank_distance(a: _Ints, b: _Ints) -> float:
    """Wasserstein distance in the ranks of `a`: how far, on average, a row moved among the rows of `a`; 0 to about 1/2."""
    p = _shares(a)
    gap = np.abs(np.cumsum(_shares(b)) - np.cumsum(p))[:-1]
    return float(gap @ ((p[:-1] + p[1:]) / 2))


def wasserstein(a: _Ints, b: _Ints, cells: Cells, ends: tuple[float, float]) -> float:
    """Wasserstein distance in units of the column; `ends` are the least and the largest finite value of both windows."""
    if not len(cells.uppers):
        return 0.0
    edges = np.array([min(ends[0], cells.low), cells.low, *cells.uppers, max(ends[1], float(cells.uppers[-1]))])
    gap = np.concatenate([[0.0], np.cumsum(_shares(b) - _shares(a))])
    left, right, width = gap[:-1], gap[1:], np.diff(edges)
    crossing = left * right < 0
    total = np.abs(left) + np.abs(right)
    safe = np.where(total > 0, total, 1.0)
    area = np.where(crossing, (left**2 + right**2) / (2 * safe), total / 2)
    return float((area * width).sum())


def rank_sum(a: _Ints, b: _Ints) -> tuple[float, float]:
    """Wilcoxon's rank-sum test of two ordered sets of counts: z (positive where b is larger) and the two-sided p.

    With ties at mid-ranks and the variance of ties; scipy's `mannwhitneyu` without a correction for continuity.
    """
    from scipy.special import erfc

    n, m, ties = float(a.sum()), float(b.sum()), (a + b).astype(np.float64)
    both = n + m
    ranks = np.cumsum(ties) - (ties - 1) / 2
    variance = n * m / 12 * (both + 1 - (ties**3 - ties).sum() / (both * (both - 1))) if both > 1 else 0.0
    if n == 0 or m == 0 or variance <= 0:
        return 0.0, 1.0
    z = float(((b * ranks).sum() - m * (both + 1) / 2) / np.sqrt(variance))
    return z, float(erfc(abs(z) / np.sqrt(2)))


def chi_square(a: _Ints, b: _Ints, *, ordered: bool = False) -> tuple[float, float]:
    """The two-sample chi-square test of homogeneity: the statistic and p; cells too thin for it are put together.

    Neither window is taken for exact: scipy's `chi2_contingency` of both rows of counts, without a correction. Where cells are
    `ordered` and were cut by `a`, neighbours are put together by the rows of `a` alone: those of `b` must not choose.
    """
    from scipy.special import chdtrc

    both = np.stack([a, b]).astype(np.float64)
    both = _neighbours(both) if ordered else _thick(both)
    if both.shape[1] < 2 or (both.sum(axis=1) == 0).any():  # noqa: PLR2004 - a single cell differs in nothing
        return 0.0, 1.0
    expected = both.sum(axis=1, keepdims=True) * both.sum(axis=0) / both.sum()
    statistic = float(((both - expected) ** 2 / expected).sum())
    return statistic, float(chdtrc(both.shape[1] - 1, statistic))


def freedom(a: _Ints, b: _Ints) -> int:
    """Degrees of freedom of that test where cells have no order; at least 1."""
    return max(1, int(_thick(np.stack([a, b]).astype(np.float64)).shape[1]) - 1)


def _neighbours(both: _Floats) -> _Floats:
    """Runs of cells in each of which the thinner window expects at least 5 rows, by the shares of the first.

    The first has cut the cells at its own quantiles, so that it has a fixed number of rows in each, and how many it should
    have had is what varies: beside a larger window the test is then off by about one part in so many rows. So the first
    needs more rows of its own in each, the more often it goes into the second, up to 30: with 5 in each, p was below 0.005
    in 4% of windows of 100 and 2,000 rows that were alike, with 30 in 0.7%. Windows of one size keep 5, and what these see
    of a spread; a first of fewer than 60 rows has one cell left beside one that is far larger: ranks alone compare it.
    """
    n, m = both.sum(axis=1)
    rows = np.cumsum(both[0])
    needed = max(_EXPECTED, _EXPECTED * n / max(m, 1.0), min(_ITS_OWN, _EXPECTED * m / max(n, 1.0)))
    ends, reached = [], 0.0
    for place, so_far in enumerate(rows):
        if so_far - reached >= needed and rows[-1] - so_far >= needed:
            ends.append(place + 1)
            reached = so_far
    return np.stack([part.sum(axis=1) for part in np.split(both, ends, axis=1)], axis=1)


def _thick(both: _Floats) -> _Floats:
    """Cells in which each window expects at least 5 rows; the thin ones become one, with the thinnest other if need be."""
    share = both.sum(axis=0) * both.sum(axis=1).min() / max(both.sum(), 1.0)
    order = np.argsort(-share, kind="stable")
    thick = share[order] >= _EXPECTED
    kept, thin = both[:, order[thick]], both[:, order[~thick]].sum(axis=1)
    if not thin.any():
        return kept
    if share[order[~thick]].sum() >= _EXPECTED or kept.shape[1] == 0:
        return np.column_stack([kept, thin])
    kept[:, -1] += thin
    return kept


def frequent(a: _Ints, b: _Ints) -> float:
    """P of a text column whose most frequent values the reference has chosen: of those beyond luck, and of all others growing.

    What was just frequent enough to be chosen was so by luck: it counts among the others, which may grow by so much.
    """
    from scipy.special import ndtr

    clear, n, m = surely_frequent(a), float(a.sum()), float(b.sum())
    cells = (np.append(one[:-2][clear], one[:-2][~clear].sum() + one[-2:].sum()) for one in (a, b))
    luck = _LUCK / 2 * float(np.sqrt(a[:-2][~clear]).sum()) / n
    expected, now = min(a[-2:].sum() / n + luck, 1.0), b[-2:].sum() / m
    error = np.sqrt(max(expected * (1 - expected), 1 / m) * (1 / n + 1 / m))
    return min(1.0, 2 * min(chi_square(*cells)[1], float(ndtr((expected - now) / error))))


def surely_frequent(a: _Ints) -> NDArray[np.bool_]:
    """Which of the most frequent values are so by more than luck: far above the least of them, or seen more than a few times."""
    top = a[:-2]
    least = float(top.min()) if len(top) and a[-2] else 0.0
    return np.asarray(top > least + _LUCK * np.sqrt(least + 1))


def _shares(counts: NDArray[np.int64] | _Floats) -> _Floats:
    total = counts.sum()
    return counts / total if total else np.zeros(len(counts))


# -- from the values themselves


def exact_ks(a: _Floats, b: _Floats) -> float:
    """The Kolmogorov-Smirnov distance of two samples, as `scipy.stats.ks_2samp` gives it."""
    a, b, both = *map(np.sort, (a, b)), np.concatenate([a, b])
    gaps = a.searchsorted(both, "right") / len(a) - b.searchsorted(both, "right") / len(b)
    return float(np.abs(gaps).max())


def exact_wasserstein(a: _Floats, b: _Floats) -> float:
    """The first Wasserstein distance of two samples, in their unit, as `scipy.stats.wasserstein_distance` gives it."""
    a, b, both = *map(np.sort, (a, b)), np.sort(np.concatenate([a, b]))
    gaps = a.searchsorted(both[:-1], "right") / len(a) - b.searchsorted(both[:-1], "right") / len(b)
    return float((np.abs(gaps) * np.diff(both)).sum())
