"""Rows for the drift benchmark: independent windows with a stated shift, and two large Parquet files.

Owns how a column is distributed and how it is shifted, nothing else. The first four fifths of the columns are numeric (normal,
lognormal, uniform, exponential and integers of 13 values, by turns, in several units); the last fifth are categories, given as
small integers whose shares fall with their rank. Everything follows from the seed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import polars as pl

__all__ = ["categorical", "iid_windows", "parquet_pair", "shares", "standard_deviation"]

Values = NDArray[np.float64]

UNITS = (1.0, 10.0, 0.1, 1000.0)
SIZES = (2, 4, 6, 10, 20)  # of the categories
TRIES, CHANCE = 12, 0.4  # of the few-valued integers


@dataclass(frozen=True)
class _Shape:
    """How a numeric column is drawn, and its standard deviation."""

    draw: Callable[[np.random.Generator, int], Values]
    deviation: float
    whole: bool = False


def iid_windows(  # noqa: PLR0913 - all but two are named where it is called
    seed: int,
    rows: int,
    *,
    windows: int,
    columns: int = 25,
    shift_sd: float = 0.0,
    shifted_columns: Collection[int] = (),
) -> Iterator[Values]:
    """Windows of independent rows, one after the other.

    A window follows from seed and position alone: with a shift the same draws come back, moved in the shifted columns only.

    Args:
        seed: of all windows; another seed gives a reference that is independent of them.
        rows: of each window.
        windows: how many.
        columns: how many, numeric ones first; see `categorical`.
        shift_sd: added to a shifted numeric column, in its standard deviations: integers move by whole steps, so many of them
            that the mean moves as stated. In a shifted category this share of the mass moves from the commonest to the rarest.
        shifted_columns: which.

    Yields arrays of rows x columns.

    Raises ValueError: there is no such column, or so much mass cannot be moved to a category's rarest value.
    """
    _check(columns, shift_sd, shifted_columns)
    for window in range(windows):
        made = np.empty((rows, columns))
        for column in range(columns):
            rng = np.random.default_rng((seed, window, column))
            made[:, column] = _drawn(rng, rows, columns, column, shift_sd if column in shifted_columns else 0.0)
        yield made


def _check(columns: int, shift: float, shifted: Collection[int]) -> None:
    if unknown := sorted(set(shifted) - set(range(columns))):
        raise ValueError(f"columns {unknown} cannot be shifted: there are 0 to {columns - 1}")
    for column in set(shifted) & set(categorical(columns)):
        shares(columns, column, shift)


def categorical(columns: int = 25) -> list[int]:
    """The positions of the categories: the last fifth."""
    return list(range(columns - columns // 5, columns))


def standard_deviation(column: int) -> float:
    """Of a numeric column."""
    return _shape(column).deviation


def shares(columns: int, column: int, shift: float = 0.0) -> Values:
    """The share of each category of a column, commonest first; `shift` of the mass is moved to the last (total variation).

    Raises ValueError: the others have not so much, or `shift` is negative.
    """
    ranks = np.arange(1, SIZES[(column - categorical(columns)[0]) % len(SIZES)] + 1)
    plain = (1 / ranks) / (1 / ranks).sum()
    if not 0 <= shift <= 1 - plain[-1]:
        raise ValueError(f"a shift of {shift} cannot be moved in category {column}: give 0 to {1 - plain[-1]:.3f}")
    taken = np.diff(np.minimum(np.cumsum(plain[:-1]), shift), prepend=0.0)
    return np.append(plain[:-1] - taken, plain[-1] + shift)


def _drawn(rng: np.random.Generator, rows: int, columns: int, column: int, shift: float) -> Values:
    if column in categorical(columns):
        edges = np.cumsum(shares(columns, column, shift))[:-1]
        return np.searchsorted(edges, rng.random(rows), side="right").astype(np.float64)
    shape = _shape(column)
    values, by = shape.draw(rng, rows), shift * shape.deviation
    return values + (math.floor(by) + (rng.random(rows) < by - math.floor(by)) if shape.whole else by)


def _shape(column: int) -> _Shape:
    turn = column // 5 % len(UNITS)
    unit, sigma = UNITS[turn], 0.4 + 0.2 * turn
    shapes = (
        _Shape(partial(_scaled, unit, np.random.Generator.standard_normal), unit),
        _Shape(partial(_lognormal, unit, sigma), unit * math.sqrt(math.expm1(sigma**2) * math.exp(sigma**2))),
        _Shape(partial(_scaled, unit, np.random.Generator.random), unit / math.sqrt(12)),
        _Shape(partial(_scaled, unit, np.random.Generator.standard_exponential), unit),
        _Shape(_integers, math.sqrt(TRIES * CHANCE * (1 - CHANCE)), whole=True),
    )
    return shapes[column % 5]


def _scaled(unit: float, draw: Callable[[np.random.Generator, int], Values], rng: np.random.Generator, rows: int) -> Values:
    return unit * draw(rng, rows)


def _lognormal(unit: float, sigma: float, rng: np.random.Generator, rows: int) -> Values:
    return unit * rng.lognormal(0.0, sigma, rows)


def _integers(rng: np.random.Generator, rows: int) -> Values:
    return rng.binomial(TRIES, CHANCE, rows).astype(np.float64)


def parquet_pair(folder: Path, rows: int = 1_000_000, seed: int = 1) -> tuple[Path, Path]:
    """`reference.parquet` and `current.parquet`: 20 Float64 columns `n00` to `n19`, 5 String columns `c20` to `c24`, no shift."""
    import polars as pl

    paths = folder / "reference.parquet", folder / "current.parquet"
    for path, made in zip(paths, iid_windows(seed, rows, windows=2), strict=True):
        frame = pl.DataFrame({_name(column): made[:, column] for column in range(made.shape[1])})
        frame.with_columns(_words(name) for name in frame.columns if name.startswith("c")).write_parquet(path)
    return paths


def _name(column: int) -> str:
    return f"{'c' if column in categorical() else 'n'}{column:02d}"


def _words(name: str) -> pl.Expr:
    """Categories as words, `c23 value 07`."""
    import polars as pl

    return pl.format("{} value {}", pl.lit(name), pl.col(name).cast(pl.Int64).cast(pl.String).str.zfill(2)).alias(name)
