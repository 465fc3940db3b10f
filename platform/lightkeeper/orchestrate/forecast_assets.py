"""The assets that stand on the champion: forecasts, outcomes, explanations, the history of features. They compute nothing."""

from datetime import date, timedelta
from typing import Any

import dagster as dg
import polars as pl

from lightkeeper.errors import ModelAltered
from lightkeeper.lake.suspects import doubted
from lightkeeper.models import explained
from lightkeeper.models.decisions import decisions, standing
from lightkeeper.models.explaining import feature_history
from lightkeeper.models.forecasting import Forecast, Server, forecast, server
from lightkeeper.models.model import Model
from lightkeeper.models.outcomes import forecast_schema, level_name, outcome_schema, outcomes
from lightkeeper.models.registry import as_declared, read_version
from lightkeeper.models.training import training_frame
from lightkeeper.orchestrate.declared import asset_of, columns_of
from lightkeeper.orchestrate.io_manager import LakeIOManager, TableInput, TableOutput
from lightkeeper.orchestrate.shown import picture
from lightkeeper.values import TableVersion, version_name

__all__ = ["forecast_assets"]


def forecast_assets(model: Model) -> list[dg.AssetsDefinition]:
    """The four assets of one model that stand on its champion."""
    return [_forecast_asset(model), _outcome_asset(model), _explanation_asset(model), _history_asset(model)]


# -- forecasts --------------------------------------------------------------------------------------------------


def _forecast_asset(model: Model) -> dg.AssetsDefinition:
    by = "origin" if model.horizon else model.time
    what = f"for the next {model.horizon} days, one set of rows an origin" if model.horizon else "where it is not known"
    schema, notes = forecast_schema(model)

    @asset_of(
        model,
        "forecasts",
        "lightgbm",
        name=model.forecast_table,
        ins={"table": dg.AssetIn(model.table)},
        deps=[model.champion_table],
        description=f"{model.target} of each {', '.join(model.keys)} {what}, by whoever serves.",
        metadata={"partition_expr": by, "dagster/column_schema": columns_of(schema, notes)},
    )
    def forecasts(context: dg.AssetExecutionContext, table: TableInput) -> TableOutput:
        manager: LakeIOManager = context.resources.io_manager
        versions = manager.read(context, model.model_table)
        stands = standing(decisions(manager.lake, model.name), model.name)
        who = server(model.name, versions.frame if versions else None, stands)
        for sentence in who.passed_over:
            context.log.warning(sentence)
        made = forecast(model, who, table.frame, str(table.version), doubted(manager.lake))
        return TableOutput(
            made.rows,
            days=frozenset(made.rows[by].unique()),
            extra={"model_version": who.name, "made_by": who.made_by},
            metadata=_forecast_shown(model, who, made),
        )

    return forecasts


def _forecast_shown(model: Model, who: Server, made: Forecast) -> dict[str, Any]:
    totals = made.rows.group_by(model.time).agg(pl.col(model.forecast_column).sum()).sort(model.time)
    values = totals[model.forecast_column]
    found: dict[str, Any] = {
        "model version": who.name,
        "version": who.number,
        "made by": who.made_by,
        "origin": str(made.origin or "-"),
        f"{model.target} in all": round(float(values.sum()), 1),
        "forecast": picture(values.to_list(), f"{model.target} a day ahead"),
        "rows unlike those learnt from": made.rows.filter(pl.col("novelty") < _NEW).height,
        "rows beyond the learnt range": made.rows.filter(pl.col("outside").list.len() > 0).height,
    }
    found |= _week_shown(model, made)
    for level, why in (made.calibration.refused if made.calibration else {}).items():
        found[f"no interval of {level:.0%}"] = why
    for name, values_ in made.unseen.items():
        found[f"new in {name}"] = ", ".join(values_[:10])
    if made.shift.since is not None:
        found["level"] = f"{made.shift.factor:.2f} x what {who.name} makes of the features, since {made.shift.since}"
    return found | {"passed over": " ".join(who.passed_over)} if who.passed_over else found


def _week_shown(model: Model, made: Forecast) -> dict[str, Any]:
    """The total of the next week with its interval, which is not the sum of the days' limits."""
    if made.week is None or made.week.rows.is_empty():
        return {}
    row = made.week.rows.row(0, named=True)
    limits = {level: (row[f"low_{level_name(level)}"], row[f"high_{level_name(level)}"]) for level in model.levels}
    told = [f"{level:.0%} {low:,.1f} to {high:,.1f}" for level, (low, high) in limits.items() if low is not None]
    return {
        f"{model.target} of the next {row['days']} days": "; ".join([f"{row['forecast']:,.1f}", *told, *made.week.refused.values()])
    }


_NEW = 0.01  # a conformal p below it: of a hundred rows learnt from, one is as far from the others


# -- outcomes ---------------------------------------------------------------------------------------------------


