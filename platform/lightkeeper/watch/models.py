"""A model looked at: its age, its forecasts beside what came true, series that left their interval. It trains nothing."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import cast

import polars as pl

from lightkeeper.lake.suspects import doubted
from lightkeeper.lake.table import Lake
from lightkeeper.lake.verdicts import Judged, states
from lightkeeper.measure.anomaly import WINDOWS
from lightkeeper.measure.decay import accuracy, covers
from lightkeeper.measure.freshness import model_age
from lightkeeper.measure.level_shift import CHECK as LEVEL_SHIFT
from lightkeeper.measure.level_shift import LEAST, MOST, WINDOW, LevelShift
from lightkeeper.models import shadow
from lightkeeper.models.decisions import decisions, reigns, standing
from lightkeeper.models.following import shifts
from lightkeeper.models.forecasting import Server, calibration, server
from lightkeeper.models.model import Model
from lightkeeper.models.outcomes import level_name, unmoved
from lightkeeper.values import TableVersion, Verdict
from lightkeeper.watch.series import BAND, anomalous

__all__ = ["Looked", "checks_of_outcomes", "look"]

_MATURED = 28  # days of outcomes that accuracy and coverage look at


@dataclass(frozen=True, slots=True)
class Looked:
    """The verdicts on the champion's age and on the outcomes, and the series that were tested for anomalies, the oddest first."""

    judged: tuple[Judged, ...]
    series: pl.DataFrame = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Champion:
    """Who serves, what was decided of the model, and the table of its versions; None before the first."""

    who: Server
    rows: pl.DataFrame = field(repr=False)
    versions: pl.LazyFrame | None = field(repr=False)

    @classmethod
    def of(cls, lake: Lake, model: Model) -> _Champion:
        rows = decisions(lake, model.name)
        versions = lake.read(model.model_table) if lake.exists(model.model_table) else None
        return cls(server(model.name, versions, standing(rows, model.name)), rows, versions)


def checks_of_outcomes(model: Model) -> tuple[str, ...]:
    """The checks on a model's outcomes."""
    levels = () if model.kind == "binary" else model.levels
    banded = ("anomalies",) if BAND in levels and model.horizon and model.keys else ()
    moved = (LEVEL_SHIFT,) if model.follows else ()
    return ("accuracy", *(f"coverage_{level_name(one)}" for one in levels), *banded, *moved, shadow.CHECK)


def look(lake: Lake, model: Model, version: TableVersion, run_id: str | None = None) -> Looked:
    """The champion's age, and accuracy, coverage and anomalies of what has matured, by the newest forecast of each day."""
    champion, table = _Champion.of(lake, model), _beside(lake, model, version)
    known = table.filter(pl.col(model.target).is_not_null()).collect()
    found, series, last = _outcomes(lake, model, champion, version, table, known)
    verdicts = (_age(lake, model, champion, known), (last, found))
    return Looked(tuple(Judged(version, day, run_id=run_id, verdicts=tuple(each)) for day, each in verdicts), series)


def _beside(lake: Lake, model: Model, version: TableVersion) -> pl.LazyFrame:
    """The model's table as the outcomes were made from it; as it is now, where another writer made them."""
    again = lake.unchanged.rows().filter(pl.col("table") == version.table, pl.col("version") == version.version)
    names = again["inputs"].to_list()[-1] if again.height else [str(one.version) for one in lake.commit(version).inputs]
    read = (one for one in map(TableVersion.parse, names) if one.table == model.table)
    return lake.read(model.table, next(read, None))


def _age(lake: Lake, model: Model, champion: _Champion, known: pl.DataFrame) -> tuple[date | None, list[Verdict]]:
    """How old is what the champion learnt, and how many matured days it has not learnt from; the day is the last matured one.

    A champion that was judged beside a younger challenger and stayed counts from the last day of that judgement, and so does
    the naive forecast, which learns each day anew but may have found its better.
    """
    who, last = champion.who, cast("date | None", known[model.time].max())
    confirmed = _confirmed(champion.rows, who.number)
    learnt = who.trained.last_day if who.trained is not None else confirmed
    if learnt is None or last is None:
        why = f"{who.name} serves, and nothing was judged beside it yet: it has no age."
        return last, [Verdict(check, "learning", why) for check in ("age", "unlearnt")]
    return last, model_age(learnt, last, lake.clock(), model.max_age_days, confirmed)


def _confirmed(rows: pl.DataFrame, champion: int) -> date | None:
    """The last judged day of what was judged beside a champion and left it there."""
    stayed = pl.col("action") == "confirmed" if champion else pl.col("action").is_in(["confirmed", "rejected", "promoted"])
    return cast(
        "date | None", rows.filter(stayed, pl.col("judgement").is_not_null(), pl.col("against") == champion)["matured"].max()
    )


