"""The sensors `retraining` and `outcomes`: a run for each attempt that the rule allows, and one where a promotion is taken back.

They read what holds now and compute nothing. What they note themselves is why nothing is done, once for each reason, with the
alert that goes with it; everything else is noted by the run.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import dagster as dg
import polars as pl

from lightkeeper.alerts.kept import solved
from lightkeeper.home import Home
from lightkeeper.lake.table import Lake
from lightkeeper.lake.verdicts import states
from lightkeeper.models.attempts import NOTHING_ASKS, ended, held
from lightkeeper.models.decisions import decisions, reigns
from lightkeeper.models.episodes import Attempt, State
from lightkeeper.models.model import Model
from lightkeeper.models.retraining import decide
from lightkeeper.models.shadow import CHECK
from lightkeeper.orchestrate.attempting import ATTEMPT, CAUSE, DAY, EPISODE, MODEL, PINS, PROMOTED, ROLLBACK, Asked
from lightkeeper.orchestrate.learners import known
from lightkeeper.orchestrate.running import WRITES
from lightkeeper.orchestrate.telling import tell, told_gone, told_solved
from lightkeeper.values import Decision, version_name
from lightkeeper.watch.situation import of_serving, situations

__all__ = ["outcomes_sensor", "retraining_sensor"]

_BY = "the sensor retraining"
_BACK = 3  # runs that may take one promotion back by the verdict of one day
_NEWEST = 5  # runs of a model that are looked at, of which no two are asked for at a time
_SECONDS = 4  # just below the daemon's own floor of 5, so that no round of it is missed


def retraining_sensor(models: Sequence[Model], home: Home, open_lake: Callable[[], Lake]) -> dg.SensorDefinition:
    """The sensor over all models: asks for at most one run an attempt.

    Args:
        models: that may be retrained by themselves.
        home: whose clock counts.
        open_lake: gives the lake, when a tick needs it.
    """

    @dg.sensor(
        name="retraining",
        target=_assets(models),
        minimum_interval_seconds=_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Checks that fail ask for a retraining: asks for a run where the rule allows one, and says why where not.",
    )
    def retraining(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        if not home.exists:
            return dg.SkipReason(home.none_yet)
        if home.landing_is_busy():  # what holds is half of what will: a run now would lose the race for a table
            return dg.SkipReason("A command is landing files into this home.")
        lake = open_lake()
        found = situations(lake, [known(one).learner for one in models])
        cursor = _closed(lake, found, context.cursor)
        requests, said = [], []
        for model in models:
            wanted, why = _of_model(context.instance, lake, model, found[model.name])
            requests += [] if wanted is None else [wanted]
            said.append(f"{model.name}: {why}")
        if requests:
            return dg.SensorResult(run_requests=requests, cursor=cursor)
        return dg.SensorResult(skip_reason="\n".join(said) or "No model is declared.", cursor=cursor)

    return retraining


def _assets(models: Sequence[Model]) -> dg.AssetSelection:
    names = [name for one in models for name in (*one.training_tables, *one.served_tables)]
    return dg.AssetSelection.assets(*names)


def _closed(lake: Lake, found: Mapping[str, State], before: str | None) -> str:
    """Call nobody any more of a breaker that was not closed at the last tick and is now, or of a model that is gone; what holds.

    What was told before the first tick is not known: then every one that is closed counts.
    """
    last = json.loads(before or "{}")
    last = last if isinstance(last, dict) else {"open": last}  # another release wrote it
    for name, state in found.items():
        if state.machine.breaker == "closed" and name in last.get("open", found):
            solved(lake, "breaker", name, "A promotion, a confirmation or a rollback closed the breaker.")
    if last.get("models") != sorted(found):
        told_gone(lake, found)
    opened = sorted(name for name, state in found.items() if state.machine.breaker != "closed")
    return json.dumps({"open": opened, "models": sorted(found)})


def _of_model(instance: dg.DagsterInstance, lake: Lake, model: Model, state: State) -> tuple[dg.RunRequest | None, str]:
    """The run to ask for, if any, and why or why not."""
    under_way = state.machine.under_way
    if under_way is not None and (why := _ended(instance, under_way)) is not None:
        ended(lake, model.name, under_way, "run_failed", why)
        return None, why
    said = decide(state)
    if said.action == "attempted":
        return _asked(instance, lake, model, state, said)
    _note(lake, model, state, said)
    return None, said.why


def _ended(instance: dg.DagsterInstance, attempt: Attempt) -> str | None:
    """Why an attempt can come to no outcome any more; None while its run goes on."""
    run = instance.get_run_by_id(attempt.run_id) if attempt.run_id else None
    if run is None:
        return f"run {attempt.run_id} of attempt {attempt.number} is not known any more: it counts as failed."
    if not run.is_finished:
        return None
    return f"run {run.run_id[:8]} of attempt {attempt.number} ended as {run.status.value.lower()}, without an outcome."


def _asked(
    instance: dg.DagsterInstance, lake: Lake, model: Model, state: State, said: Decision
) -> tuple[dg.RunRequest | None, str]:
    """A run for an attempt, unless one was asked for already."""
    asked = Asked(model.name, str(said.episode), int(said.attempt or 1), str(said.cause))
    tags = {MODEL: asked.model, EPISODE: asked.episode, ATTEMPT: str(asked.number)}
    newest = instance.get_runs(dg.RunsFilter(tags={MODEL: asked.model}), limit=_NEWEST)
    if going := [run for run in newest if not run.is_finished]:
        return None, f"attempt {asked.number} of {asked.episode} waits for run {going[0].run_id[:8]} of {asked.model} to end."
    runs = instance.get_runs(dg.RunsFilter(tags=tags), limit=1)
    if runs:
        why = f"run {runs[0].run_id[:8]} ended as {runs[0].status.value.lower()}."
        one = Attempt(asked.episode, asked.number, state.now, state.matured, asked.cause, runs[0].run_id)
        ended(lake, model.name, one, "run_failed", why)
        return None, why
    request = dg.RunRequest(
        run_key=asked.run_key,
        asset_selection=[dg.AssetKey(name) for name in (*model.training_tables, *model.served_tables)],
        tags={**tags, **WRITES, CAUSE: asked.cause, PINS: ",".join(_pins(lake, model))},
    )
    return request, said.why


def _pins(lake: Lake, model: Model) -> Iterator[str]:
    """The table version that is there when the run is asked for; the run notes what it read."""
    if lake.exists(model.table):
        yield str(lake.version(model.table))


def _note(lake: Lake, model: Model, state: State, said: Decision) -> None:
    """Tell people why nothing is done, and note it, where the reason is another than before.

    What is noted is never told again, what is told is told once: so it is told first, and a kill in between loses no alert.
    """
    told = state.machine.told
    if said.code == "under_way" or (said.code == NOTHING_ASKS and told is None):
        return
    if told == (said.code, said.episode):
        return
    if said.code == NOTHING_ASKS and state.unjudged:  # what could not be judged has not ended
        return
    if said.code == NOTHING_ASKS:
        told_solved(lake, model, state)
    else:
        tell(lake, model, state, said)
    held(lake, replace(said, action="held", by=_BY))


# -- outcomes ---------------------------------------------------------------------------------------------------


def outcomes_sensor(models: Sequence[Model], home: Home, open_lake: Callable[[], Lake]) -> dg.SensorDefinition:
    """The sensor that takes a promotion back where who served before would have been better on the same outcomes.

    Args:
        models: whose promotions are watched.
        home: whose clock counts.
        open_lake: gives the lake, when a tick needs it.
    """

    @dg.sensor(
        name="outcomes",
        target=_assets(models),
        minimum_interval_seconds=15,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="After a promotion: rolls back where the former champion would have been better, beyond noise.",
    )
    def outcomes(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        if not home.exists:
            return dg.SkipReason(home.none_yet)
        lake = open_lake()
        worse = states(lake).rows((pl.col("check") == CHECK) & (pl.col("state") == "failed"))
        rows = {row["asset"]: row for row in worse.iter_rows(named=True)}
        found = [_back(context.instance, lake, model, rows.get(model.outcome_table)) for model in models]
        asked = [one for one, _ in found if one is not None]
        if asked:
            return dg.SensorResult(run_requests=asked)
        return dg.SkipReason(" ".join(why for _, why in found if why) or "No champion is worse than the one before it.")

    return outcomes


def _back(
    instance: dg.DagsterInstance, lake: Lake, model: Model, row: Mapping[str, Any] | None
) -> tuple[dg.RunRequest | None, str]:
    """The run that takes a promotion back, or why none is asked for; neither where the verdict is on another champion.

    One run at a time, and after each that failed another: for the verdict of one day no more than _BACK of them.
    """
    if row is None:
        return None, ""
    served = reigns(decisions(lake, model.name), model.name)
    since = served[-1].since if served and served[-1].version else None
    leaves, day = version_name(model.name, served[-1].version if served else 0), str(row["day"])
    if since is None or leaves not in row["columns"] or not of_serving(row["known_at"], since, lake.clock()):
        return None, ""
    tags = {MODEL: model.name, ROLLBACK: leaves, PROMOTED: since.isoformat()}
    before = instance.get_runs(dg.RunsFilter(tags=tags))
    same = [run for run in before if run.tags.get(DAY) == day]
    if not all(run.is_finished for run in before):
        return None, f"{leaves}: the run that takes it back is under way."
    if len(same) >= _BACK or any(run.is_success for run in same):
        last = f"run {same[0].run_id[:8]} ended as {same[0].status.value.lower()}"
        return None, f"{leaves} is not taken back: {last}, the last of {len(same)}. Asked again by the verdict of the next day."
    request = dg.RunRequest(
        run_key=f"{leaves}:{tags[PROMOTED]}:rollback:{len(before) + 1}",
        asset_selection=[dg.AssetKey(name) for name in (model.champion_table, *model.served_tables)],
        tags={**tags, **WRITES, CAUSE: CHECK, DAY: day},
    )
    return request, ""
