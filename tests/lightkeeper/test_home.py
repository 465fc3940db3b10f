"""The state folder: made once, found from anywhere in its project, its clock never goes back, one lands at a time."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from lightkeeper import home as module
from lightkeeper.cli.options import find_home
from lightkeeper.cli.project import Project
from lightkeeper.errors import HomeBusy, LightkeeperError, Refused, StorageFailed
from lightkeeper.home import FORMAT, Home, HomeRecord

FIRST = date(2024, 11, 12)
NOW = datetime(2024, 11, 12, tzinfo=UTC)
SAMPLE = HomeRecord("sample", "small", 780, FIRST, NOW)
HOLDER = """
import sys
from pathlib import Path
from lightkeeper.home import Home
with Home(Path(sys.argv[1])).landing_lock():
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path / "home")
    made.create(SAMPLE)
    return made


def place(handle: int) -> str:
    """The path of an open file."""
    return str(Path(f"/proc/self/fd/{handle}").readlink())


def hold(home: Home) -> subprocess.Popen[str]:
    """Another process that holds the landing lock until its standard input is closed."""
    paths = os.pathsep.join(path for path in sys.path if path)
    command = [sys.executable, "-c", HOLDER, str(home.root)]
    holder = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": paths}
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    return holder


def test_a_home_that_was_made_tells_what_it_is(home: Home) -> None:
    assert Home(home.root).exists
    assert Home(home.root).record == SAMPLE
    assert home.lake.is_dir()
    assert home.landing.is_dir()
    assert home.dagster.is_dir()


def test_a_home_is_not_made_twice(home: Home) -> None:
    with pytest.raises(Refused, match="is a home already"):
        home.create()
    assert home.record == SAMPLE


def test_a_folder_without_a_record_is_no_home_and_the_error_says_how_to_make_one(tmp_path: Path) -> None:
    assert not Home(tmp_path).exists
    with pytest.raises(Refused, match="lightkeeper build --home"):
        _ = Home(tmp_path).record


def test_a_sample_keeps_its_own_time_and_own_data_the_real_time(home: Home, tmp_path: Path) -> None:
    own = Home(tmp_path / "own")
    own.create()
    before = datetime.now(UTC)
    assert before <= own.now() <= datetime.now(UTC)
    assert home.now() == NOW


def test_the_clock_of_a_sample_moves_forward_and_is_remembered(home: Home) -> None:
    home.move_clock(NOW + timedelta(days=3))
    assert Home(home.root).now() == NOW + timedelta(days=3)
    assert home.record.shift_weeks == 780


def test_the_clock_never_goes_back(home: Home) -> None:
    home.move_clock(NOW + timedelta(days=3))
    home.move_clock(NOW + timedelta(days=3))
    with pytest.raises(Refused, match="never goes back"):
        home.move_clock(NOW + timedelta(days=2))
    assert home.now() == NOW + timedelta(days=3)


@pytest.mark.parametrize("moment", [datetime(2026, 1, 1), datetime.fromisoformat("2026-01-01T00:00+01:00")])  # noqa: DTZ001
def test_a_clock_is_set_in_utc_or_not_at_all(home: Home, moment: datetime) -> None:
    with pytest.raises(Refused, match="UTC"):
        home.move_clock(moment)


def test_the_real_clock_cannot_be_moved(tmp_path: Path) -> None:
    own = Home(tmp_path)
    own.create()
    with pytest.raises(Refused, match="real clock"):
        own.move_clock(NOW)


