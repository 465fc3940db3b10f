"""A fitted model as it is stored and asked: bytes in, numbers out. It is trained elsewhere, and knows no table."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, cast

import polars as pl

from lightkeeper.models.explaining import Link, link_of

if TYPE_CHECKING:
    import lightgbm
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Fitted", "encoded", "kinds_of", "sealed", "trees", "unseen"]

_THREADS = 2
PARTS = ("point", "low", "high")


@dataclass(frozen=True)
class Fitted:
    """The boosters of one model version, and how a row becomes what they were fitted on.

    Attributes:
        features: in the order of the matrix.
        categories: of each text feature its values, whose places are its numbers.
        parts: LightGBM's model text, UTF-8: `point`, and `low` and `high` where the target has a band.
    """

    features: tuple[str, ...]
    categories: Mapping[str, tuple[str, ...]]
    parts: Mapping[str, bytes]

    @property
    def sha256(self) -> str:
        """Of its bytes, in the order point, low, high, each after its length; hex."""
        return sealed(*(self.parts[part] for part in PARTS if part in self.parts))

    @property
    def link(self) -> Link:
        """From the sum of its contributions to its forecast."""
        return link_of(self.parts["point"])

    @cached_property
    def boosters(self) -> Mapping[str, lightgbm.Booster]:
        """LightGBM's own objects."""
        import lightgbm

        return {part: lightgbm.Booster(model_str=text.decode()) for part, text in self.parts.items()}

    def matrix(self, rows: pl.DataFrame) -> NDArray[np.float64]:
        """The features, float64, one row each; nulls, and categories that were not learnt, are NaN."""
        return encoded(rows, self.features, self.categories).to_numpy(order="c")

    def predict(self, rows: pl.DataFrame) -> NDArray[np.float64]:
        """The point forecast of each row, in the unit of the target; of a binary target its probability."""
        return self._asked("point", self.matrix(rows))

    def scored(self, rows: pl.DataFrame, *, banded: bool = True) -> pl.DataFrame:
        """`forecast`, `low`, `high` (Float64) of each row; low and high are null where the target has no band, or not asked for."""
        matrix = self.matrix(rows)
        found = {part: self._asked(part, matrix) for part in self.parts if banded or part == "point"}
        names = {"point": "forecast", "low": "low", "high": "high"}
        return pl.DataFrame([pl.Series(names[part], found.get(part, [None] * rows.height), pl.Float64) for part in PARTS])

    def contributions(self, rows: pl.DataFrame) -> NDArray[np.float64]:
        """Of each row the contribution of each feature and, last, the base: they add up to the raw score."""
        return self._asked("point", self.matrix(rows), pred_contrib=True)

    def _asked(self, part: str, matrix: NDArray[np.float64], *, pred_contrib: bool = False) -> NDArray[np.float64]:
        if not len(matrix):  # LightGBM refuses it
            return cast("NDArray[np.float64]", matrix.sum(axis=1))
        found: Any = self.boosters[part].predict(matrix, num_threads=_THREADS, pred_contrib=pred_contrib)
        return cast("NDArray[np.float64]", found)


def sealed(*held: bytes) -> str:
    """The sha256 of some bytes, each after its length, hex."""
    return hashlib.sha256(b"".join(len(one).to_bytes(8, "big") + one for one in held)).hexdigest()


def kinds_of(dtype: pl.DataType) -> Literal["number", "text"] | None:
    """What a column of a type is to a model; None where it is of no use to one."""
    if dtype.is_numeric() or dtype == pl.Boolean:
        return "number"
    return "text" if dtype in (pl.String, pl.Categorical, pl.Enum) else None


def encoded(rows: pl.DataFrame, features: Sequence[str], categories: Mapping[str, Sequence[str]]) -> pl.DataFrame:
    """The features as Float64 columns, in order; a text is the place of its category, null where it has none."""
    return rows.select(
        pl.col(name)
        .cast(pl.String)
        .replace_strict(list(categories[name]), range(len(categories[name])), default=None, return_dtype=pl.Float64)
        if name in categories
        else pl.col(name).cast(pl.Float64)
        for name in features
    )


def unseen(rows: pl.DataFrame, categories: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, ...]]:
    """Of each text feature the values that were not learnt, sorted; features without any are left out."""
    found = {name: rows[name].cast(pl.String).unique().drop_nulls() for name in categories}
    new = {name: tuple(values.filter(~values.is_in(list(categories[name]))).sort()) for name, values in found.items()}
    return {name: values for name, values in new.items() if values}


def trees(text: bytes) -> bytes:
    """The trees of a model text alone: what stands before its parameters, which name threads and the like."""
    return text.partition(b"\nparameters:")[0]
