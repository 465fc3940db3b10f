"""Judging: champion, challenger and the naive forecast on the same rows of one table version.

It decides nothing by itself: the rule stands in `measure.gate`, and what follows from it in `promotion`.

Neither of the two has seen the judged rows: they lie after both cuts, and their targets have matured.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any

import polars as pl

from lightkeeper.errors import Refused
from lightkeeper.measure.compared import compared, told
from lightkeeper.measure.gate import Contest, Ruling, rule
from lightkeeper.measure.intervals import Settings, calibrate
from lightkeeper.measure.skill import Loss, daily, loss_of, measured
from lightkeeper.models.backtesting import naive_forecasts, scored, with_scales
from lightkeeper.models.expectations import Held, tried
from lightkeeper.models.following import as_served
from lightkeeper.models.model import Model
from lightkeeper.models.outcomes import band_columns
from lightkeeper.models.registry import Trained
from lightkeeper.models.training import assert_columns, assert_known, assert_same_types
from lightkeeper.values import TableVersion, version_name

__all__ = ["NOTES", "ROW", "Judgement", "Panel", "judge", "judgement_rows", "loss_for", "panel_of"]

_MEDIANS = {"regression_l1", "mape", "fair"}  # objectives whose forecast is a median, to be judged by absolute errors
_WEEK = 7
_CONTENDERS = ("challenger", "champion", "naive")

_METRICS = ("wape", "mase", "rmsse", "pinball", "coverage_80", "coverage_95", "bias", "brier", "log_loss")

ROW: dict[str, pl.DataType] = {
    "judgement": pl.Int64(), "model": pl.String(), "judged_at": pl.Datetime("us", "UTC"), "challenger": pl.Int64(),
    "champion": pl.Int64(), "table_version": pl.String(), "first_day": pl.Date(), "last_day": pl.Date(), "slice": pl.String(),
    "contender": pl.String(), "n": pl.Int64(), "days": pl.Int64(), **{name: pl.Float64() for name in _METRICS},
    "loss": pl.Float64(), "better_by": pl.Float64(), "better_low": pl.Float64(), "better_high": pl.Float64(),
    "alpha": pl.Float64(), "action": pl.String(), "code": pl.String(), "why": pl.String(),
}  # fmt: skip

NOTES = {
    "judgement": "Counts from 1.",
    "model": "The model's name.",
    "judged_at": "By the home's clock, UTC.",
    "challenger": "The version that was judged.",
    "champion": "The version that served; 0 is the naive forecast.",
    "table_version": "The version of the feature table whose rows were judged on.",
    "first_day": "First judged day.",
    "last_day": "Last judged day.",
    "slice": "all, or the rows of a slice: days ahead 1-7, country=France.",
    "contender": "challenger, champion or naive, each with its version.",
    "n": "Rows, the same for each contender.",
    "days": "Days.",
    "wape": "Sum of absolute errors over sum of absolute actuals.",
    "mase": "Mean absolute error over that of the seasonal naive forecast in the past (Hyndman and Koehler 2006).",
    "rmsse": "Root of the mean squared error, scaled in the same way (M5).",
    "pinball": "Mean pinball loss of the band's quantiles, 0.1 and 0.9.",
    "coverage_80": "Share of actuals inside the 80% interval, each week's calibrated on the other weeks.",
    "coverage_95": "The same of the 95% interval.",
    "bias": "Sum of forecasts over sum of actuals, less 1.",
    "brier": "Mean squared error of the probability; of a binary target only.",
    "log_loss": "Mean logarithmic loss; of a binary target only.",
    "loss": "The loss that decides: scaled squared errors for a mean, absolute ones for a median, Brier for a probability.",
    "better_by": "The challenger's advantage over this contender, in the unit of the loss; null for the challenger itself.",
    "better_low": "Lower limit of that advantage, by the paired differences over days.",
    "better_high": "Upper limit.",
    "alpha": "What the gate spent.",
    "action": "promote, reject or naive.",
    "code": "The reason as one word.",
    "why": "The reason in one sentence.",
}


@dataclass(frozen=True)
class Panel:
    """The known days of a feature table that a judgement stands on.

    Attributes:
        known: keys, time, target of every known day.
        judged: keys, time, target, features and slices of the rows after both cuts.
        cut: the last day before them.
    """

    known: pl.DataFrame
    judged: pl.DataFrame
    cut: date


@dataclass(frozen=True)
class Judgement:
    """What a judgement found.

    Attributes:
        challenger, champion: version numbers; 0 is the naive forecast.
        ruling: what the gate says, with its sentence.
        rows: metrics by contender and slice, as `ROW` without what only the caller knows.
        scored: the challenger's forecasts of the judged rows, for the intervals.
        held: the expectations that were tried.
        first, last: judged days; None where there are none.
    """

    challenger: int
    champion: int
    ruling: Ruling
    alpha: float
    rows: pl.DataFrame
    scored: pl.DataFrame
    held: Sequence[Held]
    first: date | None
    last: date | None


def loss_for(model: Model) -> Loss:
    """The loss that decides between versions of a model: that which its objective minimises, unless the gate names one."""
    if model.promote_if.loss == "auto" and model.lightgbm_params["objective"] in _MEDIANS:
        return "absolute"
    return loss_of(model.kind, model.promote_if.loss)


def judge(model: Model, table: pl.LazyFrame, challenger: Trained, champion: Trained | None, alpha: float) -> Judgement:
    """Judge a challenger beside the champion (None: the naive forecast serves) on the rows after both cuts.

    All by themselves; who wins is then set beside the champion as it serves, following a shift of the level.

    Raises Refused: the table lacks a column that one of them was trained for, or there is no known day after the cuts.
    """
    panel = panel_of(model, table, challenger, champion)
    fitted = {"challenger": challenger.fitted} | ({"champion": champion.fitted} if champion else {})
    found = {name: one.scored(panel.judged) for name, one in fitted.items()}
    found["naive"] = naive_forecasts(model, panel.known, panel.judged, panel.cut)
    found.setdefault("champion", found["naive"])
    scored_rows = {name: _scored_panel(model, panel, found[name]) for name in _CONTENDERS}
    held = tried(model.expectations, challenger.fitted, panel.judged, scored_rows["challenger"], model.kind, model.time)
    numbers = {"challenger": challenger.version.number, "champion": champion.version.number if champion else 0, "naive": 0}
    contest = _contest(model, scored_rows, numbers, [one for one in held if not one.holds])
    ruling = rule(model.promote_if, alpha, contest)
    if champion is not None and ruling.action != "reject":
        ruling = _beside_served(model, ruling, contest, as_served(model, champion, table, panel.judged), scored_rows)
    days = panel.judged[model.time]
    return Judgement(
        challenger=numbers["challenger"],
        champion=numbers["champion"],
        ruling=ruling,
        alpha=0.0 if ruling.code == "too_few_days" else alpha,  # nothing was compared, so nothing can go wrong by it
        rows=_measured(model, scored_rows, numbers, ruling),
        scored=scored_rows["challenger"].select(*model.keys, model.time, "days_ahead", "actual", "forecast", "low", "high"),
        held=held,
        first=days.min(),  # type: ignore[arg-type]
        last=days.max(),  # type: ignore[arg-type]
    )


def panel_of(model: Model, table: pl.LazyFrame, challenger: Trained, champion: Trained | None) -> Panel:
    """The days after both cuts. Raises Refused: the table lacks a column that one of them was trained for."""
    cut = max(challenger.last_day, champion.last_day) if champion else challenger.last_day
    features = dict.fromkeys((*challenger.fitted.features, *(champion.fitted.features if champion else ())))
    assert_columns(model, table, list(features))
    for one in (challenger, *([champion] if champion else [])):
        assert_same_types(str(one.version), one.fitted, table)
    missing = [name for name in model.slices if name not in table.collect_schema()]
    if missing:
        raise Refused(f"model {model.name}: {model.table} has no column {', '.join(missing)} to slice by. Mend slices=.")
    known = table.filter(pl.col(model.target).is_not_null())
    wanted = dict.fromkeys((*model.row_key, model.target, *features, *model.slices))
    judged = known.filter(pl.col(model.time) > cut).select(list(wanted)).sort(model.row_key).collect()
    if not judged.is_empty():
        assert_known(model, judged, list(features))
    return Panel(known.select(*model.row_key, model.target).collect(), judged, cut)


def _scored_panel(model: Model, panel: Panel, found: pl.DataFrame) -> pl.DataFrame:
    """The judged rows beside one contender's forecasts, with scales, slices and the bands that its own errors give."""
    rows = scored(model, panel.judged, found, panel.cut).with_columns(_step(model), *(panel.judged[name] for name in model.slices))
    return _banded(model, with_scales(model, rows, panel.known, panel.cut))


