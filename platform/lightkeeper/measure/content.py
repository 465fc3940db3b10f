"""The content hash of a frame: its values in a canonical encoding, hashed as a multiset of rows.

Owns the algorithm `lk1`; step 1 of it lives in `words`. What a table's hash is used for, and hashes of files, stay out.

The hash depends on the names and types of the columns and on the multiset of rows, and on nothing else: not on the
order of rows or columns, nor on chunks, files, versions of Polars or the machine. It finds change and damage. It does
not resist an adversary who picks values to collide; the sha256 of the files does.

The algorithm `lk1`. All arithmetic is on unsigned 64-bit integers modulo 2^64; bytes make words little-endian.

1. Words. A value of a column is one word or several, numbered from 0:
   - integers, dates (days since 1970-01-01), datetimes (microseconds since then): one word, sign-extended;
   - booleans: one word, 0 or 1;
   - floats: one word, the bits as float64 (float32 widened), after -0.0 -> 0.0 and any NaN -> 0x7FF8000000000000;
   - decimals: the unscaled 128-bit two's complement integer, low word, then high word;
   - strings (UTF-8) and binary of n bytes: word 0 is n modulo 2^32, plus 2^32 times the word of bytes 0 to 3. Word 1 is
     bytes 4 to 11 (zeros after the end), or the last 8 bytes where n > 12. Word k >= 2, present where n > 8k - 4, is
     bytes 8k - 12 to 8k - 5. Where n > 252, words 1 and 2 are the BLAKE2b digest (16 bytes) of all bytes instead, and
     there are no further words;
   - lists and structs: the two words of the BLAKE2b digest (16 bytes) of the bytes that `words.nested_bytes` states.
2. Mix. m(w) = h xor (h >> 32), where h = w x 0x9E3779B97F4A7C15. Without it a float with few significant bits, which
   has zeros below, would meet only the low bits of the constants of step 3. m(0) = 0: an absent word is a word 0.
3. Row word of lane l (0 or 1): r = S_l + the sum over columns c and words k of m(w_ck) x M_ckl. A null adds N_cl
   instead. S_l, M_ckl and N_cl are the first 8 bytes of sha256(JSON), M_ckl with its lowest bit set; the JSON, compact
   and ASCII, is ["lk1",l], ["lk1",name,type,l,k] and ["lk1",name,type,l,"null"], the type named by `words.type_name`.
4. Finalizer, that of splitmix64: z = r; z = (z xor z >> 30) x 0xBF58476D1CE4E5B9;
   z = (z xor z >> 27) x 0x94D049BB133111EB; z = z xor z >> 31.
5. Table: each lane is the sum over rows (addition, so that equal rows do not cancel); the number of rows goes with it.
6. Digest: sha256 (hex) of the compact ASCII JSON ["lk1",[[name,type],...],[rows,lane 0,lane 1]], the columns sorted,
   lanes as 16 hex digits.
"""

from __future__ import annotations

import hashlib
import json
import os
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
import polars as pl

from lightkeeper.measure.buffers import Part, Rows, Scratch, Words
from lightkeeper.measure.words import Encoded, encode, type_name

__all__ = ["ALGORITHM", "Sums", "digest", "sums"]

ALGORITHM = "lk1"

_Constants = tuple[np.uint64, np.uint64]  # one for each lane

_BITS = (1 << 64) - 1
_MIX, _HALF = np.uint64(0x9E3779B97F4A7C15), np.uint64(32)
_FINAL = (
    (np.uint64(30), np.uint64(0xBF58476D1CE4E5B9)),
    (np.uint64(27), np.uint64(0x94D049BB133111EB)),
)
_LAST = np.uint64(31)
_BLOCK = 65_536  # rows whose scratch arrays stay in the processor's cache
_CRUMB = 4_096  # mean rows of a chunk below which putting chunks together is cheaper
_THREADS = 4


