"""Strings and binary as canonical words.

Owns the words of step 1 of the algorithm that `content` states, for values of any length. Hashing stays out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lightkeeper.measure.buffers import Bytes, Found, Nulls, Rows, Scratch, Words, as_pairs, values_of

__all__ = ["Strings"]

_INLINE = 12  # bytes that a string view holds itself
_LONGEST = 252  # bytes that are encoded as words; above, BLAKE2b
_MANY_BUFFERS = 8  # above, a copy into one buffer is cheaper than a look into each


@dataclass(frozen=True, slots=True)
class Strings:
    """A chunk of strings or binary, over the buffers of an Arrow view array.

    A view is 16 bytes: the length (32 bits), then up to 12 bytes of a short value, zeros after its end, or else the
    first 4 bytes, the number of a buffer and the offset in it. So a short value's words 0 and 1 are the view itself.
    """

    views: NDArray[np.uint32]  # four a row
    buffers: list[Bytes]
    offsets: NDArray[np.int64] | None  # where the values start in the only buffer; None: where the views say
    nulls: Nulls

    @classmethod
    def of(cls, chunk: pl.Series, array: Any, nulls: Nulls) -> Strings:
        """A chunk, as itself and as an Arrow array."""
        views, data = values_of(array, np.uint32, 4), array.buffers()[2:]
        if len(data) <= _MANY_BUFFERS:
            return cls(views, [Bytes.of(buffer) for buffer in data], None, nulls)
        whole = chunk.to_arrow(compat_level=pl.CompatLevel.oldest())  # copied into one buffer
        return cls(views, [Bytes.of(whole.buffers()[2])], values_of(whole, np.int64), nulls)

    def words(self, start: int, stop: int, scratch: Scratch) -> Found:
        """The words of rows start..stop."""
        pairs = self.views[start:stop].view(np.uint64)
        yield 0, pairs[:, 0], None
        groups = list(self._groups(start, stop, scratch))
        if not groups:
            yield 1, pairs[:, 1], None
            return
        second = scratch("second", stop - start)
        np.copyto(second, pairs[:, 1])
        for group in groups:
            group.second(second, scratch)
        yield 1, second, None
        for group in groups:
            yield from group.others(scratch)

    def _groups(self, start: int, stop: int, scratch: Scratch) -> Iterator[_Long | _Huge]:
        """The values above 12 bytes: those of one buffer and of one kind together."""
        views, empty = self.views[start:stop], self.nulls(start, stop)
        is_long = views[:, 0] > _INLINE
        if empty is not None:
            is_long[empty] = False
        if not is_long.any():
            return
        lengths, offsets = scratch.signed("length", len(views)), scratch.signed("start", len(views))
        np.multiply(views[:, 0], is_long, out=lengths, dtype=np.int64)
        np.copyto(offsets, views[:, 3] if self.offsets is None else self.offsets[start:stop])
        rows = np.flatnonzero(is_long)
        numbers = views[rows, 2] if len(self.buffers) > 1 else np.zeros(1, np.uint32)
        used = np.flatnonzero(np.bincount(numbers))
        if len(used) == 1 and 2 * len(rows) > len(views) and lengths.max() <= _LONGEST:
            yield _Long(self.buffers[used[0]], None, offsets, lengths)
            return
        for number in used:
            of_buffer = rows[numbers == number] if len(used) > 1 else rows
            is_huge = lengths[of_buffer] > _LONGEST
            for kind, chosen in ((_Long, of_buffer[~is_huge]), (_Huge.of, of_buffer[is_huge])):
                if len(chosen):
                    yield kind(self.buffers[number], chosen, offsets[chosen], lengths[chosen])


@dataclass(frozen=True, slots=True)
class _Long:
    """Values of 13 to 252 bytes; without `rows` all rows of a block, those of other values with length 0."""

    data: Bytes
    rows: Rows | None
    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]

    def eights(self, after: int, scratch: Scratch) -> Iterator[Words]:
        """8 bytes after the other, from some bytes after each start on."""
        at = scratch.signed("at", len(self.starts))
        np.add(self.starts, after, out=at)
        return self.data.eights(at, scratch)

    def second(self, words: Words, scratch: Scratch) -> None:
        """Fill in word 1: the last 8 bytes."""
        at = scratch.signed("at", len(self.starts))
        np.add(self.starts, self.lengths, out=at)
        np.subtract(at, 8, out=at)
        last = next(self.data.eights(at, scratch))
        if self.rows is not None:
            words[self.rows] = last
        else:
            np.copyto(words, last, where=self.lengths > 0)

    def others(self, scratch: Scratch) -> Found:
        """The words from 2 on, of fewer and fewer rows."""
        here, eights = self, self.eights(4, scratch)
        for k in range(2, _LONGEST // 8 + 1):
            present = here.lengths > 8 * k - 4
            count = np.count_nonzero(present)
            if not count:
                return
            if 2 * count < len(present):
                here = here.only(np.flatnonzero(present))
                eights = here.eights(8 * k - 12, scratch)
            words = next(eights)
            if count < len(words):
                np.multiply(words, present, out=words)
            yield k, words, here.rows

    def only(self, keep: Rows) -> _Long:
        """Some of the values."""
        rows = keep if self.rows is None else self.rows[keep]
        return _Long(self.data, rows, self.starts[keep], self.lengths[keep])


@dataclass(frozen=True, slots=True)
class _Huge:
    """Values above 252 bytes, by their digests."""

    rows: Rows
    digests: Words

    @classmethod
    def of(cls, data: Bytes, rows: Rows, starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> _Huge:
        """Values given by where they start in a buffer."""
        return cls(rows, as_pairs(data.digest(a, n) for a, n in zip(starts.tolist(), lengths.tolist(), strict=True)))

    def second(self, words: Words, _: Scratch) -> None:
        """Fill in word 1: the first half of the digest."""
        words[self.rows] = self.digests[:, 0]

    def others(self, _: Scratch) -> Found:
        """Word 2: the second half of the digest."""
        yield 2, self.digests[:, 1], self.rows