def test_a_record_of_a_newer_format_is_refused_by_its_number(home: Home) -> None:
    (home.root / "home.json").write_text(json.dumps({"format": FORMAT + 1, "kind": "own"}))
    with pytest.raises(Refused, match=f"format {FORMAT + 1}"):
        home.now()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"format": true}',
        '{"format": 1}',
        '{"format": 1, "kind": "other"}',
        '{"format": 1, "kind": "sample"}',
        '{"format":1,"kind":"sample","sample_size":"s","shift_weeks":"7","first_day":"2024-11-12","now":"2024-11-12T00Z"}',
        '{"format": 1, "kind": "sample", "sample_size": "s", "shift_weeks": 7, "first_day": "12.11.2024", "now": "x"}',
        '{"format": 1, "kind": "sample", "sample_size": "s", "shift_weeks": 7, "first_day": "2024-11-12", "now": 0}',
        '{"format":1,"kind":"sample","sample_size":"s","shift_weeks":7,"first_day":"2024-11-12","now":"2024-11-12T00:00"}',
        "\udcff",
    ],
)
def test_a_spoiled_record_is_refused_by_its_path_and_says_what_to_do(home: Home, text: str) -> None:
    (home.root / "home.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(Refused, match=r"home\.json cannot be read: .* from a backup"):
        _ = home.record


def test_a_record_that_mixes_sample_and_own_data_cannot_be_made() -> None:
    with pytest.raises(Refused):
        HomeRecord("own", now=NOW)
    with pytest.raises(Refused):
        HomeRecord("sample", "small", 780)


def test_a_write_that_fails_leaves_the_record_and_no_rest(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.os, "fsync", full)
    with pytest.raises(StorageFailed, match="No space left"):
        home.move_clock(NOW + timedelta(days=1))
    assert home.now() == NOW
    assert [path.name for path in home.root.iterdir() if path.name.endswith(".tmp")] == []


def test_a_home_is_durable_before_it_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    monkeypatch.setattr(module.os, "fsync", lambda handle: synced.append(place(handle)))
    Home(tmp_path).create()
    assert [Path(path).name.endswith("tmp") for path in synced] == [True, False]
    assert synced[1] == str(tmp_path)


def test_whoever_reads_the_record_while_it_is_written_sees_the_old_one_whole(home: Home) -> None:
    with (home.root / "home.json").open() as reader:
        home.move_clock(NOW + timedelta(days=1))
        assert json.load(reader)["now"] == NOW.isoformat()
    assert home.now() == NOW + timedelta(days=1)


def test_a_home_that_cannot_be_made_says_why(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageFailed, match="cannot be made"):
        Home(tmp_path / "file" / "home").create()


@pytest.mark.parametrize("mark", ["workspace.yaml", "pyproject.toml"])
def test_a_home_is_found_from_anywhere_in_its_project(tmp_path: Path, mark: str) -> None:
    deep = tmp_path / "project" / "assets" / "deep"
    deep.mkdir(parents=True)
    (tmp_path / "project" / mark).write_text("[tool.lightkeeper]\n")
    (deep.parent / "pyproject.toml").write_text("[tool.other]\n")
    assert Home.find(deep, {}) == Home(tmp_path / "project" / ".lightkeeper")


def test_the_environment_names_the_home_before_the_project_does(tmp_path: Path) -> None:
    (tmp_path / "workspace.yaml").touch()
    assert Home.find(tmp_path, {"LIGHTKEEPER_HOME": str(tmp_path / "x")}) == Home(tmp_path / "x")
    assert Home.find(tmp_path, {"LIGHTKEEPER_HOME": ""}) == Home(tmp_path / ".lightkeeper")


def test_a_home_that_is_named_is_seen_from_the_working_directory_and_never_from_the_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "workspace.yaml").touch()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    monkeypatch.setenv("LIGHTKEEPER_HOME", "state")
    project = Project.find(Path.cwd())
    assert project.folder == tmp_path
    assert project.home(None) == find_home(None) == Home(tmp_path / "here" / "state")
    assert project.home(Path("~/x")) == find_home(Path("~/x")) == Home(tmp_path / "me" / "x")


def test_outside_a_project_the_error_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"\[tool\.lightkeeper\] table .* LIGHTKEEPER_HOME"):
        Home.find(tmp_path, {})


def test_a_pyproject_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool")
    with pytest.raises(Refused, match=r"pyproject\.toml cannot be read"):
        Home.find(tmp_path, {})
    with pytest.raises(Refused, match=r"pyproject\.toml cannot be read"):
        Project.find(tmp_path)
    (tmp_path / "pyproject.toml").write_text("[tool]\nlightkeeper = 3\n")
    with pytest.raises(Refused, match=r"pyproject\.toml: lightkeeper = 3 is no table"):
        Project.find(tmp_path)


def test_one_process_lands_at_a_time_and_the_other_learns_whose_turn_it_is(home: Home) -> None:
    with hold(home) as holder:
        assert home.landing_is_busy()
        with (
            pytest.raises(HomeBusy, match=f"Process {holder.pid} is landing .*kill {holder.pid}"),
            home.landing_lock(),
        ):
            pass
        holder.communicate("")
    assert not home.landing_is_busy()
    with home.landing_lock():
        assert home.landing_is_busy()
    assert not home.landing_is_busy()


def test_a_killed_holder_leaves_nothing_behind(home: Home) -> None:
    with hold(home) as holder:
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    assert not home.landing_is_busy()
    with home.landing_lock():
        pass


def test_an_error_while_landing_frees_the_lock(home: Home) -> None:
    with pytest.raises(ZeroDivisionError), home.landing_lock():
        raise ZeroDivisionError
    assert not home.landing_is_busy()


def test_whoever_only_looks_never_turns_a_lander_away(home: Home) -> None:
    with ThreadPoolExecutor(2) as pool:
        looks = [pool.submit(lambda: [home.landing_is_busy() for _ in range(3000)]) for _ in range(2)]
        taken = 0
        while not all(look.done() for look in looks):
            with home.landing_lock():
                taken += 1
    assert taken > 0


def test_looking_at_a_home_that_is_not_there_makes_nothing(tmp_path: Path) -> None:
    assert not Home(tmp_path / "none").landing_is_busy()
    with pytest.raises(Refused, match="No home in"), Home(tmp_path / "none").landing_lock():
        pass
    assert list(tmp_path.iterdir()) == []


def test_every_error_here_is_one_that_the_command_line_shows_as_a_sentence() -> None:
    assert all(issubclass(error, LightkeeperError) for error in (HomeBusy, Refused, StorageFailed))
