"""What a run reads: the lake as it stood when the run started, plus what the run itself made. Kept in files of the run.

The files make the pins one for all processes of a run; the first process to start writes them, the others read them.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from lightkeeper.errors import NoSuchTable, Refused
from lightkeeper.lake.sources import DeltaSource
from lightkeeper.lake.table import Lake
from lightkeeper.values import Input, TableVersion

__all__ = ["RunPins"]


class RunPins:
    """The pins of one run, in `folder`.

    Args:
        lake: where the tables stand.
        folder: of this run alone; made when missing.
        sources: declared tables outside the lake, which are pinned as well.
    """

    def __init__(self, lake: Lake, folder: Path, sources: Iterable[DeltaSource] = ()) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        pinned = folder / "pins.json"
        if not pinned.exists():
            _write_once(pinned, json.dumps(_now(lake, sources)))
        found = json.loads(pinned.read_text())
        self.start: Mapping[str, Input] = {
            name: Input(TableVersion(name, pin["version"]), pin["uri"]) for name, pin in found.items() if "why" not in pin
        }
        self.unread: Mapping[str, str] = {name: pin["why"] for name, pin in found.items() if "why" in pin}

    def input(self, table: str) -> Input:
        """The version that this run reads. Raises NoSuchTable when there was none at its start and it made none."""
        made = self._made(table)
        if made is not None:
            return Input(made)
        if table in self.unread:
            raise NoSuchTable(f"When this run started, {self.unread[table]} Mend the source and run it again.")
        if table not in self.start:
            raise NoSuchTable(f"table {table!r} had no version when this run started. Materialize {table} first, or with it.")
        return self.start[table]

    def base(self, table: str) -> int:
        """The version that a write of this run stands on; -1 when the table did not exist."""
        made = self._made(table)
        if made is not None:
            return made.version
        return self.start[table].version.version if table in self.start else -1

    def made(self, table: str) -> bool:
        """Whether this run committed the table, or found that it would have been the same."""
        return self._made(table) is not None

    def record(self, made: TableVersion) -> None:
        """Note that this run committed `made`; it reads that version from now on."""
        target = self.folder / f"made-{made.table}"
        temporary = _beside(target)
        temporary.write_text(str(made))
        temporary.replace(target)

    def _made(self, table: str) -> TableVersion | None:
        try:
            return TableVersion.parse((self.folder / f"made-{table}").read_text())
        except FileNotFoundError:
            return None


def _beside(target: Path) -> Path:
    return target.with_name(f".{target.name}.{uuid.uuid4().hex}")


def _write_once(target: Path, text: str) -> None:
    temporary = _beside(target)
    temporary.write_text(text)
    with suppress(FileExistsError):  # another process of the run was first: then its pins hold
        os.link(temporary, target)
    temporary.unlink()


def _now(lake: Lake, sources: Iterable[DeltaSource]) -> dict[str, dict[str, object]]:
    pins: dict[str, dict[str, object]] = {
        name: {"version": version.version, "uri": None} for name, version in lake.versions().items()
    }
    for source in sources:
        try:
            pins[source.name] = {"version": source.newest().version.version, "uri": source.uri}
        except Refused as error:  # whoever reads it is told; other assets of the run do not need it
            pins[source.name] = {"why": str(error), "uri": source.uri}
    return pins
