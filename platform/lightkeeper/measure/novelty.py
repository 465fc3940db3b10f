"""Novelty: how far a row of features is from what a model was trained on. Pure: numbers in, numbers out.

Owns a sample of the training rows, the distance to the nearest of them as a conformal p, and the range of each feature.
What follows from a new row (a flag, a wider band, a question) stays out. A row may be of a known kind and its target not:
shifts of level that the features do not show are not seen here.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightkeeper.errors import Refused

__all__ = ["Reference"]

_Floats = NDArray[np.float64]
_Flags = NDArray[np.bool_]

_FORM = 1  # of the stored bytes
_BLOCK = 1024  # rows compared at once
_IQR_OF_NORMAL = 1.349  # in standard deviations
_LARGEST = 1e150  # numbers; what is beyond, infinity too, is as large
_FARTHEST = 1e6  # spreads; what lies further away lies there
_TIE = 1e-9  # distances closer than this are equal


@dataclass(frozen=True, eq=False)
class Reference:
    """What a model was trained on, in small.

    Attributes:
        names: the k features, in the order of the matrix.
        categories: those whose numbers are codes, without an order.
        rows: (m, k), the training rows that distances are measured to; NaN is null.
        distances: (c,), ascending: of other training rows to the nearest of `rows`.
        low, high: (k,), of each feature over all training rows; NaN where it was never known.
        gaps: (k,), the features that were null in a training row.
    """

    names: tuple[str, ...]
    categories: tuple[str, ...]
    rows: _Floats
    distances: _Floats
    low: _Floats
    high: _Floats
    gaps: _Flags

    @classmethod
    def of(
        cls, matrix: _Floats, names: Sequence[str], categories: Collection[str] = (), seed: int = 1, size: int = 1024
    ) -> Reference:
        """Draw two samples of `size` training rows: one to measure distances to, one to learn which distances are usual.

        Args:
            matrix: (n, k), all training rows in the order of training; NaN is null. Fewer than 2 x size are halved.
            names: of the k features.
            categories: those whose numbers are codes.
            seed: of the draw. The same rows in the same order and the same seed give the same reference.
            size: of each sample.

        Raises:
            Refused: there is no row, or not one name a column.
        """
        _assert_shape(matrix, names)
        if not len(matrix) or size < 1:
            raise Refused(f"novelty: {len(matrix)} training rows and samples of {size} rows: both need at least 1.")
        drawn = np.random.default_rng(seed).choice(len(matrix), min(len(matrix), 2 * size), replace=False)
        kept = np.sort(drawn[: (len(drawn) + 1) // 2])
        half = cls(
            names=tuple(names),
            categories=tuple(name for name in names if name in categories),
            rows=np.ascontiguousarray(matrix[kept], np.float64),
            distances=np.empty(0),
            low=np.fmin.reduce(matrix, axis=0),
            high=np.fmax.reduce(matrix, axis=0),
            gaps=np.isnan(np.minimum.reduce(matrix, axis=0)),
        )
        usual = np.sort(half._space.nearest(matrix[drawn[len(kept) :]]))
        return cls(half.names, half.categories, half.rows, usual, half.low, half.high, half.gaps)

    def novelty(self, matrix: _Floats) -> tuple[_Floats, list[list[str]]]:
        """Of each row a conformal p, and the features outside of what was learnt.

        p = (1 + how many of the c usual distances are at least this row's) / (c + 1), the p of inductive conformal anomaly
        detection (Laxhammar and Falkman 2015; Vovk, Gammerman and Shafer 2005, chapter 4): for a row that was drawn as the
        training rows were, p is at most a with a chance of at most a. So of 100 usual rows one has p below 0.01. It is
        never below 1 / (c + 1); c is at most 1024 by default, and 0, with p = 1, for a single training row.

        A number is measured from the median in normal spreads (IQR / 1.349; the standard deviation where half of the values
        are equal); a null stands at the median, and one spread away from any number. A category, and a feature that is
        constant in the sample, counts 1 where it differs. The distance is Euclidean.

        Args:
            matrix: (n, k), in the order of `names`; NaN is null.

        Returns:
            p: (n,), above 0, at most 1.
            outside: n lists of names: the number is beyond the least or largest of all training rows, or null where no
                training row was, or known where none was.

        Raises:
            Refused: the matrix has another number of columns.
        """
        _assert_shape(matrix, self.names)
        away = self._space.nearest(matrix)
        smaller = np.searchsorted(self.distances, away - _TIE * (1 + away))
        count = len(self.distances)
        return (1 + count - smaller) / (count + 1), self._outside(matrix)

    def _outside(self, matrix: _Floats) -> list[list[str]]:
        null = np.isnan(matrix)
        beyond = np.where(null, ~self.gaps, ~((matrix >= self.low) & (matrix <= self.high)))
        found: list[list[str]] = [[] for _ in range(len(matrix))]
        for row, column in np.argwhere(beyond):
            found[row].append(self.names[column])
        return found

    @cached_property
    def _space(self) -> _Space:
        return _Space.of(self.rows, np.array([name in self.categories for name in self.names]))

    def to_bytes(self) -> bytes:
        """A line of JSON (form, names, categories, sizes), then the numbers as little-endian float64. Always the same bytes."""
        sizes = [len(self.rows), len(self.distances)]
        head = {"form": _FORM, "names": self.names, "categories": self.categories, "sizes": sizes}
        arrays = (self.rows, self.distances, self.low, self.high, self.gaps)
        return b"\n".join((json.dumps(head).encode(), b"".join(array.astype("<f8").tobytes() for array in arrays)))

    @classmethod
    def from_bytes(cls, data: bytes) -> Reference:
        """What `to_bytes` gave.

        Raises:
            Refused: the bytes are of another form, or not whole.
        """
        line, _, body = data.partition(b"\n")
        try:
            head = _of_form(json.loads(line), _FORM)
            names, (rows, usual) = tuple(head["names"]), head["sizes"]
            numbers = np.frombuffer(body, "<f8").astype(np.float64)
            of_rows, distances, low, high, gaps = _split(numbers, [rows * len(names), usual] + 3 * [len(names)])
        except (ValueError, KeyError, TypeError) as error:
            raise Refused(f"{len(data)} bytes are no reference of training rows: {error}. Train the model again.") from error
        return cls(names, tuple(head["categories"]), of_rows.reshape(rows, len(names)), distances, low, high, gaps > 0)


def _split(numbers: _Floats, sizes: Sequence[int]) -> Sequence[_Floats]:
    """The numbers in parts of these sizes, which must use them up."""
    if len(numbers) != sum(sizes):
        raise ValueError(f"{len(numbers)} numbers stand where {sum(sizes)} were stored")
    return np.split(numbers, np.cumsum(sizes)[:-1])


def _of_form(head: Mapping[str, Any], form: int) -> Mapping[str, Any]:
    if head["form"] != form:
        raise ValueError(f"they are of form {head['form']}, and form {form} is read here")
    return head


def _assert_shape(matrix: _Floats, names: Sequence[str]) -> None:
    if matrix.ndim != 2 or matrix.shape[1] != len(names):  # noqa: PLR2004 - a matrix has two dimensions
        raise Refused(f"novelty: a matrix of shape {matrix.shape} has not one column for each of {', '.join(names)}.")


@dataclass(frozen=True, eq=False)
class _Space:
    """Where rows lie: numbers as coordinates, other features as marks that are equal or not."""

    numbers: _Flags  # the features with a spread
    gapped: _Flags  # those of them that are null in a row
    centre: _Floats
    spread: _Floats
    points: _Floats
    marks: _Floats

    @classmethod
    def of(cls, rows: _Floats, categories: _Flags) -> _Space:
        """The space of some rows; a feature without two known values that differ has marks."""
        centre, spread = np.zeros(rows.shape[1]), np.zeros(rows.shape[1])
        for at in np.flatnonzero(~categories):
            centre[at], spread[at] = _scale(_bounded(rows[:, at][~np.isnan(rows[:, at])]))
        numbers: _Flags = np.greater(spread, 0)
        gapped: _Flags = np.logical_or.reduce(np.isnan(rows[:, numbers]), axis=0)
        empty = cls(numbers, gapped, centre[numbers], spread[numbers], rows, rows)
        points, marks = empty.placed(rows)
        return cls(numbers, gapped, empty.centre, empty.spread, points, marks)

    def placed(self, matrix: _Floats) -> tuple[_Floats, _Floats]:
        """The coordinates of rows, with one for each gapped feature's nulls, and their marks."""
        values = _bounded(matrix[:, self.numbers])
        null = np.isnan(values)
        with np.errstate(over="ignore"):
            scaled = np.clip((values - self.centre) / self.spread, -_FARTHEST, _FARTHEST)
        return np.hstack([np.where(null, 0.0, scaled), null[:, self.gapped]]), matrix[:, ~self.numbers]

    def nearest(self, matrix: _Floats) -> _Floats:
        """The distance of each row to the nearest point."""
        found = [self._nearest(matrix[start : start + _BLOCK]) for start in range(0, len(matrix), _BLOCK)]
        return np.concatenate([np.empty(0), *found])

    def _nearest(self, matrix: _Floats) -> _Floats:
        """The nearest point is found by products, and its distance computed anew, without their rounding."""
        points, marks = self.placed(matrix)
        closeness = points @ self.points.T - (self.points**2).sum(axis=1) / 2
        for at in range(marks.shape[1]):
            known = self.marks[:, at]
            constant = _same(known, known[0]).all()
            if not constant:  # a constant moves no point nearer than another
                closeness += _same(marks[:, at : at + 1], known) * 0.5
        near = closeness.argmax(axis=1)
        lone = np.isnan(matrix[:, self.numbers])[:, ~self.gapped].sum(axis=1)  # nulls where no point has one
        differ = ~_same(marks, self.marks[near])
        squares: _Floats = ((points - self.points[near]) ** 2).sum(axis=1) + lone + differ.sum(axis=1)
        return np.sqrt(squares)


def _scale(known: _Floats) -> tuple[float, float]:
    """The median and the normal spread of a feature's known values; a spread of 0 where they are constant."""
    if not len(known) or known.min() == known.max():
        return 0.0, 0.0
    low, centre, high = np.quantile(known, [0.25, 0.5, 0.75])
    return float(centre), float((high - low) / _IQR_OF_NORMAL or known.std())


def _bounded(values: _Floats) -> _Floats:
    return np.clip(values, -_LARGEST, _LARGEST)


def _same(some: _Floats, others: _Floats) -> _Flags:
    """Where marks are equal, nulls among each other too."""
    found: _Flags = (some == others) | (np.isnan(some) & np.isnan(others))
    return found
