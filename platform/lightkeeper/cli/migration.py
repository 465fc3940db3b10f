"""`lightkeeper table migrate`: a version that differs in schema, made on purpose; casts that lose nothing.

How a version is written stands in the lake.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from lightkeeper.cli.options import HomeOption, JsonOption, again, open_lake
from lightkeeper.cli.show import Column, count, did_you_mean, grid, print_json, print_text, text, type_name
from lightkeeper.errors import Refused, TypeRefused
from lightkeeper.values import TableVersion

if TYPE_CHECKING:
    import polars as pl
    from rich.console import RenderableType

__all__ = ["Migration", "migrate"]

_EXACT_DIGITS = {"Float32": 6, "Float64": 15}  # decimal digits that a float always keeps
_TYPES = (
    "Boolean", "Int8", "Int16", "Int32", "Int64", "Float32", "Float64", "Decimal(P,S)", "String", "Binary", "Date",
    "Datetime", "Datetime(UTC)",
)  # fmt: skip


def migrate(  # noqa: PLR0913 - the options of a command are its vocabulary, all named
    table: Annotated[str, typer.Argument(metavar="T", help="The table to change.")],
    *,
    why: Annotated[str, typer.Option("--why", metavar="TEXT", help="The reason; it is kept in the commit.")],
    rename: Annotated[list[str] | None, typer.Option("--rename", metavar="OLD=NEW", help="Name a column anew.")] = None,
    drop: Annotated[list[str] | None, typer.Option("--drop", metavar="COLUMN", help="Leave a column out.")] = None,
    cast: Annotated[
        list[str] | None, typer.Option("--cast", metavar="COLUMN=TYPE", help=f"Change a type: {', '.join(_TYPES)}.")
    ] = None,
    add: Annotated[list[str] | None, typer.Option("--add", metavar="COLUMN=TYPE", help="Add a column of nulls.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check it and show it, and make no version.")] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Change a table's schema on purpose, as one new version. Columns go by their present names."""
    lake = open_lake(home)
    was = lake.version(table)
    change = Migration.parse(table, rename or [], drop or [], cast or [], add or [])
    old, new = lake.schema(table, was), change.schema(lake.schema(table, was))
    if dry_run:
        change(lake.read(table, was))
        made = None
    else:
        made = lake.migrate(table, change, why)
    if as_json:
        types = [{name: type_name(dtype) for name, dtype in schema.items()} for schema in (old, new)]
        print_json({"old": str(was), "new": made and str(made), "old_schema": types[0], "new_schema": types[1], "why": why})
    else:
        print_text(*_migrated(was, made, change, old, new))


def _migrated(was: TableVersion, made: TableVersion | None, change: Migration, old: Types, new: Types) -> list[RenderableType]:
    from rich.text import Text

    pairs = [(name, change.renamed.get(name, name)) for name in old if name not in change.dropped]
    lines = [(name, type_name(old[name]), after, type_name(new[after])) for name, after in pairs]
    lines += [(name, type_name(old[name]), "dropped", "") for name in change.dropped]
    lines += [("", "", name, f"{type_name(dtype)}, null") for name, dtype in change.added.items()]
    heads = (str(was), "type", str(made) if made else "would become", "type")
    table = grid([Column(head, [text(line[i]) for line in lines], least=12) for i, head in enumerate(heads)])[0]
    if made is None:
        return [table, "", Text("Nothing was written. Without --dry-run this makes the next version.", style="dim")]
    return [table, "", f"{made} is made; {was} stays readable. {again(f'table show {made}')}"]


Types = Mapping[str, "pl.DataType"]


@dataclass(frozen=True, slots=True)
class Migration:
    """A change of schema. Called with a table's rows it returns the rows of the next version.

    All names are the present ones; `renamed` maps old names to new ones, `cast` and `added` map names to Polars types.
    """

    table: str
    renamed: Mapping[str, str]
    dropped: tuple[str, ...]
    cast: Types
    added: Types

    @classmethod
    def parse(cls, table: str, rename: Sequence[str], drop: Sequence[str], cast: Sequence[str], add: Sequence[str]) -> Migration:
        """From `a=b`, `c`, `c=Int64`, `c=Float64`. Raises Refused for what is no such text, a type included."""
        typed = [{name: _type(spec) for name, spec in _pairs(given, how).items()} for given, how in ((cast, "cast"), (add, "add"))]
        found = cls(table, _pairs(rename, "rename"), tuple(dict.fromkeys(drop)), typed[0], typed[1])
        if not (found.renamed or found.dropped or found.cast or found.added):
            raise Refused(f"{table}: nothing to change. Give --rename, --drop, --cast or --add.")
        return found

    def schema(self, old: Types) -> dict[str, pl.DataType]:
        """The new columns and types. Raises Refused when the change does not fit the columns that there are."""
        for name in (*self.renamed, *self.dropped, *self.cast):
            self._assert_there(name, old)
        for name in self.dropped:
            if name in self.renamed or name in self.cast:
                raise Refused(f"{self.table}: column {name!r} is to be dropped and to be changed. Choose one.")
        names = [self.renamed.get(name, name) for name in old if name not in self.dropped] + list(self.added)
        twice = [name for name in names if names.count(name) > 1]
        if twice:
            raise Refused(f"{self.table}: two columns would be named {twice[0]!r}. Rename or drop one of them.")
        kept = {self.renamed.get(name, name): self.cast.get(name, dtype) for name, dtype in old.items() if name not in self.dropped}
        return {**kept, **self.added}

    def __call__(self, rows: pl.LazyFrame) -> pl.LazyFrame:
        """The changed rows, lazily. Raises Refused, and TypeRefused when a cast would change a value."""
        import polars as pl

        old = dict(rows.collect_schema())
        self.schema(old)
        for name, dtype in self.cast.items():
            _assert_lossless(self.table, rows, name, old[name], dtype)
        kept = [self._column(name, dtype) for name, dtype in old.items() if name not in self.dropped]
        return rows.select(kept + [pl.lit(None, dtype).alias(name) for name, dtype in self.added.items()])

    def _column(self, name: str, dtype: pl.DataType) -> pl.Expr:
        import polars as pl

        target = self.cast.get(name)
        value = pl.col(name) if target is None else _converted(pl.col(name), dtype, target)
        return value.alias(self.renamed.get(name, name))

    def _assert_there(self, name: str, old: Types) -> None:
        if name in old:
            return
        before = [one for one, after in self.renamed.items() if after == name]
        hint = did_you_mean(name, old, f"There are: {', '.join(old)}.")
        if before:
            hint = f"Columns go by their present names: {before[0]}."
        raise Refused(f"{self.table} has no column {name!r}. {hint}")


