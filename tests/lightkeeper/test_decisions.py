"""The ledger of decisions: whatever is decided in whatever order, at each time exactly one version of a model serves."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from lightkeeper.errors import Conflict, Refused
from lightkeeper.lake.table import Lake
from lightkeeper.models import champions
from lightkeeper.models.decisions import champion, decided, decisions, gates, promoted, reigns, rolled_back, standing
from lightkeeper.values import Decision
from tests.clock import Clock

MARCH = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
def clock() -> Clock:
    return Clock(MARCH)


@pytest.fixture
def lake(tmp_path: Path, clock: Clock) -> Lake:
    return Lake(tmp_path, clock=clock)


def said(action: str, version: int, model: str = "lamps", **more: object) -> Decision:
    return Decision(model, action, version, "user of the test", "it was so", **more)  # type: ignore[arg-type]


def test_before_any_decision_the_naive_forecast_serves(lake: Lake) -> None:
    assert champion(lake, "lamps").name == "lamps:naive"
    assert standing(decisions(lake), "lamps") == [0]
    assert champions.rows(lake, "lamps").select("serves", "since", "until").rows() == [("lamps:naive", None, None)]


def test_which_version_served_on_a_day_is_one_question(lake: Lake, clock: Clock) -> None:
    promoted(lake, said("promoted", 1))
    clock.now = MARCH + timedelta(10)
    promoted(lake, said("promoted", 3))
    clock.now = MARCH + timedelta(20)
    rolled_back(lake, said("rolled_back", 0))
    asked = [MARCH - timedelta(1), MARCH, MARCH + timedelta(9), MARCH + timedelta(10), MARCH + timedelta(25)]
    assert [champion(lake, "lamps", at.date()).version for at in asked] == [0, 1, 1, 3, 1]
    assert [(one.version, one.action) for one in reigns(decisions(lake), "lamps")] == [
        (1, "promoted"), (3, "promoted"), (1, "rolled_back"),
    ]  # fmt: skip


def test_a_promotion_against_another_champion_than_was_judged_adds_nothing(lake: Lake) -> None:
    promoted(lake, said("promoted", 1))
    with pytest.raises(Conflict, match="lamps:v2 was judged against lamps:naive, and lamps:v1 serves now"):
        promoted(lake, said("promoted", 2), expected=0)
    assert decisions(lake).height == 1


def test_promoting_who_serves_already_adds_nothing(lake: Lake) -> None:
    assert promoted(lake, said("promoted", 1), expected=0)
    assert not promoted(lake, said("promoted", 1), expected=0)
    assert decisions(lake).height == 1


def test_a_rollback_goes_down_and_never_to_itself(lake: Lake) -> None:
    for number in (1, 2, 5):
        promoted(lake, said("promoted", number))
    assert [rolled_back(lake, said("rolled_back", 0)) for _ in range(3)] == [2, 1, 0]
    with pytest.raises(Refused, match="lamps:naive serves and nothing served before it"):
        rolled_back(lake, said("rolled_back", 0))
    with pytest.raises(Refused, match="lamps:naive serves already"):
        rolled_back(lake, said("rolled_back", 0), to=0)
    assert rolled_back(lake, said("rolled_back", 0), to=5) == 5


def test_who_served_before_naive_took_over_is_what_a_rollback_brings_back(lake: Lake) -> None:
    for number in (1, 2, 0):
        promoted(lake, said("promoted", number))
    assert standing(decisions(lake), "lamps") == [0]
    assert [rolled_back(lake, said("rolled_back", 0)) for _ in range(3)] == [2, 1, 0]


def test_an_older_version_that_is_promoted_again_is_rolled_back_to_the_one_it_replaced(lake: Lake) -> None:
    for number in (1, 2, 3, 1):
        promoted(lake, said("promoted", number))
    assert standing(decisions(lake), "lamps") == [1, 3, 2, 0]
    assert rolled_back(lake, said("rolled_back", 0)) == 3


def test_two_who_promote_against_the_same_champion_make_one_champion(tmp_path: Path) -> None:
    raced: list[bool] = []

    def meanwhile() -> datetime:  # the clock is asked when the ledger was read and nothing is written yet
        if not raced:
            raced.append(True)
            promoted(Lake(tmp_path, clock=lambda: MARCH), said("promoted", 1), expected=0)
        return MARCH

    with pytest.raises(Conflict, match="lamps:v2 was judged against lamps:naive, and lamps:v1 serves now"):
        promoted(Lake(tmp_path, clock=meanwhile), said("promoted", 2), expected=0)
    assert [one.version for one in reigns(decisions(Lake(tmp_path)), "lamps")] == [1]


def test_a_rollback_that_lost_the_race_against_a_promotion_moves_nothing(lake: Lake) -> None:
    promoted(lake, said("promoted", 3))
    promoted(lake, said("promoted", 1))
    with pytest.raises(Conflict, match="lamps:v3 was to be rolled back, and lamps:v1 serves now"):
        rolled_back(lake, said("rolled_back", 0), expected=3)
    assert champion(lake, "lamps").version == 1


def test_a_version_that_cannot_serve_is_not_rolled_back_to(lake: Lake) -> None:
    promoted(lake, said("promoted", 1))
    promoted(lake, said("promoted", 2))

    def gone(number: int) -> None:
        raise Refused(f"{number} is gone")

    with pytest.raises(Refused, match="1 is gone"):
        rolled_back(lake, said("rolled_back", 0), check=gone)
    assert champion(lake, "lamps").version == 2


def test_a_decision_says_why_and_is_one_of_those_there_are(lake: Lake) -> None:
    with pytest.raises(Refused, match="lamps:v1: a decision says why"):
        promoted(lake, Decision("lamps", "promoted", 1, "me", "  "))
    with pytest.raises(Refused, match="'liked' is no decision on a model"):
        decided(lake, said("liked", 1))
    with pytest.raises(Refused, match="promoted moves the champion of lamps"):
        decided(lake, said("promoted", 1))
    assert decisions(lake).is_empty()


def test_the_same_decision_of_the_same_run_stands_once(lake: Lake) -> None:
    for _ in range(2):
        decided(lake, said("judged", 1, run_id="run-1", alpha=0.05, judgement=1))
    decided(lake, said("judged", 1, run_id="run-2", alpha=0.0, judgement=2))
    assert decisions(lake)["run_id"].to_list() == ["run-1", "run-2"]
    assert gates(decisions(lake), "lamps", MARCH.date()) == [(MARCH.date(), 0.05)]  # one that spent nothing is no gate


def test_a_gate_that_a_clock_astray_noted_counts_on_the_last_day_that_it_judged(lake: Lake) -> None:
    decided(lake, said("judged", 1, run_id="run-1", alpha=0.05, judgement=1, matured=MARCH.date() - timedelta(100)))
    assert gates(decisions(lake), "lamps", MARCH.date() - timedelta(90)) == [(MARCH.date() - timedelta(100), 0.05)]


def test_somebody_who_decides_in_between_is_seen(lake: Lake, tmp_path: Path) -> None:
    other, raced = Lake(tmp_path), []

    def check(_: int) -> None:
        if not raced:
            raced.append(promoted(other, said("promoted", 9)))

    promoted(lake, said("promoted", 1))
    promoted(lake, said("promoted", 2))
    assert rolled_back(lake, said("rolled_back", 0), check=check) == 2  # from 9, which was promoted meanwhile
    assert [one.version for one in reigns(decisions(lake), "lamps")] == [1, 2, 9, 2]


@settings(max_examples=25, stateful_step_count=12, deadline=None, suppress_health_check=list(HealthCheck))
class Ledger(RuleBasedStateMachine):
    """Any sequence of decisions on two models, with a clock that also goes back, beside a plain list of who serves."""

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.clock = Clock(MARCH)
        self.lake = Lake(self.folder.name, clock=self.clock)
        self.serves: dict[str, list[int]] = {"lamps": [0], "bowls": [0]}

    @rule(hours=st.integers(-48, 72))
    def time_passes(self, hours: int) -> None:
        self.clock.now += timedelta(hours=hours)

    @rule(model=st.sampled_from(["lamps", "bowls"]), version=st.integers(0, 5))
    def promote(self, model: str, version: int) -> None:
        if promoted(self.lake, said("promoted", version, model)):
            self.serves[model].append(version)

    @rule(model=st.sampled_from(["lamps", "bowls"]), action=st.sampled_from(["trained", "judged", "rejected", "confirmed"]))
    def decide(self, model: str, action: str) -> None:
        decided(self.lake, said(action, 1, model))

    @rule(model=st.sampled_from(["lamps", "bowls"]), to=st.none() | st.integers(0, 5))
    def roll_back(self, model: str, to: int | None) -> None:
        try:
            self.serves[model].append(rolled_back(self.lake, said("rolled_back", 0, model), to))
        except Refused:
            assert to == self.serves[model][-1] or (to is None and self.serves[model][-1] == 0)

    @invariant()
    def one_serves_at_each_time(self) -> None:
        rows = decisions(self.lake)
        times = rows["decided_at"].to_list()
        assert times == sorted(times)
        for model, serves in self.serves.items():
            assert champion(self.lake, model).version == serves[-1]
            stack = standing(rows, model)
            assert (stack[0], stack[-1], len(set(stack))) == (serves[-1], 0, len(stack))
            found = reigns(rows, model)
            assert [one.until for one in found] == [*(one.since for one in found[1:]), None][: len(found)]
            table = champions.rows(self.lake, model)
            assert table["until"].null_count() == 1
            assert table["version"][-1] == serves[-1]

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            self.folder.cleanup()


TestLedger = Ledger.TestCase
