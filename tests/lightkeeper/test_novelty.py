"""Novelty: rows like those of training are rarely flagged, strange ones are, and what is strange about them is named."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy import stats
from scipy.spatial import cKDTree

from lightkeeper.errors import Refused
from lightkeeper.measure.novelty import Reference

Floats = NDArray[np.float64]
NAMES = ("price", "wick", "shop", "open", "ago")
NAN = float("nan")
VALUES = st.sampled_from([NAN, 0.0, 1.0, 2.0, -7.5, 1e9, float("inf"), -float("inf"), 1e308, 5e-324]) | st.floats(-10, 10)


def rows(count: int, seed: int) -> Floats:
    """A number, a number with nulls, a category, a flag, and a number that is mostly 0."""
    rng = np.random.default_rng(seed)
    ago = np.where(rng.random(count) < 0.8, 0.0, rng.gamma(2, 3, count))
    made = np.column_stack(
        [rng.lognormal(1, 0.5, count), rng.normal(0, 3, count), rng.integers(0, 9, count), rng.random(count) < 0.3, ago]
    )
    made[rng.random(count) < 0.2, 1] = NAN
    return made


def reference(seed: int = 1, count: int = 6000) -> Reference:
    return Reference.of(rows(count, seed), NAMES, ("shop",), seed)


@pytest.mark.parametrize("seed", range(1, 6))
def test_rows_drawn_as_the_training_rows_were_have_a_p_that_is_uniform(seed: int) -> None:
    p, _ = reference(seed).novelty(rows(8000, seed + 100))
    for level in (0.01, 0.05, 0.2, 0.5, 0.8):
        spread = np.sqrt(level * (1 - level) * (1 / 1024 + 1 / 8000))  # of the usual distances, and of the rows that are asked
        assert abs((p <= level).mean() - level) < 4 * spread + 1 / 1025


def test_over_many_references_a_small_p_is_not_more_frequent_than_it_says() -> None:
    """100 references of 100 distances each: the means spread by 0.0026 and 0.0053."""
    found = [Reference.of(rows(200, n), NAMES, ("shop",), n).novelty(rows(120, n + 500))[0] for n in range(100)]
    p = np.concatenate(found)
    assert (p <= 0.05).mean() == pytest.approx(5 / 101, abs=4 * 0.0026)
    assert (p <= 0.3).mean() == pytest.approx(30 / 101, abs=4 * 0.0053)


def test_the_farther_a_row_the_smaller_its_p_down_to_the_smallest() -> None:
    away = np.tile(rows(50, 7)[0], (6, 1))
    away[:, 0] += [0, 3, 6, 12, 100, 1e300]
    p, _ = reference().novelty(away)
    assert (np.diff(p) <= 0).all()
    assert p[0] > 0.05
    assert p[4:].tolist() == [1 / 1025] * 2


def test_a_combination_that_was_never_seen_is_novel_within_every_range() -> None:
    rng = np.random.default_rng(1)
    one = rng.normal(size=5000)
    along = Reference.of(np.column_stack([one, one + rng.normal(0, 0.1, 5000)]), ("a", "b"))
    p, outside = along.novelty(np.array([[1.5, 1.5], [1.5, -1.5]]))
    assert p[0] > 0.1
    assert p[1] == 1 / 1025
    assert outside == [[], []]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_distances_are_those_of_scipys_tree(seed: int) -> None:
    rng = np.random.default_rng(seed)
    made = Reference.of(rng.normal(3, [1, 5, 100], (3000, 3)), ("a", "b", "c"), seed=seed)
    asked = rng.normal(3, [2, 10, 200], (500, 3))
    low, centre, high = np.quantile(made.rows, [0.25, 0.5, 0.75], axis=0)
    scaled = [(points - centre) / ((high - low) / 1.349) for points in (made.rows, asked)]
    distances, _ = cKDTree(scaled[0]).query(scaled[1])
    p = [(1 + (made.distances >= one).sum()) / 1025 for one in distances]
    np.testing.assert_allclose(made.novelty(asked)[0], p)


def test_a_distance_is_made_of_spreads_nulls_and_marks() -> None:
    """By hand: a has median 2 and IQR 2; b is a category; c is 5 or null; d is constant."""
    known = np.array([[0.0, 1, 5, 7], [1, 1, NAN, 7], [2, 2, 5, 7], [3, 2, NAN, 7], [4, 3, 5, 7]])
    space = Reference(tuple("abcd"), ("b",), known, np.empty(0), known[0], known[0], known[0] > 0)._space
    step = 1.349 / 2  # of a, in spreads: from one row to the next
    by_hand = {
        (4, 3, 5, 7): 0,
        (4, 3, NAN, 7): 1,  # a null; the next row with one is another category and a step away
        (4, 9, 5, 8): np.sqrt(2),  # another category and another constant
        (4 + 3 / step, 3, 5, 7): 3,
        (NAN, 2, 5, 7): 1,
        (NAN, 2, 5, NAN): np.sqrt(2),
        (0.5, 1, NAN, 7): step / 2,
    }
    assert space.nearest(np.array(list(by_hand))).tolist() == pytest.approx(list(by_hand.values()))


def test_what_lies_outside_of_what_was_learnt_is_named() -> None:
    known = np.array([[1.0, 1, NAN, 5], [3, NAN, NAN, 5]])
    made = Reference.of(known, ("price", "wick", "ago", "open"))
    asked = [[1, 1, NAN, 5], [3.1, 1, NAN, 5], [0.9, NAN, NAN, 4], [NAN, 2, 1, NAN], [float("inf"), 1, NAN, 5]]
    _, outside = made.novelty(np.array(asked))
    assert outside == [[], ["price"], ["price", "open"], ["price", "wick", "ago", "open"], ["price"]]


def test_ranges_are_those_of_all_training_rows_and_not_of_the_sample() -> None:
    known = rows(50_000, 3)
    known[[17, 4711], 0] = -50, 900
    made = Reference.of(known, NAMES, ("shop",))
    assert made.rows.shape == (1024, 5)
    assert made.novelty(known)[1] == [[]] * 50_000
    assert (made.low[0], made.high[0], made.gaps.tolist()) == (-50, 900, [False, True, False, False, False])


def test_a_row_of_training_is_at_no_distance_and_a_null_is_near_other_nulls() -> None:
    made = reference(count=500)
    assert made.novelty(made.rows)[0].tolist() == [1.0] * 250
    of_null = made.rows[np.isnan(made.rows[:, 1])]
    assert (made._space.nearest(of_null) < 1e-7).all()


def test_a_single_training_row_says_nothing_but_what_is_outside() -> None:
    p, outside = Reference.of(np.array([[1.0, NAN]]), ("a", "b")).novelty(np.array([[1, NAN], [2, NAN], [NAN, 1]]))
    assert p.tolist() == [1, 1, 1]
    assert outside == [[], ["a"], ["a", "b"]]


@pytest.mark.parametrize("value", [0.0, 3.5, NAN])
def test_a_constant_feature_counts_where_it_differs(value: float) -> None:
    rng = np.random.default_rng(2)
    known = np.column_stack([rng.normal(size=4000), np.full(4000, value)])
    made = Reference.of(known, ("a", "constant"))
    p, outside = made.novelty(np.array([[0, value], [0, 4.5]]))
    assert p[0] > 0.05
    assert p[1] == 1 / 1025
    assert outside == [[], ["constant"]]
    assert Reference.of(known[:, :1], ("a",)).novelty(known[:50, :1])[0].tolist() == made.novelty(known[:50])[0].tolist()


def test_codes_of_categories_have_no_order() -> None:
    rng = np.random.default_rng(3)
    known = np.column_stack([rng.integers(0, 2, 4000) * 100, rng.normal(size=4000)])
    made = Reference.of(known, ("shop", "a"), ("shop",))
    other, far, null = made._space.nearest(np.array([[1.0, 0], [1e6, 0], [NAN, 0]]))
    assert other == far == null == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_neither_the_order_of_rows_nor_that_of_features_changes_what_is_said_of_a_row(seed: int) -> None:
    known, asked = rows(5000, seed), rows(300, seed + 1)
    asked[:9, 0] += 50
    turn, columns = np.random.default_rng(seed).permutation(300), np.random.default_rng(seed).permutation(5)
    p, outside = Reference.of(known, NAMES, ("shop",)).novelty(asked)
    turned = Reference.of(known[:, columns], [NAMES[n] for n in columns], ("shop",)).novelty(asked[turn][:, columns])
    np.testing.assert_array_equal(turned[0], p[turn])
    assert [sorted(names) for names in turned[1]] == [sorted(outside[n]) for n in turn]


def test_a_row_gets_the_same_p_alone_and_among_many() -> None:
    asked, made = rows(2500, 9), reference()
    together = made.novelty(asked)[0]
    assert [made.novelty(asked[n : n + 1])[0][0] for n in range(0, 2500, 50)] == together[::50].tolist()


def test_the_same_rows_and_seed_give_the_same_bytes_and_another_seed_others() -> None:
    known = rows(5000, 1)
    first, again, other = (Reference.of(known, NAMES, ("shop",), seed=n).to_bytes() for n in (1, 1, 2))
    assert first == again != other
    assert len(first) < 8 * (1024 * 6 + 3 * 5) + 200


@given(arrays(np.float64, st.tuples(st.integers(1, 30), st.just(3)), elements=VALUES), st.sets(st.sampled_from("abc")))
@settings(max_examples=200, deadline=None)
def test_any_rows_come_back_from_their_bytes_and_have_a_p(known: Floats, categories: set[str]) -> None:
    made = Reference.of(known, tuple("abc"), categories, size=8)
    back = Reference.from_bytes(made.to_bytes())
    assert back.to_bytes() == made.to_bytes()
    (p, outside), (same, _) = made.novelty(known), back.novelty(known)
    assert p.tolist() == same.tolist()
    assert outside == [[]] * len(known)
    assert ((p > 0) & (p <= 1)).all()


GOOD = reference(count=20)
BAD: list[tuple[str, Callable[[], object], str]] = [
    ("no rows", lambda: Reference.of(np.empty((0, 2)), ("a", "b")), "0 training rows and samples of 1024"),
    ("no sample", lambda: Reference.of(np.ones((3, 2)), ("a", "b"), size=0), "3 training rows and samples of 0"),
    ("a name too many", lambda: Reference.of(np.ones((3, 2)), NAMES), r"shape \(3, 2\) has not one column for each of price"),
    ("a column too few", lambda: GOOD.novelty(np.ones((3, 2))), r"shape \(3, 2\)"),
    ("cut bytes", lambda: Reference.from_bytes(GOOD.to_bytes()[:-8]), "74 numbers stand where 75 were stored. Train"),
    ("odd bytes", lambda: Reference.from_bytes(GOOD.to_bytes()[:-3]), "no reference of training rows"),
    ("no bytes", lambda: Reference.from_bytes(b""), "0 bytes are no reference"),
    ("another form", lambda: Reference.from_bytes(GOOD.to_bytes().replace(b'"form": 1', b'"form": 2', 1)), "of form 2, and form 1"),
]


@pytest.mark.parametrize(("ask", "said"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_what_cannot_be_measured_is_refused_with_the_sizes(ask: Callable[[], object], said: str) -> None:
    with pytest.raises(Refused, match=said):
        ask()


def test_no_rows_have_no_novelty() -> None:
    p, outside = GOOD.novelty(np.empty((0, 5)))
    assert (len(p), outside) == (0, [])


def test_usual_distances_are_ascending_and_of_rows_that_are_not_in_the_reference() -> None:
    made = Reference.of(np.arange(100.0)[:, None], ("a",), size=10)
    assert (np.diff(made.distances) >= 0).all()
    assert made.distances.min() > 0
    assert stats.rankdata(made.rows[:, 0]).tolist() == list(range(1, 11))
