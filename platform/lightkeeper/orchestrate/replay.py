"""A scenario played in a home of its own: its files arrive, days are landed and looked at, in the order of its clock.

Owns the order of things and the clock of the home. What is landed and judged is the project's own code; what is noticed is read
from the verdicts. Nobody here knows the scenario's truth.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta

import dagster as dg
import polars as pl

from lightkeeper.home import Home, HomeRecord
from lightkeeper.lake.table import Lake
from lightkeeper.lake.verdicts import verdicts
from lightkeeper.orchestrate.running import checked, landed, materialize, others, refreshed
from lightkeeper.orchestrate.scenario import ScenarioDay, Script

__all__ = ["Moment", "begin", "play", "settle"]

_LOOK = time(8)  # of the next day: somebody asks whether the day is there
_SEEN = ["asset", "check", "column", "segment", "state", "kind", "measured", "limit", "n", "why", "day"]
Keys = Callable[[dg.Definitions], Iterable[dg.AssetKey]]


@dataclass(frozen=True, slots=True)
class Moment:
    """One run of a scenario.

    Attributes:
        at: by the home's clock, UTC.
        day: that landed; None where it was only looked whether something had.
        noticed: a row a verdict that is bad: asset, check, column, segment, state, kind, measured, limit, n, why, day.
    """

    at: datetime
    day: date | None
    noticed: pl.DataFrame = field(repr=False)


def begin(home: Home, name: str, script: Script) -> HomeRecord:
    """Make the scenario's home, with the files of its quiet history in the landing folder and the clock behind them.

    Raises Refused: a home is there already.
    """
    first = script.days[0].day
    record = home.create(HomeRecord("sample", f"scenario {name}", 0, first, datetime.combine(first, time(), UTC)))
    for day in script.days:
        if day.day < script.turns:
            _arrive(home, day)
    _clock(home, datetime.combine(script.turns, _LOOK, UTC) - timedelta(hours=1))
    return record


def settle(defs: dg.Definitions, instance: dg.DagsterInstance, script: Script, only: Iterable[dg.AssetKey] | None = None) -> None:
    """Land the quiet history in one run, and make what depends on it in another; `only`: of that these assets."""
    days = [one.day for one in script.days if one.day < script.turns]
    materialize(defs, instance, landed(defs), (days[0], days[-1]))
    wanted = others(defs) if only is None else frozenset(only)
    if wanted:
        materialize(defs, instance, wanted)


def play(
    defs: dg.Definitions, instance: dg.DagsterInstance, home: Home, script: Script, only: Iterable[dg.AssetKey] | None = None
) -> Iterator[Moment]:
    """Land each day after the history when its files arrive; where a day brought none, look at what is there.

    Args:
        defs: of the project.
        instance: of Dagster, for the home.
        home: of the scenario, begun and settled.
        script: whose days are played.
        only: of what a landing refreshes, these assets; by default all but explanations.
    """
    later = [day for day in script.days if day.day >= script.turns]
    arriving = [(day.arrives, day) for day in later if day.arrives is not None]
    looks = [(datetime.combine(day.day + timedelta(1), _LOOK, UTC), None) for day in later]
    since = 0
    for at, day in sorted([*arriving, *looks], key=lambda one: (one[0], one[1] is None)):
        if day is None and since:
            since = 0
            continue
        _clock(home, at)
        if day is None:
            run = checked(defs, instance, _checks(defs))
        else:
            since += 1
            _arrive(home, day)
            keys = refreshed(defs, explained=False) if only is None else landed(defs) | frozenset(only)
            run = materialize(defs, instance, keys, (day.day, day.day)).run_id
        lake = Lake(home.lake, clock=home.now)
        bad = pl.col("state").is_in(["failed", "drifted"])
        yield Moment(at, None if day is None else day.day, verdicts(lake).rows((pl.col("run_id") == run) & bad).select(_SEEN))


def _checks(defs: dg.Definitions) -> set[dg.AssetCheckKey]:
    """The checks of the landed tables."""
    keys = landed(defs)
    return {
        key for key in defs.resolve_asset_graph().asset_check_keys if key.asset_key in keys and key.name != "every_file_was_read"
    }


def _arrive(home: Home, day: ScenarioDay) -> None:
    for name, content in day.files.items():
        place = home.landing / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)


def _clock(home: Home, at: datetime) -> None:
    with home.landing_lock():
        home.move_clock(max(at, home.now()))
