"""`lightkeeper table list | show | history | lineage`: what the lake says of its tables, read from the commits alone.

Comparing and migrating are in `difference`; how text is laid out is in `show`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lightkeeper.cli import difference
from lightkeeper.cli.show import (
    EPILOG,
    AsOfOption,
    Column,
    HomeOption,
    JsonOption,
    count,
    facts,
    grid,
    moment,
    open_lake,
    preview,
    print_json,
    print_text,
    records,
    short,
    size,
    text,
    timestamp,
    type_name,
    width,
)
from lightkeeper.errors import LightkeeperError, NoSuchVersion
from lightkeeper.values import Input, LandedFile, TableVersion

if TYPE_CHECKING:
    import polars as pl
    from rich.console import RenderableType
    from rich.tree import Tree

    from lightkeeper.lake.lineage import Node
    from lightkeeper.lake.record import Commit
    from lightkeeper.lake.table import Lake

__all__ = ["history", "lineage", "list_tables", "register", "show"]

_FEW_FILES = 3  # landed files that are listed; more are folded into one line
_WIDE = 100  # characters of a line from which on a range of days is written out
_NEVER = datetime.min.replace(tzinfo=UTC)
_DIGEST = 12  # hex digits of a sha256 that tell files apart at a glance

VersionArgument = Annotated[str, typer.Argument(metavar="T[@V]", help="A table (its newest version) or a version: sales@41.")]


def register(app: typer.Typer) -> None:
    """Adds the group `table` to the command."""
    group = typer.Typer(no_args_is_help=True)
    group.command("list", epilog=EPILOG)(list_tables)
    group.command("show", epilog=EPILOG)(show)
    group.command("history", epilog=EPILOG)(history)
    group.command("lineage", epilog=EPILOG)(lineage)
    difference.register(group)
    app.add_typer(group, name="table", help="Tables and their versions: list, show, compare, change.", epilog=EPILOG)


def _wanted(lake: Lake, given: str, as_of: date | None = None) -> TableVersion:
    """The version that `sales` or `sales@41` means. Raises NoSuchTable, NoSuchVersion, BadName."""
    if "@" not in given:
        return lake.resolve(given, as_of=as_of)
    if as_of is not None:
        raise typer.BadParameter(f"give a version, {given}, or --as-of {as_of}, not both.")
    wanted = TableVersion.parse(given)
    return lake.resolve(wanted.table, wanted)


# -- list -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Stored:
    """A version as it lies there. `rows`, `bytes` and `files` are None when its files are gone, and `gone` says so."""

    commit: Commit
    rows: int | None
    bytes: int | None
    files: int | None
    gone: str | None = None


def _stored(lake: Lake, version: TableVersion) -> _Stored:
    from lightkeeper.lake.gateway import live_files
    from lightkeeper.lake.versions import assert_files, open_version

    commit = lake.commit(version)
    try:
        handle = open_version(lake.store, version)
        assert_files(lake.store, version, handle)
        files = live_files(handle, None)
        rows = _rows(lake, version) if commit.rows is None else commit.rows
    except (LightkeeperError, OSError) as error:
        return _Stored(commit, commit.rows, None, None, str(error))
    return _Stored(commit, rows, sum(one.bytes for one in files), len(files))


def _rows(lake: Lake, version: TableVersion) -> int:
    import polars as pl

    return int(lake.read(version.table, version).select(pl.len()).collect().item())


def list_tables(
    *,
    newest_first: Annotated[bool, typer.Option("--newest-first", help="By the time they were recorded, not by name.")] = False,
    as_of: AsOfOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the tables and their newest versions."""
    lake = open_lake(home)
    found = [_stored(lake, version) for version in _known(lake, as_of)]
    if newest_first:
        found.sort(key=lambda one: one.commit.known_at or _NEVER, reverse=True)
    if as_json:
        print_json({"lake": lake.root, "as_of": as_of, "tables": [_listed_json(one) for one in found]})
    elif found:
        print_text(*_listed(lake, found))
    else:
        print_text(_none_yet(lake, as_of))


def _known(lake: Lake, as_of: date | None) -> Iterator[TableVersion]:
    for name in lake.tables():
        try:
            yield lake.resolve(name, as_of=as_of)
        except NoSuchVersion:  # it was not known then
            continue


