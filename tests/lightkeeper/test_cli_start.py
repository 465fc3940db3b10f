"""The command itself, started as a process: exit codes, what goes where, terminals, pipes, and a light start."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from datetime import UTC, date, datetime
from io import StringIO
from pathlib import Path

import polars as pl
import pytest
from dagster._core.execution.compute_logs import redirect_to_file
from rich.console import Console

import lightkeeper
from lightkeeper.cli.building import Step
from lightkeeper.cli.running import aligned, progress
from lightkeeper.cli.show import counted
from lightkeeper.home import Home, HomeRecord
from lightkeeper.lake.table import Lake

START = "from lightkeeper.cli import main; main()"
HERE = {"NO_COLOR", "FORCE_COLOR", "COLUMNS", "LIGHTKEEPER_DEBUG", "PYTHONUNBUFFERED", "PYTHONIOENCODING"}
HEAVY = ("polars", "deltalake", "dagster", "lightgbm", "pyarrow", "numpy", "dataframely")


def environment(**more: str) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if k not in HERE}
    library = str(Path(lightkeeper.__file__).parents[1])
    return {**kept, "PYTHONPATH": os.pathsep.join([more.pop("first", ""), library]).strip(os.pathsep), **more}


def lightkeeper_(*words: str, before: str = "", **more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", f"{before}\n{START}", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment(**more), timeout=60)


def seen_at(end: int) -> str:
    """What a terminal got to see whose other end is closed."""
    seen = b""
    try:
        while part := os.read(end, 65536):
            seen += part
    except OSError:  # the other end is closed
        pass
    os.close(end)
    return seen.decode()


def in_a_terminal(*words: str, **more: str) -> str:
    """What a terminal of 80 columns gets to see."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-c", START, *words]
    env = environment(TERM="xterm-256color", COLUMNS="80", **more)
    subprocess.run(command, stdout=theirs, stderr=theirs, stdin=subprocess.DEVNULL, check=False, env=env, timeout=60)
    os.close(theirs)
    return seen_at(ours)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> str:
    home = Home(tmp_path_factory.mktemp("start"))
    home.create()
    lake = Lake(home.lake, clock=home.now)
    lake.write("sales", pl.DataFrame({"a": [1, 2]}))
    lake.write("sales", pl.DataFrame({"a": [1, 3]}))
    return str(home.root)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["table", "list"], 0),
        (["table", "diff", "sales@0", "sales@1"], 1),
        (["table", "shw", "sales"], 2),
        (["table", "show", "sales@x"], 3),
    ],
)
def test_exit_codes_mean_what_the_help_says(home: str, words: list[str], code: int) -> None:
    result = lightkeeper_(*words, LIGHTKEEPER_HOME=home)
    assert result.returncode == code, result.stderr
    assert bool(result.stdout) == (code < 2)
    assert bool(result.stderr) == (code >= 2)
    assert "Traceback" not in result.stderr


def test_the_help_names_the_exit_codes_and_every_command() -> None:
    result = lightkeeper_("--help", COLUMNS="100")
    assert result.returncode == 0
    for part in ("Exit codes: 0 done", "3 refused", "130 interrupted", "table", "doctor", "build", "land-next"):
        assert part in result.stdout


def test_a_refusal_is_one_block_on_stderr_and_the_traceback_comes_on_request(home: str) -> None:
    result = lightkeeper_("table", "show", "sale", LIGHTKEEPER_HOME=home)
    assert result.stderr.splitlines() == ["NoSuchTable", f"  {home}/lake holds no table 'sale'. Did you mean sales?"]
    debugged = lightkeeper_("table", "show", "sale", LIGHTKEEPER_HOME=home, LIGHTKEEPER_DEBUG="1").stderr
    assert "Traceback" in debugged
    assert debugged.endswith(result.stderr)


def test_json_is_one_document_and_nothing_else_with_and_without_a_terminal(home: str) -> None:
    plain = lightkeeper_("table", "list", "--json", LIGHTKEEPER_HOME=home).stdout
    assert json.loads(plain)["tables"][0]["table"] == "sales"
    assert in_a_terminal("table", "list", "--json", LIGHTKEEPER_HOME=home).replace("\r\n", "\n") == plain
    refused = lightkeeper_("table", "show", "sale", "--json", LIGHTKEEPER_HOME=home)
    assert (refused.returncode, refused.stdout) == (3, "")


def test_colours_are_for_terminals_alone_and_no_color_turns_them_off(home: str) -> None:
    for words in (("table", "show", "sales"), ("table", "show", "sale")):
        assert "\x1b[" in in_a_terminal(*words, LIGHTKEEPER_HOME=home)
        assert "\x1b" not in in_a_terminal(*words, LIGHTKEEPER_HOME=home, NO_COLOR="1")
        result = lightkeeper_(*words, LIGHTKEEPER_HOME=home)
        assert "\x1b" not in result.stdout + result.stderr


