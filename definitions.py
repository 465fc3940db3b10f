"""The code location: what exists, with what, and when. Dagster loads `defs` through workspace.yaml."""

import dagster as dg

import lightkeeper as lk
from assets import LANDINGS, MODELS, TABLES
from resources import FIRST_DAY, HOME, RESOURCES
from sensors import SENSORS

defs = dg.Definitions.merge(
    dg.Definitions(
        assets=[*(lk.landing_assets(one, HOME, FIRST_DAY) for one in LANDINGS), *TABLES],
        sensors=SENSORS,
        resources=RESOURCES,
        executor=dg.in_process_executor,
    ),
    lk.definitions(MODELS),
)
