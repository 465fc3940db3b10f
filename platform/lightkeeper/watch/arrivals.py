"""Whether a table is as new as promised, or as usual; and what its landing refused. By event time and the home's clock."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta

import polars as pl

from lightkeeper.lake.ledger import Ledger
from lightkeeper.lake.table import Lake
from lightkeeper.measure.freshness import Usual, arrivals, fresh
from lightkeeper.measure.rates import nearest, rate
from lightkeeper.values import Verdict, plural

__all__ = ["contract", "freshness", "lost"]

_PAST = 182  # days of rejected lines that tell what is usual


def freshness(newest: date | None, now: datetime, files: Ledger | None, asset: str, within: timedelta | None) -> Verdict:
    """Whether the newest event day of a table is late: against a promise, else against when days usually arrive."""
    usual = None if files is None else _usual(files, asset)
    found = fresh(newest, now, usual, within)
    return Verdict(
        found.check, found.state, found.why, found.measured, found.limit, found.n,
        kind="arrival" if found.bad else None, extra=found.extra,
    )  # fmt: skip


def _usual(files: Ledger, asset: str) -> Usual:
    rows = files.rows((pl.col("asset") == asset) & (pl.col("state") == "landed") & pl.col("part").is_not_null())
    return arrivals(rows.select(day="part", arrived="known_at"))


def lost(lake: Lake, rejected: str, rows: Mapping[date, int], today: date) -> dict[date, int]:
    """The days of the last half year of which no line landed as each broke the contract, and how many lines they had."""
    if not lake.exists(rejected):
        return {}
    recent = lake.read(rejected).filter(pl.col("day") >= today - timedelta(_PAST)).group_by("day").len().sort("day")
    return {day: n for day, n in recent.collect().iter_rows() if day not in rows}


def contract(lake: Lake, table: str, rejected: str, day: date, rows: Mapping[date, int]) -> list[Verdict]:
    """Whether a day's lines broke a rule of the contract more often than such days do.

    Args:
        lake: where both tables stand.
        table: the landed one.
        rejected: where broken lines stand, with `day` and `rule`.
        day: that is judged.
        rows: of each day that landed.
    """
    if not lake.exists(rejected):
        return [Verdict("contract", "unknown", f"{table} has landed nothing, so that nothing could break its contract.")]
    since = day - timedelta(_PAST)
    broken = lake.read(rejected).filter(pl.col("day").is_between(since, day)).select("day", pl.col("rule").str.split(",")).collect()
    counts = broken.explode("rule").group_by("day", "rule").len()
    each = {(one, rule): n for one, rule, n in counts.iter_rows()}
    rejects = dict(broken.group_by("day").len().iter_rows())
    days = [one for one in sorted(rows) if since <= one < day]
    totals = {one: rows.get(one, 0) + rejects.get(one, 0) for one in (*days, day)}
    rules = sorted({rule for _, rule in each})
    found = [
        rate("contract", rule, [(each.get((one, rule), 0), totals[one]) for one in days], each.get((day, rule), 0), totals[day])
        for rule in rules
    ]
    if not found:
        lines = "The one line keeps" if totals[day] == 1 else f"All {totals[day]:,} lines keep"
        return [Verdict("contract", "passed", f"{lines} the contract, as all before did.", 0.0, n=totals[day])]
    return nearest("contract", found, f"{plural(len(rules), 'rule was', 'rules were')} broken now or before.")
