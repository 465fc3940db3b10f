"""Rows by value, on the command line."""

from __future__ import annotations

from datetime import date

import polars as pl
import pytest
import typer

from lightkeeper.cli.matching import matching
from lightkeeper.errors import Refused

ROWS = pl.LazyFrame({"product": ["85123A", "85123A", "22423"], "day": [date(2026, 10, n) for n in (1, 2, 1)], "units": [1, 2, 3]})


def test_every_condition_holds_in_the_rows_that_match() -> None:
    found = matching(ROWS, ["product=85123A", "day=2026-10-02"], "demand@3").collect()
    assert found["units"].to_list() == [2]


def test_an_unknown_product_is_an_error_that_names_the_nearest() -> None:
    with pytest.raises(Refused, match=r"demand@3 has no row with product = '85123B'. Did you mean 85123A\?"):
        matching(ROWS, ["product=85123B"], "demand@3")


def test_a_value_far_from_all_is_told_how_many_there_are() -> None:
    with pytest.raises(Refused, match=r"There are 3, from 1 to 3\."):
        matching(ROWS, ["units=x"], "demand@3")


def test_a_condition_on_no_column_is_refused() -> None:
    with pytest.raises(Refused, match="has no column 'colour'"):
        matching(ROWS, ["colour=red"], "demand@3")


def test_a_condition_that_is_none_is_a_wrong_usage() -> None:
    with pytest.raises(typer.BadParameter, match=r"--where 'product': write it like product=85123A\."):
        matching(ROWS, ["product"], "demand@3")