def _outcome_asset(model: Model) -> dg.AssetsDefinition:
    @asset_of(
        model,
        "outcomes",
        "polars",
        name=model.outcome_table,
        ins={"table": dg.AssetIn(model.table), "forecasts": dg.AssetIn(model.forecast_table)},
        description=f"Each forecast of {model.target} beside what came true.",
        metadata={"partition_expr": model.time, "dagster/column_schema": columns_of(*outcome_schema(model))},
    )
    def outcome(table: TableInput, forecasts: TableInput) -> TableOutput:
        days = _changed(model, table, forecasts)
        wanted = forecasts.frame if days is None else forecasts.frame.filter(pl.col(model.time).is_in(sorted(days)))
        rows = outcomes(model, wanted, table.frame)
        inside = {
            f"inside {level:.0%}": round(float(share), 4)
            for level in model.levels
            if (share := _share(rows, f"inside_{level_name(level)}")) is not None
        }
        total = float(rows["actual"].abs().sum())
        wape = {"wape": float(rows["error"].abs().sum()) / total} if total else {}
        return TableOutput(rows, days=days, metadata={"outcomes": rows.height, **wape, **inside})

    return outcome


def _share(rows: pl.DataFrame, column: str) -> float | None:
    found = rows[column].mean() if column in rows.columns else None
    return None if found is None else float(str(found))


def _changed(model: Model, table: TableInput, forecasts: TableInput) -> frozenset[date] | None:
    """The days whose outcomes differ from those that were last computed; None: any may."""
    if table.changed is None or forecasts.changed is None:
        return None
    if model.horizon is None:
        return frozenset(table.changed | forecasts.changed)
    ahead = {origin + timedelta(n) for origin in forecasts.changed for n in range(1, model.horizon + 1)}
    return frozenset(table.changed | ahead)


# -- explanations -----------------------------------------------------------------------------------------------


def _explanation_asset(model: Model) -> dg.AssetsDefinition:
    @asset_of(
        model,
        "explanations",
        "lightgbm",
        name=model.explanation_table,
        ins={"table": dg.AssetIn(model.table), "forecasts": dg.AssetIn(model.forecast_table)},
        description=f"What the newest forecasts of {model.target} are made of, and what changed them; the parts add up.",
        metadata={"dagster/column_schema": columns_of(explained.schema(model), {**forecast_schema(model)[1], **explained.NOTES})},
    )
    def explanation(context: dg.AssetExecutionContext, table: TableInput, forecasts: TableInput) -> TableOutput:
        manager: LakeIOManager = context.resources.io_manager
        versions = manager.read(context, model.model_table)
        rows = explained.explanation(model, table.frame, forecasts.frame, versions.frame if versions else None)
        parts = rows.filter(pl.col("part") != "base").group_by("part", "name").agg(pl.col("contribution").abs().mean())
        told = parts.filter(pl.col("part") == "feature").sort("contribution", descending=True).head(8)
        lines = [f"| {name} | {size:,.2f} |" for _, name, size in told.iter_rows()]
        shown = "\n".join([f"| feature | mean effect, {model.target} |", "|---|---|", *lines])
        return TableOutput(rows, metadata={"largest effects": dg.MetadataValue.md(shown)})

    return explanation


def _history_asset(model: Model) -> dg.AssetsDefinition:
    @asset_of(
        model,
        "models",
        "lightgbm",
        name=model.history_table,
        ins={"champion": dg.AssetIn(model.champion_table)},
        description=f"Each feature of {model.name} in the rows that each version learnt from: its distribution and its effect.",
        metadata={"dagster/column_schema": columns_of(explained.HISTORY, explained.HISTORY_NOTES)},
    )
    def history(context: dg.AssetExecutionContext, champion: TableInput) -> TableOutput:
        manager: LakeIOManager = context.resources.io_manager
        lake, base = manager.lake, manager.base(context, model.history_table)
        there = (
            set(lake.read(model.history_table, base).select("model_version").unique().collect().to_series()) if base >= 0 else set()
        )
        versions = manager.read(context, model.model_table)
        numbers = [] if versions is None else versions.frame.select(pl.col("version").sort()).collect()["version"].to_list()
        found = [pl.DataFrame(schema=explained.HISTORY)]
        for number in numbers:
            name = version_name(model.name, number)
            if name not in there and versions is not None:
                try:
                    trained = read_version(model.name, versions.frame, number)
                except ModelAltered as error:
                    context.log.warning(str(error))
                    continue
                made_by, at = as_declared(trained.row), TableVersion.parse(trained.row["learnt_from"][0])
                rows = training_frame(made_by, lake.read(at.table, at), trained.last_day)
                found.append(feature_history(trained.fitted, rows, name).cast(explained.HISTORY))  # type: ignore[arg-type]
        return TableOutput(pl.concat(found), append=True, metadata={"versions": len(found) - 1, "champion": str(champion.version)})

    return history
