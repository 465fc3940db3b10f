"""The first and the last step of a run that retrains a model by itself: it checks first, decides again, notes what came of it.

A run carries names alone, as tags; what holds is read anew when it starts. The same attempt is begun by one run only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import dagster as dg
import polars as pl

from lightkeeper.errors import Conflict
from lightkeeper.lake.suspects import suspects
from lightkeeper.lake.table import Lake
from lightkeeper.lake.verdicts import states
from lightkeeper.models.attempts import FORMER_BETTER, began, ended, held, machine
from lightkeeper.models.decisions import decisions, rolled_back, standing
from lightkeeper.models.forecasting import server
from lightkeeper.models.model import Model
from lightkeeper.models.promotion import assert_serves
from lightkeeper.models.retraining import decide
from lightkeeper.models.shadow import CHECK
from lightkeeper.orchestrate.checks import look
from lightkeeper.orchestrate.io_manager import LakeIOManager
from lightkeeper.orchestrate.learners import Known, known
from lightkeeper.orchestrate.telling import mended, tell
from lightkeeper.values import Decision, ModelVersion, TableVersion, version_name
from lightkeeper.watch import runs
from lightkeeper.watch.situation import situations

__all__ = [
    "ATTEMPT", "CAUSE", "DAY", "EPISODE", "MODEL", "PINS", "PROMOTED", "ROLLBACK", "Asked", "begin", "close", "doubts",
    "take_back",
]  # fmt: skip

MODEL, EPISODE, ATTEMPT = "lightkeeper/model", "lightkeeper/episode", "lightkeeper/attempt"
CAUSE, PINS, ROLLBACK = "lightkeeper/cause", "lightkeeper/pins", "lightkeeper/rollback"
PROMOTED, DAY = "lightkeeper/promoted", "lightkeeper/day"  # of a rollback: when who leaves was promoted, the day of the verdict

_NAMED = 3  # suspect days in a message


@dataclass(frozen=True, slots=True)
class Asked:
    """Which attempt a run was asked for."""

    model: str
    episode: str
    number: int
    cause: str

    @classmethod
    def of(cls, tags: Mapping[str, str], model: str) -> Asked | None:
        """What a run's tags ask for; None where a person asked, or for another model."""
        if tags.get(MODEL) != model or EPISODE not in tags:
            return None
        return cls(model, tags[EPISODE], int(tags[ATTEMPT]), tags.get(CAUSE, ""))

    @property
    def run_key(self) -> str:
        """Of the run that a sensor asks for."""
        return f"{self.model}:{self.episode}:{self.number}"


def begin(context: dg.AssetExecutionContext, manager: LakeIOManager, model: Model, asked: Asked) -> str | None:
    """Check the data, decide again, and note that the attempt begins; None, or why this run does not train."""
    found, lake, run_id = known(model), manager.lake, context.run.run_id
    pins = _pinned(context, manager, found)
    _look(lake, found, pins, run_id)
    state = situations(lake, [found.learner])[model.name]
    said = decide(state)
    stood = tuple(str(one) for one in pins)
    if (said.action, said.episode, said.attempt) == ("attempted", asked.episode, asked.number):
        mine = replace(said, by=f"run {run_id[:8]}", pins=stood)
        return None if began(lake, mine, run_id) else f"Another run has attempt {asked.number} of {asked.episode}."
    begun = replace(
        said, action="attempted", by=f"run {run_id[:8]}", code=asked.cause, cause=asked.cause, episode=asked.episode,
        attempt=asked.number, pins=stood,
    )  # fmt: skip
    if began(lake, begun, run_id):
        if said.action == "held":  # the sensor finds it noted, and so would not tell
            tell(lake, model, state, replace(said, episode=asked.episode))
        held(lake, replace(begun, action="held", code=said.code, run_id=run_id))
    return said.why


