"""Random histories of a table: steps that a test plays on a lake and on plain Python lists alike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta

import polars as pl
from hypothesis import strategies as st

from lightkeeper.lake.table import Lake
from lightkeeper.values import TableVersion

__all__ = ["DAYS", "Row", "Step", "frame", "histories", "play", "rows_of"]

Row = tuple[object, ...]
DAYS = [date(2026, 1, 30) + timedelta(n) for n in range(4)]  # across the end of a month
SCHEMA = {"day": pl.Date, "item": pl.String, "units": pl.Int64, "price": pl.Float64}


@dataclass(frozen=True)
class Step:
    """One thing done to a table: mode, rows, and for `replace` the days."""

    mode: str
    rows: list[Row]
    days: tuple[date, ...] = ()


def _one_zero(value: float) -> float:
    """The content hash takes the two zeros for one, so that the one over the other is no change."""
    return value + 0.0


_row = st.tuples(
    st.one_of(st.none(), st.sampled_from(DAYS)),
    st.one_of(st.none(), st.sampled_from(["a", "ü", ""]), st.text(st.characters(codec="utf-8"), max_size=20)),
    st.one_of(st.none(), st.integers(-3, 3), st.integers(-(2**63), 2**63 - 1)),
    st.one_of(st.none(), st.sampled_from([0.0, float("inf"), float("-inf")]), st.floats(allow_nan=False).map(_one_zero)),
)


@st.composite
def _replace(draw: st.DrawFn) -> Step:
    days = draw(st.lists(st.sampled_from(DAYS), min_size=1, max_size=2, unique=True))
    rows = draw(st.lists(_row, max_size=5))
    return Step("replace", [(days[n % len(days)], *row[1:]) for n, row in enumerate(rows)], tuple(days))


def histories(longest: int = 8) -> st.SearchStrategy[list[Step]]:
    """Lists of steps."""
    plain = st.builds(Step, st.sampled_from(["overwrite", "append", "overwrite by day"]), st.lists(_row, max_size=6))
    step = st.one_of(plain, _replace(), _replace(), st.just(Step("migrate", [])))
    return st.builds(lambda first, others: [first, *others], plain, st.lists(step, max_size=longest - 1))


def frame(rows: list[Row]) -> pl.DataFrame:
    """Rows as the frame that is written."""
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def rows_of(lazy: pl.LazyFrame) -> list[str]:
    """The rows as a multiset: texts, sorted."""
    return sorted(map(repr, lazy.collect().rows()))


@dataclass(frozen=True)
class _Held:
    """What a plain table holds: its rows, and how many columns migrations have added."""

    rows: list[Row]
    wide: int = 0


def play(lake: Lake, steps: list[Step], table: str = "t") -> dict[int, list[str]]:
    """Do the steps; for every version that a step made, the rows that it must hold, as `rows_of` gives them."""
    held, expected = _Held([]), dict[int, list[str]]()
    for step in steps:
        made, held = _do(lake, table, step, held)
        expected[made.version] = sorted(map(repr, held.rows))
    return expected


def _do(lake: Lake, table: str, step: Step, held: _Held) -> tuple[TableVersion, _Held]:
    new = [(*row, *[None] * held.wide) for row in step.rows]
    written = frame(step.rows).with_columns(pl.lit(None, pl.Int32).alias(f"extra{n}") for n in range(held.wide))
    if step.mode == "append":
        return lake.append(table, written), _Held(held.rows + new, held.wide)
    if step.mode == "replace":
        kept = [row for row in held.rows if row[0] not in step.days]
        return lake.write(table, written, by="day", replace=step.days), _Held(kept + new, held.wide)
    if step.mode == "migrate":
        made = lake.migrate(table, _one_more(held.wide), "one column more")
        return made, _Held([(*row, None) for row in held.rows], held.wide + 1)
    by = "day" if step.mode.endswith("day") else None
    return lake.write(table, written.lazy() if by is None else written, by=by), _Held(new, held.wide)


def _one_more(wide: int) -> Callable[[pl.LazyFrame], pl.LazyFrame]:
    return lambda rows: rows.with_columns(pl.lit(None, pl.Int32).alias(f"extra{wide}"))
