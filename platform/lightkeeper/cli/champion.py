"""`lightkeeper model champion` and `decisions`: who served when, and every decision that led to it, as the ledger says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lightkeeper.cli.model_names import ModelArgument, known_model
from lightkeeper.cli.options import AsOfOption, HomeOption, JsonOption, again, open_lake
from lightkeeper.cli.show import count, dim, facts, moment, print_json, print_text, text, timestamp
from lightkeeper.errors import Refused
from lightkeeper.values import version_name

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table
    from rich.text import Text

    from lightkeeper.lake.table import Lake

__all__ = ["champion", "decisions", "done"]


def champion(
    model: ModelArgument,
    *,
    as_of: AsOfOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say which version serves, or served at the end of a day (UTC): since when, until when, why, and by whose decision."""
    lake = open_lake(home)
    name = known_model(lake, model)
    found = _served(lake, name, as_of)
    if as_json:
        print_json({"as_of": as_of, **found})
        return
    from rich.text import Text

    print_text(Text(found["serves"], style="bold"), facts(list(_facts(found))))


def _served(lake: Lake, model: str, as_of: date | None) -> Mapping[str, Any]:
    """The row of `champions` that held at the end of a day. Raises Refused for a day before anything is known of the model."""
    from lightkeeper.models.champions import rows

    at = datetime.max.replace(tzinfo=UTC) if as_of is None else datetime.combine(as_of, time.max, UTC)
    known = _known(lake, model)
    if known and at < (begun := min(known.values())):
        what = next(what for what, since in known.items() if since == begun)
        raise Refused(f"Nobody served {model} on {as_of}: the first that is known of it is a {what} of {moment(begun)} UTC.")
    *earlier, found = [row for row in rows(lake, model).iter_rows(named=True) if row["since"] is None or row["since"] <= at]
    kept = bool(earlier) and earlier[-1]["serves"] == found["serves"] and found["action"] == "promoted"
    return {**found, "action": "kept"} if kept else found


def _known(lake: Lake, model: str) -> dict[str, datetime]:
    """Since when anything is known of a model: its first decision, its first forecast; whatever there is."""
    from lightkeeper.models.decisions import decisions as ledger

    since: dict[str, Any] = {"decision": ledger(lake, model)["decided_at"].min()}
    if lake.exists(f"{model}_forecast"):
        since["forecast"] = lake.commit(f"{model}_forecast@0").known_at
    return {what: at for what, at in since.items() if at is not None}


def _facts(found: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "since", "the beginning" if found["since"] is None else f"{moment(found['since'])} UTC"
    yield "until", "it serves now" if found["until"] is None else f"{moment(found['until'])} UTC"
    if found["action"] is not None:
        yield "how", f"{_words(found['action'])} by {text(found['by'])}"
    yield "why", text(found["why"])


def _words(action: str) -> str:
    return text(action.replace("_", " "))


# -- decisions --------------------------------------------------------------------------------------------------


def decisions(
    model: ModelArgument,
    *,
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=0, help="At most so many decisions; 0 for all.")] = 20,
    as_of: AsOfOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what was decided of a model, newest first: trained, judged, promoted, retrained or held, and why."""
    from lightkeeper.models.decisions import decisions as ledger

    lake = open_lake(home)
    name = known_model(lake, model)
    rows = ledger(lake, name, as_of).reverse().to_dicts()
    shown = rows[: limit or None]
    if as_json:
        print_json({"model": name, "as_of": as_of, "of": len(rows), "decisions": [_json(name, row) for row in shown]})
    elif shown:
        print_text(*_decided(name, shown, len(rows)))
    else:
        print_text(f"Nothing was decided of {name}{f' up to {as_of}' if as_of else ''}: {version_name(name, 0)} serves.")


def _json(model: str, row: Mapping[str, Any]) -> dict[str, object]:
    against = row["against"]
    return {
        **row,
        "decided_at": timestamp(row["decided_at"]),
        "version": version_name(model, row["version"]),
        "against": None if against is None else version_name(model, against),
    }


def done(row: Mapping[str, Any]) -> str:
    """What a decision did, in a word or two: whoever is promoted in his own place was kept."""
    kept = row["action"] == "promoted" and row["against"] == row["version"]
    return "kept" if kept else _words(row["action"])


def _detail(row: Mapping[str, Any]) -> str:
    """Whom a version was compared with; of a retraining, which attempt."""
    if row["action"] == "attempted":
        return f", attempt {row['attempt']}"
    if row["against"] is None or row["action"] in ("held", "failed", "half_opened") or done(row) == "kept":
        return ""
    return f" against {version_name(row['model'], row['against'])}"


def _entry(at: str, head: Text) -> Table:
    """When, and what; what does not fit into the line goes on below itself."""
    from rich.table import Table

    line = Table.grid(padding=(0, 2, 0, 0))
    line.add_column(style="dim", no_wrap=True)
    line.add_column()
    line.add_row(at, head)
    return line


def _decided(model: str, shown: Sequence[Mapping[str, Any]], there: int) -> list[RenderableType]:
    """Each decision is a line, and its reason below it, whole."""
    from rich.padding import Padding
    from rich.text import Text

    parts: list[RenderableType] = []
    for row in shown:
        what = f"{done(row)} {version_name(model, row['version'])}{_detail(row)}"
        code = f", {text(row['code'])}" if row["code"] else ""
        head = Text.assemble((what, "bold"), f"{code}, by {text(row['by'])}")
        parts += [_entry(moment(row["decided_at"]), head), Padding(Text(text(row["why"])), (0, 0, 0, 18))]
    if len(shown) < there:
        older = f"{count(there - len(shown))} older: {again(f'model decisions {model} --limit 0')}"
        parts += ["", dim(older)]
    return [*parts, "", dim(f"What would make a retraining now: {again(f'model breaker {model}')}")]
