"""`lightkeeper model` on a lake with a feature table, a challenger that won, its refit, and forecasts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from typer.testing import CliRunner, Result

from lightkeeper.cli import app
from lightkeeper.errors import ModelAltered, Refused
from lightkeeper.home import Home, HomeRecord
from lightkeeper.lake.table import Lake
from lightkeeper.models.decisions import decided, decisions, promoted, standing
from lightkeeper.models.forecasting import forecast, server
from lightkeeper.models.judging import judge, judgement_rows
from lightkeeper.models.promotion import Bench, follow, unfollowed
from lightkeeper.values import Decision, TableVersion
from tests.lightkeeper.lamps import CUT, LAMPS, LAST, NOW, row, table, trained

Run = Callable[..., Result]
COMMANDS = ("list", "show", "champion", "decisions", "promote", "rollback", "verify", "backtest", "test", "explain")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """The lamps were judged and promoted: v2, the refit of v1, serves and has forecast."""
    made = Home(tmp_path / "home")
    made.create(HomeRecord("sample", "small", 700, CUT, NOW))
    lake = Lake(made.lake, clock=made.now)
    at = lake.write("lamp_features", table())
    lake.append("lamps_model", row(LAMPS, table()), inputs=[at])
    found = judge(LAMPS, lake.read("lamp_features"), trained(LAMPS, table()), None, 0.05)
    lake.append("lamps_judgement", judgement_rows(LAMPS, found, 1, NOW, at))
    decided(lake, Decision("lamps", "judged", 1, "run 1", found.ruling.why, 0, "better", 0.05, 1))

    def append(one: pl.DataFrame, _: int, __: TableVersion) -> None:
        lake.append("lamps_model", one, inputs=[at])

    taken = unfollowed(lake, "lamps", lake.read("lamps_judgement"))
    assert taken is not None
    follow(Bench("lamps", lake, lake.read("lamps_model"), {}, "run 1", "run-1", append), taken)
    who = server("lamps", lake.read("lamps_model"), standing(decisions(lake), "lamps"))
    rows = forecast(LAMPS, who, lake.read("lamp_features"), str(at)).rows
    lake.write("lamps_forecast", rows, replace=[LAST], by="origin", inputs=[at, lake.version("lamps_model")])
    return made


@pytest.fixture
def run(home: Home) -> Run:
    def call(*words: str) -> Result:
        return CliRunner().invoke(app, ["model", *words, "--home", str(home.root)], env={"COLUMNS": "80", "NO_COLOR": "1"})

    return call


def answer(result: Result) -> Any:
    assert result.exit_code in {0, 1}, result.output
    return json.loads(result.output)


def test_list_and_champion_say_who_serves_since_when_and_why(run: Run) -> None:
    listed, served = run("list").output, answer(run("champion", "lamps", "--json"))
    assert "lamps:v2" in listed
    assert (served["serves"], served["action"], served["by"]) == ("lamps:v2", "promoted", "run 1")
    assert "lamps:v1 replaces lamps:naive" in served["why"]


def test_which_version_served_on_a_day_is_one_question(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.create(HomeRecord("sample", "small", 700, CUT, NOW))
    decided(Lake(home.lake, clock=lambda: NOW), Decision("lamps", "trained", 1, "run 1", "as a challenger"))
    promoted(Lake(home.lake, clock=lambda: NOW + timedelta(2)), Decision("lamps", "promoted", 1, "run 1", "it is better"))
    words = ["model", "champion", "lamps", "--home", str(home.root), "--json", "--as-of"]
    days = [str((NOW + timedelta(days)).date()) for days in (0, 1, 2)]
    served = [answer(CliRunner().invoke(app, [*words, day])) for day in days]
    assert [one["serves"] for one in served] == ["lamps:naive", "lamps:naive", "lamps:v1"]


def test_a_naive_forecast_that_a_judgement_left_in_its_place_was_kept_and_not_promoted(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.create(HomeRecord("sample", "small", 700, CUT, NOW))
    promoted(Lake(home.lake, clock=lambda: NOW), Decision("lamps", "promoted", 0, "run 1", "not better", against=0))
    said = CliRunner().invoke(app, ["model", "champion", "lamps", "--home", str(home.root)]).output
    assert "kept by run 1" in said


def test_before_anything_is_known_of_a_model_nobody_served(run: Run) -> None:
    before = NOW.date() - timedelta(1)
    assert str(run("champion", "lamps", "--as-of", str(before)).exception) == (
        f"Nobody served lamps on {before}: the first that is known of it is a decision of {NOW:%Y-%m-%d %H:%M} UTC."
    )
    assert answer(run("champion", "lamps", "--as-of", str(NOW.date()), "--json"))["serves"] == "lamps:v2"


def test_show_tells_what_made_a_version_and_how_it_was_judged(run: Run) -> None:
    said = run("show", "lamps").output
    for part in (
        "lamps:v2",
        "refit",
        "lamp_features@0",
        "challenger lamps:v1",
        "naive lamps:naive",
        "lightkeeper model verify lamps:v2",
    ):
        assert part in said
    assert max(map(len, said.splitlines())) <= 80


def test_every_decision_is_listed_newest_first(run: Run) -> None:
    said = run("decisions", "lamps").output
    places = [said.index(part) for part in ("promoted lamps:v2", "trained lamps:v2", "judged lamps:v1")]
    assert places == sorted(places)


def test_whoever_is_promoted_in_his_own_place_was_kept(run: Run, home: Home) -> None:
    promoted(Lake(home.lake, clock=home.now), Decision("lamps", "promoted", 0, "run 1", "no better", 0, "not_better_than_naive"))
    said = run("decisions", "lamps").output
    assert "kept lamps:naive, not_better_than_naive, by run 1" in said
    assert "promoted lamps:v2 against lamps:naive" in " ".join(said.split())


def test_who_decided_stands_below_the_decision_where_a_line_ends(run: Run, home: Home) -> None:
    decided(Lake(home.lake, clock=home.now), Decision("lamps", "judged", 3, "a run with a long name", "no better", 2, "tie"))
    lines = run("decisions", "lamps").output.splitlines()
    assert max(map(len, lines)) <= 80
    said = lines[: lines.index("")]
    assert [line for line in said if not line.startswith((str(NOW.year), " " * 18))] == []


def test_a_rollback_says_who_serves_now_and_writes_the_table_of_champions(run: Run, home: Home) -> None:
    said = run("rollback", "lamps", "--why", "its numbers look wrong")
    assert said.output.startswith("lamps:naive serves; lamps:v2 did. The next forecast is made by it.")
    published = Lake(home.lake).read("lamps_champion").collect()
    assert published.select("serves", "action", "why").row(-1) == ("lamps:naive", "rolled_back", "its numbers look wrong")
    assert str(published["by"][-1]).startswith("user ")
    back = run("promote", "lamps:v2", "--why", "they were right")
    assert "lamps:v2 serves; lamps:naive did" in back.output
    assert "Nothing was recorded" in run("promote", "lamps", "2", "--why", "again").output


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("rollback", "lamps"), "--why"),
        (("promote", "lamps", "--why", "x"), "which version of lamps"),
        (("promote", "lamps", "two", "--why", "x"), "is no version of lamps"),
        (("champion", "lamps", "--as-of", "yesterday"), "is no day"),
    ],
)
def test_wrong_usage_is_told(run: Run, words: tuple[str, ...], said: str) -> None:
    result = run(*words)
    assert result.exit_code == 2
    assert said in " ".join(result.output.split())


def test_an_unknown_model_or_version_is_refused_with_the_nearest(run: Run) -> None:
    assert isinstance(run("show", "lamp").exception, Refused)
    assert "Did you mean lamps?" in str(run("show", "lamp").exception)
    assert "has no version 9; it has v1, v2" in str(run("promote", "lamps:v9", "--why", "x").exception)


def test_a_version_whose_bytes_were_changed_is_not_gone_back_to(run: Run, home: Home) -> None:
    lake = Lake(home.lake)
    rows = lake.read("lamps_model").collect()
    lake.write(
        "lamps_model", rows.with_columns(pl.when(pl.col("version") == 1).then(pl.lit(b"x")).otherwise("artifact").alias("artifact"))
    )
    assert isinstance(run("rollback", "lamps", "--to", "1", "--why", "x").exception, ModelAltered)
    assert answer(run("champion", "lamps", "--json"))["serves"] == "lamps:v2"
    assert answer(run("verify", "lamps:v1", "--json"))["answer"] == "CANNOT"
    assert run("verify", "lamps:v1").exit_code == 1


def test_verify_rebuilds_who_serves_or_a_named_version(run: Run) -> None:
    assert run("verify", "lamps").output.startswith("IDENTICAL  lamps:v2")
    found = answer(run("verify", "lamps:v1", "--json"))
    assert (found["answer"], found["learnt_from"], found["largest_difference"]) == ("IDENTICAL", ["lamp_features@0"], 0.0)
    assert "has learnt nothing" in str(run("verify", "lamps:naive").exception)


def test_an_explanation_adds_up_and_names_the_forecast(run: Run, home: Home) -> None:
    said = run("explain", "lamps", "--key", "shop=York", "--key", "lamp=oil")
    assert "Main reasons:" in said.output
    assert "lamps:v2" in said.output
    found = answer(run("explain", "lamps", "--key", "shop=York", "--key", "lamp=oil", "--json"))
    parts = sum(one["contribution"] for one in found["parts"])
    rows = Lake(home.lake).read("lamps_forecast").filter(pl.col("shop") == "York", pl.col("lamp") == "oil").sort("day").collect()
    assert parts == pytest.approx(rows["units_forecast"][0])


def test_commands_that_move_a_champion_import_no_dagster(home: Home) -> None:
    code = "import sys; from lightkeeper.cli import main\ntry: main()\nfinally: print('dagster' in sys.modules, file=sys.stderr)"
    words = ["model", "rollback", "lamps", "--why", "x", "--home", str(home.root)]
    done = subprocess.run(
        [sys.executable, "-c", code, *words], env={**os.environ, "NO_COLOR": "1"}, capture_output=True, text=True, check=True
    )
    assert done.stderr.strip() == "False"
    assert "lamps:naive serves" in done.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_explains_itself_and_its_exit_codes(command: str) -> None:
    said = CliRunner().invoke(app, ["model", command, "--help"], env={"COLUMNS": "80"})
    assert said.exit_code == 0
    assert "Exit codes" in said.output
