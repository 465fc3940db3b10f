"""Drift of a current window against a reference: one row a column. Pure: no clock, no I/O.

Owns the comparison of two windows whose rows are independent draws: which columns differ, by how much, and whether that can be
chance. Days that hang together, weekly seasons and histories are `daily`'s: there the same distances are judged against what
quiet days do.

A column has drifted when its difference is neither chance nor small: p below alpha shared by all columns (Holm 1979), and an
effect of at least the floor. p is that of the rank-sum test (Wilcoxon 1945) for shifts and of the two-sample chi-square test
for every other difference; for texts of the latter alone. The shares of missing and of infinite values are tested beside.

The most frequent values of a text are so by chance as well, where it has many. Two windows of rows choose them together. A
stored reference has chosen alone: then those that luck cannot have chosen are compared, and the others may grow by what luck
may have taken from them. Where the former hold less than half of the rows, a column that shows nothing is unknown.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from lightkeeper.errors import Refused
from lightkeeper.measure import distance
from lightkeeper.measure.counting import File, Numbers, column_of, opened
from lightkeeper.measure.differing import differing
from lightkeeper.measure.profile import ColumnProfile, Profile, Source, pooled

__all__ = ["DRIFT", "FLOOR", "drift"]

FLOOR = 0.05

DRIFT: dict[str, pl.DataType] = {
    "column": pl.String(), "kind": pl.String(), "state": pl.String(), "effect": pl.Float64(), "p": pl.Float64(),
    "n_reference": pl.Int64(), "n": pl.Int64(), "ks": pl.Float64(), "wasserstein": pl.Float64(), "psi": pl.Float64(),
    "jensen_shannon": pl.Float64(), "chi_square": pl.Float64(), "total_variation": pl.Float64(),
    "nulls_reference": pl.Float64(), "nulls": pl.Float64(), "smallest": pl.Float64(), "why": pl.String(),
}  # fmt: skip


def drift(  # noqa: PLR0913 - two windows, and how they are compared
    reference: Source | Profile,
    current: Source | Profile,
    *,
    columns: Sequence[str] | None = None,
    alpha: float = 0.01,
    floor: float = FLOOR,
    exact: bool = False,
) -> pl.DataFrame:
    """Which columns of `current` differ from `reference`, one row a column, those that drifted first.

    Args:
        reference: a frame, the path of a Parquet file, or a Profile.
        current: likewise; a profile must have been made with like=reference.
        columns: which; None: all of the reference.
        alpha: chance that any column is called drifted where none did, whatever the number of columns.
        floor: effect below which a difference is too small to be called drift, however sure it is.
        exact: Kolmogorov-Smirnov and Wasserstein from the values themselves instead of the counts; needs both frames.

    Returns:
        `column`, `kind`, `state` (passed, drifted, unknown where it cannot be judged), `effect` (numbers: the shift of a normal,
        in its standard deviations, that moves rows as far; texts: the share of rows that changed value; where the share of
        missing or infinite values is what changed: by how much), `p` (adjusted for
        all columns), `n_reference` and `n` (rows with a value), `ks`, `wasserstein` (units of the column), `psi`,
        `jensen_shannon` (natural log, divergence), `chi_square` (two-sample), `total_variation`, `nulls_reference`, `nulls`
        (shares), `smallest` (numbers: the least shift that would have been called drift if all values had moved by it; texts:
        about the least share of rows that would have been, had it moved from one half of them to the other; an effect of any
        other form, such as a wider spread, can be larger and pass, or be smaller and drift: the sentence then does not name it),
        `why` (one sentence; of a text that became yes and no, or the reverse, a second one says so: both are judged by their
        values, true and false being texts. Whole numbers that became fractions hold the same values, which says nothing.)

    Raises:
        Refused: exact without the rows; no file can be read; alpha outside (0, 1); a column that the reference does not have.
    """
    if not 0 < alpha < 1 or not floor >= 0:
        raise Refused(f"Drift with alpha {alpha} and floor {floor}: alpha lies between 0 and 1, the floor at 0 or above.")
    if exact and isinstance(reference, Profile) | isinstance(current, Profile):
        raise Refused("Exact distances need the rows of both windows: give frames or files, or leave exact=False.")
    reference, current = _window(reference), _window(current)
    before = reference if isinstance(reference, Profile) else Profile.of(reference, columns=columns)
    wanted = list(before.columns) if columns is None else list(columns)
    if missing := [name for name in wanted if name not in before.columns]:
        raise Refused(f"The reference has no column {', '.join(missing)}; it has {', '.join(before.columns)}.")
    now = current if isinstance(current, Profile) else _like(current, before, wanted)
    rows = []
    for name in wanted:
        a, b, chosen = before.columns[name], now.columns.get(name), True
        if b is not None and _many(a, b) and not isinstance(reference, Profile) and not isinstance(current, Profile):
            (a, b), chosen = pooled(name, (reference, current)), False
        rows.append(differing(name, a, b, floor, alpha, chosen=chosen))
    if exact:
        rows = [row | _exactly(row, reference, current) for row in rows]
    frame = pl.DataFrame(_judged(rows, alpha, floor), schema=DRIFT)
    order = pl.col("state").replace_strict({"drifted": 0, "unknown": 1, "passed": 2}, return_dtype=pl.Int8)
    return frame.sort(order, -pl.col("effect").fill_null(0), maintain_order=True)


def _many(reference: ColumnProfile, current: ColumnProfile) -> bool:
    """Whether a text column has values without a cell of their own."""
    return reference.cells.kind == current.cells.kind == "category" and bool(reference.counts[-2] or current.counts[-2:].any())


def _window(one: Source | Profile) -> pl.DataFrame | File | Profile:
    return one if isinstance(one, Profile) else opened(one.collect() if isinstance(one, pl.LazyFrame) else one)


def _like(current: pl.DataFrame | File, before: Profile, wanted: Sequence[str]) -> Profile:
    """The current window in the reference's cells; a column that is gone is left out."""
    there = current.schema if isinstance(current, pl.DataFrame) else current.types
    return Profile.of(current, like=before, columns=[name for name in wanted if name in there])


