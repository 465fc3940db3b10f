"""Verbs for stories: a home of the example company with a real Dagster instance, real files, real Delta tables."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
import polars as pl

import lightkeeper as lk
from assets import LANDINGS, MODELS, TABLES
from assets.sample import SAMPLE
from lightkeeper.lake.table import Lake
from lightkeeper.orchestrate.landing import Landing, files_ledger
from lightkeeper.orchestrate.running import DAGSTER_YAML, Ran, landed, materialize, others, refreshed

HEADER = "invoice,stock_code,description,quantity,invoiced_at,price_gbp,country\n"
TODAY = date(2026, 11, 22)


@dataclass
class Story:
    """One home and what happens in it."""

    home: lk.Home
    cursor: str | None = None
    landings: Sequence[Landing] = tuple(LANDINGS)
    defs: dg.Definitions = field(init=False)
    instance: dg.DagsterInstance = field(init=False)

    def __post_init__(self) -> None:
        self.home.dagster.mkdir(parents=True, exist_ok=True)
        (self.home.dagster / "dagster.yaml").write_text(DAGSTER_YAML)
        self.instance = dg.DagsterInstance.from_config(str(self.home.dagster))
        self.defs = lk.project(self.home.root, landings=self.landings, assets=TABLES, models=MODELS, home=self.home)

    @property
    def lake(self) -> Lake:
        """The lake of the home, with its clock."""
        return Lake(self.home.lake, clock=self.home.now)

    def put(self, name: str, text: str | bytes) -> Path:
        """A file arrives in the landing folder of the sales."""
        target = self.home.landing / "sales" / name
        target.write_bytes(text.encode() if isinstance(text, str) else text)
        return target

    def release(self, first: date, last: date) -> None:
        """The sample's files of some days arrive, and the clock moves on."""
        SAMPLE.release(self.home, [first + timedelta(n) for n in range((last - first).days + 1)])
        self.clock_after(last)

    def clock_after(self, day: date) -> None:
        """It is the morning after a day."""
        if self.home.record.kind == "sample":
            with self.home.landing_lock():
                self.home.move_clock(datetime.combine(day + timedelta(1), datetime.min.time(), UTC))

    def build(self, first: date, last: date) -> None:
        """Land a history in one run, and make everything that depends on it in another."""
        self.release(first, last)
        materialize(self.defs, self.instance, landed(self.defs), (first, last))
        materialize(self.defs, self.instance, others(self.defs))

    def build_without(self, first: date, last: date, *names: str) -> None:
        """As `build`, with some assets and what depends on them left unmade."""
        self.release(first, last)
        materialize(self.defs, self.instance, landed(self.defs), (first, last))
        below = dg.AssetSelection.assets(*names).downstream().resolve(self.defs.resolve_asset_graph())
        materialize(self.defs, self.instance, others(self.defs) - below)

    def land(self, first: date, last: date | None = None) -> Ran:
        """Land the files of some days and refresh what depends on them; models are left alone."""
        return materialize(self.defs, self.instance, refreshed(self.defs), (first, last or first))

    def only_land(self, first: date, last: date | None = None) -> Ran:
        """Land the files of some days, and nothing that depends on them."""
        return materialize(self.defs, self.instance, landed(self.defs), (first, last or first))

    def make(self, *names: str) -> Ran:
        """Materialize some assets that do not land."""
        return materialize(self.defs, self.instance, [dg.AssetKey(name) for name in names])

    def train(self) -> Ran:
        """Train a challenger on what is there."""
        return materialize(self.defs, self.instance, [dg.AssetKey("demand_model")])

    def tick(self) -> list[dg.RunRequest]:
        """One tick of the sensor `arrivals`, which goes on from the last one."""
        repository = self.defs.get_repository_def()
        context = dg.build_sensor_context(self.instance, cursor=self.cursor, repository_def=repository)
        found = repository.get_sensor_def("arrivals").evaluate_tick(context)
        self.cursor, self.skipped = found.cursor, found.skip_message
        return list(found.run_requests or [])

    def launch(self, request: dg.RunRequest) -> dg.ExecuteInProcessResult:
        """Run what a tick asked for, in this process."""
        return self.defs.resolve_implicit_global_asset_job_def().execute_in_process(
            instance=self.instance,
            asset_selection=list(request.asset_selection or []),
            tags={**request.tags, "dagster/run_key": request.run_key or ""},
            raise_on_error=False,
        )

    def arrive(self) -> list[dg.ExecuteInProcessResult]:
        """Two ticks, and what they asked for is run."""
        return [self.launch(request) for request in [*self.tick(), *self.tick()]]

    def rows(self, table: str, at: int | None = None) -> pl.DataFrame:
        """The rows of a table."""
        return self.lake.read(table, at).collect()

    def newest(self, table: str) -> str:
        """The newest version of a table, as text."""
        return str(self.lake.version(table))

    def shown(self, asset: str) -> dict[str, object]:
        """What Dagster's UI shows of the last materialization of an asset."""
        event = self.instance.get_latest_materialization_event(dg.AssetKey(asset))
        assert event is not None
        assert event.asset_materialization is not None
        return {name: value.value for name, value in event.asset_materialization.metadata.items()}

    def changed_days(self, table: str, before: int) -> set[date]:
        """The days whose rows differ between a version and the newest one."""
        old, new = self.rows(table, before), self.rows(table)
        odd = [a.join(b, on=a.columns, how="anti", nulls_equal=True)["day"] for a, b in ((old, new), (new, old))]
        return set(odd[0]) | set(odd[1])

    def files(self) -> pl.DataFrame:
        """What became of each file."""
        return files_ledger(self.lake).rows()


def new_home(folder: Path) -> lk.Home:
    """A home of the small sample in which nothing has landed."""
    home = lk.Home(folder)
    SAMPLE.create(home, "small", TODAY)
    return home


def copied(home: lk.Home, folder: Path) -> Story:
    """A story that begins where another home stands."""
    shutil.copytree(home.root, folder)
    return Story(lk.Home(folder))


def line(day: date, *, code: str = "85123A", quantity: object = 6, price: object = 2.55, invoice: str = "536365") -> str:
    """One line of a sales file."""
    return f"{invoice},{code},WHITE LANTERN,{quantity},{day} 08:26:00,{price},United Kingdom\n"