def _outcomes(  # noqa: PLR0913, PLR0917 - what a look stands on
    lake: Lake, model: Model, champion: _Champion, version: TableVersion, table: pl.LazyFrame, known: pl.DataFrame
) -> tuple[list[Verdict], pl.DataFrame, date | None]:
    """The verdicts on what has matured, the series that were tested, and the last day of the outcomes."""
    who = champion.who
    outcomes = lake.read(version.table, version).filter(pl.col(model.time) < lake.clock().date()).collect()
    last = cast("date | None", outcomes[model.time].max())
    if last is None or known.is_empty():
        why = f"{version} has no outcome yet: no forecast has matured."
        return [Verdict(check, "learning", why) for check in checks_of_outcomes(model)], pl.DataFrame(), None
    recent = outcomes.filter(pl.col(model.time) > last - timedelta(_MATURED))
    mine = recent.filter(pl.col("model_version") == who.name)
    every = calibration(model, who, table, known, banded=False)
    past = every.filter(pl.col(model.time) <= _learnt(who, last))
    levels = () if model.kind == "binary" else model.levels
    missed = _concept(lake, model, _in_units(model, accuracy(_losses(model, unmoved(mine)), _losses(model, past))))
    found, series = [missed, *(_covered(model, mine, level) for level in levels)], pl.DataFrame()
    if "anomalies" in checks_of_outcomes(model):
        series, verdict = _anomalies(model, who, recent, past, known)
        found.append(verdict)
    if model.follows:
        found.append(_level(who, LevelShift.of(shifts(model, who.trained, every, doubted(lake))), judged=past.height > 0))
    return [*found, _former(model, champion, table, lake.clock())], series, last


def _learnt(who: Server, last: date) -> date:
    """Up to when a server's own past is its backtest; of the naive forecast, up to before the days that are judged."""
    return last - timedelta(max(WINDOWS)) if who.trained is None else min(who.trained.last_day, last - timedelta(max(WINDOWS)))


def _concept(lake: Lake, model: Model, found: Verdict) -> Verdict:
    """Forecasts that miss while what they are made from is as it was: what it means for the target has changed."""
    if not found.bad:
        return found
    drift = states(lake).rows((pl.col("asset") == model.table) & (pl.col("check") == "drift"))
    state = None if drift.is_empty() else drift["state"][0]
    moved = state == "drifted" and bool(set(model.features) & set(drift["columns"][0]))
    if state not in ("passed", "drifted") or moved:
        return found
    why = f"{found.why} No feature has drifted: what they mean for {model.target} has changed."
    return replace(found, kind="concept", why=why)


def _level(who: Server, shift: LevelShift, *, judged: bool) -> Verdict:
    """Whether what comes true has another level than the version forecasts, and forecasts follow it; judged: it has a backtest."""
    if who.trained is None:
        return Verdict(LEVEL_SHIFT, "unknown", f"{who.name} serves: it has the level of its last season by itself.")
    if shift.ratio is None:
        why = f"No ratio of outcomes to forecasts yet: {WINDOW} days must have matured since {who.name} was trained, and it must"
        return Verdict(LEVEL_SHIFT, "learning", f"{why} have forecast more than 0 on them.")
    bound = {LEAST: " or less", MOST: " or more"}.get(shift.ratio, "")
    came = f"In the last {WINDOW} days {shift.ratio:.0%}{bound} of what {who.name} forecast came true"
    if not judged:
        why = f"{came}. {who.name} has no backtest beside which following that could be better: it is not followed."
        return Verdict(LEVEL_SHIFT, "unknown", why, shift.ratio, n=WINDOW)
    if shift.since is None:
        return Verdict(LEVEL_SHIFT, "passed", f"{came}; to follow that has not missed less.", shift.ratio, n=WINDOW)
    why = f"{came}. Its forecasts are multiplied by that since {shift.since}, as it misses less; they stop when it does not."
    return Verdict(LEVEL_SHIFT, "drifted", why, shift.ratio, n=WINDOW)


def _anomalies(
    model: Model, who: Server, recent: pl.DataFrame, past: pl.DataFrame, known: pl.DataFrame
) -> tuple[pl.DataFrame, Verdict]:
    if past.is_empty():
        why = f"{who.name} has no forecasts of days that it had not learnt from, beside which its series could be odd."
        return pl.DataFrame(), Verdict("anomalies", "learning", why)
    return anomalous(model, who, recent, past, known)


def _former(model: Model, champion: _Champion, table: pl.LazyFrame, now: datetime) -> Verdict:
    """Who served before, on the outcomes since."""
    who, stands = champion.who, standing(champion.rows, model.name)
    if who.trained is None or stands[0] != who.number:
        return Verdict(shadow.CHECK, "unknown", f"{who.name} serves, and nobody is compared with it.")
    since = reigns(champion.rows, model.name)[-1].since
    served = since.date() if since is not None and since <= now else date.min  # else by a clock that has gone back since
    before = server(model.name, champion.versions, stands[1:]).trained
    return shadow.former(model, table, who.trained, before, served)


def _losses(model: Model, rows: pl.DataFrame) -> pl.DataFrame:
    """The mean absolute error of each day."""
    known = rows.filter(pl.col("actual").is_not_null() & pl.col("forecast").is_not_null())
    loss = (pl.col("actual") - pl.col("forecast")).abs().mean().alias("loss")
    return known.group_by(pl.col(model.time).alias("day")).agg(loss).sort("day")


def _in_units(model: Model, found: Verdict) -> Verdict:
    """With what the champion's error is larger than promised, in units of the target a row."""
    if found.measured is None or "matured" not in found.extra:
        return found
    impact = float(str(found.extra["matured"])) - float(str(found.extra["backtest"]))
    return replace(found, extra={**found.extra, "impact": impact, "unit": model.target})


def _covered(model: Model, rows: pl.DataFrame, level: float) -> Verdict:
    name, inside = f"coverage_{level_name(level)}", pl.col(f"inside_{level_name(level)}")
    counts = rows.filter(inside.is_not_null()).group_by(pl.col(model.time).alias("day"))
    found = covers(counts.agg(pl.len().alias("n").cast(pl.Int64), inside.sum().alias("inside").cast(pl.Int64)).sort("day"), level)
    return Verdict(name, found.state, found.why, found.measured, found.limit, found.n, extra=found.extra)
