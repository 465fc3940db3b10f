"""Frames made into durable Parquet files: encoded, hashed, with the statistics and the content sums of their rows.

It commits nothing: a file that no commit names is no part of a table.
"""

from __future__ import annotations

import json
import math
import uuid
from collections import deque
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import polars as pl

from lightkeeper.lake.storage import Store
from lightkeeper.measure.content import Sums, sums

__all__ = ["NOTHING", "Written", "write_file", "write_files"]

NOTHING = Sums(0, (0, 0))  # the sums of no rows, or of rows that nobody sums
_RANGED = (pl.Int8, pl.Int16, pl.Int32, pl.Int64, pl.Float32, pl.Float64, pl.Date, pl.Datetime)
_EPOCH = date(1970, 1, 1)
_DAYS = ((date.min - _EPOCH).days, (date.max - _EPOCH).days)  # what a calendar date in the log can say
_DAY = 86_400_000_000  # microseconds
_AT_ONCE = 3  # files in work: two that are encoded and hashed, one that waits for the disk
_ROW_GROUP = 125_000  # small enough that a reader keeps all its threads busy
_IN_THE_FILE = {"min": False, "max": False, "null_count": True}  # ranges stand in the log, where NaN is thought of


@dataclass(frozen=True, slots=True)
class Written:
    """A data file that is durable and that no commit names yet."""

    path: str
    bytes: int
    rows: int
    sha256: str
    statistics: str
    sums: Sums

    def record(self) -> dict[str, object]:
        """What the commit says of the file."""
        return {"path": self.path, "bytes": self.bytes, "rows": self.rows, "sha256": self.sha256}


def write_file(store: Store, table: str, frame: pl.DataFrame, prefix: str = "part", *, summed: bool = True) -> Written:
    """Encode a frame as one Parquet file, hash it, make it durable. `summed`: its rows are summed. Raises StorageFailed."""
    name = f"{prefix}-{uuid.uuid4().hex}.parquet"
    stored = store.create(f"{table}/{name}", lambda target: _encode(frame, target))
    return Written(name, stored.bytes, frame.height, stored.sha256, _statistics(frame), sums(frame) if summed else NOTHING)


def _encode(frame: pl.DataFrame, target: Path | BytesIO) -> None:
    """One Parquet file. Raises OSError."""
    try:
        frame.write_parquet(target, compression="zstd", compression_level=1, row_group_size=_ROW_GROUP, statistics=_IN_THE_FILE)
    except pl.exceptions.PolarsError as error:
        raise OSError(str(error)) from error


def write_files(store: Store, table: str, frames: Iterable[pl.DataFrame]) -> list[Written]:
    """`write_file` for each frame, a few at a time; when one fails, none is left behind."""
    written: list[Written] = []
    pending: deque[Future[Written]] = deque()
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        try:
            for frame in frames:
                if len(pending) >= _AT_ONCE:
                    written.append(pending.popleft().result())
                pending.append(pool.submit(write_file, store, table, frame))
            while pending:
                written.append(pending.popleft().result())
        except BaseException:
            written += [one.result() for one in pending if one.exception() is None]
            store.discard([f"{table}/{one.path}" for one in written])
            raise
    return written


def _statistics(frame: pl.DataFrame) -> str:
    """Delta statistics: rows, nulls, and the ranges of columns of numbers, dates and times. Nested columns get none.

    Where a column holds NaN its range is not stated: readers that count NaN as the largest number would miss rows by it.
    """
    ranges = {c: _stated(frame.schema[c], low, high) for c, (low, high) in _ranges(frame).items()}
    stated = {column: pair for column, pair in ranges.items() if pair is not None}
    text = {
        "numRecords": frame.height,
        "minValues": {column: low for column, (low, _) in stated.items()},
        "maxValues": {column: high for column, (_, high) in stated.items()},
        "nullCount": {c: frame[c].null_count() for c, dtype in frame.schema.items() if not dtype.is_nested()},
    }
    return json.dumps(text, separators=(",", ":"))


def _ranges(frame: pl.DataFrame) -> dict[str, tuple[Any, Any]]:
    """Least and largest value of each column with a range, days and microseconds since 1970; NaN counts as the largest."""
    columns = [c for c, dtype in frame.schema.items() if isinstance(dtype, _RANGED)]
    if not columns:
        return {}
    found = frame.lazy().select(
        [pl.col(c).to_physical().min().alias(f"min {c}") for c in columns]
        + [_largest(c, frame.schema[c]).alias(f"max {c}") for c in columns]
    )
    row = found.collect().row(0)
    return dict(zip(columns, zip(row[: len(columns)], row[len(columns) :], strict=True), strict=True))


def _largest(column: str, dtype: pl.DataType) -> pl.Expr:
    return pl.col(column).nan_max() if dtype.is_float() else pl.col(column).to_physical().max()


def _stated(dtype: pl.DataType, low: Any, high: Any) -> tuple[Any, Any] | None:
    """A range as JSON can say it; None where it cannot: no value, NaN, infinite, a day outside the years 1 to 9999."""
    if low is None or _is_nan(high):
        return None
    if isinstance(dtype, pl.Date | pl.Datetime):
        first, last = (days if isinstance(dtype, pl.Date) else days * _DAY for days in _DAYS)
        return (_iso(dtype, low), _iso(dtype, high)) if first <= low and high <= last else None
    if dtype.is_float():
        return None if math.isinf(low) or math.isinf(high) else (low or -0.0, high or 0.0)
    return low, high


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _iso(dtype: pl.DataType, since: int) -> str:
    """A date, or a time to the microsecond (those with a zone in UTC), from days or microseconds since 1970."""
    if isinstance(dtype, pl.Datetime):
        moment = datetime.combine(_EPOCH, time()) + timedelta(microseconds=since)
        return moment.isoformat(timespec="microseconds") + ("Z" if dtype.time_zone else "")
    return (_EPOCH + timedelta(days=since)).isoformat()