def test_a_bar_says_how_far_it_is_once_it_knows_and_nothing_before() -> None:
    seen = StringIO()
    with progress(Console(file=seen, force_terminal=True, width=80)) as tell:
        tell(Step("landing 3 days", 0, 3))
        assert "landing 3 days" in seen.getvalue()
        assert not any(part in seen.getvalue() for part in ("0/", "/?", "0 of"))
        tell(Step("Mon 02 Mar", 1, 3))
        assert "1 of 3" in seen.getvalue()


def test_a_bar_goes_on_while_a_run_takes_what_is_printed_and_is_no_part_of_it(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as terminal:
        console = Console(file=terminal, force_terminal=True, width=80)
        with progress(console) as tell, redirect_to_file(terminal, tmp_path / "printed"):
            tell(Step("landing 3 days", 0, 3))
            terminal.write("said by the run\n")
    assert (tmp_path / "printed").read_text() == "said by the run\n"
    assert "landing 3 days" in seen_at(ours)


def test_versions_of_assets_stand_below_each_other_however_long_a_name_is() -> None:
    assert aligned({"sales": "sales@7", "returns_explanation": "returns_explanation@1"}) == [
        "returns_explanation  returns_explanation@1",
        "sales                sales@7",
    ]


def test_one_of_a_thing_has_no_plural() -> None:
    assert [counted(1), counted(2), counted(1, "day"), counted(1_000, "day")] == ["1 row", "2 rows", "1 day", "1,000 days"]


def test_a_home_of_a_scenario_is_built_as_it_is_and_takes_no_day_of_the_sample(tmp_path: Path) -> None:
    played = Home(tmp_path / "played")
    played.create(HomeRecord.of_scenario("lockdown", date(2025, 1, 6), datetime(2025, 3, 3, 8, tzinfo=UTC)))
    assert (played.record.scenario, HomeRecord().scenario) == ("lockdown", None)
    built = lightkeeper_("build", "--home", str(played.root))
    assert (built.returncode, "Everything was built already." in built.stdout) == (0, True), built.stderr
    landed = lightkeeper_("land-next", "--home", str(played.root))
    assert landed.returncode == 3
    assert "a home of the scenario lockdown, which brings its own days" in " ".join(landed.stderr.split())


def test_the_home_option_goes_before_the_environment(home: str, tmp_path: Path) -> None:
    Home(tmp_path / "empty").create()
    assert "No tables yet" in lightkeeper_("table", "list", "--home", str(tmp_path / "empty"), LIGHTKEEPER_HOME=home).stdout


def test_a_terminal_that_knows_no_unicode_gets_question_marks_instead_of_an_error(home: str) -> None:
    result = lightkeeper_("table", "lineage", "sales", LIGHTKEEPER_HOME=home, PYTHONIOENCODING="ascii")
    assert result.returncode == 0
    assert "sales@1" in result.stdout


@pytest.mark.parametrize("words", [["table", "list"], ["--help"]])
def test_a_reader_that_goes_away_causes_no_traceback(home: str, words: list[str]) -> None:
    ours, theirs = os.pipe()
    os.close(ours)
    command = [sys.executable, "-c", START, *words]
    result = subprocess.run(command, stdout=theirs, stderr=subprocess.PIPE, check=False, env=environment(LIGHTKEEPER_HOME=home))
    os.close(theirs)
    assert result.stderr == b""
    assert result.returncode in {1, 141}


@pytest.mark.parametrize(("raised", "code"), [("KeyboardInterrupt", 130), ("OSError('the disk is on fire')", 70)])
def test_what_nobody_expected_ends_in_a_sentence_and_a_code(home: str, raised: str, code: int) -> None:
    """The lake's folder is listed by `os.listdir`: there it breaks."""
    breaks = f"import os\ndef broken(path): raise {raised}\nos.listdir = broken"
    result = lightkeeper_("table", "list", before=breaks, LIGHTKEEPER_HOME=home)
    assert result.returncode == code
    assert "Traceback" not in result.stderr
    assert ("the disk is on fire" in result.stderr) == (code == 70)


@pytest.mark.parametrize("words", [["--help"], ["table", "diff", "--help"]])
def test_the_start_imports_nothing_heavy(words: list[str]) -> None:
    look = f"import atexit, sys\natexit.register(lambda: print([name for name in {HEAVY} if name in sys.modules], file=sys.stderr))"
    assert lightkeeper_(*words, before=look).stderr == "[]\n"


def test_an_interrupt_during_the_start_is_no_traceback_either(tmp_path: Path) -> None:
    (tmp_path / "typer.py").write_text("raise KeyboardInterrupt")
    result = lightkeeper_("table", "list", first=str(tmp_path))
    assert (result.returncode, result.stderr) == (130, "")


def test_without_typer_every_command_names_the_doctor(tmp_path: Path) -> None:
    (tmp_path / "typer.py").write_text("raise ImportError('typer is broken')")
    result = lightkeeper_("table", "list", first=str(tmp_path))
    assert result.returncode == 70
    assert result.stderr.startswith("A package is missing\n  typer is broken.")
    assert "lightkeeper doctor" in result.stderr
