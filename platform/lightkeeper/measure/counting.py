"""Values of one column read and counted, fast: from a frame in memory, or from a Parquet file column by column.

Owns which types are numbers, texts and neither, and the counting in given cells. Which cells, and what counts mean, stay out.

Numbers are sorted in blocks that fit the processor's cache, and the few cell edges are searched in each sorted block, instead
of searching the cell of every value. A block is sorted as single-precision numbers, at twice the speed, as long as none of them
equals an edge: rounding keeps their order, so the counts are the same. A Parquet file's texts stay codes of its dictionary.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

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


def _count_numbers(column: Numbers, low: float, uppers: _Floats) -> Counts:
    edges = np.append(uppers, low)
    reached = np.zeros(len(edges), np.int64)  # values up to each upper edge, and those below the least
    valid = negative = positive = missing = 0
    ends, tries = [], _TRIES
    for values in _blocks(column.parts):
        if tries:
            found = _single(values, edges)
            if found is not None:
                reached, valid = reached + found, valid + len(values)
                ends += [float(values.min()), float(values.max())]
                continue
            tries -= 1
        block = np.array(values, np.float64)
        block.sort()  # NaN comes last
        known = int(block.searchsorted(np.nan))
        missing += len(block) - known
        block = block[:known]
        first, last = int(block.searchsorted(-np.inf, "right")), int(block.searchsorted(np.inf))
        negative, positive, valid = negative + first, positive + known - last, valid + known
        reached += np.append(block.searchsorted(uppers, "right"), block.searchsorted(low))
        if first < last:
            ends += [float(block[first]), float(block[last - 1])]
    upto, below = reached[:-1], int(reached[-1]) if len(uppers) else 0
    above = valid - (int(upto[-1]) if len(uppers) else 0)
    counts = np.array([below, *np.diff(upto, prepend=below), above], np.int64)
    least, largest = (min(ends), max(ends)) if ends else (float("nan"), float("nan"))
    return Counts(counts, column.nulls + missing, negative + positive, least, largest)


def _single(values: _Floats, edges: _Floats) -> _Ints | None:
    """Of each edge how many values lie below it, in single precision; None where that does not tell."""
    with np.errstate(over="ignore"):
        block, rounded = values.astype(np.float32), edges.astype(np.float32)
    block.sort()
    if not np.isfinite(block[[0, -1]]).all():  # NaN comes last
        return None
    found: _Ints = block.searchsorted(rounded, "right")
    return None if (block.take(found - 1, mode="clip") == rounded).any() else found


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
