"""One look at a landing folder: which runs to ask for, and what to remember until the next. It opens no file itself.

Only when names, sizes and times differ from the last look's, or something is under way, is the ledger of files read and
are new files hashed. A file is asked for when two looks in a row saw it unchanged, so that none is read half written.
The sensor that looks is `arrivals`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta

import polars as pl

from lightkeeper.lake.landing import Arrival, newest_for_each_part

__all__ = ["ATTEMPTS", "Cursor", "Wanted", "look", "look_of"]

ATTEMPTS = 3  # runs that one file gets when they fail for another reason than the file itself
_NEIGHBOURS = timedelta(4)  # days apart at most for two files to land in one run

_Looks = Mapping[str, str]  # file -> what tells one look at it from another


@dataclass(frozen=True)
class Cursor:
    """What the sensor remembers of one folder.

    Attributes:
        looks: digest of the folder as last seen.
        waiting: files seen once, each with its look.
        asked: runs asked for that have not succeeded, by key, with their files and the looks of these.
        passed_over: files that no run looked at, because a later file speaks for their day; by name.
        seen: of the runs asked for, those that Dagster has; by key.
    """

    looks: str = ""
    waiting: _Looks = field(default_factory=dict)
    asked: Mapping[str, _Looks] = field(default_factory=dict)
    passed_over: list[str] = field(default_factory=list)
    seen: list[str] = field(default_factory=list)

    @property
    def idle(self) -> bool:
        """Whether nothing is under way: what was given up is only remembered."""
        return not self.waiting and not any(_runs(key) for key in self.asked)

    def without(self, keys: Collection[str]) -> Cursor:
        """What would be remembered, had some runs never been asked for: their files are new ones again."""
        left = {key: files for key, files in self.asked.items() if key not in keys}
        return replace(self, looks="", asked=left) if keys else self

    @property
    def given_up(self) -> list[str]:
        """The files whose runs failed too often."""
        return sorted(name for key, files in self.asked.items() if not _runs(key) for name in files)


@dataclass(frozen=True)
class Wanted:
    """A run to ask for, by a key that is asked once.

    Attributes:
        files: what it lands, in the order of their days.
        first, last: the days of the first and the last file.
        key: content and number of the attempt.
        landed: the files are in their table already; only what depends on them is to be made.
    """

    files: tuple[str, ...]
    first: date
    last: date
    key: str
    landed: bool = False


def look(
    seen: Sequence[Arrival],
    before: Cursor,
    ledger: Callable[[], pl.DataFrame],
    content: Callable[[Arrival], str | None],
    failed: Callable[[str], bool | None],
) -> tuple[list[Wanted], Cursor]:
    """One look at a folder: what to ask for now, and what to remember. Edges only: a second look asks for nothing.

    Args:
        seen: the files now; those that speak for no day are left out.
        before: what the last look remembered.
        ledger: gives the files that were looked at (columns file, part, bytes, mtime_ns, state, sha256), read only on
            change.
        content: gives what tells one content of a file from another; None when the file went away.
        failed: whether the run of a key ended without success; None while it is under way.
    """
    looks = _digest(seen)
    if looks == before.looks and before.idle:
        return [], before
    known = ledger()
    speak, superseded = newest_for_each_part([one for one in seen if one.part])
    speaking = {one.name: one for one in speak}
    states = _states(known, speaking.values())
    again, asked = _followed(before.asked, speaking, states, failed)
    held = {name for files in asked.values() for name in files}
    fresh = [one for name, one in speaking.items() if name not in states and name not in held]
    steady = [one for one in fresh if before.waiting.get(one.name) == look_of(one)]
    growing = [one for one in fresh if one not in steady]
    first = _asked_first(steady, {_day(one) for one in growing}, known, content)
    asked |= {run.key: {name: look_of(speaking[name]) for name in run.files} for run in first}
    waiting = {one.name: look_of(one) for one in growing}
    soon = {speaking[name].part for name in {*waiting, *(name for key in asked if _runs(key) for name in asked[key])}}
    return [*again, *first], Cursor(looks, waiting, asked, _unseen(superseded, known, soon))


def _unseen(superseded: Sequence[Arrival], known: pl.DataFrame, soon: set[date | None]) -> list[str]:
    """Superseded files that no run looked at as they are. A run looks at every file of its days: those of `soon` get one."""
    states = _states(known, superseded)
    return sorted(one.name for one in superseded if one.name not in states and one.part not in soon)


def _states(known: pl.DataFrame, here: Iterable[Arrival]) -> dict[str, str]:
    """What became of each file that lies there as it was when a run last looked at it."""
    last = known.unique("file", keep="last").select("file", "bytes", "mtime_ns", "state")
    recorded = {name: (size, time, state) for name, size, time, state in last.iter_rows()}
    found = {one.name: recorded.get(one.name) for one in here if one.name in recorded}
    looked = {one.name: (one.size, one.mtime_ns) for one in here}
    return {name: row[2] for name, row in found.items() if row is not None and row[:2] == looked[name]}


def _followed(
    asked: Mapping[str, _Looks],
    here: Mapping[str, Arrival],
    states: Mapping[str, str],
    failed: Callable[[str], bool | None],
) -> tuple[list[Wanted], dict[str, _Looks]]:
    """Runs to ask for once more, and all that are still to be followed; files that changed are new ones again."""
    again: list[Wanted] = []
    followed: dict[str, _Looks] = {}
    for key, files in asked.items():
        same = {name: its for name, its in files.items() if name in here and look_of(here[name]) == its}
        verdict = failed(key) if _runs(key) else None
        open_ = {name: its for name, its in same.items() if verdict is None or _is_open(states.get(name), verdict)}
        if not open_:
            continue
        then = key if verdict is None else _next(key)
        followed[then] = open_
        if verdict is not None and _runs(then):
            again.append(_wanted([here[name] for name in open_], then, landed=all(name in states for name in open_)))
    return again, followed


def _is_open(state: str | None, failed: bool) -> bool:  # noqa: FBT001 - a verdict
    """Whether a file still needs a run after one ended: it was not looked at, or it landed and the run failed after it."""
    return state is None or (failed and state == "landed")


def _attempt(key: str) -> int:
    """The number of a run's attempt; one beyond ATTEMPTS is never made, it says that the files were given up."""
    return int(key.rpartition("#")[2])


