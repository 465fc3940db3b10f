"""Values of one column read and counted, fast: from a frame in memory, or from a Parquet file column by column.

Owns which types are numbers, texts and neither, and the counting in given cells. Which cells, and what counts mean, stay out.

Numbers are sorted in blocks that fit the processor's cache, and the few cell edges are searched in each sorted block, instead
of searching the cell of every value. A block is sorted as single-precision numbers, at twice the speed, as long as none of them
equals an edge: rounding keeps their order, so the counts are the same. A Parquet file's texts stay codes of its dictionary.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lightkeeper.errors import Refused
from lightkeeper.measure.reading import type_text

__all__ = ["Counted", "Counts", "File", "Numbers", "Words", "column_of", "columns_of", "count", "kind_of", "opened"]

_Floats = NDArray[np.float64]
_Ints = NDArray[np.int64]
_BLOCK = 32_768
_TRIES = 8  # blocks of a column that may hold an edge itself before its others are sorted in full precision at once
_WIDE = (pl.Int128, pl.UInt128)  # NumPy has none of these


@dataclass(frozen=True, slots=True)
class Numbers:
    """A column of numbers: its values in parts, of any numeric type; NaN is null."""

    type: str
    parts: Sequence[NDArray[Any]] = field(repr=False)
    nulls: int = 0
    kind: str = "number"

    def whole(self) -> _Floats:
        """All values but nulls in one array."""
        values = np.concatenate([np.asarray(part, np.float64) for part in self.parts]) if self.parts else np.zeros(0)
        found: _Floats = values[~np.isnan(values)]
        return found


@dataclass(frozen=True, slots=True)
class Words:
    """A column of texts, or of yes and no: each distinct value with its rows."""

    type: str
    counts: Mapping[str, int] = field(repr=False)
    nulls: int = 0
    kind: str = "category"


@dataclass(frozen=True, slots=True)
class File:
    """A Parquet file whose footer was read: `opened` gives it."""

    path: str | Path
    footer: Any = field(repr=False)
    types: Mapping[str, pl.DataType]


@dataclass(frozen=True, slots=True)
class Counted:
    """A column of another type: only its nulls are known."""

    type: str
    nulls: int = 0
    kind: str = "other"


@dataclass(frozen=True, slots=True)
class Counts:
    """What `count` found: see ColumnProfile."""

    counts: _Ints
    nulls: int
    infinite: int = 0
    least: float = float("nan")
    largest: float = float("nan")


def opened(source: pl.DataFrame | File | str | Path) -> pl.DataFrame | File:
    """The source, its footer read where it is the path of a Parquet file. Raises Refused where no such file can be read."""
    if isinstance(source, pl.DataFrame | File):
        return source
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(source) as file:
            return File(source, file.metadata, dict(pl.DataFrame(file.schema_arrow.empty_table()).schema))
    except (OSError, pa.ArrowInvalid) as problem:
        raise Refused(f"{source} cannot be read as a Parquet file: {problem}. Give a frame, or the path of one.") from problem


def columns_of(source: pl.DataFrame | File, columns: Sequence[str] | None) -> tuple[list[str], int]:
    """The columns to profile and the number of rows. Raises Refused for one that is not there."""
    if isinstance(source, pl.DataFrame):
        types, rows = dict(source.schema), source.height
    else:
        types, rows = dict(source.types), source.footer.num_rows
    if columns is None:
        return [name for name, dtype in types.items() if not dtype.is_temporal()], rows
    missing = [name for name in columns if name not in types]
    if missing:
        raise Refused(f"There is no column {', '.join(missing)} to profile; the columns are {', '.join(types)}.")
    return list(columns), rows


def kind_of(dtype: pl.DataType) -> str:
    """How a type is counted: number, category (texts, yes and no), or other, of which only nulls are."""
    if dtype.is_numeric():
        return "number"
    return "category" if dtype == pl.Boolean or isinstance(dtype, pl.String | pl.Categorical | pl.Enum) else "other"


def column_of(source: pl.DataFrame | File, name: str) -> Numbers | Words | Counted:
    """One column of a frame or of a Parquet file."""
    return _of_series(source[name]) if isinstance(source, pl.DataFrame) else _of_file(source, name)


def count(
    column: Numbers | Words | Counted, low: float, uppers: _Floats, categories: Sequence[str], known: Sequence[str] | None
) -> Counts:
    """The column counted in the cells that `profile.Cells` describes."""
    if isinstance(column, Numbers):
        return _count_numbers(column, low, uppers)
    if isinstance(column, Words):
        return _count_words(column, categories, known)
    return Counts(np.zeros(0, np.int64), column.nulls)


class _Tally(NamedTuple):
    """What a block of numbers adds: values up to each edge, values at all, infinite ones, the ends of the finite ones."""

    reached: _Ints
    valid: int
    infinite: int = 0
    ends: tuple[float, ...] = ()


def _count_numbers(column: Numbers, low: float, uppers: _Floats) -> Counts:
    edges, tries, rows, found = np.append(uppers, math.nextafter(low, -math.inf)), _TRIES, 0, list[_Tally]()
    for block in _blocks(column.parts):
        tally = _single(block, edges) if tries else None
        if tally is None:
            tally, tries = _double(block, edges), max(tries - 1, 0)
        found.append(tally)
        rows += len(block)
    reached = sum((one.reached for one in found), np.zeros(len(edges), np.int64))
    valid, infinite = (sum(numbers) for numbers in ([one.valid for one in found], [one.infinite for one in found]))
    below, upto = int(reached[-1]) if len(uppers) else 0, reached[:-1]
    counts = np.diff(np.concatenate([[0, below], upto, [valid]]))
    ends = [end for one in found for end in one.ends] or [float("nan")]
    return Counts(counts, column.nulls + rows - valid, infinite, min(ends), max(ends))


def _single(block: _Floats, edges: _Floats) -> _Tally | None:
    """In single precision; None where that does not tell, as an edge itself, NaN or an infinite value is there."""
    with np.errstate(over="ignore"):
        ranked, rounded = block.astype(np.float32), edges.astype(np.float32)
    ranked.sort()
    if not np.isfinite(ranked[[0, -1]]).all():  # NaN comes last
        return None
    reached: _Ints = ranked.searchsorted(rounded, "right")
    if (ranked.take(reached - 1, mode="clip") == rounded).any():
        return None
    return _Tally(reached, len(block), ends=(float(block.min()), float(block.max())))


def _double(block: _Floats, edges: _Floats) -> _Tally:
    ranked = np.sort(block)  # NaN comes last
    ranked = ranked[: int(ranked.searchsorted(np.nan))]
    first, last = int(ranked.searchsorted(-np.inf, "right")), int(ranked.searchsorted(np.inf))
    ends = (float(ranked[first]), float(ranked[last - 1])) if first < last else ()
    return _Tally(ranked.searchsorted(edges, "right"), len(ranked), first + len(ranked) - last, ends)


def _blocks(parts: Sequence[NDArray[Any]]) -> Iterator[_Floats]:
    """The values a block at a time."""
    for part in parts:
        for start in range(0, len(part), _BLOCK):
            yield np.asarray(part[start : start + _BLOCK], np.float64)


def _count_words(column: Words, categories: Sequence[str], known: Sequence[str] | None) -> Counts:
    places = {name: place for place, name in enumerate(categories)}
    listed = None if known is None else frozenset(known)
    counts = np.zeros(len(categories) + 2, np.int64)
    for value, rows in column.counts.items():
        new = listed is not None and value not in listed
        counts[places.get(value, -1 if new else -2)] += rows
    return Counts(counts, column.nulls)


# -- from memory


def _of_series(series: pl.Series) -> Numbers | Words | Counted:
    kind, dtype = type_text(series.dtype), series.dtype
    nulls = series.null_count()
    if kind_of(dtype) == "number":
        values = series.drop_nulls() if nulls else series
        plain = (dtype.is_integer() or dtype.is_float()) and dtype not in _WIDE
        values = values if plain else values.cast(pl.Float64)
        return Numbers(kind, [chunk.to_numpy() for chunk in values.get_chunks()], nulls)
    if kind_of(dtype) == "category":
        found = (series.drop_nulls() if nulls else series).alias("value").value_counts()  # no name of a column is in the way
        names = found.to_series(0).cast(pl.String).to_list()
        return Words(kind, dict(zip(names, found.to_series(1).to_list(), strict=True)), nulls)
    return Counted(kind, nulls)


# -- from a Parquet file


def _of_file(source: File, name: str) -> Numbers | Words | Counted:
    import pyarrow as pa
    import pyarrow.parquet as pq

    kind = source.types[name]
    texts = isinstance(kind, pl.String | pl.Categorical | pl.Enum)
    with pq.ParquetFile(source.path, metadata=source.footer, read_dictionary=[name] if texts else None) as file:
        column = file.read([name], use_threads=False).column(0)
    if texts and pa.types.is_dictionary(column.type):
        return _of_codes(column, type_text(kind))
    dtype = column.type
    if (pa.types.is_integer(dtype) or pa.types.is_floating(dtype)) and column.null_count == 0:
        chunks = [chunk.to_numpy(zero_copy_only=True) for chunk in column.chunks]
        return Numbers(type_text(pl.Series(column.slice(0, 0)).dtype), chunks)
    return _of_series(pl.Series(column))


def _of_codes(column: Any, kind: str) -> Words:
    """Texts by the codes of their dictionaries, of which each chunk has one."""
    counts: dict[str, int] = {}
    for chunk in column.chunks:
        codes = chunk.indices.drop_null() if chunk.null_count else chunk.indices
        rows = np.bincount(codes.to_numpy(), minlength=len(chunk.dictionary))
        for value, n in zip(chunk.dictionary.to_pylist(), rows.tolist(), strict=True):
            if n:
                counts[value] = counts.get(value, 0) + n
    return Words(kind, counts, column.null_count)
