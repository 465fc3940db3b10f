"""`lightkeeper model show`: one version, what it learnt from and with, how it was judged."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lightkeeper.cli.judgement import judgement_json, last_judgement, shown_judgement
from lightkeeper.cli.model_names import ModelVersionArgument, model_and_number, versions_of
from lightkeeper.cli.options import AsOfOption, HomeOption, JsonOption, again, open_lake
from lightkeeper.cli.show import count, counted, dim, facts, moment, print_json, print_text, text, timestamp
from lightkeeper.errors import ModelAltered
from lightkeeper.values import version_name

if TYPE_CHECKING:
    import polars as pl
    from rich.console import RenderableType

    from lightkeeper.lake.table import Lake
    from lightkeeper.models.decisions import Serving

__all__ = ["show"]

_JSON = ("params", "environment", "declared")  # texts that hold JSON
_NAIVE = "the value of the same day of the season before, such as last Monday's; it has learnt nothing and needs nothing"


def show(
    version: ModelVersionArgument,
    *,
    slices: Annotated[bool, typer.Option("--slices", help="The metrics of each slice as well.")] = False,
    as_of: AsOfOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show one version: its role, what it learnt from and with, its metrics beside the others', the reason."""
    from lightkeeper.models.decisions import champion

    lake = open_lake(home)
    model, number = model_and_number(lake, version)
    if number is not None and as_of is not None:
        raise typer.BadParameter(f"give a version, {version}, or --as-of {as_of}, not both.")
    serving = champion(lake, model, as_of)
    number = serving.version if number is None else number
    row, altered = _row(lake, model, number)
    judged = last_judgement(lake, model, [number, *([row["judged"]] if row.get("judged") else [])])
    if as_json:
        print_json(_json(serving, number, row, altered) | {"judgement": judgement_json(judged)})
    else:
        print_text(*_shown(serving, number, row, altered, judged, slices=slices))


def _row(lake: Lake, model: str, number: int) -> tuple[Mapping[str, Any], str | None]:
    """A version's row without its bytes, empty for the naive forecast; and what is wrong with the bytes."""
    from lightkeeper.models.registry import read_version, summary

    if number == 0:
        return {}, None
    versions = versions_of(lake, model)
    try:
        read_version(model, versions, number)
    except ModelAltered as error:
        altered: str | None = str(error)
    else:
        altered = None
    return next(row for row in summary(versions).to_dicts() if row["version"] == number), altered


def _json(serving: Serving, number: int, row: Mapping[str, Any], altered: str | None) -> dict[str, object]:
    read = {name: json.loads(row[name]) for name in _JSON if name in row}
    told = {"trained_at": timestamp(row["trained_at"])} if row else {}
    return {
        "name": version_name(serving.model, number),
        "serves": serving.name,
        "since": timestamp(serving.since) if serving.version == number else None,
        "model": serving.model,
        "version": number,
        **row,
        **read,
        **told,
        "altered": altered,
    }


def _shown(  # noqa: PLR0913 - what is shown, in its order
    serving: Serving, number: int, row: Mapping[str, Any], altered: str | None, judged: pl.DataFrame | None, *, slices: bool
) -> list[RenderableType]:
    from rich.text import Text

    name = version_name(serving.model, number)
    parts: list[RenderableType] = [Text.assemble((name, "bold"), (f"  {_note(serving, number)}", "dim"))]
    said = list(_facts(row)) if row else [("is", _NAIVE)]
    parts.append(facts([*([("altered", altered)] if altered else []), *said]))
    if judged is not None:
        parts += ["", *shown_judgement(judged, slices=slices)]
    return [*parts, "", dim(again(f"model verify {name}" if number else f"model decisions {serving.model}"))]


def _note(serving: Serving, number: int) -> str:
    if serving.version != number:
        return f"{serving.name} serves"
    if serving.since is None:
        return "serves, as nothing was promoted yet"
    return f"serves since {moment(serving.since)} UTC, {text(str(serving.action).replace('_', ' '))} by {text(serving.by)}"


def _facts(row: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    environment = json.loads(row["environment"])
    yield "role", _role(row)
    yield "learnt from", text(", ".join(row["learnt_from"]))
    yield "days", f"{row['first_day']} to {row['last_day']}"
    yield "rows", count(row["rows"])
    yield "predicts", f"{text(row['target'])} ({row['kind']}), {_ahead(row['horizon'])}"
    yield "features", text(", ".join(row["features"]))
    yield "rounds", count(row["rounds"])
    yield "params", ", ".join(f"{text(name)}={text(value)}" for name, value in json.loads(row["params"]).items())
    yield "trained at", f"{moment(row['trained_at'])} UTC"
    yield "environment", ", ".join(f"{text(name)} {text(value)}" for name, value in environment.items() if name != "lock")
    yield "lock", text(environment.get("lock") or "none")
    yield "sha256", text(row["sha256"])


def _role(row: Mapping[str, Any]) -> str:
    if row["role"] == "refit":
        return f"refit: {version_name(row['model'], row['judged'])} was judged, and fitted again up to the present"
    return f"challenger: it learnt up to {row['last_day']}, to be judged on the days after"


def _ahead(horizon: int | None) -> str:
    return f"up to {counted(horizon, 'day')} ahead" if horizon else "of rows that have none yet"
