"""`lightkeeper alert`: what stands is shown in 80 columns, undelivered ones as such; a person says that it is seen to."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from lightkeeper.alerts.alert import Alert
from lightkeeper.alerts.kept import raised, solved, standing
from lightkeeper.alerts.sending import deliver
from lightkeeper.cli import app
from lightkeeper.errors import Refused
from lightkeeper.home import Home, HomeRecord
from lightkeeper.lake.table import Lake
from tests.lightkeeper.lamps import NOW

Run = Callable[..., Result]

LOW = Alert(
    cause="volume", asset="sales", episode="2026-11-19", role="domain_expert", since=date(2026, 11, 19),
    symptom="Sales of 19 November are a third of what a Thursday usually brings to the shop",
    why="412 rows came, and 1,250 to 1,710 are usual on a Thursday (n = 52 Thursdays, learnt from quiet weeks alone).",
    effect="About 900 pieces too few until Sunday.", to_do="Ask the shop whether the file is whole.",
)  # fmt: skip
HELD = Alert(
    cause="retraining", asset="demand", episode="2026-11-20", role="data_scientist", since=None,
    symptom="demand is not retrained any more", why="Three challengers lost.", links=("http://127.0.0.1:3000/assets/demand",),
)  # fmt: skip
OVER = Alert(cause="freshness", asset="sales", episode="1", role="it", since=NOW, symptom="No file came", why="It is 9:00.")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """Three alerts: the oldest is solved; one was tried at an address that cannot be read; the newest waits."""
    made = Home(tmp_path / "home")
    made.create(HomeRecord("sample", "small", 700, date(2024, 1, 1), NOW))
    lake = Lake(made.lake, clock=made.now)
    raised(lake, OVER)
    solved(lake, "freshness", "sales", "The file came.")
    raised(lake, LOW)
    deliver(lake, {"LIGHTKEEPER_ALERT_IT": "slack://x"})
    raised(lake, HELD)
    return made


@pytest.fixture
def run(home: Home) -> Run:
    def call(*words: str) -> Result:
        return CliRunner().invoke(app, ["alert", *words, "--home", str(home.root)], env={"COLUMNS": "80", "NO_COLOR": "1"})

    return call


def answer(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.output)


def test_open_alerts_are_listed_newest_first_with_since_role_delivery_and_why_in_80_columns(run: Run) -> None:
    said = run("list").output
    places = [said.index(part) for part in (HELD.symptom, LOW.symptom, "since 2026-11-19, for the domain expert")]
    assert places == sorted(places)
    assert max(map(len, said.splitlines())) <= 80
    flat = " ".join(said.split())
    assert LOW.why in flat
    assert "not delivered yet after 1 attempt: The address (slack://) is none that apprise can read" in flat
    assert "waiting to be sent" in flat
    assert "2 not solved, 2 of them not delivered." in flat
    assert OVER.symptom not in said


def test_all_shows_what_was_solved_as_well_and_by_what(run: Run) -> None:
    said = run("list", "--all").output
    assert OVER.symptom in said
    assert "The file came." in said


def test_json_holds_all_that_is_known_of_each(run: Run) -> None:
    found = answer(run("list", "--json"))["alerts"]
    assert [one["key"] for one in found] == [HELD.key, LOW.key]
    assert (found[1]["delivery"], found[1]["attempts"], found[1]["since"]) == ("failing", 1, "2026-11-19")
    assert [one["state"] for one in answer(run("list", "--all", "--json"))["alerts"]] == ["open", "open", "solved"]


def test_a_home_without_alerts_says_so(tmp_path: Path) -> None:
    made = Home(tmp_path / "quiet")
    made.create(HomeRecord())
    assert CliRunner().invoke(app, ["alert", "list", "--home", str(made.root)]).output == "No alert was raised yet.\n"
    assert CliRunner().invoke(app, ["alert", "list", "--all", "--home", str(made.root)]).output == "No alert was raised yet.\n"


def test_an_acknowledgement_by_the_beginning_of_a_key_is_kept_and_shown(run: Run, home: Home) -> None:
    assert run("ack", "vol", "--why", "I ask the shop.").output.startswith(f"{LOW.key} is acknowledged by user ")
    row = standing(Lake(home.lake)).filter(key=LOW.key).to_dicts()[0]
    assert (row["state"], row["acknowledged_why"]) == ("acknowledged", "I ask the shop.")
    assert "I ask the shop." in run("list").output
    assert "acknowledged on" in str(run("ack", "vol", "--why", "again").exception)


def test_a_key_that_is_unknown_solved_or_begins_several_is_refused_with_what_there_is(run: Run, home: Home) -> None:
    raised(Lake(home.lake), Alert(cause="volume", asset="orders", episode="1", role="it", since=None, symptom="x", why="y"))
    for key, said in (
        ("volume:sale:2026-11-19", f"Did you mean {LOW.key}"),
        ("volume", "begins 2 alerts"),
        ("fresh", "was solved"),
    ):
        result = run("ack", key, "--why", "x")
        assert isinstance(result.exception, Refused)
        assert said in str(result.exception)


def test_an_acknowledgement_without_a_reason_is_wrong_usage(run: Run) -> None:
    assert run("ack", "vol").exit_code == run("ack", "vol", "--why", " ").exit_code == 2


def test_words_of_a_person_and_of_data_cannot_drive_the_terminal(run: Run, home: Home) -> None:
    raised(
        Lake(home.lake),
        Alert(cause="a", asset="b", episode="\x1b[2J", role="it", since=None, symptom="s", why="\x1b[31mred\n[bold]"),
    )
    run("ack", "a:b:", "--why", "seen\x1b[2J")
    said = run("list").output
    assert "\x1b" not in said
    assert "\\x1b[31mred\\n[bold]" in said
    assert "seen\\x1b[2J" in said


def test_the_commands_import_neither_dagster_nor_apprise(home: Home) -> None:
    code = (
        "import sys; from lightkeeper.cli import main\n"
        "try: main()\nfinally: print({'dagster', 'apprise', 'lightgbm'} & {*sys.modules}, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "alert", "list", "--home", str(home.root)],
        env={**os.environ, "NO_COLOR": "1"}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stderr.strip() == "set()"
    assert LOW.symptom in done.stdout


@pytest.mark.parametrize("command", ["list", "ack"])
def test_each_command_explains_itself_and_its_exit_codes(command: str) -> None:
    said = CliRunner().invoke(app, ["alert", command, "--help"], env={"COLUMNS": "80"})
    assert said.exit_code == 0
    assert "Exit codes" in said.output
