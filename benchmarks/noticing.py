"""What is noticed of the scenarios, when, and what it is called: sales land day by day and are looked at as Dagster's checks do.

Each scenario has 26 quiet weeks and 12 days after them; the sales are looked at after each landing, and at 08:00 of the next day
when no file came. Seeds begin at 1,000, ten of each scenario, 40 of `campaign`; two of `lockdown` were looked at before a share of
`watch.drawing` was chosen. `campaign` counts as seen when its product is named, by its lines among the sales or by its pieces as
`watch.series` looks at them; beside it stands what one who knows the day could see (`campaign_bound`).
It is called by the kind of its bad verdicts, else by the check. Figures are shares in %; spreads are 95% Wilson intervals.
"""

from __future__ import annotations

import io
import tempfile
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import polars as pl

from assets.contracts import Sale
from assets.scenarios import SCENARIOS
from benchmarks.campaign_bound import product_of, seen_by_one_who_knows
from benchmarks.gate import wilson
from lightkeeper.lake.ledger import Ledger
from lightkeeper.lake.suspects import follow, suspects
from lightkeeper.lake.table import Lake
from lightkeeper.lake.verdicts import record
from lightkeeper.measure.contract import split
from lightkeeper.measure.freshness import span
from lightkeeper.models.forecasting import Server
from lightkeeper.models.model import Model
from lightkeeper.orchestrate.landing import files_ledger
from lightkeeper.orchestrate.scenario import Script, Settings
from lightkeeper.values import Verdict
from lightkeeper.watch.arrivals import contract, freshness
from lightkeeper.watch.drawing import Watched
from lightkeeper.watch.series import anomalous
from lightkeeper.watch.tables import look

__all__ = ["Played", "play", "run"]

SEEDS, FIRST, AFTER = 10, 1_000, 12
MORE = {"campaign": 40}  # seeds: of ten, one more or less is chance
NAMES = (
    "quiet", "season", "campaign", "lockdown", "calibration", "population", "late", "missing", "duplicates", "poison", "new-normal",
    "hopeless",
)  # fmt: skip
MODEL = Model(name="demand", table="daily", keys=("product",), time="day", target="units", features=("weekday",), horizon=28)
WATCHED = Watched("sales", "day", segments=("country",))
PROMISE, LOOK = span("30h"), time(8)
CALLED = {"calibration": "instrument", "population": "population", "late": "arrival", "missing": "arrival"}
BROKEN = (0.1, 0.2, 0.3, 0.5, 1.0)  # shares of a poisoned day's lines
SOON = {"campaign": 5, "lockdown": 5}  # days of trade: two after the third abnormal one


@dataclass
class Played:
    """What was noticed of one scenario: bad verdicts by day of trade after the history, 1 the first."""

    bad: dict[int, list[Verdict]] = field(default_factory=dict)
    days: int = 0
    broken: int = 0  # days that look broken, from which no model learns

    @property
    def first(self) -> int | None:
        """The first day with a bad verdict."""
        return min((day for day, found in self.bad.items() if found), default=None)

    @property
    def called(self) -> str:
        """What most bad verdicts call it; "nothing" without one."""
        kinds = Counter(one.kind or one.check for found in self.bad.values() for one in found)
        told = Counter({name: n for name, n in kinds.items() if name in {"instrument", "population", "arrival"}})
        return (told or kinds).most_common(1)[0][0] if kinds else "nothing"

    @property
    def drifted(self) -> set[str]:
        """The columns that drifted."""
        return {str(one.column) for found in self.bad.values() for one in found if one.check == "drift"}


