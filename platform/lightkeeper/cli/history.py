"""`lightkeeper table history`: how a table came to be, its commits and the writes that changed nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from lightkeeper.cli.commits import commit_json, days_of, days_short, input_json, input_names
from lightkeeper.cli.options import HomeOption, JsonOption, again, open_lake
from lightkeeper.cli.show import Column, count, dim, grid, moment, print_json, print_text, short, text, timestamp, width
from lightkeeper.values import Input, TableVersion

if TYPE_CHECKING:
    from rich.console import RenderableType

    from lightkeeper.lake.record import Commit
    from lightkeeper.lake.table import Lake

__all__ = ["history"]

_WIDE = 100  # characters of a line from which on a range of days is written out


@dataclass(frozen=True, slots=True)
class _Line:
    """One line of a history: a commit, or a write that found its content there already."""

    version: TableVersion
    unchanged: bool
    known_at: datetime | None
    inputs: str
    run_id: str | None
    code_version: str | None
    commit: Commit | None = None


def history(
    table: Annotated[str, typer.Argument(metavar="T", help="A table.")],
    *,
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=0, help="At most so many lines; 0 for all.")] = 20,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show how a table came to be, newest first; writes that changed nothing are among it, marked `unchanged`."""
    lake = open_lake(home)
    if "@" in table:
        name = table.partition("@")[0]
        raise typer.BadParameter(
            f"{table!r} is one version, and a history is of a table: {again(f'table history {name}')}, "
            f"or look at the version: {again(f'table show {table}')}."
        )
    newest = lake.version(table)
    lines = _lines(lake, table, limit or None)
    shown = lines[: limit or None]
    if as_json:
        print_json({"table": table, "newest": newest.version, "lines": [_line_json(one) for one in shown]})
        return
    oldest = min(one.version.version for one in shown)
    cut = len(shown) < len(lines) or oldest > 0
    older = [dim(f"older lines, from @{oldest} back: {again(f'table history {table} --limit 0')}")] if cut else []
    print_text(_history(shown), *older)


def _lines(lake: Lake, table: str, limit: int | None) -> list[_Line]:
    commits = lake.history(table, limit)
    lines = [_made(commit) for commit in commits]
    oldest = min(commit.version.version for commit in commits)
    lines += [one for one in _unchanged(lake, table) if one.version.version >= oldest]
    return sorted(lines, key=_place, reverse=True)


def _place(one: _Line) -> tuple[int, bool, str]:
    return one.version.version, one.unchanged, one.known_at.isoformat() if one.known_at else ""


def _made(commit: Commit) -> _Line:
    names = input_names(commit.inputs)
    return _Line(commit.version, False, commit.known_at, names, commit.run_id, commit.code_version, commit)


def _unchanged(lake: Lake, table: str) -> Iterator[_Line]:
    for row in lake.unchanged.rows().iter_rows(named=True):
        if row["table"] == table:
            at, inputs = TableVersion(table, row["version"]), " ".join(row["inputs"] or []) or "-"
            yield _Line(at, True, row["known_at"], text(inputs), row["run_id"], row["code_version"])


def _line_json(one: _Line) -> dict[str, object]:
    if one.commit is not None:
        return {"unchanged": False, **commit_json(one.commit)}
    inputs = [TableVersion.parse(name) for name in one.inputs.split() if name != "-"]
    return {
        "unchanged": True,
        "version": one.version.version,
        "known_at": timestamp(one.known_at),
        "run_id": one.run_id,
        "code_version": one.code_version,
        "inputs": [input_json(Input(each)) for each in inputs],
    }


def _history(lines: Sequence[_Line]) -> RenderableType:
    commits = [one.commit for one in lines]
    days = days_of if width() >= _WIDE else days_short
    table, _ = grid([
        Column("version", [f"@{one.version.version}" for one in lines], right=True),
        Column("known at (UTC)", [moment(one.known_at) for one in lines]),
        Column("mode", [_mode(one) for one in lines]),
        Column("rows", [count(one.rows) if one else "" for one in commits], right=True, rank=1),
        Column("written", [count(one.rows_written) if one else "" for one in commits], right=True, rank=5),
        Column("days", [days(one.replaced) if one else "" for one in commits], rank=2),
        Column("inputs", [one.inputs for one in lines], rank=3, least=8),
        Column("run", [short(one.run_id) for one in lines], rank=4),
    ])  # fmt: skip
    return table


def _mode(one: _Line) -> str:
    if one.commit is None:
        return "unchanged"
    return text(one.commit.mode or one.commit.operation.lower())
