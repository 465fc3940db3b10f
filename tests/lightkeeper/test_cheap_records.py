"""What is saved on Dagster's records of a run in this process: on its own files and nobody else's, and nothing is lost."""

from __future__ import annotations

import importlib
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from lightkeeper.home import Home
from lightkeeper.orchestrate.cheap_records import cheap_records
from lightkeeper.orchestrate.running import Ran, RunFailed, materialize, ready

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
    with cheap_records():
        store(tmp_path / "run.db")
        assert log.exists()
        assert rows(tmp_path / "run.db") == 3, "another process sees an event at once"
    assert not log.exists()
    assert rows(tmp_path / "run.db") == 3


def test_a_sqlite_file_that_an_asset_reads_keeps_its_own_journal(tmp_path: Path) -> None:
    with cheap_records():
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
    with cheap_records():
        assert module.create_engine("sqlite:///a.db") is module.create_engine("sqlite:///a.db")
        assert module.create_engine("sqlite:///a.db") is not module.create_engine("sqlite:///b.db")
    assert module.create_engine is makes


@pytest.mark.parametrize("module", [EVENTS, RUNS], ids=["events", "runs"])
def test_dagster_has_its_own_engines_back_after_a_run_that_failed(module: Any) -> None:
    makes = module.create_engine
    with pytest.raises(RuntimeError), cheap_records():
        raise RuntimeError
    assert module.create_engine is makes


@dg.asset
def spoken() -> None:
    print("to stdout")  # noqa: T201 - it is what the test is about
    print("to stderr", file=sys.stderr)  # noqa: T201
    raise ValueError


@dg.asset
def silent() -> None:
    pass


DEFS = dg.Definitions(assets=[spoken, silent])


@pytest.fixture
def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    for name in ("DAGSTER_HOME", "LIGHTKEEPER_HOME"):  # which `ready` sets
        monkeypatch.setenv(name, "")
    with ready(Home(tmp_path / "home")) as made:
        yield made


def run(instance: dg.DagsterInstance, name: str) -> Ran:
    return materialize(DEFS, instance, {dg.AssetKey(name)})


def test_what_a_run_prints_is_shown_in_dagster_and_goes_on_to_the_terminal_when_it_ends_whether_or_not_it_failed(
    instance: dg.DagsterInstance, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(RunFailed):
        run(instance, "spoken")
    seen = capfd.readouterr()
    assert (seen.out, seen.err) == ("to stdout\n", "to stderr\n")
    found = instance.get_run_records()[0].dagster_run.run_id
    logged = instance.all_logs(found, of_type=dg.DagsterEventType.LOGS_CAPTURED)[0].dagster_event
    assert logged is not None
    kept = instance.compute_log_manager.get_log_data([found, "compute_logs", logged.logs_captured_data.file_key])
    assert (kept.stdout, kept.stderr) == (b"to stdout\n", b"to stderr\n")


def test_a_run_starts_no_process(instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> None:
    started, its_own = list[object](), subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda *words, **options: started.append(words) or its_own(*words, **options))
    run(instance, "silent")
    assert not started
    with dg.DagsterInstance.local_temp() as other:  # a run that is not in such a block does
        dg.materialize([silent], instance=other)
    assert started


def test_dagsters_migrations_are_read_once_for_many_runs(instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> None:
    run(instance, "silent")
    read: list[str] = []
    its_own = ScriptDirectory._load_revisions
    monkeypatch.setattr(ScriptDirectory, "_load_revisions", lambda self: read.append(self.dir) or its_own(self))
    run(instance, "silent")
    assert not read
    with dg.DagsterInstance.local_temp() as other:  # a run that is not in such a block reads them
        dg.materialize([silent], instance=other)
    assert read


def test_the_file_of_events_of_each_run_has_dagsters_newest_form(instance: dg.DagsterInstance) -> None:
    for _ in range(2):
        found = run(instance, "silent").run_id
        connection = sqlite3.connect(Path(instance.root_directory) / "history" / "runs" / f"{found}.db")
        kept = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        connection.close()
        heads = ScriptDirectory(str(Path(dg.__file__).parent / "_core/storage/alembic")).get_heads()
        assert list(kept) == heads


def test_what_is_replaced_in_a_block_is_as_it_was_after_it() -> None:
    from dagster._core.execution import compute_logs

    before = (ScriptDirectory.from_config, compute_logs.tail_to_stream)
    with pytest.raises(RuntimeError), cheap_records():
        raise RuntimeError
    with cheap_records():
        assert ScriptDirectory.from_config != before[0]
        assert compute_logs.tail_to_stream is not before[1]
    assert (ScriptDirectory.from_config, compute_logs.tail_to_stream) == before
