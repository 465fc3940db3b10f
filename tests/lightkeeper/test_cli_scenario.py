"""`lightkeeper scenario`: each has its own length, which options overrule; it says how long that takes; the list fits."""

from __future__ import annotations

import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner, Result

from lightkeeper.cli import app
from lightkeeper.cli.project import Project
from lightkeeper.cli.scenario import _built, length, told
from lightkeeper.errors import BadDeclaration
from lightkeeper.home import Home
from lightkeeper.orchestrate.replay import Moment
from lightkeeper.orchestrate.scenario import Scenario, ScenarioDay, Script, Settings, Truth

OWN = '''\
"""A scenario that says what it would be played with."""

from lightkeeper.errors import Refused
from lightkeeper.orchestrate.scenario import Scenario


def told(settings):
    raise Refused(f"played {settings.history_weeks} weeks and {settings.after_days} days")


SCENARIOS = [
    Scenario("story", "A story.", "none", 0, told, history_weeks=65, after_days=80, least_weeks=20),
    Scenario("short", "A short one.", "none", 0, told),
    Scenario("ready", "One that is made.", "none", 0, lambda settings: None),
]
'''


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "pyproject.toml").write_text('[tool.lightkeeper]\nscenarios = "stories_of_own:SCENARIOS"\n')
    (tmp_path / "stories_of_own.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def said(*words: str) -> Result:
    return CliRunner().invoke(app, ["scenario", *words], env={"COLUMNS": "80", "NO_COLOR": "1"})


@pytest.mark.parametrize(
    ("words", "played"),
    [
        (("story",), "played 65 weeks and 80 days"),
        (("story", "--weeks", "30"), "played 30 weeks and 80 days"),
        (("story", "--days", "3"), "played 65 weeks and 3 days"),
        (("short",), "played 26 weeks and 14 days"),
    ],
)
def test_a_scenario_is_played_as_long_as_its_story_needs_unless_options_say_otherwise(
    project: Path, words: tuple[str, ...], played: str
) -> None:
    assert project.exists()
    assert str(said(*words).exception) == played


def test_a_history_from_which_no_table_can_be_made_is_refused_before_anything_is_built(project: Path) -> None:
    assert str(said("story", "--weeks", "19").exception) == (
        "The scenario story cannot be built from 19 quiet weeks: its tables are empty before 20. "
        "Give --weeks 20 or more; by default it has 65."
    )
    assert list(project.glob(".lightkeeper*")) == []


@pytest.mark.parametrize(("before", "left"), [((), []), (("mine.txt",), [".lightkeeper-short-1"])])
def test_a_home_that_cannot_be_built_is_removed_unless_something_lay_there(
    project: Path, monkeypatch: pytest.MonkeyPatch, before: tuple[str, ...], left: list[str]
) -> None:
    days = (ScenarioDay(date(2025, 1, 6), {"sales/sales-2025-01-06.csv": b"a\n"}, datetime(2025, 1, 7, 2, tzinfo=UTC)),)
    truth = Truth(None, None, None, None, (), "nothing happens")
    script = Script(days, date(2025, 1, 7), truth, Settings())
    (project / "pyproject.toml").write_text('[tool.lightkeeper]\ndefinitions = "definitions_that_break"\n')
    (project / "definitions_that_break.py").write_text("defs = {}['no such key']\n")
    place = Home(project / ".lightkeeper-short-1")
    for name in before:
        place.root.mkdir()
        (place.root / name).touch()
    monkeypatch.setenv("DAGSTER_HOME", "")  # so that it is as before at the end
    monkeypatch.setenv("LIGHTKEEPER_HOME", "")
    monkeypatch.setattr(sys, "path", [*sys.path])
    with pytest.raises(BadDeclaration, match="KeyError: 'no such key'"):
        _built(Project(project), Scenario("short", "", "none", 0, lambda _: script), script, place, quiet=True)
    assert [one.name for one in project.glob(".lightkeeper*")] == left


def test_an_unknown_one_is_refused_with_those_that_there_are(project: Path) -> None:
    assert project.exists()
    assert str(said("nosuch").exception) == "There is no scenario 'nosuch'. There are story, short, ready."


def test_before_it_begins_it_says_how_many_days_it_plays_and_about_how_long_that_takes() -> None:
    settings = Settings(history_weeks=65, after_days=80)
    turns = settings.first + timedelta(weeks=65)
    days = [settings.first + timedelta(n) for n in range(65 * 7 + 80)]
    truth = Truth(None, None, None, None, (), "nothing happens")
    script = Script(tuple(ScenarioDay(day, {}, datetime.combine(day, datetime.min.time())) for day in days), turns, truth, settings)
    assert length(script, daemon=False).startswith("65 quiet weeks, then 80 days: about ")
    minutes = [int(length(script, daemon=one).split()[7]) for one in (False, True)]
    assert 2 <= minutes[0] < 10 < minutes[1]  # Dagster's daemon takes several times as long


def test_a_check_that_notices_many_columns_is_one_line_of_a_day() -> None:
    rows = [
        {"asset": "sales", "check": "volume", "column": None},
        *({"asset": "demand_features", "check": "drift", "column": name} for name in ("units_mean_7d", "units_mean_28d", "units")),
    ]
    noticed = pl.DataFrame([{"segment": None, "state": "failed", "kind": None, "measured": 1.0, **row} for row in rows])
    said = told(Moment(datetime(2026, 3, 3, 2, tzinfo=UTC), date(2026, 3, 2), noticed))
    assert said[1:] == [
        "    failed  sales volume",
        "    failed  demand_features drift of units_mean_7d and 2 more columns",
    ]


def test_the_list_has_everything_of_a_scenario_in_80_columns_and_ends_with_how_one_is_played(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(Path(__file__).resolve().parents[2])
    from assets.scenarios import SCENARIOS

    lines = said().output.splitlines()
    assert max(len(line) for line in lines) <= 80
    assert [line for line in lines if line.endswith("…")] == []
    told = {line.split()[0]: (line.split(), after.strip()) for line, after in zip(lines[1:-2:2], lines[2:-2:2], strict=True)}
    for one in SCENARIOS:
        magnitude = "-" if one.unit == "none" else f"{one.default:g} {one.unit}"
        words = [one.name, *magnitude.split(), str(one.history_weeks), str(one.after_days)]
        assert told[one.name] == (words, one.description)
    assert lines[0].split()[:2] == ["scenario", "magnitude"]
    assert lines[-1] == "Play one, in a home of its own: lightkeeper scenario quiet"


def test_its_home_is_a_new_one_of_its_own_and_the_help_says_so(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "A new home for it; .lightkeeper-NAME-SEED by default." in " ".join(said("--help").output.replace("│", " ").split())
    monkeypatch.setenv("LIGHTKEEPER_HOME", str(project / "mine"))
    (project / ".lightkeeper-ready-1").mkdir()
    (project / ".lightkeeper-ready-1/home.json").touch()
    assert str(said("ready").exception).startswith(f"{project}/.lightkeeper-ready-1 is a home already.")
