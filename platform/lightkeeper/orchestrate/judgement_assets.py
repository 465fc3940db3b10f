"""The asset that compares: `<name>_judgement`, challenger, champion and the naive forecast on the same rows.

What follows from a judgement is decided in `<name>_champion` (`model_assets`).
"""

from collections.abc import Iterator
from typing import Any

import dagster as dg
import polars as pl

from lightkeeper.measure.gate import alpha_now
from lightkeeper.models import judging
from lightkeeper.models.decisions import decided, decisions, gates, numbered, standing
from lightkeeper.models.forecasting import Server, server
from lightkeeper.models.judging import Judgement, judge, judgement_rows
from lightkeeper.models.model import Model
from lightkeeper.models.registry import read_version
from lightkeeper.orchestrate.declared import asset_of, columns_of
from lightkeeper.orchestrate.io_manager import LakeIOManager, TableInput, TableOutput
from lightkeeper.values import Decision, TableVersion

__all__ = ["by", "judgement_asset"]


def by(context: dg.AssetExecutionContext) -> str:
    """Who decides, in the ledger's words."""
    return f"run {context.run.run_id[:8]}"


def judgement_asset(model: Model) -> dg.AssetsDefinition:
    """The asset `<name>_judgement` of a model."""

    @asset_of(
        model,
        "models",
        "polars",
        name=model.judgement_table,
        ins={"table": dg.AssetIn(model.table), "versions": dg.AssetIn(model.model_table)},
        description=f"Challenger, champion and the naive forecast of {model.target} on the same rows, by slice; and what follows.",
        metadata={"dagster/column_schema": columns_of(judging.ROW, judging.NOTES)},
    )
    def judgement(context: dg.AssetExecutionContext, table: TableInput, versions: TableInput) -> Iterator[Any]:
        manager: LakeIOManager = context.resources.io_manager
        lake, base = manager.lake, manager.base(context, model.judgement_table)
        before = lake.read(model.judgement_table, base) if base >= 0 else pl.LazyFrame(schema=judging.ROW)
        newest = _newest_challenger(versions.frame)
        if newest == 0:
            nothing = {"nothing to judge": f"{model.name} has no challenger yet; the naive forecast serves."}
            yield dg.Output(TableOutput(pl.DataFrame(schema=judging.ROW), append=True, metadata=nothing))
            return
        challenger = read_version(model.name, versions.frame, newest)
        ledger = decisions(lake, model.name)
        stands = standing(ledger, model.name)
        serves = server(model.name, versions.frame, stands)
        known = _judged_already(before, challenger.version.number, serves, str(table.version))
        if known is not None:
            if (row := _unnoted(before, known, ledger)) is not None:  # its run was killed before it could note it
                decided(lake, _judged(context, row, row["champion"], versions.version))
            nothing = {"nothing new": f"Judgement {known} compared the same versions on the same rows."}
            yield dg.Output(TableOutput(pl.DataFrame(schema=judging.ROW), append=True, metadata=nothing))
            return
        now = lake.clock()
        alpha = alpha_now(model.promote_if, now.date(), gates(ledger, model.name, now.date()))
        found = judge(model, table.frame, challenger, serves.trained, alpha)
        number = max(before.select(pl.col("judgement").max()).collect().item() or 0, numbered(ledger, model.name, "judgement")) + 1
        rows = judgement_rows(model, found, number, now, table.version)
        yield dg.Output(TableOutput(rows, append=True, extra={"judgement": number}, metadata=_judgement_shown(found, rows)))
        decided(lake, _judged(context, rows.row(0, named=True), stands[0], versions.version))

    return judgement


def _judged(context: dg.AssetExecutionContext, row: dict[str, Any], against: int, versions: TableVersion) -> Decision:
    """That a judgement was held, by its row."""
    return Decision(
        row["model"], "judged", row["challenger"], by(context), row["why"], against, row["code"], row["alpha"],
        row["judgement"], (row["table_version"], str(versions)), context.run.run_id, matured=row["last_day"],
    )  # fmt: skip


def _unnoted(judgements: pl.LazyFrame, number: int, ledger: pl.DataFrame) -> dict[str, Any] | None:
    """The row of a judgement of which the ledger does not say that it was held."""
    if not ledger.filter(pl.col("action") == "judged", pl.col("judgement") == number).is_empty():
        return None
    return judgements.filter(pl.col("judgement") == number).head(1).collect().row(0, named=True)


def _newest_challenger(versions: pl.LazyFrame) -> int:
    return int(versions.filter(pl.col("role") == "challenger").select(pl.col("version").max()).collect().item() or 0)


def _judged_already(before: pl.LazyFrame, challenger: int, serves: Server, table: str) -> int | None:
    """The number of the judgement that compared the same two on the same table version, or that made the champion of this one."""
    won = serves.trained is not None and serves.trained.row["judged"] == challenger
    against = pl.lit(value=True) if won else pl.col("champion") == serves.number
    same = (pl.col("challenger") == challenger) & (pl.col("table_version") == table) & against
    found: int | None = before.filter(same).select(pl.col("judgement").max()).collect().item()
    return found


def _judgement_shown(found: Judgement, rows: pl.DataFrame) -> dict[str, Any]:
    """The metrics as numbers that plot, the table inline."""
    every = rows.filter(pl.col("slice") == "all")
    numbers = {
        f"{metric} {row['contender'].split()[0]}": float(row[metric])
        for row in every.iter_rows(named=True)
        for metric in ("wape", "mase", "rmsse", "pinball", "coverage_80", "coverage_95", "bias", "brier")
        if row[metric] is not None
    }
    return {
        "decision": f"{found.ruling.action}: {found.ruling.why}",
        "judgement": dg.MetadataValue.md(_table(every)),
        "days judged": int(every["days"].max() or 0),  # type: ignore[arg-type]
        "alpha": found.alpha,
        "expectations": dg.MetadataValue.md(
            "\n".join(f"- {'✓' if one.holds else '✗'} {one.text}: {one.why}" for one in found.held) or "none"
        ),
        **numbers,
    }


def _table(rows: pl.DataFrame) -> str:
    """The contenders as Markdown, short enough to stand inline."""
    metrics = [
        name for name in ("wape", "rmsse", "bias", "coverage_80", "coverage_95", "brier") if rows[name].null_count() < rows.height
    ]
    lines = [f"| {' | '.join(('', 'n', *metrics))} |", f"|{'---|' * (len(metrics) + 2)}"]
    for row in rows.iter_rows(named=True):
        numbers = ["" if row[name] is None else f"{row[name]:.3f}" for name in metrics]
        lines.append("| " + " | ".join((row["contender"], f"{row['n']:,}", *numbers)) + " |")
    return "\n".join(lines)
