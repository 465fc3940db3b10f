"""Parents and children of a table version, by the records in the commits: up to landed files, down to its users."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lightkeeper.errors import LightkeeperError
from lightkeeper.lake.record import Commit
from lightkeeper.values import Input, LandedFile, TableVersion

if TYPE_CHECKING:
    from lightkeeper.lake.table import Lake

__all__ = ["KEEP_EVERY_VERSION", "Node", "children_of", "parents_of", "pins", "sources_of"]


KEEP_EVERY_VERSION = "keep_every_version"  # set in a commit's `extra` by tables whose every version counts, such as models


@dataclass(frozen=True, slots=True)
class Node:
    """A version in a lineage tree, with the versions beside it on the way (`nodes`) and the files that landed in it.

    `uri` is set for a table outside this lake; `seen` marks a version whose own branch stands elsewhere in the tree;
    `missing` says why a recorded version cannot be read any more.
    """

    version: TableVersion
    nodes: tuple[Node, ...] = ()
    files: tuple[LandedFile, ...] = ()
    commit: Commit | None = None
    uri: str | None = None
    seen: bool = False
    missing: str | None = None

    def walk(self) -> Iterator[Node]:
        """This node and all below it."""
        yield self
        for node in self.nodes:
            yield from node.walk()


def parents_of(lake: Lake, made: Commit) -> Node:
    """The tree of what a version was made from. Each version's branch is drawn once.

    A version that replaced only some days was computed from the inputs of its own commit as a whole: a table that
    computes only what changed equals the one computed anew, so earlier reads are no parents of their own.
    """
    return _up(lake, made, set())


def _up(lake: Lake, made: Commit, drawn: set[TableVersion]) -> Node:
    drawn.add(made.version)
    nodes = tuple(_parent(lake, one, drawn) for one in _read_by(made))
    return Node(made.version, nodes, sources_of(lake, made), made)


def _read_by(made: Commit) -> tuple[Input, ...]:
    """What a commit was made from; another writer did not say: the version before, unless it wrote the whole."""
    if made.ours or made.whole or made.version.version == 0:
        return made.inputs
    return (Input(TableVersion(made.version.table, made.version.version - 1)),)


def _parent(lake: Lake, one: Input, drawn: set[TableVersion]) -> Node:
    if one.uri is not None:
        return Node(one.version, uri=one.uri)
    if one.version in drawn:
        return Node(one.version, seen=True)
    try:
        return _up(lake, lake.commit(one.version), drawn)
    except LightkeeperError as error:
        return Node(one.version, missing=str(error))


def _since_whole(lake: Lake, made: Commit) -> Iterator[Commit]:
    """The commits whose rows are in a version: from it back to the last one that wrote the whole table."""
    for number in range(made.version.version, -1, -1):
        one = lake.commit(TableVersion(made.version.table, number))
        yield one
        if one.whole:
            return


def sources_of(lake: Lake, made: Commit) -> tuple[LandedFile, ...]:
    """The landed files whose rows are in a version: for each part the last file that spoke for it."""
    found: dict[object, LandedFile] = {}
    spoken: set[object] = set()
    for one in _since_whole(lake, made):
        for file in one.sources:
            key = file.part if file.part is not None else file.sha256
            if key not in spoken:
                found.setdefault(key, file)
        spoken |= {*one.replaced}
    return tuple(sorted(found.values(), key=lambda file: (str(file.part), file.name)))


def children_of(lake: Lake, made: Commit) -> Node:
    """The tree of what was made from a version, by any table of the lake, unchanged results included."""
    readers: dict[TableVersion, list[Commit]] = {}
    for table in lake.tables():
        for one in lake.history(table):
            for parent in one.inputs:
                readers.setdefault(parent.version, []).append(one)
    for row in lake.unchanged.rows().iter_rows(named=True):
        again = lake.commit(TableVersion(row["table"], row["version"]))
        for parent in row["inputs"]:
            if again not in readers.setdefault(TableVersion.parse(parent), []):
                readers[TableVersion.parse(parent)].append(again)
    return _down(made, readers, set())


def _down(made: Commit, readers: dict[TableVersion, list[Commit]], drawn: set[TableVersion]) -> Node:
    if made.version in drawn:
        return Node(made.version, seen=True, commit=made)
    drawn.add(made.version)
    below = sorted(readers.get(made.version, []), key=lambda one: one.version)
    return Node(made.version, tuple(_down(one, readers, drawn) for one in below), made.sources, made)


def pins(lake: Lake) -> dict[TableVersion, tuple[str, ...]]:
    """Versions that kept versions stand on, with their holders; see `Lake.pins`."""
    held: dict[TableVersion, set[str]] = {}
    for keeper in _kept(lake):
        for node in parents_of(lake, keeper).walk():
            if node.uri is None:
                held.setdefault(node.version, set()).add(str(keeper.version))
    return {version: tuple(sorted(holders)) for version, holders in sorted(held.items())}


def _kept(lake: Lake) -> Iterator[Commit]:
    for table, newest in lake.versions().items():
        last = lake.commit(newest)
        every = lake.history(table) if last.extra.get(KEEP_EVERY_VERSION) else [last]
        yield from every
