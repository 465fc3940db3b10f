"""`lightkeeper model backtest` and `model test`: a recipe on history, and the working tree's model before it is merged.

Both read the declared model from the project and write nothing: what serves is not touched.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lightkeeper.cli.judgement import metrics_table
from lightkeeper.cli.model_names import ModelArgument
from lightkeeper.cli.options import HomeOption, JsonOption, open_lake, parse_day
from lightkeeper.cli.show import counted, did_you_mean, facts, print_json, print_text, records, text
from lightkeeper.errors import LightkeeperError, Refused
from lightkeeper.values import Window

if TYPE_CHECKING:
    import dagster as dg
    import polars as pl
    from rich.console import RenderableType

    from lightkeeper.lake.table import Lake
    from lightkeeper.models.judging import Judgement
    from lightkeeper.models.model import Model
    from lightkeeper.models.registry import Trained
    from lightkeeper.models.trying import Span, Trial

__all__ = ["backtest", "rehearse"]

_BAD = 1  # exit code: it was answered, and the answer is bad
_STOPS = {"worse", "slice_harmed", "expectation_failed", "naive_better", "better_as_it_serves"}

_From = Annotated[date | None, typer.Option("--from", metavar="DAY", parser=parse_day, help="First day that is judged.")]
_To = Annotated[date | None, typer.Option("--to", metavar="DAY", parser=parse_day, help="Last day that is judged.")]


def backtest(  # noqa: PLR0913 - the options of a command are its vocabulary, all named
    model: ModelArgument,
    *,
    params: Annotated[
        list[str] | None, typer.Option("--params", metavar="NAME=VALUE", help="A LightGBM parameter to change; may be repeated.")
    ] = None,
    first: _From = None,
    last: _To = None,
    origins: Annotated[int, typer.Option("--origins", metavar="N", min=1, help="At how many days it is fitted anew.")] = 6,
    train_with: Annotated[
        str | None, typer.Option("--train-with", metavar="A:B", help="What the days from A to before B add to those after them.")
    ] = None,
    train_without: Annotated[
        str | None, typer.Option("--train-without", metavar="A:B", help="What is lost without the days from A to before B.")
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run a changed recipe on history beside the declared one and the naive forecast; what serves is not touched."""
    from lightkeeper.models.trying import Span

    if sum(map(bool, (params, train_with, train_without))) > 1:
        raise typer.BadParameter(
            "give one of --params, --train-with and --train-without at a time: two changes tell nothing apart."
        )
    lake = open_lake(home)
    declared, defs = _declared(model)
    table = lake.read(declared.table)
    pieces = (train_with, train_without)
    trial = _tried(declared, table, Span(first, last, origins), params or [], pieces)
    known, leaking = _known_ahead(defs, lake, declared, trial.origins[-1])
    if as_json:
        print_json(_trial_json(trial, known))
    else:
        print_text(*_trial_text(declared, trial, known))
    if leaking:
        raise typer.Exit(_BAD)


def _declared(name: str) -> tuple[Model, dg.Definitions]:
    """A model of the project here, with the project's definitions. Raises Refused, naming the nearest."""
    from lightkeeper.cli.project import Project
    from lightkeeper.orchestrate.project import declared_models
    from lightkeeper.orchestrate.running import load

    project = Project.find(Path.cwd())
    defs = load(project.folder, project.module)
    models = declared_models(defs)
    if name not in models:
        hint = did_you_mean(name, models, f"It declares: {', '.join(models) or 'none'}.")
        raise Refused(f"{project.folder} declares no model {name!r}. {hint}")
    return models[name], defs


def _tried(model: Model, table: pl.LazyFrame, span: Span, params: Sequence[str], pieces: tuple[str | None, str | None]) -> Trial:
    from lightkeeper.models.trying import recipe_tried, worth_of_history

    piece = pieces[0] or pieces[1]
    if piece is not None:
        return worth_of_history(model, table, span, _window(piece), without=pieces[0] is None)
    changed = replace(model, params={**model.params, **dict(map(_param, params))})
    return recipe_tried(model, changed, table, span)


def _window(given: str) -> Window:
    first, colon, end = given.partition(":")
    if not colon:
        raise typer.BadParameter(f"{given!r} is no span of days: write it like 2026-01-01:2026-02-01, the end not included.")
    found = Window(parse_day(first), parse_day(end))
    if found.start >= found.end:
        raise typer.BadParameter(f"{given!r} ends before it begins: write the earlier day first.")
    return found