def doubts(context: dg.AssetExecutionContext, manager: LakeIOManager, model: Model) -> str | None:
    """Why a training that no rule asked for must not learn from what is there: a raw table has a suspect day. None without one.

    What no check has looked at yet is looked at first.
    """
    found, lake = known(model), manager.lake
    raw = found.learner.raw
    _look(lake, found, [one for one in _pinned(context, manager, found) if one.table in raw], context.run.run_id)
    rows = suspects(lake).filter(pl.col("asset").is_in(raw)).unique(["asset", "day"], keep="first", maintain_order=True)
    if rows.is_empty():
        return None
    days = ", ".join(f"{asset} of {day}" for asset, day in rows.select("asset", "day").head(_NAMED).iter_rows())
    more = f" and {rows.height - _NAMED} more" if rows.height > _NAMED else ""
    first = rows.row(0, named=True)
    why = f"model {model.name} is not trained, as bad data never train: suspect is {days}{more}. {first['why']}"
    return f"{why} {mended(first['asset'], first['day'])}"


def _look(lake: Lake, found: Known, pins: Sequence[TableVersion], run_id: str) -> None:
    """Look at those versions that nobody has looked at."""
    for version in _unlooked(lake, pins):
        if version.table in found.plans:
            look(found.plans[version.table], lake, version, run_id)


def _pinned(context: dg.AssetExecutionContext, manager: LakeIOManager, found: Known) -> list[TableVersion]:
    at = [(table, manager.base(context, table)) for table in found.learner.tables]
    return [TableVersion(table, number) for table, number in at if number >= 0]


def _unlooked(lake: Lake, pins: Sequence[TableVersion]) -> list[TableVersion]:
    """The versions of which no check has judged anything yet, nor of a later one of their table."""
    judged = ~pl.col("check").is_in(runs.CHECKS) & (pl.col("state") != "unknown")
    seen = states(lake).rows(judged).group_by("asset").agg(pl.col("version").max())
    newest = dict(seen.iter_rows())
    return [one for one in pins if newest.get(one.table, -1) < one.version]


def close(lake: Lake, model: Model, run_id: str) -> None:
    """Note the end of an attempt that came to no judgement, such as where the same rows gave the same model."""
    open_ = machine(lake, model.name, model.retrain_if.attempts).under_way
    if open_ is not None and open_.run_id == run_id:
        why = "nothing new could be judged: there was no other model to be had from these rows."
        ended(lake, model.name, open_, "nothing_new", why)


def take_back(lake: Lake, model: Model, tags: Mapping[str, str], run_id: str) -> str | None:
    """Roll back to who served before, where a run was asked to and the reason still holds; what was done, in words."""
    named = tags.get(ROLLBACK)
    if named is None or tags.get(MODEL) != model.name:
        return None
    leaves = ModelVersion.parse(named)
    mine = (pl.col("asset") == model.outcome_table) & (pl.col("check") == CHECK) & (pl.col("state") == "failed")
    held_ = states(lake).rows(mine)
    if held_.is_empty() or named not in held_["columns"][0]:
        return f"{named} stays: {model.outcome_table} no longer says that the one before it would have been better."
    said = Decision(
        model.name, "rolled_back", 0, f"run {run_id[:8]}", held_["why"][0], leaves.number, FORMER_BETTER, run_id=run_id,
        cause=CHECK, matured=held_["day"][0],
    )  # fmt: skip
    to = _before(lake, model.name)
    try:
        number = rolled_back(lake, said, to, lambda one: assert_serves(lake, model.name, one), expected=leaves.number)
    except Conflict as error:
        return str(error)
    return f"{version_name(model.name, number)} serves again. {held_['why'][0]}"


def _before(lake: Lake, model: str) -> int | None:
    """Who served before, as it was compared: of those whose bytes are gone the one before; None where nobody ever did."""
    stands = standing(decisions(lake, model), model)
    versions = lake.read(f"{model}_model") if lake.exists(f"{model}_model") else None
    return server(model, versions, stands[1:]).number if len(stands) > 1 else None
