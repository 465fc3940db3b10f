"""Models and their versions as the command line names them: `demand`, `demand:v3`, `demand:naive`. It shows nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from lightkeeper.cli.options import again
from lightkeeper.cli.show import did_you_mean
from lightkeeper.errors import Refused
from lightkeeper.values import version_name

if TYPE_CHECKING:
    import polars as pl

    from lightkeeper.lake.table import Lake

__all__ = [
    "ModelArgument",
    "ModelVersionArgument",
    "known_model",
    "known_models",
    "model_and_number",
    "version_number",
    "versions_of",
]

_SUFFIX = "_model"
_NAIVE = ("naive", "0", "v0")

ModelArgument = Annotated[str, typer.Argument(metavar="M", help="A model.")]
ModelVersionArgument = Annotated[
    str, typer.Argument(metavar="M[:vN]", help="A model (the version that serves) or a version: demand:v3, demand:naive.")
]


def known_models(lake: Lake) -> list[str]:
    """The models of a lake, by name: those with a table of versions, and those that something was decided of."""
    from lightkeeper.models.decisions import decisions

    stored = {name.removesuffix(_SUFFIX) for name in lake.tables() if name.endswith(_SUFFIX) and _holds_versions(lake, name)}
    return sorted(stored | set(decisions(lake)["model"].to_list()))


def _holds_versions(lake: Lake, table: str) -> bool:
    """Whether a table is one of model versions, and no other whose name ends like it."""
    from lightkeeper.models.registry import ROW

    return set(ROW) <= set(lake.schema(table))


def known_model(lake: Lake, name: str) -> str:
    """The name, if it is a model's. Raises Refused, naming the nearest."""
    there = known_models(lake)
    if name in there:
        return name
    hint = f"There are: {', '.join(there)}."
    if not there:
        hint = f"It holds none yet: {again('build')}, or materialize one in Dagster's UI: {again('up')}"
    hint = did_you_mean(name.removesuffix(_SUFFIX), there, hint, cutoff=0.5)
    raise Refused(f"{lake.root} holds no model {name!r}. {hint}")


def versions_of(lake: Lake, model: str) -> pl.LazyFrame:
    """The table of a model's versions; without a row where there is none."""
    import polars as pl

    from lightkeeper.models.registry import ROW

    table = f"{model}{_SUFFIX}"
    return lake.read(table) if lake.exists(table) else pl.LazyFrame(schema=ROW)


def model_and_number(lake: Lake, given: str) -> tuple[str, int | None]:
    """What `demand`, `demand:v3` or `demand:naive` names; the number is None where only the model is named."""
    name, colon, version = given.partition(":")
    model = known_model(lake, name)
    return model, version_number(model, version) if colon else None


def version_number(model: str, given: str) -> int:
    """The number that `3`, `v3`, `demand:v3`, `naive` or `0` means. Raises a usage error for anything else."""
    said = given.removeprefix(f"{model}:")
    number = said.removeprefix("v")
    if said in _NAIVE:
        return 0
    if not number.isascii() or not number.isdigit():
        raise typer.BadParameter(f"{given!r} is no version of {model}: write it like {version_name(model, 3)} or {model}:naive.")
    return int(number)
