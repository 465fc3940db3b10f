"""The assets that decide who serves: `<name>_model`, `<name>_judgement`, `<name>_champion`.

A run trains a challenger up to a cut, judges it on the days after it, and promotes it or not; a challenger that wins is fitted
again up to the present. What is decided stands in the ledger of decisions; the table `<name>_champion` shows it.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl

from lightkeeper.errors import Refused, TooLittle
from lightkeeper.lake.lineage import KEEP_EVERY_VERSION
from lightkeeper.models import champions, registry
from lightkeeper.models.decisions import decided, decisions, numbered
from lightkeeper.models.environment import environment
from lightkeeper.models.model import Model
from lightkeeper.models.promotion import Bench, follow, unfollowed
from lightkeeper.models.registry import Made, last_number, same_as_before, version_row
from lightkeeper.models.training import cut_of, fit, training_frame
from lightkeeper.orchestrate.arrivals import ARRIVAL
from lightkeeper.orchestrate.attempting import Asked, begin, close, doubts, take_back
from lightkeeper.orchestrate.code import project_folder
from lightkeeper.orchestrate.declared import asset_of, columns_of
from lightkeeper.orchestrate.io_manager import LakeIOManager, TableInput, TableOutput
from lightkeeper.orchestrate.judgement_assets import by, judgement_asset
from lightkeeper.orchestrate.recompute import assert_known_ahead
from lightkeeper.orchestrate.shown import picture
from lightkeeper.values import Decision, TableVersion, version_name

__all__ = ["model_assets"]


def model_assets(model: Model) -> list[dg.AssetsDefinition]:
    """The three assets of one model that decide who serves."""
    return [_model_asset(model), judgement_asset(model), _champion_asset(model)]


# -- training ---------------------------------------------------------------------------------------------------


def _model_asset(model: Model) -> dg.AssetsDefinition:
    @asset_of(
        model,
        "models",
        "lightgbm",
        name=model.model_table,
        ins={"table": dg.AssetIn(model.table)},
        description=model.description or f"Versions of the model {model.name}: {model.target} from {model.table}, one row each.",
        metadata={"dagster/column_schema": columns_of(registry.ROW, registry.NOTES)},
        output_required=False,
    )
    def trained(context: dg.AssetExecutionContext, table: TableInput) -> Iterator[Any]:
        manager: LakeIOManager = context.resources.io_manager
        asked = Asked.of(context.run.tags, model.name)
        if asked is not None and (why := begin(context, manager, model, asked)) is not None:
            context.log.warning("Not trained: %s", why)
            return
        assert_known_ahead(model, _metadata_of(context, model.table))
        if asked is None and (why := doubts(context, manager, model)) is not None:
            if ARRIVAL not in context.run.tags:
                raise Refused(why)
            yield _untrained(context, why)  # nobody is there to act: the next arrival tries again
            return
        lake, base = manager.lake, manager.base(context, model.model_table)
        try:
            cut = cut_of(model, table.frame, lake.clock().date())
            rows = training_frame(model, table.frame, cut)
            artifact = fit(model, rows)
        except TooLittle as error:  # the naive forecast serves until there is more
            yield _untrained(context, str(error))
            return
        versions = lake.read(model.model_table, base) if base >= 0 else pl.LazyFrame(schema=registry.ROW)
        same = same_as_before(versions, artifact)
        if same is not None:
            yield _no_row(_same(model, same))
            return
        number = max(last_number(versions), numbered(decisions(lake), model.name)) + 1
        made = Made((table.version,), lake.clock(), environment(Path(project_folder(context.run))))
        yield dg.Output(
            TableOutput(
                version_row(model, number, artifact, made),
                append=True,
                extra=_kept(model, number, artifact.sha256),
                metadata={
                    **_verify(model, number),
                    "rows learnt from": artifact.rows,
                    "learnt up to": str(artifact.last),
                    "rounds": artifact.rounds,
                    "what it learnt from": _picture(model, rows.lazy()),
                },
            )
        )
        why = f"trained as a challenger on {artifact.rows:,} rows of {table.version} up to {artifact.last}"
        said = Decision(
            model.name, "trained", number, by(context), why, pins=(str(table.version),), run_id=context.run.run_id,
            matured=artifact.last,
        )  # fmt: skip
        decided(lake, said)

    return trained


def _untrained(context: dg.AssetExecutionContext, why: str) -> dg.Output[TableOutput]:
    """No version, and why: who serves goes on serving."""
    context.log.warning(why)
    return _no_row({"not trained": why})


def _no_row(metadata: dict[str, Any]) -> dg.Output[TableOutput]:
    return dg.Output(TableOutput(pl.DataFrame(schema=registry.ROW), append=True, metadata=metadata))


def _same(model: Model, number: int) -> dict[str, Any]:
    return {**_verify(model, number), "nothing new": f"The same rows give {version_name(model.name, number)} again."}


def _picture(model: Model, known: pl.LazyFrame) -> dg.MarkdownMetadataValue:
    totals = known.group_by(model.time).agg(pl.col(model.target).sum()).sort(model.time).collect()
    return picture(totals[model.target].to_list(), f"{model.target} a day")


def _kept(model: Model, number: int, sha256: str) -> dict[str, object]:
    return {KEEP_EVERY_VERSION: True, "model_version": version_name(model.name, number), "sha256": sha256}


def _verify(model: Model, number: int) -> dict[str, Any]:
    """The version, as text and as a number that plots, and the command that rebuilds it."""
    name = version_name(model.name, number)
    return {"model version": name, "version": number, "verify": dg.MetadataValue.md(f"`lightkeeper model verify {name}`")}


def _metadata_of(context: dg.AssetExecutionContext, table: str) -> Any:
    layer, key = context.job_def.asset_layer, dg.AssetKey(table.split("__"))
    return layer.get(key).metadata if layer.has(key) else {}


# -- promoting --------------------------------------------------------------------------------------------------


def _champion_asset(model: Model) -> dg.AssetsDefinition:
    @asset_of(
        model,
        "models",
        "polars",
        name=model.champion_table,
        ins={"judgement": dg.AssetIn(model.judgement_table), "versions": dg.AssetIn(model.model_table)},
        description=f"Which version of {model.name} served when, and why; made from the ledger of decisions.",
        metadata={"dagster/column_schema": columns_of(champions.ROW, champions.NOTES)},
    )
    def champion(context: dg.AssetExecutionContext, judgement: TableInput, versions: TableInput) -> TableOutput:
        manager: LakeIOManager = context.resources.io_manager
        lake = manager.lake
        back = take_back(lake, model, context.run.tags, context.run.run_id)
        if back is not None:
            context.log.info(back)
        found = unfollowed(lake, model.name, judgement.frame) if back is None else None
        if found is not None:
            write = _writes(context, manager, model, (judgement.version, versions.version))
            made_with = environment(Path(project_folder(context.run)))
            follow(Bench(model.name, lake, versions.frame, made_with, by(context), context.run.run_id, write), found)
        close(lake, model, context.run.run_id)
        rows = champions.rows(lake, model.name)
        serves = rows.row(-1, named=True)
        return TableOutput(
            rows,
            metadata={
                "serves": serves["serves"],
                "version": serves["version"],
                "since": str(serves["since"]),
                "why": serves["why"],
                "verify": dg.MetadataValue.md(f"`lightkeeper model verify {serves['serves']}`"),
            },
        )

    return champion


def _writes(
    context: dg.AssetExecutionContext, manager: LakeIOManager, model: Model, read: tuple[TableVersion, ...]
) -> Callable[[pl.DataFrame, int, TableVersion], None]:
    """Writes a refit's row to the table of versions, from within the step that promotes it."""

    def write(row: pl.DataFrame, number: int, learnt_from: TableVersion) -> None:
        known = manager.lake.read(learnt_from.table, learnt_from).filter(pl.col(model.target).is_not_null())
        told = {
            **_verify(model, number),
            "rows learnt from": row["rows"][0],
            "learnt up to": str(row["last_day"][0]),
            "rounds": row["rounds"][0],
            "what it learnt from": _picture(model, known),
        }
        output = TableOutput(row, append=True, extra=_kept(model, number, row["sha256"][0]), metadata=told)
        manager.append(context, model.model_table, output, (learnt_from, *read))

    return write
