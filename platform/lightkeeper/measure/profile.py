"""Profiles: what a window of rows looks like, column by column, as counts that add up. Pure: frames and files in, values out.

Owns the cells that values are counted in and the counting. What two profiles say of each other stands in `distance` and
`drift`; where profiles are kept stays out.

The cells of a number are cut at quantiles of the rows that the cells were made from, so that each holds about the same share
of them; the cells of a text are its most frequent values. Cells are frozen: counts in the same cells add up, and the sum is
exactly the profile of the rows together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lightkeeper.errors import Refused
from lightkeeper.measure.counting import Counted, File, Numbers, Words, column_of, columns_of, count, opened

__all__ = ["CATEGORIES", "KNOWN", "NUMBER_CELLS", "PROFILE", "Cells", "ColumnProfile", "Profile", "Source", "pooled"]

_Floats = NDArray[np.float64]
_Ints = NDArray[np.int64]
Source = pl.DataFrame | pl.LazyFrame | File | str | Path

NUMBER_CELLS = 32
CATEGORIES = 32  # the most frequent ones have a cell each
KNOWN = 1_000  # distinct values that are remembered, so that a new one is noticed
_THREADS = 3  # on two processors: while one waits for Python, another works
_FEW = 20_000  # rows

PROFILE: dict[str, pl.DataType] = {
    "column": pl.String(), "kind": pl.String(), "type": pl.String(), "rows": pl.Int64(), "nulls": pl.Int64(),
    "infinite": pl.Int64(), "least": pl.Float64(), "largest": pl.Float64(), "low": pl.Float64(),
    "uppers": pl.List(pl.Float64()), "categories": pl.List(pl.String()), "known": pl.List(pl.String()),
    "counts": pl.List(pl.Int64()),
}  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """What the values of one column are counted in.

    Attributes:
        kind: "number", "category", or "other": only its nulls are counted.
        low: the least value of the first cell of a number; what is smaller is counted as below.
        uppers: (k,), ascending: cell i holds what is above `uppers[i - 1]` and at most `uppers[i]`; above the last is above.
        categories: the most frequent values, most frequent first.
        known: every value that the cells were made from, sorted; None where there were more than KNOWN.
    """

    kind: str
    low: float = 0.0
    uppers: _Floats = field(default_factory=lambda: np.zeros(0))
    categories: tuple[str, ...] = ()
    known: tuple[str, ...] | None = ()

    @property
    def size(self) -> int:
        """Counts of a profile: below, k cells, above; or the categories, other known ones, new ones; none for others."""
        return {"number": len(self.uppers) + 2, "category": len(self.categories) + 2}.get(self.kind, 0)

    @property
    def endless(self) -> bool:
        """Whether they are of a number that had no finite value: it can be compared with nothing."""
        return self.kind == "number" and not len(self.uppers)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Cells)
            and (self.kind, self.low, self.categories, self.known) == (other.kind, other.low, other.categories, other.known)
            and np.array_equal(self.uppers, other.uppers)
        )

    def __hash__(self) -> int:
        return hash((self.kind, self.low, self.categories, len(self.uppers)))

    def named(self) -> list[str]:
        """What each count is of, for people."""
        if self.kind == "category":
            return [*self.categories, "other", "new"]
        if self.kind != "number" or not len(self.uppers):
            return ["below", "above"][: self.size]
        lows = [self.low, *self.uppers[:-1]]
        inner = [f"{low:.6g}" if low == up else f"{low:.6g} to {up:.6g}" for low, up in zip(lows, self.uppers, strict=True)]
        return ["below", *inner, "above"]


@dataclass(frozen=True, slots=True, eq=False)
class ColumnProfile:
    """The counts of one column.

    Attributes:
        name, type: of the column; the type as Polars names it.
        cells: what its values are counted in.
        counts: (cells.size,), whole numbers.
        rows: all of them.
        nulls: rows without a value, NaN among them.
        infinite: rows with an infinite value; they are counted below or above as well.
        least, largest: of the finite values; NaN without one, and for what is no number.
    """

    name: str
    type: str
    cells: Cells
    counts: _Ints
    rows: int
    nulls: int = 0
    infinite: int = 0
    least: float = float("nan")
    largest: float = float("nan")

    @property
    def n(self) -> int:
        """Rows with a value."""
        return self.rows - self.nulls

    def __add__(self, other: ColumnProfile) -> ColumnProfile:
        if self.type != other.type:
            raise Refused(
                f"The profiles of {self.name} do not add up: one is of {self.type}, the other of {other.type}. Cast both windows to"
                " one type before they are profiled."
            )
        if self.cells != other.cells:
            raise Refused(
                f"The profiles of {self.name} do not add up: one counts in {self.cells.size} cells, the other in"
                f" {other.cells.size} cells of its own. Profile both with the cells of one: like=profile."
            )
        ends = np.array([[self.least, other.least], [self.largest, other.largest]])
        least, largest = np.fmin.reduce(ends[0]), np.fmax.reduce(ends[1])
        return ColumnProfile(
            self.name, self.type, self.cells, self.counts + other.counts, self.rows + other.rows,
            self.nulls + other.nulls, self.infinite + other.infinite, float(least), float(largest),
        )  # fmt: skip

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ColumnProfile) and self._facts() == other._facts() and self.cells == other.cells

    def __hash__(self) -> int:
        return hash((self.name, self.rows, self.nulls))

    def _facts(self) -> tuple[object, ...]:
        ends = tuple(None if np.isnan(end) else end for end in (self.least, self.largest))
        return (self.name, self.type, self.rows, self.nulls, self.infinite, *ends, *self.counts.tolist())


@dataclass(frozen=True, slots=True)
class Profile:
    """What a window of rows looks like: `Profile.of(frame)`, `a + b`, `to_frame()`.

    Attributes:
        rows: of the window.
        columns: name -> its counts, in the order of the frame.
    """

    rows: int
    columns: Mapping[str, ColumnProfile]

    @classmethod
    def of(cls, source: Source, like: Profile | None = None, columns: Sequence[str] | None = None) -> Profile:
        """The profile of a frame, or of a Parquet file.

        Args:
            source: a frame, or the path of a Parquet file, which is read column by column and never whole.
            like: count in the cells of this profile, so that the two add up and can be compared; None makes cells of the
                rows themselves. A column whose type changed in kind (a number that is now a text) gets cells of its own.
            columns: which; None: all of the source but days and times, whose passing is no drift.

        Raises:
            Refused: a column is not there, or no file can be read.
        """
        if isinstance(source, pl.LazyFrame):
            source = source.select(pl.all() if columns is None else _asked(source, columns)).collect()
        window = opened(source)
        names, rows = columns_of(window, columns)
        cells = {} if like is None else {name: one.cells for name, one in like.columns.items()}

        def one(name: str) -> ColumnProfile:
            found = column_of(window, name)
            mine = cells.get(name)
            if mine is None or mine.kind != found.kind:
                mine = cells_of(found)
            return _profiled(name, found, mine, rows)

        if rows < _FEW:  # threads cost more than they save
            return cls(rows, {name: one(name) for name in names})
        with ThreadPoolExecutor(_THREADS) as pool:
            made = list(pool.map(one, names))
        return cls(rows, {column.name: column for column in made})

    def __add__(self, other: Profile) -> Profile:
        apart = sorted({*self.columns} ^ {*other.columns})
        if apart:
            raise Refused(f"Two profiles do not add up: {', '.join(apart)} is in one of them only. Choose columns= alike.")
        return Profile(self.rows + other.rows, {name: one + other.columns[name] for name, one in self.columns.items()})

    def to_frame(self) -> pl.DataFrame:
        """One row a column, as PROFILE says; `from_frame` gives the profile back."""
        rows = [_row(one) for one in self.columns.values()]
        frame = pl.DataFrame(rows, schema=PROFILE, orient="row")
        return frame.with_columns(pl.col("least", "largest").fill_nan(None))

    @classmethod
    def from_frame(cls, frame: pl.DataFrame) -> Profile:
        """The profile that `to_frame` gave."""
        made = [_read(row) for row in frame.iter_rows(named=True)]
        return cls(made[0].rows if made else 0, {one.name: one for one in made})


def pooled(name: str, sources: Sequence[pl.DataFrame | File]) -> list[ColumnProfile]:
    """One text column of several windows, counted in the values that are most frequent in all of them together.

    Cells that one window alone chooses favour it: what is most frequent there by chance is less so in any other.
    """
    columns = [column_of(source, name) for source in sources]
    together: dict[str, int] = {}
    for column in columns:
        for value, rows in column.counts.items() if isinstance(column, Words) else ():
            together[value] = together.get(value, 0) + rows
    cells = cells_of(Words(columns[0].type, together))
    return [_profiled(name, one, cells, columns_of(source, [])[1]) for one, source in zip(columns, sources, strict=True)]


def _asked(source: pl.LazyFrame, columns: Sequence[str]) -> list[str]:
    """The columns asked for that are there; `columns_of` refuses the others."""
    return [name for name in source.collect_schema().names() if name in columns]


def cells_of(column: Numbers | Words | Counted) -> Cells:
    """Cells that hold about equal shares of a column's values."""
    if isinstance(column, Numbers):
        return _number_cells(column.whole())
    if isinstance(column, Words):
        counts = sorted(column.counts.items(), key=lambda item: (-item[1], item[0]))
        names = [name for name, _ in counts]
        known = tuple(sorted(names)) if len(names) <= KNOWN else None
        return Cells("category", categories=tuple(names[:CATEGORIES]), known=known)
    return Cells("other")


