"""Distances of two windows: scipy is the oracle; from counts they are off by no more than they say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy import stats
from scipy.spatial.distance import jensenshannon

from lightkeeper.measure import distance
from lightkeeper.measure.differing import like_sd
from lightkeeper.measure.profile import ColumnProfile, Profile

SEEDS = [1, 2, 3]
SHAPES: dict[str, Callable[[np.random.Generator, int], Any]] = {
    "normal": lambda random, n: random.standard_normal(n),
    "skewed": lambda random, n: random.lognormal(0, 1.5, n),
    "few values": lambda random, n: random.poisson(2, n).astype(float),
    "two humps": lambda random, n: random.standard_normal(n) + 6 * random.integers(0, 2, n),
}
SYMMETRIC = [distance.total_variation, distance.psi, distance.jensen_shannon, distance.ks]


def samples(seed: int, shape: str, shift: float = 0.4) -> tuple[Any, Any]:
    random = np.random.default_rng(seed)
    return SHAPES[shape](random, 1500), SHAPES[shape](random, 900) + shift


def both(a: Any, b: Any) -> tuple[ColumnProfile, ColumnProfile]:
    """Two windows in the cells of the first."""
    one = Profile.of(pl.DataFrame({"x": a}))
    return one.columns["x"], Profile.of(pl.DataFrame({"x": b}), one).columns["x"]


def counts(seed: int, cells: int = 12, rows: int = 800) -> tuple[Any, Any]:
    """Counts with thick cells."""
    random = np.random.default_rng(seed)
    shares = random.dirichlet(np.full(cells, 8.0), 2)
    return random.multinomial(rows, shares[0]), random.multinomial(2 * rows, shares[1])


def spelled(window: Any) -> Any:
    """The values that ordered counts are counts of."""
    return np.repeat(np.arange(len(window)), window)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("seed", SEEDS)
def test_exact_distances_are_those_of_scipy(seed: int, shape: str) -> None:
    a, b = samples(seed, shape)
    assert distance.exact_ks(a, b) == pytest.approx(stats.ks_2samp(a, b, method="asymp").statistic, abs=1e-9)
    assert distance.exact_wasserstein(a, b) == pytest.approx(stats.wasserstein_distance(a, b), abs=1e-9)


@pytest.mark.parametrize("seed", SEEDS)
def test_divergence_chi_square_and_rank_sum_are_those_of_scipy(seed: int) -> None:
    a, b = counts(seed)
    rank = stats.mannwhitneyu(spelled(b), spelled(a), method="asymptotic", use_continuity=False)
    middle = len(spelled(a)) * len(spelled(b)) / 2
    chi = stats.chi2_contingency([a, b], correction=False)
    assert distance.jensen_shannon(a, b) == pytest.approx(jensenshannon(a / a.sum(), b / b.sum()) ** 2, abs=1e-9)
    assert distance.chi_square(a, b) == pytest.approx((chi.statistic, chi.pvalue), rel=1e-9, abs=1e-9)
    assert distance.rank_sum(a, b)[1] == pytest.approx(rank.pvalue, rel=1e-9, abs=1e-9)
    assert np.sign(distance.rank_sum(a, b)[0]) == np.sign(rank.statistic - middle)


@pytest.mark.parametrize("seed", SEEDS)
def test_p_of_two_windows_that_are_alike_is_that_of_scipy_as_well(seed: int) -> None:
    a, b = np.random.default_rng(seed).multinomial(700, np.full(9, 1 / 9), 2)
    rank = stats.mannwhitneyu(spelled(a), spelled(b), method="asymptotic", use_continuity=False)
    assert distance.rank_sum(a, b)[1] == pytest.approx(rank.pvalue, rel=1e-9)
    assert distance.chi_square(a, b)[1] == pytest.approx(stats.chi2_contingency([a, b], correction=False).pvalue, rel=1e-9)


@pytest.mark.parametrize(
    ("a", "b", "put_together"),
    [
        ([60, 30, 2, 3], [55, 35, 4, 2], [[60, 30, 5], [55, 35, 6]]),  # together thick enough
        ([60, 30, 1, 1], [58, 33, 0, 1], [[60, 32], [58, 34]]),  # with the thinnest other
        ([60, 0, 30], [55, 0, 40], [[60, 30], [55, 40]]),  # a cell of nobody
    ],
)
def test_thin_cells_are_put_together_and_no_row_is_lost(a: list[int], b: list[int], put_together: Any) -> None:
    oracle = stats.chi2_contingency(put_together, correction=False)
    assert distance.chi_square(np.array(a), np.array(b)) == pytest.approx((oracle.statistic, oracle.pvalue), rel=1e-9)


def test_the_index_of_stability_is_the_one_computed_by_hand() -> None:
    quarters, halves = np.array([4, 13]), np.array([7, 7])  # with half a row more: 1/4 and 3/4, 1/2 and 1/2
    assert distance.psi(quarters, halves) == pytest.approx(0.25 * np.log(3), abs=1e-12)


def test_an_empty_cell_does_not_make_the_index_of_stability_large() -> None:
    assert distance.psi(np.array([500, 500, 1]), np.array([500, 500, 0])) < 0.002


def test_distances_of_shares_are_those_computed_by_hand() -> None:
    a, b = np.array([0, 50, 50, 0]), np.array([0, 25, 50, 25])
    assert distance.total_variation(a, b) == 0.25
    assert distance.ks(a, b) == 0.25
    assert distance.rank_distance(a, b) == pytest.approx(0.25 * (0.5 + 0.25))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("shift", [0.0, 0.4, -2.0, 30.0])
@pytest.mark.parametrize("seed", SEEDS)
def test_counted_ks_is_below_the_exact_one_by_at_most_the_largest_share_of_a_cell(seed: int, shift: float, shape: str) -> None:
    a, b = samples(seed, shape, shift)
    one, other = both(a, b)
    short = distance.exact_ks(a, b) - distance.ks(one.counts, other.counts)
    assert -1e-12 <= short <= max(*(one.counts / one.n), *(other.counts / other.n)) + 1e-12


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("shift", [0.0, 0.4, -2.0, 30.0])
@pytest.mark.parametrize("seed", SEEDS)
def test_counted_wasserstein_is_off_by_at_most_half_the_cells_width_on_either_side(seed: int, shift: float, shape: str) -> None:
    a, b = samples(seed, shape, shift)
    one, other = both(a, b)
    ends, cells = (min(a.min(), b.min()), max(a.max(), b.max())), one.cells
    edges = np.array([min(ends[0], cells.low), cells.low, *cells.uppers, max(ends[1], cells.uppers[-1])])
    allowed = (one.counts / one.n + other.counts / other.n) @ np.diff(edges) / 2
    found = distance.wasserstein(one.counts, other.counts, cells, ends)
    assert abs(found - distance.exact_wasserstein(a, b)) <= allowed + 1e-9


@pytest.mark.parametrize("seed", SEEDS)
def test_counted_wasserstein_of_many_rows_is_nearly_the_exact_one(seed: int) -> None:
    random = np.random.default_rng(seed)
    a, b = random.standard_normal(40_000), random.standard_normal(40_000) * 1.1 + 0.2
    one, other = both(a, b)
    found = distance.wasserstein(one.counts, other.counts, one.cells, (min(a.min(), b.min()), max(a.max(), b.max())))
    assert found == pytest.approx(distance.exact_wasserstein(a, b), rel=0.15)


@pytest.mark.parametrize(("value", "ends", "there"), [(-4.0, (-4.0, 1.0), 2 + 0.25), (6.0, (0.0, 6.0), 0.75 + 2.5)])
def test_rows_beyond_the_cells_are_spread_up_to_the_ends(value: float, ends: tuple[float, float], there: float) -> None:
    one, other = both([0.0] * 50 + [1.0] * 50, [value] * 100)
    assert distance.wasserstein(one.counts, other.counts, one.cells, ends) == pytest.approx(there)


@pytest.mark.parametrize("size", [0.1, 0.3, -0.2])
@pytest.mark.parametrize("seed", SEEDS)
def test_a_distance_in_ranks_reads_as_the_shift_of_a_normal_in_its_sd(seed: int, size: float) -> None:
    random = np.random.default_rng(seed)
    one, other = both(random.standard_normal(100_000), random.standard_normal(100_000) + size)
    assert like_sd(distance.rank_distance(one.counts, other.counts)) == pytest.approx(abs(size), abs=0.012)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_window_is_at_no_distance_from_itself(seed: int) -> None:
    a, _ = samples(seed, "skewed")
    one, _ = both(a, a)
    for found in [*SYMMETRIC, distance.rank_distance]:
        assert found(one.counts, one.counts) == 0.0
    assert distance.wasserstein(one.counts, one.counts, one.cells, (a.min(), a.max())) == 0.0
    assert (distance.exact_ks(a, a), distance.exact_wasserstein(a, a)) == (0.0, 0.0)
    assert distance.chi_square(one.counts, one.counts) == pytest.approx((0.0, 1.0))
    assert distance.rank_sum(one.counts, one.counts) == pytest.approx((0.0, 1.0))


@pytest.mark.parametrize("seed", SEEDS)
def test_neither_window_comes_first_in_the_distances_that_are_symmetric(seed: int) -> None:
    a, b = samples(seed, "two humps")
    one, other = both(a, b)
    for found in SYMMETRIC:
        assert found(one.counts, other.counts) == pytest.approx(found(other.counts, one.counts), rel=1e-12)
        assert found(one.counts, other.counts) > 0
    assert distance.chi_square(one.counts, other.counts) == pytest.approx(distance.chi_square(other.counts, one.counts))
    z, chance = distance.rank_sum(one.counts, other.counts)
    assert distance.rank_sum(other.counts, one.counts) == pytest.approx((-z, chance))
    ends = (min(a.min(), b.min()), max(a.max(), b.max()))
    there = distance.wasserstein(one.counts, other.counts, one.cells, ends)
    assert there == pytest.approx(distance.wasserstein(other.counts, one.counts, one.cells, ends))


@pytest.mark.parametrize("factor", [1e-3, 8.0, 1e6])
@pytest.mark.parametrize("seed", SEEDS)
def test_another_unit_changes_no_distance_but_the_one_in_units_of_the_column(seed: int, factor: float) -> None:
    a, b = samples(seed, "skewed")
    (one, other), (wide, wider) = both(a, b), both(a * factor, b * factor)
    assert one.counts.tolist() == wide.counts.tolist()
    assert other.counts.tolist() == wider.counts.tolist()
    assert distance.exact_wasserstein(a * factor, b * factor) == pytest.approx(factor * distance.exact_wasserstein(a, b))
    ends = min(a.min(), b.min()), max(a.max(), b.max())
    large = distance.wasserstein(wide.counts, wider.counts, wide.cells, (ends[0] * factor, ends[1] * factor))
    assert large == pytest.approx(factor * distance.wasserstein(one.counts, other.counts, one.cells, ends))


@pytest.mark.parametrize("window", [[0, 0, 0], [5, 0, 0]])
def test_with_no_rows_or_a_single_cell_nothing_is_told(window: list[int]) -> None:
    empty, other = np.zeros(3, np.int64), np.array(window)
    assert distance.chi_square(empty, other) == distance.rank_sum(empty, other) == (0.0, 1.0)
    assert distance.chi_square(other, other) == distance.rank_sum(other, other) == (0.0, 1.0)


@pytest.mark.parametrize("seed", SEEDS)
def test_p_of_windows_alike_is_below_a_twentieth_in_about_a_twentieth_of_them(seed: int) -> None:
    pairs = np.random.default_rng(seed).multinomial(300, np.linspace(1, 9, 9) / 45, (1000, 2))
    for test in (distance.chi_square, distance.rank_sum):
        found = sum(test(a, b)[1] < 0.05 for a, b in pairs)
        assert stats.binomtest(found, 1000, 0.05).pvalue > 0.001
