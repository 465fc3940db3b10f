"""`lightkeeper table diff`: how two versions differ, as text or JSON.

What a difference is stands in `lightkeeper.measure.diff`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from lightkeeper.cli.options import HomeOption, JsonOption, open_lake, wanted_version
from lightkeeper.cli.show import Column, cell, count, counted, grid, preview, print_json, print_text, records, text, type_name
from lightkeeper.errors import Refused
from lightkeeper.values import TableVersion

if TYPE_CHECKING:
    from rich.console import RenderableType

    from lightkeeper.measure.diff import Difference, SchemaDifference

__all__ = ["diff"]

_DIFFERS = 1  # exit code, as of diff(1)


def diff(  # noqa: PLR0913 - the options of a command are its vocabulary, all named
    old: Annotated[str, typer.Argument(metavar="T@V1", help="The version as it was; T alone means the newest.")],
    new: Annotated[str, typer.Argument(metavar="T@V2", help="The version as it is; T alone means the newest.")],
    *,
    key: Annotated[
        str,
        typer.Option("--key", metavar="A,B", help="Columns that say which row is which; without them rows are compared whole."),
    ] = "",
    rows: Annotated[int, typer.Option("--rows", metavar="N", min=0, help="How many rows of each kind to show.")] = 5,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare two versions: columns, then rows by key. Exit code 1 when they differ."""
    from lightkeeper.measure.diff import diff as compare

    lake = open_lake(home)
    was, now = wanted_version(lake, old), wanted_version(lake, new)
    keys = [one.strip() for one in key.split(",") if one.strip()]
    try:
        found = compare(lake.read(was.table, was), lake.read(now.table, now), keys)
    except Refused as error:
        raise Refused(f"{was} (old) and {now} (new) cannot be compared so. {error}") from error
    if as_json:
        print_json(_difference_json(was, now, found, rows))
    else:
        print_text(*_difference(was, now, found, rows))
    if found:
        raise typer.Exit(_DIFFERS)


def _schema_json(found: SchemaDifference) -> dict[str, object]:
    return {
        "added": {name: type_name(dtype) for name, dtype in found.added.items()},
        "removed": {name: type_name(dtype) for name, dtype in found.removed.items()},
        "retyped": {name: {"old": type_name(old), "new": type_name(new)} for name, (old, new) in found.retyped.items()},
    }


def _difference_json(was: TableVersion, now: TableVersion, found: Difference, rows: int) -> dict[str, object]:
    pairs = zip(records(found.before.head(rows)), records(found.after.head(rows)), strict=True)
    return {
        "old": str(was),
        "new": str(now),
        "differs": bool(found),
        "schema": _schema_json(found.schema),
        "key": found.key,
        "compared": found.compared,
        "rows": {
            "added": found.added.height,
            "removed": found.removed.height,
            "changed": found.before.height if found.key else None,
            "same": found.same,
        },
        "changed_columns": found.changed_columns,
        "added": records(found.added.head(rows)),
        "removed": records(found.removed.head(rows)),
        "changed": [{"old": old, "new": new} for old, new in pairs],
    }


def _difference(was: TableVersion, now: TableVersion, found: Difference, rows: int) -> list[RenderableType]:
    from rich.text import Text

    if not found:
        return [f"{was} and {now} hold the same: {counted(found.same)}."]
    head = Text.assemble((f"{was} -> {now}", "bold"), f"  rows compared {_by(found)}")
    parts: list[RenderableType] = [head, *_schema_lines(found.schema), _counts(found)]
    for name, frame in (("added", found.added), ("removed", found.removed)):
        if frame.height and rows:
            parts += ["", Text(_some(name, frame.height, rows), style="bold"), *preview(frame.head(rows))]
    if found.before.height and rows:
        parts += ["", Text(_some("changed", found.before.height, rows), style="bold"), _changes(found, rows)]
    if not found.key and found.added.height and found.removed.height:
        parts += ["", Text("--key a,b tells changed rows from new ones", style="dim")]
    return parts


def _by(found: Difference) -> str:
    return f"by {text(', '.join(found.key))}" if found.key else "whole"


def _some(name: str, height: int, rows: int) -> str:
    return f"{name} ({count(height)})" if height <= rows else f"{name} (the first {rows} of {count(height)})"


def _schema_lines(found: SchemaDifference) -> list[str]:
    lines = [f"  column {text(name)} added, {type_name(dtype)}" for name, dtype in found.added.items()]
    lines += [f"  column {text(name)} removed, {type_name(dtype)}" for name, dtype in found.removed.items()]
    return lines + [
        f"  column {text(name)} is {type_name(new)}, was {type_name(old)}" for name, (old, new) in found.retyped.items()
    ]


def _counts(found: Difference) -> str:
    changed = f"{count(found.before.height)} changed, " if found.key else ""
    where = ", ".join(f"{text(name)} {count(rows)}" for name, rows in found.changed_columns.items())
    added, removed = count(found.added.height), count(found.removed.height)
    line = f"  rows: {added} added, {removed} removed, {changed}{count(found.same)} same"
    return line + (f"\n  changed in: {where}" if where else "")


def _changes(found: Difference, rows: int) -> RenderableType:
    """A line for each value that changed in the first rows: key, column, old, new."""
    lines: list[tuple[str, ...]] = []
    for old, new in zip(found.before.head(rows).iter_rows(named=True), found.after.head(rows).iter_rows(named=True), strict=True):
        key = tuple(cell(old[name]) for name in found.key)
        differ = [name for name in found.changed_columns if repr(old[name]) != repr(new[name])]
        lines += [(*key, text(name), cell(old[name]), cell(new[name])) for name in differ]
    heads = (*(text(name) for name in found.key), "column", "old", "new")
    return grid([Column(head, [line[i] for line in lines], least=10) for i, head in enumerate(heads)])[0]
