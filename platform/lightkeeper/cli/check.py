"""`lightkeeper check`: look at tables and models now, and what was found before."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lightkeeper.cli.options import EPILOG, DayArgument, HomeOption, JsonOption, again, open_lake
from lightkeeper.cli.project import Project
from lightkeeper.cli.promotion import who
from lightkeeper.cli.show import (
    Column,
    WithSentences,
    counted,
    did_you_mean,
    dim,
    grid,
    moment,
    print_json,
    print_text,
    records,
    sentence,
    text,
)
from lightkeeper.errors import Refused
from lightkeeper.values import BAD, WORST_FIRST

if TYPE_CHECKING:
    from polars import DataFrame, Expr
    from rich.console import RenderableType

    from lightkeeper.lake.table import Lake

__all__ = ["accept", "history", "register", "run"]

_COLOURS = {"failed": "bold red", "drifted": "bold yellow", "learning": "cyan", "unknown": "magenta", "passed": "green"}
_DIFFERING = re.compile(r"\w+[_:@][\w:@]*|\w*days?\b|\b(?:rows?|is|are|has|have)\b|\d[\d.,%-]*")  # names, days, numbers, plurals

NameArgument = Annotated[str | None, typer.Argument(metavar="TABLE|MODEL", help="A table, an asset or a model; all without.")]


def register(app: typer.Typer) -> None:
    """Adds the group `check` to the command."""
    group = typer.Typer(no_args_is_help=True)
    group.command("run", epilog=EPILOG)(run)
    group.command("history", epilog=EPILOG)(history)
    group.command("accept", epilog=EPILOG)(accept)
    app.add_typer(group, name="check", help="Checks: look at tables and models now, and what was found before.", epilog=EPILOG)


def run(
    name: NameArgument = None,
    *,
    explain: Annotated[bool, typer.Option("--explain", help="Each column, with its sentence and the kind of its shift.")] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Look at the newest versions and judge them: a run that makes no table. Exit code 1 when a check fails or drifts."""
    import polars as pl

    from lightkeeper.lake.verdicts import states, verdicts
    from lightkeeper.orchestrate.io_manager import table_name
    from lightkeeper.orchestrate.running import checked, load, ready

    project = Project.find(Path.cwd())
    place = project.home(home)
    _ = place.record  # says that there is no home, and how to make one
    instance = ready(place)
    defs = load(project.folder, project.module)
    lake = open_lake(place.root)
    every = sorted(key for key in defs.resolve_asset_graph().asset_check_keys if key.name != "every_file_was_read")
    there = {table_name(key.asset_key) for key in every if lake.exists(table_name(key.asset_key))}
    wanted = _meant(lake, name, there)
    found = checked(defs, instance, [key for key in every if table_name(key.asset_key) in wanted])
    held = states(lake).rows(pl.col("asset").is_in(sorted(wanted)))
    rows = verdicts(lake).rows(pl.col("run_id") == found)
    if as_json:
        print_json({"run_id": found, "states": records(held), "verdicts": records(rows)})
    else:
        print_text(*(_explained(rows) if explain else _told(held, name)))
    if held["state"].is_in(BAD).any():
        raise typer.Exit(1)


