"""Rows with given values, as text on the command line names them. It reads as little as it needs and shows nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

from lightkeeper.cli.show import did_you_mean
from lightkeeper.errors import Refused

if TYPE_CHECKING:
    import polars as pl

__all__ = ["matching"]


def matching(rows: pl.LazyFrame, where: Sequence[str], what: str) -> pl.LazyFrame:
    """The rows in which each `column=value` holds; a value is compared as text, dates in ISO form.

    Raises a usage error without `=`, Refused where there is no such column or no row has the value; it names the nearest.
    """
    import polars as pl

    for condition in where:
        column, equals, value = condition.partition("=")
        _assert_column(rows, column, equals, condition, what)
        found = rows.filter(pl.col(column).cast(pl.String) == value)
        if found.head(1).collect().is_empty():
            raise Refused(_no_row(rows, column, value, what))
        rows = found
    return rows


def _assert_column(rows: pl.LazyFrame, column: str, equals: str, condition: str, what: str) -> None:
    there = rows.collect_schema().names()
    if not equals:
        raise typer.BadParameter(f"--where {condition!r}: write it like product=85123A.")
    if column not in there:
        raise Refused(f"{what} has no column {column!r}; it has {', '.join(there)}.")


def _no_row(rows: pl.LazyFrame, column: str, value: str, what: str) -> str:
    import polars as pl

    values = rows.select(pl.col(column).cast(pl.String).drop_nulls().unique().sort()).collect()[column].to_list()
    there = f"There are {len(values):,}, from {values[0]} to {values[-1]}." if values else ""
    hint = did_you_mean(value, values, there, most=3)
    return f"{what} has no row with {column} = {value!r}. {hint}".strip()
