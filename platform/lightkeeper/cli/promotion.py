"""`lightkeeper model promote` and `rollback`: a person moves the champion. Both go forward in history, and say why."""

from __future__ import annotations

import getpass
import os
from typing import TYPE_CHECKING, Annotated

import typer

from lightkeeper.cli.model_names import ModelArgument, known_model, model_and_number, version_number, versions_of
from lightkeeper.cli.options import HomeOption, JsonOption, again, open_lake
from lightkeeper.cli.show import dim, print_json, print_text, timestamp
from lightkeeper.errors import Conflict, StorageFailed
from lightkeeper.values import Decision, version_name

if TYPE_CHECKING:
    from rich.console import RenderableType

    from lightkeeper.lake.table import Lake

__all__ = ["promote", "rollback", "who"]


def _reason(why: str) -> str:
    if not why.strip():
        raise typer.BadParameter("a decision says why, in a sentence.")
    return why.strip()


WhyOption = Annotated[str, typer.Option("--why", metavar="TEXT", callback=_reason, help="The reason, in a sentence; it is kept.")]


def promote(
    model: Annotated[str, typer.Argument(metavar="M[:vN]", help="The version that is to serve: demand:v3, demand:naive.")],
    version: Annotated[str | None, typer.Argument(metavar="V", help="The version, where M names the model alone: 3.")] = None,
    *,
    why: WhyOption,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a version the champion, whatever was judged of it. It acts on the next forecast."""
    from lightkeeper.models.decisions import champion
    from lightkeeper.models.promotion import by_hand

    lake = open_lake(home)
    name, number = model_and_number(lake, model)
    if number is not None and version is not None:
        raise typer.BadParameter(f"{model} {version} names the version twice: give one of them.")
    number = version_number(name, version) if version is not None else number
    if number is None:
        raise typer.BadParameter(f"which version of {name}? {_choice(lake, name)}", param_hint="'M[:vN]'")
    before = champion(lake, name).version
    recorded = by_hand(lake, name, number, who(), why)
    _moved(lake, name, before, recorded=recorded, as_json=as_json)


def rollback(
    model: ModelArgument,
    *,
    to: Annotated[
        str | None, typer.Option("--to", metavar="V", help="The version that is to serve: 3, naive; by default the one before.")
    ] = None,
    why: WhyOption,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Go back to the version that served before, or to a named one: as a new decision, nothing is undone or lost."""
    from lightkeeper.models.decisions import champion, rolled_back
    from lightkeeper.models.promotion import assert_serves

    lake = open_lake(home)
    name = known_model(lake, model)
    number = None if to is None else version_number(name, to)
    before = champion(lake, name).version
    said = Decision(name, "rolled_back", 0, who(), why, code="by_hand")
    rolled_back(lake, said, number, lambda one: assert_serves(lake, name, one))
    _moved(lake, name, before, recorded=True, as_json=as_json)


def who() -> str:
    """The login name of the person at the keyboard."""
    try:
        return f"user {getpass.getuser()}"
    except (OSError, KeyError):  # a number without a name, as in some containers
        return f"user {os.getuid()}"


def _choice(lake: Lake, model: str) -> str:
    from lightkeeper.models.registry import last_number

    last = last_number(versions_of(lake, model))
    newest = f"Its newest is {version_name(model, last)}" if last else "It has none yet"
    look = again(f"model show {version_name(model, last)}")
    return f"{newest}; {version_name(model, 0)} is the naive forecast. Look: {look}"


def _moved(lake: Lake, model: str, before: int, *, recorded: bool, as_json: bool) -> None:
    """Publish the table of champions, then say who serves."""
    from lightkeeper.models.champions import publish
    from lightkeeper.models.decisions import champion

    serving = champion(lake, model)
    try:
        publish(lake, model)
    except (Conflict, StorageFailed) as error:
        raise type(error)(
            f"{serving.name} serves, and the ledger of decisions says so; only the table {model}_champion could not be written: "
            f"{error} The next run writes it. Do not decide again."
        ) from error
    if as_json:
        print_json({
            "model": model, "serves": serving.name, "version": serving.version, "before": version_name(model, before),
            "recorded": recorded, "since": timestamp(serving.since), "action": serving.action, "by": serving.by,
            "why": serving.why,
        })  # fmt: skip
        return
    print_text(*_said(lake, model, serving.version, version_name(model, before), recorded=recorded))


def _said(lake: Lake, model: str, number: int, before: str, *, recorded: bool) -> list[RenderableType]:
    name = version_name(model, number)
    if not recorded:
        return [f"{name} serves already. Nothing was recorded."]
    said: list[RenderableType] = [f"{name} serves; {before} did. The next forecast is made by it."]
    said += _short_sighted(lake, model, number)
    return [*said, dim(again(f"model decisions {model}"))]


def _short_sighted(lake: Lake, model: str, number: int) -> list[str]:
    """What is to be known of a challenger: it learnt up to a cut, and a refit of it may be there."""
    from lightkeeper.models.registry import summary

    rows = summary(versions_of(lake, model)).to_dicts()
    mine = [row for row in rows if row["version"] == number and row["role"] == "challenger"]
    if not mine:
        return []
    refits = [version_name(model, row["version"]) for row in rows if row["judged"] == number]
    also = f" {refits[-1]} is the same recipe, fitted up to {_last(rows, refits[-1])}." if refits else ""
    return [f"It is a challenger, which learnt up to {mine[0]['last_day']} only.{also}"]


def _last(rows: list[dict[str, object]], name: str) -> object:
    return next(row["last_day"] for row in rows if name.endswith(f":v{row['version']}"))
