"""Append-only event tables beside the tables: what happened and made no table version. Rows are never changed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from itertools import takewhile

import polars as pl

from lightkeeper.errors import Conflict, TypeRefused
from lightkeeper.lake.files import write_file
from lightkeeper.lake.gateway import Transaction, commit, discard_unnamed
from lightkeeper.lake.opened import Opened, opened
from lightkeeper.lake.schema import PolarsSchema
from lightkeeper.lake.storage import Store

__all__ = ["Ledger"]

_ATTEMPTS = 20
_FILES = 64  # small files before they become one
_SMALL = 100_000  # rows
_CHECKPOINT_EVERY = 10  # versions: a ledger is opened far more often than a table


class Ledger:
    """One event table, `_ledger/<name>`, of a fixed schema; the names of its files keep the order of the rows."""

    def __init__(self, store: Store, name: str, schema: PolarsSchema) -> None:
        self.store, self.path, self.schema = store, f"_ledger/{name}", schema

    def rows(self, where: pl.Expr | None = None) -> pl.DataFrame:
        """All rows, or those for which `where` holds, in the order in which they were added; no rows when there are none yet."""
        with opened(self) as found:
            return self._held(found, where)

    def _held(self, found: Opened | None, where: pl.Expr | None = None) -> pl.DataFrame:
        return pl.DataFrame(schema=dict(self.schema)) if found is None else found.rows(self, where)

    def add(self, rows: Iterable[Mapping[str, object]]) -> None:
        """Add rows in one commit; a column that a row does not name is null.

        Raises TypeRefused for a row of another form, Conflict after many lost races, StorageFailed when the disk refuses.
        """
        frame = self._frame(list(rows))
        if not frame.is_empty():
            self._repeated(lambda _: frame)

    def decide(self, rule: Callable[[pl.DataFrame], Iterable[Mapping[str, object]]]) -> pl.DataFrame:
        """Add what `rule` makes of the rows that are there, so that nobody adds a row in between; return what was added.

        `rule` is asked again when somebody did; what it raises ends it, with nothing added. Raises as `add` does.
        """
        return self._repeated(lambda found: self._frame(list(rule(self._held(found)))))

    def renew(self, rule: Callable[[pl.DataFrame], Iterable[Mapping[str, object]]]) -> pl.DataFrame:
        """Put what `rule` makes of the rows that are there in their place, so that nobody adds a row in between; return it.

        For small tables of what holds now, which stay one file. `rule` is asked again when somebody was faster. Raises as
        `add` does.
        """
        return self._repeated(lambda found: self._frame(list(rule(self._held(found)))), whole=True)

    def _repeated(self, made: Callable[[Opened | None], pl.DataFrame], *, whole: bool = False) -> pl.DataFrame:
        """Commit a frame on top of the ledger as it is opened, again when somebody was faster; `whole` replaces what is there."""
        for _ in range(_ATTEMPTS):
            with opened(self) as found:
                frame = made(found)
                with suppress(Conflict):
                    if not frame.is_empty():
                        self._add(frame, found, whole=whole)
                    return frame
        raise Conflict(f"{self.path}: {_ATTEMPTS} commits in a row were beaten by other writers. Run it again.")

    def _frame(self, rows: list[Mapping[str, object]]) -> pl.DataFrame:
        other = {column for row in rows for column in row} - set(self.schema)
        if other:
            raise TypeRefused(f"{self.path} has no columns {sorted(other)}; it has {list(self.schema)}.")
        try:
            columns = [pl.Series(name, [row.get(name) for row in rows], dtype) for name, dtype in self.schema.items()]
            return pl.DataFrame(columns)
        except (TypeError, OverflowError, pl.exceptions.PolarsError) as error:
            raise TypeRefused(f"{self.path}: a row does not fit {dict(self.schema)}: {error}") from error

    def _add(self, frame: pl.DataFrame, found: Opened | None, *, whole: bool) -> None:
        base, live, handle = (-1, (), None) if found is None else (found.version, found.live, found.handle)
        small = [*takewhile(lambda one: one.rows < _SMALL, reversed(live))][::-1]  # a merged file stands behind those left alone
        merged = live if whole else small if len(small) >= _FILES else ()
        rows = frame if whole or found is None else pl.concat([found.rows(self, files=merged), frame])
        written = write_file(self.store, self.path, rows, f"part-{base + 1:020d}", summed=False)
        try:
            record = {"mode": "append"}
            change = Transaction(self.path, base, self.schema, [written], merged, record, False, handle, _CHECKPOINT_EVERY)
            commit(self.store, change)
        except BaseException:
            discard_unnamed(self.store, self.path, base + 1, [written])
            raise
        if found is not None:
            found.remember(written.path, rows)
