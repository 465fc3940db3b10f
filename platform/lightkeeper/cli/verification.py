"""`lightkeeper model verify`: a version rebuilt from the table versions that it learnt from; with --deep, those as well."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lightkeeper.cli.model_names import ModelVersionArgument, model_and_number
from lightkeeper.cli.options import HomeOption, JsonOption, again, open_lake
from lightkeeper.cli.show import dim, facts, print_json, print_text, text
from lightkeeper.errors import Refused
from lightkeeper.values import ModelVersion, version_name

if TYPE_CHECKING:
    from rich.console import RenderableType

    from lightkeeper.lake.table import Lake
    from lightkeeper.models.reproducing import Verification
    from lightkeeper.orchestrate.worktree import DeepResult

__all__ = ["verify"]

_BAD = 1  # exit code: it was answered, and the answer is bad
_GOOD = {"IDENTICAL", "EQUIVALENT", "same"}
_STYLES = {"IDENTICAL": "bold green", "EQUIVALENT": "bold green"}


def verify(
    version: ModelVersionArgument,
    *,
    deep: Annotated[
        bool, typer.Option("--deep", help="Also compute the tables that it learnt from again, by the code of their commit.")
    ] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Rebuild a version and compare: IDENTICAL, EQUIVALENT, DIFFERENT or CANNOT. Exit code 1 for the last two."""
    from lightkeeper.models.reproducing import verify as rebuilt

    lake = open_lake(home)
    wanted = _wanted(lake, version)
    found = rebuilt(lake, wanted)
    deeper = _deeper(lake, found) if deep else []
    if as_json:
        print_json(_json(found, deeper if deep else None))
    else:
        print_text(*_shown(found, deeper, deep=deep))
    if {found.answer, *(one.state for one in deeper)} - _GOOD or (deep and not deeper):
        raise typer.Exit(_BAD)


def _wanted(lake: Lake, given: str) -> ModelVersion:
    from lightkeeper.models.decisions import champion

    name, number = model_and_number(lake, given)
    number = champion(lake, name).version if number is None else number
    if number == 0:
        raise Refused(
            f"{version_name(name, 0)} has learnt nothing, so there is nothing to rebuild. Name a version: "
            f"{again(f'model verify {version_name(name, 1)}')}"
        )
    return ModelVersion(name, number)


def _deeper(lake: Lake, found: Verification) -> list[DeepResult]:
    """Each table version that it learnt from, computed again in a process of its own."""
    from lightkeeper.cli.project import Project
    from lightkeeper.orchestrate.worktree import deep as computed

    project = Project.find(Path.cwd())
    return [computed(project.folder, project.module, lake.root, one) for one in found.learnt_from]


def _json(found: Verification, deeper: Sequence[DeepResult] | None) -> dict[str, object]:
    tables = None if deeper is None else [
        {
            "version": str(one.version), "state": one.state, "why": one.why, "commit": one.commit,
            "inputs": [str(each) for each in one.inputs], "recorded": one.recorded, "found": one.found, "library": one.library,
        }
        for one in deeper
    ]  # fmt: skip
    return {
        "version": str(found.version),
        "answer": found.answer,
        "why": found.why,
        "learnt_from": [str(one) for one in found.learnt_from],
        "largest_difference": found.largest,
        "environment": found.environment,
        "tables": tables,
    }


def _shown(found: Verification, deeper: Sequence[DeepResult], *, deep: bool) -> list[RenderableType]:
    from rich.text import Text

    head = Text.assemble((found.answer, _STYLES.get(found.answer, "bold red")), f"  {found.version}")
    parts: list[RenderableType] = [head, facts([*_facts(found), *_deep_facts(deeper)])]
    if found.learnt_from and not deep:
        parts += ["", dim(f"{again(f'model verify {found.version} --deep')}   # {_tables(found)} as well")]
    return parts


def _facts(found: Verification) -> Iterator[tuple[str, str]]:
    yield "why", text(found.why)
    if found.learnt_from:
        yield "learnt from", _tables(found)
        yield "environment", text("; ".join(found.environment)) or "the same libraries and processor as then"


def _deep_facts(deeper: Sequence[DeepResult]) -> Iterator[tuple[str, str]]:
    for one in deeper:
        yield str(one.version), f"{one.state.upper()}: {text(one.why)}"
        if one.library == "installed":
            yield "", "by the Lightkeeper installed here: the commit has none that can be asked"


def _tables(found: Verification) -> str:
    return ", ".join(map(str, found.learnt_from))
