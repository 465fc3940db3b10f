"""Which versions a table has, opened and checked; and what was known when. It writes nothing."""

from __future__ import annotations

import json
import os
from collections import OrderedDict
from collections.abc import Iterator
from datetime import UTC, date, datetime, time
from functools import cache
from threading import Lock
from typing import TYPE_CHECKING, Any

import polars as pl

from lightkeeper.errors import NoSuchVersion, Refused, StorageFailed, TableVersionGone
from lightkeeper.lake.gateway import log_path
from lightkeeper.lake.record import Commit, read_commit
from lightkeeper.lake.storage import LOG, LocalStore, Store
from lightkeeper.values import TableVersion

if TYPE_CHECKING:
    from deltalake import DeltaTable

__all__ = [
    "Stamp", "as_of", "assert_files", "commits_back", "delta_table", "handle_of", "last_ours", "newest_of", "numbered",
    "open_version", "stamp_of",
]  # fmt: skip

Stamp = tuple[int, int, int]

_REMEMBERED = 32  # opened versions; those unread for longest go
_lock = Lock()
_handles: OrderedDict[tuple[str, int], tuple[Stamp, Any]] = OrderedDict()


def newest_of(store: Store, name: str) -> int | None:
    """The number of the newest version; None when there is no table."""
    if isinstance(store, LocalStore):
        return _newest_local(store, name)
    from deltalake import DeltaTable
    from deltalake.exceptions import DeltaError, TableNotFoundError

    try:
        return DeltaTable(store.uri(name), storage_options=dict(store.options)).version()
    except TableNotFoundError:
        return None
    except (DeltaError, OSError) as error:
        raise StorageFailed(f"{store.uri(name)} could not be read: {error}") from error


def _newest_local(store: LocalStore, name: str) -> int | None:
    """From the last checkpoint on by looking for the next log file, without listing thousands."""
    version = _checkpointed(store, name)
    if not store.exists(log_path(name, version)):
        entries = (entry for entry in store.names(f"{name}/{LOG}") if entry.endswith(".json"))
        return max((int(entry[:20]) for entry in entries if entry[:20].isdigit()), default=None)
    while store.exists(log_path(name, version + 1)):
        version += 1
    return version


def _checkpointed(store: LocalStore, name: str) -> int:
    try:
        return int(json.loads(store.get(f"{name}/{LOG}/_last_checkpoint"))["version"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0


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


def numbered(newest: TableVersion, at: int | TableVersion | None) -> TableVersion:
    """The version that `at` speaks of, up to the newest. Raises NoSuchVersion, Refused."""
    if at is None:
        return newest
    if isinstance(at, TableVersion) and at.table != newest.table:
        raise Refused(f"at={at} is a version of another table than {newest.table}.")
    number = at.version if isinstance(at, TableVersion) else at
    if isinstance(number, bool) or not isinstance(number, int):
        raise Refused(f"{newest.table}: at={number!r} is no version: give a number, or a TableVersion.")
    if not 0 <= number <= newest.version:
        raise NoSuchVersion(
            f"{newest.table}@{number} does not exist; the newest is {newest}. Look: lightkeeper table history {newest.table}"
        )
    return TableVersion(newest.table, number)


def commits_back(store: Store, newest: TableVersion) -> Iterator[Commit]:
    """The commits from a version back, as far as the log is kept."""
    for number in range(newest.version, -1, -1):
        try:
            yield read_commit(store, newest.table, number)
        except NoSuchVersion:
            return


def last_ours(store: Store, version: TableVersion) -> Commit | None:
    """The record that describes the rows of `version`; None when another writer changed them since."""
    for made in commits_back(store, version):
        if made.ours:
            return made
        if not made.keeps_content:
            return None
    return None


def as_of(store: Store, newest: TableVersion, moment: datetime | date) -> TableVersion:
    """The last version that the platform had recorded at a moment; a date means the end of that day, UTC.

    A version of another writer carries no `known_at`: it counts as known when the platform next recorded one.
    Raises NoSuchVersion when none was.
    """
    until, low, high = _end(moment), -1, newest.version
    while low < high:  # known_at never falls from one version to the next
        middle = (low + high + 1) // 2
        known = _known(store, newest, middle)
        low, high = (middle, high) if known is not None and known <= until else (low, middle - 1)
    if low < 0:
        first = _known(store, newest, 0)
        since = f"its first version was recorded at {first.isoformat()}" if first else "the platform recorded no version of it"
        raise NoSuchVersion(f"{newest.table} was not known on {moment}: {since}.")
    return TableVersion(newest.table, low)


def _end(moment: datetime | date) -> datetime:
    if not isinstance(moment, datetime):
        return datetime.combine(moment, time.max, UTC)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _known(store: Store, newest: TableVersion, number: int) -> datetime | None:
    for candidate in range(number, newest.version + 1):
        known = read_commit(store, newest.table, candidate).known_at
        if known is not None:
            return known
    return None
