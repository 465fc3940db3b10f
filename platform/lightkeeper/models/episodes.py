"""What retraining is decided on, as values: what is declared, what asks, what was tried. They decide nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Literal

from lightkeeper.errors import BadDeclaration

__all__ = [
    "ASKING",
    "REST",
    "STAYING",
    "STAYS",
    "Attempt",
    "Breaker",
    "Broken",
    "Cause",
    "Event",
    "Machine",
    "Outcome",
    "Retrain",
    "State",
    "kind_of",
    "since_of",
]

ASKING = ("accuracy", "coverage", "drift", "age")  # the weightiest first
STAYING, STAYS = ("drift", "coverage"), 5  # what asks when it has failed for so many days: in quiet years most last one to three
REST = timedelta(7)  # matured days without a cause that end an unrest

Breaker = Literal["closed", "open", "half_open"]
Outcome = Literal["promoted", "rejected", "confirmed", "failed", "held", "unjudged"]


@dataclass(frozen=True, kw_only=True)
class Retrain:
    """When a model is retrained by itself.

    Args:
        on: checks that ask for it: accuracy, coverage, drift, age; none: only a person retrains.
        attempts: useless ones in a row before the breaker opens: the champion is frozen and a person is called, once.
        cool_down_days: after a useless attempt; doubled after each further one.
        fresh_days: newly matured days that an attempt needs, beyond those that it is judged on.
        budget: attempts within any 365 days.
        half_open_days: matured days after which an open breaker lets one attempt pass by itself; None: only a person's word.

    Raises:
        BadDeclaration: a value that cannot be.
    """

    on: tuple[str, ...] = ASKING
    attempts: int = 3
    cool_down_days: int = 7
    fresh_days: int = 7
    budget: int = 12
    half_open_days: int | None = 91

    def __post_init__(self) -> None:
        if not isinstance(self.on, tuple) or set(self.on) - set(ASKING):
            raise BadDeclaration(f"retrain_if: on is {self.on!r}; it is a tuple of {', '.join(ASKING)}.")
        for name, least in (("attempts", 1), ("cool_down_days", 0), ("fresh_days", 1), ("budget", 1), ("half_open_days", 1)):
            value = getattr(self, name)
            if name == "half_open_days" and value is None:
                continue
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise BadDeclaration(f"retrain_if: {name} is {value!r}; it is a whole number, {least} at least.")


def kind_of(check: str) -> str:
    """A check without its level: coverage_80 is coverage."""
    return "coverage" if check.startswith("coverage_") else check


@dataclass(frozen=True, slots=True)
class Cause:
    """A check that fails and asks: which, of which asset, since which day, its sentence, and what it is worth in units."""

    check: str
    asset: str
    since: date
    why: str
    worth: str = ""

    def episode(self, champion: int) -> str:
        """One unbroken failing of one check against one champion."""
        return f"{self.asset}.{self.check}.{self.since}.v{champion}"

    @property
    def kind(self) -> str:
        """The check without its level."""
        return kind_of(self.check)


def since_of(episode: str) -> date | None:
    """Since when the cause of an episode fails, as `Cause.episode` names it; None for another name."""
    try:
        return date.fromisoformat(episode.rsplit(".", 2)[-2])
    except (ValueError, IndexError):
        return None


@dataclass(frozen=True, slots=True)
class Event:
    """Something in the world that people know of, and what it means for training: hold, without (its days), feature."""

    name: str
    start: date
    end: date
    action: Literal["hold", "without", "feature"]


@dataclass(frozen=True, slots=True)
class Attempt:
    """One retraining within an episode.

    Attributes:
        episode, number: which; counted from 1.
        asked_at: when its run began.
        matured: the last matured day that it stood on.
        cause: the check that asked.
        run_id: of its run.
        outcome: None while it is under way; held where its run found a reason to wait, unjudged where there were too few days.
    """

    episode: str
    number: int
    asked_at: datetime
    matured: date | None
    cause: str
    run_id: str | None = None
    outcome: Outcome | None = None

    @property
    def name(self) -> str:
        """Which one, among all of its model."""
        return f"{self.episode}:{self.number}"


@dataclass(frozen=True, slots=True)
class Machine:
    """What the ledger says of a model's retrainings.

    Attributes:
        attempts: in their order.
        in_vain: the useless ones in a row by their names; a promotion that was taken back is one, whoever promoted.
        breaker, since: its state, and the last matured day when it came to it.
        told: code and episode of the last reason for which nothing was done.
        asking_since: the matured day since which something has asked of this champion, with rests shorter than REST.
        resting_since: the matured day since which nothing asks; None while something does.
    """

    attempts: tuple[Attempt, ...] = ()
    in_vain: tuple[str, ...] = ()
    breaker: Breaker = "closed"
    since: date | None = None
    told: tuple[str, str] | None = None
    asking_since: date | None = None
    resting_since: date | None = None

    @property
    def useless(self) -> int:
        """Useless attempts in a row."""
        return len(self.in_vain)

    @property
    def under_way(self) -> Attempt | None:
        """The attempt that has no outcome yet."""
        last = self.attempts[-1] if self.attempts else None
        return last if last is not None and last.outcome is None else None


@dataclass(frozen=True, slots=True)
class Broken:
    """What is wrong with data of a table and day, and why: a day that is suspect, a table that is late, or values that fail."""

    kind: Literal["suspect", "late", "values"]
    table: str
    why: str
    day: date | None = None


@dataclass(frozen=True, slots=True)
class State:
    """All that a decision stands on.

    Attributes:
        model: its name.
        champion: who serves; 0 is the naive forecast.
        rule: what is declared.
        judged_days: on which a challenger is judged.
        now: by the home's clock, UTC.
        matured: the last day whose outcome is known; None before the first.
        causes: the checks that fail.
        broken: why its data must not be learnt from now.
        machine: what was tried.
        events: known ones.
        learnt: the last day that the champion has learnt from; None for the naive forecast.
        least_days: after it, without which the gate decides nothing.
        level_factor: what its forecasts are multiplied with meanwhile: 1 unless a shift of the level is followed.
        unjudged: checks that failed, and that the last look could not judge.
    """

    model: str
    champion: int
    rule: Retrain
    judged_days: int
    now: datetime
    matured: date | None
    causes: tuple[Cause, ...] = ()
    broken: tuple[Broken, ...] = ()
    machine: Machine = field(default_factory=Machine)
    events: tuple[Event, ...] = ()
    learnt: date | None = None
    least_days: int = 14
    level_factor: float = 1.0
    unjudged: tuple[str, ...] = ()
