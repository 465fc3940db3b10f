"""What is known of each model now, for the decision whether it is retrained. It reads what holds now and computes nothing.

Three small tables answer for all models together: the states of checks, the suspect days, the ledger of decisions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import polars as pl

from lightkeeper.lake.suspects import LASTS, suspects
from lightkeeper.lake.table import Lake
from lightkeeper.lake.verdicts import states
from lightkeeper.measure.level_shift import CHECK as LEVEL_SHIFT
from lightkeeper.models.attempts import machines
from lightkeeper.models.decisions import decisions, standing
from lightkeeper.models.episodes import ASKING, STAYING, STAYS, Broken, Cause, Event, State, kind_of
from lightkeeper.models.model import Model
from lightkeeper.models.training import judged_on
from lightkeeper.values import BAD

__all__ = ["Learner", "of_serving", "situations"]

_Rows = Mapping[str, list[Mapping[str, Any]]]  # asset -> its rows

_OF_VALUES = ("contract", "volume", "nulls", "categories", "range", "duplicates")


@dataclass(frozen=True, slots=True)
class Learner:
    """A model, the tables that its rows come from, its own among them, and those of them that nothing here is made from.

    Only in the latter does a broken value say that a file is broken: in a table made from others the world may show so.
    """

    model: Model
    tables: tuple[str, ...]
    raw: tuple[str, ...] = ()


def situations(lake: Lake, learners: Sequence[Learner], events: Sequence[Event] = ()) -> dict[str, State]:
    """The state of each model, by its name."""
    by_asset, days, ledger = _by_asset(states(lake).rows()), _by_asset(suspects(lake)), decisions(lake)
    tried = machines(ledger, {one.model.name: one.model.retrain_if.attempts for one in learners})
    mine = ledger.partition_by("model", as_dict=True) if ledger.height else {}
    moves = ledger.filter(pl.col("action").is_in(["promoted", "rolled_back"])).group_by("model").agg(pl.col("decided_at").max())
    moved = dict(moves.iter_rows())
    now = lake.clock()
    found = {}
    for one in learners:
        model, of_model = one.model, mine.get((one.model.name,), ledger.clear())
        serves = standing(of_model, model.name)[0]
        found[model.name] = State(
            model.name, serves, model.retrain_if, judged_on(model), now,
            _matured(model, by_asset), tuple(_causes(model, by_asset, moved.get(model.name), now)),
            tuple(_broken(one, by_asset, days)),
            tried[model.name], tuple(events), _learnt(of_model, serves), model.promote_if.least_days,
            _followed(model, by_asset, moved.get(model.name), now), tuple(_unjudged(model, by_asset)),
        )  # fmt: skip
    return found


def of_serving(known_at: datetime, moved: datetime | None, now: datetime) -> bool:
    """Whether a verdict that was reached at a moment is on who serves now.

    Decisions never go back in time, verdicts have the clock's. A champion that was moved ahead of the clock was moved by a clock
    that has gone back since: then every verdict up to now counts, until the next look at the latest it is on who serves.

    Args:
        known_at: when the verdict was reached.
        moved: when who serves began to serve; None: always.
        now: by the clock.
    """
    if moved is None:
        return True
    return known_at <= now if moved > now else known_at >= moved


def _learnt(rows: pl.DataFrame, champion: int) -> date | None:
    """The last day that the champion has learnt from, as it was noted when it was trained."""
    mine = rows.filter(pl.col("action") == "trained", pl.col("version") == champion) if champion else rows.clear()
    return mine["matured"].to_list()[-1] if mine.height else None


def _by_asset(rows: pl.DataFrame) -> _Rows:
    found: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows.iter_rows(named=True):
        found.setdefault(row["asset"], []).append(row)
    return found


def _matured(model: Model, rows: _Rows) -> date | None:
    """The last day whose outcome is known, as the look at the champion's age found it."""
    return next((row["day"] for row in rows.get(model.outcome_table, []) if row["check"] == "unlearnt"), None)


def _followed(model: Model, rows: _Rows, moved: datetime | None, now: datetime) -> float:
    """What the forecasts of who serves now are multiplied with."""
    found = (row for row in rows.get(model.outcome_table, []) if row["check"] == LEVEL_SHIFT and row["state"] in BAD)
    mine = [row for row in found if of_serving(row["known_at"], moved, now)]
    return float(mine[0]["measured"]) if mine else 1.0


def _causes(model: Model, rows: _Rows, moved: datetime | None, now: datetime) -> list[Cause]:
    """The checks that fail and may ask: of the outcomes of who serves now, and of drift of what the model learns from."""
    used = {*model.features, model.target}
    mine = [row for row in rows.get(model.outcome_table, []) if of_serving(row["known_at"], moved, now)]
    found = [(row, row["since"]) for row in mine if row["state"] in BAD and _may_ask(row)]
    of_table = (row for row in rows.get(model.table, []) if of_serving(row["known_at"], moved, now))
    drifted = (row for row in of_table if row["check"] == "drift" and row["state"] in BAD)
    found += [(row, min(lasting)) for row in drifted if (lasting := _lasting(row, used))]
    return [Cause(row["check"], row["asset"], since, row["why"], _worth(row)) for row, since in found]


def _unjudged(model: Model, rows: _Rows) -> Iterator[str]:
    """The checks that may ask, have failed, and could not be judged by the last look."""
    held = [*rows.get(model.outcome_table, []), *(row for row in rows.get(model.table, []) if row["check"] == "drift")]
    yield from (row["check"] for row in held if row["state"] == "unknown" and row["failing"] and kind_of(row["check"]) in ASKING)


def _may_ask(row: Mapping[str, Any]) -> bool:
    """Of the checks on outcomes: accuracy and age at once, coverage when it has failed for some days."""
    kind = kind_of(row["check"])
    return kind in ASKING and (kind not in STAYING or _stays(row, row["since"]))


def _lasting(row: Mapping[str, Any], used: set[str]) -> list[date]:
    """Since when those columns drift that are used and have drifted for some days."""
    since = row["columns_since"] or [row["since"]] * len(row["columns"])  # a state of an earlier build knows its own day alone
    return [day for name, day in zip(row["columns"], since, strict=True) if name in used and _stays(row, day)]


def _stays(row: Mapping[str, Any], since: date) -> bool:
    return row["day"] is not None and row["day"] - since >= timedelta(STAYS - 1)


def _worth(row: Mapping[str, Any]) -> str:
    """What a failing check is worth in units of the target, where that is known."""
    return "" if row["impact"] is None else f"about {row['impact']:,.2f} {row['unit'] or ''} a row"


def _broken(one: Learner, rows: _Rows, days: _Rows) -> Iterator[Broken]:
    """Why a model's data must not be learnt from now."""
    for table in one.raw:
        for row in days.get(table, []):
            yield Broken("suspect", table, f"{table} of {row['day']} is suspect: {row['why']}", row["day"])
    for table in one.tables:
        for row in rows.get(table, []):
            if row["check"] == "freshness" and row["state"] == "failed":
                yield Broken("late", table, f"{table} is late: {row['why']}", row["day"])
            elif table in one.raw and row["check"] in _OF_VALUES and row["state"] == "failed" and row["failing"] < LASTS:
                why = f"{table} {row['check']} fails since {row['since']}, which may be a broken file: {row['why']}"
                yield Broken("values", table, why, row["day"])