def _number_cells(values: _Floats) -> Cells:
    """Cut at quantiles that are values of the column; a value of its own cell where few are distinct."""
    values = np.sort(values[np.isfinite(values)])
    if not len(values):
        return Cells("number")
    at = np.ceil(np.arange(1, NUMBER_CELLS + 1) / NUMBER_CELLS * len(values)).astype(np.int64) - 1
    uppers = np.unique(values[at])
    few = _distinct(values, NUMBER_CELLS)
    return Cells("number", low=float(values[0]), uppers=uppers if few is None else few)


def _distinct(values: _Floats, most: int) -> _Floats | None:
    """The distinct ones of sorted values; None where there are more than `most`."""
    found = np.flatnonzero(values[1:] != values[:-1])
    return None if len(found) >= most else np.append(values[found], values[-1])


def _profiled(name: str, column: Numbers | Words | Counted, cells: Cells, rows: int) -> ColumnProfile:
    got = count(column, cells.low, cells.uppers, cells.categories, cells.known)
    return ColumnProfile(name, column.type, cells, got.counts, rows, got.nulls, got.infinite, got.least, got.largest)


def _row(one: ColumnProfile) -> tuple[Any, ...]:
    cells = one.cells
    known = None if cells.known is None else list(cells.known)
    return (
        one.name, cells.kind, one.type, one.rows, one.nulls, one.infinite, one.least, one.largest, cells.low,
        cells.uppers.tolist(), list(cells.categories), known, one.counts.tolist(),
    )  # fmt: skip


def _read(row: Mapping[str, Any]) -> ColumnProfile:
    known = None if row["known"] is None else tuple(row["known"])
    cells = Cells(row["kind"], row["low"], np.array(row["uppers"], np.float64), tuple(row["categories"]), known)
    ends = [float("nan") if row[end] is None else row[end] for end in ("least", "largest")]
    counts = np.array(row["counts"], np.int64)
    return ColumnProfile(row["column"], row["type"], cells, counts, row["rows"], row["nulls"], row["infinite"], *ends)