@dataclass(frozen=True, slots=True)
class Sums:
    """The mergeable part of the hash: `sums(a) + sums(b) == sums(concat(a, b))`; subtracting takes rows away again.

    Attributes:
        rows: number of rows.
        lanes: two sums of row words, each an unsigned 64-bit integer.
    """

    rows: int = 0
    lanes: tuple[int, int] = (0, 0)

    def __add__(self, other: Sums) -> Sums:
        return Sums(self.rows + other.rows, _two((a + b) for a, b in zip(self.lanes, other.lanes, strict=True)))

    def __sub__(self, other: Sums) -> Sums:
        return Sums(self.rows - other.rows, _two((a - b) for a, b in zip(self.lanes, other.lanes, strict=True)))

    def to_json(self) -> list[int | str]:
        """`[rows, lane 0, lane 1]`, lanes as 16 hex digits: many readers of JSON lose digits of numbers above 2^53."""
        return [self.rows, *(f"{lane:016x}" for lane in self.lanes)]

    @classmethod
    def from_json(cls, values: Sequence[object]) -> Sums:
        """What `to_json` gave. Raises ValueError when it cannot have been that."""
        match values:
            case [int(rows), str(one), str(two)]:
                return cls(rows, (int(one, 16), int(two, 16)))
        raise ValueError(f"{values!r} are no sums of {ALGORITHM}: expected [rows, lane, lane], lanes as 16 hex digits.")


def sums(frame: pl.DataFrame) -> Sums:
    """Hash the rows of `frame`, whatever the order of its rows and columns.

    Works in blocks of 65,536 rows on up to four threads, without copying the frame (unless its chunks are tiny).
    Raises TypeRefused for a column whose type has no canonical encoding.
    """
    kinds = {name: type_name(dtype, name) for name, dtype in frame.schema.items()}
    chunks = {name: [c for c in frame.get_column(name).get_chunks() if len(c)] for name in kinds}
    cuts = sorted({0, frame.height}.union(*(_firsts(each) for each in chunks.values())))
    if len(cuts) > 2 and (len(cuts) - 1) * _CRUMB > max(frame.height, _CRUMB):  # noqa: PLR2004
        return sums(frame.rechunk())
    columns = [_Column(name, kinds[name], _firsts(each), [encode(chunk) for chunk in each]) for name, each in chunks.items()]
    return Sums(frame.height, _two(map(sum, zip(*_on_threads(columns, _blocks(cuts)), strict=True))))


def digest(schema: Mapping[str, pl.DataType], total: Sums) -> str:
    """The hash of a whole table: sha256 (hex) over algorithm, names and types of the columns, number of rows, lanes."""
    columns = sorted([name, type_name(dtype, name)] for name, dtype in schema.items())
    return _sha256(ALGORITHM, columns, total.to_json()).hex()


def _two(values: Iterable[int]) -> tuple[int, int]:
    one, two = values
    return one & _BITS, two & _BITS


def _sha256(*values: object) -> bytes:
    return hashlib.sha256(json.dumps(values, separators=(",", ":")).encode()).digest()


def _number(*key: int | str) -> np.uint64:
    """The number that the description derives from a key."""
    return np.uint64(int.from_bytes(_sha256(ALGORITHM, *key)[:8], "little"))


@lru_cache(maxsize=65_536)
def _constants(name: str, kind: str, k: int | str) -> _Constants:
    """M_ck or (for k = "null") N_c of both lanes."""
    odd = np.uint64(k != "null")
    return _number(name, kind, 0, k) | odd, _number(name, kind, 1, k) | odd


_STARTS: _Constants = (_number(0), _number(1))
_ZEROS: _Constants = (np.uint64(0), np.uint64(0))


def _firsts(chunks: Iterable[pl.Series]) -> list[int]:
    """The number of the first row of each chunk."""
    firsts, at = [], 0
    for chunk in chunks:
        firsts.append(at)
        at += chunk.len()
    return firsts


