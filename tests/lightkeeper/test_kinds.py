"""Kinds of shift: one factor for all members is an instrument, another mix a population, and neither is told as neither."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest

from lightkeeper.measure.kinds import tell

SEEDS = [1, 2, 3]
WARDS = np.array([f"w{n}" for n in range(12)])


def drawn(seed: int, rows: int = 2400, weights: Any = None) -> pl.DataFrame:
    """Readings of twelve wards, each of a usual size, beside two other numbers."""
    random = np.random.default_rng(seed)
    which = random.choice(12, rows, p=None if weights is None else weights / weights.sum())
    return pl.DataFrame(
        {
            "ward": WARDS[which],
            "side": random.choice(["left", "right"], rows),
            "reading": np.linspace(20, 80, 12)[which] * np.exp(0.03 * random.standard_normal(rows)),
            "age": random.integers(20, 90, rows),
            "stay": random.poisson(4, rows),
        }
    )


@pytest.mark.parametrize("factor", [1.07, 0.9, 1.5])
@pytest.mark.parametrize("seed", SEEDS)
def test_one_factor_in_all_members_is_an_instrument_and_the_sentence_has_it(seed: int, factor: float) -> None:
    now = drawn(seed + 10).with_columns(pl.col("reading") * factor)
    told = tell(drawn(seed), now, ["reading"])
    assert told.kind == "instrument"
    assert told.evidence.startswith("reading is ")
    assert float(told.evidence.split()[2]) == pytest.approx(factor, abs=0.01)
    assert told.evidence.endswith("of 12 values of ward.")


@pytest.mark.parametrize("seed", SEEDS)
def test_an_instrument_is_told_beside_another_mix_of_its_members(seed: int) -> None:
    now = drawn(seed + 10, weights=np.arange(1.0, 13)).with_columns(pl.col("reading") * 1.1)
    assert tell(drawn(seed), now, ["ward", "reading"]).kind == "instrument"


@pytest.mark.parametrize("seed", SEEDS)
def test_another_mix_of_members_is_a_population_and_the_sentence_names_who_moved(seed: int) -> None:
    weights = np.ones(12)
    weights[[3, 7]] = 6.0, 0.01
    told = tell(drawn(seed), drawn(seed + 10, weights=weights), ["ward", "reading"])
    assert told.kind == "population"
    assert told.evidence.startswith("The mix of ward moved: w3 from 8.")
    assert " w7 from " in told.evidence


def test_the_shares_of_the_sentence_are_those_of_the_rows_with_a_text() -> None:
    before, now = (pl.DataFrame({"ward": ["a"] * a + ["b"] * b + [None] * 100, "x": 1}) for a, b in ((60, 40), (15, 85)))
    told = tell(before, now, ["ward"])
    assert told.kind == "population"
    assert "a from 60.0% to 15.0%" in told.evidence
    assert "b from 40.0% to 85.0%" in told.evidence


def test_a_member_that_came_new_is_named_with_nothing_before() -> None:
    now = drawn(2).with_columns(pl.when(pl.int_range(pl.len()) % 4 == 0).then(pl.lit("new")).otherwise("ward").alias("ward"))
    assert tell(drawn(1), now, ["ward"]).evidence.startswith("The mix of ward moved: new from 0.0% to 25.0%, ")


@pytest.mark.parametrize("seed", SEEDS)
def test_members_that_moved_apart_and_shares_that_hardly_moved_are_neither(seed: int) -> None:
    apart = pl.col("reading") * (1 + pl.col("ward").str.slice(1).cast(pl.Int64) / 20)
    for now in (drawn(seed + 10, 9000).with_columns(apart), drawn(seed + 10, 9000)):
        told = tell(drawn(seed, 9000), now, ["reading", "ward"])
        assert told.kind is None
        assert told.evidence == "Neither one factor for all members nor another mix of them explains it."


@pytest.mark.parametrize("seed", SEEDS)
def test_what_did_not_drift_is_not_told(seed: int) -> None:
    now = drawn(seed + 10, weights=np.arange(1.0, 13)).with_columns(pl.col("reading") * 1.1)
    assert tell(drawn(seed), now, []).kind is None
    assert tell(drawn(seed), now, ["age"]).kind is None


@pytest.mark.parametrize("seed", SEEDS)
def test_when_most_numbers_moved_by_a_factor_it_is_no_single_instrument(seed: int) -> None:
    now = drawn(seed + 10).with_columns(pl.col("reading", "age", "stay") * 1.5)
    assert tell(drawn(seed), now, ["reading", "age", "stay"]).kind is None


def test_without_members_enough_or_with_a_column_that_is_gone_nothing_is_told() -> None:
    now = drawn(2).with_columns(pl.col("reading") * 1.1)
    few = pl.col("ward").is_in(WARDS[:7].tolist())
    assert tell(drawn(1).filter(few), now.filter(few), ["reading"]).kind is None
    assert tell(drawn(1), now.drop("reading"), ["reading"]).kind is None
    assert tell(drawn(1).clear(), now.clear(), ["reading", "ward"]).kind is None