def _runs(key: str) -> bool:
    """Whether a key is that of a run, and says not that its files were given up."""
    return _attempt(key) <= ATTEMPTS


def _next(key: str) -> str:
    return f"{key.rpartition('#')[0]}#{_attempt(key) + 1}"


def _asked_first(
    steady: Iterable[Arrival],
    growing: set[date],
    known: pl.DataFrame,
    content: Callable[[Arrival], str | None],
) -> list[Wanted]:
    """Runs for files whose content is not what their day has already; neighbouring days land in one run.

    A run reads every file of its days, so none spans the day of a file that is being written.
    """
    groups: list[list[tuple[Arrival, str]]] = []
    for one in sorted(steady, key=_day):
        said = _new_content(one, known, content)
        if said is None:
            continue
        if groups and _together(groups[-1][-1][0], one, growing):
            groups[-1].append((one, said))
        else:
            groups.append([(one, said)])
    return [_wanted([one for one, _ in group], f"{_short('|'.join(said for _, said in group))}#1") for group in groups]


def _together(one: Arrival, other: Arrival, growing: set[date]) -> bool:
    near = _day(other) - _day(one) <= _NEIGHBOURS
    return near and not any(_day(one) < day < _day(other) for day in growing)


def _new_content(one: Arrival, known: pl.DataFrame, content: Callable[[Arrival], str | None]) -> str | None:
    """Day, content, and how often the day was spoken for, so that a correction taken back is asked for again."""
    found = content(one)
    day = known.filter(pl.col("part") == one.part)
    spoken = day.filter(pl.col("state") == "landed")
    if found is None or (spoken.height and spoken["sha256"][-1] == found):
        return None
    return f"{one.part}:{found}:{day.height}"


def _wanted(files: Sequence[Arrival], key: str, *, landed: bool = False) -> Wanted:
    ordered = sorted(files, key=_day)
    return Wanted(tuple(one.name for one in ordered), _day(ordered[0]), _day(ordered[-1]), key, landed)


def _day(one: Arrival) -> date:
    return one.part or date.min


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _digest(seen: Iterable[Arrival]) -> str:
    return _short("\n".join(sorted(f"{one.name} {look_of(one)}" for one in seen)))


def look_of(one: Arrival) -> str:
    """What tells one look at a file from another: its size and times."""
    return _short(f"{one.size} {one.mtime_ns} {one.ctime_ns}")
