"""A small shop whose days arrive, are corrected and vanish at random, and its panel and features computed step by step."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from importlib import import_module
from pathlib import Path

import polars as pl

import lightkeeper as lk

FIRST = date(2024, 12, 30)  # a Monday
demand, ahead = import_module("assets.daily_demand"), import_module("assets.demand_features")
_HOLIDAYS = pl.DataFrame({"day": [FIRST + timedelta(9), FIRST + timedelta(380)], "name": ["Kings", "Fair"], "closed": [True, True]})
_LINE = {
    "day": pl.Date, "row": pl.Int64, "invoice": pl.String, "stock_code": pl.String, "description": pl.String,
    "quantity": pl.Int64, "invoiced_at": pl.Datetime("us"), "price_gbp": pl.Float64, "country": pl.String,
}  # fmt: skip


@dataclass
class Shop:
    """Sales in a lake, and the two tables that are made of them as the IO manager makes them: only what changed."""

    lake: lk.Lake
    chance: random.Random
    last: date = FIRST
    modes: dict[str, list[str]] = field(default_factory=lambda: {"daily_demand": [], "demand_features": []})

    @classmethod
    def opened(cls, folder: Path, seed: int, days: int = 30) -> Shop:
        """A shop with some days of sales, nothing computed yet."""
        shop = cls(lk.Lake(folder), random.Random(seed))  # noqa: S311 - a seed
        shop.lake.write("holidays", _HOLIDAYS)
        shop.lake.write("sales", pl.DataFrame(schema=_LINE), by="day")
        shop.arrive(days, gap=0)
        return shop

    def lines(self, day: date, pieces: dict[str, int]) -> pl.DataFrame:
        """One line a product, two of them under the code's other spelling."""
        at, chance = datetime.combine(day, datetime.min.time()), self.chance
        rows = [
            (
                day,
                n + 2,
                "536365",
                code.lower() if chance.random() < 0.3 else code,
                None,
                units,
                at,
                chance.choice([1.5, 2.25, 3.0]),
                "UK",
            )
            for n, (code, units) in enumerate(
                [*pieces.items(), *((code, -1) for code in pieces if chance.random() < 0.2), ("POST", 1)]
            )
        ]
        return pl.DataFrame(rows, schema=_LINE, orient="row")

    def put(self, days: dict[date, dict[str, int]]) -> None:
        """These files land: each day is replaced by what its file says."""
        nothing = pl.DataFrame(schema=_LINE)
        frame = pl.concat([nothing, *(self.lines(day, pieces) for day, pieces in days.items() if pieces)])
        self.lake.write("sales", frame, by="day", replace=list(days))
        self.last = max([self.last, *days])

    def sold(self) -> dict[str, int]:
        """What a day sells: some of five products."""
        return {f"1000{n}A": self.chance.randint(1, 9) for n in range(5) if self.chance.random() < 0.2 + 0.15 * n}

    def arrive(self, days: int = 1, gap: int = 0) -> None:
        """New days land in one run, after a gap."""
        self.put({self.last + timedelta(gap + n + 1): self.sold() for n in range(days)})

    def correct(self, back: int) -> None:
        """A file for an earlier day is corrected, or says that nothing was sold."""
        self.put({self.last - timedelta(back): self.sold() if self.chance.random() < 0.8 else {}})

    def step(self) -> None:
        """Something happens, at random."""
        known = (self.last - FIRST).days
        what = self.chance.choice(["next", "weekend", "several", "recent", "deep", "first"])
        if what in {"next", "weekend", "several"}:
            self.arrive({"several": 4}.get(what, 1), {"weekend": 2}.get(what, 0))
        else:
            self.correct({"recent": 3, "deep": self.chance.randrange(known), "first": known - 1}[what])

    def refresh(self) -> None:
        """Both tables, each from what changed in its inputs since it was last computed."""
        made = demand.daily_demand(self.input("daily_demand", "sales"), self.input("daily_demand", "holidays"))
        self.write("daily_demand", made, "sales", "holidays")
        made = ahead.demand_features(self.input("demand_features", "daily_demand"), self.input("demand_features", "holidays"))
        self.write("demand_features", made, "daily_demand", "holidays")

    def input(self, consumer: str, table: str) -> lk.TableInput:
        """An input as the IO manager gives it."""
        now = self.lake.version(table)
        if not self.lake.exists(consumer):
            return lk.TableInput(now, self.lake.read(table, now))
        inputs = self.lake.history(consumer, 1)[0].inputs
        before = next(one.version for one in inputs if one.version.table == table)
        changed = self.lake.changed(table, before.version, now.version)
        return lk.TableInput(now, self.lake.read(table, now), before, changed, self.lake)

    def write(self, table: str, made: lk.TableOutput, *inputs: str) -> None:
        """Commit as the IO manager does."""
        versions = [self.lake.version(name) for name in inputs]
        self.lake.write(table, made.frame, inputs=versions, replace=made.days, by="day")
        self.modes[table].append("whole" if made.days is None else "days")

    def whole(self) -> dict[str, pl.DataFrame]:
        """Both tables computed from scratch from the sales as they are."""
        sales, holidays = self.lake.read("sales"), self.lake.read("holidays")
        panel = demand.panel(sales, holidays, None)
        return {"daily_demand": panel, "demand_features": ahead.features(panel, holidays.collect(), panel["day"].max())}

    def rows(self, table: str) -> pl.DataFrame:
        """A table in the order of its key."""
        return self.lake.read(table).collect().sort("product", "day")
