"""`lightkeeper table lineage`: what a version was made from, or what was made from it, as a tree or its JSON.

The tree itself is walked in `lightkeeper.lake.lineage`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from lightkeeper.cli.commits import days_of, file_json, file_lines
from lightkeeper.cli.options import HomeOption, JsonOption, VersionArgument, open_lake, wanted_version
from lightkeeper.cli.show import counted, dim, moment, print_json, print_text, text, timestamp

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.tree import Tree

    from lightkeeper.lake.lineage import Node
    from lightkeeper.lake.record import Commit

__all__ = ["lineage"]


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
    root = lake.lineage(wanted_version(lake, version), down=down)
    if as_json:
        print_json({"direction": "down" if down else "up", **_node_json(root, down=down)})
        return
    nothing = [dim("Nothing was made from it yet.")] if down and not root.nodes else []
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
        "files": [file_json(one) for one in node.files],
        "used_by" if down else "inputs": [_node_json(one, down=down) for one in node.nodes],
    }


def _tree(node: Node, *, down: bool, all_files: bool, parent: Node | None = None) -> Tree:
    from rich.tree import Tree

    tree = Tree(_label(node, parent if down else None), guide_style="dim")
    for one in node.nodes:
        tree.add(_tree(one, down=down, all_files=all_files, parent=node))
    for line in [] if down else file_lines(node.files, all_files=all_files):
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
    days = f" of {days_of(commit.replaced)}" if commit.replaced and not again else ""
    return f"{how}{days}, {counted(commit.rows)}, {moment(commit.known_at)}"
