"""Sums, means and last values of windows of rows, rolled over a whole column of stacked series at once.

Owns the arithmetic; what a series, a day and a feature are stays in `panel`.

Sums of windows are made of sums of 1, 2, 4, 8 ... rows, each the sum of two of the former. Thus a result depends on the
rows of its window alone, to the last bit, wherever the column begins; whole numbers are exact up to 2^53.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import InitVar, dataclass, field
from itertools import groupby
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lightkeeper.measure.buffers import Nulls, Rows, Scratch, nulls_of, values_of

__all__ = ["Ages", "How", "Window", "rolled"]

Ages = NDArray[np.int32]
How = Literal["mean", "sum", "last"]
_Floats = NDArray[np.float64]

_BLOCK = 32_768  # rows; a multiple of 8, so that threads never share a byte of a bitmap
_THREADS = 4


@dataclass(frozen=True, slots=True, order=True)
class Window:
    """The `size` rows that end `lag` rows above, and what is wanted of them."""

    lag: int
    size: int
    how: How


def rolled(column: pl.Series, ages: Ages, windows: Sequence[Window]) -> list[pl.Series]:
    """What is wanted of the known values in each window, for each row of a column; Float64.

    Args:
        column: Float64, without a name worth keeping; nulls are left out of the windows.
        ages: for each row, how many rows of its own series stand above it; other rows are left out of the windows.
        windows: what is wanted. Where a window has no known value the result is null.
    """
    array = column.rechunk().to_arrow()
    source = _Source(values_of(array, np.float64) if len(array) else np.empty(0), nulls_of(array), ages)
    made = [_Made.of(window, len(column)) for window in sorted(set(windows))]
    starts = range(0, len(column), _BLOCK)
    threads = max(1, min(len(starts), os.cpu_count() or 1, _THREADS))
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda i: _fill(source, made, starts[i::threads]), range(threads)))
    by_window = {each.window: each.series() for each in made}
    return [by_window[window] for window in windows]


@dataclass(frozen=True, slots=True)
class _Source:
    """A column to roll, and the ages of its rows."""

    values: _Floats
    nulls: Nulls
    ages: Ages


@dataclass(frozen=True, slots=True)
class _Made:
    """The result for one window: its values, and a bitmap of the rows that have one."""

    window: Window
    values: _Floats
    known: NDArray[np.uint8]

    @classmethod
    def of(cls, window: Window, rows: int) -> _Made:
        """Nothing yet."""
        return cls(window, np.empty(rows), np.empty(-(-rows // 8), np.uint8))

    def put(self, start: int, known: NDArray[np.bool_]) -> None:
        """Say which of the rows from `start` on have a value."""
        bits = np.packbits(known, bitorder="little")
        self.known[start // 8 : start // 8 + len(bits)] = bits

    def series(self) -> pl.Series:
        """The result, in the memory in which it was made."""
        import pyarrow as pa

        buffers = [pa.py_buffer(self.known), pa.py_buffer(self.values)]
        return pl.Series(pa.Array.from_buffers(pa.float64(), len(self.values), buffers))


def _fill(source: _Source, made: Sequence[_Made], starts: Iterable[int]) -> None:
    """Compute some blocks of all results."""
    by_lag = [(lag, list(group)) for lag, group in groupby(made, lambda each: each.window.lag)]
    room = _BLOCK + max((each.window.size for each in made), default=0)
    scratches = Scratch(room), Scratch(room)
    with np.errstate(all="ignore"):  # 0 / 0 stands where there is no value
        for start in starts:
            for lag, group in by_lag:
                _fill_block(source, lag, group, start, scratches)


def _fill_block(source: _Source, lag: int, made: Sequence[_Made], start: int, scratches: tuple[Scratch, Scratch]) -> None:
    """Compute one block of the results that have their lag in common."""
    stop = min(start + _BLOCK, len(source.values))
    of_series = source.ages[start:stop] >= lag
    first, end = max(start - lag, 0), max(stop - lag, 0)  # the windows end in these rows
    size = max(each.window.size for each in made)
    part = _Part.of(source, max(first + 1 - size, 0), end, size, scratches)
    skipped = (stop - start) - (end - first)  # rows whose windows end above the column
    for each in made:
        known = np.zeros(stop - start, np.bool_)
        if end > first:
            known[skipped:] = part.result(each.window, each.values[start + skipped : stop])
            known &= of_series
        each.put(start, known)


@dataclass(frozen=True, slots=True)
class _Part:
    """Some rows of a column and what can be computed of them."""

    ages: Ages
    empty: Rows | None
    sums: _Sums
    counts: _Sums | None  # None where no value is null

    @classmethod
    def of(cls, source: _Source, start: int, stop: int, size: int, scratches: tuple[Scratch, Scratch]) -> _Part:
        """Rows start..stop of the column, for windows up to a size."""
        ages, empty, rows = source.ages[start:stop], source.nulls(start, stop), stop - start
        young = _Young.of(ages, size)
        values = scratches[0].floats("values", rows)
        np.copyto(values, source.values[start:stop])
        if empty is None or not len(empty):
            return cls(ages, None, _Sums(values, young, scratches[0]), None)
        values[empty] = 0
        ones = scratches[1].floats("values", rows)
        ones.fill(1)
        ones[empty] = 0
        return cls(ages, empty, _Sums(values, young, scratches[0]), _Sums(ones, young, scratches[1]))

    def result(self, window: Window, out: _Floats) -> NDArray[np.bool_]:
        """Fill `out` with what is wanted at the last rows; which of them have a value."""
        if window.how == "last":
            return self._last(window.size, out)
        rows = len(out)
        totals, counts = self.sums.of(window.size)[-rows:], self._counts(window.size, rows)
        if window.how == "mean":
            np.divide(totals, counts, out=out)
        else:
            np.copyto(out, totals)
        return counts > 0

    def _counts(self, size: int, rows: int) -> _Floats:
        """How many values the windows that end in the last rows have."""
        if self.counts is not None:
            return self.counts.of(size)[-rows:]
        counts = self.sums.scratch.floats("counts", rows)
        np.add(self.ages[-rows:], 1, out=counts)
        np.minimum(counts, size, out=counts)
        return counts

    def _last(self, size: int, out: _Floats) -> NDArray[np.bool_]:
        """The last known values of the windows that end in the last rows."""
        at = np.arange(len(self.ages))
        oldest = at - np.minimum(self.ages, size - 1)
        if self.empty is not None:
            at[self.empty] = -1
            np.maximum.accumulate(at, out=at)
        rows = len(out)
        np.take(self.sums.levels[0], at[-rows:], mode="clip", out=out)
        known: NDArray[np.bool_] = at[-rows:] >= oldest[-rows:]
        return known


@dataclass(frozen=True, slots=True)
class _Young:
    """The rows that few rows of their series stand above, the first rows of each series first."""

    rows: Rows
    ages: Ages

    @classmethod
    def of(cls, ages: Ages, size: int) -> _Young:
        """Those with less than `size` above them."""
        rows = np.flatnonzero(ages < size)
        order = np.argsort(ages[rows])
        return cls(rows[order], ages[rows][order])

    def below(self, age: int) -> Rows:
        """Those with less than `age` above them."""
        return self.rows[: np.searchsorted(self.ages, age)]


@dataclass(frozen=True, slots=True)
class _Sums:
    """Sums of the last 1, 2, 4, 8 ... rows at each row, as far as they are of the same series, and what they make."""

    values: InitVar[_Floats]
    young: _Young
    scratch: Scratch
    levels: list[_Floats] = field(default_factory=list)

    def __post_init__(self, values: _Floats) -> None:
        self.levels.append(values)

    def of(self, size: int) -> _Floats:
        """At each row, the sum of the last `size` rows of the same series. It lasts until the next is asked for."""
        top = size.bit_length() - 1
        while len(self.levels) <= top:
            self.levels.append(
                self._joined(self.levels[-1], self.levels[-1], 1 << len(self.levels) - 1, f"level {len(self.levels)}")
            )
        total, summed = self.levels[top], 1 << top
        for i, power in enumerate(p for p in reversed(range(top)) if size >> p & 1):
            total = self._joined(total, self.levels[power], summed, f"total {i % 2}")
            summed += 1 << power
        return total

    def _joined(self, near: _Floats, far: _Floats, above: int, name: str) -> _Floats:
        """At each row the sum of `near`, and of `far` so many rows above if that row is of the same series."""
        out = self.scratch.floats(name, len(near))
        out[:above] = near[:above]
        np.add(near[above:], far[: max(len(far) - above, 0)], out=out[above:])
        young = self.young.below(above)
        out[young] = near[young]
        return out
