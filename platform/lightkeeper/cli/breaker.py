"""`lightkeeper model breaker`: whether a model may be retrained by itself, why not, and a person's word for one attempt."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lightkeeper.cli.model_names import known_model
from lightkeeper.cli.options import HomeOption, JsonOption, again, open_lake
from lightkeeper.cli.project import Project
from lightkeeper.cli.promotion import who
from lightkeeper.cli.show import dim, print_json, print_text, text, timestamp
from lightkeeper.errors import LightkeeperError, Refused

if TYPE_CHECKING:
    from rich.console import RenderableType

    from lightkeeper.lake.table import Lake
    from lightkeeper.models.episodes import State

__all__ = ["breaker"]

_COLOURS = {"closed": "green", "half_open": "yellow", "open": "bold red"}


def breaker(
    model: Annotated[str | None, typer.Argument(metavar="M", help="A model; all without.")] = None,
    *,
    half_open: Annotated[bool, typer.Option("--half-open", help="Let one attempt pass an open breaker.")] = False,
    why: Annotated[str, typer.Option("--why", metavar="TEXT", help="The reason, in a sentence; it is kept.")] = "",
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say of each model whether it may be retrained by itself, what was tried, and what would make or hold the next attempt."""
    from lightkeeper.models.attempts import half_opened
    from lightkeeper.models.retraining import decide

    place = Project.find(Path.cwd()).home(home)
    _ = place.record  # says that there is no home, and how to make one
    lake = open_lake(place.root)
    found = _situations(lake, model)
    if half_open:
        if model is None or not why.strip():
            raise typer.BadParameter('--half-open is of one model and says why: --half-open --why "the new price list is in".')
        half_opened(lake, model, who(), why.strip(), found[model].rule.attempts, otherwise=decide(found[model]).why)
        found = _situations(lake, model)
    said = {name: decide(state) for name, state in found.items()}
    if as_json:
        print_json({"models": [_json(state, said[name]) for name, state in found.items()]})
        return
    for name, state in found.items():
        print_text(*_told(state, " ".join((said[name].why, *_missing(lake, name)))))


def _situations(lake: Lake, model: str | None) -> Mapping[str, State]:
    """What is known of the declared models, or of one of them."""
    from lightkeeper.orchestrate.learners import LEARNERS
    from lightkeeper.orchestrate.running import load
    from lightkeeper.watch.situation import situations

    project = Project.find(Path.cwd())
    load(project.folder, project.module)
    if model is not None and model not in LEARNERS:
        gone = known_model(lake, model)  # a slip of the hand is refused with the nearest name
        raise Refused(f"{gone} is not declared any more in {project.folder}. Declared are {', '.join(sorted(LEARNERS))}.")
    return situations(lake, [one.learner for name, one in sorted(LEARNERS.items()) if model in (None, name)])


def _missing(lake: Lake, name: str) -> Iterator[str]:
    """What a model that has no version yet lacks for its first."""
    from lightkeeper.models.training import cut_of
    from lightkeeper.orchestrate.learners import LEARNERS

    model = LEARNERS[name].learner.model
    if lake.exists(model.model_table) and lake.commit(lake.version(model.model_table)).rows:
        return
    if not lake.exists(model.table):
        yield f"It has no version yet, and {model.table} is not there to learn from."
        return
    try:
        cut_of(model, lake.read(model.table), lake.clock().date())
    except LightkeeperError as error:
        yield f"It has no version yet: {error}"


def _told(state: State, why: str) -> list[RenderableType]:
    from rich.padding import Padding
    from rich.text import Text

    machine, most = state.machine, state.rule.attempts
    tried = (
        f"{machine.useless} useless in a row of {most} that open it" if machine.useless else f"opens after {most} useless attempts"
    )
    head = Text.assemble((state.model, "bold"), "  breaker ", (_word(machine.breaker), _COLOURS[machine.breaker]), f", {tried}")
    lines: list[RenderableType] = [head, Padding(Text(text(why)), (0, 0, 0, 2))]
    if state.level_factor != 1:
        lines.append(Padding(f"Meanwhile its forecasts are multiplied by {state.level_factor:.2f}.", (0, 0, 0, 2)))
    lines += [Padding(dim(text(one)), (0, 0, 0, 2)) for one in _attempts(state)]
    return [*lines, dim(f"  {again(f'model decisions {state.model}')}"), ""]


def _attempts(state: State) -> Sequence[str]:
    return [
        f"{one.asked_at:%Y-%m-%d} attempt {one.number} by {one.cause}, outcomes up to {one.matured}: {one.outcome or 'under way'}"
        for one in state.machine.attempts[-5:]
    ]


def _word(breaker_: str) -> str:
    return breaker_.replace("_", "-")


def _json(state: State, said: Any) -> dict[str, object]:
    machine = state.machine
    return {
        "model": state.model, "breaker": machine.breaker, "useless": machine.useless, "of": state.rule.attempts,
        "since": machine.since, "level_factor": state.level_factor,
        "action": said.action, "code": said.code, "why": said.why, "episode": said.episode,
        "attempts": [
            {"episode": one.episode, "attempt": one.number, "at": timestamp(one.asked_at), "cause": one.cause,
             "matured": one.matured, "outcome": one.outcome, "run_id": one.run_id}
            for one in machine.attempts
        ],
    }  # fmt: skip
