"""Stories of a model in a home: judged, promoted, tied, rolled back, tampered with, rebuilt. Through Dagster, on real tables."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from deltalake import DeltaTable, write_deltalake

import lightkeeper as lk
from assets.sample import SAMPLE
from lightkeeper.errors import Conflict
from lightkeeper.models.decisions import champion, decisions, promoted, rolled_back, standing
from lightkeeper.models.promotion import assert_serves
from lightkeeper.models.registry import summary
from lightkeeper.models.reproducing import verify
from lightkeeper.orchestrate.running import RunFailed
from lightkeeper.values import Decision, ModelVersion
from tests.harness import Story

ROOT = Path(__file__).resolve().parents[2]
ELSEWHERE = """
import sys
import lightkeeper as lk
from lightkeeper.models.decisions import champion
print(champion(lk.Lake(sys.argv[1]), "demand").name)
"""
TRAINING = ("demand_model", "demand_judgement", "demand_champion")


def actions(story: Story) -> list[tuple[str, int]]:
    """What was decided of the demand model, oldest first."""
    return decisions(story.lake, "demand").select("action", "version").rows()  # type: ignore[return-value]


def serves(story: Story) -> str:
    return champion(story.lake, "demand").name


def a_month_later(story: Story) -> date:
    """The next 28 days land in one run; the last of them."""
    first = story.home.now().date()
    last = first + timedelta(27)
    story.release(first, last)
    story.land(first, last)
    return last


def retrained(story: Story) -> None:
    story.make(*TRAINING)


def rollback(story: Story, to: int | None = None) -> int:
    said = Decision("demand", "rolled_back", 0, "user of the story", "its numbers look wrong")
    return rolled_back(story.lake, said, to, lambda number: assert_serves(story.lake, "demand", number))


def tamper(story: Story, number: int) -> None:
    """Somebody writes other bytes into the table of versions, past the lake."""
    place = str(Path(story.lake.root) / "demand_model")
    other = pl.col("artifact").bin.encode("hex").str.replace("74726565", "74726577", literal=True).str.decode("hex")
    rows = story.rows("demand_model").with_columns(
        pl.when(pl.col("version") == number).then(other).otherwise("artifact").alias("artifact")
    )
    write_deltalake(place, rows.to_arrow(), mode="overwrite")


def test_the_first_challenger_is_judged_beside_the_naive_forecast_and_the_refit_that_serves_names_it(history: Story) -> None:
    assert actions(history) == [("trained", 1), ("judged", 1), ("trained", 2), ("promoted", 2)]
    versions = summary(history.lake.read("demand_model"))
    assert versions.select("version", "role", "judged").rows() == [(1, "challenger", None), (2, "refit", 1)]
    cut, last = versions["last_day"]
    assert (last - cut).days == 28
    assert last == history.home.now().date() - timedelta(1)
    judged = history.rows("demand_judgement").filter(pl.col("slice") == "all")
    assert judged.select("contender", "first_day", "last_day").rows() == [
        ("challenger demand:v1", cut + timedelta(1), last), ("naive demand:naive", cut + timedelta(1), last),
    ]  # fmt: skip
    assert judged["n"].n_unique() == 1


def test_a_challenger_that_ties_does_not_replace_the_champion(story: Story) -> None:
    a_month_later(story)
    retrained(story)
    assert actions(story)[4:] == [("trained", 3), ("judged", 3), ("rejected", 3)]
    assert serves(story) == "demand:v2"
    why = decisions(story.lake, "demand")["why"][-1]
    assert "demand:v2 stays" in why
    judged = story.rows("demand_judgement").filter(pl.col("judgement") == 2, pl.col("slice") == "all")
    assert judged["contender"].to_list() == ["challenger demand:v3", "champion demand:v2", "naive demand:naive"]


def test_the_same_judgement_is_not_held_twice_and_follows_once(story: Story) -> None:
    before, rows = actions(story), story.rows("demand_judgement")
    retrained(story)
    story.make("demand_judgement", "demand_champion")
    assert actions(story) == before
    assert story.rows("demand_judgement").equals(rows)


def test_a_forecast_names_the_champion_and_its_outcome_the_forecast(story: Story) -> None:
    first = story.rows("demand_forecast")
    assert first.select("model_version", "made_by").unique().rows() == [("demand:v2", "champion")]
    assert first.filter(pl.col("low_80") > pl.col("units_forecast")).is_empty()
    assert first.filter(pl.col("high_80") < pl.col("units_forecast")).is_empty()
    last = a_month_later(story)
    outcome = story.rows("demand_outcome")
    truth = story.rows("demand_features").select("product", "day", pl.col("units").cast(pl.Float64))
    joined = outcome.filter(pl.col("origin") < last - timedelta(27)).join(truth, on=["product", "day"])
    assert joined.height == first.height
    assert joined["actual"].equals(joined["units"], check_names=False)
    inside = joined.select((pl.col("actual") >= pl.col("low_80")) & (pl.col("actual") <= pl.col("high_80"))).to_series()
    assert inside.equals(joined["inside_80"], check_names=False)
    assert 0.7 < inside.mean() < 0.95  # type: ignore[operator]


def test_the_parts_of_an_explanation_add_up_to_the_forecast_and_to_its_change(story: Story, next_day: date) -> None:
    before = story.rows("demand_forecast")
    story.release(next_day, next_day)
    story.land(next_day)
    now = story.rows("demand_forecast").filter(pl.col("origin") == next_day)
    parts = story.rows("demand_explanation")
    both = parts.group_by("product", "day").agg(
        pl.col("contribution").filter(pl.col("part") != "change").sum().alias("forecast"),
        pl.col("contribution").filter(pl.col("part") == "change").sum().alias("change"),
    )
    joined = both.join(now, on=["product", "day"]).join(before, on=["product", "day"], how="left", suffix="_before")
    assert joined.height == now.height
    assert joined.select((pl.col("forecast") - pl.col("units_forecast")).abs().max()).item() < 1e-6
    moved = pl.col("units_forecast") - pl.col("units_forecast_before")
    assert joined.select((pl.col("change") - moved).abs().max()).item() < 1e-6
    told = parts.filter(pl.col("part") == "change").group_by("name").agg(pl.col("contribution").abs().sum()).sort("name")
    assert told["name"].to_list() == ["data", "events", "model"]
    assert dict(told.iter_rows())["model"] == dict(told.iter_rows())["events"] == 0


def test_a_rollback_survives_a_restart_and_acts_on_the_next_forecast(story: Story, next_day: date) -> None:
    assert rollback(story) == 0
    done = subprocess.run([sys.executable, "-c", ELSEWHERE, story.lake.root], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "demand:naive"
    story.release(next_day, next_day)
    story.land(next_day)
    made = story.rows("demand_forecast").filter(pl.col("origin") == next_day)
    assert made.select("model_version", "made_by").unique().rows() == [("demand:naive", "champion")]
    retrained(story)  # the judgement has been followed once: it does not bring its version back
    assert serves(story) == "demand:naive"
    assert rollback(story, 2) == 2
    days = [next_day - timedelta(2), next_day, next_day + timedelta(1)]
    assert [champion(story.lake, "demand", day).name for day in days] == ["demand:naive", "demand:naive", "demand:v2"]


def test_a_tampered_champion_is_refused_and_who_stood_before_it_forecasts(story: Story) -> None:
    tamper(story, 2)
    story.make("demand_forecast")
    made = story.rows("demand_forecast")
    assert made.select("model_version", "made_by").unique().rows() == [("demand:naive", "naive")]
    assert "demand:v2: its bytes are not those that were recorded" in str(story.shown("demand_forecast")["passed over"])
    assert made["units_forecast"].null_count() < made.height / 10
    assert verify(story.lake, ModelVersion("demand", 2)).answer == "CANNOT"
    rollback(story)
    with pytest.raises(Exception, match="its bytes are not those that were recorded"):
        rollback(story, 2)
    assert serves(story) == "demand:naive"


@pytest.mark.nightly
def test_a_past_model_is_rebuilt_after_compaction_and_after_everything_unpinned_was_vacuumed(story: Story) -> None:
    a_month_later(story)
    held: dict[str, list[int]] = {}
    for pin in story.lake.pins():
        held.setdefault(pin.table, []).append(pin.version)
    for name in story.lake.tables():
        handle = DeltaTable(str(Path(story.lake.root) / name))
        handle.optimize.compact()
        handle.vacuum(
            0, dry_run=False, enforce_retention_duration=False, full=True, keep_versions=[*held.get(name, []), handle.version()]
        )
    assert 0 not in held["demand_explanation"]
    with pytest.raises(lk.TableVersionGone):
        story.rows("demand_explanation", 0)
    for number in (1, 2):
        assert verify(story.lake, ModelVersion("demand", number)).answer == "IDENTICAL"


@pytest.mark.nightly
def test_of_two_trainings_at_once_one_is_told_and_no_number_is_given_twice(story: Story) -> None:
    base = story.lake.version("demand_model").version
    a_month_later(story)
    story.make("demand_model")
    row = story.rows("demand_model").filter(pl.col("version") == 3)
    with pytest.raises(Conflict, match="while this write was prepared from demand_model@1"):
        story.lake.append("demand_model", row, base=base, alone=True)
    assert story.rows("demand_model")["version"].sort().to_list() == [1, 2, 3]


@pytest.mark.nightly
def test_a_judgement_against_a_champion_that_was_rolled_back_meanwhile_promotes_nothing(fresh: Story) -> None:
    days = SAMPLE.days(fresh.home)
    fresh.build_without(days[0], days[-57], "demand_champion")
    said = Decision("demand", "promoted", 1, "user of the story", "it was wanted at once")
    promoted(fresh.lake, said)
    with pytest.raises(RunFailed, match="demand:v2 was judged against demand:naive, and demand:v1 serves now"):
        fresh.make("demand_champion")
    assert serves(fresh) == "demand:v1"
    assert standing(decisions(fresh.lake), "demand") == [1, 0]


@pytest.mark.nightly
def test_features_are_told_for_each_version_with_their_distribution_and_their_effect(story: Story) -> None:
    rows = story.rows("demand_feature_history")
    assert rows["model_version"].unique().sort().to_list() == ["demand:v1", "demand:v2"]
    assert rows.group_by("model_version").len()["len"].unique().to_list() == [11]
    shares = rows.group_by("model_version").agg(pl.col("effect_share").sum())["effect_share"]
    assert shares.to_list() == pytest.approx([1, 1])
    a_month_later(story)
    retrained(story)
    story.make("demand_feature_history")
    assert story.rows("demand_feature_history")["model_version"].unique().sort().to_list() == [
        "demand:v1",
        "demand:v2",
        "demand:v3",
    ]


def test_the_ui_shows_metrics_as_numbers_the_table_inline_and_the_command_that_verifies(history: Story) -> None:
    said = history.shown("demand_judgement")
    assert {"wape challenger", "wape naive", "rmsse challenger", "coverage_80 challenger"} <= set(said)
    assert all(isinstance(said[name], float) for name in ("wape challenger", "rmsse naive", "alpha"))
    assert "| challenger demand:v1 |" in str(said["judgement"])
    assert len(str(said["judgement"])) < 1_000
    assert history.shown("demand_model")["verify"] == "`lightkeeper model verify demand:v2`"
    assert (history.shown("demand_champion")["serves"], history.shown("demand_champion")["version"]) == ("demand:v2", 2)


@pytest.mark.nightly
def test_with_too_few_days_nothing_is_trained_the_reason_is_told_and_the_naive_forecast_serves(fresh: Story) -> None:
    days = SAMPLE.days(fresh.home)
    fresh.build(days[0], days[150])
    said = str(fresh.shown("demand_model")["not trained"])
    assert "known days; 42 are needed: 28 to be judged on, and 14 before them to learn from" in said
    assert fresh.shown("demand_judgement")["nothing to judge"] == "demand has no challenger yet; the naive forecast serves."
    assert fresh.rows("demand_model").is_empty()
    assert fresh.rows("demand_forecast")["model_version"].unique().to_list() == ["demand:naive"]
    assert serves(fresh) == "demand:naive"
    following = next(day for day in SAMPLE.trading_days(fresh.home) if day > days[150])
    fresh.release(following, following)
    (request,) = [*fresh.tick(), *fresh.tick()]  # a model without a version is asked for again
    assert {"demand_model", "demand_judgement"} <= {key.to_user_string() for key in request.asset_selection or []}


def asked(story: Story, *words: str) -> dict[str, Any]:
    """What a command of the project says of the story's home."""
    environ = {**os.environ, "LIGHTKEEPER_HOME": str(story.home.root)}
    command = [sys.executable, "-c", "from lightkeeper.cli import main; main()", "model", *words, "--json"]
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return dict(json.loads(done.stdout))


