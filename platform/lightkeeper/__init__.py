"""Lightkeeper: every dataset and every model is a versioned Delta table with its lineage. The public names, and only names."""

from __future__ import annotations

import importlib

_HOME = {
    "BadDeclaration": "errors", "BadName": "errors", "Conflict": "errors", "FileRefused": "errors",
    "LightkeeperError": "errors", "NoSuchTable": "errors", "NoSuchVersion": "errors", "Refused": "errors",
    "SchemaChanged": "errors", "TableVersionGone": "errors", "TypeRefused": "errors",
    "Input": "values", "ModelVersion": "values", "Stamp": "values", "TableVersion": "values", "Window": "values",
    "Lake": "lake.table", "DeltaSource": "lake.sources",
    "Home": "home",
    "Lag": "measure.panel", "Roll": "measure.panel", "features": "measure.panel", "reach": "measure.panel",
    "touched": "measure.panel", "check": "measure.contract",
    "Model": "models.model",
    "Landing": "orchestrate.landing", "LandingFolder": "orchestrate.landing", "landing_assets": "orchestrate.landing",
    "arrivals_sensor": "orchestrate.arrivals", "picture": "orchestrate.shown",
    "copied_folder": "orchestrate.observed", "copied_query": "orchestrate.observed", "observed_table": "orchestrate.observed",
    "LakeIOManager": "orchestrate.io_manager", "TableInput": "orchestrate.io_manager", "TableOutput": "orchestrate.io_manager",
    "about": "orchestrate.shown", "definitions": "orchestrate.model_assets", "model_assets": "orchestrate.model_assets",
}  # fmt: skip

__all__ = sorted(_HOME)  # noqa: PLE0605 - the names are those of the table above


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'lightkeeper' has no attribute {name!r}")
    return getattr(importlib.import_module(f"lightkeeper.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return list(__all__)
