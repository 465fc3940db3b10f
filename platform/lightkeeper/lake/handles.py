"""Versions of Delta tables as delta-rs opens them: once in a process, checked, with paths as they are on disk.

Which versions there are says `versions`; event tables, which grow while they are open, are `opened`.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from functools import cache
from threading import Lock
from typing import TYPE_CHECKING, Any

import polars as pl

from lightkeeper.errors import TableVersionGone
from lightkeeper.lake.gateway import log_path
from lightkeeper.lake.storage import LocalStore, Store
from lightkeeper.values import TableVersion

if TYPE_CHECKING:
    from deltalake import DeltaTable

__all__ = ["Stamp", "assert_files", "delta_table", "handle_of", "open_version", "stamp_of"]

Stamp = tuple[int, int, int]

_REMEMBERED = 32  # opened versions; those unread for longest go
_lock = Lock()
_handles: OrderedDict[tuple[str, int], tuple[Stamp, Any]] = OrderedDict()


def open_version(store: Store, version: TableVersion) -> Any:
    """A version as a DeltaTable. Raises TableVersionGone."""
    from deltalake.exceptions import DeltaError

    try:
        return delta_table()(store.uri(version.table), version=version.version, storage_options=dict(store.options) or None)
    except (DeltaError, OSError) as error:
        raise TableVersionGone(f"{version} cannot be opened: {error}. Bring its log back from a backup.") from error


@cache
def delta_table() -> type[DeltaTable]:
    """DeltaTable with paths as they are on disk: delta-rs quotes a blank or an umlaut, and Polars looks for files of that name."""
    from urllib.parse import unquote

    from deltalake import DeltaTable

    class Plain(DeltaTable):
        @property
        def table_uri(self) -> str:
            uri = super().table_uri
            return unquote(uri) if uri.startswith("file:") else uri

        def file_uris(self, partition_filters: Any = None, *, file_pruning_predicate: Any = None) -> list[str]:
            found = super().file_uris(partition_filters, file_pruning_predicate=file_pruning_predicate)
            return [one if "://" in one else unquote(one) for one in found]

    return Plain


def handle_of(store: Store, version: TableVersion) -> Any:
    """A version as a DeltaTable to read, opened once in this process. Nobody may commit on top of it: readers share it.

    Raises TableVersionGone.
    """
    stamp = stamp_of(store, version.table, version.version) if isinstance(store, LocalStore) else None
    if stamp is None:
        return open_version(store, version)
    key = (store.uri(version.table), version.version)
    with _lock:
        held = _handles.pop(key, None)
    if held is None or held[0] != stamp:
        held = (stamp, open_version(store, version))
    with _lock:
        _handles[key] = held
        while len(_handles) > _REMEMBERED:
            _handles.popitem(last=False)
    return held[1]


def stamp_of(store: LocalStore, table: str, version: int) -> Stamp | None:
    """What tells the commit of a version from another of that name; None where there is none."""
    try:
        found = os.stat(store.root / log_path(table, version))  # noqa: PTH116 - as fast as it goes
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def assert_files(store: Store, version: TableVersion, handle: Any) -> None:
    """Raise TableVersionGone unless every file of the opened version is there. One listing of the table's folder."""
    paths = pl.DataFrame(handle.get_add_actions())["path"].to_list()
    there = set(store.names(version.table))
    gone = [path for path in paths if path not in there and ("/" not in path or not _stands(store, version.table, path))]
    if gone:
        raise TableVersionGone(
            f"{version}: {len(gone)} of its {len(paths)} files are not there any more, the first is {gone[0]}. "
            "Bring them back from a backup."
        )


def _stands(store: Store, table: str, path: str) -> bool:
    """Whether a file that something else wrote into a folder of its own is there; its path in the log is quoted."""
    from urllib.parse import unquote

    return "://" in path or store.exists(f"{table}/{path}") or store.exists(f"{table}/{unquote(path)}")