def _blocks(cuts: Sequence[int]) -> list[tuple[int, int]]:
    """Row ranges of about equal size that cross no cut."""
    blocks: list[tuple[int, int]] = []
    for start, stop in pairwise(cuts):
        parts = -(-(stop - start) // _BLOCK)
        edges = [start + (stop - start) * part // parts for part in range(parts + 1)]
        blocks += pairwise(edges)
    return blocks


def _on_threads(columns: list[_Column], blocks: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The lanes of the blocks, shared among threads; numpy works outside the interpreter's lock."""
    threads = min(len(blocks), os.cpu_count() or 1, _THREADS)
    if threads <= 1:
        return [_lanes(columns, blocks)]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(lambda share: _lanes(columns, share), (blocks[i::threads] for i in range(threads))))


def _lanes(columns: list[_Column], blocks: list[tuple[int, int]]) -> tuple[int, int]:
    """The lanes of some blocks."""
    lanes, block = (0, 0), _Block()
    with np.errstate(all="ignore"):  # a signalling NaN is no error here
        for start, stop in blocks:
            block.start(stop - start)
            for column in columns:
                column.add(start, stop, block)
            lanes = _two(map(sum, zip(lanes, block.finish(), strict=True)))
    return lanes


@dataclass(frozen=True, slots=True)
class _Column:
    """A column, its chunks ready to give words."""

    name: str
    kind: str
    firsts: list[int]
    chunks: list[Encoded]

    def add(self, start: int, stop: int, block: _Block) -> None:
        """Add rows start..stop, which lie in one chunk, to the block (step 3)."""
        i = bisect_right(self.firsts, start) - 1
        start, stop, chunk = start - self.firsts[i], stop - self.firsts[i], self.chunks[i]
        nulls = chunk.nulls(start, stop)
        for found in chunk.words(start, stop, block.scratch):
            if isinstance(found, Part):
                block.add(found, self.constants(found.k), nulls)
                continue
            distinct = block.of_distinct(found.distinct)
            for part in found.parts:
                distinct.add(part, self.constants(part.k), None)
            block.add_repeated(distinct, found.codes)
        if nulls is not None:
            block.add_constants(nulls, self.constants("null"))

    def constants(self, k: int | str) -> _Constants:
        """M of word k, or N for "null", of both lanes."""
        return _constants(self.name, self.kind, k)


class _Block:
    """Scratch of one thread for up to 65,536 rows: the row words of both lanes, and two arrays to work in."""

    def __init__(self) -> None:
        self.scratch = Scratch(_BLOCK)
        self.lanes: list[Words] = []
        self._distinct: _Block | None = None

    def start(self, rows: int, constants: _Constants = _STARTS) -> None:
        """Begin with `rows` rows of constants."""
        self.lanes = [self.scratch("lane 0", rows), self.scratch("lane 1", rows)]
        for lane, constant in zip(self.lanes, constants, strict=True):
            lane.fill(constant)

    def of_distinct(self, rows: int) -> _Block:
        """Another block, of zeros, to sum up words of distinct values before they are spread over rows."""
        self._distinct = self._distinct or _Block()
        self._distinct.start(rows, _ZEROS)
        return self._distinct

    def add_repeated(self, distinct: _Block, codes: Rows) -> None:
        """Add to each row the row of `distinct` that its code names."""
        t = self.scratch("t", len(codes))
        for lane, sums_of in zip(self.lanes, distinct.lanes, strict=True):
            np.take(sums_of, codes, mode="clip", out=t)
            np.add(lane, t, out=lane)

    def add(self, part: Part, constants: _Constants, nulls: Rows | None) -> None:
        """Add m(words) times the constants to the rows of a part; a part of all rows has arbitrary words at `nulls`."""
        _, words, rows = part
        x, t = self.scratch("x", len(words)), self.scratch("t", len(words))
        np.multiply(words, _MIX, out=x)
        np.right_shift(x, _HALF, out=t)
        np.bitwise_xor(x, t, out=x)
        if nulls is not None and rows is None:
            x[nulls] = 0
        for lane, constant in zip(self.lanes, constants, strict=True):
            np.multiply(x, constant, out=t)
            if rows is None:
                np.add(lane, t, out=lane)
            else:
                lane[rows] += t

    def add_constants(self, rows: Rows, constants: _Constants) -> None:
        """Add the constants to some rows."""
        for lane, constant in zip(self.lanes, constants, strict=True):
            lane[rows] += constant

    def finish(self) -> tuple[int, int]:
        """The sums of the finalized row words (steps 4 and 5)."""
        for lane in self.lanes:
            t = self.scratch("t", len(lane))
            for shift, factor in _FINAL:
                np.right_shift(lane, shift, out=t)
                np.bitwise_xor(lane, t, out=lane)
                np.multiply(lane, factor, out=lane)
            np.right_shift(lane, _LAST, out=t)
            np.bitwise_xor(lane, t, out=lane)
        one, two = (int(np.add.reduce(lane)) for lane in self.lanes)
        return one, two
