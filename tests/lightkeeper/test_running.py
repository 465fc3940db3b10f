"""Runs in this process: a home made ready by one process at a time, definitions that fail."""

from __future__ import annotations

import fcntl
import os
import sys
from pathlib import Path

import dagster as dg
import pytest

from lightkeeper.errors import BadDeclaration
from lightkeeper.home import Home
from lightkeeper.orchestrate.running import load, ready


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
