"""What a contract says, and which rows keep it. Pure: frames in, values out; no I/O, no clock.

A contract is a plain dataframely Schema. What the platform adds stands in the metadata of its columns:
`{"known_ahead": True}` for what is known a horizon ahead, `{"from": ("daily_demand.units",)}` for what it is made of.

How text becomes values stands in `reading`. Which files and tables the rows come from stays out: see `lake.landing`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from types import new_class
from typing import cast

import dataframely as dy
import polars as pl

from lightkeeper.errors import BadDeclaration, Refused
from lightkeeper.measure.reading import read_texts, rule_of, type_text

__all__ = [
    "ColumnNote",
    "Split",
    "cast_rules",
    "check",
    "column_lineage",
    "columns",
    "empty",
    "known_ahead",
    "rules",
    "split",
]

Schema = type[dy.Schema]

RULE = "rule"  # the column of a rejected row that names the rules it broke
_NUMBER = "number of the row"  # within one frame; no contract's column may be called so
_SHOWN = 60  # characters of a value in an error

_FACTS = {
    "nullability": "is_given",
    "unique": "is_unique",
    "regex": "has_its_form",
    "min_length": "is_long_enough",
    "max_length": "is_short_enough",
    "min": "is_large_enough",
    "min_exclusive": "is_large_enough",
    "max": "is_small_enough",
    "max_exclusive": "is_small_enough",
    "is_in": "is_a_listed_value",
    "nan": "is_a_number",
    "inf": "is_finite",
    "resolution": "is_a_whole_step",
}

_LIMITS = {"min": ">=", "min_exclusive": ">", "max": "<=", "max_exclusive": "<", "regex": "matches", "is_in": "one of"}


@dataclass(frozen=True, slots=True)
class ColumnNote:
    """What a contract says of one column.

    Attributes:
        name: the column.
        type: Polars' name of the type, such as `Int64`, `Datetime(us)`.
        nullable: whether a value may be missing.
        description: meaning and unit, for people; None where the contract is silent.
        constraints: rules that involve the column, limits spelled out.
    """

    name: str
    type: str
    nullable: bool
    description: str | None
    constraints: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Split:
    """Raw rows, parted by a contract. Every raw row is in exactly one of the two frames, in the order it came.

    Attributes:
        accepted: the contract's columns, typed, then the kept columns that the contract does not name.
        rejected: the kept columns, the contract's other columns as they came, and `rule`: every rule that the row
            broke, sorted, with commas between.
        counts: rule -> rows that broke it; rules that no row broke are not listed.
    """

    accepted: pl.DataFrame
    rejected: pl.DataFrame
    counts: Mapping[str, int]


def known_ahead(schema: Schema) -> tuple[str, ...]:
    """Columns declared as known a horizon ahead, in the contract's order."""
    return tuple(name for name, column in schema.columns().items() if (column.metadata or {}).get("known_ahead"))


def column_lineage(schema: Schema) -> dict[str, tuple[str, ...]]:
    """Column -> the columns it is made of, as `table.column`; columns that do not say are left out.

    Raises BadDeclaration where "from" is no sequence of `table.column`.
    """
    declared = {name: (column.metadata or {}).get("from") for name, column in schema.columns().items()}
    return {name: _parents(schema, name, found) for name, found in declared.items() if found is not None}


def columns(schema: Schema) -> tuple[ColumnNote, ...]:
    """A note on each column, in the contract's order."""
    return tuple(
        ColumnNote(name, type_text(column.dtype), column.nullable, column.description, (*_constraints(schema, name),))
        for name, column in schema.columns().items()
    )


def empty(schema: Schema) -> pl.DataFrame:
    """The contract's columns with their types, and no row."""
    return pl.DataFrame(schema=_types(schema))


def rules(schema: Schema) -> dict[str, tuple[str, ...]]:
    """Rule -> the columns it judges, in the contract's order; all of them where a rule does not name its columns."""
    return {_fact(schema, rule): names for rule, names in _judged(schema).items()}


def cast_rules(schema: Schema) -> dict[str, str]:
    """Rule that a text breaks which does not have its type's form -> its column."""
    named = {name: rule_of(name, column.dtype) for name, column in schema.columns().items()}
    return {rule: name for name, rule in named.items() if rule}


