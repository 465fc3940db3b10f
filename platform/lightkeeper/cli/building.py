"""Building a home: the sample released step by step and materialized, resumable. It starts no server and prints nothing itself."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from lightkeeper.cli.options import again
from lightkeeper.cli.project import Project, Sample
from lightkeeper.cli.show import counted
from lightkeeper.errors import Refused
from lightkeeper.home import Home

if TYPE_CHECKING:
    import dagster as dg

    from lightkeeper.orchestrate.running import Ran

__all__ = ["ONE_BY_ONE", "Built", "Step", "Tell", "build", "create", "land_next", "report"]

ONE_BY_ONE = 28  # calendar days before the held-back ones that are landed one after the other
_YEAR, _FEW = 365, 7  # of a sample of a year or less so many are
_DONE = "built.json"

Tell = Callable[["Step"], None]


@dataclass(frozen=True)
class Step:
    """Where a build is: what it does now, and how far it is (`done` of `total` days)."""

    what: str
    done: int
    total: int


@dataclass
class Built:
    """What a build did: runs, days landed, and seconds by phase."""

    runs: int = 0
    days: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)

    @contextmanager
    def timed(self, phase: str) -> Iterator[None]:
        """Add the seconds of a block to a phase."""
        started = time.monotonic()
        yield
        self.seconds[phase] = self.seconds.get(phase, 0.0) + time.monotonic() - started

    def add(self, ran: Ran, days: int) -> None:
        """Note a run that succeeded."""
        self.runs, self.days = self.runs + 1, self.days + days
        self.versions.update(ran.versions)


def create(project: Project, home: Home, sample: str, today: date) -> bool:
    """Make the home when there is none; whether it was made. `sample` is a size of the project's sample, or "none"."""
    if home.exists:
        return False
    if sample == "none":
        home.create()
    else:
        project.sample.create(home, sample, today)
    return True


def build(project: Project, home: Home, tell: Tell) -> Built:
    """Bring a home to where its clock should stand. Run again, it goes on from what is there.

    A sample home: everything but the last 56 calendar days in one run, then each of the next 28 days in a run of its own, as
    they would have come; the last 28 are held back. Of a small sample seven come one by one. A home of one's own data: every
    file that lies there, in one run. A scenario's home is as its days have left it.
    """
    if home.record.scenario is not None:
        return Built()
    with home.landing_lock():
        site = _site(project, home, tell)
        if home.record.kind == "own":
            _build_own(site)
        else:
            _build_sample(site, project.sample)
    return site.built


@dataclass(frozen=True)
class _Site:
    """Where a build works, with what, and whom it tells."""

    home: Home
    defs: dg.Definitions
    instance: dg.DagsterInstance
    built: Built
    tell: Tell


def _site(project: Project, home: Home, tell: Tell) -> _Site:
    from lightkeeper.orchestrate.running import load, ready

    built = Built()
    with built.timed("start"):
        instance = ready(home)
        defs = load(project.folder, project.module)
    return _Site(home, defs, instance, built, tell)


