"""The rows of the drift benchmark are what they are said to be; no peer, no network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from benchmarks.drift_data import categorical, iid_windows, parquet_pair, shares, standard_deviation

NUMERIC = [column for column in range(25) if column not in categorical()]
ROWS = 40_000


@pytest.mark.parametrize("seed", [1, 2])
def test_a_window_follows_from_its_seed_and_its_position_alone(seed: int) -> None:
    three, two = list(iid_windows(seed, 100, windows=3)), list(iid_windows(seed, 100, windows=2))
    assert [bool(np.array_equal(one, other)) for one, other in zip(three, two, strict=False)] == [True, True]
    assert not np.array_equal(three[0], three[1])
    assert not np.array_equal(three[0], next(iid_windows(seed + 1, 100, windows=1)))


@pytest.mark.parametrize("shift", [0.2, 0.5, 1.3, -0.7])
def test_a_shifted_numeric_column_moves_its_mean_by_so_many_standard_deviations_and_the_others_stay(shift: float) -> None:
    (plain,) = iid_windows(3, ROWS, windows=1)
    (moved,) = iid_windows(3, ROWS, windows=1, shift_sd=shift, shifted_columns=NUMERIC[:10])
    scale = np.array([standard_deviation(column) for column in NUMERIC[:10]])
    assert (moved - plain)[:, :10].mean(axis=0) / scale == pytest.approx(np.full(10, shift), abs=0.01)
    assert np.array_equal(moved[:, 10:], plain[:, 10:])


def test_the_stated_standard_deviation_is_that_of_the_column() -> None:
    (plain,) = iid_windows(4, 10 * ROWS, windows=1)
    found = plain[:, NUMERIC].std(axis=0) / [standard_deviation(column) for column in NUMERIC]
    assert found == pytest.approx(np.ones(20), abs=0.04)


@pytest.mark.parametrize("shift", [0.0, 0.2, 0.6])
def test_a_shifted_category_moves_so_much_of_its_mass(shift: float) -> None:
    (moved,) = iid_windows(5, ROWS, windows=1, shift_sd=shift, shifted_columns=categorical())
    for column in categorical():
        said, plain = shares(25, column, shift), shares(25, column)
        counted = np.bincount(moved[:, column].astype(int), minlength=len(said)) / ROWS
        assert abs(said - plain).sum() / 2 == pytest.approx(shift)
        assert counted == pytest.approx(said, abs=0.01)


def test_shares_are_skewed_and_integers_stay_few_and_whole_when_they_move() -> None:
    (moved,) = iid_windows(6, 1000, windows=1, shift_sd=0.3, shifted_columns=[4])
    assert all(shares(25, column)[0] >= 1.9 * shares(25, column)[1] for column in categorical())
    assert 6 < len(set(moved[:, 4])) <= 14
    assert np.array_equal(moved[:, 4], np.round(moved[:, 4]))


@pytest.mark.parametrize(("shift", "column", "said"), [(0.7, 20, "0 to 0.667"), (-0.1, 24, "0 to"), (0.1, 25, "0 to 24")])
def test_a_shift_that_cannot_be_made_is_refused(shift: float, column: int, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        list(iid_windows(1, 10, windows=1, shift_sd=shift, shifted_columns=[column]))


def test_the_speed_files_have_twenty_floats_and_five_words_and_come_back_the_same(tmp_path: Path) -> None:
    reference, current = map(pl.read_parquet, parquet_pair(tmp_path, 500, seed=7))
    assert reference.schema == current.schema
    assert reference.dtypes == [pl.Float64] * 20 + [pl.String] * 5
    assert reference["c24"].n_unique() == 20
    assert not reference.equals(current)
    assert reference.equals(pl.read_parquet(parquet_pair(tmp_path, 500, seed=7)[0]))
