"""Runs in this process: definitions that fail, and what is saved on Dagster's SQLite files and nobody else's."""

from __future__ import annotations

import fcntl
import importlib
import os
import sqlite3
import sys
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from lightkeeper.errors import BadDeclaration
from lightkeeper.home import Home
from lightkeeper.orchestrate.running import _cheap_events, load, ready

EVENTS: Any = importlib.import_module("dagster._core.storage.event_log.sqlite.sqlite_event_log")
RUNS: Any = importlib.import_module("dagster._core.storage.runs.sqlite.sqlite_run_storage")


def store(path: Path, times: int = 3) -> None:
    """What Dagster does for each event: make an engine, open, write, close, throw the engine away."""
    for _ in range(times):
        engine = EVENTS.create_engine(f"sqlite:///{path}", poolclass=NullPool)
        with engine.begin() as connection:
            connection.execute(text("CREATE TABLE IF NOT EXISTS events (number INTEGER)"))
            connection.execute(text("INSERT INTO events VALUES (1)"))
        engine.dispose()


def rows(path: Path) -> int:
    connection = sqlite3.connect(path)
    found = connection.execute("SELECT count(*) FROM events").fetchone()[0]
    connection.close()
    return int(found)


def test_a_new_file_of_dagster_is_flushed_at_the_end_of_the_run_and_not_at_each_event(tmp_path: Path) -> None:
    log = tmp_path / "run.db-wal"
    with _cheap_events():
        store(tmp_path / "run.db")
        assert log.exists()
        assert rows(tmp_path / "run.db") == 3, "another process sees an event at once"
    assert not log.exists()
    assert rows(tmp_path / "run.db") == 3


def test_a_sqlite_file_that_an_asset_reads_keeps_its_own_journal(tmp_path: Path) -> None:
    with _cheap_events():
        engine = create_engine(f"sqlite:///{tmp_path / 'theirs.db'}")
        with engine.begin() as connection:
            connection.execute(text("CREATE TABLE theirs (number INTEGER)"))
        assert not (tmp_path / "theirs.db-wal").exists()
    connection_ = sqlite3.connect(tmp_path / "theirs.db")
    assert connection_.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    connection_.close()


@pytest.mark.parametrize("module", [EVENTS, RUNS], ids=["events", "runs"])
def test_events_share_an_engine_for_as_long_as_the_run_lasts(module: Any) -> None:
    makes = module.create_engine
    with _cheap_events():
        assert module.create_engine("sqlite:///a.db") is module.create_engine("sqlite:///a.db")
        assert module.create_engine("sqlite:///a.db") is not module.create_engine("sqlite:///b.db")
    assert module.create_engine is makes


@pytest.mark.parametrize("module", [EVENTS, RUNS], ids=["events", "runs"])
def test_dagster_has_its_own_engines_back_after_a_run_that_failed(module: Any) -> None:
    makes = module.create_engine
    with pytest.raises(RuntimeError), _cheap_events():
        raise RuntimeError
    assert module.create_engine is makes


def test_a_new_home_is_made_ready_by_one_process_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two that make Dagster's schema at once leave one with two heads, which Dagster refuses from then on."""
    real, asked = dg.DagsterInstance.get, []

    def refused() -> dg.DagsterInstance:
        handle = os.open(tmp_path / "dagster", os.O_RDONLY)
        with pytest.raises(BlockingIOError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        asked.append(handle)
        return real()

    monkeypatch.setattr(dg.DagsterInstance, "get", refused)
    for name in ("LIGHTKEEPER_HOME", "DAGSTER_HOME"):
        monkeypatch.setenv(name, "")  # so that they are as before at the end
    with ready(Home(tmp_path)) as instance:
        assert instance.get_runs_count() == 0
    fcntl.flock(asked[0], fcntl.LOCK_EX | fcntl.LOCK_NB)  # free again
    os.close(asked[0])


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("\nprices = {}['price']\n", "line 2: KeyError: 'price'"),
        ("import json\njson.loads('[')\n", "line 2: JSONDecodeError: Expecting value"),
        ("\n\ndefs = (\n", "line 3: SyntaxError: .* was never closed"),
        ("import no_such_package\n", "line 1: ModuleNotFoundError: No module named 'no_such_package'. .* lightkeeper doctor"),
        ("from lightkeeper.lake.csv_file import part_of\npart_of(3)\n", "line 2: TypeError"),
    ],
)
def test_definitions_that_fail_are_refused_with_their_file_and_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, said: str
) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.chdir(os.curdir)  # back again at the end
    (tmp_path / "definitions_that_fail.py").write_text(code)
    with pytest.raises(BadDeclaration, match=f"{tmp_path}/definitions_that_fail.py {said}"):
        load(tmp_path, "definitions_that_fail")
