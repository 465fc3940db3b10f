"""Strings and binary as canonical words.

Owns the words of step 1 of the algorithm that `content` states, for values of any length. Hashing stays out.

A view of Arrow is 16 bytes: the length (32 bits), then up to 12 bytes of a short value, zeros after its end, or else the
first 4 bytes, the number of a buffer and the offset in it. So word 0 is the first half of the view, and word 1 of a short
value is the second. For the other words of longer values one must look into the buffers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lightkeeper.measure.buffers import Bytes, Found, Nulls, Part, Repeated, Rows, Scratch, Words, as_pairs, values_of

__all__ = ["Strings"]

_INLINE = 12  # bytes that a view holds itself
_LONGEST = 252  # bytes that are encoded as words; above, BLAKE2b
_WASTE = 2  # buffers this many times as large as the values hold much that is no longer used
_SHARED = 4  # values this many times as large as the stretch of the buffer that they are in must repeat each other

_Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Strings:
    """A chunk of strings or binary."""

    views: NDArray[np.uint32]  # four a row
    data: Bytes
    bases: _Integers | None  # where the buffers of the views begin in `data`
    offsets: _Integers | None  # where the values begin in `data`; None: where their views say
    nulls: Nulls

    @classmethod
    def of(cls, chunk: pl.Series, array: Any, nulls: Nulls) -> Strings:
        """A chunk, as itself and as an Arrow array. Several buffers are copied into one."""
        views, buffers = values_of(array, np.uint32, 4), array.buffers()[2:]
        if len(buffers) <= 1:
            return cls(views, Bytes.of(buffers), None, None, nulls)
        sizes = np.array([buffer.size for buffer in buffers])
        if sizes.sum() > _WASTE * views[:, 0].sum(dtype=np.int64):
            whole = chunk.to_arrow(compat_level=pl.CompatLevel.oldest())
            return cls(views, Bytes.of(whole.buffers()[2:]), None, values_of(whole, np.int64), nulls)
        return cls(views, Bytes.of(buffers), np.cumsum(sizes) - sizes, None, nulls)

    def words(self, start: int, stop: int, scratch: Scratch) -> Found:
        """The words of rows start..stop."""
        pairs = self.views[start:stop].view(np.uint64)
        yield Part(0, pairs[:, 0], None)
        long = self._long(start, stop, scratch)
        second = scratch("second", stop - start)
        np.copyto(second, pairs[:, 1])
        for values in long:
            values.second(second, scratch)
        yield Part(1, second, None)
        for values in long:
            yield from values.others(scratch)

    def _long(self, start: int, stop: int, scratch: Scratch) -> list[_Long | _Huge | _Shared]:
        """The values above 12 bytes among rows start..stop."""
        lengths = self._lengths(start, stop, scratch)
        is_long = lengths > _INLINE
        count = np.count_nonzero(is_long)
        if not count:
            return []
        starts = self._starts(start, stop, scratch)
        if 2 * count > len(lengths) and lengths.max() <= _LONGEST:
            short = np.flatnonzero(~is_long)
            long = _Long(self.data, None, starts, lengths, short)
            shared = _Shared.of(long, scratch)
            lengths[short] = 0
            return [shared or long]
        rows = np.flatnonzero(is_long)
        is_huge = lengths[rows] > _LONGEST
        kinds = ((_Long, rows[~is_huge]), (_Huge.of, rows[is_huge]))
        return [kind(self.data, chosen, starts[chosen], lengths[chosen]) for kind, chosen in kinds if len(chosen)]

    def _lengths(self, start: int, stop: int, scratch: Scratch) -> _Integers:
        """How many bytes the values have; 0 at nulls."""
        lengths, empty = scratch.signed("length", stop - start), self.nulls(start, stop)
        np.copyto(lengths, self.views[start:stop, 0])
        if empty is not None:
            lengths[empty] = 0
        return lengths

    def _starts(self, start: int, stop: int, scratch: Scratch) -> _Integers:
        """Where values above 12 bytes begin; arbitrary for others."""
        starts = scratch.signed("start", stop - start)
        np.copyto(starts, self.views[start:stop, 3] if self.offsets is None else self.offsets[start:stop])
        if self.bases is not None:
            starts += np.take(self.bases, self.views[start:stop, 2], mode="clip")
        return starts


@dataclass(frozen=True, slots=True)
class _Long:
    """Values of 13 to 252 bytes.

    Attributes:
        rows: where they stand in a block; None for all rows of the block, the `short` ones being no such values.
    """

    data: Bytes
    rows: Rows | None
    starts: _Integers
    lengths: _Integers
    short: Rows = field(default_factory=lambda: np.empty(0, np.intp))

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
            return
        kept = words[self.short]
        np.copyto(words, last)
        words[self.short] = kept

    def others(self, scratch: Scratch) -> Iterator[Part]:
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
            yield Part(k, words, here.rows)

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
    def of(cls, data: Bytes, rows: Rows, starts: _Integers, lengths: _Integers) -> _Huge:
        """Values given by where they start."""
        return cls(rows, as_pairs(data.digest(a, n) for a, n in zip(starts.tolist(), lengths.tolist(), strict=True)))

    def second(self, words: Words, _: Scratch) -> None:
        """Fill in word 1: the first half of the digest."""
        words[self.rows] = self.digests[:, 0]

    def others(self, _: Scratch) -> Found:
        """Word 2: the second half of the digest."""
        yield Part(2, self.digests[:, 1], self.rows)


@dataclass(frozen=True, slots=True)
class _Shared:
    """Values of 13 to 252 bytes many of which are the same bytes in memory, as Parquet's dictionaries leave them.

    Attributes:
        distinct: number 0 is nothing; then each distinct value once.
        codes: which of them each row of the block has, 0 for the short ones.
        short: the rows with other values.
    """

    distinct: _Long
    codes: Rows
    short: Rows

    @classmethod
    def of(cls, long: _Long, scratch: Scratch) -> _Shared | None:
        """The same values, or None where they do not repeat each other enough. Changes what stands at the short ones."""
        starts, lengths, short = long.starts, long.lengths, long.short
        total, first = int(lengths.sum()), lengths.argmax()
        starts[short], lengths[short] = starts[first], lengths[first]
        low = int(starts.min())
        room = int(starts.max()) - low + 1
        if _SHARED * room >= total:
            return None
        at, codes, table = scratch.signed("at", len(starts)), scratch.signed("code", len(starts)), np.zeros(room, np.int64)
        np.subtract(starts, low, out=at)
        table[at] = lengths
        np.take(table, at, mode="clip", out=codes)
        used = np.flatnonzero(table)
        if 2 * len(used) > len(at) or not np.array_equal(codes, lengths):  # values of different lengths begin together
            return None
        found = _Long(long.data, None, np.append(0, used + low), np.append(0, table[used]), np.zeros(1, np.intp))
        table[used] = np.arange(1, len(used) + 1)
        np.take(table, at, mode="clip", out=codes)
        codes[short] = 0
        return cls(found, codes, short)

    def second(self, words: Words, _: Scratch) -> None:
        """Take word 1 away: it comes with the others."""
        kept = words[self.short]
        words.fill(0)
        words[self.short] = kept

    def others(self, scratch: Scratch) -> Found:
        """The words from 1 on, of each distinct value."""
        yield Repeated(self.codes, len(self.distinct.starts), self._parts(scratch))

    def _parts(self, scratch: Scratch) -> Iterator[Part]:
        second = np.zeros(len(self.distinct.starts), np.uint64)
        self.distinct.second(second, scratch)
        yield Part(1, second, None)
        yield from self.distinct.others(scratch)
