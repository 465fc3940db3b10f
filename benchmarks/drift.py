"""Drift: how often quiet data alarm, what is found, and what it costs, beside Evidently, NannyML, alibi-detect and bare scipy.

Owns independent windows and the peers' answers to them; days that hang together stand in `drift_days`, seconds in `drift_speed`.
A peer that cannot be installed has no rows. Shares are in %, their spread is the 95% Wilson interval, which is too
narrow where windows share a reference. "At the same rate": a window alarms when its most telling column (the least p; of distances
the largest, each in the peer's own limit) goes beyond what 1% of other quiet windows reach.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from benchmarks import drift_days, drift_rivals, drift_speed
from benchmarks.drift_data import categorical, iid_windows
from benchmarks.gate import wilson
from lightkeeper.measure.drift import drift
from lightkeeper.measure.profile import Profile

__all__ = ["PARTS", "Answer", "Asked", "run", "told"]

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

ALPHA, MOST = 0.01, 1.5  # what is asked for, as a share; what is borne, in %
SIZES, WINDOWS, EACH = (1_000, 5_000, 20_000, 50_000), 2_000, 20  # windows of each size, so many to a reference
SHIFTS, LEAST_P = (0.1, 0.2, 0.3, 0.5, 1.0), 1e-300
ROWS, NUMBERS, REFERENCE = 1_000, 20, 10_000


def run(quick: bool) -> dict[str, Any]:  # noqa: FBT001 - the runner's own word
    """All parts one after the other; quick: few windows and rows, and no peers."""
    return {"rows": [row for part in PARTS.values() for row in part(quick)]}


def _share(what: str, seen: NDArray[Any], **others: Any) -> dict[str, Any]:
    share, low, high = wilson(int(np.sum(seen)), len(seen))
    return {"what": what, "ours_s": share, "spread": [low, high], "n": len(seen), "unit": "%", **others}


def _frame(window: Floats) -> pl.DataFrame:
    """A window as a table: numbers, and categories as texts."""
    words = [f"x{column:02d}" for column in categorical()]
    made = pl.DataFrame({f"x{column:02d}": window[:, column] for column in range(window.shape[1])})
    return made.with_columns(pl.col(words).cast(pl.Int64).cast(pl.String))


# ---- 1: independent windows


@dataclass(frozen=True)
class _Reference:
    """One reference and quiet windows of the same size."""

    seed: int
    rows: int
    windows: int

    def asked(self) -> list[tuple[bool, bool]]:
        """Of each window: whether a column drifted, and whether one would have without the floor."""
        first, *others = map(_frame, iid_windows(self.seed, self.rows, windows=1 + self.windows))
        before = Profile.of(first)
        found = [drift(before, one, alpha=ALPHA) for one in others]
        return [(bool((one["state"] == "drifted").any()), bool((one["p"] < ALPHA).any())) for one in found]


def _windows(quick: bool) -> Iterator[dict[str, Any]]:  # noqa: FBT001 - the runner's own word
    """False alarms; `other` is the same without the floor, which leaves the tests alone."""
    for rows in SIZES[:1] if quick else SIZES:
        references = [_Reference(rows * 1000 + seed, rows, EACH) for seed in range(1 if quick else WINDOWS // EACH)]
        asked = map(_Reference.asked, references) if quick else drift_days.in_processes(_Reference.asked, references)
        found = np.array([one for each in asked for one in each])
        what = f"quiet windows of {rows:,} independent rows with an alarm"
        yield _share(what, found[:, 0], theirs_s=100 * float(found[:, 1].mean()), limit=MOST)


# ---- 4: peers on the same windows


@dataclass(frozen=True)
class Asked:
    """How many windows of each sort are made for each of some references."""

    references: int
    calibrating: int
    quiet: int
    shifted: int  # of each size, a moved column after the other
    reference_rows: int = REFERENCE

    def sets(self, number: int) -> tuple[Floats, dict[str, Floats]]:
        """The reference of a number, and its windows by what they are for."""
        seed = 900_000 + 1_000 * number + self.reference_rows
        made = {"calibrating": _stack(seed + 1, self.calibrating), "quiet": _stack(seed + 2, self.quiet)}
        for shift in SHIFTS if self.shifted else ():
            columns = [(number * self.shifted + at) % NUMBERS for at in range(self.shifted)]
            moved = [_stack(seed + 10 + at, 1, shift_sd=shift, shifted_columns=[each]) for at, each in enumerate(columns)]
            made[f"{shift:g}"] = np.concatenate(moved)
        return next(iid_windows(seed, self.reference_rows, windows=1)), made


@dataclass(frozen=True)
class Answer:
    """What one side says of windows of each sort.

    Attributes:
        alarms: sort -> (windows,), with its defaults.
        telling: sort -> (windows,), of the most telling column; larger is odder.
    """

    alarms: Mapping[str, Bools]
    telling: Mapping[str, Floats]

    def beyond(self, sort: str) -> Bools:
        """The windows that alarm when 1% of quiet ones may: beyond the k-th largest of those made for this."""
        known = np.sort(self.telling["calibrating"])
        found: Bools = self.telling[sort] > known[-max(1, int(ALPHA * (len(known) + 1)))]
        return found


def _stack(seed: int, windows: int, **shift: Any) -> Floats:
    made = list(iid_windows(seed, ROWS, windows=windows, **shift))
    return np.stack(made) if made else np.zeros((0, ROWS, NUMBERS + len(categorical())))


def _answer(asked: Asked, ask: Callable[[Floats, Floats], tuple[Bools, Floats]]) -> Answer:
    """What one side says of all windows of all references."""
    found: dict[str, list[tuple[Bools, Floats]]] = {}
    for number in range(asked.references):
        reference, sets = asked.sets(number)
        flagged, odd = ask(reference, np.concatenate(list(sets.values())))
        ends = np.cumsum([0, *map(len, sets.values())]).tolist()
        for sort, first, last in zip(sets, ends, ends[1:], strict=False):
            found.setdefault(sort, []).append((flagged[first:last], odd[first:last]))
    return Answer(
        {sort: np.concatenate([one for one, _ in parts]) for sort, parts in found.items()},
        {sort: np.concatenate([one for _, one in parts]) for sort, parts in found.items()},
    )


def _ours(reference: Floats, windows: Floats) -> tuple[Bools, Floats]:
    before = Profile.of(_frame(reference))
    found = [drift(before, _frame(window), alpha=ALPHA) for window in windows]
    least = np.array([one["p"].min() for one in found], np.float64)
    return np.array([bool((one["state"] == "drifted").any()) for one in found]), -np.log10(np.maximum(least, LEAST_P))


def _theirs(peer: str) -> Callable[[Floats, Floats], tuple[Bools, Floats]]:
    def ask(reference: Floats, windows: Floats) -> tuple[Bools, Floats]:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "windows.npz"
            np.savez(path, reference=reference, windows=windows, categorical=np.array(categorical()))
            return told(drift_rivals.run(peer, "alarms", [path]))

    return ask


def told(found: Mapping[str, Any]) -> tuple[Bools, Floats]:
    """Of each window whether the peer flags a column, and how odd its most telling column is; from `drift_rivals.run`."""
    scores, limits = np.array(found["scores"], np.float64), np.array(found["thresholds"], np.float64)
    tests = np.array(found["kinds"]) == "p"
    if tests.any() != tests.all():
        raise ValueError(f"{found['peer']} mixes p-values and distances: {found['methods']}")
    odd = -np.log10(np.maximum(scores, LEAST_P)) if tests.all() else scores / limits
    flagged: Bools = np.asarray(np.array(found["flags"], np.bool_).any(axis=1))
    return flagged, odd.max(axis=1)


def _peers(quick: bool) -> Iterator[dict[str, Any]]:  # noqa: FBT001 - the runner's own word
    """Alarms with defaults, and what is found at the same rate of false alarms; `other` is the peer."""
    asked = Asked(1, 20, 20, 2) if quick else Asked(5, 200, 100, 40)
    small = Asked(1, 0, 10, 0, ROWS) if quick else Asked(5, 0, 100, 0, ROWS)
    ours, beside = _answer(asked, _ours), _answer(small, _ours)
    for shift in SHIFTS:
        yield _share(f"one number moved by {shift:g} sd, 1,000 rows, defaults", ours.alarms[f"{shift:g}"])
    yield _share("quiet windows of 1,000 rows beyond 1% of others", ours.beyond("quiet"))
    for peer in () if quick else drift_rivals.PINS:
        try:
            yield from _beside(peer, ours, beside)
        except (drift_rivals.NotInstalledError, RuntimeError) as problem:
            print(problem, file=sys.stderr)


def _beside(peer: str, ours: Answer, beside: Answer) -> Iterator[dict[str, Any]]:
    slow = peer == "evidently"  # half a second a window
    theirs = _answer(Asked(3, 60, 40, 20) if slow else Asked(5, 200, 100, 40), _theirs(peer))
    if peer != "nannyml":  # it takes no reference of a single window
        small = _answer(Asked(3, 0, 20, 0, ROWS) if slow else Asked(5, 0, 100, 0, ROWS), _theirs(peer))
        what = f"quiet windows of 1,000 rows with an alarm, defaults, reference of 1,000: {_name(peer, small.alarms['quiet'])}"
        yield _share(what, beside.alarms["quiet"], theirs_s=_percent(small.alarms["quiet"]), limit=MOST)
    what = f"quiet windows of 1,000 rows with an alarm, defaults, reference of {REFERENCE:,}: {_name(peer, theirs.alarms['quiet'])}"
    yield _share(what, ours.alarms["quiet"], theirs_s=_percent(theirs.alarms["quiet"]), limit=MOST)
    what = f"quiet windows of 1,000 rows beyond 1% of others: {_name(peer, theirs.alarms['quiet'])}"
    yield _share(what, ours.beyond("quiet"), theirs_s=_percent(theirs.beyond("quiet")))
    for shift in map("{:g}".format, SHIFTS):
        what = f"one number moved by {shift} sd, at the same rate: {_name(peer, theirs.alarms[shift])}"
        yield _share(what, ours.beyond(shift), theirs_s=_percent(theirs.beyond(shift)))


def _percent(seen: Bools) -> float:
    return 100 * float(seen.mean())


def _name(peer: str, windows: Bools) -> str:
    return f"{peer}, {len(windows)} windows"


# What is measured, in order: independent windows, quiet days, moved days, peers, speed.
PARTS: dict[str, Callable[[bool], Any]] = {
    "windows": _windows, "days": drift_days.false_alarms, "power": drift_days.power, "peers": _peers, "speed": drift_speed.speed,
}  # fmt: skip
