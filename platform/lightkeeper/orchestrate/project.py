"""A whole code location from its declarations: assets, the sensor `arrivals`, the lake, runs in one process."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import dagster as dg

from lightkeeper.errors import BadDeclaration
from lightkeeper.home import Home
from lightkeeper.lake.landing import scan
from lightkeeper.lake.table import Lake
from lightkeeper.measure.freshness import span
from lightkeeper.models.model import Model
from lightkeeper.orchestrate.alerting import alerts_sensor
from lightkeeper.orchestrate.arrivals import arrivals_sensor
from lightkeeper.orchestrate.checks import checks_of, plans
from lightkeeper.orchestrate.failures import failures_sensor
from lightkeeper.orchestrate.forecast_assets import forecast_assets
from lightkeeper.orchestrate.io_manager import LakeIOManager, table_name
from lightkeeper.orchestrate.landing import Landing, LandingFolder, landing_assets
from lightkeeper.orchestrate.lateness import freshness_sensor
from lightkeeper.orchestrate.learners import LEARNERS, know
from lightkeeper.orchestrate.model_assets import model_assets
from lightkeeper.orchestrate.recompute import assert_known_ahead
from lightkeeper.orchestrate.retraining import outcomes_sensor, retraining_sensor
from lightkeeper.orchestrate.runtimes import runtimes_sensor
from lightkeeper.orchestrate.shown import FRESH

__all__ = ["declared_models", "definitions", "first_day", "project", "resources", "sensors_of"]

_EARLIEST = date(2024, 1, 1)  # of the partitions, while no file says otherwise


def definitions(
    models: Sequence[Model] = (),
    landings: Sequence[Landing] = (),
    home: Home | None = None,
    tables: Sequence[dg.AssetsDefinition] = (),
) -> dg.Definitions:
    """The assets of declared models, landings and tables, to merge into a project whose `io_manager` is an `lk.LakeIOManager`.

    Landings need the home whose landing folder they read. A model whose table is among `tables` is checked against the
    table's contract at once, else when it is trained.

    Raises BadDeclaration: a feature is not declared as known ahead; two models share a name.
    """
    _check(models, tables)
    landed = [landing_assets(one, home, first_day(one, home)) for one in landings] if home else []
    made = [asset for model in models for asset in (*model_assets(model), *forecast_assets(model))]
    every = [_promised(one) for one in (*landed, *tables, *made)]
    planned = plans(every, landings, models)
    know(models, every, planned)
    return dg.Definitions(assets=every, asset_checks=[checks_of(one) for one in planned])


def _promised(asset: dg.AssetsDefinition) -> dg.AssetsDefinition:
    """The asset with Dagster's own policy for its UI where a promise is declared; the platform acts on its verdicts alone."""

    def told(spec: dg.AssetSpec) -> dg.AssetSpec:
        within = spec.metadata.get(FRESH)
        if within is None:
            return spec
        promise = span(str(getattr(within, "value", within))) + timedelta(days=1)  # counted from the end of the newest event day
        return spec.replace_attributes(freshness_policy=dg.FreshnessPolicy.time_window(fail_window=promise))

    return asset.map_asset_specs(told)


def _check(models: Sequence[Model], tables: Sequence[dg.AssetsDefinition]) -> None:
    names = [model.name for model in models]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise BadDeclaration(f"model {twice[0]} is declared twice: give each a name of its own.")
    metadata = {table_name(spec.key): spec.metadata for table in tables for spec in table.specs}
    for model in models:
        assert_known_ahead(model, metadata.get(model.table, {}))


def declared_models(defs: dg.Definitions) -> dict[str, Model]:
    """The models whose assets are in some definitions, by name."""
    made = {table_name(key) for key in defs.resolve_asset_graph().materializable_asset_keys}
    known = ((name, one.learner.model) for name, one in sorted(LEARNERS.items()))
    return {name: model for name, model in known if model.model_table in made}


def first_day(landing: Landing, home: Home) -> date:
    """Where the partitions of a landing begin: the sample's first day, else that of the earliest file."""
    recorded = home.record.first_day if home.exists else None
    if recorded is not None:
        return recorded
    folder = landing.place(home)
    there = [one.part for one in scan(folder) if one.part] if folder.is_dir() else []
    return min(there, default=_EARLIEST)


def resources(home: Home) -> dict[str, Any]:
    """The lake of a home as `io_manager`, and its landing folder as `landing`."""
    return {
        "io_manager": LakeIOManager(root=str(home.lake), home=str(home.root)),
        "landing": LandingFolder(home=str(home.root)),
    }


def sensors_of(
    landings: Sequence[Landing], models: Sequence[Model], home: Home, open_lake: Callable[[], Lake]
) -> list[dg.SensorDefinition]:
    """Every sensor of a code location, running by default.

    Args:
        landings: whose folders are watched.
        models: that are retrained by themselves.
        home: whose clock counts.
        open_lake: gives the lake, when a tick needs it.
    """
    of_models = [retraining_sensor(models, home, open_lake), outcomes_sensor(models, home, open_lake)] if models else []
    return [
        *([arrivals_sensor(landings, models, home, open_lake)] if landings else []),
        *of_models,
        freshness_sensor(home, open_lake),
        runtimes_sensor(home, open_lake),
        failures_sensor(home, open_lake),
        alerts_sensor(open_lake, home),
    ]


def project(
    folder: str | Path,
    *,
    landings: Sequence[Landing] = (),
    assets: Sequence[dg.AssetsDefinition] = (),
    models: Sequence[Model] = (),
    home: Home | None = None,
) -> dg.Definitions:
    """Everything that `dagster dev` and `lightkeeper` need of a code location.

    Args:
        folder: the project's folder, or a file in it (`__file__`); where its home is looked for.
        landings: folders whose files become tables.
        assets: plain Dagster assets; tables of the lake.
        models: declared models.
        home: where state lives, when it is not the one that is found.
    """
    place = Path(folder)
    home = home or Home.find(place.parent if place.is_file() else place, os.environ)
    with_what = resources(home)
    manager: LakeIOManager = with_what["io_manager"]
    sensors = sensors_of(landings, models, home, lambda: manager.lake)
    return dg.Definitions.merge(
        dg.Definitions(sensors=sensors, resources=with_what, executor=dg.in_process_executor),
        definitions(models, landings, home, assets),
    )