def _pairs(given: Sequence[str], option: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for one in given:
        name, equals, value = one.partition("=")
        if not (name and equals and value):
            raise Refused(f"--{option} {one!r} is not understood: write it like --{option} {_EXAMPLE[option]}.")
        if found.setdefault(name, value) != value:
            raise Refused(f"--{option} names column {name!r} twice: {found[name]} and {value}. Choose one.")
    return found


_IN_PYTHON = "Say in Python what becomes of such values: lk.Lake(...).migrate(table, change, why)."
_EXAMPLE = {"rename": "old=new", "cast": "quantity=Int64", "add": "note=String"}


def _type(spec: str) -> pl.DataType:
    """The Polars type that a name such as `Int64` or `Decimal(10,2)` means. Raises Refused with the names there are."""
    import polars as pl

    plain = re.sub(r"\s", "", spec).lower()
    simple: dict[str, pl.DataType] = {
        name.lower(): getattr(pl, name)() for name in _TYPES if name.isalnum() and name != "Datetime"
    }  # fmt: skip
    simple |= {"datetime": pl.Datetime("us"), "datetime(utc)": pl.Datetime("us", "UTC")}
    decimal = re.fullmatch(r"decimal\((\d{1,2}),(\d{1,2})\)", plain)
    if decimal and int(decimal[2]) <= int(decimal[1]) <= 38 and int(decimal[1]):  # noqa: PLR2004 - the widest Decimal of Delta
        return pl.Decimal(int(decimal[1]), int(decimal[2]))
    if plain not in simple:
        raise Refused(f"{spec!r} is no type that a column can get. There are: {', '.join(_TYPES)}.")
    return simple[plain]


def _converted(value: pl.Expr, old: pl.DataType, new: pl.DataType) -> pl.Expr:
    """`value` as the new type, null where it cannot be."""
    import polars as pl

    if isinstance(old, pl.String) and isinstance(new, pl.Date):
        return value.str.to_date("%Y-%m-%d", strict=False)
    if isinstance(old, pl.String) and isinstance(new, pl.Datetime) and new.time_zone is None:
        return value.str.replace(" ", "T", literal=True).str.to_datetime("%Y-%m-%dT%H:%M:%S%.f", time_unit="us", strict=False)
    return value.cast(new, strict=False)


def _assert_lossless(table: str, rows: pl.LazyFrame, name: str, old: pl.DataType, new: pl.DataType) -> None:
    """Raise TypeRefused, with the number of rows and the first value, when the cast would change a value."""
    import polars as pl

    what = f"{table}: column {name!r} is {type_name(old)}"
    lost = rows.select(pl.col(name).alias("value")).filter(_loses(pl.col("value"), old, new))
    try:
        if old.is_nested():
            raise TypeRefused(f"{what} and cannot become {type_name(new)} by a cast. {_IN_PYTHON}")
        number, first = lost.select(pl.len().alias("n"), pl.col("value").first()).collect().row(0)
    except pl.exceptions.PolarsError as error:
        raise TypeRefused(f"{what} and cannot become {type_name(new)} by a cast. {_IN_PYTHON}") from error
    if number:
        values = "1 value, it is" if number == 1 else f"{count(number)} values, the first is"
        shown = repr(first) if isinstance(first, str) else str(first)
        raise TypeRefused(f"{what}; as {type_name(new)} it would change {values} {shown}. Nothing was written. {_IN_PYTHON}")


def _loses(value: pl.Expr, old: pl.DataType, new: pl.DataType) -> pl.Expr:
    """Whether a value comes back different from the new type. Text must be how the new type is written."""
    import polars as pl

    converted = _converted(value, old, new)
    if isinstance(new, pl.String):
        return converted.is_null() & value.is_not_null()
    if isinstance(old, pl.String) and new.is_float():
        digits = value.str.replace(r"[eE].*$", "").str.replace_all(r"[^0-9]", "").str.strip_chars_start("0").str.len_chars()
        return (converted.is_null() & value.is_not_null()) | (digits > _EXACT_DIGITS[str(new)]) | converted.is_infinite()
    if isinstance(old, pl.String) and isinstance(new, pl.Datetime):
        return (converted.is_null() & value.is_not_null()) | value.str.contains(r"\.\d{7}")
    return converted.cast(old, strict=False).ne_missing(value)
