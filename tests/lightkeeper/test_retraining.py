"""When a model is retrained by itself: what asks, what holds, what opens the breaker; and what the ledger makes of it."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from lightkeeper.errors import BadDeclaration, Refused
from lightkeeper.lake.table import Lake
from lightkeeper.models.attempts import FORMER_BETTER, began, ended, half_opened, held, machine
from lightkeeper.models.decisions import decided, decisions, promoted, rolled_back
from lightkeeper.models.episodes import Attempt, Breaker, Broken, Cause, Event, Machine, Retrain, State
from lightkeeper.models.retraining import decide, earliest
from lightkeeper.values import Decision
from tests.clock import Clock

BREAK = date(2026, 3, 2)
ACCURACY = Cause("accuracy", "lamps_outcome", BREAK, "The loss is 2.1 x the backtest's.", "about 3.20 pieces a row")
DRIFT = Cause("drift", "lamp_features", BREAK, "pieces moved by 0.8 of its sd.")
AGE = Cause("age", "lamps_outcome", BREAK, "The model has learnt up to 2025-12-01.")


def at(day: date) -> datetime:
    return datetime.combine(day, time(6), UTC)


def state(days: int = 40, *causes: Cause, **more: object) -> State:
    """So many matured days after the break, of a model that is judged on 28."""
    matured = BREAK + timedelta(days)
    return replace(State("lamps", 2, Retrain(), 28, at(matured + timedelta(1)), matured, causes or (ACCURACY,)), **more)  # type: ignore[arg-type]


def tried(*outcomes: str | None, days: int = 0, apart: int = 7) -> tuple[Attempt, ...]:
    """Attempts that ended so, the last one so many days after the break."""
    last = BREAK + timedelta(days)
    when = [last - timedelta(apart * n) for n in reversed(range(len(outcomes)))]
    episode = ACCURACY.episode(2)
    return tuple(
        Attempt(episode, n, at(day), day, "accuracy", f"run-{n}", outcome)  # type: ignore[arg-type]
        for n, (day, outcome) in enumerate(zip(when, outcomes, strict=True), 1)
    )


def in_vain(attempts: int, days: int, breaker: Breaker = "closed") -> Machine:
    """So many useless attempts in a row, the last of them so many days after the break."""
    past = tried(*["rejected"] * attempts, days=days)
    return Machine(past, tuple(one.name for one in past), breaker, None if breaker == "closed" else BREAK + timedelta(days))


# -- the rule ---------------------------------------------------------------------------------------------------


def test_where_nothing_fails_nothing_is_done() -> None:
    said = decide(replace(state(), causes=()))
    assert (said.action, said.code) == ("rested", "nothing_asks")
    assert "lamps:v2 stays, nothing asks for a retraining" in said.why


def test_a_failing_check_asks_for_the_first_attempt_of_its_episode() -> None:
    said = decide(state(35))
    assert (said.action, said.episode, said.attempt) == ("attempted", "lamps_outcome.accuracy.2026-03-02.v2", 1)
    assert said.matured == BREAK + timedelta(35)
    assert ACCURACY.why in said.why


@pytest.mark.parametrize("days", [0, 7, 27, 34])
def test_before_a_challenger_can_have_learnt_from_the_break_and_be_judged_nothing_is_tried(days: int) -> None:
    said = decide(state(days))
    assert (said.action, said.code) == ("held", "too_few_matured")
    assert "28 matured days to be judged on and 7 to learn from since 2026-03-02, that is outcomes up to 2026-04-06" in said.why


def test_a_champion_is_not_judged_on_days_that_it_has_learnt_from() -> None:
    young = state(40, learnt=BREAK + timedelta(30), least_days=14)
    assert decide(young).code == "too_few_matured"
    assert "the champion has learnt up to 2026-04-01" in decide(young).why
    assert decide(replace(young, matured=BREAK + timedelta(44))).action == "attempted"


def test_an_old_model_waits_for_nothing() -> None:
    assert decide(state(0, AGE)).action == "attempted"


def test_a_cause_that_is_ready_goes_before_a_weightier_one_that_is_not() -> None:
    said = decide(state(0, ACCURACY, AGE))
    assert (said.action, said.cause) == ("attempted", "age")


def test_the_weightiest_cause_names_the_episode() -> None:
    assert decide(state(40, DRIFT, ACCURACY)).cause == "accuracy"


def test_a_check_that_passes_for_a_day_does_not_make_a_break_younger() -> None:
    late = replace(ACCURACY, since=BREAK + timedelta(30))
    assert decide(state(36, late)).code == "too_few_matured"
    unrest = Machine(asking_since=BREAK)
    assert decide(state(36, late, machine=unrest)).action == "attempted"
    assert earliest(state(36, late, machine=unrest), late) == BREAK + timedelta(35)


def test_what_asks_together_is_one_unrest_as_old_as_its_oldest_but_for_age() -> None:
    late, old = replace(ACCURACY, since=BREAK + timedelta(30)), replace(AGE, since=BREAK)
    assert decide(state(36, late, replace(DRIFT, since=BREAK))).cause == "accuracy"
    assert earliest(state(36, late, replace(DRIFT, since=BREAK)), late) == BREAK + timedelta(35)
    assert earliest(state(36, late, old), late) == late.since + timedelta(35)


def test_a_break_after_a_week_of_rest_is_a_new_one_already_when_it_is_first_seen() -> None:
    late = replace(ACCURACY, since=BREAK + timedelta(70))
    for rested, code in ((7, "too_few_matured"), (6, "accuracy")):
        machine_ = Machine(asking_since=BREAK, resting_since=late.since - timedelta(rested))
        assert decide(state(70, late, machine=machine_)).code == code
    assert earliest(state(70, late, machine=Machine(asking_since=BREAK, resting_since=BREAK)), late) == late.since + timedelta(35)


def test_bad_data_never_train_whatever_asks() -> None:
    said = decide(
        state(60, ACCURACY, AGE, broken=(Broken("suspect", "sales", "sales of 2026-04-01 is suspect: 100% of its rows."),))
    )
    assert (said.action, said.code) == ("held", "bad_data")
    assert "sales of 2026-04-01 is suspect" in said.why


def test_a_known_event_that_says_hold_holds_while_it_lasts() -> None:
    strike = Event("the strike", BREAK, BREAK + timedelta(50), "hold")
    assert decide(state(40, events=(strike,))).code == "event"
    assert decide(state(49, events=(strike,))).action == "attempted"


@pytest.mark.parametrize(("days", "action"), [(40, "attempted"), (30, "held")])
@pytest.mark.parametrize("means", ["without", "feature"])
def test_a_known_event_that_nothing_follows_is_named_as_not_heeded(days: int, action: str, means: str) -> None:
    strike = Event("the strike", BREAK, BREAK + timedelta(50), means)  # type: ignore[arg-type]
    said = decide(state(days, events=(strike,)))
    assert said.action == action
    assert said.why.endswith(f" Known and not heeded, as only hold is supported yet: the strike ({means}).")
    assert "not heeded" not in decide(state(days, events=(replace(strike, action="hold"),))).why
    assert "not heeded" not in decide(state(days, events=(replace(strike, start=BREAK + timedelta(90)),))).why


def test_an_attempt_under_way_is_waited_for() -> None:
    said = decide(state(40, machine=Machine(tried(None, days=38))))
    assert (said.action, said.code) == ("rested", "under_way")


@pytest.mark.parametrize(
    ("useless", "days", "code"),
    [(1, 6, "cool_down"), (1, 7, "accuracy"), (2, 13, "cool_down"), (2, 14, "accuracy")],
)
def test_the_cool_down_doubles_with_each_useless_attempt(useless: int, days: int, code: str) -> None:
    said = decide(state(60, machine=in_vain(useless, 40), now=at(BREAK + timedelta(40 + days))))
    assert said.code == code


def test_the_cool_down_grows_no_longer_once_the_breaker_holds() -> None:
    rule = Retrain(half_open_days=7, budget=100)
    said = decide(replace(state(100, machine=in_vain(40, 60, "open"), now=at(BREAK + timedelta(60 + 28)), rule=rule)))
    assert (said.action, said.code) == ("attempted", "accuracy")


def test_an_attempt_that_a_clock_astray_noted_holds_nothing_up_but_counts_in_the_budget() -> None:
    ahead = [replace(one, asked_at=one.asked_at + timedelta(2000)) for one in tried(*["confirmed"] * 12, days=40)]
    last = replace(ahead[-1], outcome="rejected")
    once = Machine((last,), (last.name,))
    assert decide(state(47, machine=once)).action == "attempted"
    assert decide(state(46, machine=once)).code == "no_new_days"
    assert decide(state(47, machine=Machine(tuple(ahead)))).code == "budget"
    assert decide(replace(state(40 + 400, machine=Machine(tuple(ahead))))).action == "attempted"


@pytest.mark.parametrize(("days", "code"), [(6, "no_new_days"), (7, "accuracy")])
def test_a_persons_word_lets_an_attempt_pass_at_once_where_there_are_new_days(days: int, code: str) -> None:
    halfway = in_vain(3, 40, "half_open")
    said = decide(state(40 + days, machine=halfway, now=at(BREAK + timedelta(40 + days))))
    assert said.code == code
    open_ = replace(halfway, breaker="open")
    assert decide(state(40 + days, machine=open_, now=at(BREAK + timedelta(40 + days)))).code == "breaker_open"
    passed = replace(state(47, machine=open_, now=at(BREAK + timedelta(47))), rule=Retrain(half_open_days=7))
    assert decide(passed).code == "cool_down"  # what passes by the rule alone cools down as ever


def test_the_same_days_are_not_tried_twice_by_another_check() -> None:
    past = tried("confirmed", days=40)
    said = decide(state(44, DRIFT, machine=Machine(past)))
    assert said.code == "no_new_days"
    assert "the next needs 7 days more, up to 2026-04-18" in said.why
    assert decide(state(47, DRIFT, machine=Machine(past))).action == "attempted"


def test_a_held_attempt_is_neither_useless_nor_cooled_down_and_counts_on() -> None:
    said = decide(state(41, machine=Machine(tried("held", days=40))))
    assert (said.action, said.attempt) == ("attempted", 2)


def test_an_open_breaker_freezes_the_champion_and_says_what_would_close_it() -> None:
    said = decide(state(80, machine=in_vain(3, 60, "open")))
    assert (said.action, said.code) == ("held", "breaker_open")
    assert 'lightkeeper model breaker lamps --half-open --why "..."' in said.why


def test_an_open_breaker_lets_one_attempt_pass_after_its_declared_days() -> None:
    frozen = in_vain(3, 60, "open")
    assert decide(state(60 + 91, machine=frozen)).action == "attempted"
    never = replace(state(60 + 400, machine=frozen), rule=Retrain(half_open_days=None))
    assert decide(never).code == "breaker_open"


def test_a_budget_of_a_year_is_kept() -> None:
    said = decide(replace(state(400, machine=Machine(tried(*["promoted"] * 12, days=380, apart=14))), rule=Retrain()))
    assert said.code == "budget"
    assert "12 attempts within 365 days" in said.why


def test_only_what_is_declared_may_ask() -> None:
    assert decide(replace(state(60), rule=Retrain(on=("age",)))).action == "rested"
    assert "retrain_if names no check" in decide(replace(state(60), rule=Retrain(on=()))).why


@pytest.mark.parametrize(
    ("rule", "machine", "code"),
    [
        (Retrain(fresh_days=10**9), Machine(), "too_few_matured"),
        (Retrain(fresh_days=10**7), in_vain(1, days=0), "too_few_matured"),
        (Retrain(cool_down_days=10**7), in_vain(2, days=38), "cool_down"),
        (Retrain(attempts=10**6), in_vain(60, days=38), "cool_down"),
        (Retrain(half_open_days=10**7), in_vain(3, days=38, breaker="open"), "breaker_open"),
    ],
)
def test_days_that_nobody_lives_to_see_hold_for_ever_and_break_nothing(rule: Retrain, machine: Machine, code: str) -> None:
    said = decide(state(rule=rule, machine=machine))
    assert (said.action, said.code) == ("held", code)
    assert "9999-12-31" in said.why


@pytest.mark.parametrize(
    "wrong", [{"attempts": 0}, {"on": ("mood",)}, {"budget": 1.5}, {"half_open_days": 0}, {"fresh_days": True}]
)
def test_a_rule_that_cannot_be_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(BadDeclaration, match=next(iter(wrong))):
        Retrain(**wrong)  # type: ignore[arg-type]


# -- the ledger -------------------------------------------------------------------------------------------------


@pytest.fixture
def clock() -> Clock:
    return Clock(at(BREAK))


@pytest.fixture
def lake(tmp_path: Path, clock: Clock) -> Lake:
    return Lake(tmp_path, clock=clock)


def asked(number: int = 1, cause: Cause = ACCURACY) -> Decision:
    return Decision(
        "lamps", "attempted", 2, "run", "it fails", 2, cause.check, cause=cause.check, episode=cause.episode(2), attempt=number,
        matured=BREAK + timedelta(40),
    )  # fmt: skip


def judged(run_id: str, action: str = "rejected", code: str = "tie") -> Decision:
    return Decision("lamps", action, 3, "run", "not better", 2, code, judgement=1, run_id=run_id)


def test_an_attempt_is_begun_by_one_run_only(lake: Lake) -> None:
    assert began(lake, asked(), "run-1")
    assert began(lake, asked(), "run-1")  # its step is tried again
    assert not began(lake, asked(), "run-2")
    assert decisions(lake).height == 1


def test_no_second_attempt_begins_while_one_is_under_way(lake: Lake) -> None:
    assert began(lake, asked(), "run-1")
    assert not began(lake, asked(1, DRIFT), "run-2")
    decided(lake, judged("run-1"))
    assert began(lake, asked(1, DRIFT), "run-2")


def test_three_useless_attempts_in_a_row_open_the_breaker_and_a_success_closes_it(lake: Lake) -> None:
    for n in (1, 2, 3):
        assert machine(lake, "lamps", 3).breaker == "closed"
        began(lake, asked(n), f"run-{n}")
        decided(lake, judged(f"run-{n}"))
    found = machine(lake, "lamps", 3)
    assert (found.breaker, found.useless, found.since) == ("open", 3, BREAK + timedelta(40))
    promoted(lake, Decision("lamps", "promoted", 4, "user", "better"))
    assert machine(lake, "lamps", 3).breaker == "closed"


def test_a_persons_word_lets_one_attempt_pass_and_a_useless_one_opens_it_again(lake: Lake) -> None:
    with pytest.raises(Refused, match="The breaker of lamps is closed"):
        half_opened(lake, "lamps", "user ada", "the new list is in", 1)
    began(lake, asked(1), "run-1")
    decided(lake, judged("run-1"))
    half_opened(lake, "lamps", "user ada", "the new list is in", 1)
    assert machine(lake, "lamps", 1).breaker == "half_open"
    began(lake, asked(2), "run-2")
    decided(lake, judged("run-2"))
    assert machine(lake, "lamps", 1).breaker == "open"


def test_a_champion_that_is_confirmed_by_age_was_no_useless_attempt(lake: Lake) -> None:
    began(lake, asked(1, AGE), "run-1")
    decided(lake, judged("run-1", "confirmed"))
    found = machine(lake, "lamps", 1)
    assert (found.breaker, found.useless, found.attempts[0].outcome) == ("closed", 0, "confirmed")


def test_a_rejection_for_want_of_days_says_nothing_of_the_challenger(lake: Lake) -> None:
    began(lake, asked(), "run-1")
    decided(lake, judged("run-1", code="too_few_days"))
    found = machine(lake, "lamps", 1)
    assert (found.useless, found.attempts[0].outcome) == (0, "unjudged")


def test_a_promotion_that_is_taken_back_by_outcomes_was_useless(lake: Lake) -> None:
    promoted(lake, Decision("lamps", "promoted", 2, "user", "the first"))
    for n in (1, 2):
        began(lake, asked(n), f"run-{n}")
        promoted(lake, Decision("lamps", "promoted", 2 + n, "run", "better", run_id=f"run-{n}"))
        rolled_back(lake, Decision("lamps", "rolled_back", 0, "run", "worse", code=FORMER_BETTER))
    assert (machine(lake, "lamps", 2).breaker, machine(lake, "lamps", 2).useless) == ("open", 2)


def test_what_was_useless_since_a_promotion_counts_when_it_is_taken_back(lake: Lake) -> None:
    promoted(lake, Decision("lamps", "promoted", 2, "user", "the first"))
    for n, outcome in ((1, "rejected"), (2, "promoted"), (3, "rejected")):
        began(lake, asked(n), f"run-{n}")
        said = Decision("lamps", outcome, 2 + n, "run", "so", 2, "tie", judgement=n, run_id=f"run-{n}")
        promoted(lake, said) if outcome == "promoted" else decided(lake, said)
    rolled_back(lake, Decision("lamps", "rolled_back", 0, "run", "worse", code=FORMER_BETTER))
    assert (machine(lake, "lamps", 3).breaker, machine(lake, "lamps", 3).useless) == ("open", 3)


def test_a_run_that_ended_without_an_outcome_is_noted_once_and_counts(lake: Lake) -> None:
    began(lake, asked(), "run-1")
    one = machine(lake, "lamps", 3).under_way
    assert one is not None
    assert [ended(lake, "lamps", one, "run_failed", "it was killed") for _ in range(2)] == [True, False]
    assert machine(lake, "lamps", 3).useless == 1


@pytest.mark.parametrize("by", ["promotion", "rollback"])
def test_an_attempt_that_fails_as_a_person_moved_the_champion_meanwhile_was_not_useless(lake: Lake, by: str) -> None:
    for version in (1, 2):
        promoted(lake, Decision("lamps", "promoted", version, "user ada", "this one"))
    began(lake, asked(), "run-1")
    if by == "promotion":
        promoted(lake, Decision("lamps", "promoted", 5, "user ada", "this one"))
    else:
        rolled_back(lake, Decision("lamps", "rolled_back", 0, "user ada", "the one before"))
    ended(lake, "lamps", machine(lake, "lamps", 1).attempts[0], "run_failed", "it ended as failure.")
    found = machine(lake, "lamps", 1)
    assert (found.breaker, found.useless, found.attempts[0].outcome) == ("closed", 0, "failed")
    began(lake, asked(2), "run-2")
    ended(lake, "lamps", machine(lake, "lamps", 1).attempts[1], "run_failed", "it was killed.")
    assert machine(lake, "lamps", 1).breaker == "open"


def test_a_run_that_died_before_its_first_step_is_an_attempt_as_well(lake: Lake) -> None:
    one = Attempt("lamps_outcome.accuracy.2026-03-02.v2", 1, at(BREAK), BREAK, "accuracy", "run-1")
    assert ended(lake, "lamps", one, "run_failed", "the code server was gone")
    assert [row["action"] for row in decisions(lake).iter_rows(named=True)] == ["attempted", "failed"]
    assert not began(lake, asked(1), "run-2")
    assert began(lake, asked(2), "run-3")


def test_a_reason_for_doing_nothing_is_noted_when_it_changes_and_only_then(lake: Lake) -> None:
    cool = replace(asked(), action="held", code="cool_down", attempt=None)
    assert [held(lake, cool) for _ in range(3)] == [True, False, False]
    assert held(lake, replace(cool, code="bad_data"))
    assert held(lake, cool)
    assert machine(lake, "lamps", 3).told == ("cool_down", cool.episode)


def test_an_unrest_lasts_over_short_rests_and_ends_with_a_week_of_quiet(lake: Lake) -> None:
    def note(code: str, day: int, cause: str = "drift", began: int | None = None) -> date | None:
        since = BREAK + timedelta(day if began is None else began)
        episode = Cause(cause, "lamp_features", since, "It failed.").episode(1)
        matured = BREAK + timedelta(day)
        said = replace(asked(), action="held", code=code, attempt=None, cause=cause, episode=episode, matured=matured)
        held(lake, said)
        return machine(lake, "lamps", 3).asking_since

    assert note("too_few_matured", 3) == BREAK + timedelta(3)
    note("nothing_asks", 10)
    assert note("too_few_matured", 12) == BREAK + timedelta(3)
    assert machine(lake, "lamps", 3).resting_since is None
    note("nothing_asks", 20)
    assert machine(lake, "lamps", 3).resting_since == BREAK + timedelta(20)
    assert note("too_few_matured", 28, began=24) == BREAK + timedelta(3)
    note("nothing_asks", 29)
    assert note("age", 40, cause="age") == BREAK + timedelta(3)
    note("nothing_asks", 41)  # as it is noted after an attempt by age
    assert machine(lake, "lamps", 3).resting_since == BREAK + timedelta(29)
    assert note("too_few_matured", 46, began=42) == BREAK + timedelta(42)


# -- whatever comes, in whatever order --------------------------------------------------------------------------


class Retrainings(RuleBasedStateMachine):
    """Days pass, clocks jump, checks fail and pass, runs end as they like, are killed, are started twice."""

    @initialize()
    def start(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.clock = Clock(at(BREAK))
        self.lake = Lake(Path(self.folder.name), clock=self.clock)
        self.day, self.failing, self.bad, self.runs, self.useless = 0, False, False, 0, 0
        self.begun: list[tuple[str | None, int | None]] = []
        self.champion = 0

    def now(self) -> State:
        matured = BREAK + timedelta(self.day)
        causes = (ACCURACY,) if self.failing else ()
        broken = (Broken("suspect", "sales", "sales is suspect"),) if self.bad else ()
        return State("lamps", self.champion, Retrain(), 28, self.clock.now, matured, causes, broken, machine(self.lake, "lamps", 3))

    @rule(days=st.integers(1, 40))
    def days_pass(self, days: int) -> None:
        self.day += days
        self.clock.now = at(BREAK + timedelta(self.day + 1))

    @rule(hours=st.integers(-500, 500))
    def the_clock_jumps(self, hours: int) -> None:
        self.clock.now += timedelta(hours=hours)

    @rule(failing=st.booleans(), bad=st.booleans())
    def checks_change(self, failing: bool, bad: bool) -> None:  # noqa: FBT001 - drawn
        self.failing, self.bad = failing, bad

    @rule(end=st.sampled_from(["rejected", "promoted", "killed", "lost", "twice"]))
    def a_sensor_ticks(self, end: str) -> None:
        said = decide(self.now())
        if said.action == "held":
            held(self.lake, replace(said, by="sensor"))
        if said.action != "attempted":
            return
        assert not self.bad
        self.runs += 1
        run = f"run-{self.runs}"
        if end == "lost":
            one = Attempt(str(said.episode), said.attempt or 0, self.clock.now, said.matured, "accuracy", run)
            ended(self.lake, "lamps", one, "run_failed", "it never started")
            self.begun.append((said.episode, said.attempt))
            self.useless += 1
            return
        assert began(self.lake, said, run)
        self.begun.append((said.episode, said.attempt))
        if end == "twice":
            assert not began(self.lake, said, f"{run}-again")
        self.finish(run, end)

    def finish(self, run: str, end: str) -> None:
        if end == "killed":
            one = machine(self.lake, "lamps", 3).under_way
            assert one is not None
            ended(self.lake, "lamps", one, "run_failed", "it was killed")
            self.useless += 1
        elif end == "promoted":
            decided(
                self.lake, Decision("lamps", "judged", self.runs, run, "better", self.champion, judgement=self.runs, run_id=run)
            )
            promoted(self.lake, Decision("lamps", "promoted", self.runs, run, "better", judgement=self.runs, run_id=run))
            self.champion, self.useless = self.runs, 0
        else:
            decided(
                self.lake,
                Decision("lamps", "rejected", self.runs, run, "tie", self.champion, "tie", judgement=self.runs, run_id=run),
            )
            self.useless += 1

    @precondition(lambda self: machine(self.lake, "lamps", 3).breaker == "open")
    @rule()
    def a_person_half_opens(self) -> None:
        half_opened(self.lake, "lamps", "user ada", "the list is in", 3)

    @invariant()
    def no_attempt_is_begun_twice(self) -> None:
        if hasattr(self, "begun"):
            assert len(self.begun) == len(set(self.begun))
            rows = decisions(self.lake, "lamps")
            attempted = rows.filter(rows["action"] == "attempted").select("episode", "attempt").rows()
            assert sorted(attempted, key=str) == sorted(self.begun, key=str)

    @invariant()
    def the_breaker_is_open_after_three_useless_attempts(self) -> None:
        if hasattr(self, "begun"):
            found = machine(self.lake, "lamps", 3)
            assert found.useless == self.useless
            assert self.useless < 3 or found.breaker in ("open", "half_open")

    @invariant()
    def time_never_runs_backwards(self) -> None:
        if hasattr(self, "begun"):
            assert decisions(self.lake, "lamps")["decided_at"].is_sorted()

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            self.folder.cleanup()


Retrainings.TestCase.settings = settings(
    max_examples=20, stateful_step_count=20, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)
TestRetrainings = Retrainings.TestCase
