"""A judgement as the command line shows it: who was judged on which days, the metrics of each contender, the reason."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lightkeeper.cli.show import Column, count, counted, grid, records, text
from lightkeeper.values import version_name

if TYPE_CHECKING:
    import polars as pl
    from rich.console import RenderableType

    from lightkeeper.lake.table import Lake

__all__ = ["METRICS", "judgement_json", "last_judgement", "metrics_table", "shown_judgement"]

Told = Callable[[float], str]


def _share(value: float) -> str:
    return f"{value:.1%}"


def _signed(value: float) -> str:
    return f"{value:+.1%}"


def _figure(value: float) -> str:
    return f"{value:.4g}" if abs(value) < 1_000 else f"{value:,.0f}"  # noqa: PLR2004 - four digits


# column, heading, how it is told, and the order in which a narrow terminal loses it
METRICS: tuple[tuple[str, str, Told, int], ...] = (
    ("wape", "wape", _share, 0),
    ("mase", "mase", _figure, 3),
    ("rmsse", "rmsse", _figure, 1),
    ("bias", "bias", _signed, 4),
    ("brier", "brier", _figure, 1),
    ("log_loss", "log loss", _figure, 3),
    ("coverage_80", "in 80%", _share, 2),
    ("coverage_95", "in 95%", _share, 5),
    ("pinball", "pinball", _figure, 6),
)


def last_judgement(lake: Lake, model: str, numbers: Sequence[int]) -> pl.DataFrame | None:
    """The rows of the newest judgement that one of some versions took part in; None where there is none."""
    import polars as pl

    table = f"{model}_judgement"
    if not lake.exists(table):
        return None
    took_part = pl.col("challenger").is_in(list(numbers)) | pl.col("champion").is_in(list(numbers))
    rows = lake.read(table).filter(took_part).collect()
    return None if rows.is_empty() else rows.filter(pl.col("judgement") == rows["judgement"].max())


def judgement_json(rows: pl.DataFrame | None) -> dict[str, object] | None:
    """What a judgement says once, and its metrics by contender and slice."""
    if rows is None:
        return None
    once = ["judgement", "judged_at", "challenger", "champion", "table_version", "first_day", "last_day", "alpha", "action",
            "code", "why"]  # fmt: skip
    return {**records(rows.select(once).head(1))[0], "metrics": records(rows.drop("model", *once))}


def shown_judgement(rows: pl.DataFrame, *, slices: bool) -> list[RenderableType]:
    """Heading, reason and metrics."""
    import polars as pl
    from rich.text import Text

    first = rows.row(0, named=True)
    table = rows if slices else rows.filter(pl.col("slice") == "all")
    return [
        Text(f"Judgement {first['judgement']}: {_who(first)}", style="bold"),
        f"{first['first_day']} to {first['last_day']} of {text(first['table_version'])}, {_on(table)}",
        "",
        metrics_table(table, slices=slices),
        "",
        f"{text(first['code'])}: {text(first['why'])}",
    ]


def _who(first: Mapping[str, Any]) -> str:
    return f"{version_name(first['model'], first['challenger'])} against {version_name(first['model'], first['champion'])}"


def _on(table: pl.DataFrame) -> str:
    first = table.row(0, named=True)
    return f"{counted(first['n'])} of {counted(first['days'], 'day')}"


def metrics_table(rows: pl.DataFrame, *, slices: bool = False) -> RenderableType:
    """A line a contender, with the metrics that its kind of target has; with slices the rows of each."""
    there = [one for one in METRICS if one[0] in rows.columns and rows[one[0]].null_count() < rows.height]
    columns = [Column("", [text(name) for name in rows["contender"]])]
    if slices:
        columns += [Column("slice", [text(name) for name in rows["slice"]]), Column("n", [count(n) for n in rows["n"]], right=True)]
    columns += [
        Column(head, ["-" if value is None else told(value) for value in rows[name]], right=True, rank=rank)
        for name, head, told, rank in there
    ]
    return grid(columns)[0]
