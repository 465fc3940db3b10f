"""What differs between two frames: columns by name and type, rows by key or as a multiset. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from lightkeeper.errors import Refused

__all__ = ["Difference", "SchemaDifference", "diff", "schema_difference"]

Frame = pl.LazyFrame | pl.DataFrame
Types = Mapping[str, pl.DataType]


@dataclass(frozen=True, slots=True)
class SchemaDifference:
    """Columns that only one side has, and columns whose type differs (old, new). Their order is no difference."""

    added: Types
    removed: Types
    retyped: Mapping[str, tuple[pl.DataType, pl.DataType]]

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.retyped)


@dataclass(frozen=True, slots=True)
class Difference:
    """What turns the old rows into the new ones. All frames hold the columns in `compared`, and are sorted by key.

    Attributes:
        schema: differences of the columns.
        key: the columns that say which row is which; empty where rows were compared whole, as a multiset.
        compared: the columns that both sides have, with the same type or with types that have a common one (Int32 and
            Int64). Values of other columns play no part.
        added: rows whose key only the new side has; as a multiset, rows as often as the new side has them more.
        removed: likewise for the old side.
        before: the rows of the old side that have another value on the new side under the same key.
        after: those rows on the new side, in the same order.
        changed_columns: how many rows changed in each column that changed.
        same: number of rows that both sides have alike.
    """

    schema: SchemaDifference
    key: tuple[str, ...]
    compared: tuple[str, ...]
    added: pl.DataFrame
    removed: pl.DataFrame
    before: pl.DataFrame
    after: pl.DataFrame
    changed_columns: Mapping[str, int]
    same: int

    def __bool__(self) -> bool:
        return bool(self.schema) or any(frame.height for frame in (self.added, self.removed, self.before))


def schema_difference(old: Types, new: Types) -> SchemaDifference:
    """Columns by name and type."""
    return SchemaDifference(
        added={c: dtype for c, dtype in new.items() if c not in old},
        removed={c: dtype for c, dtype in old.items() if c not in new},
        retyped={c: (dtype, new[c]) for c, dtype in old.items() if c in new and new[c] != dtype},
    )


def diff(old: Frame, new: Frame, key: Sequence[str] = ()) -> Difference:
    """Compare two frames. Nulls equal nulls, NaN equals NaN, -0.0 equals 0.0; the order of rows and columns is nothing.

    Args:
        old: the rows as they were.
        new: the rows as they are.
        key: columns that together are different in every row of a side; nulls may be among them. Without a key rows are
            compared whole, so that a changed row counts as one removed and one added.

    Raises:
        Refused: a key column is missing or is no plain value, a key is not unique (with an example), or the two sides
            have no column in common.
    """
    key = tuple(dict.fromkeys(key))
    was, now = old.lazy().collect_schema(), new.lazy().collect_schema()
    types = _common_types(was, now)
    _assert_key(key, was, now, types)
    if not types:
        raise Refused("The two have no column in common with the same type: there are no rows to compare.")
    columns = [pl.col(name).cast(dtype) for name, dtype in types.items()]
    left, right = old.lazy().select(columns).collect(), new.lazy().select(columns).collect()
    schema = schema_difference(was, now)
    return _by_key(schema, left, right, key) if key else _as_multiset(schema, left, right)


def _common_types(was: Types, now: Types) -> dict[str, pl.DataType]:
    both = {name: _common(dtype, now[name]) for name, dtype in was.items() if name in now}
    return {name: dtype for name, dtype in both.items() if dtype is not None}


def _common(one: pl.DataType, two: pl.DataType) -> pl.DataType | None:
    """A type that holds the values of both unchanged."""
    if one == two:
        return one
    if all(dtype.is_signed_integer() for dtype in (one, two)):
        return pl.Int64()
    if all(dtype.is_float() or dtype in (pl.Int8, pl.Int16, pl.Int32) for dtype in (one, two)):
        return pl.Float64()
    return None


def _assert_key(key: tuple[str, ...], was: Types, now: Types, types: Types) -> None:
    for name in key:
        for side, columns in (("old", was), ("new", now)):
            if name not in columns:
                raise Refused(f"The {side} rows have no column {name!r} to be a key. There are: {', '.join(columns)}.")
        if name not in types:
            raise Refused(f"Column {name!r} is {was[name]} in the old rows and {now[name]} in the new: it cannot be a key.")
        if types[name].is_nested():
            raise Refused(f"Column {name!r} is {types[name]}: a key is made of plain values, no lists and no structs.")


def _assert_unique(frame: pl.DataFrame, key: tuple[str, ...], side: str) -> None:
    counts = frame.select(key).group_by(key).agg(pl.len().alias(_free("n", key)))
    twice = counts.filter(pl.nth(-1) > 1).sort(key).head(1)
    if twice.height:
        *values, times = twice.row(0)
        example = ", ".join(f"{name}={_shown(value)}" for name, value in zip(key, values, strict=True))
        raise Refused(
            f"The key {', '.join(key)} is not unique: {example} occurs {times} times in the {side} rows. Add columns "
            "to the key, or compare whole rows by giving none."
        )


def _shown(value: object) -> str:
    return repr(value) if isinstance(value, str | bytes) else str(value)


def _free(name: str, taken: Sequence[str]) -> str:
    """`name`, made longer until no column has it."""
    while name in taken:
        name += "_"
    return name


def _by_key(schema: SchemaDifference, old: pl.DataFrame, new: pl.DataFrame, key: tuple[str, ...]) -> Difference:
    _assert_unique(old, key, "old")
    _assert_unique(new, key, "new")
    values = [name for name in old.columns if name not in key]
    both = _numbered(old, key, values, "o").join(
        _numbered(new, key, values, "n"), on=[f"k{i}" for i in range(len(key))], how="inner", nulls_equal=True
    )
    differs = {name: pl.col(f"o{i}").ne_missing(pl.col(f"n{i}")) for i, name in enumerate(values)}
    changed = both.filter(pl.any_horizontal(differs.values())) if differs else both.clear()
    changed = changed.sort([f"k{i}" for i in range(len(key))])
    counts = {name: int(changed.select(expression.sum()).item()) for name, expression in differs.items()}
    return Difference(
        schema=schema,
        key=key,
        compared=tuple(old.columns),
        added=new.join(old, on=key, how="anti", nulls_equal=True).sort(key),
        removed=old.join(new, on=key, how="anti", nulls_equal=True).sort(key),
        before=_named(changed, key, values, "o").select(old.columns),
        after=_named(changed, key, values, "n").select(old.columns),
        changed_columns={name: count for name, count in counts.items() if count},
        same=both.height - changed.height,
    )


def _numbered(frame: pl.DataFrame, key: Sequence[str], values: Sequence[str], prefix: str) -> pl.DataFrame:
    """Columns named by number, so that no name of a column can collide with one of the other side."""
    keys = [pl.col(name).alias(f"k{i}") for i, name in enumerate(key)]
    return frame.select(keys + [pl.col(name).alias(f"{prefix}{i}") for i, name in enumerate(values)])


def _named(frame: pl.DataFrame, key: Sequence[str], values: Sequence[str], prefix: str) -> pl.DataFrame:
    keys = [pl.col(f"k{i}").alias(name) for i, name in enumerate(key)]
    return frame.select(keys + [pl.col(f"{prefix}{i}").alias(name) for i, name in enumerate(values)])


def _as_multiset(schema: SchemaDifference, old: pl.DataFrame, new: pl.DataFrame) -> Difference:
    names, more = old.columns, _free("more", old.columns)
    sides = [new.with_columns(pl.lit(1, pl.Int64).alias(more)), old.with_columns(pl.lit(-1, pl.Int64).alias(more))]
    counts = pl.concat(sides).group_by(names).agg(pl.col(more).sum()).filter(pl.col(more) != 0).sort(names)
    added = _repeated(counts.filter(pl.col(more) > 0), more)
    removed = _repeated(counts.filter(pl.col(more) < 0), more)
    none = old.clear()
    return Difference(schema, (), tuple(names), added, removed, none, none, {}, new.height - added.height)


def _repeated(frame: pl.DataFrame, times: str) -> pl.DataFrame:
    """Each row as often as `times` says."""
    rows = pl.select(pl.int_range(frame.height).repeat_by(frame[times].abs()).explode()).to_series()
    return frame.drop(times)[rows.drop_nulls()]
