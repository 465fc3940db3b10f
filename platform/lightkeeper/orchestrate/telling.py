"""What people are told of a model's retraining: the alert of each reason, and that it is solved. It decides nothing."""

from __future__ import annotations

import os
from collections.abc import Collection
from datetime import date

import polars as pl

from lightkeeper.alerts.alert import LONGEST, Alert
from lightkeeper.alerts.kept import raised, solved, standing
from lightkeeper.lake.suspects import LASTS
from lightkeeper.lake.table import Lake
from lightkeeper.models.attempts import FORMER_BETTER, taken_back
from lightkeeper.models.decisions import decisions
from lightkeeper.models.episodes import ASKING, Broken, Cause, State, kind_of
from lightkeeper.models.model import Model
from lightkeeper.values import Decision, version_name

__all__ = ["address", "link", "mended", "short", "tell", "told_gone", "told_solved"]

_QUIET = ("age",)  # an old model is tried anew without a word
_OURS = (*(kind for kind in ASKING if kind not in _QUIET), "bad_data", "breaker")  # kinds of cause that are told and solved here


def address() -> str:
    """Where Dagster's UI is: LIGHTKEEPER_ADDRESS."""
    return os.environ.get("LIGHTKEEPER_ADDRESS", "http://127.0.0.1:3000")


def link(table: str) -> str:
    """Where Dagster's UI shows the checks of a table's asset."""
    return f"{address()}/assets/{table.replace('__', '/')}?view=checks"


def short(text: str) -> str:
    """The text, cut to what a symptom may have."""
    return text if len(text) < LONGEST else f"{text[: LONGEST - 4].rstrip()}..."


def tell(lake: Lake, model: Model, state: State, said: Decision) -> None:
    """Raise the alert that goes with a reason for which nothing is done; each cause, asset and episode once.

    Values that fail, on no suspect day, hold a retraining for fewer than three days whatever anybody does: nobody is called.
    """
    if said.code == "breaker_open":
        raised(lake, _escalation(lake, model, state, said))
    elif said.code == "bad_data" and any(one.kind != "values" for one in state.broken):
        raised(lake, _bad_data(model, state, said))
    cause = next((one for one in state.causes if one.check == said.cause), None)
    if cause is not None and cause.kind not in _QUIET:
        raised(lake, _of_cause(model, state, cause, said))


def told_solved(lake: Lake, model: Model, state: State) -> None:
    """Nothing asks any more: what was told of the model's retraining is solved; an open breaker is not, while it is open."""
    mine = (model.name, model.table, model.outcome_table)
    still = {"breaker"} if state.machine.breaker != "closed" else set()
    of_before = ~pl.col("episode").str.contains(":", literal=True)  # raised by a build that named no model
    own = (pl.col("asset") == model.name) | of_before | pl.col("episode").str.starts_with(f"{model.name}:")
    for row in standing(lake).filter(pl.col("asset").is_in(mine), own, pl.col("state") != "solved").iter_rows(named=True):
        if kind_of(row["cause"]) in _OURS and row["cause"] not in still:
            solved(lake, row["cause"], row["asset"], "Nothing asks for a retraining any more.", row["episode"])


def told_gone(lake: Lake, declared: Collection[str]) -> None:
    """What was told of models that are not declared any more is solved: nobody looks at them, and nobody else would end it."""
    for row in standing(lake).filter(pl.col("state") != "solved").iter_rows(named=True):
        named, _, rest = row["episode"].partition(":")
        model = row["asset"] if row["cause"] == "breaker" else named if rest else None
        if kind_of(row["cause"]) in _OURS and model is not None and model not in declared:
            solved(lake, row["cause"], row["asset"], f"The model {model} is not declared any more.", row["episode"])


def _of(model: Model, episode: str) -> str:
    """An episode of one model among those that learn from its table."""
    return f"{model.name}:{episode}"


def _worth(state: State, cause: Cause) -> str:
    """What the cause is worth, of forecasts as a version makes them."""
    followed = state.level_factor != 1 and bool(cause.worth)
    return f"{cause.worth}, before its forecasts follow the level" if followed else cause.worth


