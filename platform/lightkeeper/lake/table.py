"""The lake: named tables of numbered versions. `write` returns the version it made; `read` gives one back, lazily.

Time comes from the clock that is passed in. Nothing here knows what a table is for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime
from difflib import get_close_matches
from itertools import islice
from pathlib import Path

import polars as pl

from lightkeeper.errors import NoSuchTable, Refused
from lightkeeper.lake.handles import assert_files, handle_of
from lightkeeper.lake.layout import Frame, Write
from lightkeeper.lake.ledger import Ledger
from lightkeeper.lake.lineage import Node, children_of, parents_of, pins
from lightkeeper.lake.record import Commit, read_commit
from lightkeeper.lake.schema import PolarsSchema, frame_schema
from lightkeeper.lake.storage import LOG, open_store
from lightkeeper.lake.versions import as_of as version_as_of
from lightkeeper.lake.versions import commits_back, newest_of, numbered
from lightkeeper.lake.writing import UNCHANGED, Writer
from lightkeeper.values import Input, Stamp, TableVersion, check_name

__all__ = ["Lake"]


class Lake:
    """Tables under one root: a local folder, or `s3://`, `az://`, `gs://` with delta-rs's storage options.

    Args:
        root: where the tables stand; made at the first write.
        storage_options: credentials and endpoint of an object store, in delta-rs's words.
        clock: gives the time (UTC) under which a write is recorded as known; the machine's clock by default.
    """

    def __init__(
        self,
        root: str | Path,
        storage_options: Mapping[str, str] | None = None,
        clock: Callable[[], datetime] | None = None,
    ) -> None:
        self.root = str(root)
        self.store = open_store(self.root, storage_options)
        self.clock = clock or (lambda: datetime.now(UTC))

    # -- reading ------------------------------------------------------------------------------------------------

    def tables(self) -> list[str]:
        """The names of the tables, sorted."""
        names = [name for name in self.store.names("") if not name.startswith(("_", "."))]
        return [name for name in names if self.store.exists(f"{name}/{LOG}")]

    def exists(self, name: str) -> bool:
        """Whether the table has a version."""
        return newest_of(self.store, check_name(name)) is not None

    def version(self, name: str) -> TableVersion:
        """The newest version of a table. Raises NoSuchTable."""
        newest = newest_of(self.store, check_name(name))
        if newest is None:
            raise self._no_table(name)
        return TableVersion(name, newest)

    def versions(self) -> dict[str, TableVersion]:
        """The newest version of every table, by name: the lake as it stands now."""
        found = ((name, newest_of(self.store, name)) for name in self.tables())
        return {name: TableVersion(name, newest) for name, newest in found if newest is not None}

    def read(self, name: str, at: int | TableVersion | None = None, as_of: datetime | date | None = None) -> pl.LazyFrame:
        """The rows of one version, lazily, in no promised order.

        Args:
            name: the table.
            at: the version; the newest when neither `at` nor `as_of` is given.
            as_of: what the platform knew then, by the home's clock: the last version with `known_at` not after it.
                A date means the end of that day, UTC.

        Raises:
            NoSuchTable, NoSuchVersion: with what there is instead.
            TableVersionGone: the version existed, and its files are not there any more.
        """
        version = self.resolve(name, at, as_of)
        handle = handle_of(self.store, version)
        assert_files(self.store, version, handle)
        return pl.scan_delta(handle)

    def resolve(self, name: str, at: int | TableVersion | None = None, as_of: datetime | date | None = None) -> TableVersion:
        """The version that `read` would read. Raises NoSuchTable, NoSuchVersion."""
        if at is not None and as_of is not None:
            raise Refused(f"{name}: give at= or as_of=, not both.")
        newest = self.version(name)
        if as_of is not None:
            return version_as_of(self.store, newest, as_of)
        return numbered(newest, at)

    def commit(self, version: TableVersion | str) -> Commit:
        """How a version came to be. Raises NoSuchTable, NoSuchVersion."""
        wanted = TableVersion.parse(version) if isinstance(version, str) else version
        return read_commit(self.store, wanted.table, self.resolve(wanted.table, wanted).version)

    def history(self, name: str, limit: int | None = None) -> list[Commit]:
        """The commits of a table, newest first. Raises NoSuchTable."""
        return list(islice(commits_back(self.store, self.version(name)), limit))

    def schema(self, name: str, at: int | TableVersion | None = None) -> PolarsSchema:
        """Column names and stored Polars types of a version."""
        return frame_schema(handle_of(self.store, self.resolve(name, at)).schema())

    def changed(self, name: str, since: int, until: int) -> frozenset[date] | None:
        """The parts replaced after version `since` up to version `until`; None when anything may have changed."""
        days: set[date] = set()
        for number in range(since + 1, until + 1):
            made = read_commit(self.store, name, number)
            if made.keeps_content:
                continue
            if made.mode not in {"replace", "append"} or (made.mode == "append" and not made.replaced):
                return None
            days |= set(made.replaced)
        return frozenset(days) if since <= until else None

    # -- lineage ------------------------------------------------------------------------------------------------

    def lineage(self, version: TableVersion | str, *, down: bool = False) -> Node:
        """The tree of versions and landed files that a version was made from; with `down`, of those made from it."""
        made = self.commit(version)
        return children_of(self, made) if down else parents_of(self, made)

    def pins(self) -> dict[TableVersion, tuple[str, ...]]:
        """Every version that something kept stands on, with the kept versions that hold it, derived through lineage.

        Kept are the newest version of each table, and every version of a table that holds models.
        """
        return pins(self)

    @property
    def unchanged(self) -> Ledger:
        """Writes that made no version because the content was there already."""
        return Ledger(self.store, "unchanged", UNCHANGED)

    # -- writing ------------------------------------------------------------------------------------------------

    def write(  # noqa: PLR0913 - the options of a write are its vocabulary, all named
        self,
        name: str,
        frame: Frame,
        *,
        inputs: Iterable[TableVersion | Input] = (),
        replace: Iterable[date] | None = None,
        by: str | None = None,
        stamp: Stamp | None = None,
        base: int | None = None,
    ) -> TableVersion:
        """Write a whole table, or only the days in `replace`, as one new version; return that version.

        The same content again makes no version but a row in the ledger `unchanged`; the version there is is returned.

        Args:
            name: the table; made when there is none.
            frame: the rows. A LazyFrame without `by` is streamed in batches.
            inputs: the exact versions that the frame was computed from.
            replace: the days whose rows the frame replaces; rows of other days are refused, other days stay untouched.
                A day without rows in the frame becomes empty.
            by: the date column that `replace` speaks of; files are kept by its month.
            stamp: who writes and why: asset, run, code version, landed files.
            base: the version that the caller started from, -1 for none; a commit after it that is not disjoint is a
                Conflict. By default the version at the time of the call.

        Raises:
            TypeRefused, SchemaChanged: the frame cannot be stored as it is. Nothing was written.
            Conflict: somebody else wrote the same days, or the whole table, in between. Nothing was written.
            StorageFailed: the disk or the store refused. Nothing was committed.
        """
        days = None if replace is None else _days(name, replace, by)
        mode = "overwrite" if days is None else "replace"
        wanted = Write(check_name(name), _frame(name, frame), mode, _inputs(inputs), stamp or Stamp(), by, days or ())
        return self._writer.write(wanted, base)

    def append(  # noqa: PLR0913 - as with write, all named
        self,
        name: str,
        frame: Frame,
        *,
        inputs: Iterable[TableVersion | Input] = (),
        stamp: Stamp | None = None,
        base: int | None = None,
        alone: bool = False,
    ) -> TableVersion:
        """Add rows to a table as one new version. Raises as `write` does.

        Concurrent appends both land, unless the rows are right only on top of `base`, as the next number of a count is:
        with `alone` any commit after `base` is a Conflict.
        """
        wanted = Write(check_name(name), _frame(name, frame), "append", _inputs(inputs), stamp or Stamp(), alone=alone)
        return self._writer.write(wanted, base)

    def migrate(self, name: str, change: Callable[[pl.LazyFrame], pl.LazyFrame], why: str) -> TableVersion:
        """Change a table's schema on purpose: `change` of its rows becomes the next version, with `why` in its commit.

        Raises Conflict when somebody committed while the rows were changed, and whatever `write` raises.
        """
        if not why.strip():
            raise Refused(f"{name}: a migration says why.")
        now = self.version(name)
        stamp = Stamp(asset=name, extra={"why": why})
        changed = _frame(name, change(self.read(name, now)))
        return self._writer.write(Write(name, changed, "migrate", (Input(now),), stamp), now.version)

    @property
    def _writer(self) -> Writer:
        return Writer(self.store, self.clock, self.unchanged)

    def _no_table(self, name: str) -> NoSuchTable:
        there = self.tables()
        near = get_close_matches(name, there, 1)
        hint = f"Did you mean {near[0]}?" if near else f"There are: {', '.join(there) or 'none yet'}."
        return NoSuchTable(f"{self.root} holds no table {name!r}. {hint}")


def _inputs(given: Iterable[TableVersion | Input]) -> tuple[Input, ...]:
    return tuple(dict.fromkeys(one if isinstance(one, Input) else Input(one) for one in given))


def _days(name: str, replace: Iterable[date], by: str | None) -> tuple[date, ...]:
    """The replaced days, sorted, each once. Raises Refused."""
    if by is None:
        raise Refused(f"{name}: replace= needs by=, the date column that the days are of.")
    days = list(replace)
    odd = [day for day in days if type(day) is not date]
    if odd:
        raise Refused(f"{name}: replace= takes days (datetime.date), not {odd[0]!r}.")
    return tuple(sorted(set(days)))


def _frame(name: str, frame: object) -> Frame:
    if not isinstance(frame, pl.DataFrame | pl.LazyFrame):
        raise Refused(f"{name}: a table is written from a polars DataFrame or LazyFrame, not from a {type(frame).__name__}.")
    return frame
