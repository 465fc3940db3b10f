"""What the definitions loaded in this process declare: what models stand on, what steps make, how long they may take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import dagster as dg

from lightkeeper.models.model import Model
from lightkeeper.orchestrate.checks import Plan
from lightkeeper.orchestrate.io_manager import table_name
from lightkeeper.watch.situation import Learner

__all__ = ["LEARNERS", "MAXIMA", "OWNERS", "STEPS", "Known", "know", "known"]


@dataclass(frozen=True)
class Known:
    """A model with the tables that it stands on, and the plan by which each of them is looked at."""

    learner: Learner
    plans: Mapping[str, Plan]


LEARNERS: dict[str, Known] = {}  # by the model's name
STEPS: dict[str, tuple[str, ...]] = {}  # the tables that each step makes
OWNERS: dict[str, tuple[str, ...]] = {}  # of a table, as they are declared
MAXIMA: dict[str, float] = {}  # the declared seconds of a table's run


def know(models: Sequence[Model], assets: Sequence[dg.AssetsDefinition], plans: Sequence[Plan]) -> None:
    """Note what is declared."""
    parents = {table_name(spec.key): [table_name(one.asset_key) for one in spec.deps] for asset in assets for spec in asset.specs}
    OWNERS.update({table_name(spec.key): tuple(spec.owners) for asset in assets for spec in asset.specs})
    by_table = {one.table: one for one in plans}
    for one in plans:
        if one.most is not None:
            MAXIMA[one.table] = one.most
        STEPS[one.step] = tuple(dict.fromkeys((*STEPS.get(one.step, ()), one.table)))
    for model in models:
        tables = _above(model.table, parents)
        raw = tuple(one for one in tables if not parents.get(one))
        LEARNERS[model.name] = Known(Learner(model, tables, raw), {one: by_table[one] for one in tables if one in by_table})


def known(model: Model) -> Known:
    """What a model stands on; its own table alone, where no definitions said more."""
    return LEARNERS.get(model.name) or Known(Learner(model, (model.table,), (model.table,)), {})


def _above(table: str, parents: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """A table and all that it is made from, itself first."""
    found = [table]
    for one in found:
        found += [parent for parent in parents.get(one, ()) if parent not in found]
    return tuple(found)
