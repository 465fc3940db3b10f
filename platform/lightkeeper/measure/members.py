"""The level of a number among its members: what it is, on average, beside what each member usually has. Pure.

A price list's distribution moves whenever other products sell; the price of the same product does not. So the level of a day is
the median, over its rows, of the logarithm of a value over the median value that its member has in the reference. What mixes
members does not move it; a gauge that reads 7% high moves it by 7%.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import polars as pl

__all__ = ["Members", "level_of", "members_of"]

_FEWEST, _MOST = 8, 5_000  # members
_EACH = 3  # rows of a member in the reference
_POSITIVE = 0.7  # share of the values that are above 0
_AGAIN = 0.7  # share of later rows whose member was there before
_USUAL = "usual"  # beside the members' names: a text column of this name is no member


@dataclass(frozen=True, slots=True, eq=False)
class Members:
    """What each member usually has.

    Attributes:
        column: the number.
        member: the text column that names members.
        medians: one row a member: the member's name under its column, `usual` (above 0).
    """

    column: str
    member: str
    medians: pl.DataFrame = field(repr=False)


def members_of(rows: pl.DataFrame, numbers: Sequence[str]) -> dict[str, Members]:
    """For each number the text column that says most of its values, and what its members usually have.

    Args:
        rows: of the reference, in the order of time: only members that come again can be compared.
        numbers: the columns; those without a member that tells something, or seldom above 0, are left out.
    """
    texts = [name for name, dtype in rows.schema.items() if dtype == pl.String and name != _USUAL and _lasting(rows[name])]
    found = {}
    for number in numbers:
        known = rows.filter(pl.col(number).is_not_null())
        values = known.filter((pl.col(number) > 0) & pl.col(number).cast(pl.Float64).is_finite())
        if known.is_empty() or values.height < _POSITIVE * known.height:
            continue
        tried = [_fitted(values, number, text) for text in texts]
        best = min((one for one in tried if one is not None), key=lambda one: one[0], default=None)
        if best is not None:
            found[number] = best[1]
    return found


def level_of(rows: pl.DataFrame, members: Members) -> tuple[float | None, int]:
    """The level of some rows, a logarithm, and the rows that it stands on; None without any."""
    value = pl.col(members.column).cast(pl.Float64)
    known = rows.filter((value > 0) & value.is_finite())  # NaN is above 0 as well
    both = _beside(known, members)
    level = both.select((pl.col("value") / pl.col(_USUAL)).log().median()).item()
    return (None, 0) if level is None else (float(level), both.height)


def _lasting(texts: pl.Series) -> bool:
    """Whether a text names members: neither few nor a new one in each row."""
    names = texts.drop_nulls()
    if not _FEWEST <= names.n_unique() <= _MOST:
        return False
    split = 2 * len(names) // 3
    again = names[split:].is_in(names[:split].unique().implode()).mean()
    return float(str(again or 0.0)) >= _AGAIN


def _fitted(values: pl.DataFrame, number: str, text: str) -> tuple[float, Members] | None:
    """How far values lie from their member's median, and the medians; None where few members have enough rows."""
    named = values.select(member=pl.col(text), value=pl.col(number).cast(pl.Float64)).filter(pl.col("member").is_not_null())
    each = named.group_by("member").agg(pl.col("value").median().alias(_USUAL), pl.len().alias("rows"))
    usual = each.filter(pl.col("rows") >= _EACH).drop("rows").sort("member")
    if usual.height < _FEWEST:
        return None
    members = Members(number, text, usual.rename({"member": text}))
    both = _beside(values, members)
    if both.height < _POSITIVE * values.height:
        return None
    off = both.select((pl.col("value") / pl.col(_USUAL)).log().abs().mean()).item()
    return float(off), members


def _beside(rows: pl.DataFrame, members: Members) -> pl.DataFrame:
    """`value` and `usual` of the rows of known members: under these names, whatever the columns are called."""
    values = rows.select(member=pl.col(members.member), value=pl.col(members.column).cast(pl.Float64))
    return values.join(members.medians.rename({members.member: "member"}), on="member")