def run(quick: bool) -> dict[str, Any]:  # noqa: FBT001 - the runner's own word
    """Rows of what was noticed; quick: two scenarios, one seed."""
    names, seeds = (("quiet", "poison"), 1) if quick else (NAMES, SEEDS)
    played = {name: [play(name, FIRST + seed) for seed in range(MORE.get(name, seeds))] for name in names}
    rows = [row for name, found in played.items() if name in {"quiet", "season"} for row in _alarms(name, found)]
    rows += [row for name, found in played.items() if name not in {"quiet", "season"} for row in _noticed(name, found)]
    rows += [_broken(share, seeds) for share in ((1.0,) if quick else BROKEN)]
    confusion = {name: Counter(one.called for one in found) for name, found in played.items()}
    return {"rows": [*rows, *_columns(played)], "confusion": {name: dict(counts) for name, counts in confusion.items()}}


def play(name: str, seed: int, magnitude: float | None = None, days: int = AFTER) -> Played:
    """One scenario of one seed, for some days."""
    settings = Settings(seed=seed, after_days=days, magnitude=magnitude)
    script = next(one for one in SCENARIOS if one.name == name).script(settings)
    with tempfile.TemporaryDirectory() as folder:
        found = _Shop(folder, script).played()
    if name == "campaign":  # alone what names its product counts: its lines among the sales, its pieces among the outcomes
        pieces, product = _campaign(script), product_of(script)
        for day, bad in found.bad.items():
            lines = [one for one in bad if one.check == "members" and str(one.extra["member"]).upper() == product]
            found.bad[day] = lines + [one for one in pieces.bad.get(day, []) if one.column == product]
    return found


class _Shop:
    """A lake into which a script's files land."""

    def __init__(self, folder: str, script: Script) -> None:
        self.script, self.now, self.found = script, datetime.combine(script.turns, LOOK, UTC), Played()
        self.lake = Lake(folder, clock=lambda: self.now)
        self.files: Ledger = files_ledger(self.lake)

    def played(self) -> Played:
        history = [one for one in self.script.days if one.day < self.script.turns and one.files]
        self._land([one.day for one in history], history)
        self._look(0)
        later = [one for one in self.script.days if one.day >= self.script.turns]
        events: list[tuple[datetime, Any]] = [(one.arrives, one) for one in later if one.arrives]
        events += [(datetime.combine(one.day + timedelta(1), LOOK, UTC), None) for one in later]
        fresh = False
        for at, day in sorted(events, key=lambda one: (one[0], one[1] is None)):
            self.now = at
            if day is not None:
                self._land([day.day], [day])
                self.found.days += 1
            if day is not None or not fresh:
                self._look((at.date() - self.script.turns).days)
            fresh = day is not None
        return self.found

    def _land(self, days: list[date], files: list[Any]) -> None:
        parts = [
            split(_raw(one.day, content), Sale, keep=()) for one in files for name, content in one.files.items() if "sales-" in name
        ]
        accepted = pl.concat([one.accepted for one in parts])
        rejected = pl.concat([one.rejected.with_columns(pl.col("day").cast(pl.Date)) for one in parts])
        self.lake.write("sales", accepted.sort("day", maintain_order=True), by="day", replace=days)
        self.lake.write("sales_rejected", rejected.sort("day", maintain_order=True), by="day", replace=days)
        self.files.add(
            {"asset": "sales", "file": one.day.isoformat(), "part": one.day, "state": "landed", "known_at": one.arrives}
            for one in files
        )

    def _look(self, number: int) -> None:
        version = self.lake.version("sales")
        found = look(self.lake, WATCHED, version).judged
        counts = self.lake.read("sales").group_by("day").len().collect()
        rows, last = dict(counts.iter_rows()), found[-1]
        verdicts = [*last.verdicts, freshness(max(rows), self.now, self.files, "sales", PROMISE)]
        if last.day is not None:
            verdicts += contract(self.lake, "sales", "sales_rejected", last.day, rows)
        record(self.lake, found)
        follow(self.lake, [replace(last, verdicts=tuple(verdicts))])
        if number:
            self.found.broken = suspects(self.lake)["day"].n_unique()
            self.found.bad[number] = [one for one in verdicts if one.bad]


def _raw(day: date, content: bytes) -> pl.DataFrame:
    lines = pl.read_csv(io.BytesIO(content), infer_schema=False).with_row_index("row", offset=2)
    return lines.with_columns(pl.lit(day).alias("day"), pl.col("row").cast(pl.Int64))


