"""Days that hang together, and how they are judged: false alarms of quiet days, power after a shift. No lake, no clock.

Owns the simulated world and what is counted in it. A world has 20 numbers and 5 categories of 8 values. A number is normal
within a day (sd 1, counted in 32 cells); its mean has a weekly season, whose standard deviation over the weekdays is 0.1 to 0.6,
and day effects of 0.02 to 0.15 that are an AR(1). The logarithms of a category's shares move alike. Days are judged as
`daily.judge` does, all at once; as in `watch.tables` a reference that is worth too little grows (here every seventh day) until it
is worth enough, then it stands.
"""

from __future__ import annotations

import math
import multiprocessing
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from datetime import date
from itertools import product
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from benchmarks.drift_bound import found_by_one_who_knows
from benchmarks.gate import wilson
from lightkeeper.measure.daily import RECENT, alarms
from lightkeeper.measure.deviations import DayCounts, Places, together, weekday
from lightkeeper.measure.drift import FLOOR
from lightkeeper.measure.quiet import Quiet
from lightkeeper.measure.quiet_days import calibrate, scored

__all__ = ["World", "drifts", "false_alarms", "in_processes", "judged", "power", "world"]

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
One = TypeVar("One")
Made = TypeVar("Made")

NUMBERS, CATEGORIES, VALUES, CELLS = 20, 5, 8, 32
FIRST, WEEK, WORKERS = date(2024, 1, 1).toordinal(), 7, 2
WEEKS, MEMORIES, ROWS = (12, 26, 52), (0.0, 0.5, 0.7, 0.9), (1_000, 5_000)
SEED = 1_000  # the first of the seeds; those below 200 were used to choose constants
JUDGED, BAD, FAR = 350, 3, 2.0  # days judged; odd days in a reference, and by how many sd they are off
MOST = 1.5  # %, of the judged days
SHIFTS, MOVES = (0.1, 0.2, 0.3, 0.5, 1.0, 2.0), (0.1, 0.2)  # sd of a number; shares of a category's rows
SEVERAL = 5  # columns moved at once, for what is named
RANKS = 1 / np.arange(1, VALUES + 1)


@dataclass(frozen=True)
class World:
    """Days of a table.

    Attributes:
        seed: what it was made from.
        at: (d,) ordinals.
        rows: of each day.
        means: (d, NUMBERS), in standard deviations within a day.
        edges: (NUMBERS, CELLS + 1), of the cells.
        shares: (d, CATEGORIES, VALUES).
        columns: the counts; numbers first.
    """

    seed: int
    at: NDArray[np.int64]
    rows: int
    means: Floats
    edges: Floats
    shares: Floats
    columns: list[DayCounts]

    def moved(self, columns: Iterable[int], start: int, by: float) -> World:
        """The same, some columns drawn anew from a day on: numbers moved by so many sd, categories by that share of the rows."""
        made, random = list(self.columns), np.random.default_rng((self.seed, start))
        for column in columns:
            if column < NUMBERS:
                drawn = _numbers(random, self.rows, self.means[start:, [column]] + by, self.edges[[column]])
            else:
                drawn = random.multinomial(self.rows, _mass_moved(self.shares[start:, [column - NUMBERS]], by))
            old = made[column]
            made[column] = DayCounts(old.name, old.kind, np.concatenate([old.counts[:start], drawn[:, 0]]))
        return replace(self, columns=made)


def world(seed: int, days: int, memory: float, rows: int, bad: Sequence[int] = ()) -> World:
    """A world of so many days; on the `bad` ones all columns are off by FAR."""
    random = np.random.default_rng(seed)
    at = np.arange(FIRST, FIRST + days)
    season, effect = random.uniform(0.1, 0.6, NUMBERS + CATEGORIES), random.uniform(0.02, 0.15, NUMBERS + CATEGORIES)
    whose = np.r_[:NUMBERS, np.repeat(np.arange(NUMBERS, NUMBERS + CATEGORIES), VALUES)]
    pattern = random.standard_normal((WEEK, len(whose)))
    pattern = (pattern - pattern.mean(axis=0)) / pattern.std(axis=0) * season[whose]
    tracks = pattern[weekday(at)] + _autoregressive(random, days, len(whose), memory) * effect[whose]
    tracks[list(bad), :NUMBERS] += FAR
    tracks[list(bad), NUMBERS::VALUES] += FAR
    wide = np.sqrt(1 + season[:NUMBERS] ** 2 + effect[:NUMBERS] ** 2)
    edges = wide[:, None] * _quantiles()[None, :]
    shares = RANKS * np.exp(tracks[:, NUMBERS:].reshape(days, CATEGORIES, VALUES))
    shares /= shares.sum(axis=2, keepdims=True)
    numbers, words = _numbers(random, rows, tracks[:, :NUMBERS], edges), random.multinomial(rows, shares)
    columns = [DayCounts(f"n{one:02d}", "number", numbers[:, one]) for one in range(NUMBERS)]
    columns += [DayCounts(f"c{one:02d}", "category", words[:, one]) for one in range(CATEGORIES)]
    return World(seed, at, rows, tracks[:, :NUMBERS], edges, shares, columns)


