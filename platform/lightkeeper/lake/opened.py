"""Event tables as this process last saw them: opened once, and from then on only asked whether somebody has added to them.

Opening a Delta table reads its whole log, which takes longer than most ledgers' rows; whether a version is still the newest is
told by two files of the log. On a local disk only: an object store can tell it no cheaper than by being opened.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import groupby
from threading import Lock
from typing import Any, Protocol

import polars as pl

from lightkeeper.errors import StorageFailed
from lightkeeper.lake.gateway import Live, live_files, log_path
from lightkeeper.lake.handles import Stamp, stamp_of
from lightkeeper.lake.layout import rows_of
from lightkeeper.lake.schema import PolarsSchema
from lightkeeper.lake.storage import LocalStore, Store

__all__ = ["Named", "Opened", "opened"]

_TABLES = 32  # remembered at most; those unused for longest go
_ROWS = 5_000  # of a file whose rows are remembered, at most
_ORDERED = re.compile(r"part-\d{20}-")  # the names of files tell the order of events

_Key = tuple[str, tuple[tuple[str, pl.DataType], ...]]  # where it is, and as which columns it is read


class Named(Protocol):
    """An event table by its store, its folder and its columns."""

    store: Store
    path: str
    schema: PolarsSchema


@dataclass(frozen=True, slots=True)
class Opened:
    """An event table at its newest version, for one thread alone.

    Attributes:
        handle: delta-rs's own.
        version: its number.
        live: its data files, in the order in which they were added.
        stamp: what tells the last file of its log from another of that name.
        frames: rows of small files, by their paths, which are never given twice.
    """

    handle: Any
    version: int
    live: tuple[Live, ...]
    stamp: Stamp | None
    frames: dict[str, pl.DataFrame] = field(default_factory=dict, repr=False)

    def rows(self, ledger: Named, where: pl.Expr | None = None, files: Sequence[Live] | None = None) -> pl.DataFrame:
        """The rows of all files, or of some of them; those for which `where` holds."""
        wanted = self.live if files is None else files
        if not wanted:
            return pl.DataFrame(schema=dict(ledger.schema))
        if self.stamp is None:
            return rows_of(ledger.store, ledger.path, wanted, ledger.schema, where)
        for one in wanted:
            if one.rows <= _ROWS and one.path not in self.frames:
                self.remember(one.path, rows_of(ledger.store, ledger.path, [one], ledger.schema))
        return pl.concat(
            [self._some(ledger, list(group), where) for _, group in groupby(wanted, lambda one: one.path in self.frames)]
        )

    def remember(self, path: str, rows: pl.DataFrame) -> None:
        """Keep the rows of a small file, that has been read or was just written."""
        if rows.height <= _ROWS:
            self.frames[path] = rows

    def _some(self, ledger: Named, files: Sequence[Live], where: pl.Expr | None) -> pl.DataFrame:
        """The rows of files that are all remembered, or none of them."""
        if files[0].path not in self.frames:
            return rows_of(ledger.store, ledger.path, files, ledger.schema, where)
        rows = pl.concat([self.frames[one.path] for one in files])
        return rows.clone() if where is None else rows.filter(where)  # concat of one frame is that frame, and it is the reader's


_lock = Lock()
_tables: OrderedDict[_Key, Opened] = OrderedDict()


@contextmanager
def opened(ledger: Named) -> Iterator[Opened | None]:
    """An event table at its newest version; None when there is none yet.

    Raises StorageFailed where it cannot be read, or holds a file that tells no order: somebody has compacted it.

    In the block nobody else has it, so that nobody moves it on meanwhile: a commit on top of it is refused by the log alone.
    """
    store, table = ledger.store, ledger.path
    key = (store.uri(table), tuple(ledger.schema.items()))
    with _lock:
        before = _tables.pop(key, None)
    found = _newest(store, table, before) if isinstance(store, LocalStore) else _open(store, table)
    yield found
    if found is not None and found.stamp is not None:
        with _lock:
            _tables[key] = found
            while len(_tables) > _TABLES:
                _tables.popitem(last=False)


def _newest(store: LocalStore, table: str, before: Opened | None) -> Opened | None:
    if before is None or stamp_of(store, table, before.version) != before.stamp:
        return _open(store, table)
    if not store.exists(log_path(table, before.version + 1)):
        return before
    try:
        before.handle.update_incremental()
    except Exception:  # noqa: BLE001 - delta-rs raises its own errors, OSError and bare Exception; opened anew, it is told which
        return _open(store, table)
    now = _of(store, table, before.handle)
    now.frames.update({one.path: before.frames[one.path] for one in now.live if one.path in before.frames})
    return now


def _open(store: Store, table: str) -> Opened | None:
    from deltalake import DeltaTable
    from deltalake.exceptions import DeltaError, TableNotFoundError

    try:
        return _of(store, table, DeltaTable(store.uri(table), storage_options=dict(store.options) or None))
    except TableNotFoundError:
        return None
    except (DeltaError, OSError) as error:
        raise StorageFailed(f"{table} could not be read: {error}") from error


def _of(store: Store, table: str, handle: Any) -> Opened:
    live = sorted(live_files(handle, None), key=lambda one: one.path)
    if other := [one.path for one in live if not _ORDERED.match(one.path)]:
        raise StorageFailed(
            f"{table} holds {other[0]}, which was not written here: it was compacted or rewritten, and the order of its events is"
            " lost. Bring the version before that back (deltalake: DeltaTable(...).restore(N)); files of events are merged here."
        )
    stamp = stamp_of(store, table, handle.version()) if isinstance(store, LocalStore) else None
    return Opened(handle, handle.version(), tuple(live), stamp)
