"""How verdicts look in Dagster's UI: a result a check, its sentence and numbers, a table of columns, a picture. It judges nothing.

A result is passed only when the state is: what is learning or unknown shows as a warning with its sentence, never as a success.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import dagster as dg
import polars as pl

from lightkeeper.lake.verdicts import Judged
from lightkeeper.measure.picture import beside, markdown
from lightkeeper.values import Verdict, worst_of
from lightkeeper.watch import runs, tables

__all__ = ["GROUPED", "Shown", "pictures", "results", "series"]

Shown = dict[str, dict[str, Any]]  # check -> further metadata

GROUPED = {"run": runs.CHECKS}  # Dagster's check -> the verdicts that it shows together

_LINES = 5
_NUMBERS = ("measured", "limit", "n")
_WHOLE = 1000  # from here on numbers are whole


def results(key: dg.AssetKey, names: Sequence[str], judged: Sequence[Judged], shown: Shown) -> Iterator[dg.AssetCheckResult]:
    """A result a check: of the newest day; what earlier days of the same look showed is told beside it."""
    for name in names:
        shows = GROUPED.get(name, (name,))
        days = [(one, mine) for one in judged if (mine := [each for each in one.verdicts if each.check in shows])]
        last, mine = days[-1]
        worst = worst_of(mine)
        earlier = [one.day for one, found in days[:-1] if any(each.bad for each in found)]
        also = "Also" if worst.bad else "But it failed"
        why = worst.why + (f" {also} on {', '.join(str(day) for day in earlier[-3:])}." if earlier else "")
        yield dg.AssetCheckResult(
            passed=worst.state == "passed" and not earlier,
            check_name=name,
            asset_key=key,
            severity=dg.AssetCheckSeverity.ERROR if worst.state == "failed" else dg.AssetCheckSeverity.WARN,
            description=why,
            metadata={**_metadata(last, worst, mine), **shown.get(name, {})},
        )


def _metadata(judged: Judged, worst: Verdict, mine: Sequence[Verdict]) -> dict[str, Any]:
    found: dict[str, Any] = {"state": worst.state}
    found |= {name: _rounded(value) for name in _NUMBERS if (value := getattr(worst, name)) is not None}
    if judged.day is not None:
        found["day"] = str(judged.day)
    if judged.reference is not None:
        found["reference"] = f"{judged.reference[0]} to {judged.reference[1]} of {judged.asset}@{judged.reference_version}"
    if worst.column is not None:
        found["column"] = worst.column + (f" ({worst.segment})" if worst.segment else "")
    if worst.kind is not None:
        found["kind"] = worst.kind
    if len(mine) > 1:
        found["columns"] = dg.MetadataValue.md(_table(mine))
    return found | {"history": f"lightkeeper check history {judged.asset}"}


def _rounded(value: float) -> float:
    """A number that plots and reads: four digits, and no digit before the point is lost."""
    if isinstance(value, int) or not math.isfinite(value):
        return value
    return float(round(value)) if abs(value) >= _WHOLE else float(f"{value:.4g}")


def _table(mine: Sequence[Verdict]) -> str:
    lines = ["| column | state | measured | limit |", "|---|---|---|---|"]
    for one in mine[:_LINES]:
        name = f"{one.column or ''} {one.segment or ''}".strip() or one.check
        lines.append(f"| {name[:40]} | {one.state} | {_number(one.measured)} | {_number(one.limit)} |")
    return "\n".join([*lines, *([f"\n{len(mine) - _LINES} more"] if len(mine) > _LINES else [])])


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"


def pictures(looked: tables.Looked) -> Shown:
    """The reference beside the last three days, of what the result of the drift names; none where that cannot be drawn."""
    drift = [one for one in looked.judged[-1].verdicts if one.check == "drift"]
    one = worst_of(drift) if drift else None
    both = None if one is None else looked.windows(one)
    if one is None or both is None:
        return {}
    title = f"{one.column}{f' where {one.segment}' if one.segment else ''}: grey the reference, blue now"
    return {"drift": {"picture": dg.MetadataValue.md(markdown(beside(*both), title))}}


def series(found: pl.DataFrame) -> Shown:
    """The oddest series."""
    if found.is_empty():
        return {}
    keys = found.columns[: found.columns.index("day")]
    lines = ["| series | direction | days | actual | forecast | q |", "|---|---|---|---|---|---|"]
    for row in found.head(_LINES).iter_rows(named=True):
        name = ", ".join(str(row[key])[:30] for key in keys)
        numbers = f"{row['actual']:,.0f} | {row['forecast']:,.0f} | {row['q']:.2g}"
        lines.append(f"| {name} | {row['direction']} | {row['window_days']} | {numbers} |")
    return {"anomalies": {"series": dg.MetadataValue.md("\n".join(lines))}}
