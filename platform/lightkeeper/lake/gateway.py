"""The one gateway that writes tables: durable files go in by one compare-and-swap commit that records everything.

Nothing else in the library may call delta-rs's commit functions: they check almost nothing, so the checks are here.
A reader of the record needs no Dagster: it is JSON under `commitInfo.lightkeeper` in the Delta log.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

import polars as pl

from lightkeeper.errors import Conflict, StorageFailed
from lightkeeper.lake.files import Written
from lightkeeper.lake.retention import CHECKPOINT_EVERY, KEEP_EVERYTHING
from lightkeeper.lake.schema import PolarsSchema, delta_schema
from lightkeeper.lake.storage import LOG, Store

if TYPE_CHECKING:
    from deltalake import CommitProperties
    from deltalake.transaction import AddAction, RemoveAction

__all__ = ["Live", "Transaction", "commit", "discard_unnamed", "live_files", "log_path"]


@dataclass(frozen=True, slots=True)
class Live:
    """A data file of a table version, with the range of the part column in it (None where unknown)."""

    path: str
    rows: int
    bytes: int
    first: date | None = None
    last: date | None = None

    def touches(self, parts: Iterable[date]) -> bool:
        """Whether a row of one of the parts can be in the file."""
        if self.first is None or self.last is None:
            return True
        return any(self.first <= part <= self.last for part in parts)


@dataclass(frozen=True, slots=True)
class Transaction:
    """What one commit does to a table that stands at version `base` (-1: it does not exist yet).

    With `new_schema` the table takes `schema`, and every file of `base` goes, whatever `removed` says. `handle` is the
    table opened at `base`, where the caller has it already. `checkpoint_every` so many versions the log is put together; it
    counts when the commit makes the table.
    """

    table: str
    base: int
    schema: PolarsSchema
    added: Sequence[Written]
    removed: Sequence[Live]
    record: Mapping[str, object]
    new_schema: bool = False
    handle: Any = None
    checkpoint_every: int = CHECKPOINT_EVERY


def log_path(table: str, version: int) -> str:
    """Where Delta keeps the commit of a version."""
    return f"{table}/{LOG}/{version:020d}.json"


def live_files(handle: Any, by: str | None) -> list[Live]:
    """The data files of an opened Delta table, with the range of `by` where the log knows it."""
    frame = pl.DataFrame(handle.get_add_actions(flatten=True))
    low, high = (f"min.{by}", f"max.{by}")
    known = by is not None and low in frame.columns and isinstance(frame.schema[low], pl.Date)
    return [
        Live(row["path"], row["num_records"] or 0, row["size_bytes"], *((row[low], row[high]) if known else ()))
        for row in frame.iter_rows(named=True)
    ]


def commit(store: Store, change: Transaction) -> int:
    """Commit the transaction as version `base + 1`, durably, and return it.

    An error of the store that leaves open whether the commit landed is decided by reading the log back.

    Raises:
        Conflict: somebody else committed that version first; nothing was changed.
        StorageFailed: the log could not be written, or not made durable; the message says which.
    """
    identity, version = uuid.uuid4().hex, change.base + 1
    properties = _properties({"format": 1, "id": identity, **change.record})
    path = log_path(change.table, version)
    try:
        _send(store, change, properties)
    except Exception as error:  # delta-rs raises its own errors, OSError and bare Exception
        if not store.exists(path):
            raise StorageFailed(f"{path} could not be written: {error}. Nothing was committed.") from error
        if _identity(store, path) != identity:
            raise Conflict(f"{change.table}@{version} was committed by somebody else: {error}") from error
    if _identity(store, path) != identity:
        raise Conflict(
            f"{change.table}@{version} is not what this process committed. Look: lightkeeper table history {change.table}"
        )
    _settle(store, change, version)
    return version


def discard_unnamed(store: Store, table: str, version: int, written: Iterable[Written]) -> None:
    """Delete data files that the commit of `version` does not name; none where the log cannot be read."""
    try:
        log = store.get(log_path(table, version))
    except FileNotFoundError:
        log = b""
    except OSError:
        return
    store.discard([f"{table}/{one.path}" for one in written if one.path.encode() not in log])


def _settle(store: Store, change: Transaction, version: int) -> None:
    """Make the commit durable, and the checkpoint that delta-rs may have written after it."""
    store.settle(log_path(change.table, version))
    if (version + 1) % change.checkpoint_every:
        return
    for name in store.names(f"{change.table}/{LOG}"):
        if name == "_last_checkpoint" or name.startswith(f"{version:020d}.checkpoint"):
            store.settle(f"{change.table}/{LOG}/{name}")


def _send(store: Store, change: Transaction, properties: CommitProperties) -> None:
    from deltalake import DeltaTable
    from deltalake.transaction import create_table_with_add_actions

    adds: list[AddAction | RemoveAction] = [_add(written) for written in change.added]
    schema = delta_schema(change.schema)
    uri, options = store.uri(change.table), dict(store.options) or None
    if change.base < 0:
        create_table_with_add_actions(
            uri,
            schema,
            [_add(written) for written in change.added],
            mode="error",
            configuration={**KEEP_EVERYTHING, "delta.checkpointInterval": str(change.checkpoint_every)},
            storage_options=options,
            commit_properties=properties,
        )
        return
    handle = change.handle or DeltaTable(uri, version=change.base, storage_options=options)
    if change.new_schema:
        handle.create_write_transaction(adds, mode="overwrite", schema=schema, commit_properties=properties)
        return
    adds += [_remove(live) for live in change.removed]
    handle.create_write_transaction(adds, mode="append", schema=schema, commit_properties=properties)


def _properties(record: Mapping[str, object]) -> CommitProperties:
    from deltalake import CommitProperties

    return CommitProperties(custom_metadata={"lightkeeper": dict(record)}, max_commit_retries=0)


def _add(written: Written) -> AddAction:
    from deltalake.transaction import AddAction

    return AddAction(written.path, written.bytes, {}, _milliseconds(), True, written.statistics)


def _remove(live: Live) -> RemoveAction:
    from deltalake.transaction import RemoveAction

    return RemoveAction(live.path, True, _milliseconds(), live.bytes, {})


def _milliseconds() -> int:
    """Delta's own field for a file's time, by the machine's clock; nothing in the platform decides by it."""
    import time

    return time.time_ns() // 1_000_000


def _identity(store: Store, path: str) -> object:
    for line in store.get(path).splitlines():
        info = json.loads(line).get("commitInfo")
        if info is not None:
            return info.get("lightkeeper", {}).get("id")
    return None
