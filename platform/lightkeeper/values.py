"""Frozen values that every floor speaks in. Standard library only: no frames, no I/O, no clock."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime

from lightkeeper.errors import BadName

__all__ = [
    "BAD",
    "WORST_FIRST",
    "Decision",
    "Input",
    "LandedFile",
    "ModelVersion",
    "Stamp",
    "TableVersion",
    "Verdict",
    "Window",
    "check_name",
    "plural",
    "version_name",
    "worst_of",
]

WORST_FIRST = ("failed", "drifted", "unknown", "learning", "passed")  # the states of a verdict
BAD = WORST_FIRST[:2]  # those that somebody should look at

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,99}")


def check_name(name: str) -> str:
    """`name` if it can name a table: letters, digits and underscores, a letter first, at most 100. Raises BadName."""
    if not _NAME.fullmatch(name):
        raise BadName(f"{name!r} cannot name a table: letters, digits and underscores, a letter first, at most 100.")
    return name


@dataclass(frozen=True, slots=True, order=True)
class TableVersion:
    """What was read or written: `sales@41`."""

    table: str
    version: int

    def __str__(self) -> str:
        return f"{self.table}@{self.version}"

    @classmethod
    def parse(cls, text: str) -> TableVersion:
        """`TableVersion.parse("sales@41")`. Raises BadName when the text is no table version."""
        name, at, number = text.partition("@")
        if not at or not number.isascii() or not number.isdigit():
            raise BadName(f"{text!r} is no table version: write it like sales@41.")
        return cls(check_name(name), int(number))


@dataclass(frozen=True, slots=True, order=True)
class ModelVersion:
    """One trained artifact and all that made it: `demand:v3`. Versions count from 1."""

    model: str
    number: int

    def __str__(self) -> str:
        return f"{self.model}:v{self.number}"

    @classmethod
    def parse(cls, text: str) -> ModelVersion:
        """`ModelVersion.parse("demand:v3")`. Raises BadName when the text is no model version."""
        name, colon, number = text.partition(":v")
        if not colon or not number.isascii() or not number.isdigit() or int(number) == 0:
            raise BadName(f"{text!r} is no model version: write it like demand:v3.")
        return cls(check_name(name), int(number))


def plural(number: int, one: str, many: str = "") -> str:
    """`1 day`, `1,200 days`, in a sentence; `many` where it is more than an s that is added: "is missing", "are missing"."""
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"


def version_name(model: str, number: int) -> str:
    """`demand:v3`; version 0 is the naive forecast, `demand:naive`."""
    return f"{model}:v{number}" if number else f"{model}:naive"


@dataclass(frozen=True, slots=True)
class Decision:
    """One decision on a model version, before it is recorded.

    Attributes:
        model: its name.
        action: trained, judged, rejected, confirmed, promoted or rolled_back; of retraining attempted, held, failed, half_opened.
        version: that it is about; 0 is the naive forecast.
        by: whose: a run, a person.
        why: in one sentence.
        against: the champion at that time, where one was compared.
        code: the reason as one word, such as better, tie, slice_harmed.
        alpha: what a gate spent.
        judgement: the number of the judgement that it follows from.
        pins: the table versions that it stands on ("sales@41").
        run_id: of the run that decided.
        cause, episode, attempt: of a retraining that was asked for by itself: the check, its failing, which attempt (from 1).
        matured: the last day whose outcome was known.
    """

    model: str
    action: str
    version: int
    by: str
    why: str
    against: int | None = None
    code: str = ""
    alpha: float | None = None
    judgement: int | None = None
    pins: tuple[str, ...] = ()
    run_id: str | None = None
    cause: str | None = None
    episode: str | None = None
    attempt: int | None = None
    matured: date | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a check found of one thing. What could not be judged is never "passed".

    Attributes:
        check: which, such as volume, nulls, drift, run_time.
        state: passed; failed, or drifted for distances between windows; learning where too little is known yet, with what is
            missing in `why`; unknown where nothing can be measured.
        why: one sentence with the measured value, the limit and n in it.
        measured: in the check's own unit; None where nothing was measured.
        limit: beyond which the check fails; None where there is none yet.
        n: rows, days or runs that `measured` stands on.
        column: of the table; None where the check is of the whole.
        segment: such as "country=France"; None for all rows.
        kind: of a shift: arrival, instrument, population, concept, season, event; None where it is not told.
        extra: further numbers and words, such as the effect and the smallest shift that would have been seen.
    """

    check: str
    state: str
    why: str
    measured: float | None = None
    limit: float | None = None
    n: int = 0
    column: str | None = None
    segment: str | None = None
    kind: str | None = None
    extra: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.state not in WORST_FIRST:
            raise ValueError(f"A verdict is one of {', '.join(WORST_FIRST)}, not {self.state!r}.")

    @property
    def bad(self) -> bool:
        """Whether somebody should look."""
        return self.state in BAD


def worst_of(verdicts: Sequence[Verdict]) -> Verdict:
    """The first of those in the worst state."""
    return min(verdicts, key=lambda one: WORST_FIRST.index(one.state))


@dataclass(frozen=True, slots=True)
class Window:
    """Half-open `[start, end)` of event time, in days (UTC)."""

    start: date
    end: date

    def __contains__(self, day: date) -> bool:
        return self.start <= day < self.end


@dataclass(frozen=True, slots=True)
class LandedFile:
    """A file that rows came from: its name, the sha256 of its bytes (hex), its size, its records, the part it speaks for."""

    name: str
    sha256: str
    bytes: int
    rows: int
    part: date | None = None


@dataclass(frozen=True, slots=True)
class Input:
    """One thing that a write was computed from: a version of a table of this lake, or of a source outside it."""

    version: TableVersion
    uri: str | None = None  # where a table outside this lake stands; None for a table of this lake


@dataclass(frozen=True, slots=True)
class Stamp:
    """Who and what wrote: recorded in the commit itself.

    `known_at` is the time of recording by the home's clock (UTC); None means the lake's own clock.
    `extra` holds further JSON values, such as the model version that a forecast was made with.
    """

    asset: str | None = None
    run_id: str | None = None
    code_version: str | None = None
    git_commit: str | None = None
    git_dirty: bool | None = None
    files: tuple[LandedFile, ...] = ()
    known_at: datetime | None = None
    extra: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.known_at is not None and self.known_at.utcoffset() != UTC.utcoffset(None):
            raise BadName(f"known_at must be a UTC time, got {self.known_at!r}.")
