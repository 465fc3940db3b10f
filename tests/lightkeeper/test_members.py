"""Levels among members: another mix moves nothing, other prices do."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest

from lightkeeper.measure.members import level_of, members_of

SEEDS = [1, 2, 3]
PRODUCTS = np.array([f"p{n:02}" for n in range(40)])


def sold(seed: int, rows: int, weights: Any = None, factor: float = 1.0) -> pl.DataFrame:
    """Rows of 40 products, each with its usual price; the till and the customer say nothing of it."""
    random, usual = np.random.default_rng(seed), np.geomspace(0.5, 200, 40)
    which = random.choice(40, rows, p=None if weights is None else weights / weights.sum())
    return pl.DataFrame(
        {
            "ticket": [f"{seed}-{n}" for n in range(rows)],
            "product": PRODUCTS[which],
            "till": [f"t{n}" for n in random.integers(0, 12, rows)],
            "side": random.choice(["left", "right"], rows),
            "price": usual[which] * np.exp(0.02 * random.standard_normal(rows)) * factor,
            "change": random.standard_normal(rows),
            "items": random.poisson(3, rows) + 1,
        }
    )


@pytest.mark.parametrize("seed", SEEDS)
def test_the_members_are_of_the_text_that_says_most_of_the_number(seed: int) -> None:
    found = members_of(sold(seed, 3000), ["price", "change"])
    assert list(found) == ["price"]  # a change is as often below 0 as above
    assert (found["price"].column, found["price"].member) == ("price", "product")
    assert found["price"].medians["product"].to_list() == PRODUCTS.tolist()
    usual = np.geomspace(0.5, 200, 40)
    assert found["price"].medians["usual"].to_numpy() == pytest.approx(usual, rel=0.02)


@pytest.mark.parametrize("seed", SEEDS)
def test_another_mix_of_members_does_not_move_the_level(seed: int) -> None:
    members = members_of(sold(seed, 3000), ["price"])["price"]
    cheap, dear = (sold(seed + 10, 800, weights) for weights in (np.arange(40, 0, -1.0) ** 3, np.arange(1.0, 41) ** 3))
    assert float(str(dear["price"].median())) > 10 * float(str(cheap["price"].median()))
    for rows in (cheap, dear):
        assert level_of(rows, members)[0] == pytest.approx(0, abs=0.005)


@pytest.mark.parametrize("factor", [1.07, 0.9, 3.0])
@pytest.mark.parametrize("seed", SEEDS)
def test_prices_that_all_change_move_the_level_by_the_logarithm_of_their_factor(seed: int, factor: float) -> None:
    members = members_of(sold(seed, 3000), ["price"])["price"]
    level, rows = level_of(sold(seed + 10, 800, np.arange(1.0, 41), factor), members)
    assert level == pytest.approx(np.log(factor), abs=0.005)
    assert rows == 800


def test_a_few_wrong_prices_and_what_is_no_price_do_not_move_the_level() -> None:
    members, rows = members_of(sold(1, 3000), ["price"])["price"], sold(2, 900)
    prices = rows["price"].to_list()
    prices[:100] = [100 * price for price in prices[:100]]
    prices[800:] = [None, 0.0, -5.0, float("nan"), float("inf")] * 20
    level, known = level_of(rows.with_columns(pl.Series("price", prices)), members)
    assert level == pytest.approx(0, abs=0.01)
    assert known == 800


@pytest.mark.parametrize(
    "rows", [sold(2, 0), sold(2, 20).with_columns(product=pl.lit("new")), sold(2, 20).with_columns(price=-1.0)]
)
def test_rows_of_no_known_member_or_no_value_have_no_level(rows: pl.DataFrame) -> None:
    assert level_of(rows, members_of(sold(1, 3000), ["price"])["price"]) == (None, 0)


def test_texts_that_never_come_again_or_are_few_are_no_members() -> None:
    rows = sold(1, 3000)
    assert members_of(rows.drop("product", "till"), ["price"]) == {}
    paged = rows.drop("product", "till").with_columns(page=(pl.int_range(pl.len()) // 100).cast(pl.String))
    assert members_of(paged, ["price"]) == {}  # each page has 100 rows, and none of them later
    assert members_of(rows.drop("product"), ["price"])["price"].member == "till"


def test_of_a_member_with_fewer_than_three_rows_nothing_is_usual() -> None:
    rare = sold(1, 2).with_columns(product=pl.lit("rare"))
    found = members_of(pl.concat([sold(1, 3000), rare]), ["price"])["price"]
    assert "rare" not in found.medians["product"].to_list()
    again = members_of(pl.concat([sold(1, 3000), rare, rare]), ["price"])["price"]
    assert "rare" in again.medians["product"].to_list()


def test_whole_numbers_have_a_level_and_numbers_of_nulls_have_none() -> None:
    rows = sold(1, 3000).with_columns(gone=pl.lit(None, pl.Float64), doubled=pl.col("product").str.slice(1).cast(pl.Int64) + 1)
    found = members_of(rows, ["gone", "doubled"])
    assert list(found) == ["doubled"]
    assert level_of(rows.with_columns(pl.col("doubled") * 2), found["doubled"])[0] == pytest.approx(np.log(2))