def _none_yet(lake: Lake, as_of: date | None) -> str:
    if as_of is not None:
        return f"{lake.root} knew no table on {as_of}. Look without --as-of: lightkeeper table list"
    return (
        f"No tables yet in {lake.root}.\nLand and build: lightkeeper build, or materialize an asset in Dagster's UI: lightkeeper up"
    )


def _listed_json(one: _Stored) -> dict[str, object]:
    commit = one.commit
    return {
        "table": commit.version.table,
        "version": commit.version.version,
        "rows": one.rows,
        "bytes": one.bytes,
        "known_at": timestamp(commit.known_at),
        "asset": commit.asset,
        "inputs": [_input_json(each) for each in commit.inputs],
        "gone": one.gone,
    }


def _listed(lake: Lake, found: Sequence[_Stored]) -> list[RenderableType]:
    commits = [one.commit for one in found]
    table, _ = grid([
        Column("table", [commit.version.table for commit in commits]),
        Column("version", [f"@{commit.version.version}" for commit in commits], right=True),
        Column("rows", [count(one.rows) for one in found], right=True, rank=1),
        Column("size", ["gone" if one.gone else size(one.bytes) for one in found], right=True, rank=3),
        Column("known at (UTC)", [moment(commit.known_at) for commit in commits], rank=2),
        Column("inputs", [_input_names(commit.inputs) for commit in commits], rank=4, least=16),
    ])  # fmt: skip
    return [table, "", _dim(f"{len(found)} {'table' if len(found) == 1 else 'tables'} in {lake.root}")]


def _dim(line: str) -> RenderableType:
    from rich.text import Text

    return Text(line, style="dim")


def _input_names(inputs: Sequence[Input]) -> str:
    return " ".join(str(one.version) for one in inputs) or "-"


def _input_json(one: Input) -> dict[str, object]:
    return {"table": one.version.table, "version": one.version.version, "uri": one.uri}


def _file_json(one: LandedFile) -> dict[str, object]:
    return {"name": one.name, "sha256": one.sha256, "bytes": one.bytes, "rows": one.rows, "part": one.part}


# -- show -------------------------------------------------------------------------------------------------------


