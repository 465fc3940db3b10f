"""What follows from a judgement: once, whatever was interrupted on the way."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from lightkeeper.errors import Conflict, ModelAltered, Refused
from lightkeeper.lake.table import Lake
from lightkeeper.models.attempts import began, machine
from lightkeeper.models.decisions import champion, decided, decisions, promoted, rolled_back, standing
from lightkeeper.models.judging import judge, judgement_rows
from lightkeeper.models.promotion import Bench, by_hand, follow, unfollowed
from lightkeeper.models.registry import calibration_of, read_version, summary
from lightkeeper.values import Decision, TableVersion
from tests.lightkeeper.lamps import AHEAD, CUT, LAMPS, LAST, NOW, row, table, trained


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """A lake with a feature table and a challenger."""
    made = Lake(tmp_path, clock=lambda: NOW)
    made.write("lamp_features", table())
    made.append("lamps_model", row(LAMPS, table()))
    return made


def bench(lake: Lake, write: Any = None) -> Bench:
    def append(one: pl.DataFrame, _: int, __: TableVersion) -> None:
        lake.append("lamps_model", one)

    return Bench("lamps", lake, lake.read("lamps_model"), {}, "user of the test", "run-1", write or append)


def judgement(lake: Lake, action: str | None = None) -> Mapping[str, Any]:
    found = judge(LAMPS, lake.read("lamp_features"), trained(LAMPS, table()), None, 0.05)
    rows = judgement_rows(LAMPS, found, 1, NOW, lake.version("lamp_features"))
    said = rows if action is None else rows.with_columns(action=pl.lit(action))
    taken = unfollowed(lake, "lamps", said.lazy())
    assert taken is not None
    return taken


def test_a_challenger_that_won_is_fitted_up_to_the_present_and_names_the_judged_one(lake: Lake) -> None:
    assert follow(bench(lake), judgement(lake)) == 2
    versions = summary(lake.read("lamps_model"))
    assert versions.select("version", "role", "judged", "last_day").rows() == [(1, "challenger", None, CUT), (2, "refit", 1, LAST)]
    assert versions["rounds"].n_unique() == 1
    assert champion(lake, "lamps").name == "lamps:v2"


def test_a_refit_keeps_the_forecasts_of_the_judged_days_for_its_intervals(lake: Lake) -> None:
    follow(bench(lake), judgement(lake))
    kept = calibration_of(read_version("lamps", lake.read("lamps_model"), 2))
    assert kept is not None
    assert (kept.height, kept["day"].min()) == (4 * AHEAD, CUT.replace(day=CUT.day + 1))
    assert kept["forecast"].to_list() == trained(LAMPS, table()).fitted.predict(_judged(lake)).tolist()


def _judged(lake: Lake) -> pl.DataFrame:
    rows = lake.read("lamp_features").filter(pl.col("day") > CUT, pl.col("units").is_not_null())
    return rows.sort(LAMPS.row_key).collect()


def test_a_judgement_follows_once(lake: Lake) -> None:
    taken = judgement(lake)
    follow(bench(lake), taken)
    before = decisions(lake)
    frame = pl.DataFrame([dict(taken)], infer_schema_length=None).lazy()
    assert unfollowed(lake, "lamps", frame) is None
    assert follow(bench(lake), taken) == 2
    assert decisions(lake).equals(before)
    assert summary(lake.read("lamps_model")).height == 2


def test_a_run_that_was_killed_between_refit_and_promotion_is_taken_up_with_the_refit_that_stands_there(lake: Lake) -> None:
    def killed(one: pl.DataFrame, _: int, __: TableVersion) -> None:
        lake.append("lamps_model", one)
        raise KeyboardInterrupt

    taken = judgement(lake)
    with pytest.raises(KeyboardInterrupt):
        follow(bench(lake, killed), taken)
    assert champion(lake, "lamps").name == "lamps:naive"
    assert follow(bench(lake), taken) == 2
    assert summary(lake.read("lamps_model")).height == 2
    assert champion(lake, "lamps").name == "lamps:v2"
    assert decisions(lake).select("action", "version").rows() == [("trained", 2), ("promoted", 2)]


@pytest.mark.parametrize("action", ["promote", "naive", "reject"])
def test_what_follows_names_its_judgement_with_its_run_and_the_rows_that_were_judged(lake: Lake, action: str) -> None:
    promoted(lake, Decision("lamps", "promoted", 0, "user", "from the start"))
    follow(bench(lake), {**judgement(lake, action), "code": "tie", "why": "so it was judged"})
    row = decisions(lake).filter(pl.col("action") != "trained").row(-1, named=True)
    assert row["action"] == ("promoted" if action == "promote" else "rejected")  # the naive forecast serves already
    assert (row["judgement"], row["run_id"], row["why"]) == (1, "run-1", "so it was judged")
    assert (row["pins"], row["matured"]) == ([str(lake.version("lamp_features"))], LAST)


def test_a_judgement_that_stood_against_another_champion_promotes_nobody(lake: Lake) -> None:
    taken = judgement(lake)
    by_hand(lake, "lamps", 1, "user ada", "I like it")
    with pytest.raises(Conflict, match="was judged against lamps:naive, and lamps:v1 serves now"):
        follow(bench(lake), taken)
    assert champion(lake, "lamps").name == "lamps:v1"


@pytest.mark.parametrize(
    ("code", "cause", "action"),
    [
        ("tie", "age", "confirmed"),
        ("worse", "age", "confirmed"),
        ("not_better_than_naive", "age", "confirmed"),
        ("better_as_it_serves", "age", "confirmed"),
        ("too_few_days", "age", "rejected"),
        ("better_as_it_serves", "drift", "rejected"),
    ],
)
def test_an_old_champion_is_confirmed_by_what_shows_that_it_is_as_good(lake: Lake, code: str, cause: str, action: str) -> None:
    asked = Decision("lamps", "attempted", 0, "run", "it is old", 0, cause, cause=cause, episode="lamps_outcome", attempt=1)
    assert began(lake, asked, "run-1")
    follow(bench(lake), {**judgement(lake, "reject"), "code": code})
    assert decisions(lake)["action"].to_list()[-1] == action
    assert machine(lake, "lamps", 3).useless == (1 if (action, code) == ("rejected", "better_as_it_serves") else 0)


def test_a_rejection_adds_a_row_and_moves_nobody(lake: Lake) -> None:
    assert follow(bench(lake), judgement(lake, "reject")) is None
    assert decisions(lake).select("action", "version", "judgement").rows() == [("rejected", 1, 1)]
    assert champion(lake, "lamps").name == "lamps:naive"
    assert unfollowed(lake, "lamps", pl.DataFrame([dict(judgement_of(lake))]).lazy()) is None


def judgement_of(lake: Lake) -> Mapping[str, Any]:
    row_ = decisions(lake).row(0, named=True)
    return {"judgement": row_["judgement"], "model": "lamps"}


def test_when_nothing_beats_naive_the_naive_forecast_is_promoted_and_says_so(lake: Lake) -> None:
    assert follow(bench(lake), judgement(lake, "naive")) == 0
    serving = champion(lake, "lamps")
    assert (serving.name, serving.action) == ("lamps:naive", "promoted")
    assert summary(lake.read("lamps_model")).height == 1


def test_more_windows_give_the_intervals_more_days_to_stand_on(tmp_path: Path) -> None:
    made, model = Lake(tmp_path, clock=lambda: NOW), replace(LAMPS, windows=3)
    made.write("lamp_features", table())
    made.append("lamps_model", row(model, table()))
    follow(bench(made), judgement(made))
    kept = calibration_of(read_version("lamps", made.read("lamps_model"), 2))
    assert kept is not None
    assert kept["day"].n_unique() == 3 * AHEAD


@pytest.mark.parametrize("known", [57, 60, 64, 65])
def test_days_without_trade_make_an_earlier_stretch_too_short_and_stop_no_promotion(tmp_path: Path, known: int) -> None:
    made, model = Lake(tmp_path, clock=lambda: NOW), replace(LAMPS, windows=9)
    traded = table(1, known).filter(pl.col("weekday") <= 4)
    made.write("lamp_features", traded)
    made.append("lamps_model", row(model, traded))
    found = judge(model, traded.lazy(), trained(model, traded), None, 0.05)
    said = judgement_rows(model, found, 1, NOW, made.version("lamp_features")).with_columns(action=pl.lit("promote"))
    assert follow(bench(made), said.row(0, named=True)) == 2


def test_a_person_promotes_a_version_that_is_there_and_whole(lake: Lake) -> None:
    with pytest.raises(Refused, match="model lamps has no version 7; it has v1"):
        by_hand(lake, "lamps", 7, "user of the test", "I like it")
    assert by_hand(lake, "lamps", 1, "user of the test", "I like it")
    assert not by_hand(lake, "lamps", 1, "user of the test", "I like it")
    lake.append("lamps_model", row(LAMPS, table(2), 2).with_columns(artifact=pl.lit(b"tree")))
    with pytest.raises(ModelAltered):
        by_hand(lake, "lamps", 2, "user of the test", "I like it")
    assert champion(lake, "lamps").name == "lamps:v1"


@cache
def judged() -> pl.DataFrame:
    """A judgement as it is written, of a challenger beside the naive forecast."""
    found = judge(LAMPS, table().lazy(), trained(LAMPS, table()), None, 0.05)
    return judgement_rows(LAMPS, found, 1, NOW, TableVersion("lamp_features", 0)).head(1)


@cache
def challenger(number: int) -> pl.DataFrame:
    return row(LAMPS, table(number), number)


class Promotions(RuleBasedStateMachine):
    """Runs train, judge and do what follows, are killed on the way and taken up; people promote and roll back in between."""

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.lake = Lake(self.folder.name, clock=lambda: NOW)
        self.judgements, self.interfered = 0, False

    @rule(action=st.sampled_from(["promote", "reject", "naive"]), killed=st.booleans())
    def a_run_trains_and_judges(self, action: str, killed: bool) -> None:  # noqa: FBT001 - drawn
        self.judgements += 1
        number = summary(self.lake.read("lamps_model"))["version"].max() if self.lake.exists("lamps_model") else 0
        self.challenger, serves = int(str(number)) + 1, champion(self.lake, "lamps").version
        self.lake.write("lamp_features", table(self.challenger))
        self.lake.append("lamps_model", challenger(self.challenger))
        one = judged().with_columns(
            judgement=pl.lit(self.judgements, pl.Int64), challenger=pl.lit(self.challenger, pl.Int64), action=pl.lit(action),
            champion=pl.lit(serves, pl.Int64), table_version=pl.lit(str(self.lake.version("lamp_features"))),
        )  # fmt: skip
        self.lake.append("lamps_judgement", one)
        self.interfered = False
        if not killed:
            said = Decision("lamps", "judged", self.challenger, "run", "so", serves, judgement=self.judgements, run_id=self.run())
            decided(self.lake, said)

    def run(self) -> str:
        return f"run-{self.judgements}"

    @rule(
        killed=st.sampled_from(["not", "before its refit is written", "after"]),
        meanwhile=st.sampled_from(["nothing", "a promotion before", "a rollback after"]),
    )
    def what_follows_is_done(self, killed: str, meanwhile: str) -> None:
        taken = unfollowed(self.lake, "lamps", self.lake.read("lamps_judgement")) if self.judgements else None
        if taken is None:
            return
        if meanwhile == "a promotion before":
            self.a_person_promotes(self.challenger)
        self.follow(taken, killed)
        if meanwhile == "a rollback after":
            self.a_person_rolls_back()
            self.what_follows_is_done(killed, "nothing")

    def follow(self, taken: Mapping[str, Any], killed: str) -> None:
        def write(one: pl.DataFrame, _: int, __: TableVersion) -> None:
            if killed.startswith("before"):
                raise KeyboardInterrupt
            self.lake.append("lamps_model", one)
            if killed == "after":
                raise KeyboardInterrupt

        try:
            follow(replace(bench(self.lake, write), run_id=self.run()), taken)
        except KeyboardInterrupt:
            assert killed != "not"
        except Conflict:
            assert self.interfered

    @rule(serves=st.integers(0, 3))
    def a_person_promotes(self, serves: int) -> None:
        try:
            self.interfered |= by_hand(self.lake, "lamps", serves, "user ada", "I like it")
        except Refused:
            assert serves
            assert not self.judgements or serves > self.challenger

    @rule()
    def a_person_rolls_back(self) -> None:
        try:
            rolled_back(self.lake, Decision("lamps", "rolled_back", 0, "user ada", "it is odd", code="by_hand"))
            self.interfered = True
        except Refused:
            assert standing(decisions(self.lake), "lamps") == [0]

    @invariant()
    def nobody_is_promoted_without_a_judgement_that_said_so(self) -> None:
        if not hasattr(self, "lake"):
            return
        rows, serves, followed = decisions(self.lake), 0, list[int]()
        for one in rows.iter_rows(named=True):
            if one["judgement"] is not None and one["action"] != "judged":
                followed.append(one["judgement"])
            if one["action"] == "promoted" and one["code"] != "by_hand":
                mine = (
                    self.lake.read("lamps_judgement").filter(pl.col("judgement") == one["judgement"]).collect().row(0, named=True)
                )
                assert mine["action"] == ("promote" if one["version"] else "naive")
                assert mine["champion"] == serves
                if one["version"]:
                    made = summary(self.lake.read("lamps_model")).row(by_predicate=pl.col("version") == one["version"], named=True)
                    assert (made["role"], made["judged"]) == ("refit", mine["challenger"])
            serves = one["version"] if one["action"] in {"promoted", "rolled_back"} else serves
        assert len(followed) == len(set(followed))

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            self.folder.cleanup()


Promotions.TestCase.settings = settings(
    max_examples=12, stateful_step_count=12, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True
)
TestPromotions = Promotions.TestCase