def split(raw: pl.DataFrame, schema: Schema, keep: tuple[str, ...] = ("file", "row")) -> Split:
    """Parts raw rows into those that keep the contract and those that break it; nothing is lost.

    A rule over several rows (no repeated line, a unique key) is judged among the rows whose values could all be read.
    Of a row with a value that could not be read, only the rules that do not need this value are judged.

    Args:
        raw: the contract's columns, each as text (String), or already in the contract's type; and those of `keep`.
        schema: the contract.
        keep: columns that say where a row came from; they are handed through as they are.

    Raises:
        Refused: `raw` lacks a column, has one too many, or has one in another type.
        BadDeclaration: the contract has a type that text cannot become, or a column named `rule`.
    """
    _refuse_other_raw(raw, schema, keep)
    values, unread = read_texts(raw, _types(schema))
    others = raw.select(name for name in raw.columns if name not in values.columns)
    typed = values.hstack(others).with_row_index(_NUMBER)
    broken = _broken_by_text(unread, schema)
    whole = unread.select(~pl.any_horizontal(pl.lit(value=False), *unread.columns)).to_series()
    if whole.all():
        broken = pl.concat([broken, _broken(typed, schema)])
    else:
        beside = _without_unread(_broken(typed, schema), unread, schema)
        broken = pl.concat([broken, beside, _broken(typed.filter(whole), schema)])
    return _parted(raw, typed, broken, keep)


def check(frame: pl.DataFrame, schema: Schema) -> pl.DataFrame:
    """`frame` with its columns in the contract's order, if it keeps the contract.

    Raises Refused, naming the column, the first row (0 is the frame's first) and the rule.
    """
    wanted = _types(schema)
    wrong = [
        f"{name} is {type_text(frame.schema[name])}, the contract says {type_text(dtype)}"
        for name, dtype in wanted.items()
        if name in frame.columns and frame.schema[name] != dtype
    ]
    _refuse_other_columns(frame.columns, wanted, f"A frame for {schema.__name__}")
    if wrong:
        raise Refused(f"A frame for {schema.__name__} has other types: {'; '.join(wrong)}. Cast it before.")
    frame = frame.select(list(wanted))
    broken = _broken(frame.with_row_index(_NUMBER), schema)
    if not broken.is_empty():
        raise Refused(_first_break(frame, broken, schema))
    return frame


# ---- what a contract declares


def _types(schema: Schema) -> dict[str, pl.DataType]:
    return {name: column.dtype for name, column in schema.columns().items()}


def _parents(schema: Schema, name: str, found: object) -> tuple[str, ...]:
    parents = tuple(found) if isinstance(found, tuple | list) else ()
    if not parents or not all(isinstance(one, str) and one.count(".") == 1 for one in parents):
        raise BadDeclaration(f'{schema.__name__}.{name} is declared as made from {found!r}: write it like ("daily_demand.units",).')
    return parents


def _constraints(schema: Schema, name: str) -> Iterator[str]:
    """Limits of a column, spelled out, then the named rules that judge it."""
    column = schema.columns()[name]
    if column.primary_key:
        yield "part of the primary key"
    for limit, word in _LIMITS.items():
        if (value := getattr(column, limit, None)) is not None:
            yield f"{word} {value}"
    for rule, judged in _judged(schema).items():
        if name in judged and ("|" not in rule or "|check" in rule or rule.endswith("|unique")):
            yield _fact(schema, rule)


def _judged(schema: Schema) -> dict[str, tuple[str, ...]]:
    """The columns that each rule judges, by dataframely's name of the rule."""
    every = tuple(schema.column_names())
    own = {
        name: tuple(factory.make(schema).expr.meta.root_names())
        for cls in reversed(schema.__mro__)
        for name, factory in vars(cls).items()
        if callable(getattr(factory, "make", None))
    }
    judged = {name: tuple(column for column in every if column in roots) or every for name, roots in own.items()}
    if key := schema.primary_key():
        judged["primary_key"] = tuple(key)
    for name, column in schema.columns().items():
        judged |= {f"{name}|{rule}": (name,) for rule in column.validation_rules(pl.col(name))}
    return judged


def _fact(schema: Schema, rule: str) -> str:
    """The name that people read: `quantity|nullability` is `quantity_is_given`."""
    if rule == "primary_key":
        return "_and_".join(schema.primary_key()) + "_is_unique"
    column, bar, kind = rule.partition("|")
    return f"{column}_{_FACTS.get(kind, kind.removeprefix('check__'))}" if bar else rule


# ---- rules: every break is one row (number of the row, rule)

_BREAKS = pl.Schema({_NUMBER: pl.UInt32(), RULE: pl.String()})