def test_a_changed_recipe_is_tried_on_the_past_without_touching_what_serves(history: Story) -> None:
    before = history.lake.versions(), decisions(history.lake).height
    found = asked(history, "backtest", "demand", "--params", "num_leaves=7", "--origins", "2")
    assert [one["contender"] for one in found["contenders"]] == ["declared", "changed", "naive"]
    assert len({one["n"] for one in found["contenders"]}) == 1
    assert found["better_low"] <= found["better_by"] <= found["better_high"]
    assert found["known_ahead"].startswith("11 of 11 features keep their values without the days after")
    assert (history.lake.versions(), decisions(history.lake).height) == before


def test_the_working_trees_models_pass_on_pinned_data_and_run_on_made_up_rows(history: Story) -> None:
    before = history.lake.versions(), decisions(history.lake).height
    found = asked(history, "test", "demand")
    assert (found["passes"], found["code"], found["on"]) == (True, "tie", "demand_features@0")
    assert asked(history, "test", "returns", "--dummy")["on"] == "rows made up from ReturnFeatures"
    assert (history.lake.versions(), decisions(history.lake).height) == before


def test_the_second_model_is_judged_like_the_first_and_has_every_table(history: Story) -> None:
    tables = {
        f"returns_{name}" for name in ("model", "judgement", "champion", "forecast", "outcome", "explanation", "feature_history")
    }
    assert tables <= set(history.lake.tables())
    rows = history.rows("returns_forecast")
    serving = champion(history.lake, "returns").name
    assert rows["model_version"].unique().to_list() == [serving]
    assert serving in str(history.rows("returns_judgement")["why"][0]) or serving == "returns:v2"
