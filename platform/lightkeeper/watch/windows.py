"""Two windows of one column for a picture: the days of the reference, and the last three that were judged. It judges nothing."""

from __future__ import annotations

from lightkeeper.lake.table import Lake
from lightkeeper.values import Verdict
from lightkeeper.watch.kept import LEVEL, Days, known_days, last_reference
from lightkeeper.watch.tables import Looked

__all__ = ["windows"]

_NOW = 3  # days


def windows(lake: Lake, looked: Looked, verdict: Verdict) -> tuple[list[int], list[int]] | None:
    """The counts of what a verdict on the last day names, a column or a segment of it, in the same cells; None without any.

    How high a number is beside what its members usually have is no share of rows in cells: it has none.
    """
    column, segment = verdict.column or "", verdict.segment or ""
    if segment.startswith(LEVEL):
        return None
    past, now = _of_segment(lake, looked, column, segment) if segment else looked.pictures.get(column, ([], []))
    return (past, now) if any(past) and any(now) and len(past) == len(now) else None


def _of_segment(lake: Lake, looked: Looked, column: str, segment: str) -> tuple[list[int], list[int]]:
    """Read from what is kept: a look holds the counts of whole columns alone."""
    last = looked.judged[-1]
    reference = last_reference(lake, last.asset)
    like = None if reference is None else reference.cells.columns.get(column)
    if reference is None or like is None or last.day is None:
        return [], []
    known = known_days(lake, last.asset, reference.number)
    days = known.between(reference.quiet.start, reference.quiet.end), known.upto(last.day, _NOW)
    past, now = (_summed(one, column, like.cells.size, segment) for one in days)
    return past, now


def _summed(days: Days, column: str, size: int, segment: str) -> list[int]:
    return [int(rows) for rows in days.counts(column, size, segment).sum(axis=0)]
