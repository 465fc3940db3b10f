"""Arrow's buffers as numpy arrays, without a copy, and scratch to work in.

Owns how values, nulls and bytes are found in the memory of one chunk. What a value means stays out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Bytes",
    "Found",
    "Nulls",
    "Part",
    "Repeated",
    "Rows",
    "Scratch",
    "Words",
    "as_pairs",
    "nulls_of",
    "unpacked",
    "values_of",
]

Words = NDArray[np.uint64]
Rows = NDArray[np.intp]
Nulls = Callable[[int, int], Rows | None]  # which of the rows a..b are null, counted from a; None for none


class Part(NamedTuple):
    """Word `k` of some rows of a block; `rows` None means all of them. The words may be scratch, good until the next."""

    k: int
    words: Words
    rows: Rows | None


class Repeated(NamedTuple):
    """Words of some distinct values, and `codes`, which says for each row of a block which of them it has."""

    codes: Rows
    distinct: int
    parts: Iterator[Part]


Found = Iterator[Part | Repeated]


class Scratch:
    """Arrays to work in, by name, for blocks of up to `rows` rows; each thread has its own.

    Fresh memory for each step would cost more than the step.
    """

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self._arrays: dict[str, Words] = {}

    def __call__(self, name: str, rows: int) -> Words:
        """The array of this name, cut to `rows`; it holds whatever was left there."""
        if name not in self._arrays:
            self._arrays[name] = np.empty(self._rows, np.uint64)
        return self._arrays[name][:rows]

    def signed(self, name: str, rows: int) -> NDArray[np.int64]:
        """The same as signed integers."""
        return self(name, rows).view(np.int64)

    def floats(self, name: str, rows: int) -> NDArray[np.float64]:
        """The same as floats."""
        return self(name, rows).view(np.float64)


def values_of(array: Any, dtype: type[np.generic], width: int = 1) -> NDArray[Any]:
    """The values of an Arrow array without a copy, `width` of them a row; what stands at nulls is arbitrary."""
    flat = np.frombuffer(array.buffers()[1], dtype)
    flat = flat[array.offset * width : (array.offset + len(array)) * width]
    return flat if width == 1 else flat.reshape(-1, width)


def unpacked(bits: NDArray[np.uint8], start: int, stop: int) -> NDArray[np.uint8]:
    """Bits start..stop of a bitmap as 0 and 1."""
    first = start // 8
    return np.unpackbits(bits[first : (stop + 7) // 8], bitorder="little")[start - 8 * first : stop - 8 * first]


def nulls_of(array: Any) -> Nulls:
    """Where an Arrow array is null."""
    if array.null_count == 0:
        return lambda _a, _b: None
    bits, first = np.frombuffer(array.buffers()[0], np.uint8), array.offset
    return lambda a, b: np.flatnonzero(unpacked(bits, first + a, first + b) == 0)


@dataclass(frozen=True, slots=True)
class Bytes:
    """A buffer as aligned words, and its last bytes (fewer than 8) as one more word."""

    words: Words
    tail: np.uint64

    @classmethod
    def of(cls, buffers: Sequence[Any]) -> Bytes:
        """Arrow buffers, one after the other; a single one that stands at a multiple of 8 is not copied."""
        pieces = [np.frombuffer(buffer, np.uint8) for buffer in buffers]
        data = pieces[0] if len(pieces) == 1 else np.concatenate([np.empty(0, np.uint8), *pieces])
        if data.ctypes.data % 8:
            data = data.copy()
        whole = data.size // 8
        return cls(data[: 8 * whole].view(np.uint64), np.uint64(int.from_bytes(data[8 * whole :].tobytes(), "little")))

    def take(self, at: NDArray[np.int64], ahead: int, out: Words) -> None:
        """`out` becomes the words number `at + ahead`; outside the buffer they are arbitrary."""
        words = self.words[ahead:]
        if not len(words):
            out.fill(self.tail)
            return
        np.take(words, at, mode="clip", out=out)
        if int(at.max()) >= len(words):
            out[at >= len(words)] = self.tail

    def eights(self, at: NDArray[np.int64], scratch: Scratch) -> Iterator[Words]:
        """8 bytes after the other as words, for each row from its place `at` on, without end; changes `at`."""
        rows, ahead = len(at), 0
        down, up, low, high, words = (scratch(name, rows) for name in ("down", "up", "low", "high", "word"))
        np.bitwise_and(at, 7, out=down.view(np.int64))
        np.left_shift(down, 3, out=down)
        np.subtract(64, down, out=up)
        np.right_shift(at, 3, out=at)
        self.take(at, 0, low)
        while True:
            ahead += 1
            self.take(at, ahead, high)
            np.right_shift(low, down, out=words)
            np.left_shift(high, up, out=low)  # numpy's shift by 64 gives 0
            np.bitwise_or(words, low, out=words)
            yield words
            low, high = high, low

    def digest(self, start: int, length: int) -> bytes:
        """The BLAKE2b digest (16 bytes) of some bytes."""
        inside = self.words.view(np.uint8)[start : start + length]
        found = hashlib.blake2b(inside.data, digest_size=16)
        found.update(self.tail.tobytes()[: length - inside.size])
        return found.digest()


def as_pairs(digests: Iterable[bytes]) -> Words:
    """Digests of 16 bytes as two words a row."""
    return np.frombuffer(b"".join(digests), np.uint64).reshape(-1, 2)
