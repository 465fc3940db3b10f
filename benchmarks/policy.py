"""What retraining by itself is worth: scenarios played with the project's sensors, beside other policies on the same days.

Each has 65 quiet weeks, on which the demand is learnt, and then days that something happens to. Files land, checks look,
sensors tick and runs train as in production, in one process on a simulated clock. Other policies are computed in hindsight
from the same feature table: never retraining; the same, its forecasts following a shift of the level; a refit without a gate
on every day; and the best of nine refits without a gate, one a week, chosen by who knows the outcome. The error is the sum of
absolute errors of forecasts one day ahead, over the 8 weeks after the first day whose outcome shows the change. Seeds begin at
8,000: none of them tuned anything, while some of those below did. Figures are ratios to never retraining, or counts; spreads
are the least and the most of the seeds. Two scenarios are played at once, with one thread each for Polars, and one more alone,
for the seconds that a day takes.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import polars as pl

__all__ = ["JOBS", "play", "rows", "run"]

FIRST, WEEKS, HISTORY = 8_000, 8, 65
JOBS = {"quiet": (10, 365), "poison": (10, 14), "new-normal": (10, 63), "lockdown": (10, 63), "hopeless": (10, 130)}  # seeds, days
DAILY = 3  # seeds for which a refit on every day is computed as well


def run(quick: bool) -> dict[str, Any]:  # noqa: FBT001 - the runner's own word
    """Rows of every scenario; quick: two of them, one seed, few days."""
    jobs = {"poison": (1, 4), "lockdown": (1, 6)} if quick else JOBS
    wanted = [(name, FIRST + seed, days) for name, (seeds, days) in jobs.items() for seed in range(seeds)]
    with _one_thread_each(), ProcessPoolExecutor(2, mp_context=get_context("spawn"), max_tasks_per_child=1) as pool:
        found = list(pool.map(_played, wanted))
        alone = pool.submit(_played, ("hopeless", FIRST, 4 if quick else JOBS["hopeless"][1])).result()
    return {"rows": rows(found, alone["seconds"]), "played": found}


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Processes that begin meanwhile have one thread for frames and one for matrices: there are as many as processors."""
    before = dict(os.environ)
    os.environ |= {"POLARS_MAX_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    try:
        yield
    finally:
        os.environ.clear()
        os.environ |= before


def _played(job: tuple[str, int, int]) -> dict[str, Any]:
    return play(*job)


def play(name: str, seed: int, days: int) -> dict[str, Any]:
    """One scenario of one seed: what was done, and what each policy missed by."""
    import dagster as dg

    import lightkeeper as lk
    from assets import LANDINGS, TABLES
    from assets.demand import demand
    from assets.scenarios import SCENARIOS
    from lightkeeper.orchestrate.replay import begin, settle
    from lightkeeper.orchestrate.replay import play as played
    from lightkeeper.orchestrate.running import landed, others, ready
    from lightkeeper.orchestrate.scenario import Settings
    from lightkeeper.orchestrate.sensing import SENSED, Senses

    script = next(one for one in SCENARIOS if one.name == name).script(Settings(seed=seed, after_days=days, history_weeks=HISTORY))
    with tempfile.TemporaryDirectory() as folder:
        home = lk.Home(Path(folder) / "home")
        begin(home, name, script)
        tables = [one for one in TABLES if one.key.to_user_string() != "return_features"]
        defs = lk.project(home.root, landings=LANDINGS, assets=tables, models=[demand], home=home)
        instance, explained = ready(home), dg.AssetKey(demand.explanation_table)
        settle(defs, instance, script, others(defs) - {explained})
        daily = [dg.AssetKey(one) for one in ("daily_demand", "demand_features", "demand_forecast", "demand_outcome")]
        senses = Senses(defs, instance, SENSED, frozenset({explained}))
        began, moments = time.perf_counter(), 0
        for _ in played(defs, instance, home, script, set(daily) | landed(defs), senses=senses):
            moments += 1
        seconds = (time.perf_counter() - began) / max(moments, 1)
        return {"name": name, "seed": seed, "days": days, "seconds": seconds, **_done(home, script), **_errors(home, script, seed)}


def _done(home: Any, script: Any) -> dict[str, Any]:
    """What the ledgers say was done after the history."""
    from assets.demand import demand
    from lightkeeper.alerts.kept import standing
    from lightkeeper.lake.table import Lake
    from lightkeeper.models.attempts import machines
    from lightkeeper.models.decisions import decisions, reigns

    lake = Lake(home.lake, clock=home.now)
    ledger = decisions(lake, "demand")
    machine = machines(ledger, {"demand": demand.retrain_if.attempts})["demand"]
    after = ledger.filter(pl.col("decided_at").dt.date() > script.turns)
    trained = after.filter(pl.col("action") == "trained", pl.col("matured") >= script.turns)
    first = machine.attempts[0] if machine.attempts else None
    alerts = standing(lake)
    return {
        "attempts": [[one.cause, one.outcome] for one in machine.attempts],
        "waited": None if first is None or first.matured is None else (first.matured - script.turns).days + 1,
        "promoted": after.filter(pl.col("action") == "promoted").height,
        "regretted": sum(_regretted(lake, one, other) for one, other in pairwise(reigns(ledger, "demand")) if one.version),
        "rolled_back": after.filter(pl.col("action") == "rolled_back").height,
        "trained_after": trained.height,
        "breaker": machine.breaker,
        "escalations": alerts.filter(pl.col("cause") == "breaker").height,
        "alerts": alerts["cause"].value_counts(sort=True).rows(),
    }


def _regretted(lake: Any, before: Any, serving: Any) -> int:
    """1 where a version that was promoted lost more, by the loss that decides, than the one before it on the days since."""
    from assets.demand import demand
    from lightkeeper.measure.skill import daily
    from lightkeeper.models.backtesting import scored, with_scales
    from lightkeeper.models.judging import loss_for
    from lightkeeper.models.registry import read_version

    if not serving.version:
        return 0
    versions, known = lake.read("demand_model"), lake.read("demand_features").filter(pl.col("units").is_not_null()).collect()
    both = {name: read_version("demand", versions, one.version) for name, one in (("before", before), ("serving", serving))}
    cut = max(one.last_day for one in both.values())
    rows_ = known.filter(pl.col("day") > cut).sort(demand.row_key)
    if rows_.is_empty():
        return 0
    found = {name: one.fitted.scored(rows_) for name, one in both.items()}
    wide = scored(demand, rows_, found["before"], cut).with_columns(one["forecast"].alias(name) for name, one in found.items())
    losses = daily(with_scales(demand, wide, known, cut), {name: name for name in both}, loss_for(demand), time="day")
    return int(losses["serving"].sum() > losses["before"].sum())


def _errors(home: Any, script: Any, seed: int) -> dict[str, Any]:
    """What each policy missed by, in pieces, over the judged weeks."""
    from assets.demand import demand
    from lightkeeper.lake.table import Lake
    from lightkeeper.models.decisions import champion
    from lightkeeper.models.hindsight import missed, missed_by
    from lightkeeper.models.registry import read_version
    from lightkeeper.models.training import fit, training_frame

    lake = Lake(home.lake, clock=home.now)
    table, since, end = lake.read("demand_features"), script.turns + timedelta(1), script.turns + timedelta(weeks=WEEKS)
    number = champion(lake, "demand", script.turns - timedelta(1)).version or champion(lake, "demand", script.turns).version
    first = read_version("demand", lake.read("demand_model"), number) if number else None
    both = missed(demand, table, lake.read("demand_outcome"), first, since).filter(pl.col("day") <= end)
    known = table.filter(pl.col("units").is_not_null()).collect()
    rows_ = known.filter(pl.col("day").is_between(since, end)).sort(demand.row_key)
    found = {"served": float(both["served"].sum()), "never": float(both["never"].sum()), "actual": float(both["actual"].sum())}
    if first is None or rows_.is_empty():
        return found | {"first": number}

    def total(frame: pl.DataFrame) -> pl.DataFrame:
        return frame.group_by("day").agg(pl.col("error").abs().sum()).sort("day")

    def refitted(until: Any) -> pl.DataFrame:
        artifact = fit(demand, training_frame(demand, table, until), first.row["rounds"])
        return total(missed_by(demand, rows_, replace(first, fitted=artifact.fitted), known))

    alone = missed_by(demand, rows_, first, known)
    stays = total(alone)
    found["followed"] = float(total(_followed(demand, first, table, alone))["error"].sum())
    weekly = {}
    for week in range(WEEKS + 1):
        until = script.turns + timedelta(weeks=week) - timedelta(1)
        after = pl.col("day") > until
        weekly[week] = float(stays.filter(~after)["error"].sum() + refitted(until).filter(after)["error"].sum())
    found |= {"weekly": weekly, "best": min(weekly.values()), "first": number}
    found["naive"] = float(total(missed_by(demand, rows_, None, known))["error"].sum())
    if seed < FIRST + DAILY:
        days = rows_["day"].unique().sort().to_list()
        each = [refitted(day - timedelta(1)).filter(pl.col("day") == day)["error"].sum() for day in days]
        found["daily"] = float(sum(each))
    return found


def _followed(model: Any, version: Any, table: Any, alone: pl.DataFrame) -> pl.DataFrame:
    """What a version that is never replaced would have missed by, one day ahead, its forecasts following a shift of the level."""
    from lightkeeper.models.following import past_as_served, past_of, shifts

    factors = shifts(model, version, past_of(model, version, table))
    bare = alone.with_columns(low=pl.lit(None, pl.Float64), high=pl.lit(None, pl.Float64))
    moved = past_as_served(model, bare, factors, ahead=1)
    return moved.with_columns((pl.col(model.target) - pl.col("forecast")).alias("error"))


# ---- rows


def rows(found: Sequence[Mapping[str, Any]], alone: float) -> list[dict[str, Any]]:
    """The table of the page; `alone`: seconds a simulated day with nothing beside it."""
    by: dict[str, list[Mapping[str, Any]]] = {}
    for one in found:
        by.setdefault(one["name"], []).append(one)
    made = []
    for name, played in by.items():
        made += _acted(name, played) + (_ratios(name, played) if name in ("new-normal", "lockdown", "hopeless", "quiet") else [])
    every = [one["seconds"] for one in found]
    return [
        *made,
        _row("seconds a simulated day, in process", [alone], 2.0, "s"),
        _row("the same, two scenarios at once", every, None, "s", median=True),
    ]


def _row(what: str, values: Sequence[float], limit: float | None, unit: str, *, median: bool = False) -> dict[str, Any]:
    middle = statistics.median(values) if median else sum(values)
    return {"what": what, "ours_s": middle, "theirs_s": None, "ratio": None, "spread": [min(values), max(values)], "limit": limit,
            "limit_of": "ours_s", "n": len(values), "unit": unit}  # fmt: skip


def _acted(name: str, played: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    tried = [sum(outcome != "held" for _, outcome in one["attempts"]) for one in played]
    other = [sum(cause != "age" and outcome != "held" for cause, outcome in one["attempts"]) for one in played]
    made = [_row(f"{name}: retrainings, all seeds", tried, None, "")]
    if name == "quiet":
        worse = [one["regretted"] for one in played]
        made += [_row(f"{name}: of them not by age", other, 0.0, ""),
                 _row(f"{name}: promotions, all seeds", [one["promoted"] for one in played], None, ""),
                 _row(f"{name}: promotions of what was worse since", worse, 0.1 * len(played), "")]  # fmt: skip
    if name == "poison":
        made.append(_row(f"{name}: trainings on days with the broken one", [one["trained_after"] for one in played], 0.0, ""))
    if name == "hopeless":
        made += [_row(f"{name}: breakers that did not open", [int(one["breaker"] != "open") for one in played], 0.0, ""),
                 _row(f"{name}: escalations beyond one", [max(0, one["escalations"] - 1) for one in played], 0.0, "")]  # fmt: skip
    waited = [one["waited"] for one in played if one["waited"] is not None and name != "quiet"]
    return [*made, *([_row(f"{name}: matured days before the first attempt", waited, None, "days", median=True)] if waited else [])]


def _ratios(name: str, played: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    full = [one for one in played if one.get("best")]
    if not full:
        return []
    limits = (1.15, 1.02) if name in ("new-normal", "lockdown") else (None, 1.02)
    told = (
        ("served", "best", "error, x the best of weekly dates", limits[0]),
        ("served", "never", "error, x never retraining", limits[1]),
        ("followed", "never", "never retraining, but following the level, x never retraining", None),
        ("naive", "never", "the naive forecast, x never retraining", None),
    )
    made = [_row(f"{name}: {what}", [one[a] / one[b] for one in full], most, "x", median=True) for a, b, what, most in told]
    daily = [one["daily"] / one["never"] for one in full if "daily" in one]
    text = f"{name}: a refit every day without a gate, x never retraining"
    return [*made, *([_row(text, daily, None, "x", median=True)] if daily else [])]
