"""Tables that are late, or of which nobody knows whether they are: when they are looked at again, and what is asked for."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
import dataframely as dy
import polars as pl
import pytest

import lightkeeper as lk
from lightkeeper.alerts.kept import standing
from lightkeeper.home import HomeRecord
from lightkeeper.lake.table import Lake
from lightkeeper.lake.verdicts import Judged, record, states
from lightkeeper.measure.freshness import Usual, fresh
from lightkeeper.orchestrate import checks
from lightkeeper.orchestrate.lateness import overdue
from lightkeeper.orchestrate.running import DAGSTER_YAML, materialize
from lightkeeper.orchestrate.sensing import Sensed, Senses
from lightkeeper.values import TableVersion, Verdict
from tests.lamp_world import QUICK, WorldFeatures
from tests.lightkeeper.lamps import table

FIRST, DAYS = date(2026, 1, 1), 59
MORNING = datetime(2026, 3, 1, 6, tzinfo=UTC)


class Weather(dy.Schema):
    """What a service says of each day, and which of its answers this is."""

    day = dy.Date(primary_key=True)
    degrees = dy.Float64()
    answer = dy.Int64()


class Station:
    """A home that asks a service for the weather: each answer is another one, and none has a newer day."""

    def __init__(self, root: Path) -> None:
        self.home, self.answers, self.away = lk.Home(root), 0, False
        self.home.create(HomeRecord("sample", "weather", 0, FIRST, MORNING))
        (self.home.dagster / "dagster.yaml").write_text(DAGSTER_YAML)
        self.instance = dg.DagsterInstance.from_config(str(self.home.dagster))
        self.defs = lk.project(root, assets=[self.declared()], models=[], home=self.home)
        self.senses = Senses(self.defs, self.instance, ["freshness"])

    def declared(self) -> dg.AssetsDefinition:
        @dg.asset(name="weather", metadata=lk.about(Weather, by="day", fresh_within="26h"))
        def weather() -> pl.DataFrame:
            if self.away:
                raise OSError("the service is away")
            self.answers += 1
            days = [FIRST + timedelta(n) for n in range(DAYS)]
            rows = {"day": days, "degrees": [float(n % 7) for n in range(DAYS)], "answer": [self.answers] * DAYS}
            return pl.DataFrame(rows, schema={"day": pl.Date, "degrees": pl.Float64, "answer": pl.Int64})

        return weather

    @property
    def lake(self) -> Lake:
        return Lake(self.home.lake, clock=self.home.now)

    @property
    def state(self) -> str:
        (found,) = states(self.lake).rows(pl.col("check") == "freshness")["state"]
        return str(found)

    def later(self, by: timedelta) -> list[Sensed]:
        """Time passes; what the sensor then asks for."""
        with self.home.landing_lock():
            self.home.move_clock(self.home.now() + by)
        return list(self.senses.settle())


@pytest.fixture
def station(tmp_path: Path) -> Station:
    """A home whose newest day is in time."""
    found = Station(tmp_path / "home")
    materialize(found.defs, found.instance, [dg.AssetKey("weather")])
    assert (found.state, list(found.senses.settle())) == ("passed", [])
    return found


def failing(*_: object) -> None:
    raise OSError("the disk is away")


def test_after_a_look_that_failed_a_table_is_looked_at_again_an_hour_later_and_told_to_be_late(
    station: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(checks, "_freshness", failing)
        (look,) = station.later(timedelta(days=3))
    assert (look.failed, station.state) == (None, "unknown")
    assert station.later(timedelta(minutes=59)) == []
    asked = station.later(timedelta(minutes=1))
    assert asked[0].key.startswith("freshness:weather:")
    assert station.state == "failed"
    assert standing(station.lake).select("cause", "asset").rows() == [("freshness", "weather")]


def test_through_a_day_on_which_no_data_are_expected_a_table_is_looked_at_no_more_than_once_an_hour() -> None:
    weekdays = frozenset(range(6))  # Sundays are closed
    usual = Usual(48, 56, weekdays, dict.fromkeys(weekdays, timedelta(hours=20)), dict.fromkeys(weekdays, timedelta(hours=26)))
    friday, now = date(2026, 3, 6), datetime(2026, 3, 8, 0, 0, 10, tzinfo=UTC)

    def look() -> dict[str, object]:
        found = fresh(friday, now, usual, timedelta(days=1))
        return {"state": found.state, "measured": found.measured, "limit": found.limit, "known_at": now}

    row, looks = look(), 0
    for _ in range(24 * 60 * 4 - 1):  # ticks of that Sunday
        now += timedelta(seconds=15)
        if overdue(row, now):
            row, looks = look(), looks + 1
    assert row["state"] == "passed"
    assert looks <= 24


def test_a_late_table_that_is_another_at_each_run_is_made_once_for_one_lateness(station: Station) -> None:
    asked = station.later(timedelta(days=3))
    made = [one.key for one in asked if one.key.startswith("late:")]
    assert (made, station.answers) == (["late:weather:2026-02-28"], 2)
    assert (station.lake.version("weather").version, station.state) == (1, "failed")
    assert all(not one.key.startswith("late:") for one in station.later(timedelta(days=1)))


def test_a_late_table_whose_run_fails_is_made_three_times_at_most(station: Station) -> None:
    station.away = True
    made = [one for one in station.later(timedelta(days=3)) if one.key.startswith("late:")]
    assert [one.failed is not None for one in made] == [True] * 3
    assert len({one.key for one in made}) == 3


def test_a_lateness_that_was_told_by_a_tick_that_was_killed_is_solved_when_the_table_is_there(station: Station) -> None:
    before = dict(station.senses.cursors)
    station.later(timedelta(days=3))
    station.senses.cursors = before  # the tick told, and ended before it was remembered
    there = Verdict("freshness", "passed", "It is there.", 2.0, 26.0, 60)
    record(station.lake, [Judged(station.lake.version("weather"), date(2026, 3, 3), verdicts=(there,))])
    station.later(timedelta(0))
    assert standing(station.lake).select("cause", "state").rows() == [("freshness", "solved")]


def test_a_late_report_on_a_model_asks_for_what_it_is_made_from_and_trains_nothing(tmp_path: Path) -> None:
    @dg.asset(name="lamp_features", metadata=lk.about(WorldFeatures, by="day"))
    def features() -> pl.DataFrame:
        return table()

    @dg.asset(name="report", metadata=lk.about(Weather, by="day", fresh_within="26h"))
    def report(lamps_model: pl.LazyFrame, lamps_champion: pl.LazyFrame, lamps_outcome: pl.LazyFrame) -> pl.DataFrame:
        return pl.concat([lamps_model, lamps_champion, lamps_outcome]).collect()

    home = lk.Home(tmp_path / "home")
    home.create(HomeRecord("sample", "lamps", 0, FIRST, MORNING))
    defs = lk.project(tmp_path, assets=[features, report], models=[QUICK], home=home)
    late = Verdict("freshness", "failed", "It is over for 50 hours.", 50.0, 26.0, 60)
    record(Lake(home.lake, clock=home.now), [Judged(TableVersion("report", 0), FIRST, verdicts=(late,))])
    repository = defs.get_repository_def()
    with dg.DagsterInstance.ephemeral() as instance, dg.build_sensor_context(instance, repository_def=repository) as context:
        (asked,) = repository.get_sensor_def("freshness").evaluate_tick(context).run_requests or ()
    assert [key.to_user_string() for key in asked.asset_selection or ()] == ["lamps_outcome", "report"]
