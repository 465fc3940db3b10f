"""`lightkeeper model`: the group of commands, and `list`, which says who serves.

The other commands stand in a module each: `model_version` (show), `champion` (and decisions), `promotion` (promote, rollback),
`breaker`, `verification` (verify), `explanation` (explain), `trying` (backtest, test).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

import typer

from lightkeeper.cli import breaker, champion, explanation, model_version, promotion, trying, verification
from lightkeeper.cli.model_names import known_models
from lightkeeper.cli.options import EPILOG, AsOfOption, HomeOption, JsonOption, again, open_lake
from lightkeeper.cli.show import Column, counted, dim, grid, moment, print_json, print_text, text, timestamp
from lightkeeper.errors import NoSuchVersion
from lightkeeper.values import version_name

if TYPE_CHECKING:
    from rich.console import RenderableType

    from lightkeeper.lake.table import Lake
    from lightkeeper.models.decisions import Serving

__all__ = ["list_models", "register"]


def register(app: typer.Typer) -> None:
    """Adds the group `model` to the command."""
    group = typer.Typer(no_args_is_help=True)
    group.command("list", epilog=EPILOG)(list_models)
    group.command("show", epilog=EPILOG)(model_version.show)
    group.command("champion", epilog=EPILOG)(champion.champion)
    group.command("decisions", epilog=EPILOG)(champion.decisions)
    group.command("breaker", epilog=EPILOG)(breaker.breaker)
    group.command("explain", epilog=EPILOG)(explanation.explain)
    group.command("verify", epilog=EPILOG)(verification.verify)
    group.command("promote", epilog=EPILOG)(promotion.promote)
    group.command("rollback", epilog=EPILOG)(promotion.rollback)
    group.command("backtest", epilog=EPILOG)(trying.backtest)
    group.command("test", epilog=EPILOG)(trying.rehearse)
    app.add_typer(group, name="model", help="Models: who serves and why, explain, verify, promote, roll back, try.", epilog=EPILOG)


@dataclass(frozen=True, slots=True)
class _Known:
    """A model as it stood: who served, how many versions there were, how the last judgement ended."""

    model: str
    serving: Serving
    versions: int
    judged: Mapping[str, Any] | None

    @property
    def newest(self) -> str:
        """The newest version's short name."""
        return f"v{self.versions}" if self.versions else "-"


def list_models(*, as_of: AsOfOption = None, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """List the models: which version serves, since when, and how the last judgement ended."""
    lake = open_lake(home)
    found = list(_stood(lake, as_of))
    if as_json:
        print_json({"lake": lake.root, "as_of": as_of, "models": [_json(one) for one in found]})
    elif found:
        print_text(*_listed(lake, found))
    else:
        print_text(_none_yet(lake, as_of))


def _stood(lake: Lake, as_of: date | None) -> Iterator[_Known]:
    from lightkeeper.models.decisions import champion as serves
    from lightkeeper.models.decisions import decisions

    for model in known_models(lake):
        ledger = decisions(lake, model, as_of)
        judged = [row for row in ledger.iter_rows(named=True) if row["action"] == "judged"]
        one = _Known(model, serves(lake, model, as_of), _newest(lake, model, as_of), judged[-1] if judged else None)
        if one.versions or not ledger.is_empty() or as_of is None:
            yield one


def _newest(lake: Lake, model: str, as_of: date | None) -> int:
    from lightkeeper.models.registry import last_number

    table = f"{model}_model"
    try:
        return last_number(lake.read(table, as_of=as_of)) if lake.exists(table) else 0
    except NoSuchVersion:  # it was not known then
        return 0


def _json(one: _Known) -> dict[str, object]:
    judged = one.judged
    return {
        "model": one.model,
        "serves": one.serving.name,
        "version": one.serving.version,
        "since": timestamp(one.serving.since),
        "by": one.serving.by,
        "why": one.serving.why,
        "versions": one.versions,
        "newest": version_name(one.model, one.versions) if one.versions else None,
        "judged": None
        if judged is None
        else {
            "judgement": judged["judgement"],
            "challenger": version_name(one.model, judged["version"]),
            "champion": version_name(one.model, judged["against"] or 0),
            "code": judged["code"],
            "why": judged["why"],
            "at": timestamp(judged["decided_at"]),
        },
    }


def _listed(lake: Lake, found: Sequence[_Known]) -> list[RenderableType]:
    table, _ = grid([
        Column("model", [one.model for one in found]),
        Column("serves", [one.serving.name for one in found]),
        Column("since (UTC)", [moment(one.serving.since) for one in found], rank=2),
        Column("newest", [one.newest for one in found], rank=3),
        Column("last judged", [_judged(one.judged) for one in found], rank=1),
        Column("on (UTC)", [moment(one.judged["decided_at"]) if one.judged else "-" for one in found], rank=4),
    ])  # fmt: skip
    said = f"{counted(len(found), 'model')} in {lake.root}"
    return [table, "", dim(said), dim(again(f"model show {found[0].model}"))]


def _judged(judged: Mapping[str, Any] | None) -> str:
    return "-" if judged is None else f"v{judged['version']} {text(judged['code'] or '-')}"


def _none_yet(lake: Lake, as_of: date | None) -> str:
    if as_of is not None:
        return f"{lake.root} knew no model on {as_of}. Look without --as-of: {again('model list')}"
    return f"No models yet in {lake.root}.\nTrain one: {again('build')}, or materialize it in Dagster's UI: {again('up')}"
