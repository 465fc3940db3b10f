"""The content hash: an oracle written from its description, values that must never change, and what it must see."""

import hashlib
import json
import math
import struct
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lightkeeper.errors import TypeRefused
from lightkeeper.measure import content
from lightkeeper.measure.content import Sums, digest, sums
from lightkeeper.measure.words import type_name

BITS = 2**64 - 1
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# --- the oracle: the docstring of `content` in plain Python, a value at a time


def words_of(value: Any, dtype: Any) -> list[int]:
    if isinstance(dtype, pl.List | pl.Struct):
        return list(struct.unpack("<QQ", hashlib.blake2b(nested(value, dtype), digest_size=16).digest()))
    if isinstance(value, str | bytes):
        return string_words(value.encode() if isinstance(value, str) else value)
    number = number_of(value, dtype)
    return [number & BITS, (number >> 64) & BITS] if isinstance(dtype, pl.Decimal) else [number & BITS]


def number_of(value: Any, dtype: Any) -> int:
    if isinstance(value, float):
        value = math.nan if math.isnan(value) else value + 0.0
        return int.from_bytes(struct.pack("<d", value), "little")
    if isinstance(value, Decimal):
        return int(value.scaleb(dtype.scale, None))
    if isinstance(value, datetime):
        return (value.replace(tzinfo=value.tzinfo or UTC) - EPOCH) // timedelta(microseconds=1)
    if isinstance(value, date):
        return (value - EPOCH.date()).days
    return int(value)


def string_words(raw: bytes) -> list[int]:
    n = len(raw)
    first = n + 2**32 * int.from_bytes(raw[:4], "little")
    if n > 252:
        return [first, *struct.unpack("<QQ", hashlib.blake2b(raw, digest_size=16).digest())]
    second = raw[-8:] if n > 12 else raw[4:12]
    parts = [second] + [raw[8 * k - 12 : 8 * k - 4] for k in range(2, 40) if n > 8 * k - 4]
    return [first] + [int.from_bytes(part, "little") for part in parts]


def nested(value: Any, dtype: Any) -> bytes:
    if value is None:
        return b"\0"
    if isinstance(dtype, pl.List):
        return b"\1" + struct.pack("<Q", len(value)) + b"".join(nested(item, dtype.inner) for item in value)
    if isinstance(dtype, pl.Struct):
        return b"\1" + b"".join(nested(value[field.name], field.dtype) for field in dtype.fields)
    if isinstance(value, str | bytes):
        raw = value.encode() if isinstance(value, str) else value
        return b"\1" + struct.pack("<Q", len(raw)) + raw
    size = 16 if isinstance(dtype, pl.Decimal) else 8
    return b"\1" + (number_of(value, dtype) & (2 ** (8 * size) - 1)).to_bytes(size, "little")


def constant(*key: Any) -> int:
    text = json.dumps(["lk1", *key], separators=(",", ":"))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")


def mixed(word: int) -> int:
    h = word * 0x9E3779B97F4A7C15 & BITS
    return h ^ (h >> 32)


def finalized(z: int) -> int:
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & BITS
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB & BITS
    return z ^ (z >> 31)


def oracle(frame: pl.DataFrame) -> Sums:
    lanes = [0, 0]
    for row in frame.iter_rows(named=True):
        for lane in (0, 1):
            r = constant(lane)
            for name, dtype in frame.schema.items():
                kind = type_name(dtype)
                if row[name] is None:
                    r += constant(name, kind, lane, "null")
                    continue
                for k, word in enumerate(words_of(row[name], dtype)):
                    r += mixed(word) * (constant(name, kind, lane, k) | 1)
            lanes[lane] += finalized(r & BITS)
    return Sums(frame.height, (lanes[0] & BITS, lanes[1] & BITS))


# --- frames of every type

INTEGERS = [pl.Int8, pl.Int16, pl.Int32, pl.Int64, pl.UInt8, pl.UInt16, pl.UInt32, pl.UInt64]


def integers(dtype: Any) -> st.SearchStrategy[int]:
    bits = int(dtype.__name__.removeprefix("U").removeprefix("Int"))
    low = 0 if dtype.__name__.startswith("U") else -(2 ** (bits - 1))
    return st.integers(low, low + 2**bits - 1)


