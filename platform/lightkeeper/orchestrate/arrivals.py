"""The sensor `arrivals`: asks for landing what is new in the landing folders, each content once. It lands nothing.

What a look at a folder decides stands in `looks`; here are Dagster's side of it, and the words for those who read the tick.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date
from functools import partial
from pathlib import Path

import dagster as dg
import polars as pl

from lightkeeper.errors import escaped
from lightkeeper.home import Home
from lightkeeper.lake.landing import Arrival, scan
from lightkeeper.lake.table import Lake
from lightkeeper.models.model import Model
from lightkeeper.orchestrate.landing import Landing, files_ledger
from lightkeeper.orchestrate.looks import ATTEMPTS, Cursor, Wanted, look, look_of
from lightkeeper.orchestrate.running import WRITES

__all__ = ["ARRIVAL", "ATTEMPTS", "Cursor", "Wanted", "arrivals_sensor", "look"]

_NAMED = 5  # files in a message
ARRIVAL, _LANDING = "lightkeeper/arrival", "lightkeeper/landing"
_START, _END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"


def arrivals_sensor(
    landings: Sequence[Landing], models: Sequence[Model], home: Home, open_lake: Callable[[], Lake]
) -> dg.SensorDefinition:
    """The sensor over some landings. A run lands its days and refreshes what depends on them; a model that exists is not retrained.

    Args:
        landings: the folders.
        models: whose training is left out once they have a version.
        home: whose landing lock keeps the sensor quiet while a command lands.
        open_lake: gives the lake, when a tick needs it.
    """

    @dg.sensor(
        name="arrivals",
        target=dg.AssetSelection.assets(*(name for one in landings for name in (one.name, one.rejected))).downstream(),
        minimum_interval_seconds=4,  # just below the five seconds of the daemon's own rounds, so that none is missed
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="New files in the landing folders: asks to land each once, and to refresh what depends on it.",
    )
    def arrivals(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        if not home.exists:
            return dg.SkipReason(home.none_yet)
        if home.landing_is_busy():
            return dg.SkipReason("A command is landing files into this home.")
        lake, remembered = open_lake(), _load(context.cursor)
        requests: list[dg.RunRequest] = []
        cursors: dict[str, Cursor] = {}
        said: list[str] = []
        for landing in landings:
            folder = _Folder.of(landing, home, context)
            wanted, cursor = _look_at(folder, landing, lake, remembered.get(landing.name, Cursor()), context)
            cursors[landing.name] = cursor
            requests += _requests(context, landing, wanted, models, lake)
            said += [*_still(cursor), *folder.said()]
        kept = json.dumps({name: asdict(one) for name, one in cursors.items()})
        if not requests:
            return dg.SensorResult(skip_reason=" ".join(said) or "Nothing new has arrived.", cursor=kept)
        return dg.SensorResult(run_requests=requests, cursor=kept)

    return arrivals


@dataclass(frozen=True)
class _Folder:
    """A landing folder as one tick finds it: the files that can be landed, and those that cannot."""

    place: Path
    files: Sequence[Arrival]
    undated: Sequence[Arrival]
    early: Sequence[Arrival]
    late: Sequence[Arrival]

    @classmethod
    def of(cls, landing: Landing, home: Home, context: dg.SensorEvaluationContext) -> _Folder:
        """One listing. A day counts from the first partition to the day of the home's clock."""
        place = landing.place(home)
        found = scan(place) if place.is_dir() else []
        first, last = _first_partition(context, landing), home.now().date()
        return cls(
            place,
            [one for one in found if one.part and first <= one.part <= last],
            [one for one in found if one.part is None],
            [one for one in found if one.part and one.part < first],
            [one for one in found if one.part and one.part > last],
        )

    def said(self) -> Iterable[str]:
        """Which files are not landed, and why."""
        if self.undated:
            yield f"Without one day (YYYY-MM-DD) in the name, and so never landed: {_names(self.undated)}."
        if self.early:
            yield f"Before the first partition, reload the code location to land them: {_names(self.early)}."
        if self.late:
            yield f"Of a day that has not come yet: {_names(self.late)}."


