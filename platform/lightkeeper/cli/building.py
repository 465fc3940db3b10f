"""Building a home: the sample released step by step and materialized, resumable. It starts no server and prints nothing itself."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

from lightkeeper.cli.project import Project, Sample
from lightkeeper.errors import Refused
from lightkeeper.home import Home

if TYPE_CHECKING:
    import dagster as dg

    from lightkeeper.orchestrate.running import Ran

__all__ = ["ONE_BY_ONE", "Built", "Step", "Tell", "build", "create", "land_next", "report"]

ONE_BY_ONE = 28  # calendar days before the held-back ones that are landed one after the other
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
        for name in ("sales", "holidays"):
            (home.landing / name).mkdir(parents=True, exist_ok=True)
    else:
        project.sample.create(home, sample, today)
    return True


def build(project: Project, home: Home, tell: Tell) -> Built:
    """Bring a home to where its clock should stand. Run again, it goes on from what is there.

    A sample home: everything but the last 56 calendar days in one run, then each of the next 28 days in a run of its own,
    as they would have come; the last 28 are held back. A home of one's own data: every file that lies there, in one run.
    """
    with home.landing_lock():
        site = _site(project, home, tell)
        if home.record.kind == "own":
            _land_all(site, _days_with_files(home))
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
    history, singles = days[:-ONE_BY_ONE], days[-ONE_BY_ONE:]
    if _done(home) is None:
        site.tell(Step(f"writing the files of {len(history)} days", 0, len(history)))
        sample.release(home, history)
        _advance(home, history[-1])
        _land_all(site, history)
    _land_each(site, sample, singles)


def _land_all(site: _Site, days: list[date]) -> None:
    """Land all days in one run, then make everything that depends on them in another."""
    from lightkeeper.orchestrate.running import landed, materialize, others

    with site.built.timed("history"):
        site.tell(Step(f"landing {len(days)} days", 0, len(days)))
        site.built.add(materialize(site.defs, site.instance, landed(site.defs), (days[0], days[-1])), len(days))
        site.tell(Step("features, model, forecast", 0, len(days)))
        site.built.add(materialize(site.defs, site.instance, others(site.defs)), 0)
        _note(site.home, days[-1])
        site.tell(Step(f"landed {len(days)} days", len(days), len(days)))


def _land_each(site: _Site, sample: Sample, days: list[date]) -> None:
    """Each day of trade on its own: landed, features of what is new, a forecast by the model that is there."""
    from lightkeeper.orchestrate.running import materialize, refreshed

    done = _done(site.home)
    todo = [day for day in days if done is None or day > done]
    if not todo:
        return
    trading, keys = set(sample.trading_days(site.home)), refreshed(site.defs)
    with site.built.timed("day by day"):
        for number, day in enumerate(todo):
            site.tell(Step(f"{day:%a %d %b %Y}", number, len(todo)))
            if day in trading:
                sample.release(site.home, [day])
                _advance(site.home, day)
                site.built.add(materialize(site.defs, site.instance, keys, (day, day)), 1)
            _note(site.home, day)
        site.tell(Step(_count(len(todo), "day") + " landed", len(todo), len(todo)))


def _days_with_files(home: Home) -> list[date]:
    from lightkeeper.lake.landing import part_of

    found = {part_of(path.name) for path in home.landing.glob("*/*")}
    days = sorted(day for day in found if day and day <= home.now().date())  # a day to come is a slip of somebody's hand
    if not days:
        raise Refused(f"No file in {home.landing} has a day in its name. Put files there, such as sales/sales-2026-10-23.csv.")
    return days


def land_next(project: Project, home: Home, count: int, tell: Tell, *, only_files: bool = False) -> tuple[Built, list[date]]:
    """Land the next `count` held-back days that have sales, one after the other, and move the clock.

    With `only_files` the files are put into the landing folder and the sensor does the rest.
    Raises Refused when none is left.
    """
    sample = project.sample
    with home.landing_lock():
        now = home.now().date()
        days = [day for day in sample.trading_days(home) if day >= now][:count]
        if not days:
            raise Refused(f"Every day of the sample has landed; the clock of {home.root} stands at {now}. A new home starts anew.")
        if only_files:
            sample.release(home, days)
            _advance(home, days[-1])
            _note(home, days[-1])
            return Built(), days
        site = _site(project, home, tell)
        _land_each(site, sample, days)
    return site.built, days


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


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
