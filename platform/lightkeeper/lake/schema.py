"""What Delta can hold: types mapped or refused by name, and a frame compared with its table before each write."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import polars as pl

from lightkeeper.errors import SchemaChanged, TypeRefused

if TYPE_CHECKING:
    from deltalake import Schema as DeltaSchema

__all__ = ["PolarsSchema", "conform", "delta_schema", "frame_schema", "plan", "stored_type"]

PolarsSchema = Mapping[str, pl.DataType]

_SAME = (
    pl.Int8, pl.Int16, pl.Int32, pl.Int64, pl.Float32, pl.Float64, pl.Boolean, pl.String, pl.Binary, pl.Date,
    pl.Decimal,
)  # fmt: skip
_MAPPED: dict[type[pl.DataType], pl.DataType] = {
    pl.UInt8: pl.Int16(), pl.UInt16: pl.Int32(), pl.UInt32: pl.Int64(), pl.UInt64: pl.Int64(),
    pl.Categorical: pl.String(), pl.Enum: pl.String(),
}  # fmt: skip
_MEND = {
    pl.Time: "store seconds since midnight: (pl.col(c).cast(pl.Int64) // 1_000_000_000)",
    pl.Duration: "store a number with its unit in the name: pl.col(c).dt.total_seconds()",
    pl.Null: "give the all-null column a type: pl.col(c).cast(pl.String)",
    pl.Array: "store a list: pl.col(c).arr.to_list()",
    pl.Object: "store text or bytes: a Python object has no columnar form",
    pl.Int128: "cast it to Int64, or to Decimal(38, 0)",
    pl.UInt128: "cast it to Int64, or to Decimal(38, 0)",
    pl.Float16: "cast it to Float32",
    pl.Struct: "give it a field: a struct without fields cannot be stored",
}
_MILLISECONDS = (2**63 - 1) // 1000  # as many as microseconds can count
_WIDER: dict[type[pl.DataType], tuple[type[pl.DataType], ...]] = {
    pl.Int8: (pl.Int16, pl.Int32, pl.Int64, pl.Float32, pl.Float64),
    pl.Int16: (pl.Int32, pl.Int64, pl.Float32, pl.Float64),
    pl.Int32: (pl.Int64, pl.Float64),
    pl.Float32: (pl.Float64,),
}


def stored_type(name: str, dtype: pl.DataType) -> pl.DataType:
    """The type under which Delta gives the column back unchanged. Raises TypeRefused with what to do instead."""
    if isinstance(dtype, _SAME):
        return dtype
    if type(dtype) in _MAPPED:
        return _MAPPED[type(dtype)]
    if isinstance(dtype, pl.Datetime):
        return pl.Datetime("us", "UTC" if dtype.time_zone else None)
    if isinstance(dtype, pl.List):
        return pl.List(stored_type(name, _inner(dtype)))
    if isinstance(dtype, pl.Struct) and dtype.fields:
        _assert_apart(name, [field.name for field in dtype.fields])
        return pl.Struct({field: stored_type(f"{name}.{field}", inner) for field, inner in _fields(dtype)})
    mend = _MEND.get(type(dtype), "cast it to a type that Delta knows")
    raise TypeRefused(f"column {name!r} is {dtype}, which Delta spoils or cannot hold: {mend}.")


def _inner(dtype: pl.List) -> pl.DataType:
    return dtype.inner if isinstance(dtype.inner, pl.DataType) else dtype.inner()


def _fields(dtype: pl.Struct) -> list[tuple[str, pl.DataType]]:
    return [(f.name, f.dtype if isinstance(f.dtype, pl.DataType) else f.dtype()) for f in dtype.fields]


def _assert_apart(name: str, columns: Sequence[str]) -> None:
    """Raise SchemaChanged when a name is empty, or two differ in their case alone: Delta takes those for one."""
    if "" in columns:
        raise SchemaChanged(f"{name}: a column has no name: rename it.")
    times = Counter(column.lower() for column in columns)
    twice = [column for column in columns if times[column.lower()] > 1]
    if twice:
        raise SchemaChanged(f"{name}: {' and '.join(map(repr, twice))} differ in upper and lower case alone: rename one.")


def plan(name: str, frame: PolarsSchema, table: PolarsSchema | None) -> PolarsSchema:
    """The stored schema of `frame`, in the table's column order. Raises TypeRefused, SchemaChanged."""
    if not frame:
        raise SchemaChanged(f"{name}: the frame has no columns.")
    if table is None:
        _assert_apart(name, list(frame))
        return {column: stored_type(column, dtype) for column, dtype in frame.items()}
    wrong = [f"{c!r} is missing" for c in table if c not in frame] + [f"{c!r} is new" for c in frame if c not in table]
    wrong += [
        f"{c!r} is {dtype}, the table holds {table[c]}"
        for c, dtype in frame.items()
        if c in table and not _fits(c, dtype, table[c])
    ]
    if wrong:
        raise SchemaChanged(
            f"{name}: the frame does not fit the table: {'; '.join(wrong)}. Nothing was written. Mend the frame, "
            f"or change the table on purpose: lightkeeper table migrate {name} --help"
        )
    return dict(table)


