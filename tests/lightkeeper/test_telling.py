"""What people are told of a model's retraining: each opening of the breaker once, and advice that can be followed."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from lightkeeper.alerts.kept import standing
from lightkeeper.lake.table import Lake
from lightkeeper.models.attempts import FORMER_BETTER, began, half_opened, held, machine
from lightkeeper.models.decisions import decided, promoted, rolled_back
from lightkeeper.models.episodes import Broken, Cause, Retrain, State
from lightkeeper.models.retraining import decide
from lightkeeper.orchestrate.telling import tell, told_solved
from lightkeeper.values import Decision
from tests.clock import Clock
from tests.lightkeeper.lamps import LAMPS

BREAK = date(2026, 3, 2)
ACCURACY = Cause("accuracy", "lamps_outcome", BREAK, "The loss is 1.9 x the backtest's.", "about 3.10 units a row")


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path, clock=Clock(datetime(2026, 5, 1, 6, tzinfo=UTC)))


def state(lake: Lake, *causes: Cause, champion: int = 2) -> State:
    """Of the lamps, so long after the break that nothing but the breaker stands against an attempt."""
    matured = BREAK + timedelta(60)
    return State("lamps", champion, Retrain(), 28, lake.clock(), matured, causes or (ACCURACY,), machine=machine(lake, "lamps", 3))


def asked(number: int) -> Decision:
    return Decision(
        "lamps", "attempted", 2, "run", "it fails", 2, "accuracy", cause="accuracy", episode=ACCURACY.episode(2), attempt=number,
        matured=BREAK + timedelta(40),
    )  # fmt: skip


def tried(lake: Lake, number: int, outcome: str = "rejected") -> None:
    """An attempt that ended so."""
    assert began(lake, asked(number), f"run-{number}")
    if outcome == "held":
        held(lake, replace(asked(number), action="held", code="bad_data", run_id=f"run-{number}"))
        return
    said = f"attempt {number} was no better."
    decided(lake, Decision("lamps", "rejected", 3, "run", said, 2, "tie", judgement=number, run_id=f"run-{number}"))


def called(lake: Lake) -> pl.DataFrame:
    """Tell what holds now; the calls of a person that there were."""
    now = state(lake)
    tell(lake, LAMPS, now, decide(now))
    return standing(lake).filter(pl.col("cause") == "breaker")


def test_a_promotion_by_hand_that_is_taken_back_opens_the_breaker_and_a_person_is_called(lake: Lake) -> None:
    promoted(lake, Decision("lamps", "promoted", 2, "user", "the first"))
    tried(lake, 1)
    tried(lake, 2)
    promoted(lake, Decision("lamps", "promoted", 3, "user ada", "I like it", code="by_hand"))
    rolled_back(lake, Decision("lamps", "rolled_back", 0, "run", "v2 would have been better.", code=FORMER_BETTER))
    assert machine(lake, "lamps", 3).useless == 3
    row = called(lake).row(0, named=True)
    assert row["symptom"] == "lamps: 3 retrainings in a row did not help; it is frozen"
    assert row["why"] == "attempt 1 was no better. attempt 2 was no better. v2 would have been better."
    assert row["effect"] == "about 3.10 units a row"


def test_a_row_of_useless_attempts_calls_a_person_once_whatever_was_held_in_between(lake: Lake) -> None:
    for number in (1, 2, 3):
        tried(lake, number)
    assert called(lake).height == 1
    half_opened(lake, "lamps", "user ada", "the new list is in", 3)
    tried(lake, 4, "held")
    tried(lake, 5)
    assert (machine(lake, "lamps", 3).breaker, machine(lake, "lamps", 3).useless) == ("open", 4)
    assert called(lake).height == 1


def test_another_row_of_useless_attempts_calls_again_and_names_its_own_attempts_alone(lake: Lake) -> None:
    for number in (1, 2, 3):
        tried(lake, number)
    called(lake)
    promoted(lake, Decision("lamps", "promoted", 2, "user ada", "this one", code="by_hand"))
    for number in (4, 5, 6):
        tried(lake, number)
    assert called(lake)["why"].to_list()[1:] == ["attempt 4 was no better. attempt 5 was no better. attempt 6 was no better."]


def test_a_breaker_that_a_promotion_closed_calls_again_when_that_is_taken_back(lake: Lake) -> None:
    promoted(lake, Decision("lamps", "promoted", 2, "user", "the first"))
    for number in (1, 2, 3):
        tried(lake, number)
    called(lake)
    promoted(lake, Decision("lamps", "promoted", 3, "user ada", "this one", code="by_hand"))
    told_solved(lake, LAMPS, state(lake, champion=3))
    rolled_back(lake, Decision("lamps", "rolled_back", 0, "run", "v2 would have been better.", code=FORMER_BETTER))
    assert called(lake)["state"].to_list() == ["solved", "open"]


def test_two_models_of_one_table_are_told_of_and_solved_each_by_itself(lake: Lake) -> None:
    drift = Cause("drift", "lamp_features", BREAK, "price moved.")
    other = replace(LAMPS, name="others")
    for model in (LAMPS, other):
        now = replace(state(lake, drift), model=model.name, matured=BREAK + timedelta(5))
        tell(lake, model, now, decide(now))
    assert standing(lake)["state"].to_list() == ["open", "open"]
    told_solved(lake, LAMPS, state(lake))
    assert dict(standing(lake).select("symptom", "state").iter_rows()) == {
        "lamp_features: what lamps learns from has drifted": "solved",
        "lamp_features: what others learns from has drifted": "open",
    }


SUSPECT, VALUES = (Broken(kind, "sales", "It is so.", BREAK) for kind in ("suspect", "values"))
LATE = Broken("late", "prices", "It is so.", BREAK)
ACCEPT = f'Land a corrected file of sales for {BREAK}, or say that it was so: lightkeeper check accept sales {BREAK} --why "..."'
WAIT = f"Land a corrected file of sales for {BREAK}, or wait: what fails for 3 days is how the world is, and is learnt."
HISTORY = "Land what is missing of prices; what came and when: lightkeeper check history prices."


@pytest.mark.parametrize(
    ("broken", "role", "symptom", "to_do"),
    [
        ((SUSPECT, SUSPECT), "domain_expert", "its data look broken", ACCEPT),
        ((LATE,), "it", "prices is late", HISTORY),
        ((SUSPECT, LATE), "domain_expert", "its data look broken", f"{ACCEPT} {HISTORY}"),
        ((LATE, VALUES), "domain_expert", "its data look broken", f"{HISTORY} {WAIT}"),
    ],
    ids=["suspect by two checks", "late", "suspect and late", "late and values"],
)
def test_bad_data_are_told_to_whoever_can_mend_them_with_words_that_do(
    lake: Lake, broken: tuple[Broken, ...], role: str, symptom: str, to_do: str
) -> None:
    now = replace(state(lake), broken=broken)
    tell(lake, LAMPS, now, decide(now))
    row = standing(lake).filter(pl.col("cause") == "bad_data").row(0, named=True)
    assert (row["role"], row["symptom"], row["to_do"]) == (role, f"lamps is not retrained: {symptom}", to_do)


def test_values_that_fail_for_less_than_three_days_hold_a_retraining_and_call_nobody(lake: Lake) -> None:
    now = replace(state(lake), broken=(VALUES,))
    assert decide(now).code == "bad_data"
    tell(lake, LAMPS, now, decide(now))
    assert standing(lake).filter(pl.col("cause") == "bad_data").is_empty()