def show(
    version: VersionArgument,
    *,
    rows: Annotated[int, typer.Option("--rows", min=0, help="How many of its rows to show.")] = 5,
    as_of: AsOfOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show one version: what it holds, what it was made from, its first rows."""
    lake = open_lake(home)
    wanted = _wanted(lake, version, as_of)
    one = _stored(lake, wanted)
    frame = None if one.gone else lake.read(wanted.table, wanted).head(rows).collect()
    if as_json:
        print_json(_shown_json(lake, one, frame))
    else:
        print_text(*_shown(lake, one, frame))


def _shown_json(lake: Lake, one: _Stored, frame: pl.DataFrame | None) -> dict[str, object]:
    from lightkeeper.lake.lineage import sources_of

    commit = one.commit
    return {
        **_commit_json(commit),
        "table": commit.version.table,
        "newest": lake.version(commit.version.table).version,
        "path": lake.store.uri(commit.version.table),
        "rows": one.rows,
        "bytes": one.bytes,
        "files": one.files,
        "gone": one.gone,
        "schema": None if frame is None else {name: type_name(dtype) for name, dtype in frame.schema.items()},
        "content": None if commit.content_hash is None else {"algorithm": _algorithm(commit), "hash": commit.content_hash},
        "extra": commit.extra,
        "sources": [_file_json(file) for file in sources_of(lake, commit)],
        "head": None if frame is None else records(frame),
    }


def _commit_json(commit: Commit) -> dict[str, object]:
    return {
        "version": commit.version.version,
        "operation": commit.operation,
        "mode": commit.mode,
        "known_at": timestamp(commit.known_at),
        "asset": commit.asset,
        "run_id": commit.run_id,
        "code_version": commit.code_version,
        "git_commit": commit.git_commit,
        "git_dirty": commit.git_dirty,
        "inputs": [_input_json(one) for one in commit.inputs],
        "by": commit.by,
        "replaced": commit.replaced,
        "rows": commit.rows,
        "rows_written": commit.rows_written,
        "bytes_written": commit.bytes_written if commit.ours else None,
    }


def _algorithm(commit: Commit) -> str:
    return str((commit.record.get("content") or {}).get("algorithm"))


def _shown(lake: Lake, one: _Stored, frame: pl.DataFrame | None) -> list[RenderableType]:
    from rich.text import Text

    version = one.commit.version
    newest = lake.version(version.table)
    note = "the newest version" if version == newest else f"the newest is {newest}"
    head = Text.assemble((str(version), "bold"), (f"  {note}", "dim"))
    said = [*_facts(lake, one)]
    if frame is not None:
        said.append(("columns", ", ".join(f"{text(name)} {type_name(dtype)}" for name, dtype in frame.schema.items())))
    parts: list[RenderableType] = [head, facts(said)]
    if frame is not None and frame.height:
        parts += ["", *preview(frame)]
    return [*parts, "", _dim(f"lightkeeper table lineage {version}")]


def _facts(lake: Lake, one: _Stored) -> Iterator[tuple[str, str]]:
    from lightkeeper.lake.lineage import sources_of

    commit = one.commit
    if one.gone:
        yield "gone", one.gone
    yield "written", _how(commit)
    written = "" if commit.rows_written is None else f" ({count(commit.rows_written)} written)"
    files = f", {size(one.bytes)} in {count(one.files)} {'file' if one.files == 1 else 'files'}"
    yield "rows", f"{count(one.rows)}{written}{'' if one.gone else files}"
    if commit.known_at is not None:
        yield "known at", f"{moment(commit.known_at)} UTC"
    if commit.content_hash is not None:
        yield "content", f"{_algorithm(commit)} {commit.content_hash}"
    if commit.ours:
        yield "run", text(commit.run_id or "-")
        yield "code", _code(commit)
        yield "inputs", ", ".join(_where(each) for each in commit.inputs) or "none"
    landed = sources_of(lake, commit)
    if landed:
        yield "landed", "\n".join(_files(landed, all_files=False))
    if commit.extra:
        yield "also", "\n".join(f"{text(name)}: {text(value)}" for name, value in commit.extra.items())
    yield "stands in", lake.store.uri(commit.version.table)


def _how(commit: Commit) -> str:
    if not commit.ours:
        return f"by another program, which calls it {text(commit.operation)}"
    how = {"overwrite": "as a whole", "replace": f"{_days(commit.replaced)} replaced", "append": "rows added",
           "migrate": "as a migration of its schema"}  # fmt: skip
    asset = "" if commit.asset is None else f", by asset {text(commit.asset)}"
    return how.get(str(commit.mode), text(commit.mode)) + asset


def _code(commit: Commit) -> str:
    git = "no git commit" if commit.git_commit is None else f"git {text(commit.git_commit[:_DIGEST])}"
    dirty = ", uncommitted changes" if commit.git_dirty else ""
    return f"{text(commit.code_version or 'no code version')}, {git}{dirty}"


def _where(one: Input) -> str:
    return str(one.version) if one.uri is None else f"{one.version} in {text(one.uri)}"


def _days(days: Sequence[date]) -> str:
    """`2026-10-23`, `2026-10-01..2026-10-23` without gaps, `12 days` with gaps; `-` for none."""
    if not days:
        return "-"
    first, last = min(days), max(days)
    if first == last:
        return str(first)
    return f"{first}..{last}" if last - first == timedelta(len(set(days)) - 1) else f"{len(set(days))} days"


def _days_short(days: Sequence[date]) -> str:
    return _days(days) if len(set(days)) < 2 else f"{len(set(days))} days"  # noqa: PLR2004 - one day is named


def _counted(rows: int | None) -> str:
    return f"{count(rows)} {'row' if rows == 1 else 'rows'}"


def _files(files: Sequence[LandedFile], *, all_files: bool) -> list[str]:
    """A line for each file, or one line for many: how many they are, and from which to which."""
    if len(files) <= _FEW_FILES or all_files:
        return [f"{text(one.name)}  sha256 {one.sha256[:_DIGEST]}  {_counted(one.rows)}" for one in files]
    parts = [one.part for one in files if one.part is not None]
    ends = (min(parts), max(parts)) if len(parts) == len(files) else (text(files[0].name), text(files[-1].name))
    total = f"{_counted(sum(one.rows for one in files))}, {size(sum(one.bytes for one in files))}"
    return [f"{len(files)} files, {ends[0]} .. {ends[1]}, {total}"]


# -- history ----------------------------------------------------------------------------------------------------


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
    limit: Annotated[int, typer.Option("--limit", min=0, help="At most so many lines; 0 for all.")] = 20,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show how a table came to be, newest first; writes that changed nothing are among it, marked `unchanged`."""
    lake = open_lake(home)
    newest = lake.version(table)
    lines = _lines(lake, table, limit or None)
    shown = lines[: limit or None]
    if as_json:
        print_json({"table": table, "newest": newest.version, "lines": [_line_json(one) for one in shown]})
        return
    oldest = min(one.version.version for one in shown)
    cut = len(shown) < len(lines) or oldest > 0
    older = [_dim(f"older lines, from @{oldest} back: lightkeeper table history {table} --limit 0")] if cut else []
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
    names = _input_names(commit.inputs)
    return _Line(commit.version, False, commit.known_at, names, commit.run_id, commit.code_version, commit)


def _unchanged(lake: Lake, table: str) -> Iterator[_Line]:
    for row in lake.unchanged.rows().iter_rows(named=True):
        if row["table"] == table:
            at, inputs = TableVersion(table, row["version"]), " ".join(row["inputs"] or []) or "-"
            yield _Line(at, True, row["known_at"], text(inputs), row["run_id"], row["code_version"])


def _line_json(one: _Line) -> dict[str, object]:
    if one.commit is not None:
        return {"unchanged": False, **_commit_json(one.commit)}
    inputs = [TableVersion.parse(name) for name in one.inputs.split() if name != "-"]
    return {
        "unchanged": True,
        "version": one.version.version,
        "known_at": timestamp(one.known_at),
        "run_id": one.run_id,
        "code_version": one.code_version,
        "inputs": [_input_json(Input(each)) for each in inputs],
    }


def _history(lines: Sequence[_Line]) -> RenderableType:
    commits = [one.commit for one in lines]
    days = _days if width() >= _WIDE else _days_short
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


# -- lineage ----------------------------------------------------------------------------------------------------


def lineage(
    version: VersionArgument,
    *,
    down: Annotated[bool, typer.Option("--down", help="What was made from it, instead of what it was made from.")] = False,
    all_files: Annotated[bool, typer.Option("--files", help="List every landed file; many are folded otherwise.")] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what a version was made from, up to the landed files and their sha256; or what was made from it."""
    lake = open_lake(home)
    root = lake.lineage(_wanted(lake, version), down=down)
    if as_json:
        print_json({"direction": "down" if down else "up", **_node_json(root, down=down)})
        return
    nothing = [_dim("Nothing was made from it yet.")] if down and not root.nodes else []
    print_text(_tree(root, down=down, all_files=all_files), *nothing)


def _node_json(node: Node, *, down: bool) -> dict[str, Any]:
    commit = node.commit
    return {
        "version": str(node.version),
        "uri": node.uri,
        "seen": node.seen,
        "missing": node.missing,
        "mode": commit and commit.mode,
        "rows": commit and commit.rows,
        "known_at": commit and timestamp(commit.known_at),
        "run_id": commit and commit.run_id,
        "files": [_file_json(one) for one in node.files],
        "used_by" if down else "inputs": [_node_json(one, down=down) for one in node.nodes],
    }


def _tree(node: Node, *, down: bool, all_files: bool, parent: Node | None = None) -> Tree:
    from rich.tree import Tree

    tree = Tree(_label(node, parent if down else None), guide_style="dim")
    for one in node.nodes:
        tree.add(_tree(one, down=down, all_files=all_files, parent=node))
    for line in [] if down else _files(node.files, all_files=all_files):
        tree.add(_one_line(line))
    return tree


def _one_line(line: str) -> RenderableType:
    from rich.text import Text

    return Text(line, style="dim", no_wrap=True, overflow="ellipsis")


def _label(node: Node, parent: Node | None) -> RenderableType:
    from rich.text import Text

    label = Text.assemble((str(node.version), "bold"), (f"  {_said(node, parent)}", "red" if node.missing else ""))
    if node.missing is None and node.uri is None:
        label.no_wrap, label.overflow = True, "ellipsis"
    return label


def _said(node: Node, parent: Node | None) -> str:
    if node.missing is not None:
        return f"missing: {text(node.missing)}"
    if node.uri is not None:
        return f"outside this lake: {text(node.uri)}"
    if node.seen:
        return "shown elsewhere in this tree"
    return "" if node.commit is None else _made_how(node.commit, parent)


def _made_how(commit: Commit, parent: Node | None) -> str:
    if not commit.ours:
        return f"by another program ({text(commit.operation)})"
    again = parent is not None and parent.version not in {one.version for one in commit.inputs}
    how = "came out the same from it" if again else str(commit.mode)
    days = f" of {_days(commit.replaced)}" if commit.replaced and not again else ""
    return f"{how}{days}, {_counted(commit.rows)}, {moment(commit.known_at)}"