def _campaign(script: Script) -> Played:
    """The products' daily pieces as `watch.series` judges them while the naive forecast serves."""
    lines = pl.concat([_raw(one.day, content) for one in script.days for name, content in one.files.items() if "sales-" in name])
    units = pl.col("quantity").cast(pl.Float64).sum().alias("units")
    sold = lines.group_by(pl.col("stock_code").str.to_uppercase().alias("product"), "day").agg(units)
    every = sold.select(pl.col("product").unique()).join(sold.select(pl.col("day").unique()), how="cross")
    table = every.join(sold, on=["product", "day"], how="left").with_columns(pl.col("units").fill_null(0.0)).sort("product", "day")
    naive, found = Server(MODEL.name, None, "champion"), Played()
    for number, day in enumerate(table.filter(pl.col("day") >= script.turns)["day"].unique().sort(), start=1):
        known = table.filter(pl.col("day") <= day)
        rows = known.with_columns(actual=pl.col("units"), forecast=pl.col("units"), days_ahead=1)  # its own days are the measure
        series, verdict = anomalous(MODEL, naive, rows, known.clear(), known)
        found.bad[number] = [replace(verdict, column=str(name)) for name in series["product"].head(1)] if verdict.bad else []
        found.days = number
    return found


# ---- rows


def _row(what: str, count: int, of: int, limit: float | None = None, other: float | None = None) -> dict[str, Any]:
    share, low, high = wilson(count, of)
    return {"what": what, "ours_s": share, "theirs_s": other, "ratio": None, "spread": [low, high], "limit": limit,
            "limit_of": "ours_s", "n": of, "unit": "%"}  # fmt: skip


def _broken(share: float, seeds: int) -> dict[str, Any]:
    found = [play("poison", FIRST + seed, share, 1) for seed in range(seeds)]
    what = f"poison of {share:.0%} of a day's lines: it does not look broken"
    return _row(what, sum(not one.broken for one in found), len(found))


def _alarms(name: str, found: list[Played]) -> list[dict[str, Any]]:
    days = sum(len(one.bad) for one in found)
    broken = _row(f"{name}: days that look broken", sum(one.broken for one in found), days)
    return [
        broken,
        _row(f"{name}: days on which anything is called bad", sum(bool(bad) for one in found for bad in one.bad.values()), days),
    ]


def _noticed(name: str, found: list[Played]) -> list[dict[str, Any]]:
    right = [one for one in found if one.first is not None]
    rows = [_row(f"{name}: not noticed within {AFTER} days", len(found) - len(right), len(found))]
    if name in SOON:
        late = sum(one.first is None or one.first > SOON[name] for one in found)
        seeds = range(FIRST, FIRST + len(found))
        known = 100 - 100 * seen_by_one_who_knows(seeds, SOON[name]) / len(seeds) if name == "campaign" else None
        rows.append(_row(f"{name}: not seen within 2 days of the third", late, len(found), 0.0, known))
    if name in CALLED:
        other = sum(one.called != CALLED[name] for one in found)
        rows.append(_row(f"{name}: not called {CALLED[name]}", other, len(found), 0.0))
    return rows


def _columns(played: dict[str, list[Played]]) -> list[dict[str, Any]]:
    """Columns that drifted and should not have, and those that should and did not."""
    truth = {"calibration": {"price_gbp"}, "population": {"country"}, "new-normal": {"quantity"}}
    pairs = [(one.drifted, truth[name]) for name, found in played.items() if name in truth for one in found]
    if not pairs:
        return []
    named, right, true = (
        sum(len(each) for each in sets) for sets in ((a for a, _ in pairs), (a & b for a, b in pairs), (b for _, b in pairs))
    )
    return [
        _row("columns named as drifted that did not move", named - right, max(named, 1)),
        _row("columns that moved and were not named", true - right, max(true, 1)),
    ]
