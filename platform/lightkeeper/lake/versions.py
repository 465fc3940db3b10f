"""Which versions a table has, and what was known when. It opens none and writes nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, time

from lightkeeper.errors import NoSuchVersion, Refused, StorageFailed
from lightkeeper.lake.gateway import log_path
from lightkeeper.lake.record import Commit, read_commit
from lightkeeper.lake.storage import LOG, LocalStore, Store
from lightkeeper.values import TableVersion

__all__ = ["as_of", "commits_back", "last_ours", "newest_of", "numbered"]


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
