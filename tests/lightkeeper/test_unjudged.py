"""A look that could not judge: nothing is solved by it, no episode ends, and the version is looked at again."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
import dataframely as dy
import polars as pl

from lightkeeper.alerts.kept import standing
from lightkeeper.lake.table import Lake
from lightkeeper.lake.verdicts import Judged, record, states
from lightkeeper.models.decisions import decisions
from lightkeeper.models.retraining import decide
from lightkeeper.orchestrate.attempting import _unlooked
from lightkeeper.orchestrate.checks import Plan, look
from lightkeeper.orchestrate.landing import Landing
from lightkeeper.orchestrate.retraining import _note
from lightkeeper.values import Decision, TableVersion, Verdict
from lightkeeper.watch.drawing import Watched
from lightkeeper.watch.situation import Learner, situations
from tests.clock import Clock
from tests.lightkeeper.lamps import LAMPS

FIRST = date(2026, 3, 2)
MISSES = Verdict("accuracy", "failed", "The loss is 2.1 x the backtest's.", 2.1, 1.3, 14)
GOOD = Verdict("accuracy", "passed", "The loss is 1.0 x the backtest's.", 1.0, 1.3, 14)
AGE = Verdict("unlearnt", "passed", "3 days more.", 3.0, 91.0, 3)
NEITHER = tuple(Verdict(check, "unknown", "lamps_outcome could not be judged: a timeout.") for check in ("accuracy", "unlearnt"))


class Watch:
    """A lake whose outcomes are looked at once a day, and the sensor's look after it."""

    def __init__(self, folder: Path) -> None:
        self.clock = Clock(datetime(2026, 3, 3, 6, tzinfo=UTC))
        self.lake, self.days = Lake(folder, clock=self.clock), 0

    def day(self, *verdicts: Verdict) -> Decision:
        version, day = TableVersion("lamps_outcome", self.days), FIRST + timedelta(self.days)
        failed = all(one.state == "unknown" for one in verdicts)
        record(self.lake, [Judged(version, None if failed else day, verdicts=verdicts)])
        state = situations(self.lake, [Learner(LAMPS, ("lamp_features",))])["lamps"]
        said = decide(state)
        _note(self.lake, LAMPS, state, said)
        self.days += 1
        self.clock.now += timedelta(days=1)
        return said

    def told(self) -> list[tuple[str, str]]:
        return standing(self.lake).select("episode", "state").rows()


def test_an_alert_stays_open_over_a_look_that_could_not_judge_and_the_episode_goes_on(tmp_path: Path) -> None:
    watch = Watch(tmp_path)
    first = watch.day(AGE, MISSES)
    (told,) = watch.told()
    watch.day(*NEITHER)
    assert watch.told() == [told]
    assert told[1] == "open"
    assert watch.day(AGE, MISSES).episode == first.episode
    assert watch.told() == [told]
    watch.day(AGE, GOOD)
    assert watch.told() == [(told[0], "solved")]


def test_a_rest_begins_on_a_known_day_though_its_first_look_could_not_judge(tmp_path: Path) -> None:
    watch = Watch(tmp_path)
    watch.day(AGE, MISSES)
    watch.day(*NEITHER)
    assert decisions(watch.lake)["code"].to_list()[-1] != "nothing_asks"
    watch.day(AGE, GOOD)
    assert decisions(watch.lake)["matured"].to_list()[-1] == FIRST + timedelta(2)


def test_a_version_whose_look_failed_is_looked_at_again_before_a_training(tmp_path: Path) -> None:
    lake, version = Lake(tmp_path), TableVersion("sales", 3)
    record(lake, [Judged(version, verdicts=tuple(Verdict(one, "unknown", "A timeout.") for one in ("contract", "nulls")))])
    assert _unlooked(lake, [version]) == [version]
    record(lake, [Judged(version, FIRST, verdicts=(Verdict("nulls", "passed", "None.", 0.0, 0.1, 9),))])
    assert _unlooked(lake, [version]) == []


class Order(dy.Schema):
    day = dy.Date()
    row = dy.Int64()
    pieces = dy.Int64()


def test_a_table_whose_first_day_is_not_over_does_not_say_that_none_has_landed(tmp_path: Path) -> None:
    lake = Lake(tmp_path, clock=Clock(datetime(2026, 3, 2, 6, tzinfo=UTC)))
    version = lake.write("orders", pl.DataFrame({"day": [FIRST], "row": [1], "pieces": [3]}), by="day")
    landing = Landing(name="orders", contract=Order, folder="orders")
    checks = ("contract", "volume")
    look(Plan(dg.AssetKey("orders"), "orders", "orders", checks, Watched("orders", "day"), landing), lake, version, "run")
    held = states(lake).rows(pl.col("check").is_in(checks))
    assert held["why"].unique().to_list() == ["orders@0 has no day before 2026-03-02: there is nothing to judge."]
