"""Dagster's records of runs in this process, for less: its databases, their migrations, what a run prints.

Owns what of Dagster is replaced while such a run lasts. What is recorded, and where, is as Dagster would have it.
"""

from __future__ import annotations

import importlib
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

__all__ = ["cheap_records"]

_SQLITE = ("event_log.sqlite.sqlite_event_log", "runs.sqlite.sqlite_run_storage")

_read: dict[Any, Any] = {}  # migrations of Dagster's kinds of databases, by its configuration of each


@contextmanager
def cheap_records() -> Iterator[None]:
    """Dagster's records cost less in the block, which is for one thread of a process at a time.

    - Dagster makes an engine and a connection for each of thousands of events: the same statements are compiled anew, and SQLite
      flushes at each close. Here each SQLite file has one engine, whose connections stay open, and it flushes at its own
      checkpoints and at the end. A power cut may lose the last events of Dagster's own log, never its consistency; the lake
      flushes by itself.
    - Each run has a file of events, for which Dagster reads all its migrations twice. Here they are read once.
    - What a run prints goes to files of its own, and Dagster starts four processes that show it meanwhile. Here it is shown when
      the run ends.
    """
    import sqlalchemy as sql
    from alembic.script import ScriptDirectory
    from dagster._core.execution import compute_logs

    made, migrations = dict[str, Any](), ScriptDirectory.from_config

    def create_engine(place: str, **options: Any) -> Any:
        if place not in made:
            made[place] = sql.create_engine(place, **{**options, "poolclass": sql.pool.QueuePool})
            sql.event.listen(made[place], "connect", _flushed_once)
            made[place].dispose = _not_yet  # Dagster disposes of it after each event
        return made[place]

    def from_config(config: Any) -> Any:
        if config not in _read:
            _read[config] = migrations(config)
        return _read[config]

    with ExitStack() as stack:
        for name in _SQLITE:
            stack.enter_context(_instead(importlib.import_module(f"dagster._core.storage.{name}"), "create_engine", create_engine))
        stack.enter_context(_instead(ScriptDirectory, "from_config", from_config))
        stack.enter_context(_instead(compute_logs, "tail_to_stream", _shown_after))
        try:
            yield
        finally:
            for engine in made.values():
                sql.Engine.dispose(engine)


@contextmanager
def _instead(holder: Any, name: str, other: Any) -> Iterator[None]:
    """Something goes by the name of something else in the block."""
    its_own = getattr(holder, name)
    setattr(holder, name, other)
    try:
        yield
    finally:
        setattr(holder, name, its_own)


def _flushed_once(connection: sqlite3.Connection, _: object) -> None:
    connection.execute("PRAGMA synchronous=NORMAL")
    connection.execute("PRAGMA journal_mode=WAL")  # Dagster's own choice, made before its schema is written


def _not_yet() -> None:
    """An engine lasts for the block."""


@contextmanager
def _shown_after(path: str, stream: TextIO | None) -> Iterator[tuple[None, None]]:
    """What was written to a file in the block goes to a stream; one that nobody reads any more ends no run."""
    begins = Path(path).stat().st_size
    try:
        yield None, None
    finally:
        with suppress(OSError, ValueError):
            said = Path(path).read_bytes()[begins:].decode(errors="replace")
            if said and stream is not None:
                stream.write(said)
                stream.flush()
