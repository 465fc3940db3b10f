"""A lake with one table of orders that is looked at day by day, for tests of what a look finds."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from lightkeeper.lake.table import Lake
from lightkeeper.lake.verdicts import Judged, record
from lightkeeper.values import Verdict
from lightkeeper.watch.drawing import Watched
from lightkeeper.watch.tables import look

__all__ = ["FIRST", "HISTORY", "ROWS", "WATCHED", "Shop", "day_of"]

FIRST = date(2025, 1, 6)
HISTORY = 60
ROWS = 200
WATCHED = Watched("orders", "day")


def day_of(number: int, seed: int = 1, shift: float = 0.0) -> pl.DataFrame:
    """One day's rows: a number, a text of few values, a number that a unit makes unique."""
    random = np.random.default_rng([seed, number + 1000])
    return pl.DataFrame({
        "day": [FIRST + timedelta(number)] * ROWS,
        "size": random.normal(100 + shift, 10, ROWS),
        "shop": random.choice(["north", "south", "east"], ROWS),
        "code": [f"{number:04}{place:04}" for place in range(ROWS)],
    })  # fmt: skip


class Shop:
    """A lake with one table, and the day that it is."""

    def __init__(self, folder: Path, watched: Watched = WATCHED, history: int = HISTORY) -> None:
        self.today, self.watched = FIRST + timedelta(history), watched
        self.lake = Lake(folder, clock=lambda: datetime.combine(self.today, datetime.min.time(), UTC))
        if history and not self.lake.exists("orders"):
            self.lake.write("orders", pl.concat([day_of(number) for number in range(history)]), by="day")
            self.look()

    def look(self, promoted: datetime | None = None) -> list[Judged]:
        found = look(self.lake, self.watched, self.lake.version("orders"), promoted=promoted).judged
        record(self.lake, found)
        return list(found)

    def land(self, rows: pl.DataFrame) -> list[Verdict]:
        """A day arrives and is looked at; the verdicts on it."""
        day = rows["day"][0]
        self.today = day + timedelta(1)
        self.lake.write("orders", rows, by="day", replace=[day])
        return list(self.look()[-1].verdicts)