def _exactly(row: dict[str, object], *windows: pl.DataFrame | File | Profile) -> dict[str, object]:
    """Distances of a number from its values; infinite ones are left out, and with no other the counted distances stay."""
    if row["kind"] != "number" or row.get("ks") is None:
        return {}
    columns = [column_of(one, str(row["column"])) for one in windows if not isinstance(one, Profile)]
    a, b = (one.whole() for one in columns if isinstance(one, Numbers))
    a, b = a[np.isfinite(a)], b[np.isfinite(b)]
    if not len(a) or not len(b):
        return {}
    return {"ks": distance.exact_ks(a, b), "wasserstein": distance.exact_wasserstein(a, b)}


def _judged(rows: list[dict[str, object]], alpha: float, floor: float) -> list[dict[str, object]]:
    """The rows with their state: Holm's step-down over the columns that could be judged."""
    judged = sorted((row for row in rows if row.get("p") is not None), key=lambda row: float(str(row["p"])))
    reached = 0.0
    for place, row in enumerate(judged):
        reached = max(reached, min(1.0, float(str(row["p"])) * (len(judged) - place)))
        row["p"] = reached
        if not row["unjudged"]:
            row["smallest"] = _smallest(row, alpha / len(judged) / float(str(row["ways"])), floor)
    return [_said(row, alpha, floor) for row in rows]


def _smallest(row: dict[str, object], alpha: float, floor: float) -> float:
    """The least shift of all values that the rank-sum test would have called drift; of texts a move between two halves of the rows.

    What an effect measures beside a shift, such as a wider spread, the rank-sum test does not see: it says nothing of that.
    """
    from scipy.special import chdtri

    n, m, number = float(str(row["n_reference"])), float(str(row["n"])), row["kind"] == "number"
    reach = np.sqrt(chdtri(row.get("freedom", 1), alpha / (2 if number else 1)))
    return float(max(floor, reach * np.sqrt(1 / n + 1 / m) * (np.sqrt(np.pi / 3) if number else 0.5)))


def _said(row: dict[str, object], alpha: float, floor: float) -> dict[str, object]:
    shown = {key: value for key, value in row.items() if key in DRIFT}
    p, effect = (float(str(row[name])) if row.get(name) is not None else None for name in ("p", "effect"))
    beside = row.get("beside", "")
    drifted = p is not None and effect is not None and p < alpha and effect >= floor
    if p is None or effect is None or (row["unjudged"] and not drifted):
        return shown | {
            "state": "unknown",
            "effect": None,
            "p": None,
            "smallest": None,
            "why": f"{row.get('unjudged') or row['why']}{beside}",
        }
    chance = f"p {p:.2g} {'<' if p < alpha else '>='} {alpha:g}"
    small = f", below the floor of {floor:g}" if p < alpha and effect < floor else ""
    least = _least(row, drifted=drifted)
    why = f"{row['column']}: {row['said']}{small} ({chance}; n {row['n_reference']} and {row['n']}){least}.{beside}"
    return shown | {"state": "drifted" if drifted else "passed", "why": why}


def _least(row: dict[str, object], *, drifted: bool) -> str:
    """The least shift in words; none where the effect is no shift, and was judged otherwise than a shift of its size."""
    if "smallest" not in row:
        return ""
    smallest, effect = (round(float(str(row[name])), 3) for name in ("smallest", "effect"))
    if row["of_values"] and drifted != (effect >= smallest):
        return ""
    what = (
        f"a shift of all its values by {smallest:.3f}"
        if row["kind"] == "number"
        else f"another value in {smallest:.1%} of its rows"
    )
    return f"; {what} would have been seen"
