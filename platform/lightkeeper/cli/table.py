"""`lightkeeper table`: the group of commands, and `list` and `show`, which say what the lake holds.

The other commands stand in a module each: `history`, `lineage`, `difference` (diff), `migration` (migrate).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from lightkeeper.cli import difference, history, lineage, migration
from lightkeeper.cli.commits import DIGEST, algorithm, commit_json, days_of, file_json, file_lines, input_json, input_names
from lightkeeper.cli.matching import matching
from lightkeeper.cli.options import EPILOG, AsOfOption, HomeOption, JsonOption, VersionArgument, again, open_lake, wanted_version
from lightkeeper.cli.show import (
    Column,
    count,
    counted,
    dim,
    facts,
    grid,
    moment,
    preview,
    print_json,
    print_text,
    records,
    size,
    text,
    timestamp,
    type_name,
)
from lightkeeper.errors import LightkeeperError, NoSuchVersion
from lightkeeper.values import Input, TableVersion

if TYPE_CHECKING:
    import polars as pl
    from rich.console import RenderableType

    from lightkeeper.lake.record import Commit
    from lightkeeper.lake.table import Lake

__all__ = ["list_tables", "register", "show"]

_NEVER = datetime.min.replace(tzinfo=UTC)


def register(app: typer.Typer) -> None:
    """Adds the group `table` to the command."""
    group = typer.Typer(no_args_is_help=True)
    group.command("list", epilog=EPILOG)(list_tables)
    group.command("show", epilog=EPILOG)(show)
    group.command("history", epilog=EPILOG)(history.history)
    group.command("lineage", epilog=EPILOG)(lineage.lineage)
    group.command("diff", epilog=EPILOG)(difference.diff)
    group.command("migrate", epilog=EPILOG)(migration.migrate)
    app.add_typer(group, name="table", help="Tables and their versions: list, show, compare, change.", epilog=EPILOG)


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
    from lightkeeper.lake.handles import assert_files, open_version

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
        return f"{lake.root} knew no table on {as_of}. Look without --as-of: {again('table list')}"
    return (
        f"No tables yet in {lake.root}.\nLand and build: {again('build')}, or materialize an asset in Dagster's UI: {again('up')}"
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
        "inputs": [input_json(each) for each in commit.inputs],
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
        Column("inputs", [input_names(commit.inputs) for commit in commits], rank=4, least=16),
    ])  # fmt: skip
    return [table, "", dim(f"{counted(len(found), 'table')} in {lake.root}")]


# -- show -------------------------------------------------------------------------------------------------------


def show(  # noqa: PLR0913 - the options of a command
    version: VersionArgument,
    *,
    rows: Annotated[int, typer.Option("--rows", metavar="N", min=0, help="How many of its rows to show.")] = 5,
    where: Annotated[
        list[str] | None, typer.Option("--where", metavar="C=VALUE", help="Only rows with that value, such as product=85123A.")
    ] = None,
    as_of: AsOfOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show one version: what it holds, what it was made from, its first rows."""
    lake = open_lake(home)
    wanted = wanted_version(lake, version, as_of)
    one = _stored(lake, wanted)
    frame = None if one.gone else matching(lake.read(wanted.table, wanted), where or [], str(wanted)).head(rows).collect()
    if as_json:
        print_json(_shown_json(lake, one, frame))
    else:
        print_text(*_shown(lake, one, frame))


def _shown_json(lake: Lake, one: _Stored, frame: pl.DataFrame | None) -> dict[str, object]:
    from lightkeeper.lake.lineage import sources_of

    commit = one.commit
    return {
        **commit_json(commit),
        "table": commit.version.table,
        "newest": lake.version(commit.version.table).version,
        "path": lake.store.uri(commit.version.table),
        "rows": one.rows,
        "bytes": one.bytes,
        "files": one.files,
        "gone": one.gone,
        "schema": None if frame is None else {name: type_name(dtype) for name, dtype in frame.schema.items()},
        "content": None if commit.content_hash is None else {"algorithm": algorithm(commit), "hash": commit.content_hash},
        "extra": commit.extra,
        "sources": [file_json(file) for file in sources_of(lake, commit)],
        "head": None if frame is None else records(frame),
    }


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
    return [*parts, "", dim(again(f"table lineage {version}"))]


def _facts(lake: Lake, one: _Stored) -> Iterator[tuple[str, str]]:
    from lightkeeper.lake.lineage import sources_of

    commit = one.commit
    if one.gone:
        yield "gone", one.gone
    yield "written", _how(commit)
    written = "" if commit.rows_written is None else f" ({count(commit.rows_written)} written)"
    files = f", {size(one.bytes)} in {counted(one.files, 'file')}"
    yield "rows", f"{count(one.rows)}{written}{'' if one.gone else files}"
    if commit.known_at is not None:
        yield "known at", f"{moment(commit.known_at)} UTC"
    if commit.content_hash is not None:
        yield "content", f"{algorithm(commit)} {commit.content_hash}"
    if commit.ours:
        yield "run", text(commit.run_id or "-")
        yield "code", _code(commit)
        yield "inputs", ", ".join(_where(each) for each in commit.inputs) or "none"
    landed = sources_of(lake, commit)
    if landed:
        yield "landed", "\n".join(file_lines(landed, all_files=False))
    if commit.extra:
        yield "also", "\n".join(f"{text(name)}: {text(value)}" for name, value in commit.extra.items())
    yield "stands in", lake.store.uri(commit.version.table)


def _how(commit: Commit) -> str:
    if not commit.ours:
        return f"by another program, which calls it {text(commit.operation)}"
    how = {"overwrite": "as a whole", "replace": f"{days_of(commit.replaced)} replaced", "append": "rows added",
           "migrate": "as a migration of its schema"}  # fmt: skip
    asset = "" if commit.asset is None else f", by asset {text(commit.asset)}"
    return how.get(str(commit.mode), text(commit.mode)) + asset


def _code(commit: Commit) -> str:
    git = "no git commit" if commit.git_commit is None else f"git {text(commit.git_commit[:DIGEST])}"
    dirty = ", uncommitted changes" if commit.git_dirty else ""
    return f"{text(commit.code_version or 'no code version')}, {git}{dirty}"


def _where(one: Input) -> str:
    return str(one.version) if one.uri is None else f"{one.version} in {text(one.uri)}"