def _breaks(number: pl.Series, rule: str) -> pl.DataFrame:
    return pl.DataFrame({_NUMBER: number}, schema={_NUMBER: pl.UInt32()}).with_columns(pl.lit(rule).alias(RULE))


def _together(breaks: Iterable[pl.DataFrame]) -> pl.DataFrame:
    return pl.concat([pl.DataFrame(schema=_BREAKS), *breaks])


def _broken_by_text(unread: pl.DataFrame, schema: Schema) -> pl.DataFrame:
    named = {column: rule for rule, column in cast_rules(schema).items()}
    return _together(_breaks(unread[name].arg_true(), named[name]) for name in unread.columns)


@cache
def _numbered(schema: Schema) -> Schema:
    """The contract with the row number as a further column: dataframely hands on only what a schema names."""
    return cast("Schema", new_class(schema.__name__, (schema,), {}, lambda body: body.update({_NUMBER: dy.UInt32()})))


def _broken(typed: pl.DataFrame, schema: Schema) -> pl.DataFrame:
    """Every break of the contract's own rules in `typed`, which has a row number."""
    details = _numbered(schema).filter(typed).failure.details()
    return _together(_breaks(details.filter(pl.col(rule) == "invalid")[_NUMBER], _fact(schema, rule)) for rule in _judged(schema))


def _without_unread(broken: pl.DataFrame, unread: pl.DataFrame, schema: Schema) -> pl.DataFrame:
    """Of the rows with a text that could not be read, the breaks of rules that do not need such a value."""
    known = unread.with_row_index(_NUMBER).filter(pl.any_horizontal(unread.columns))
    beside = broken.join(known, on=_NUMBER)
    need = {rule: [name for name in names if name in unread.columns] for rule, names in rules(schema).items()}
    kept = [beside.filter((pl.col(RULE) == rule) & ~pl.any_horizontal(pl.lit(value=False), *names)) for rule, names in need.items()]
    return _together(one.select(_NUMBER, RULE) for one in kept)


def _parted(raw: pl.DataFrame, typed: pl.DataFrame, broken: pl.DataFrame, keep: tuple[str, ...]) -> Split:
    broke = broken.unique().group_by(_NUMBER).agg(pl.col(RULE).sort().str.join(",")).sort(_NUMBER)
    fine = pl.repeat(value=True, n=raw.height, eager=True, dtype=pl.Boolean).scatter(broke[_NUMBER], values=False)
    others = [name for name in raw.columns if name not in keep]
    counts = broken.unique().group_by(RULE).len().sort(RULE)
    return Split(
        accepted=typed.drop(_NUMBER).filter(fine),
        rejected=raw.select(*keep, *others).filter(~fine).with_columns(broke[RULE]),
        counts=dict(counts.iter_rows()),
    )


# ---- refusals


def _refuse_other_raw(raw: pl.DataFrame, schema: Schema, keep: tuple[str, ...]) -> None:
    if RULE in {*schema.column_names(), *keep}:
        raise BadDeclaration(f"{schema.__name__}: a column may not be called {RULE!r}, which names the broken rules.")
    _refuse_other_columns(raw.columns, {*schema.column_names(), *keep}, f"Raw rows for {schema.__name__}")
    for name, column in schema.columns().items():
        if raw.schema[name] not in (pl.String(), column.dtype):
            wanted = f"text or {type_text(column.dtype)}"
            raise Refused(f"Raw rows for {schema.__name__}: {name} is {type_text(raw.schema[name])}, not {wanted}.")


def _refuse_other_columns(found: Iterable[str], wanted: Iterable[str], what: str) -> None:
    missing, additional = sorted({*wanted} - {*found}), sorted({*found} - {*wanted})
    if missing or additional:
        lacks = f"lack {missing}" if missing else ""
        has = f"have {additional} too many" if additional else ""
        raise Refused(f"{what}: the columns {' and '.join(filter(None, (lacks, has)))}.")


def _first_break(frame: pl.DataFrame, broken: pl.DataFrame, schema: Schema) -> str:
    rows = broken[_NUMBER].n_unique()
    number, rule = broken.sort(_NUMBER, RULE).row(0)
    shown = {name: str(frame[number, name])[:_SHOWN] for name in (*schema.primary_key(), *rules(schema)[rule])}
    values = ", ".join(f"{name}={value!r}" for name, value in shown.items())
    return (
        f"A frame for {schema.__name__} breaks its contract: row {number} breaks {rule} ({values}); "
        f"{rows} of {frame.height} rows break it. Nothing was written."
    )
