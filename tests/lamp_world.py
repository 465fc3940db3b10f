"""A shop of lamps that goes on day by day, with the real sensors on a simulated clock: what the stories of retraining play in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import dagster as dg
import dataframely as dy
import polars as pl

import lightkeeper as lk
from lightkeeper.home import HomeRecord
from lightkeeper.lake.table import Lake
from lightkeeper.orchestrate.running import DAGSTER_YAML, materialize, others
from lightkeeper.orchestrate.sensing import SENSED, Sensed, Senses
from tests.lightkeeper.lamps import AHEAD, FIRST, LAMPS, table

Change = Callable[[pl.DataFrame, date], pl.DataFrame]  # rows and the day of the break -> other rows

QUICK = replace(
    LAMPS,
    features=("weekday", "price", "open", "wick", "catalogue"),
    owners=("team:lamps",),
    retrain_if=lk.Retrain(fresh_days=4, cool_down_days=3),
)
HISTORY = 120  # days


class WorldFeatures(dy.Schema):
    """What the lamps learn from."""

    shop = dy.String(primary_key=True)
    lamp = dy.String(primary_key=True)
    day = dy.Date(primary_key=True)
    weekday = dy.Int64(metadata={"known_ahead": True})
    price = dy.Float64(metadata={"known_ahead": True})
    open = dy.Bool(metadata={"known_ahead": True})
    wick = dy.String(metadata={"known_ahead": True})
    catalogue = dy.Int64(metadata={"known_ahead": True})
    units = dy.Int64(nullable=True)


def nothing(rows: pl.DataFrame, _: date) -> pl.DataFrame:
    return rows


def new_normal(rows: pl.DataFrame, since: date) -> pl.DataFrame:
    """A new catalogue, and with it another level of what is sold: a change that can be learnt."""
    after = pl.col("day") >= since
    return rows.with_columns(
        pl.when(after).then(2).otherwise(1).cast(pl.Int64).alias("catalogue"),
        pl.when(after).then(pl.col("units") * 2 + 15).otherwise(pl.col("units")).alias("units"),
    )


def hopeless(rows: pl.DataFrame, since: date) -> pl.DataFrame:
    """What is sold has nothing to do with anything any more."""
    noise = (pl.struct("day", "shop", "lamp").hash(seed=3) % 40).cast(pl.Int64) + 10
    return rows.with_columns(pl.when(pl.col("day") >= since).then(noise).otherwise(pl.col("units")).alias("units"))


def poisoned(rows: pl.DataFrame, since: date) -> pl.DataFrame:
    """One day is senseless."""
    return rows.with_columns(pl.when(pl.col("day") == since).then(pl.col("price") * 1000).otherwise(pl.col("price")).alias("price"))


@dataclass
class World:
    """One home: the days that are known, what changes after them, and what acts."""

    root: Path
    change: Change = nothing
    model: lk.Model = QUICK
    seed: int = 5
    known: int = HISTORY
    mended: bool = False
    fails: bool = False
    senses: Senses = field(init=False)

    @classmethod
    def again(cls, root: Path, change: Change, model: lk.Model) -> World:
        """A world that was built before, in a home of its own."""
        return cls(root, change, model)

    def __post_init__(self) -> None:
        self.home, there = lk.Home(self.root), (self.root / "home.json").exists()
        if not there:
            self.home.create(HomeRecord("sample", "lamps", 0, FIRST, self.morning()))
            (self.home.dagster / "dagster.yaml").write_text(DAGSTER_YAML)
        self.instance = dg.DagsterInstance.from_config(str(self.home.dagster))
        self.defs = self.declared()
        if not there:
            materialize(self.defs, self.instance, others(self.defs))
        explanation = frozenset([dg.AssetKey(self.model.explanation_table)])
        self.senses = Senses(self.defs, self.instance, SENSED, explanation)

    @property
    def breaks(self) -> date:
        """The first day after the history."""
        return FIRST + timedelta(HISTORY)

    @property
    def lake(self) -> Lake:
        return Lake(self.home.lake, clock=self.home.now)

    def morning(self) -> datetime:
        return datetime.combine(FIRST + timedelta(self.known), time(6), UTC)

    def declared(self) -> dg.Definitions:
        @dg.asset(name="lamp_features", owners=["team:oil"], metadata=lk.about(WorldFeatures, by="day"))
        def features() -> pl.DataFrame:
            if self.fails:
                raise RuntimeError("the shop is on fire")
            rows = table(self.seed, 400, 0).drop("sold").with_columns(pl.lit(1, pl.Int64).alias("catalogue"))
            changed = rows if self.mended else self.change(rows, self.breaks)
            today = FIRST + timedelta(self.known)
            there = changed.filter(pl.col("day") < today + timedelta(AHEAD))
            known = pl.when(pl.col("day") < today).then(pl.col("units")).alias("units")
            return there.with_columns(known).sort("day", "shop", "lamp")

        return lk.project(self.root, assets=[features], models=[self.model], home=self.home)

    def pass_days(self, days: int = 1) -> list[Sensed]:
        """Days pass, their outcomes are known, everything is made and looked at; what the sensors then asked for."""
        self.made(days)
        return list(self.senses.settle())

    def made(self, days: int = 1) -> None:
        """The same, before a sensor ticks."""
        self.turn(days)
        names = ("lamp_features", self.model.forecast_table, self.model.outcome_table)
        materialize(self.defs, self.instance, [dg.AssetKey(name) for name in names])

    def turn(self, days: int = 1) -> None:
        """The clock alone moves on."""
        self.known += days
        with self.home.landing_lock():
            self.home.move_clock(self.morning())
