"""Lightkeeper: every dataset and every model is a versioned Delta table with its lineage. The public names, and only names.

Names load the modules that hold them when they are first used, so that `import lightkeeper` is cheap.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lightkeeper.errors import BadDeclaration as BadDeclaration
    from lightkeeper.errors import Conflict as Conflict
    from lightkeeper.errors import FileRefused as FileRefused
    from lightkeeper.errors import LightkeeperError as LightkeeperError
    from lightkeeper.errors import NoSuchTable as NoSuchTable
    from lightkeeper.errors import NoSuchVersion as NoSuchVersion
    from lightkeeper.errors import Refused as Refused
    from lightkeeper.errors import SchemaChanged as SchemaChanged
    from lightkeeper.errors import TableVersionGone as TableVersionGone
    from lightkeeper.errors import TypeRefused as TypeRefused
    from lightkeeper.home import Home as Home
    from lightkeeper.lake.sources import DeltaSource as DeltaSource
    from lightkeeper.lake.table import Lake as Lake
    from lightkeeper.measure.contract import check as check
    from lightkeeper.measure.drift import drift as drift
    from lightkeeper.measure.gate import Gate as Gate
    from lightkeeper.measure.panel import Lag as Lag
    from lightkeeper.measure.panel import Roll as Roll
    from lightkeeper.measure.panel import complete as complete
    from lightkeeper.measure.panel import extended as extended
    from lightkeeper.measure.panel import features as features
    from lightkeeper.measure.panel import reach as reach
    from lightkeeper.measure.panel import touched as touched
    from lightkeeper.measure.profile import Profile as Profile
    from lightkeeper.models.episodes import Retrain as Retrain
    from lightkeeper.models.model import Model as Model
    from lightkeeper.orchestrate.arrivals import arrivals_sensor as arrivals_sensor
    from lightkeeper.orchestrate.io_manager import LakeIOManager as LakeIOManager
    from lightkeeper.orchestrate.io_manager import TableInput as TableInput
    from lightkeeper.orchestrate.io_manager import TableOutput as TableOutput
    from lightkeeper.orchestrate.landing import Landing as Landing
    from lightkeeper.orchestrate.landing import LandingFolder as LandingFolder
    from lightkeeper.orchestrate.observed import copied_folder as copied_folder
    from lightkeeper.orchestrate.observed import copied_query as copied_query
    from lightkeeper.orchestrate.observed import observed_table as observed_table
    from lightkeeper.orchestrate.project import definitions as definitions
    from lightkeeper.orchestrate.project import project as project
    from lightkeeper.orchestrate.project import resources as resources
    from lightkeeper.orchestrate.project import sensors_of as sensors_of
    from lightkeeper.orchestrate.shown import about as about
    from lightkeeper.orchestrate.shown import picture as picture
    from lightkeeper.values import Input as Input
    from lightkeeper.values import ModelVersion as ModelVersion
    from lightkeeper.values import Stamp as Stamp
    from lightkeeper.values import TableVersion as TableVersion
    from lightkeeper.values import Window as Window

_PUBLIC = {
    "errors": "BadDeclaration Conflict FileRefused LightkeeperError NoSuchTable NoSuchVersion Refused SchemaChanged "
    "TableVersionGone TypeRefused",
    "home": "Home",
    "lake.sources": "DeltaSource",
    "lake.table": "Lake",
    "measure.contract": "check",
    "measure.drift": "drift",
    "measure.gate": "Gate",
    "measure.panel": "Lag Roll complete extended features reach touched",
    "measure.profile": "Profile",
    "models.model": "Model",
    "models.episodes": "Retrain",
    "orchestrate.arrivals": "arrivals_sensor",
    "orchestrate.io_manager": "LakeIOManager TableInput TableOutput",
    "orchestrate.landing": "Landing LandingFolder",
    "orchestrate.observed": "copied_folder copied_query observed_table",
    "orchestrate.project": "definitions project resources sensors_of",
    "orchestrate.shown": "about picture",
    "values": "Input ModelVersion Stamp TableVersion Window",
}
_MODULE = {name: module for module, names in _PUBLIC.items() for name in names.split()}

__all__ = sorted(_MODULE)  # noqa: PLE0605 - the names are those of the table above


def __getattr__(name: str) -> object:
    if name not in _MODULE:
        raise AttributeError(f"module 'lightkeeper' has no attribute {name!r}")
    return getattr(importlib.import_module(f"lightkeeper.{_MODULE[name]}"), name)


def __dir__() -> list[str]:
    return list(__all__)
