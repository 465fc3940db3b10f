"""How a scenario ends: what forecasts missed by, beside what they had missed by, had the first version been left alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from lightkeeper.cli.show import Column, grid, records
from lightkeeper.home import Home

if TYPE_CHECKING:
    from polars import DataFrame
    from rich.console import RenderableType

    from lightkeeper.orchestrate.scenario import Script

__all__ = ["missed", "missed_json"]

_BAR = 20  # characters of the longest bar


def missed(home: Home, script: Script) -> Iterator[RenderableType]:
    """A table a model, and its picture as a file beside the lake."""
    from lightkeeper.measure.picture import two_lines

    for name, weeks in _weeks(home, script):
        if weeks.is_empty() or not float(weeks["never"].sum()):
            continue
        served, never = weeks["served"].to_list(), weeks["never"].to_list()
        top = max(*served, *never)
        table, _ = grid([
            Column("week of", [f"{one:%d %b}" for one in weeks["week"]]),
            Column("actual", [f"{one:,.0f}" for one in weeks["actual"]], right=True),
            Column("missed by", [f"{one:,.0f}" for one in served], right=True),
            Column("left alone", [f"{one:,.0f}" for one in never], right=True),
            Column("", ["█" * round(_BAR * one / top) for one in served]),
        ])  # fmt: skip
        place = home.root / f"missed-{name}.svg"
        place.write_text(two_lines(never, served, ("left alone", "with Lightkeeper")))
        ratio = float(sum(served)) / float(sum(never))
        yield ""
        yield f"What forecasts of {name} missed by, one day ahead:"
        yield table
        yield f"In all {ratio:.2f} x what they had missed by, had the first version been left alone. As a picture: {place}"


def missed_json(home: Home, script: Script) -> dict[str, Any]:
    """The same, for JSON."""
    return {name: records(weeks) for name, weeks in _weeks(home, script)}


def _weeks(home: Home, script: Script) -> Iterator[tuple[str, DataFrame]]:
    """Of each model what its forecasts missed by each week, and what they had missed by, had the first version been left alone."""
    import polars as pl

    from lightkeeper.lake.table import Lake
    from lightkeeper.models.decisions import champion
    from lightkeeper.models.hindsight import missed as by_day
    from lightkeeper.models.registry import read_version
    from lightkeeper.orchestrate.learners import LEARNERS

    lake = Lake(home.lake, clock=home.now)
    for name, known in sorted(LEARNERS.items()):
        model, number = known.learner.model, champion(lake, name, script.turns).version
        if not lake.exists(model.outcome_table):
            continue
        first = read_version(name, lake.read(model.model_table), number) if number else None
        days = by_day(model, lake.read(model.table), lake.read(model.outcome_table), first, script.turns)
        week = pl.col("day").dt.truncate("1w").alias("week")
        yield name, days.group_by(week).agg(pl.col("actual", "served", "never").sum()).sort("week")
