"""How rows become files: batches as they come, or a month of the part column; and which files a replacement touches."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

import polars as pl

from lightkeeper.errors import Refused
from lightkeeper.lake.gateway import Live
from lightkeeper.lake.schema import PolarsSchema, conform
from lightkeeper.lake.storage import Store
from lightkeeper.values import Input, Stamp

__all__ = ["Frame", "Write", "frames", "rows_of", "touched"]

Frame = pl.LazyFrame | pl.DataFrame
_BATCH = 500_000  # rows of a data file at most
_FILES_A_MONTH = 8  # files of one month before the small ones become one
_SMALL = _BATCH // 2


@dataclass(frozen=True, slots=True)
class Write:
    """One request to write: what becomes of which rows, and what is known of where they come from."""

    table: str
    frame: Frame
    mode: str  # overwrite, replace, append, migrate
    inputs: tuple[Input, ...]
    stamp: Stamp
    by: str | None = None
    replace: tuple[date, ...] = ()
    alone: bool = False  # right only on top of the version that it was prepared from


def touched(wanted: Write, live: Sequence[Live]) -> list[Live]:
    """The files that the write takes out: all, none, or those of the replaced days and crowded months' small ones."""
    if wanted.mode == "append":
        return []
    if wanted.mode != "replace":
        return list(live)
    found = [one for one in live if one.touches(wanted.replace)]
    for month in {(day.year, day.month) for day in wanted.replace}:
        there = [one for one in live if _month(one) == month]
        if len(there) >= _FILES_A_MONTH:
            found += [one for one in there if one.rows < _SMALL and one not in found]
    return found


def _month(one: Live) -> tuple[int, int] | None:
    if one.first is None or one.last is None:
        return None
    first, last = (one.first.year, one.first.month), (one.last.year, one.last.month)
    return first if first == last else None


def rows_of(store: Store, table: str, files: Sequence[Live], schema: PolarsSchema, where: pl.Expr | None = None) -> pl.DataFrame:
    """The rows of some files of a table, in its schema, those for which `where` holds; a column that a file lacks is null."""
    paths = [f"{store.uri(table)}/{one.path}" for one in files]
    options = dict(store.options) or None
    found = pl.scan_parquet(
        paths,
        schema=dict(schema),
        storage_options=options,
        missing_columns="insert",
        extra_columns="ignore",
        glob=False,
    )
    return (found if where is None else found.filter(where)).collect()


def frames(wanted: Write, schema: PolarsSchema, kept: pl.DataFrame | None) -> Iterable[pl.DataFrame]:
    """The frames that become one file each: batches as they come, or a month of the part column, sorted by it.

    Args:
        wanted: the request.
        schema: the stored schema.
        kept: rows of the files that go; those of other days than the replaced ones stay.
    """
    if wanted.by is None:
        yield from _batches(wanted.frame, schema)
        return
    frame = conform(wanted.frame.lazy().collect(), schema)
    _assert_parts(wanted, frame)
    if kept is not None:
        goes = pl.col(wanted.by).is_in(wanted.replace).fill_null(value=False)
        frame = pl.concat([kept.filter(~goes).select(frame.columns), frame])
    if not frame[wanted.by].is_sorted():
        frame = frame.sort(wanted.by, maintain_order=True)
    for month in _months(frame, wanted.by):
        yield from (month.slice(start, _BATCH) for start in range(0, month.height, _BATCH))


def _months(frame: pl.DataFrame, by: str) -> Iterable[pl.DataFrame]:
    """Slices of a frame sorted by `by`, a month each; rows without a day come first, on their own."""
    offset = 0
    for length in frame[by].dt.month_start().rle().struct.field("len"):
        yield frame.slice(offset, length)
        offset += length


def _batches(frame: Frame, schema: PolarsSchema) -> Iterable[pl.DataFrame]:
    if isinstance(frame, pl.DataFrame):
        parts: Iterable[pl.DataFrame] = (frame.slice(i, _BATCH) for i in range(0, frame.height, _BATCH))
    else:
        parts = frame.collect_batches(chunk_size=_BATCH, maintain_order=True)
    yield from (conform(part, schema) for part in parts if part.height)


def _assert_parts(wanted: Write, frame: pl.DataFrame) -> None:
    by = str(wanted.by)
    if not isinstance(frame.schema.get(by), pl.Date):
        raise Refused(f"{wanted.table}: by={by!r} must be a Date column, it is {frame.schema.get(by, 'not there')}.")
    if wanted.mode != "replace":
        return
    others = frame.filter(~pl.col(by).is_in(wanted.replace) | pl.col(by).is_null())
    if others.height:
        raise Refused(
            f"{wanted.table}: {others.height} rows are not of the replaced days, the first is of {others[by][0]}. "
            "Nothing was written."
        )
