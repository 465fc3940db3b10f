"""What a scenario is: days of files with a known truth, made up by the project. How they are made is the project's business."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import dagster as dg

__all__ = ["Scenario", "ScenarioDay", "Script", "Settings", "Truth"]


@dataclass(frozen=True, slots=True)
class Settings:
    """What a scenario is made from.

    Attributes:
        seed: seeds that tuned anything are never those that judge.
        magnitude: how strong, in the scenario's own unit; None takes its default.
        history_weeks: quiet weeks before anything may happen.
        after_days: calendar days after the history.
        first: the first day.
    """

    seed: int = 1
    magnitude: float | None = None
    history_weeks: int = 26
    after_days: int = 28
    first: date = date(2025, 1, 6)  # a Monday


@dataclass(frozen=True, slots=True)
class ScenarioDay:
    """One calendar day: its files by their path below the landing folder, and when they arrive (UTC); none may come at all."""

    day: date
    files: Mapping[str, bytes] = field(repr=False)
    arrives: datetime | None


@dataclass(frozen=True, slots=True)
class Truth:
    """What happens, as nobody in the platform is told.

    Attributes:
        kind: arrival, instrument, population, concept, duplicates, poison, slow; None where nothing should be noticed.
        starts, ends: the abnormal days, half-open; None where there is none, or no end.
        table: that shows it first; None where nothing does.
        columns: of the table that move.
        what: in one sentence.
    """

    kind: str | None
    starts: date | None
    ends: date | None
    table: str | None
    columns: tuple[str, ...]
    what: str


@dataclass(frozen=True, slots=True)
class Script:
    """The days of a scenario in order, the first day after the quiet history, the truth, and what it was made from."""

    days: tuple[ScenarioDay, ...]
    turns: date
    truth: Truth
    settings: Settings


@dataclass(frozen=True, slots=True)
class Scenario:
    """A scenario that a project registers.

    Attributes:
        name: what `lightkeeper scenario` calls it.
        description: one sentence.
        unit: of `magnitude`.
        default: its magnitude.
        script: makes the days; the same settings make the same bytes.
        tables: assets that only this scenario has, made for its script.
        history_weeks, after_days: how long it must be played to tell its story.
        least_weeks: of a history; from fewer the project's tables cannot be made.
    """

    name: str
    description: str
    unit: str
    default: float
    script: Callable[[Settings], Script]
    tables: Callable[[Script], Sequence[dg.AssetsDefinition]] | None = None
    history_weeks: int = 26
    after_days: int = 14
    least_weeks: int = 1
