"""The sensor `arrivals`: asks for landing what is new in the landing folders, each content once. It lands nothing.

A tick looks at names, sizes and times of the files; only when they differ from the last tick's does it hash the new ones and
read the ledger of files. A file is asked for when two ticks in a row saw it unchanged, so that none is read half written.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date, timedelta
from pathlib import Path

import dagster as dg
import polars as pl

from lightkeeper.home import Home
from lightkeeper.lake.landing import Arrival, newest_for_each_part, scan
from lightkeeper.lake.table import Lake
from lightkeeper.models.model import Model
from lightkeeper.orchestrate.landing import Landing, files_ledger

__all__ = ["ATTEMPTS", "Cursor", "Wanted", "arrivals_sensor", "look"]

ATTEMPTS = 3  # runs that one file gets when they fail for another reason than the file itself
_NEIGHBOURS = timedelta(4)  # days apart at most for two files to land in one run
_ARRIVAL = "lightkeeper/arrival"
_START, _END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"


@dataclass(frozen=True)
class Cursor:
    """What the sensor remembers of one folder.

    Attributes:
        looks: digest of the folder as last seen.
        waiting: files seen once, by name, with size and time.
        asked: files asked for and not yet in the ledger, by name, with their run key.
    """

    looks: str = ""
    waiting: Mapping[str, str] = field(default_factory=dict)
    asked: Mapping[str, str] = field(default_factory=dict)

    @property
    def idle(self) -> bool:
        """Whether nothing is under way."""
        return not self.waiting and not self.asked


@dataclass(frozen=True)
class Wanted:
    """A run to ask for: the files that it lands, in the order of their days, and the key by which it is asked once."""

    files: tuple[str, ...]
    first: date
    last: date
    key: str


def look(
    seen: Sequence[Arrival],
    before: Cursor,
    ledger: Callable[[], pl.DataFrame],
    read: Callable[[str], bytes],
    failed: Callable[[str], bool],
) -> tuple[list[Wanted], Cursor]:
    """One look at a folder: what to ask for now, and what to remember. Edges only: a second look asks for nothing.

    Args:
        seen: the files now.
        before: what the last look remembered.
        ledger: gives the files that were looked at (columns file, part, bytes, mtime_ns, state, sha256), read only on change.
        read: gives the bytes of a file by name.
        failed: whether the run of a key ended without success.
    """
    looks = _digest(seen)
    if looks == before.looks and before.idle:
        return [], before
    known = ledger()
    recorded = set(known.select("file", "bytes", "mtime_ns").iter_rows())
    speaking, _ = newest_for_each_part(seen)
    fresh = {one.name: one for one in speaking if one.part and (one.name, one.size, one.mtime_ns) not in recorded}
    asked = {name: key for name, key in before.asked.items() if name in fresh}
    steady = [one for one in fresh.values() if one.name not in asked and before.waiting.get(one.name) == _look_of(one)]
    again = _asked_again(asked, fresh, failed)
    wanted = [*again, *_asked_first(steady, known, read)]
    asked |= {name: run.key for run in wanted for name in run.files}
    settled = {one.name for one in steady} | set(asked)
    waiting = {name: _look_of(one) for name, one in fresh.items() if name not in settled}
    return wanted, Cursor(looks, waiting, asked)


def _asked_again(asked: Mapping[str, str], fresh: Mapping[str, Arrival], failed: Callable[[str], bool]) -> list[Wanted]:
    """Runs whose last attempt failed and whose files are not in the ledger, ATTEMPTS times in all."""
    runs: list[Wanted] = []
    for key in sorted(set(asked.values())):
        stem, _, attempt = key.rpartition("#")
        if int(attempt) < ATTEMPTS and failed(key):
            files = [fresh[name] for name, its in asked.items() if its == key]
            runs.append(_wanted(files, f"{stem}#{int(attempt) + 1}"))
    return runs


def _asked_first(steady: Iterable[Arrival], known: pl.DataFrame, read: Callable[[str], bytes]) -> list[Wanted]:
    """Runs for files whose content is not what their day has already; neighbouring days land in one run."""
    groups: list[list[tuple[Arrival, str]]] = []
    for one in sorted(steady, key=_day):
        content = _new_content(one, known, read)
        if content is None:
            continue
        if groups and _day(one) - _day(groups[-1][-1][0]) <= _NEIGHBOURS:
            groups[-1].append((one, content))
        else:
            groups.append([(one, content)])
    return [_wanted([one for one, _ in group], f"{_short('|'.join(said for _, said in group))}#1") for group in groups]


def _new_content(one: Arrival, known: pl.DataFrame, read: Callable[[str], bytes]) -> str | None:
    """Day, content, and how often the day was spoken for, so that a correction taken back is asked for again."""
    sha256 = hashlib.sha256(read(one.name)).hexdigest()
    day = known.filter(pl.col("part") == one.part)
    spoken = day.filter(pl.col("state") == "landed")
    if spoken.height and spoken["sha256"][-1] == sha256:
        return None
    return f"{one.part}:{sha256}:{day.height}"


def _wanted(files: Sequence[Arrival], key: str) -> Wanted:
    ordered = sorted(files, key=_day)
    return Wanted(tuple(one.name for one in ordered), _day(ordered[0]), _day(ordered[-1]), key)


def _day(one: Arrival) -> date:
    return one.part or date.min


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _digest(seen: Iterable[Arrival]) -> str:
    text = "\n".join(f"{one.name} {_look_of(one)}" for one in sorted(seen, key=lambda one: one.name))
    return hashlib.sha256(text.encode()).hexdigest()


def _look_of(one: Arrival) -> str:
    return f"{one.size} {one.mtime_ns} {one.ctime_ns}"


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
        target=dg.AssetSelection.assets(*(one.name for one in landings)).downstream(),
        minimum_interval_seconds=5,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="New files in the landing folders: asks to land each once, and to refresh what depends on it.",
    )
    def arrivals(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        if home.landing_is_busy():
            return dg.SkipReason("A command is landing files into this home.")
        lake, remembered = open_lake(), _load(context.cursor)
        requests: list[dg.RunRequest] = []
        cursors: dict[str, Cursor] = {}
        for landing in landings:
            wanted, cursors[landing.name] = _look_at(landing, home, lake, remembered.get(landing.name, Cursor()), context)
            keys = _keys(context, landing, [model for model in models if lake.exists(model.model_table)])
            requests += [_request(landing, run, keys) for run in wanted]
        cursor = json.dumps({name: asdict(one) for name, one in cursors.items()})
        if not requests:
            waiting = [name for one in cursors.values() for name in one.waiting]
            why = f"Seen once, waiting until unchanged: {', '.join(waiting[:5])}." if waiting else "Nothing new has arrived."
            return dg.SensorResult(skip_reason=why, cursor=cursor)
        return dg.SensorResult(run_requests=requests, cursor=cursor)

    return arrivals


def _load(cursor: str | None) -> dict[str, Cursor]:
    return {name: Cursor(**one) for name, one in json.loads(cursor or "{}").items()}


def _look_at(
    landing: Landing, home: Home, lake: Lake, before: Cursor, context: dg.SensorEvaluationContext
) -> tuple[list[Wanted], Cursor]:
    folder: Path = landing.place(home)

    def failed(key: str) -> bool:
        runs = context.instance.get_runs(dg.RunsFilter(tags={_ARRIVAL: key}), limit=1)
        return bool(runs) and runs[0].is_finished and not runs[0].is_success

    def ledger() -> pl.DataFrame:
        return files_ledger(lake).rows().filter(pl.col("asset") == landing.name)

    seen = scan(folder) if folder.is_dir() else []
    return look(seen, before, ledger, lambda name: (folder / name).read_bytes(), failed)


def _keys(context: dg.SensorEvaluationContext, landing: Landing, trained: Iterable[Model]) -> list[dg.AssetKey]:
    graph = context.repository_def.asset_graph if context.repository_def else None
    if graph is None:
        return []
    depends = dg.AssetSelection.assets(landing.name).downstream() | dg.AssetSelection.assets(landing.rejected)
    left_out = {dg.AssetKey(model.model_table) for model in trained}
    return sorted(depends.resolve(graph) - left_out)


def _request(landing: Landing, run: Wanted, keys: Sequence[dg.AssetKey]) -> dg.RunRequest:
    return dg.RunRequest(
        run_key=f"{landing.name}:{run.key}",
        asset_selection=list(keys),
        tags={
            _START: run.first.isoformat(),
            _END: run.last.isoformat(),
            "lightkeeper/landing": landing.name,
            _ARRIVAL: run.key,
        },
    )
