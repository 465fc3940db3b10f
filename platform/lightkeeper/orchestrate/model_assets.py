"""The assets that a declared model becomes: `<name>_model` and `<name>_forecast`. It trains and forecasts nothing itself."""

import dagster as dg
import polars as pl

from lightkeeper.lake.lineage import KEEP_EVERY_VERSION
from lightkeeper.models.forecasting import forecast
from lightkeeper.models.model import Model
from lightkeeper.models.registry import NOTES, ROW, newest, same_as_newest, version_row
from lightkeeper.models.training import train, training_frame
from lightkeeper.orchestrate.io_manager import LakeIOManager, TableInput, TableOutput
from lightkeeper.orchestrate.shown import picture

__all__ = ["model_assets"]


def model_assets(model: Model) -> list[dg.AssetsDefinition]:
    """The two assets of one model."""
    return [_model_asset(model), _forecast_asset(model)]


def _model_asset(model: Model) -> dg.AssetsDefinition:
    @dg.asset(
        name=model.model_table,
        ins={"table": dg.AssetIn(model.table)},
        group_name="models",
        kinds={"lightgbm", "deltalake"},
        owners=list(model.owners),
        code_version=_code_version(model),
        description=model.description or f"Versions of the model {model.name}: {model.target} from {model.table}, one row each.",
        metadata={"dagster/column_schema": _versions_schema()},
        required_resource_keys={"io_manager"},
    )
    def trained(context: dg.AssetExecutionContext, table: TableInput) -> TableOutput:
        manager: LakeIOManager = context.resources.io_manager
        lake = manager.lake
        rows = training_frame(model, table.frame)
        artifact = train(model, rows)
        base = manager.base(context, model.model_table)
        number = 1
        if base >= 0:
            versions = lake.read(model.model_table, base)
            if same_as_newest(versions, artifact):
                return TableOutput(pl.DataFrame(schema=ROW), append=True)
            number = int(versions.select(pl.col("version").max()).collect().item()) + 1
        row = version_row(model, number, artifact, [table.version], lake.clock())
        totals = rows.group_by(model.time).agg(pl.col(model.target).sum()).sort(model.time)[model.target].to_list()
        return TableOutput(
            row,
            append=True,
            extra={KEEP_EVERY_VERSION: True, "model_version": f"{model.name}:v{number}", "sha256": artifact.sha256},
            metadata={
                "model version": f"{model.name}:v{number}",
                "rows learnt from": artifact.rows,
                "learnt up to": artifact.last,
                "what it learnt from": picture(totals, f"{model.target} a day"),
            },
        )

    return trained


def _forecast_asset(model: Model) -> dg.AssetsDefinition:
    @dg.asset(
        name=model.forecast_table,
        ins={"table": dg.AssetIn(model.table), "versions": dg.AssetIn(model.model_table)},
        group_name="forecasts",
        kinds={"lightgbm", "deltalake"},
        owners=list(model.owners),
        code_version="1",
        description=f"{model.target} of each {', '.join(model.keys)} for the next {model.horizon} days, one set of rows an origin.",
        metadata={"partition_expr": "origin", "dagster/column_schema": _forecast_schema(model)},
    )
    def forecasts(table: TableInput, versions: TableInput) -> TableOutput:
        trained = newest(model, versions.frame)
        rows = forecast(model, trained, table.frame, str(table.version))
        totals = rows.group_by(model.time).agg(pl.col(f"{model.target}_forecast").sum()).sort(model.time)
        values = totals[f"{model.target}_forecast"]
        return TableOutput(
            rows,
            days=frozenset(rows["origin"].unique()),
            extra={"model_version": str(trained.version)},
            metadata={
                "model version": str(trained.version),
                "origin": str(rows["origin"][0]),
                f"{model.target} in all": round(float(values.sum()), 1),
                "forecast": picture(values.to_list(), f"{model.target} a day ahead"),
            },
        )

    return forecasts


def _code_version(model: Model) -> str:
    """Changes with the declaration: other features or parameters are other code."""
    import hashlib
    import json

    said = [model.table, model.keys, model.time, model.target, model.horizon, model.features, model.lightgbm_params]
    return f"declared:{hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:12]}"


def _versions_schema() -> dg.TableSchema:
    return dg.TableSchema(columns=[dg.TableColumn(name, str(dtype), description=NOTES[name]) for name, dtype in ROW.items()])


def _forecast_schema(model: Model) -> dg.TableSchema:
    notes = [
        *((key, "String", "Which series.") for key in model.keys),
        (model.time, "Date", "The day that is forecast."),
        ("origin", "Date", "The last day that was known."),
        ("days_ahead", "Int64", f"1 to {model.horizon}."),
        (f"{model.target}_forecast", "Float64", f"The forecast, in the unit of {model.target}."),
        ("model_version", "String", "The model version that made it, such as demand:v3."),
        ("table_version", "String", "The version of the feature table that it was made from."),
    ]
    return dg.TableSchema(columns=[dg.TableColumn(name, kind, description=note) for name, kind, note in notes])
