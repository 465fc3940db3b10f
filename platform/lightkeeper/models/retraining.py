"""When a model is retrained by itself: one pure function from what is known to a decision. No clock, no I/O.

Owns the rule: causes ask, bad data hold, a challenger needs days to learn from and days to be judged on, useless attempts
cool down and open the breaker. What asks stands in `watch`, what was tried in `attempts`; the gate decides who serves.

A retraining is judged on the last `judged_days` matured days, which its challenger has not seen. So after a break nothing
can be gained before `judged_days` + `fresh_days` days of it have matured: an attempt before that is fitted on the past alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta

from lightkeeper.models.episodes import ASKING, REST, STAYING, STAYS, Attempt, Cause, State
from lightkeeper.values import Decision, version_name

__all__ = ["decide", "earliest"]

_YEAR = timedelta(365)


def earliest(state: State, cause: Cause) -> date:
    """The first matured day at which an attempt for a cause can show anything. An old model may be tried at any time."""
    if cause.kind == "age":
        return cause.since
    return _later(_since(state, cause), state.judged_days + state.rule.fresh_days)


def _later(day: date, days: int) -> date:
    """So many days after a day; the last day that there is where somebody declared more, to say never."""
    return day + timedelta(min(days, (date.max - day).days))


def _since(state: State, cause: Cause) -> date:
    """When the unrest began that a cause belongs to: with the first of what asks, short rests in between left out."""
    began = min([cause.since, *(one.since for one in state.causes if one.kind in state.rule.on and one.kind != "age")])
    asking, resting = state.machine.asking_since, state.machine.resting_since
    if asking is None or (resting is not None and began - resting >= REST):
        return began
    return min(began, asking)


def decide(state: State) -> Decision:
    """What is to be done about a model now.

    Returns:
        A decision with action "attempted" (retrain, as `attempt` of `episode`), "held" (something asks and must wait; `code`
        says why in a word, `why` in a sentence with what would change it) or "rested" (nothing asks, or an attempt is under
        way: nothing to note). It is not recorded yet.
    """
    asking = sorted(
        (one for one in state.causes if one.kind in state.rule.on), key=lambda one: (ASKING.index(one.kind), one.since, one.asset)
    )
    if not asking:
        return _said(state, "rested", "nothing_asks", _nothing(state))
    ready = [one for one in asking if state.matured is not None and state.matured >= earliest(state, one)]
    cause = (ready or asking)[0]
    if state.machine.under_way is not None:
        one = state.machine.under_way
        return _said(state, "rested", "under_way", f"attempt {one.number} of {one.episode} is under way.", cause)
    held = _held(state, cause, ready=bool(ready))
    if held is not None:
        code, why = held
        return _said(state, "held", code, f"{_asks(cause)} Not retrained: {why}{_unheeded(state)}", cause)
    opened = " The breaker is half-open: one attempt." if state.machine.breaker != "closed" else ""
    return _said(state, "attempted", cause.kind, f"{_asks(cause)}{opened}{_unheeded(state)}", cause)


def _unheeded(state: State) -> str:
    """The known events now whose meaning for training nothing follows yet."""
    today = state.now.date()
    named = [f"{one.name} ({one.action})" for one in state.events if one.action != "hold" and one.start <= today]
    return f" Known and not heeded, as only hold is supported yet: {', '.join(named)}." if named else ""


def _asks(cause: Cause) -> str:
    return f"{cause.asset} {cause.check} fails since {cause.since}: {cause.why}"


def _nothing(state: State) -> str:
    if not state.rule.on:
        return "nothing may ask for a retraining: retrain_if names no check."
    on = (f"{one} for {STAYS} days" if one in STAYING else one for one in state.rule.on)
    return f"nothing asks for a retraining; it would be asked for when one of {', '.join(on)} fails."


def _held(state: State, cause: Cause, *, ready: bool) -> tuple[str, str] | None:
    """The first thing that stands against an attempt, as a word and a sentence."""
    return (
        _by_data(state)
        or _by_event(state)
        or _by_breaker(state)
        or _by_days(state, cause, ready=ready)
        or _by_champion(state)
        or _by_cool_down(state)
        or _by_budget(state)
    )


def _by_data(state: State) -> tuple[str, str] | None:
    if not state.broken:
        return None
    more = f" And {len(state.broken) - 1} more." if len(state.broken) > 1 else ""
    return "bad_data", f"bad data never train. {state.broken[0].why}{more}"


def _by_event(state: State) -> tuple[str, str] | None:
    today = state.now.date()
    for one in state.events:
        if one.action == "hold" and one.start <= today < one.end:
            return "event", f"{one.name} is known to last until {one.end}, and says to hold."
    return None


def _by_breaker(state: State) -> tuple[str, str] | None:
    if state.machine.breaker != "open":
        return None
    days, since = state.rule.half_open_days, state.machine.since
    opened = f"the breaker opened after {state.machine.useless} useless attempts in a row; the champion is frozen"
    word = f'lightkeeper model breaker {state.model} --half-open --why "..."'
    if days is None or since is None or state.matured is None:
        return "breaker_open", f"{opened}. A person's word lets one attempt pass: {word}"
    until = _later(since, days)
    if state.matured >= until:
        return None
    return "breaker_open", f"{opened} until outcomes of {until} are known, or a person lets one attempt pass: {word}"


def _by_days(state: State, cause: Cause, *, ready: bool) -> tuple[str, str] | None:
    if ready:
        return None
    until, rule = earliest(state, cause), state.rule
    days = f"it needs {state.judged_days} matured days to be judged on and {rule.fresh_days} to learn from"
    known = f"outcomes are known up to {state.matured}" if state.matured else "no outcome is known yet"
    return "too_few_matured", f"{days} since {_since(state, cause)}, that is outcomes up to {until}; {known}."


def _by_champion(state: State) -> tuple[str, str] | None:
    """A champion is judged on days that it has not learnt from."""
    if state.learnt is None or state.matured is None or state.matured >= _later(state.learnt, state.least_days):
        return None
    until = _later(state.learnt, state.least_days)
    needs = f"the champion has learnt up to {state.learnt}, and the gate judges it on {state.least_days} days after that"
    return "too_few_matured", f"{needs}, up to {until}; outcomes are known up to {state.matured}."


def _by_cool_down(state: State) -> tuple[str, str] | None:
    tried = [one for one in state.machine.attempts if one.outcome != "held"]
    if not tried:
        return None
    last, rule = tried[-1], state.rule
    cools = state.machine.useless and state.machine.breaker != "half_open"  # a person's word lets one attempt pass at once
    days = rule.cool_down_days * 2 ** max(0, min(state.machine.useless, rule.attempts) - 1) if cools else 0
    until = _later(last.asked_at.date(), days)
    if last.asked_at <= state.now and state.now.date() < until:  # else by a clock that has gone back since
        count = state.machine.useless
        said = f"{count} useless attempts in a row cool" if count > 1 else "a useless attempt cools"
        return "cool_down", f"{said} down for {days} days, until {until}."
    least = None if last.matured is None else _later(last.matured, rule.fresh_days)
    if least is not None and state.matured is not None and state.matured < least:
        return "no_new_days", (
            f"the last attempt stood on outcomes up to {last.matured}; the next needs {rule.fresh_days} days more, up to {least},"
            f" and they are known up to {state.matured}."
        )
    return None


def _by_budget(state: State) -> tuple[str, str] | None:
    today = state.now.date()
    spent = [on for one in state.machine.attempts if one.outcome != "held" and (on := _tried_on(one, today)) > today - _YEAR]
    if len(spent) < state.rule.budget:
        return None
    again = spent[-state.rule.budget] + _YEAR
    return "budget", f"{len(spent)} attempts within 365 days are what retrain_if allows; the next may be on {again}."


def _tried_on(one: Attempt, today: date) -> date:
    """The day of an attempt; where it lies ahead, by a clock that has gone back since, the last day that it stood on."""
    on = one.asked_at.date()
    return on if on <= today else min(one.matured or today, today)


def _said(state: State, action: str, code: str, why: str, cause: Cause | None = None) -> Decision:
    episode = None if cause is None else cause.episode(state.champion)
    number = None if action != "attempted" else _count(state.machine.attempts, episode) + 1
    opening = f"{version_name(state.model, state.champion)} stays, " if action == "rested" else ""
    return Decision(
        state.model, action, state.champion, "the rule of retraining", f"{opening}{why}", state.champion, code,
        cause=None if cause is None else cause.check, episode=episode, attempt=number, matured=state.matured,
    )  # fmt: skip


def _count(attempts: Iterable[Attempt], episode: str | None) -> int:
    return max((one.number for one in attempts if one.episode == episode), default=0)
