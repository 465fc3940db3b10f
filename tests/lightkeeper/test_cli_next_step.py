"""What a command says to type next leads to the home that it was given itself."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from lightkeeper.cli import app
from lightkeeper.cli.options import again, remember_home, same_home
from lightkeeper.home import Home, HomeRecord
from lightkeeper.lake.table import Lake


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with two homes, the working directory; each holds a table."""
    (tmp_path / "pyproject.toml").write_text("[tool.lightkeeper]\n")
    for name in (".lightkeeper", "other"):
        home = Home(tmp_path / name)
        home.create()
        Lake(home.lake, clock=home.now).write("sales", pl.DataFrame({"a": [1]}))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LIGHTKEEPER_HOME", raising=False)
    return tmp_path


def last(*words: str) -> str:
    return CliRunner().invoke(app, [*words], env={"COLUMNS": "200", "NO_COLOR": "1"}).output.splitlines()[-1]


@pytest.mark.parametrize(
    ("given", "told"),
    [((), ""), (("--home", "other"), " --home other"), (("--home", ".lightkeeper"), "")],
)
def test_the_next_step_names_the_home_that_was_given_unless_it_is_the_usual_one(
    project: Path, given: tuple[str, ...], told: str
) -> None:
    assert project.exists()
    assert last("table", "show", "sales", *given) == f"lightkeeper table lineage sales@0{told}"
    assert last("model", "list", *given).startswith(f"Train one: lightkeeper build{told}, or ")


def test_a_home_of_the_environment_is_found_again_here_and_is_named_for_another_terminal(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert project.exists()
    monkeypatch.setenv("LIGHTKEEPER_HOME", "other")
    assert last("table", "show", "sales") == "lightkeeper table lineage sales@0"
    assert same_home(elsewhere=True) == " --home other"
    assert last("table", "show", "sales", "--home", ".lightkeeper") == "lightkeeper table lineage sales@0 --home .lightkeeper"
    assert same_home(elsewhere=True) == ""


def test_outside_of_any_project_a_home_is_always_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LIGHTKEEPER_HOME", raising=False)
    remember_home(Path("an other"))
    assert again("table list") == "lightkeeper table list --home 'an other'"
    remember_home(None)
    assert again("table list") == "lightkeeper table list"


def test_the_sample_s_next_day_is_refused_in_a_home_of_one_s_own_data_which_says_where_files_go(project: Path) -> None:
    assert str(CliRunner().invoke(app, ["land-next", "--home", "other"]).exception) == (
        f"land-next lands the days of the sample, and {project}/other holds one's own data. Put files into "
        f"{project}/other/landing/<folder>, then: lightkeeper build --home other, or leave lightkeeper up --home other running, "
        "which lands what comes."
    )


def test_a_home_that_is_not_built_yet_is_named_by_the_refusal_that_says_to_build_it(project: Path) -> None:
    (project / "pyproject.toml").write_text('[tool.lightkeeper]\nsample = "a_sample:SAMPLE"\n')
    (project / "a_sample.py").write_text("SAMPLE = object()\n")
    began = datetime(2026, 3, 2, tzinfo=UTC)
    Home(project / "begun").create(HomeRecord("sample", "small", 0, began.date(), began))
    refused = CliRunner().invoke(app, ["land-next", "--home", "begun"]).exception
    assert "lightkeeper build --home begun goes on with it." in str(refused)