def _build_sample(site: _Site, sample: Sample) -> None:
    home = site.home
    days = [day for day in sample.days(home) if day < sample.held_back(home)[0]]
    begins = len(days) - (ONE_BY_ONE if len(days) > _YEAR else min(_FEW, len(days) // 2))
    history, singles = days[:begins], days[begins:]
    if _done(home) is None:
        site.tell(Step(f"writing the files of {counted(len(history), 'day')}", 0, len(history)))
        sample.release(home, history)
        _advance(home, history[-1])
        _land_all(site, history)
    _land_each(site, sample, singles)


def _land_all(site: _Site, days: list[date]) -> None:
    """Land all days in one run, then make everything that depends on them in another."""
    from lightkeeper.orchestrate.running import landed, materialize, others

    with site.built.timed("history"):
        site.tell(Step(f"landing {counted(len(days), 'day')}", 0, len(days)))
        site.built.add(materialize(site.defs, site.instance, landed(site.defs), (days[0], days[-1])), len(days))
        site.tell(Step("features, model, forecast", 0, len(days)))
        site.built.add(materialize(site.defs, site.instance, others(site.defs)), 0)
        _note(site.home, days[-1])
        site.tell(Step(f"landed {counted(len(days), 'day')}", len(days), len(days)))


def _land_each(site: _Site, sample: Sample, days: list[date]) -> None:
    """Each day of trade on its own: landed, features of what is new, a forecast by the model that is there."""
    from lightkeeper.orchestrate.running import materialize, refreshed

    done = _done(site.home)
    todo = [day for day in days if done is None or day > done]
    if not todo:
        return
    trading = set(sample.trading_days(site.home))
    newest = max((day for day in todo if day in trading), default=None)
    with site.built.timed("day by day"):
        for number, day in enumerate(todo):
            site.tell(Step(f"{day:%a %d %b %Y}", number, len(todo)))
            if day in trading:
                sample.release(site.home, [day])
                _advance(site.home, day)
                keys = refreshed(site.defs, explained=day == newest)
                site.built.add(materialize(site.defs, site.instance, keys, (day, day)), 1)
            _note(site.home, day)
        site.tell(Step(counted(len(todo), "day") + " landed", len(todo), len(todo)))


def _build_own(site: _Site) -> None:
    """Land what no run has looked at yet, then make what depends on it; models that exist are left to whoever asks."""
    from lightkeeper.orchestrate.running import beside, folders, landed, materialize, others, refreshed

    first, total = _done(site.home) is None, 0
    with site.built.timed("history"):
        for key, folder in folders(site.defs).items():
            folder.mkdir(parents=True, exist_ok=True)
            days = _new_days(site.home, key.path[-1], folder)
            if days:
                site.tell(Step(f"landing {counted(len(days), 'day')} of {key.path[-1]}", 0, len(days)))
                site.built.add(materialize(site.defs, site.instance, beside(site.defs, key), (days[0], days[-1])), len(days))
                total += len(days)
        if not total and not (first and _has_landed(site)):
            _refuse_nothing(site, first)
            return
        site.tell(Step("what depends on it", 0, total))
        keys = others(site.defs) if first else refreshed(site.defs) - landed(site.defs)
        site.built.add(materialize(site.defs, site.instance, keys), 0)
        _note(site.home, site.home.now().date())
        site.tell(Step(f"landed {counted(total, 'day')}", total, total))


def _new_days(home: Home, table: str, folder: Path) -> list[date]:
    """The days with a file that no run has looked at; a day to come is a slip of somebody's hand."""
    from lightkeeper.lake.landing import newest_for_each_part, scan
    from lightkeeper.lake.table import Lake
    from lightkeeper.orchestrate.landing import files_ledger

    rows = files_ledger(Lake(home.lake)).rows()
    known = {row[1:] for row in rows.select("asset", "file", "bytes", "mtime_ns").iter_rows() if row[0] == table}
    speaking, _ = newest_for_each_part(scan(folder))
    fresh = (one.part for one in speaking if (one.name, one.size, one.mtime_ns) not in known)
    return sorted(day for day in fresh if day and day <= home.now().date())


def _has_landed(site: _Site) -> bool:
    """Whether something landed and a build was ended before it had made what depends on it."""
    from lightkeeper.lake.table import Lake
    from lightkeeper.orchestrate.running import folders

    return any(Lake(site.home.lake).exists(key.path[-1]) for key in folders(site.defs))


def _refuse_nothing(site: _Site, first: bool) -> None:  # noqa: FBT001 - whether nothing was ever built
    if first:
        from lightkeeper.orchestrate.running import folders

        places = " or ".join(str(folder) for folder in folders(site.defs).values()) or str(site.home.landing)
        raise Refused(f"No file with a day in its name lies in {places}. Put files there, named like orders-2026-10-23.csv.")


def land_next(project: Project, home: Home, count: int, tell: Tell, *, only_files: bool = False) -> tuple[Built, list[date]]:
    """Land the next `count` held-back days that have sales, one after the other, and move the clock.

    With `only_files` the files are put into the landing folder and the sensor does the rest.
    Raises Refused when none is left, and in a home of one's own data, where files are put by hand.
    """
    if home.record.kind == "own":
        raise Refused(
            f"land-next lands the days of the sample, and {home.root} holds one's own data. Put files into "
            f"{home.landing}/<folder>, then: {again('build')}, or leave {again('up')} running, which lands what comes."
        )
    sample = project.sample
    if played := home.record.scenario:
        raise Refused(f"{home.root} is a home of the scenario {played}, which brings its own days: lightkeeper scenario {played}")
    with home.landing_lock():
        done = _done(home)
        if done is None:
            raise Refused(f"{home.root} is not built yet, or a build was ended: {again('build')} goes on with it.")
        days = [day for day in sample.trading_days(home) if day > done][:count]
        if not days:
            raise Refused(f"Every day of the sample has landed, {done} was the last. A new home starts anew: --home DIR.")
        if only_files:
            sample.release(home, days)
            _advance(home, days[-1])
            _note(home, days[-1])
            return Built(), days
        site = _site(project, home, tell)
        _land_each(site, sample, days)
    return site.built, days


def _advance(home: Home, day: date) -> None:
    """It is the morning after a day, or later if the clock stood later."""
    morning = datetime.combine(day + timedelta(1), datetime.min.time(), UTC)
    home.move_clock(max(morning, home.now()))


def _done(home: Home) -> date | None:
    """The last day whose run has succeeded."""
    try:
        return date.fromisoformat(json.loads((home.root / _DONE).read_text())["day"])
    except FileNotFoundError:
        return None


def _note(home: Home, day: date) -> None:
    temporary = home.root / f".{_DONE}"
    temporary.write_text(json.dumps({"day": day.isoformat()}))
    temporary.replace(home.root / _DONE)


def report(home: Home, built: Built) -> dict[str, object]:
    """What stands in the home now, for --json and for people."""
    return {
        "home": str(home.root),
        "kind": home.record.kind,
        "sample": home.record.sample_size,
        "shift_weeks": home.record.shift_weeks,
        "now": home.now().isoformat(),
        "runs": built.runs,
        "days": built.days,
        "seconds": {phase: round(seconds, 2) for phase, seconds in built.seconds.items()},
        "tables": list(_tables(home)),
    }


def _tables(home: Home) -> Iterator[dict[str, object]]:
    from lightkeeper.lake.table import Lake

    lake = Lake(home.lake)
    for name, version in lake.versions().items():
        made = lake.commit(version)
        yield {"table": name, "version": version.version, "rows": made.rows, "content": made.content_hash}