def _quantiles() -> Floats:
    """The edges of CELLS cells of a standard normal."""
    from scipy.special import ndtri

    found: Floats = ndtri(np.linspace(0, 1, CELLS + 1))
    return found


def _autoregressive(random: np.random.Generator, days: int, tracks: int, memory: float) -> Floats:
    found = random.standard_normal((days, tracks))
    for at in range(1, days):
        found[at] = memory * found[at - 1] + math.sqrt(1 - memory**2) * found[at]
    return found


def _numbers(random: np.random.Generator, rows: int, means: Floats, edges: Floats) -> NDArray[np.int64]:
    """(d, columns, CELLS): counts of normal rows with some means (d, columns)."""
    from scipy.special import ndtr

    shares = np.diff(ndtr(edges[None, :, :] - means[:, :, None]), axis=2)
    return random.multinomial(rows, shares / shares.sum(axis=2, keepdims=True))


def _mass_moved(shares: Floats, by: float) -> Floats:
    """Shares with `by` of the mass taken from the commonest values on and given to the rarest."""
    taken = np.diff(np.minimum(np.cumsum(shares[..., :-1], axis=-1), by), axis=-1, prepend=0.0)
    made = np.concatenate([shares[..., :-1] - taken, shares[..., -1:] + by], axis=-1)
    found: Floats = np.maximum(made, 0.0) / np.maximum(made, 0.0).sum(axis=-1, keepdims=True)
    return found


# ---- judging


def drifts(quiet: Quiet, at: NDArray[np.int64], columns: Sequence[DayCounts]) -> Bools:
    """(d, columns): what `judge` calls drifted on each of some days; the first RECENT - 1 have too few days before them."""
    named = {one.name: (place, Places.of(one)) for place, one in enumerate(columns)}
    places = [named[one.name][1] for one in quiet.columns]
    found = np.zeros((len(at), len(columns)), np.bool_)
    for day, which in np.argwhere(alarms(quiet, scored(at, quiet.columns, places))):
        one, last = quiet.columns[which], slice(max(0, day - 2), day + 1)
        effect = one.effect(together(places[which].of_days(last), one.centres[weekday(at[last])], one.weights))
        found[day, named[one.name][0]] = effect >= FLOOR
    return found


def judged(made: World, history: int) -> tuple[Bools, int]:
    """(d, columns): what drifted on each day after the history, and on how many of them nothing was judged yet."""
    ready = history
    quiet = _quiet(made, ready)
    while not quiet.ready and ready + WEEK <= len(made.at):
        ready += WEEK
        quiet = _quiet(made, ready)
    found = np.zeros((len(made.at) - history, len(made.columns)), np.bool_)
    if not quiet.ready:
        return found, len(found)
    found[ready - history :] = _after(quiet, made, ready)
    return found, ready - history


def _quiet(made: World, days: int) -> Quiet:
    return calibrate(made.at[:days], [DayCounts(one.name, one.kind, one.counts[:days]) for one in made.columns])


def _after(quiet: Quiet, made: World, start: int) -> Bools:
    before = start - RECENT + 1
    cut = [DayCounts(one.name, one.kind, one.counts[before:]) for one in made.columns]
    return drifts(quiet, made.at[before:], cut)[RECENT - 1 :]


# ---- false alarms of quiet days


@dataclass(frozen=True)
class Cell:
    """A kind of world, with bad days in its reference or without."""

    weeks: int
    memory: float
    rows: int
    bad: bool = False
    seeds: int = 12
    days: int = JUDGED

    def row(self) -> dict[str, Any]:
        """Days with a false alarm among the judged ones; `other`: days in learning among all."""
        each = [self._judged(SEED + seed) for seed in range(self.seeds)]
        shares = [100 * wrong / days for wrong, days in each if days]
        wrong, days = (sum(one) for one in zip(*each, strict=True))
        odd = f", {BAD} bad days in the reference" if self.bad else ""
        return {
            "what": f"quiet days, {self.weeks} weeks, AR {self.memory:g}, {self.rows:,} rows a day{odd}",
            "ours_s": 100 * wrong / days if days else None, "spread": [min(shares, default=0.0), max(shares, default=0.0)],
            "theirs_s": 100 * (1 - days / (self.seeds * self.days)), "limit": MOST, "n": days, "unit": "%",
        }  # fmt: skip

    def _judged(self, seed: int) -> tuple[int, int]:
        """Days with a false alarm, and days that were judged."""
        history = WEEK * self.weeks
        found, learning = judged(world(seed, history + self.days, self.memory, self.rows, _bad(seed, history, self.bad)), history)
        return int(found.any(axis=1).sum()), len(found) - learning


def _bad(seed: int, history: int, there: bool) -> list[int]:  # noqa: FBT001 - whether there are any
    return np.random.default_rng((seed, BAD)).choice(history, BAD, replace=False).tolist() if there else []


