"""The canonical encoding: values of a column as 64-bit words that do not depend on chunks, Polars or the machine.

Owns step 1 of the algorithm that `content` states, over Arrow's buffers and without copying them. Hashing stays out.
"""

from __future__ import annotations

import hashlib
import json
import math
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lightkeeper.errors import TypeRefused
from lightkeeper.measure.buffers import Found, Nulls, Part, Scratch, Words, as_pairs, nulls_of, unpacked, values_of
from lightkeeper.measure.strings import Strings

__all__ = ["Encoded", "encode", "nested_bytes", "type_name"]

_DECIMAL_DIGITS = 38

_NUMBERS: dict[type[pl.DataType], tuple[str, type[np.generic]]] = {
    pl.Int8: ("int8", np.int8),
    pl.Int16: ("int16", np.int16),
    pl.Int32: ("int32", np.int32),
    pl.Int64: ("int64", np.int64),
    pl.UInt8: ("uint8", np.uint8),
    pl.UInt16: ("uint16", np.uint16),
    pl.UInt32: ("uint32", np.uint32),
    pl.UInt64: ("uint64", np.uint64),
    pl.Float32: ("float32", np.float32),
    pl.Float64: ("float64", np.float64),
    pl.Date: ("date", np.int32),
    pl.Datetime: ("datetime", np.int64),
}
_OTHERS: dict[type[pl.DataType], str] = {pl.Boolean: "bool", pl.String: "string", pl.Binary: "binary"}


def type_name(dtype: pl.DataType, column: str = "") -> str:
    """The canonical name of a type.

    Such as `int64`, `datetime[us]`, `datetime[us,UTC]`, `decimal(10,2)`, `list<string>`, `struct<["a","int64"]>`.

    Raises TypeRefused where there is none: cast such a column to a type that a Delta table keeps.
    """
    if isinstance(dtype, pl.Datetime) and dtype.time_unit == "us":
        return "datetime[us]" if dtype.time_zone is None else f"datetime[us,{dtype.time_zone}]"
    if isinstance(dtype, pl.Decimal):
        return f"decimal({dtype.precision or _DECIMAL_DIGITS},{dtype.scale})"
    if isinstance(dtype, pl.List):
        return f"list<{type_name(_instance(dtype.inner), column)}>"
    if isinstance(dtype, pl.Struct):
        fields = ([f.name, type_name(_instance(f.dtype), column)] for f in dtype.fields)
        return f"struct<{','.join(json.dumps(f, separators=(',', ':')) for f in fields)}>"
    base = dtype.base_type()
    if base in _OTHERS:
        return _OTHERS[base]
    if base in _NUMBERS and base is not pl.Datetime:
        return _NUMBERS[base][0]
    raise TypeRefused(
        f"Column {column!r} has the type {dtype}, which has no canonical encoding. Cast it to an integer, float, "
        "boolean, string, binary, date, decimal or datetime in microseconds, or to a list or struct of these."
    )


def _instance(dtype: Any) -> pl.DataType:
    """A type as an instance; Polars lets inner types be classes."""
    instance: pl.DataType = dtype() if isinstance(dtype, type) else dtype
    return instance


@dataclass(frozen=True, slots=True)
class Encoded:
    """One chunk of a column, ready to give the words of any of its rows.

    Attributes:
        words: the words of rows a..b, numbered from a. Rows that have no word k are left out or have 0 there. What stands
            at nulls is arbitrary in parts of all rows; other parts leave nulls out.
        nulls: which of the rows a..b are null, counted from a; None for none.
    """

    words: Callable[[int, int, Scratch], Found]
    nulls: Nulls


def encode(chunk: pl.Series) -> Encoded:
    """The words of one chunk, whose type `type_name` knows."""
    if chunk.dtype.is_nested():
        known = chunk.is_not_null().to_numpy()
        return Encoded(_of_pairs(_digests(chunk)), lambda a, b: np.flatnonzero(~known[a:b]))
    array = chunk.to_arrow(compat_level=pl.CompatLevel.newest())
    nulls = nulls_of(array)
    if isinstance(chunk.dtype, pl.Decimal):
        return Encoded(_of_pairs(values_of(array, np.uint64, 2)), nulls)
    if chunk.dtype in (pl.String, pl.Binary):
        return Encoded(Strings.of(chunk, array, nulls).words, nulls)
    load = _load(chunk.dtype, array)
    return Encoded(lambda a, b, scratch: iter([Part(0, load(a, b, scratch), None)]), nulls)


def _of_pairs(pairs: Words) -> Callable[[int, int, Scratch], Found]:
    return lambda a, b, _: (Part(k, pairs[a:b, k], None) for k in (0, 1))


def _load(dtype: pl.DataType, array: Any) -> Callable[[int, int, Scratch], Words]:
    """The one word of booleans and numbers."""
    if dtype == pl.Boolean:
        bits, first = np.frombuffer(array.buffers()[1], np.uint8), array.offset
        return lambda a, b, scratch: _integer_words(unpacked(bits, first + a, first + b), scratch)
    values = values_of(array, _NUMBERS[dtype.base_type()][1])
    as_words = _float_words if values.dtype.kind == "f" else _integer_words
    return lambda a, b, scratch: as_words(values[a:b], scratch)


def _integer_words(values: NDArray[Any], scratch: Scratch) -> Words:
    """Integers, sign-extended."""
    if values.itemsize == np.uint64().itemsize:
        return values.view(np.uint64)
    wide = scratch.signed("word", len(values))
    np.copyto(wide, values)
    return wide.view(np.uint64)


def _float_words(values: NDArray[Any], scratch: Scratch) -> Words:
    """The bits of floats as float64, with one zero and one NaN."""
    wide = scratch("word", len(values)).view(np.float64)
    np.add(values, 0.0, out=wide, dtype=np.float64)
    if np.isnan(np.maximum.reduce(wide)):
        wide[np.isnan(wide)] = np.nan
    return wide.view(np.uint64)


def _digests(values: pl.Series) -> Words:
    """The BLAKE2b digests of the encodings of nested values."""
    physical = values.to_physical()
    encoded = (nested_bytes(value, physical.dtype) for value in physical.to_list())
    return as_pairs(hashlib.blake2b(each, digest_size=16).digest() for each in encoded)


def nested_bytes(value: Any, dtype: Any) -> bytes:
    """The bytes of a list or struct, value by value (slow), given by its physical values and type.

    A null is the byte 0. Else the byte 1 and: integers, dates, datetimes, booleans and floats as their word (8 bytes),
    decimals as 16 bytes, strings and binary as their length (8 bytes) and their bytes, lists as their length (8 bytes)
    and their items, structs as their fields in the order of the type.
    """
    if value is None:
        return b"\0"
    if isinstance(dtype, pl.List):
        return b"\1" + struct.pack("<Q", len(value)) + b"".join(nested_bytes(item, dtype.inner) for item in value)
    if isinstance(dtype, pl.Struct):
        return b"\1" + b"".join(nested_bytes(value[field.name], field.dtype) for field in dtype.fields)
    if isinstance(value, str | bytes):
        raw = value.encode() if isinstance(value, str) else value
        return b"\1" + struct.pack("<Q", len(raw)) + raw
    if isinstance(value, float):
        return b"\1" + struct.pack("<d", math.nan if math.isnan(value) else value + 0.0)
    return b"\1" + int(value).to_bytes(16 if dtype == pl.Int128 else 8, "little", signed=dtype != pl.UInt64)
