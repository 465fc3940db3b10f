"""One write from beginning to end: compared with its table, made into files, committed, retried where that is safe."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import polars as pl

from lightkeeper.errors import Conflict, SchemaChanged
from lightkeeper.lake.files import NOTHING, Written, write_files
from lightkeeper.lake.gateway import Live, Transaction, commit, discard_unnamed, live_files, log_path
from lightkeeper.lake.handles import open_version
from lightkeeper.lake.layout import Write, frames, rows_of, touched
from lightkeeper.lake.ledger import Ledger
from lightkeeper.lake.record import Commit, assert_json, read_commit, stamp_json
from lightkeeper.lake.retention import adopt, verify_retention
from lightkeeper.lake.schema import PolarsSchema, delta_schema, frame_schema, plan
from lightkeeper.lake.storage import Store
from lightkeeper.lake.versions import commits_back, last_ours, newest_of
from lightkeeper.measure.content import ALGORITHM, Sums, digest, sums
from lightkeeper.values import TableVersion

__all__ = ["UNCHANGED", "Writer"]

_ATTEMPTS = 8

UNCHANGED = {
    "table": pl.String(), "version": pl.Int64(), "inputs": pl.List(pl.String()), "run_id": pl.String(),
    "code_version": pl.String(), "known_at": pl.Datetime("us", "UTC"), "content_hash": pl.String(),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Start:
    """What a write stands on: the version before it (None: no table yet), opened, and its schema."""

    before: TableVersion | None
    handle: Any
    held: PolarsSchema | None

    @property
    def base(self) -> int:
        return -1 if self.before is None else self.before.version


@dataclass(frozen=True, slots=True)
class _Change:
    """Files in, files out, and the rows that were read from the files that go."""

    schema: PolarsSchema
    added: Sequence[Written]
    removed: Sequence[Live]
    kept: pl.DataFrame | None


class Writer:
    """Writes to the tables of one store."""

    def __init__(self, store: Store, clock: Callable[[], datetime], unchanged: Ledger) -> None:
        self.store, self.clock, self.unchanged = store, clock, unchanged

    def write(self, wanted: Write, base: int | None) -> TableVersion:
        """Commit `wanted` on top of whatever is newest, if that leaves it right. Raises as `Lake.write` does."""
        assert_json(wanted.stamp)
        started = self._newest(wanted.table) if base is None else base
        for _ in range(_ATTEMPTS):
            current = self._newest(wanted.table)
            self._assert_disjoint(wanted, started, current)
            try:
                return self._attempt(wanted, current)
            except Conflict:
                continue
        raise Conflict(f"{wanted.table}: {_ATTEMPTS} commits in a row were beaten by other writers. Run it again.")

    def _newest(self, table: str) -> int:
        newest = newest_of(self.store, table)
        return -1 if newest is None else newest

    def _assert_disjoint(self, wanted: Write, started: int, current: int) -> None:
        """Raise Conflict unless what was committed since `started` leaves this write right."""
        if started > current:
            raise Conflict(f"{wanted.table}@{started} is not there any more; the newest version is {current}. Run it again.")
        for number in range(started + 1, current + 1):
            made = read_commit(self.store, wanted.table, number)
            if not made.keeps_content and not _apart(wanted, made):
                raise Conflict(
                    f"{made.version} was committed by run {made.run_id or 'unknown'} ({made.mode or made.operation}) "
                    f"while this write was prepared from {wanted.table}@{started}. Nothing was written: run it again, "
                    f"from {made.version}."
                )

    def _attempt(self, wanted: Write, base: int) -> TableVersion:
        """Prepare and commit on top of `base`. Raises Conflict when somebody was faster; nothing is left behind."""
        start = self._start(wanted.table, base)
        schema = plan(wanted.table, wanted.frame.lazy().collect_schema(), None if wanted.mode == "migrate" else start.held)
        if wanted.mode == "migrate":
            start = self._with_features(start, schema)
        elif start.held is not None:
            _assert_same_form(start.handle, start.held, wanted.table)
        removed = [] if start.handle is None else touched(wanted, live_files(start.handle, wanted.by))
        kept = None
        if removed and wanted.mode == "replace" and start.held is not None:
            kept = rows_of(self.store, wanted.table, removed, start.held)
        written = write_files(self.store, wanted.table, frames(wanted, schema, kept))
        try:
            return self._finish(wanted, start, _Change(schema, written, removed, kept))
        except BaseException:
            discard_unnamed(self.store, wanted.table, start.base + 1, written)
            raise

    def _start(self, table: str, base: int) -> _Start:
        """Open the version to write on; a table that something else made gets the lake's settings, or is refused."""
        if base < 0:
            return _Start(None, None, None)
        handle = open_version(self.store, TableVersion(table, base))
        if adopt(handle, table):
            self.store.settle(log_path(table, handle.version()))
        held = frame_schema(handle.schema())
        return _Start(TableVersion(table, handle.version()), handle, held)

    def _with_features(self, start: _Start, schema: PolarsSchema) -> _Start:
        """A table must declare times without a zone, by a commit of its own, before a migration can bring the first."""
        if start.before is None or not _needs_declaring(start.handle, schema):
            return start
        from deltalake import CommitProperties, TableFeatures
        from deltalake.exceptions import CommitFailedError

        try:
            start.handle.alter.add_feature(
                TableFeatures.TimestampWithoutTimezone,
                allow_protocol_versions_increase=True,
                commit_properties=CommitProperties(max_commit_retries=0),
            )
        except CommitFailedError as error:
            raise Conflict(f"{start.before.table}: somebody else committed meanwhile: {error}") from error
        version = TableVersion(start.before.table, start.handle.version())
        self.store.settle(log_path(version.table, version.version))
        return _Start(version, start.handle, start.held)

    def _finish(self, wanted: Write, start: _Start, change: _Change) -> TableVersion:
        total = self._total(wanted, start.before, change)
        content = digest(change.schema, total)
        if self._is_there(wanted, start.before, content) and start.before is not None:
            self.store.discard([f"{wanted.table}/{one.path}" for one in change.added])
            self._note_unchanged(wanted, start.before, content)
            return start.before
        record = self._record(wanted, start.before, change, total, content)
        files, migrates = (change.added, change.removed), wanted.mode == "migrate"
        transaction = Transaction(wanted.table, start.base, change.schema, *files, record, migrates, start.handle)
        made = TableVersion(wanted.table, commit(self.store, transaction))
        if start.before is None:
            verify_retention(open_version(self.store, made), wanted.table)
        return made

    def _is_there(self, wanted: Write, before: TableVersion | None, content: str) -> bool:
        """Whether the table holds this very content already."""
        if before is None or wanted.mode == "migrate":
            return False
        last = last_ours(self.store, before)
        return last is not None and last.content_hash == content

    def _record(self, wanted: Write, before: TableVersion | None, change: _Change, total: Sums, content: str) -> dict[str, object]:
        return {
            "table": wanted.table,
            "mode": wanted.mode,
            "by": wanted.by,
            "replaced": [day.isoformat() for day in wanted.replace],
            "rows": total.rows,
            "rows_written": sum(one.rows for one in change.added),
            "files": [one.record() for one in change.added],
            "content": {"algorithm": ALGORITHM, "hash": content, "sums": total.to_json()},
            **stamp_json(wanted.stamp, wanted.inputs, self._known_at(wanted, before)),
        }

    def _known_at(self, wanted: Write, before: TableVersion | None) -> datetime:
        """The time of recording; never before that of an earlier version, so that `as_of` has one answer."""
        now = wanted.stamp.known_at or self.clock()
        earlier = () if before is None else (made.known_at for made in commits_back(self.store, before))
        return max(now, next((known for known in earlier if known is not None), now))

    def _total(self, wanted: Write, before: TableVersion | None, change: _Change) -> Sums:
        """The sums of the whole table after the write, from those before it, less what goes, plus what comes."""
        added = sum((one.sums for one in change.added), NOTHING)
        if before is None or wanted.mode in {"overwrite", "migrate"}:
            return added
        gone = NOTHING if change.kept is None else sums(change.kept)
        return self._sums(before) - gone + added

    def _sums(self, version: TableVersion) -> Sums:
        """Sums of a version: recorded, or counted anew where another writer committed."""
        made: Commit | None = last_ours(self.store, version)
        return made.sums if made and made.sums else sums(pl.scan_delta(open_version(self.store, version)).collect())

    def _note_unchanged(self, wanted: Write, at: TableVersion, content: str) -> None:
        row = {
            "table": at.table, "version": at.version, "inputs": [str(one.version) for one in wanted.inputs],
            "run_id": wanted.stamp.run_id, "code_version": wanted.stamp.code_version,
            "known_at": wanted.stamp.known_at or self.clock(), "content_hash": content,
        }  # fmt: skip
        self.unchanged.add([row])


