"""`lightkeeper model breaker` and `check accept`: what a person sees and says of models that retrain themselves."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from assets import MODELS
from lightkeeper.home import Home, HomeRecord
from lightkeeper.lake.suspects import follow, suspects
from lightkeeper.lake.table import Lake
from lightkeeper.lake.verdicts import Judged
from lightkeeper.models.attempts import began, machine
from lightkeeper.models.decisions import decided, decisions
from lightkeeper.values import Decision, TableVersion, Verdict

ROOT = Path(__file__).resolve().parents[2]
DAY = date(2026, 3, 1)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path / "home")
    made.create(HomeRecord("sample", "small", 0, date(2025, 1, 6), datetime(2026, 3, 2, 6, tzinfo=UTC)))
    return made


def lake_of(home: Home) -> Lake:
    return Lake(home.lake, clock=home.now)


def tried(home: Home, times: int) -> None:
    for n in range(1, times + 1):
        asked = Decision(
            "demand", "attempted", 0, "run", "it fails", 0, "accuracy", cause="accuracy", episode="demand_outcome.accuracy",
            attempt=n, matured=DAY,
        )  # fmt: skip
        began(lake_of(home), asked, f"run-{n}")
        decided(lake_of(home), Decision("demand", "rejected", n, "run", "no better", 0, "tie", judgement=n, run_id=f"run-{n}"))


def said(home: Home, *words: str) -> subprocess.CompletedProcess[str]:
    command = str(Path(sys.executable).parent / "lightkeeper")
    environ = {**os.environ, "LIGHTKEEPER_HOME": str(home.root), "COLUMNS": "80", "DAGSTER_HOME": ""}
    return subprocess.run([command, *words], cwd=ROOT, env=environ, capture_output=True, text=True, check=False)


def test_a_breaker_that_is_closed_says_what_would_ask_for_a_retraining(home: Home) -> None:
    done = said(home, "model", "breaker")
    assert done.returncode == 0, done.stderr
    assert "demand  breaker closed, opens after 3 useless attempts" in done.stdout
    assert "returns  breaker closed" in done.stdout
    assert "it would be asked for when" in done.stdout
    assert max(len(line) for line in done.stdout.splitlines()) <= 80


def test_a_model_without_a_version_says_what_its_first_one_lacks(home: Home) -> None:
    assert "no version yet, and demand_features is not there to learn from." in " ".join(
        said(home, "model", "breaker").stdout.split()
    )
    days = [date(2026, 1, 1) + timedelta(n) for n in range(33)]
    (model,) = (one for one in MODELS if one.name == "demand")
    columns = dict.fromkeys((*model.keys, *model.features, model.target), [1] * 33)
    lake_of(home).write("demand_features", pl.DataFrame({**columns, "day": days}))
    done = said(home, "model", "breaker", "demand")
    assert done.returncode == 0, done.stderr
    words = " ".join(done.stdout.split())
    assert "It has no version yet: " in words
    assert "has 33 known days; 42 are needed" in words


def test_an_open_breaker_is_half_opened_by_a_person_with_a_reason(home: Home) -> None:
    tried(home, 3)
    found = json.loads(said(home, "model", "breaker", "demand", "--json").stdout)["models"]
    assert [(one["model"], one["breaker"], one["useless"]) for one in found] == [("demand", "open", 3)]
    assert [one["outcome"] for one in found[0]["attempts"]] == ["rejected"] * 3
    refused = said(home, "model", "breaker", "demand", "--half-open")
    assert (refused.returncode, machine(lake_of(home), "demand", 3).breaker) == (2, "open")
    done = said(home, "model", "breaker", "demand", "--half-open", "--why", "the new list is in")
    assert done.returncode == 0, done.stderr
    assert "breaker half-open" in done.stdout
    row = decisions(lake_of(home), "demand").row(-1, named=True)
    assert (row["action"], row["why"]) == ("half_opened", "the new list is in")
    assert row["by"].startswith("user ")


def test_a_breaker_that_is_closed_cannot_be_half_opened(home: Home) -> None:
    tried(home, 1)
    done = said(home, "model", "breaker", "demand", "--half-open", "--why", "why not")
    assert done.returncode == 3
    said_now = " ".join(done.stderr.split())
    assert "The breaker of demand is closed, it holds no attempt up. demand:naive stays, nothing asks for a retraining" in said_now


def test_a_second_word_for_the_same_attempt_is_refused_with_what_holds_it_up_then(home: Home) -> None:
    tried(home, 3)
    words = ("model", "breaker", "demand", "--half-open", "--why", "the new list is in")
    assert said(home, *words).returncode == 0
    again = said(home, *words)
    assert again.returncode == 3
    assert "The breaker of demand is half-open, it holds no attempt up. demand:naive stays, nothing asks" in " ".join(
        again.stderr.split()
    )


def test_the_decisions_of_a_model_tell_its_attempts_and_where_to_look_next(home: Home) -> None:
    tried(home, 1)
    done = said(home, "model", "decisions", "demand")
    assert "attempted demand:naive, attempt 1, accuracy" in done.stdout
    assert "What would make a retraining now: lightkeeper model breaker demand" in done.stdout


def test_a_suspect_day_is_accepted_with_a_reason_and_no_other_day_is(home: Home) -> None:
    bad = Verdict("range", "failed", "60 of 60 rows (100.00%).", 1.0, 0.01, 60)
    follow(lake_of(home), [Judged(TableVersion("sales", 3), DAY, verdicts=(bad,))])
    other = said(home, "check", "accept", "sales", "2026-03-02", "--why", "it was so")
    assert other.returncode == 3
    assert "sales 2026-03-02 is not suspect. Suspect are sales 2026-03-01." in " ".join(other.stderr.split())
    slip = said(home, "check", "accept", "salez", "2026-03-01", "--why", "it was so")
    assert slip.returncode == 3
    assert "salez" in slip.stderr
    assert "is not suspect" not in slip.stderr
    typo = said(home, "check", "accept", "sales", "2026-13-05", "--why", "it was so")
    assert (typo.returncode, "'2026-13-05' is no day: write it like 2026-10-23." in " ".join(typo.stderr.split())) == (2, True)
    done = said(home, "check", "accept", "sales", "2026-03-01", "--why", "a great sale")
    assert (done.returncode, done.stdout.strip()) == (0, "sales of 2026-03-01 is accepted; models may learn from it.")
    assert suspects(lake_of(home)).is_empty()
    follow(lake_of(home), [Judged(TableVersion("sales", 3), DAY, verdicts=(bad,))])
    assert suspects(lake_of(home)).is_empty()  # a person's word stands
