"""What bands covered: all rows together, and the series that fared worst, never only the former.

Owns that report. Bands themselves stay out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from lightkeeper.errors import Refused
from lightkeeper.measure.intervals import limit_names

__all__ = ["Coverage", "coverage"]


@dataclass(frozen=True, slots=True)
class Coverage:
    """Shares of actual values within their bands.

    Attributes:
        level: what the bands say they cover.
        n: rows that have a band and an actual value.
        series: how many series these rows are of.
        pooled: share covered of all of them; None without rows.
        worst: the values of the worst series' keys; None without rows.
        worst_covered: the share covered of that series.
        worst_n: its rows.
    """

    level: float
    n: int
    series: int
    pooled: float | None
    worst: tuple[object, ...] | None
    worst_covered: float | None
    worst_n: int

    def __str__(self) -> str:
        if self.pooled is None or self.worst is None:
            return f"No row has a band at {100 * self.level:.6g}% and an actual value."
        worst = ", ".join(str(key) for key in self.worst) or "the only series"
        return (
            f"Bands at {100 * self.level:.6g}% covered {self.pooled:.1%} of {self.n} values;"
            f" worst of {self.series} series: {worst} with {self.worst_covered:.1%} of {self.worst_n}."
        )


def coverage(rows: pl.DataFrame, keys: Sequence[str], level: float, least_n: int = 10) -> Coverage:
    """What the bands of a level covered. A limit counts as inside.

    Args:
        rows: keys, `actual`, and the level's limits such as `low_80` and `high_80`; rows with a null among the last
            three are left out.
        keys: the columns that name a series.
        level: 0.8 for `low_80`.
        least_n: series with fewer rows cannot be the worst, unless all have fewer.

    Raises:
        Refused: a column is missing.
    """
    low, high = limit_names(level)
    missing = [name for name in (*keys, "actual", low, high) if name not in rows.columns]
    if missing:
        raise Refused(f"Rows to report coverage of have no column {', '.join(missing)}: band them first.")
    known = rows.drop_nulls(["actual", low, high])
    if not known.height:
        return Coverage(level, 0, 0, None, None, None, 0)
    inside = pl.col("actual").is_between(low, high).mean().alias("_covered")
    each = known.group_by(list(keys) or pl.lit(0).alias("_all")).agg(inside, pl.len().alias("_n"))
    many = each.filter(pl.col("_n") >= least_n)
    worst = (many if many.height else each).sort("_covered", *keys).row(0, named=True)
    pooled = float((each["_covered"] * each["_n"]).sum() / known.height)
    return Coverage(level, known.height, each.height, pooled, tuple(worst[key] for key in keys), worst["_covered"], worst["_n"])
