"""What quiet days of a table look like, as values that are kept. How they are learnt, and what other days show, says `daily`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lightkeeper.measure.differing import SD_OF_RANK

__all__ = ["QUIET", "WORTH", "Quiet", "QuietColumn"]

_Floats = NDArray[np.float64]

WORTH = 18.0  # independent days that a limit stands on at least
_FARTHEST = 20.0  # logarithm of the largest ratio that is told

QUIET: dict[str, pl.DataType] = {
    "column": pl.String(), "compared": pl.String(), "start": pl.Date(), "end": pl.Date(), "days": pl.Int64(),
    "left_out": pl.List(pl.Date()), "tau": pl.Float64(), "limits": pl.List(pl.Float64()), "weights": pl.List(pl.Float64()),
    "centres": pl.List(pl.Float64()), "scales": pl.List(pl.Float64()), "rows": pl.Float64(), "phi": pl.Float64(),
    "errors": pl.List(pl.Float64()),
}  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class QuietColumn:
    """What quiet days say of one column.

    Attributes:
        name, kind: as in DayCounts and DayLevels.
        weights: of the places that are compared.
        centres: (7, places): the mean of each weekday, Monday first.
        scales: root mean squares over quiet days of the distance, and of the mean deviations of three and of six days; more where
            three or six days that lie far out lie further than a usual column's.
        rows: of a median quiet day; a day with fewer has larger scales.
        phi: how much of a deviation is left a day later.
        errors: the same of the errors of forecasts from a deviation one and two days before.
    """

    name: str
    kind: str
    weights: _Floats = field(repr=False)
    centres: _Floats = field(repr=False)
    scales: tuple[float, ...]
    rows: float
    phi: float
    errors: tuple[float, float]

    def numbers(self) -> tuple[Any, ...]:
        """As QUIET holds them."""
        lists = (self.weights.tolist(), self.centres.ravel().tolist(), list(self.scales))
        return (*lists, self.rows, self.phi, list(self.errors))

    def effect(self, distance: float) -> float:
        """A distance for people: of a number in sd of a normal, of categories a share of the rows, else a ratio less 1."""
        if self.kind in {"level", "total"}:
            return math.expm1(min(distance, _FARTHEST))
        return float(distance * (SD_OF_RANK if self.kind == "number" else 1.0))


@dataclass(frozen=True, slots=True, eq=False)
class Quiet:
    """What quiet days of a table look like.

    Attributes:
        start, end: the first and last day of the reference.
        days: of it that were kept.
        left_out: odd days, which are no reference.
        tau: days of memory: so many days tell as much as one independent day.
        limits: of the distance of three days and of the deviations of three and six days, each in its scale; of a jump, in
            root mean squares of the forecast's errors.
        columns: those that could be calibrated.
    """

    start: date
    end: date
    days: int
    left_out: tuple[date, ...]
    tau: float
    limits: tuple[float, ...]
    columns: tuple[QuietColumn, ...]

    @property
    def worth(self) -> float:
        """Independent days that the reference is worth."""
        return self.days / self.tau

    @property
    def ready(self) -> bool:
        """Whether a day can be judged."""
        return bool(self.columns) and self.worth >= WORTH

    @property
    def missing(self) -> int:
        """Further days, of the same memory, before a day can be judged."""
        return max(0, math.ceil(WORTH * self.tau - self.days))

    def to_frame(self) -> pl.DataFrame:
        """One row a column, as QUIET says; `from_frame` gives it back."""
        whole = (self.start, self.end, self.days, list(self.left_out), self.tau, list(self.limits))
        rows = [(one.name, one.kind, *whole, *one.numbers()) for one in self.columns]
        return pl.DataFrame(rows, schema=QUIET, orient="row")

    @classmethod
    def from_frame(cls, frame: pl.DataFrame) -> Quiet:
        """What `to_frame` gave; at least one row."""
        columns = tuple(_column(row) for row in frame.iter_rows(named=True))
        one = frame.row(0, named=True)
        days = (one["start"], one["end"], one["days"], tuple(one["left_out"]))
        return cls(*days, one["tau"], tuple(one["limits"]), columns)


def _column(row: Mapping[str, Any]) -> QuietColumn:
    weight = np.array(row["weights"], np.float64)
    centre = np.array(row["centres"], np.float64).reshape(7, -1)
    rest = (tuple(row["scales"]), row["rows"], row["phi"], tuple(row["errors"]))
    return QuietColumn(row["column"], row["compared"], weight, centre, *rest)