TEXTS = st.one_of(st.text(max_size=6), st.text("abé\0", min_size=3, max_size=90), st.text("x", min_size=250, max_size=260))
DATETIMES = st.datetimes(datetime(1, 1, 1), datetime(9999, 1, 1))  # noqa: DTZ001
DECIMALS = st.integers(-(10**20) + 1, 10**20 - 1).map(lambda n: Decimal(n).scaleb(-3))
SIMPLE: list[tuple[Any, st.SearchStrategy[Any]]] = [
    *((dtype(), integers(dtype)) for dtype in INTEGERS),
    (pl.Float64(), st.floats()),
    (pl.Float32(), st.floats(width=32)),
    (pl.Boolean(), st.booleans()),
    (pl.String(), TEXTS),
    (pl.Binary(), st.binary(max_size=300)),
    (pl.Date(), st.dates(date(1, 1, 1), date(9999, 1, 1))),
    (pl.Datetime("us"), DATETIMES),
    (pl.Datetime("us", "UTC"), DATETIMES.map(lambda moment: moment.replace(tzinfo=UTC))),
    (pl.Decimal(30, 3), DECIMALS),
]
PLAIN = [pair for pair in SIMPLE if not isinstance(pair[0], pl.Datetime) and pair[0] != pl.Float32]


def column() -> st.SearchStrategy[tuple[Any, st.SearchStrategy[Any]]]:
    lists = st.sampled_from(PLAIN).map(lambda p: (pl.List(p[0]), st.lists(st.none() | p[1], max_size=3)))
    structs = st.tuples(st.sampled_from(PLAIN), st.sampled_from(PLAIN)).map(
        lambda pair: (
            pl.Struct({"a": pair[0][0], "b": pair[1][0]}),
            st.fixed_dictionaries({"a": st.none() | pair[0][1], "b": st.none() | pair[1][1]}),
        )
    )
    return st.one_of(st.sampled_from(SIMPLE), st.sampled_from(SIMPLE), lists, structs)


@st.composite
def frames(draw: st.DrawFn) -> pl.DataFrame:
    rows = draw(st.integers(0, 12))
    names = draw(st.lists(st.text('abcé "', max_size=3), min_size=1, max_size=4, unique=True))
    series = []
    for name in names:
        dtype, values = draw(column())
        nullable = values if draw(st.booleans()) else st.none() | values
        series.append(pl.Series(name, draw(st.lists(nullable, min_size=rows, max_size=rows)), dtype))
    return pl.DataFrame(series)


@given(frames())
@settings(max_examples=300, deadline=None)
def test_an_implementation_written_from_the_description_gives_the_same_sums(frame: pl.DataFrame) -> None:
    assert sums(frame) == oracle(frame)


@given(frames(), st.data())
@settings(max_examples=150, deadline=None)
def test_neither_order_nor_slices_nor_chunks_matter(frame: pl.DataFrame, data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(frame.height)))
    names = data.draw(st.permutations(frame.columns))
    cut = data.draw(st.integers(0, frame.height))
    shuffled = frame.select(names)[order] if frame.height else frame.select(names)
    chunked = pl.concat([frame[cut:], frame[:cut]], rechunk=False)
    assert sums(frame) == sums(shuffled) == sums(chunked) == sums(frame[:cut]) + sums(frame[cut:])
    assert sums(frame) - sums(frame[cut:]) == sums(frame[:cut])
    assert digest(frame.schema, sums(frame)) == digest(shuffled.schema, sums(shuffled))


# --- values that pin the algorithm: a change of any needs a new name in ALGORITHM