def _param(given: str) -> tuple[str, Any]:
    name, equals, value = given.partition("=")
    if not equals or not name:
        raise typer.BadParameter(f"{given!r} is no parameter: write it like learning_rate=0.1.")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def _known_ahead(defs: dg.Definitions, lake: Lake, model: Model, cut: date) -> tuple[str, bool]:
    """Whether every feature keeps its values when the days after the last origin are taken away, in words."""
    from lightkeeper.orchestrate.recompute import leaks

    if model.horizon is None:
        return "not asked: the model has no horizon", False
    try:
        found = leaks(defs, lake, model, lake.version(model.table), cut)
    except LightkeeperError as error:
        return f"not rehearsed: {error}", False
    if not found:
        return f"{len(model.features)} of {len(model.features)} features keep their values without the days after {cut}", False
    first = found[0]
    told = f"{first.feature} of {dict(first.row)} is {first.whole}, and was {first.then} on {cut}"
    return f"LEAK: {', '.join(one.feature for one in found)} change when the days after {cut} are taken away: {told}", True


def _trial_json(trial: Trial, known: str) -> dict[str, object]:
    found = trial.difference
    return {
        "origins": list(trial.origins), "contenders": records(trial.rows), "loss": trial.loss, "why": trial.why,
        "better_by": found.mean, "better_low": found.low, "better_high": found.high, "days": found.days, "known_ahead": known,
    }  # fmt: skip


def _trial_text(model: Model, trial: Trial, known: str) -> list[RenderableType]:
    from rich.text import Text

    days = f"{trial.origins[0] + timedelta(1)} to {trial.origins[-1] + timedelta(model.judged_days)}"
    return [
        Text(f"{model.name} on {days}, fitted at {counted(len(trial.origins), 'origin')}", style="bold"),
        "",
        metrics_table(trial.rows),
        "",
        trial.why,
        "",
        facts([("known ahead", text(known))]),
    ]


# -- test -------------------------------------------------------------------------------------------------------


def rehearse(
    model: ModelArgument,
    *,
    dummy: Annotated[bool, typer.Option("--dummy", help="On rows made up from the table's contract; needs no data.")] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Meet the expectations and the gate with the working tree's model; nothing is recorded. Exit code 1: it would not pass."""
    from lightkeeper.models.trying import rehearsed

    declared, defs = _declared(model)
    table, where, champion = _dummy(defs, declared) if dummy else _pinned(open_lake(home), declared)
    found = rehearsed(declared, table, champion)
    stops = not dummy and found.ruling.code in _STOPS
    if as_json:
        print_json(_test_json(found, where, passes=not stops))
    else:
        print_text(*_test_text(declared, found, where, dummy=dummy, stops=stops))
    if stops:
        raise typer.Exit(_BAD)


def _pinned(lake: Lake, model: Model) -> tuple[pl.LazyFrame, str, Trained | None]:
    """The newest version of the model's table, and who serves; where too few days have matured since, its judged challenger."""
    from lightkeeper.cli.model_names import versions_of
    from lightkeeper.models.decisions import decisions, standing
    from lightkeeper.models.forecasting import server
    from lightkeeper.models.registry import read_version
    from lightkeeper.models.training import cut_of

    at, versions = lake.version(model.table), versions_of(lake, model.name)
    table = lake.read(model.table, at)
    serves = server(model.name, versions, standing(decisions(lake), model.name)).trained
    if serves is not None and serves.row["judged"] and serves.last_day > cut_of(model, table):
        serves = read_version(model.name, versions, serves.row["judged"])
    return table, str(at), serves


def _dummy(defs: dg.Definitions, model: Model) -> tuple[pl.LazyFrame, str, None]:
    from lightkeeper.models.dummy import dummy_rows
    from lightkeeper.orchestrate.recompute import contract_of, metadata_of

    contract = contract_of(metadata_of(defs, model.table))
    if contract is None:
        raise Refused(f"{model.table} names no contract to make rows from: give its asset metadata=lk.about(Contract).")
    return dummy_rows(model, contract).lazy(), f"rows made up from {contract.__name__}", None


def _test_json(found: Judgement, where: str, *, passes: bool) -> dict[str, object]:
    return {
        "passes": passes, "on": where, "code": found.ruling.code, "why": found.ruling.why,
        "expectations": [{"text": one.text, "holds": one.holds, "why": one.why} for one in found.held],
        "metrics": records(found.rows),
    }  # fmt: skip


def _test_text(model: Model, found: Judgement, where: str, *, dummy: bool, stops: bool) -> list[RenderableType]:
    import polars as pl
    from rich.text import Text

    verdict = "runs" if dummy else "would not pass" if stops else "passes"
    expected = [("holds" if one.holds else "FAILS", f"{text(one.text)}: {text(one.why)}") for one in found.held]
    said = "on noise no gate decides; it trained, was judged and can be asked" if dummy else text(found.ruling.why)
    return [
        Text.assemble((f"{model.name} {verdict}", "bold red" if stops else "bold green"), f"  on {where}"),
        "",
        metrics_table(found.rows.filter(pl.col("slice") == "all")),
        "",
        facts([*expected, ("gate", said)]),
    ]
