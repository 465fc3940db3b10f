"""`lightkeeper doctor`: each thing that can be wrong is made wrong, and found."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import lightkeeper
from lightkeeper.cli import findings as doctor
from lightkeeper.cli.findings import Finding
from lightkeeper.cli.packages import requirements, satisfies
from lightkeeper.home import Home, HomeRecord

LIBRARY = str(Path(lightkeeper.__file__).parents[1])
START = "from lightkeeper.cli import main; main()"
NOW = datetime(2026, 6, 1, tzinfo=UTC)


def started(home: Path, *words: str, first: str = "", flags: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """`lightkeeper doctor` in a process; modules in the folder `first` hide those that are installed."""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [first, LIBRARY])), "LIGHTKEEPER_HOME": str(home)}
    command = [sys.executable, *flags, "-c", START, "doctor", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=env, timeout=300)


def found(home: Home) -> dict[str, Finding]:
    return {one.what: one for one in doctor._home(home)}


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    home.create()
    return home


# -- in a process of its own ------------------------------------------------------------------------------------


def test_a_sound_installation_is_well_and_says_so_in_json_too(home: Home) -> None:
    result = started(home.root, "--json")
    document = json.loads(result.stdout)
    wrong = [one for one in document["findings"] if one["state"] == "wrong"]
    assert (result.returncode, document["ok"], wrong) == (0, True, [])
    assert {"python", "dagster", "polars", "lightgbm", "libgomp", "git", "disk", "home"} <= {
        one["what"] for one in document["findings"]
    }


def test_packages_that_are_missing_or_broken_are_found_with_what_mends_them(home: Home, tmp_path: Path) -> None:
    (tmp_path / "typer.py").write_text("raise ModuleNotFoundError(\"No module named 'typer'\")")
    (tmp_path / "rich.py").write_text("raise ModuleNotFoundError(\"No module named 'rich'\")")
    (tmp_path / "lightgbm.py").write_text("raise OSError('libgomp.so.1: cannot open shared object file')")
    (tmp_path / "polars.py").write_text("import os; os.kill(os.getpid(), 4)")
    result = started(home.root, first=str(tmp_path))
    lines = {line.split()[1]: line for line in result.stdout.splitlines() if line.startswith(("ok", "note", "wrong"))}
    assert result.returncode == 1
    assert "No module named 'typer'" in lines["typer"]
    assert "libgomp.so.1: cannot open" in lines["lightgbm"]
    assert "ends Python (exit code -4)" in lines["polars"]
    assert lines["deltalake"].startswith("ok")
    assert "pip install 'polars>=" in " ".join(result.stdout.split())  # a narrow terminal breaks the line
    assert "things are wrong." in result.stdout


def test_it_runs_where_nothing_is_installed_at_all(home: Home) -> None:
    result = started(home.root, "--json", flags=("-S",))
    states = {one["what"]: one["state"] for one in json.loads(result.stdout)["findings"]}
    assert result.returncode == 1
    assert {states[name] for name in requirements()} == {"wrong"}
    assert states["home"] == "ok"


# -- packages ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "wanted", "fits"),
    [
        ("1.13.27", ">=1.13.27,<1.14", True),
        ("1.13.3", ">=1.13.27,<1.14", False),
        ("1.14", ">=1.13.27,<1.14", False),
        ("1.14.0", ">=1.13.27,<1.14", False),
        ("2.10.0", ">=2.9,<3", True),
        ("26", ">=26.0.0", True),
        ("4.7.0rc1", ">=4.7,<5", True),
        ("1.0", "", True),
        ("1.0", "!=1.0", False),
    ],
)
def test_versions_are_compared_by_their_numbers(version: str, wanted: str, fits: bool) -> None:  # noqa: FBT001
    assert satisfies(version, wanted) == fits


def test_the_requirements_are_those_of_the_project() -> None:
    wanted = requirements()
    assert {"dagster", "dagster-webserver", "polars", "lightgbm", "deltalake", "typer", "rich"} <= set(wanted)
    assert wanted["polars"].startswith(">=")


def test_a_version_out_of_range_is_wrong() -> None:
    found = [*doctor._packages({"rich": ">=999"})]
    assert found[0].state == "wrong"
    assert "is not >=999" in found[0].says
    assert "pip install 'rich>=999'" in found[0].mend


def test_an_old_python_and_an_absent_libgomp_are_wrong() -> None:
    def absent(name: str) -> object:
        raise OSError(f"{name}: cannot open shared object file")

    assert doctor._python((3, 10, 4)).state == "wrong"
    assert doctor._python((3, 11, 0)).state == "ok"
    assert "apt-get install libgomp1" in doctor._libgomp(absent).mend


# -- the project ------------------------------------------------------------------------------------------------


def test_a_project_without_its_definitions_or_with_a_package_named_platform_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.lightkeeper]\ndefinitions = "mine.defs"\n')
    [one] = doctor._project(tmp_path)
    assert (one.state, one.says) == ("wrong", f"{tmp_path} has no mine/defs.py and no workspace.yaml")
    for name in ("mine/defs.py", "workspace.yaml", "platform/__init__.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    states = {one.what: one for one in doctor._project(tmp_path)}
    assert states["project"].state == "ok"
    assert "hides Python's own module" in states["platform"].says


def test_no_project_is_a_note_with_how_to_make_one(tmp_path: Path) -> None:
    [one] = doctor._project(tmp_path)
    assert one.state == "note"
    assert "[tool.lightkeeper]" in one.says


# -- the home ---------------------------------------------------------------------------------------------------


def test_a_new_home_is_well(home: Home) -> None:
    states = {what: one.state for what, one in found(home).items()}
    assert states == {
        "disk": "ok",
        "home": "ok",
        "home's clock": "ok",
        "dagster's home": "note",
        "landing lock": "ok",
        "servers": "ok",
    }


def test_a_home_that_is_not_made_yet_is_a_note_with_the_command(tmp_path: Path) -> None:
    one = found(Home(tmp_path / "none"))["home"]
    assert (one.state, one.mend) == ("note", f"lightkeeper build --home {tmp_path / 'none'}")


def test_a_damaged_record_is_wrong(home: Home) -> None:
    (home.root / "home.json").write_text("{")
    assert found(home)["home"].state == "wrong"


def test_a_folder_that_cannot_be_used_is_wrong(home: Home) -> None:
    home.landing.rmdir()
    home.landing.write_text("a file")
    assert found(home)["folder landing"].state == "wrong"
    assert "Not a directory" in found(home)["folder landing"].says


def test_somebody_landing_is_a_note(home: Home) -> None:
    with home.landing_lock():
        assert found(home)["landing lock"].state == "note"
    assert found(home)["landing lock"].state == "ok"


@pytest.mark.parametrize("recorded", ["{pid}", '{{"pid": {pid}}}'])
def test_servers_are_told_running_from_gone(home: Home, recorded: str) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    for pid, state in ((os.getpid(), "ok"), (ended.pid, "note")):
        (home.dagster / "servers.json").write_text(f'{{"webserver": {recorded.format(pid=pid)}}}')
        one = found(home)["servers"]
        assert (one.state, str(pid) in one.says) == (state, True)
    (home.dagster / "servers.json").write_text("[")
    assert found(home)["servers"].state == "wrong"


def test_a_clock_in_the_future_is_wrong() -> None:
    record = HomeRecord("sample", "small", 700, date(2026, 1, 1), NOW)
    assert doctor._home_clock(record, NOW).state == "ok"
    assert doctor._home_clock(record, NOW - timedelta(days=30)).state == "wrong"
    assert doctor._machine_clock(datetime(1970, 1, 1, tzinfo=UTC)).state == "wrong"


def test_a_disk_that_is_nearly_full_is_said(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    def usage(free: int) -> Any:
        return lambda _: type("Usage", (), {"free": free})

    for free, state in ((10**8, "wrong"), (10**9, "note"), (10**11, "ok")):
        monkeypatch.setattr("shutil.disk_usage", usage(free))
        assert found(home)["disk"].state == state


def test_long_findings_are_wrapped_for_a_narrow_terminal() -> None:
    from lightkeeper.cli import doctor

    lines = doctor._lines(Finding("home", "wrong", "word " * 40, "mend " * 20), 80, colour=False)
    assert max(map(len, lines)) <= 80
    assert sum("->" in line for line in lines) == 1