def _step(model: Model) -> pl.Expr:
    """The weeks ahead, as the name of a slice."""
    week = (pl.col("days_ahead") - 1) // _WEEK
    most = pl.max_horizontal(pl.lit(model.judged_days), pl.col("days_ahead").max())
    first, last = week * _WEEK + 1, pl.min_horizontal((week + 1) * _WEEK, most)
    return pl.format("days ahead {}-{}", first, last).alias("step")


def _banded(model: Model, rows: pl.DataFrame) -> pl.DataFrame:
    """Bands of each week, calibrated on the errors of the other weeks (cross-conformal, Vovk 2015)."""
    if not band_columns(model) or rows.is_empty():
        return rows
    return pl.concat([_week_banded(model, rows, step) for step in rows["step"].unique(maintain_order=True)]).sort(
        model.time, *model.keys
    )


def _week_banded(model: Model, rows: pl.DataFrame, step: str) -> pl.DataFrame:
    mine = pl.col("step") == step
    settings = Settings(find_breaks=False, gamma=0.0, gamma_after_break=0.0)
    how = calibrate(_named(model, rows.filter(~mine)), model.keys, model.levels, settings)
    bands = how.bands(_named(model, rows.filter(mine)))
    return rows.filter(mine).hstack(bands.select(band_columns(model)))