GOLDEN: dict[str, tuple[Callable[[], pl.DataFrame], str]] = {
    "nothing": (pl.DataFrame, "7c48e00567c94366acaea78705d4113dbc804dad8990707182933ad9899601d2"),
    "no rows": (
        lambda: pl.DataFrame({"a": []}, schema={"a": pl.Int64}),
        "e0e22b6a14ffa158cf4e3a53fb6b5029567dacd1a1081d6b63ec9ae52cba2723",
    ),
    "integers": (
        lambda: pl.DataFrame({"a": [0, 1, -1, 2**63 - 1, None]}),
        "7743fda4a238838928db910e94bd1b1e6fbc7aa4da3ab8c9145c7465d1e72900",
    ),
    "narrow integers": (
        lambda: pl.DataFrame({"a": [0, 1, -1]}, schema={"a": pl.Int8}),
        "871a8070be7b5059d74970f6b129d7d277c30f1756903410f43dc32758a8f4fa",
    ),
    "floats": (
        lambda: pl.DataFrame({"a": [0.0, -0.0, 1.5, math.nan, math.inf, None]}),
        "62001875b944e441e01342130036b789388960ac47f6dfc68fd366ecfc6fe9a6",
    ),
    "strings": (
        lambda: pl.DataFrame({"é": ["", "abc", "a" * 12, "b" * 13, "c" * 252, "d" * 253, None]}),
        "8ee8c7f87644c255c50304b9a261254c1b7149c7163b76b0e1b37953cd2a9fc8",
    ),
    "binary": (
        lambda: pl.DataFrame({"a": [b"", b"\0", b"\0" * 20]}),
        "d70281de2016ef828a6ac239bff9b50a71fc6498911c5c841a8c69c391cee10e",
    ),
    "booleans": (
        lambda: pl.DataFrame({"a": [True, False, None]}),
        "a93bc74b91352f74a8818a1c6d0eee222a2d7e183c01abc62d3311ee53f807a2",
    ),
    "times": (
        lambda: pl.DataFrame({"a": [date(2010, 12, 1)], "b": [datetime(2010, 12, 1, 8, 26, tzinfo=UTC)]}),
        "e406d4ec6a676f6e697ed087580283b0e8e80c557aaae1d881e47a872b5a5e2f",
    ),
    "decimals": (
        lambda: pl.DataFrame({"a": [Decimal("-1.25"), None]}, schema={"a": pl.Decimal(10, 2)}),
        "bf12f7f821cf24e7035bd78a2f45b3b898e34297da28232a52c51530636bbe3d",
    ),
    "nested": (
        lambda: pl.DataFrame({"a": [[1, None], []], "b": [{"x": "y", "z": 1.5}, None]}),
        "51719dfc2d9cc95675318bd854d1a9c89f5daa9b9596d7f11ec495b67bebaddc",
    ),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_the_hash_of_a_frame_stays_for_ever(name: str) -> None:
    frame = GOLDEN[name][0]()
    assert digest(frame.schema, sums(frame)) == GOLDEN[name][1]


# --- what it must see

PAIRS = {
    "null and zero": ([None], [0]),
    "null and an empty string": ([None], [""]),
    "zero bytes at the end": (["a"], ["a\0"]),
    "zero bytes at the end of a long string": (["a" * 13], ["a" * 13 + "\0"]),
    "an empty string and a zero byte": ([""], ["\0"]),
    "a row twice and three times": ([1, 1], [1, 1, 1]),
    "two pairs of duplicates": ([1, 1, 2], [1, 2, 2]),
    "sign": ([1.0, -1.0], [1.0, 1.0]),
    "true and false": ([True, False], [True, True]),
    "int and float": ([1], [1.0]),
    "an empty list and null": ([[1], []], [[1], None]),
    "where lists are split": ([[1, 2], [3]], [[1], [2, 3]]),
}


@pytest.mark.parametrize("what", PAIRS)
def test_it_tells_apart(what: str) -> None:
    two = pl.DataFrame({"a": PAIRS[what][1]})
    one = pl.DataFrame({"a": PAIRS[what][0]})
    one = one.cast(two.schema) if one.schema["a"] == pl.Null else one
    assert digest(one.schema, sums(one)) != digest(two.schema, sums(two))


def test_it_sees_values_swapped_between_rows_and_between_columns() -> None:
    kept = pl.DataFrame({"a": [1, 2], "b": [10, 20], "c": ["x", "y"]})
    assert sums(kept) != sums(kept.with_columns(pl.col("b").reverse()))
    assert sums(kept) != sums(kept.rename({"a": "b", "b": "a"}).select("a", "b", "c"))
    assert sums(kept) == sums(kept.reverse())


def test_names_and_types_are_part_of_the_hash() -> None:
    frame = pl.DataFrame({"a": [0, 0]})
    hashes = {digest(f.schema, sums(f)) for f in (frame, frame.rename({"a": "b"}), frame.cast(pl.Int32))}
    assert len(hashes) == 3


@pytest.mark.parametrize(
    "values",
    [
        np.arange(2000, dtype=float) * 2.0**40,
        np.ldexp(1.0, np.arange(-1000, 1000)),
        np.arange(2000) << 48,
        -np.arange(2000),
        (np.arange(2000) << 32) | np.arange(2000),
    ],
)
def test_structured_numbers_in_two_columns_do_not_collide_even_in_32_bits_of_one_lane(values: np.ndarray) -> None:
    frame = pl.DataFrame({"a": values, "b": values[::-1].copy()})
    lanes = [sums(frame[i : i + 1]).lanes for i in range(frame.height)]
    for lane in (0, 1):
        for shift in (0, 32):
            assert len({(each[lane] >> shift) & 0xFFFFFFFF for each in lanes}) > frame.height - 5


def test_every_flipped_bit_flips_about_half_of_the_bits_of_a_row_hash() -> None:
    flips = []
    for bit in range(63):
        one, two = (sums(pl.DataFrame({"a": [n], "b": [7.5]})).lanes[0] for n in (12345, 12345 ^ (1 << bit)))
        flips.append((one ^ two).bit_count())
    assert 28 < np.mean(flips) < 36
    assert min(flips) > 12


# --- large, odd and refused


def test_a_frame_of_many_blocks_and_chunks_equals_its_parts() -> None:
    rng = np.random.default_rng(5)
    texts = np.array(["", "short", "a string of twenty", "x" * 40, "y" * 200, "z" * 300, None], dtype=object)
    rows = 150_000
    frame = pl.DataFrame({"n": rng.random(rows), "s": pl.Series(texts[rng.integers(0, 7, rows)], dtype=pl.String)})
    parts = [frame[start : start + 9_999] for start in range(0, rows, 9_999)]
    merged = sum((sums(part.rechunk()) for part in parts), Sums())
    assert merged == sums(frame) == sums(pl.concat(parts[::-1], rechunk=False)) == sums(frame.sample(rows, shuffle=True))


def pieces() -> pl.Series:
    """Strings whose bytes stand in 20 buffers."""
    parts = [pl.Series("s", [f"piece {i} of many, row {j}" for j in range(50)] + ["short", None]) for i in range(20)]
    return pl.concat(parts, rechunk=True)


def with_one_long() -> pl.Series:
    return pl.Series("s", ["short", None, "a long one, longer than a view", "x" * 300, ""] * 5)


def overlapping(lengths: list[int], validity: bytes | None = None) -> pl.Series:
    """1,000 strings out of one text, which begin at any of 20 letters and have one of these lengths."""
    text = "The quick brown fox jumps over the lazy dog, then sleeps until noon and starts again." * 5
    starts = [n % 20 for n in range(1000)]
    sizes = [lengths[n % len(lengths)] for n in range(1000)]
    views = b"".join(struct.pack("<I4sII", n, text[at : at + 4].encode(), 0, at) for at, n in zip(starts, sizes, strict=True))
    buffers = [validity and pa.py_buffer(validity), pa.py_buffer(views), pa.py_buffer(text.encode())]
    return pl.Series("s", pa.Array.from_buffers(pa.string_view(), 1000, buffers))


SHARED_MEMORY: dict[str, Callable[[], pl.Series]] = {
    "many buffers": pieces,
    "many buffers, rows shuffled": lambda: pieces().shuffle(3),
    "a few rows of many buffers": lambda: pieces()[500:510],
    "rows that share their bytes": lambda: pieces()[:52].sample(5_000, with_replacement=True, seed=1),
    "a few of many rows that share their bytes": lambda: with_one_long().sample(5_000, with_replacement=True, seed=1),
    "overlapping bytes": lambda: overlapping([23]),
    "nulls over bytes that repeat": lambda: overlapping([23], b"\x6d" * 125),
    "nulls over bytes": lambda: overlapping([13, 300, 14, 41], b"\x11" * 125)[:200],
    "overlapping bytes, many lengths": lambda: overlapping([13, 60, 14, 41, 17, 33, 20]),
    "ends of the same bytes": lambda: pl.concat([pieces()[:52].str.tail(n) for n in (13, 17, 20)] * 30, rechunk=True),
    "a slice that begins within bytes": lambda: pieces().str.slice(3)[7:],
    "binary": lambda: pieces().cast(pl.Binary).shuffle(5),
}


@pytest.mark.parametrize("how", SHARED_MEMORY)
def test_how_strings_stand_in_memory_does_not_matter(how: str) -> None:
    values = SHARED_MEMORY[how]()
    fresh = pl.Series("s", values.to_list(), dtype=values.dtype)
    assert sums(values.to_frame()) == sums(fresh.to_frame()) == oracle(fresh.to_frame())


def test_one_cell_of_50_megabytes_is_no_problem() -> None:
    blob = np.random.default_rng(1).bytes(50_000_003)
    one = pl.DataFrame({"model": [b"small", blob]})
    two = pl.DataFrame({"model": [b"small", blob[:-1] + b"?"]})
    words = struct.unpack("<QQ", hashlib.blake2b(blob, digest_size=16).digest())
    assert string_words(blob)[1:] == list(words)
    assert sums(one) == oracle(one) != sums(two)


def test_sums_go_through_json_and_back() -> None:
    made = sums(pl.DataFrame({"a": [1, 2, 3]}))
    assert Sums.from_json(json.loads(json.dumps(made.to_json()))) == made
    with pytest.raises(ValueError, match="are no sums"):
        Sums.from_json([1, 2])


@pytest.mark.parametrize(
    "dtype",
    [pl.Categorical(), pl.Duration("us"), pl.Time(), pl.Datetime("ns"), pl.Array(pl.Int64, 2), pl.List(pl.Null)],
)
def test_a_type_without_an_encoding_is_refused_by_name(dtype: pl.DataType) -> None:
    with pytest.raises(TypeRefused, match="Column 'odd' has the type"):
        sums(pl.DataFrame({"odd": []}, schema={"odd": dtype}))


def test_the_name_of_the_algorithm_is_the_one_that_the_values_above_pin() -> None:
    assert content.ALGORITHM == "lk1"