def false_alarms(quick: bool) -> list[dict[str, Any]]:  # noqa: FBT001 - the runner's own word
    """A row a cell; quick: two cells of one seed."""
    if quick:
        return [Cell(12, 0.5, 1_000, bad, seeds=1, days=60).row() for bad in (False, True)]
    cells = [Cell(*one[1:], one[0]) for one in product((False, True), WEEKS, MEMORIES, ROWS)]
    return list(in_processes(Cell.row, cells))


def in_processes(work: Callable[[One], Made], over: Sequence[One]) -> Iterator[Made]:
    """In processes of their own."""
    with ProcessPoolExecutor(WORKERS, multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(work, over)


# ---- power


@dataclass(frozen=True)
class Trial:
    """One world of 26 weeks in which something moves on a day; `shown` says what was named in the seven days after it."""

    seed: int
    memory: float
    rows: int
    bad: bool = False
    history: int = 26 * WEEK

    def shown(self) -> dict[tuple[str, float], tuple[list[int], Bools]]:
        """For each case and size the columns that moved, and (7, columns) what drifted."""
        random = np.random.default_rng((self.seed, 7))
        start = self.history + int(random.integers(5, 40))
        bad = _bad(self.seed, self.history, self.bad)
        made = world(self.seed, start + WEEK, self.memory, self.rows, bad)
        quiet = _quiet(made, self.history)
        several = random.choice(NUMBERS, SEVERAL, replace=False).tolist()
        word = NUMBERS + int(random.integers(0, CATEGORIES))
        cases: dict[str, tuple[list[int], Iterable[float]]] = {
            "one number": (several[:1], SHIFTS),
            "one category": ([word], MOVES),
            "several": (several, SHIFTS),
        }
        return {
            (case, by): (columns, _after(quiet, made.moved(columns, start, by), start))
            for case, (columns, sizes) in cases.items() for by in sizes
        }  # fmt: skip


def power(quick: bool) -> list[dict[str, Any]]:  # noqa: FBT001 - the runner's own word
    """Rows of what is found within seven days, how late, and which columns are named; quick: two worlds."""
    seeds = range(SEED + 200, SEED + (201 if quick else 240))
    plain = [Trial(*one) for one in product(seeds, MEMORIES[:1] if quick else MEMORIES[:3], ROWS)]
    found = [one.shown() for one in plain] if quick else list(in_processes(Trial.shown, plain))
    best = found_by_one_who_knows(SHIFTS, MEMORIES[:3], ROWS)
    rows = [_found(found, "one number", by, best[by][0]) for by in SHIFTS]
    rows += [_late(found, by, best[by][1]) for by in SHIFTS]
    rows += [_found(found, "one category", by, None) for by in MOVES]
    rows += [_named(found, by, what) for by in SHIFTS for what in ("precision", "recall")]
    if not quick:
        odd = list(in_processes(Trial.shown, [Trial(one.seed, one.memory, one.rows, bad=True) for one in plain]))
        rows += [{**row, "what": f"{row['what']}, {BAD} bad days in the reference"}
                 for row in (_found(odd, "one number", by, None) for by in SHIFTS if by >= 0.3)]  # fmt: skip
    return rows


Shown = dict[tuple[str, float], tuple[list[int], Bools]]
UNITS = {"one number": "one number moved by {:g} sd", "one category": "one category, {:.0%} of its rows moved"}


def _found(found: Sequence[Shown], case: str, by: float, other: float | None) -> dict[str, Any]:
    """How often the moved column is named within seven days."""
    seen = [one[case, by][1][:, one[case, by][0]].any() for one in found]
    share, low, high = wilson(int(np.sum(seen)), len(seen))
    what = f"{UNITS[case].format(by)}: found within 7 days"
    return {"what": what, "ours_s": share, "theirs_s": other, "spread": [low, high], "n": len(seen), "unit": "%"}


def _late(found: Sequence[Shown], by: float, other: float) -> dict[str, Any]:
    """The median day on which a found one is named first; the day of the move is 1."""
    days = [one["one number", by][1][:, one["one number", by][0][0]] for one in found]
    first = [int(np.argmax(one)) + 1 for one in days if one.any()]
    low, middle, high = np.quantile(first, [0.25, 0.5, 0.75]).tolist() if first else [0.0, 0.0, 0.0]
    return {"what": f"one number moved by {by:g} sd: median delay of those found", "ours_s": middle, "theirs_s": other,
            "spread": [low, high], "n": len(first), "unit": "days"}  # fmt: skip


def _named(found: Sequence[Shown], by: float, what: str) -> dict[str, Any]:
    """Of the columns named within seven days those that moved (precision); of those that moved the named ones (recall)."""
    right = sum(int(one["several", by][1][:, one["several", by][0]].any(axis=0).sum()) for one in found)
    named = sum(int(one["several", by][1].any(axis=0).sum()) for one in found)
    share, low, high = wilson(right, max(1, named if what == "precision" else SEVERAL * len(found)))
    text = f"{SEVERAL} numbers moved by {by:g} sd: {what} of the named columns"
    return {"what": text, "ours_s": share, "theirs_s": None, "spread": [low, high], "n": len(found), "unit": "%"}
