"""`lightkeeper alert`: what people were told, whether it reached them, and that somebody has seen to it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lightkeeper.cli.options import EPILOG, HomeOption, JsonOption, again, open_lake
from lightkeeper.cli.promotion import who
from lightkeeper.cli.show import counted, dim, moment, print_json, print_text, records, sentence, text
from lightkeeper.errors import Refused

if TYPE_CHECKING:
    from polars import DataFrame
    from rich.console import RenderableType

__all__ = ["ack", "listed", "register"]

_COLOURS = {"open": "bold red", "acknowledged": "yellow", "solved": "green"}
_NAMED = 5  # keys in a message
_TRIED = {"failing": "not delivered yet", "given_up": "NOT DELIVERED, given up"}


def register(app: typer.Typer) -> None:
    """Adds the group `alert` to the command."""
    group = typer.Typer(no_args_is_help=True)
    group.command("list", epilog=EPILOG)(listed)
    group.command("ack", epilog=EPILOG)(ack)
    app.add_typer(group, name="alert", help="Alerts: what people were told, and that somebody has seen to it.", epilog=EPILOG)


def listed(
    *,
    every: Annotated[bool, typer.Option("--all", help="Those that are solved as well.")] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the alerts that are not solved, newest first: since when, why, for whom, and whether it reached them."""
    import polars as pl

    from lightkeeper.alerts.kept import standing

    lake = open_lake(home)
    there = standing(lake)
    rows = (there if every else there.filter(pl.col("state") != "solved")).reverse()
    if as_json:
        print_json({"lake": lake.root, "alerts": records(rows)})
    elif rows.height:
        print_text(*_told(rows))
    else:
        solved = f"No alert is open. {there.height} solved: {again('alert list --all')}"
        print_text(solved if there.height else "No alert was raised yet.")


def _reason(why: str) -> str:
    if not why.strip():
        raise typer.BadParameter("whoever acknowledges says why, in a sentence.")
    return why.strip()


def ack(
    key: Annotated[str, typer.Argument(metavar="KEY", help="The alert's key, or a beginning that no other has.")],
    *,
    why: Annotated[str, typer.Option("--why", metavar="TEXT", callback=_reason, help="What is done about it; it is kept.")],
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say that you have seen to an alert. It stays until what caused it is over, and then is solved by itself."""
    from lightkeeper.alerts.kept import acknowledged, standing

    lake = open_lake(home)
    found = _meant(key, standing(lake)["key"].to_list())
    by = who()
    acknowledged(lake, found, by, why)
    if as_json:
        print_json({"key": found, "by": by, "why": why})
    else:
        print_text(f"{text(found)} is acknowledged by {text(by)}.")


def _meant(key: str, there: Sequence[str]) -> str:
    """The key that begins so. Raises Refused: none does, or several do."""
    from lightkeeper.alerts.kept import known

    found = [key] if key in there else [one for one in there if key and one.startswith(key)]
    if len(found) > 1:
        more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
        raise Refused(f"{key!r} begins {len(found)} alerts: {', '.join(found[:_NAMED])}{more}. Give more of the key.")
    return found[0] if found else known(key, there)


# -- showing ----------------------------------------------------------------------------------------------------


def _told(rows: DataFrame) -> Sequence[RenderableType]:
    parts: list[RenderableType] = []
    for row in rows.iter_rows(named=True):
        parts += [*_alert(row), ""]
    unsolved = [row for row in rows.iter_rows(named=True) if row["state"] != "solved"]
    unheard = sum(row["delivery"] != "sent" for row in unsolved)
    parts.append(f"{len(unsolved)} not solved, {unheard} of them not delivered.")
    seen_to = again('alert ack KEY --why "..."')
    return [*parts, dim(f"Seen to one? {seen_to}")] if unsolved else parts


def _alert(row: Mapping[str, Any]) -> Iterator[RenderableType]:
    """The symptom as a line of its own, then what is known of it, wrapped below."""
    from rich.text import Text

    from lightkeeper.alerts.alert import role_name

    yield Text(text(row["symptom"]), style="bold")
    since = f"since {_since(row['since'])}, " if row["since"] else ""
    yield Text.assemble(f"  {since}for {role_name(row['role'])}, ", (row["state"], _COLOURS[row["state"]]))
    said, style = _delivery(row)
    yield Text(sentence(said), style=style)
    yield from (sentence(f"{label}{text(value)}") for label, value in _facts(row) if value)
    yield dim(sentence(f"key: {text(row['key'])}"))


def _delivery(row: Mapping[str, Any]) -> tuple[str, str]:
    """What became of its sending, and the style that it is shown in."""
    state, error = row["delivery"], text(row["last_error"] or "")
    if state == "sent":
        return f"raised {moment(row['raised_at'])} UTC, sent", "dim"
    if state == "waiting":
        return f"raised {moment(row['raised_at'])} UTC, waiting to be sent by the sensor `alerts`", "yellow"
    if state == "nobody":
        mend = "nobody was told in time" if row["state"] == "solved" else "nobody is named: set LIGHTKEEPER_ALERT_IT"
        return f"NOT DELIVERED: {mend}", "bold red"
    return f"{_TRIED[state]} after {counted(row['attempts'], 'attempt')}: {error}", "bold red"


def _facts(row: Mapping[str, Any]) -> Iterator[tuple[str, str | None]]:
    yield "", row["why"]
    yield "effect: ", row["effect"]
    yield "done: ", row["done"]
    yield "to do: ", row["to_do"]
    yield from (("see: ", link) for link in row["links"])
    yield "owners: ", ", ".join(row["owners"])
    yield f"acknowledged by {text(row['acknowledged_by'])}: ", row["acknowledged_why"]
    yield f"solved {moment(row['solved_at'])} UTC: ", row["solved_why"]


def _since(kept: str) -> str:
    return f"{moment(datetime.fromisoformat(kept))} UTC" if "T" in kept else kept