def _serves(state: State) -> str:
    """Who serves meanwhile, and how."""
    followed = f", its forecasts multiplied by {state.level_factor:.2f}" if state.level_factor != 1 else ""
    return f"{version_name(state.model, state.champion)} goes on serving{followed}"


def _of_cause(model: Model, state: State, cause: Cause, said: Decision) -> Alert:
    symptom = {
        "accuracy": f"{model.name}: forecasts miss by more than promised",
        "coverage": f"{model.name}: intervals cover less than they say",
        "drift": f"{model.table}: what {model.name} learns from has drifted",
    }[cause.kind]
    return Alert(
        cause=cause.check, asset=cause.asset, episode=_of(model, cause.episode(state.champion)), role="data_scientist",
        symptom=short(symptom), since=cause.since, why=cause.why, effect=_worth(state, cause),
        done=f"{_serves(state)}. {said.why}",
        to_do=f"lightkeeper model decisions {model.name}", links=(link(cause.asset),), owners=model.owners,
    )  # fmt: skip


def _escalation(lake: Lake, model: Model, state: State, said: Decision) -> Alert:
    """A person is called, once for a row of useless attempts, with what was tried."""
    useless = state.machine.useless
    return Alert(
        cause="breaker", asset=model.name, episode=_row_of(state), role="data_scientist",
        symptom=short(f"{model.name}: {useless} retrainings in a row did not help; it is frozen"),
        since=state.machine.since, why=" ".join(_tried(lake, state)) or said.why,
        effect=next((one.worth for one in state.causes if one.worth), ""),
        done=f"{_serves(state)}; it is not retrained by itself any more.",
        to_do=f'Look what changed, then: lightkeeper model breaker {model.name} --half-open --why "..."',
        links=(link(model.outcome_table),), owners=model.owners,
    )  # fmt: skip


def _row_of(state: State) -> str:
    """What names a row of useless attempts: its first one, or the promotion among them that was taken back last."""
    row = state.machine.in_vain
    back = [one for one in row if one.startswith(FORMER_BETTER)]
    return next(iter([*back[-1:], *row]), str(state.machine.since))


def _tried(lake: Lake, state: State) -> list[str]:
    """How each of the useless attempts in a row ended, promotions that were taken back among them."""
    row = state.machine.in_vain
    ids = [one.run_id for one in state.machine.attempts if one.name in row and one.run_id]
    ended = pl.col("action").is_in(["rejected", "failed"]) & pl.col("run_id").is_in(ids)
    rows = decisions(lake, state.model).filter(ended | (pl.col("code") == FORMER_BETTER))
    return [
        one["why"] for one in rows.iter_rows(named=True) if one["code"] != FORMER_BETTER or taken_back(one["decided_at"]) in row
    ]


def _bad_data(model: Model, state: State, said: Decision) -> Alert:
    """Whoever knows whether the days were so; IT where nothing but lateness stands against a retraining."""
    since: date | None = min((one.since for one in state.causes), default=None)
    late = [one.table for one in state.broken if one.kind == "late"]
    alone = bool(late) and len(late) == len(state.broken)
    symptom = (
        f"{model.name} is not retrained: {late[0]} is late" if alone else f"{model.name} is not retrained: its data look broken"
    )
    return Alert(
        cause="bad_data", asset=model.table, episode=_of(model, str(said.episode)), role="it" if alone else "domain_expert",
        symptom=short(symptom), since=since, why=" ".join(one.why for one in state.broken),
        done=f"{_serves(state)}; nothing is learnt from these days.",
        to_do=" ".join(dict.fromkeys(map(_mend, state.broken))), links=(link(model.table),), owners=model.owners,
    )  # fmt: skip


def _mend(one: Broken) -> str:
    """What a person can do about it."""
    if one.kind == "late":
        return f"Land what is missing of {one.table}; what came and when: lightkeeper check history {one.table}."
    if one.kind == "suspect":
        return mended(one.table, one.day)
    return f"{_corrected(one.table, one.day)}, or wait: what fails for {LASTS} days is how the world is, and is learnt."


def mended(table: object, day: object) -> str:
    """What a person can do about a suspect day of a table."""
    return f'{_corrected(table, day)}, or say that it was so: lightkeeper check accept {table} {day} --why "..."'


def _corrected(table: object, day: object) -> str:
    return f"Land a corrected file of {table} for {day}"