def _fits(name: str, dtype: pl.DataType, target: pl.DataType) -> bool:
    if isinstance(dtype, pl.Null):
        return True
    stored = stored_type(name, dtype)
    return stored == target or type(target) in _WIDER.get(type(stored), ())


def conform(batch: pl.DataFrame, target: PolarsSchema) -> pl.DataFrame:
    """`batch` in the stored types and order. Raises TypeRefused, naming the column, when a value would be changed."""
    return pl.DataFrame({column: _conformed(batch[column], dtype) for column, dtype in target.items()})


def _conformed(values: pl.Series, target: pl.DataType) -> pl.Series:
    """A column in its stored type, every value the same."""
    if values.dtype == target:
        return values
    if _in_milliseconds(values.dtype) and (values.to_physical().abs() > _MILLISECONDS).any():
        raise TypeRefused(f"column {values.name!r} holds times beyond the range of {target}.")
    try:
        cast = values.cast(target, strict=True)
    except pl.exceptions.PolarsError as error:
        raise TypeRefused(f"column {values.name!r} does not fit {target}: {error}") from error
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise TypeRefused(f"column {values.name!r} holds values beyond {target}.") from error
    if _may_lose(values.dtype) and not cast.cast(values.dtype, strict=False).equals(values, null_equal=True):
        raise TypeRefused(
            f"column {values.name!r} ({values.dtype}) holds values that {target} cannot keep: nanoseconds, or numbers "
            "beyond its range. Change them on purpose; times: .dt.round('1us')."
        )
    return cast


def _in_milliseconds(dtype: pl.DataType) -> bool:
    return isinstance(dtype, pl.Datetime) and dtype.time_unit == "ms"


def _may_lose(dtype: pl.DataType, *, inside: bool = False) -> bool:
    """Whether a strict cast may change values in silence: times of another unit, or UInt64 inside lists and structs."""
    if isinstance(dtype, pl.Datetime):
        return dtype.time_unit != "us"
    if isinstance(dtype, pl.List):
        return _may_lose(_inner(dtype), inside=True)
    if isinstance(dtype, pl.Struct):
        return any(_may_lose(inner, inside=True) for _, inner in _fields(dtype))
    return inside and isinstance(dtype, pl.UInt64)


def delta_schema(schema: PolarsSchema) -> DeltaSchema:
    """The Delta schema of a stored Polars schema; all columns nullable."""
    return _delta_schema(tuple(schema.items()))


@lru_cache(maxsize=128)
def _delta_schema(columns: tuple[tuple[str, pl.DataType], ...]) -> DeltaSchema:
    from deltalake import Schema

    return Schema.from_arrow(pl.DataFrame(schema=dict(columns)).to_arrow().schema)


def frame_schema(schema: DeltaSchema) -> PolarsSchema:
    """The Polars schema of a Delta table."""
    import pyarrow as pa

    empty = pl.from_arrow(pa.schema(schema.to_arrow()).empty_table())
    assert isinstance(empty, pl.DataFrame)  # noqa: S101 - a table is a frame
    return dict(empty.schema)