def _apart(wanted: Write, made: Commit) -> bool:
    """Whether a commit of somebody else and a write prepared before it can both stand, in either order."""
    if wanted.alone:
        return False
    if wanted.mode == "append":
        return made.mode in {"append", "replace"}
    return made.mode == "replace" and wanted.mode == "replace" and not set(made.replaced) & set(wanted.replace)


def _needs_declaring(handle: Any, schema: PolarsSchema) -> bool:
    """Whether the schema holds the table's first times without a zone."""
    return "timestampNtz" not in (handle.protocol().writer_features or ()) and any(map(_naive, schema.values()))


def _naive(dtype: Any) -> bool:
    """Whether a time without a zone is in a type, at any depth."""
    if isinstance(dtype, pl.Datetime):
        return dtype.time_zone is None
    if isinstance(dtype, pl.List):
        return _naive(dtype.inner)
    return isinstance(dtype, pl.Struct) and any(_naive(field.dtype) for field in dtype.fields)


def _assert_same_form(handle: Any, held: PolarsSchema, table: str) -> None:
    """Raise SchemaChanged for a table of another writer with rules that the lake does not keep, such as `not null`."""
    if delta_schema(held) != handle.schema():
        raise SchemaChanged(
            f"{table} was made by something else, with columns that are not null or of a type that the lake does not "
            f"write. Nothing was written. Change it on purpose: lightkeeper table migrate {table} --help"
        )
