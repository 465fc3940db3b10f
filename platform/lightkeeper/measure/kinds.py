"""What kind of shift it is, with its evidence. Pure: the rows of two windows in, a word and a sentence out.

An instrument that lost its calibration moves one number by the same factor everywhere, and nothing else. A
population that moved changes the shares of its members, who stay what they were. What is neither is left untold here: whether
the world changed (a concept) is seen in the errors of a model whose inputs did not move, and a late file in the arrivals.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

__all__ = ["Told", "tell"]

_EACH = 3  # values that a member needs on either side
_MEMBERS = 8
_SAME = 0.7  # share of the members that moved alike
_ALIKE = 0.25  # of the shift: members that moved by so much more or less moved alike
_LEAST = 0.01
_FEW = 0.5  # share of the numbers that may move when one instrument is off
_MOVED = 0.05  # total variation


@dataclass(frozen=True, slots=True)
class Told:
    """A kind of shift and the sentence that it rests on."""

    kind: str | None
    evidence: str


def tell(before: pl.DataFrame, now: pl.DataFrame, drifted: Sequence[str]) -> Told:
    """The kind of a shift.

    Args:
        before: rows of the reference.
        now: rows of the days that drifted, with the same columns.
        drifted: the columns that drifted.

    Returns:
        `instrument`, `population`, or None where neither shows.
    """
    numbers = [name for name in now.columns if now.schema[name].is_numeric() and name in before.columns]
    texts = [name for name in now.columns if now.schema[name] == pl.String and name in before.columns]
    moved = [name for name in drifted if name in numbers]
    if moved and len(moved) <= max(1, _FEW * len(numbers)):
        for name in moved:
            found = _instrument(before, now, name, texts)
            if found is not None:
                return found
    shares = [one for one in (_population(before, now, name) for name in drifted if name in texts) if one is not None]
    if shares:
        return shares[0]
    return Told(None, "Neither one factor for all members nor another mix of them explains it.")


def _instrument(before: pl.DataFrame, now: pl.DataFrame, column: str, members: Sequence[str]) -> Told | None:
    """One factor, or one amount, by which each member's median moved; None where they do not agree."""
    for member in members:
        both = _medians(before, column, member).join(_medians(now, column, member), on="member", suffix="_now")
        if both.height < _MEMBERS:
            continue
        old, new = both["value"].to_numpy(), both["value_now"].to_numpy()
        positive = (old > 0) & (new > 0)
        if positive.mean() > _SAME:
            logs = np.log(new[positive] / old[positive])
            shift = float(np.median(logs))
            alike = np.abs(logs - shift) <= max(_ALIKE * abs(shift), _LEAST / 4)
            if abs(shift) >= _LEAST and alike.mean() >= _SAME:
                return Told(
                    "instrument",
                    f"{column} is {np.exp(shift):.3f} x what it was in {alike.mean():.0%} of {len(logs)} values of {member}.",
                )
    return None


def _medians(rows: pl.DataFrame, column: str, member: str) -> pl.DataFrame:
    """`member`, `value`: the names of the columns are left behind, since any could be in the way."""
    known = rows.select(member=pl.col(member), value=pl.col(column).cast(pl.Float64)).drop_nulls()
    each = known.group_by("member").agg(pl.col("value").median(), pl.len().alias("rows"))
    return each.filter(pl.col("rows") >= _EACH).drop("rows")


def _population(before: pl.DataFrame, now: pl.DataFrame, column: str) -> Told | None:
    """The member whose share moved most; None where the mix is what it was."""
    shares = [_shares(rows, column, name) for rows, name in ((before, "old"), (now, "new"))]
    both = shares[0].join(shares[1], on="member", how="full", coalesce=True).fill_null(0.0)
    apart = both.with_columns(moved=pl.col("new") - pl.col("old")).sort(pl.col("moved").abs(), descending=True)
    if apart["moved"].abs().sum() / 2 < _MOVED:
        return None
    names = [f"{name} from {old:.1%} to {new:.1%}" for name, old, new, _ in apart.head(2).iter_rows()]
    return Told("population", f"The mix of {column} moved: {', '.join(names)}.")


def _shares(rows: pl.DataFrame, column: str, name: str) -> pl.DataFrame:
    counts = rows[column].drop_nulls().alias("member").value_counts(name="rows")
    return counts.select("member", (pl.col("rows") / max(1, int(counts["rows"].sum()))).alias(name))
