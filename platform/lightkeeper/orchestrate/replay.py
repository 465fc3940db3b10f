"""A scenario played in a home of its own: its files arrive, days are landed and looked at, in the order of its clock.

Owns the order of things and the clock of the home. What is landed and judged is the project's own code; what is noticed is read
from the verdicts. Nobody here knows the scenario's truth.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta

import dagster as dg
import polars as pl

from lightkeeper.alerts.kept import alerts
from lightkeeper.home import Home, HomeRecord
from lightkeeper.lake.table import Lake
from lightkeeper.lake.verdicts import verdicts
from lightkeeper.models.decisions import decisions
from lightkeeper.orchestrate.running import checked, landed, materialize, others, refreshed
from lightkeeper.orchestrate.scenario import ScenarioDay, Script
from lightkeeper.orchestrate.sensing import Senses
from lightkeeper.values import BAD

__all__ = ["Ledgers", "Moment", "arrive", "begin", "clock", "order", "play", "settle"]

_LOOK = time(8)  # of the next day: somebody asks whether the day is there
_SEEN = ["asset", "check", "column", "segment", "state", "kind", "measured", "limit", "n", "why", "day"]


@dataclass(frozen=True, slots=True)
class Moment:
    """One run of a scenario.

    Attributes:
        at: by the home's clock, UTC.
        day: that landed; None where it was only looked whether something had.
        noticed: a row a verdict that is bad: asset, check, column, segment, state, kind, measured, limit, n, why, day.
        decided: the rows that the ledger of decisions got meanwhile.
        told: the alerts that were raised or solved meanwhile, a row an event.
    """

    at: datetime
    day: date | None
    noticed: pl.DataFrame = field(repr=False)
    decided: pl.DataFrame = field(default_factory=pl.DataFrame, repr=False)
    told: pl.DataFrame = field(default_factory=pl.DataFrame, repr=False)


def begin(home: Home, name: str, script: Script) -> HomeRecord:
    """Make the scenario's home, with the files of its quiet history in the landing folder and the clock behind them.

    Raises Refused: a home is there already.
    """
    first = script.days[0].day
    record = home.create(HomeRecord.of_scenario(name, first, datetime.combine(first, time(), UTC)))
    for day in script.days:
        if day.day < script.turns:
            arrive(home, day)
    clock(home, datetime.combine(script.turns, _LOOK, UTC) - timedelta(hours=1))
    return record


def settle(defs: dg.Definitions, instance: dg.DagsterInstance, script: Script, only: Iterable[dg.AssetKey] | None = None) -> None:
    """Land the quiet history in one run, and make what depends on it in another; `only`: of that these assets."""
    days = [one.day for one in script.days if one.day < script.turns]
    materialize(defs, instance, landed(defs), (days[0], days[-1]))
    wanted = others(defs) if only is None else frozenset(only)
    if wanted:
        materialize(defs, instance, wanted)


def play(  # noqa: PLR0913 - a story's parts
    defs: dg.Definitions,
    instance: dg.DagsterInstance,
    home: Home,
    script: Script,
    only: Iterable[dg.AssetKey] | None = None,
    *,
    senses: Senses | None = None,
) -> Iterator[Moment]:
    """Land each day after the history when its files arrive; where a day brought none, look at what is there.

    Args:
        defs: of the project.
        instance: of Dagster, for the home.
        home: of the scenario, begun and settled.
        script: whose days are played.
        only: of what a landing refreshes, these assets; by default all but explanations.
        senses: the project's sensors, which act after each landing and each look; without them nothing acts.
    """
    keys = refreshed(defs, explained=False) if only is None else landed(defs) | frozenset(only)
    ledgers = Ledgers(Lake(home.lake, clock=home.now))
    for at, day in order(script):
        clock(home, at)
        if day is None:
            run = checked(defs, instance, _checks(defs))
        else:
            arrive(home, day)
            run = materialize(defs, instance, keys, (day.day, day.day)).run_id
        runs = {run, *(one.run_id for one in (senses.settle() if senses else ()))}
        yield Moment(at, None if day is None else day.day, ledgers.noticed(runs), *ledgers.since())


def order(script: Script) -> Iterator[tuple[datetime, ScenarioDay | None]]:
    """When files arrive and when somebody looks, in the order of the clock; a look after a day that came is left out."""
    later = [day for day in script.days if day.day >= script.turns]
    arriving = [(day.arrives, day) for day in later if day.arrives is not None]
    looks = [(datetime.combine(day.day + timedelta(1), _LOOK, UTC), None) for day in later]
    since = 0
    for at, day in sorted([*arriving, *looks], key=lambda one: (one[0], one[1] is None)):
        if day is None and since:
            since = 0
            continue
        since += 1 if day is not None else 0
        yield at, day


class Ledgers:
    """What the ledgers got since they were last asked."""

    def __init__(self, lake: Lake) -> None:
        self.lake = lake
        self.seen = (decisions(lake).height, alerts(lake).rows().height)

    def noticed(self, runs: Iterable[str | None]) -> pl.DataFrame:
        """The bad verdicts of some runs."""
        bad = pl.col("state").is_in(BAD)
        mine = pl.col("run_id").is_in([run for run in runs if run])
        return verdicts(self.lake).rows(mine & bad).select(_SEEN)

    def since(self) -> tuple[pl.DataFrame, pl.DataFrame]:
        """New rows of decisions, and of alerts raised or solved."""
        rows, told = decisions(self.lake), alerts(self.lake).rows()
        before, self.seen = self.seen, (rows.height, told.height)
        new = told.slice(before[1]).filter(pl.col("event").is_in(["raised", "solved"]))
        titles = told.filter(pl.col("event") == "raised").select("key", title="symptom")
        return rows.slice(before[0]), new.join(titles, on="key", how="left", maintain_order="left")


def _checks(defs: dg.Definitions) -> set[dg.AssetCheckKey]:
    """The checks of the landed tables."""
    keys = landed(defs)
    return {
        key for key in defs.resolve_asset_graph().asset_check_keys if key.asset_key in keys and key.name != "every_file_was_read"
    }


def arrive(home: Home, day: ScenarioDay) -> None:
    """A day's files come."""
    for name, content in day.files.items():
        place = home.landing / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)


def clock(home: Home, at: datetime) -> None:
    """It is so late, and never earlier than it was."""
    with home.landing_lock():
        home.move_clock(max(at, home.now()))