def _names(files: Iterable[Arrival]) -> str:
    return _listed([one.name for one in files])


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return escaped(", ".join(names[:_NAMED])) + more


def _still(cursor: Cursor) -> Iterable[str]:
    """What the sensor waits for, what it gave up, and what it passes over."""
    if cursor.waiting:
        yield f"Seen once, waiting until unchanged: {_listed(sorted(cursor.waiting))}."
    if cursor.given_up:
        yield f"Given up after {ATTEMPTS} runs that failed, touch the file to try again: {_listed(cursor.given_up)}."
    if cursor.passed_over:
        names = _listed(cursor.passed_over)
        yield f"Superseded by a later file for its day, not landed: {names}. Touch a file to let it speak for its day."


def _first_partition(context: dg.SensorEvaluationContext, landing: Landing) -> date:
    graph = context.repository_def.asset_graph if context.repository_def else None
    days = graph.get(dg.AssetKey(landing.name)).partitions_def if graph else None
    return days.start.date() if isinstance(days, dg.TimeWindowPartitionsDefinition) else date.min


def _load(cursor: str | None) -> dict[str, Cursor]:
    """What was remembered; nothing when another release wrote it: what has landed stands in the ledger anyhow."""
    try:
        return {name: Cursor(**one) for name, one in json.loads(cursor or "{}").items()}
    except (TypeError, ValueError, AttributeError):
        return {}


def _look_at(
    folder: _Folder, landing: Landing, lake: Lake, before: Cursor, context: dg.SensorEvaluationContext
) -> tuple[list[Wanted], Cursor]:
    def last(key: str) -> dg.DagsterRun | None:
        return next(iter(context.instance.get_runs(dg.RunsFilter(tags={ARRIVAL: key, _LANDING: landing.name}), limit=1)), None)

    def failed(key: str) -> bool | None:
        run = last(key)
        return not run.is_success if run is not None and run.is_finished else None

    def ledger() -> pl.DataFrame:
        return files_ledger(lake).rows().filter(pl.col("asset") == landing.name)

    deleted = [key for key in before.seen if last(key) is None]  # by a person, in Dagster's UI
    content = partial(_content, folder.place, limit=landing.max_bytes)
    wanted, cursor = look(folder.files, before.without(deleted), ledger, content, failed)
    asked = [] if cursor.idle else list(cursor.asked)
    return wanted, replace(cursor, seen=[key for key in asked if last(key) is not None])


def _content(folder: Path, one: Arrival, limit: int) -> str | None:
    """The sha256 of a file; its look where it is none that a landing reads, so that a run refuses it aloud, once."""
    path = folder / one.name
    try:
        if one.size > limit or not path.is_file():
            return f"unread {look_of(one)}"
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        return None
    except OSError:
        return f"unread {look_of(one)}"


def _requests(
    context: dg.SensorEvaluationContext, landing: Landing, wanted: Sequence[Wanted], models: Iterable[Model], lake: Lake
) -> list[dg.RunRequest]:
    if not wanted or context.repository_def is None:
        return []
    graph = context.repository_def.asset_graph
    lands = dg.AssetSelection.assets(landing.name, landing.rejected).resolve(graph)
    below = dg.AssetSelection.assets(*lands).downstream().resolve(graph)
    there = (model for model in models if lake.exists(model.model_table) and lake.commit(lake.version(model.model_table)).rows)
    keys = below - {dg.AssetKey(table) for model in there for table in model.training_tables}
    return [_request(landing, run, sorted((keys - lands if run.landed else keys) or keys)) for run in wanted]


def _request(landing: Landing, run: Wanted, keys: Sequence[dg.AssetKey]) -> dg.RunRequest:
    return dg.RunRequest(
        run_key=f"{landing.name}:{run.key}",
        asset_selection=list(keys),
        tags={_START: run.first.isoformat(), _END: run.last.isoformat(), _LANDING: landing.name, ARRIVAL: run.key} | WRITES,
    )