def _named(model: Model, rows: pl.DataFrame) -> pl.DataFrame:
    return rows.rename({model.time: "day"}) if model.time != "day" else rows


def _contest(model: Model, rows: Mapping[str, pl.DataFrame], numbers: Mapping[str, int], failed: Sequence[Held]) -> Contest:
    loss = loss_for(model)
    wide = rows["challenger"].with_columns(rows[name]["forecast"].alias(name) for name in _CONTENDERS)
    names = {name: name for name in _CONTENDERS}
    splits = {column: daily(wide, names, loss, [column], model.time) for column in ("step", *model.slices)}
    return Contest(
        days=daily(wide, names, loss, time=model.time),
        loss=loss,
        challenger=version_name(model.name, numbers["challenger"]),
        champion=version_name(model.name, numbers["champion"]) if numbers["champion"] else None,
        naive=version_name(model.name, 0),
        slices=dict(_parts(splits)),
        failed=tuple(f'"{one.text}" does not hold: {one.why}' for one in failed),
    )


def _beside_served(
    model: Model, ruling: Ruling, contest: Contest, served: pl.DataFrame, rows: Mapping[str, pl.DataFrame]
) -> Ruling:
    """Another serves only where it missed by no more than the champion as it served: it begins without its level."""
    rival, name = ("challenger", contest.challenger) if ruling.action == "promote" else ("naive", contest.naive)
    both = rows[rival].with_columns(served=served["forecast"])
    days = daily(both, {"served": "served", "rival": "forecast"}, contest.loss, time=model.time)
    if days["rival"].sum() <= days["served"].sum():
        return ruling
    pair = compared(days, ("served", str(contest.champion)), ("rival", name), 0.5, model.promote_if.block)
    why = f"{contest.champion} stays: over {days.height} days, following a shift of the level, {told(pair, contest.loss)}."
    return replace(ruling, action="reject", code="better_as_it_serves", why=why)


def _parts(splits: Mapping[str, pl.DataFrame]) -> Iterator[tuple[str, pl.DataFrame]]:
    """Each slice by its name, such as country=France; those that only some days have come as they are."""
    for column, frame in splits.items():
        for value in frame[column].unique().sort():
            yield slice_name(column, value), frame.filter(pl.col(column).eq_missing(value)).drop(column)


def slice_name(column: str, value: object) -> str:
    """Such as country=France; the weeks ahead are named already."""
    return str(value) if column == "step" else f"{column}={value}"


def _measured(model: Model, rows: Mapping[str, pl.DataFrame], numbers: Mapping[str, int], ruling: Ruling) -> pl.DataFrame:
    """Metrics of each contender: all rows, weeks ahead, slices; with the challenger's advantage."""
    same = pl.all_horizontal(rows[name]["forecast"].is_not_null() for name in _CONTENDERS)
    shared = rows["challenger"].select(same).to_series()
    found = []
    for name in _CONTENDERS if numbers["champion"] else ("challenger", "naive"):
        mine = rows[name].filter(shared)
        for column in (None, "step", *model.slices):
            table = measured(mine, [column] if column else [], model.kind, model.time)
            names = [slice_name(column, value) for value in table[column]] if column else ["all"]
            told = table.select(pl.Series("slice", names), "n", "days", *_METRICS)
            found.append(told.with_columns(pl.lit(f"{name} {version_name(model.name, numbers[name])}").alias("contender")))
    return _with_advantage(pl.concat(found), ruling)


def _with_advantage(rows: pl.DataFrame, ruling: Ruling) -> pl.DataFrame:
    """What the ruling compared, beside the contender that the challenger was compared with."""
    compared = [("all", one.worse, one.loss_worse, one.paired) for one in ruling.comparisons]
    compared += [(one.name, one.comparison.worse, one.comparison.loss_worse, one.comparison.paired) for one in ruling.slices]
    frame = pl.DataFrame(
        [(part, worse, loss, pair.mean, pair.low, pair.high) for part, worse, loss, pair in compared],
        schema={
            "slice": pl.String,
            "of": pl.String,
            **dict.fromkeys(("loss", "better_by", "better_low", "better_high"), pl.Float64),
        },
        orient="row",
    ).unique(["slice", "of"], keep="first", maintain_order=True)
    named = rows.with_columns(pl.col("contender").str.split(" ").list.last().alias("of"))
    return named.join(frame, on=["slice", "of"], how="left", maintain_order="left").drop("of")


def judgement_rows(model: Model, found: Judgement, number: int, at: datetime, table: TableVersion) -> pl.DataFrame:
    """The rows of `<name>_judgement` that a judgement becomes."""
    said: dict[str, Any] = {
        "judgement": number, "model": model.name, "judged_at": at, "challenger": found.challenger, "champion": found.champion,
        "table_version": str(table), "first_day": found.first, "last_day": found.last, "alpha": found.alpha,
        "action": found.ruling.action, "code": found.ruling.code, "why": found.ruling.why,
    }  # fmt: skip
    constant = [pl.lit(value, ROW[name]).alias(name) for name, value in said.items()]
    return found.rows.with_columns(constant).select(pl.col(name).cast(dtype) for name, dtype in ROW.items())