def accept(
    table: Annotated[str, typer.Argument(metavar="TABLE", help="The landed table.")],
    day: DayArgument,
    *,
    why: Annotated[str, typer.Option("--why", metavar="TEXT", help="The reason, in a sentence; it is kept.")],
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say that a suspect day is as the world was: models may learn from it again. A corrected file needs no word."""
    from lightkeeper.lake.suspects import accept as accepted

    if not why.strip():
        raise typer.BadParameter("whoever accepts a day says why, in a sentence.")
    lake = open_lake(home)
    checks = accepted(lake, table, day, who(), why.strip())
    if as_json:
        print_json({"table": table, "day": day, "checks": checks, "why": why.strip()})
    else:
        print_text(f"{table} of {day} is accepted; models may learn from it.")


def history(
    name: NameArgument = None,
    *,
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=0, help="At most so many days of each check; 0 for all.")] = 10,
    bad: Annotated[bool, typer.Option("--bad", help="Only what failed or drifted.")] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what was found, newest day first: of each check and day the worst, and the sentence of what is bad."""
    import polars as pl

    from lightkeeper.lake.verdicts import states, verdicts
    from lightkeeper.watch.runs import CHECKS

    lake = open_lake(home)
    there = set(states(lake).rows()["asset"])
    if not there:
        raise Refused(f"Nothing was checked in {lake.root} yet. Look now: {again('check run')}")
    wanted = _meant(lake, name, there)
    asked = pl.col("state").is_in(BAD) if bad else ~pl.col("check").is_in(CHECKS)
    rows = _days(verdicts(lake).rows(pl.col("asset").is_in(sorted(wanted)) & asked), limit)
    if as_json:
        print_json({"lake": lake.root, "verdicts": records(rows)})
        return
    held = states(lake).rows(pl.col("asset").is_in(sorted(wanted)) & pl.col("state").is_in(BAD))
    print_text(*([_history(rows), *_still(held)] if rows.height else ["Nothing of the kind was found."]))


def _days(rows: DataFrame, limit: int) -> DataFrame:
    """The newest days of each check, of each day what was said last, whatever its clock; the newest day first, the worst first."""
    import polars as pl

    each, look = ["asset", "check"], pl.struct("known_at", "run_id")
    order = pl.col("state").replace_strict(list(WORST_FIRST), range(len(WORST_FIRST)), return_dtype=pl.Int64)
    return (
        rows.with_columns(__day=_day())
        .filter(look.eq_missing(look.last().over(*each, "__day")))
        .filter(pl.col("__day").rank("dense", descending=True).over(each) <= (limit or rows.height))
        .with_columns(order.min().over(*each, "__day").alias("__worst"), order.alias("__order"))
        .sort("__day", "__worst", "asset", "check", "__order", descending=[True, *[False] * 4], maintain_order=True)
        .select(rows.columns)
    )


def _meant(lake: Lake, name: str | None, there: set[str]) -> set[str]:
    """The assets that a name means: a table, or all of a model. Raises Refused, naming those that are near."""
    if name is None or name in there:
        return {name} if name else there
    mine = {one for one in there if one.startswith(f"{name}_") and f"{name}_champion" in there}
    if not mine:
        models = {one.removesuffix("_champion") for one in there if one.endswith("_champion")}
        every = ", ".join(sorted(there | models)) or f"none: {again('build')}"
        mend = did_you_mean(name, there | models, f"There are {every}.")
        raise Refused(f"Nothing called {name!r} is checked in {lake.root}. {mend}")
    return mine


# -- showing ----------------------------------------------------------------------------------------------------


def _told(held: DataFrame, name: str | None) -> Sequence[RenderableType]:
    """The states, bad ones first, with their sentences; how many passed."""
    from lightkeeper.watch.runs import CHECKS

    rows = list(held.iter_rows(named=True))
    bad = [row for row in rows if row["state"] in BAD]
    young = [row for row in rows if row["state"] in {"learning", "unknown"}]
    parts: list[RenderableType] = []
    for row in bad:
        parts += [_head(row), sentence(row["why"])]
    if judgeless := [row for row in young if row["check"] not in CHECKS]:
        parts += ["Not judged:", *_grouped(judgeless)]
    if costs := sorted({row["asset"] for row in young if row["check"] in CHECKS}):
        whose = costs[0] if len(costs) == 1 else counted(len(costs), "asset")
        parts.append(f"What a run of {whose} usually takes is still being learnt.")
    passed = len(rows) - len(bad) - len(young)
    parts.append(f"{passed} passed, {len(bad)} failed or drifted, {len(young)} learning or unknown.")
    asked = f" {name}" if name else ""
    return [
        *parts,
        dim(f"Each column and its sentence: {again(f'check run{asked} --explain')}"),
        dim(f"Before: {again(f'check history{asked}')}"),
    ]


def _grouped(rows: Sequence[Mapping[str, Any]]) -> list[RenderableType]:
    """What was not judged and why: checks whose sentences differ in nothing but numbers, days and names have one of them."""
    alike: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for row in rows:
        alike.setdefault((row["state"], _DIFFERING.sub("", row["why"])), []).append(row)
    parts: list[RenderableType] = []
    for (state, _), group in alike.items():
        checks: dict[str, list[str]] = {}
        for row in group:
            checks.setdefault(row["asset"], []).append(row["check"])
        named = "; ".join(f"{asset} {', '.join(names)}" for asset, names in checks.items())
        such_as = "" if len({row["why"] for row in group}) == 1 else "such as: "
        parts += [_coloured(state, sentence(f"{state} {named}", "", "    ")), sentence(f"{such_as}{group[0]['why']}")]
    return parts


def _coloured(state: str, line: str) -> RenderableType:
    """A line that begins with a state."""
    from rich.text import Text

    return Text.assemble((state, _COLOURS[state]), line.removeprefix(state))


def _head(row: dict[str, Any]) -> RenderableType:
    from rich.text import Text

    since = f" since {row['since']}" if row.get("since") and row["since"] != row["day"] else ""
    kind = f", looks like: {row['kind']}" if row["kind"] else ""
    return Text.assemble((row["state"], _COLOURS[row["state"]]), f" {row['asset']} {row['check']} on {row['day']}{since}{kind}")


def _explained(rows: DataFrame) -> Sequence[RenderableType]:
    """Every verdict with its sentence."""
    from rich.text import Text

    parts: list[RenderableType] = []
    for (asset, check), mine in rows.group_by("asset", "check", maintain_order=True):
        parts.append(Text(f"{asset} {check}", style="bold"))
        for row in mine.iter_rows(named=True):
            kind = f" ({row['kind']})" if row["kind"] else ""
            parts += [Text.assemble("  ", (row["state"], _COLOURS[row["state"]]), kind), sentence(row["why"], "    ")]
    return parts or ["Nothing is checked."]


def _history(rows: DataFrame) -> RenderableType:
    """A line a check and day: its first verdict, which is its worst."""
    rows = rows.with_columns(_day()).unique(["asset", "check", "day"], keep="first", maintain_order=True)
    columns = [
        Column("day", [str(one) for one in rows["day"]]),
        Column("asset", [text(one) for one in rows["asset"]]),
        Column("check", rows["check"].to_list()),
        Column("state", rows["state"].to_list()),
        Column("column", [_column(*one) for one in rows.select("column", "segment").rows()], least=22),
        Column("measured", _numbers(rows["measured"]), right=True, rank=1),
        Column("limit", _numbers(rows["limit"]), right=True, rank=2),
        Column("known at (UTC)", [moment(one) for one in rows["known_at"]], rank=3),
    ]
    if rows["asset"].n_unique() == 1:
        columns = [one for one in columns if one.head != "asset"]
    table, _ = grid(columns)
    kinds = [f" Looks like: {one}." if one else "" for one in rows["kind"]]
    bad = rows["state"].is_in(BAD)
    return WithSentences(
        table, [f"{why}{kind}" if is_bad else None for why, kind, is_bad in zip(rows["why"], kinds, bad, strict=True)]
    )


def _day() -> Expr:
    """The day that a verdict is about; of what has no days, the day on which it was reached."""
    import polars as pl

    return pl.col("day").fill_null(pl.col("known_at").dt.date())


def _column(name: str | None, segment: str | None) -> str:
    return text(f"{name or ''}{f' ({segment})' if segment else ''}")


def _numbers(values: Iterable[float | None]) -> list[str]:
    return ["" if one is None else f"{one:,.4g}" for one in values]


def _still(held: DataFrame) -> list[RenderableType]:
    """What holds now of what is bad, and since when."""
    return [f"Now: {row['asset']} {row['check']} {row['state']} since {row['since']}." for row in held.iter_rows(named=True)]
