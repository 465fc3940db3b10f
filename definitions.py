"""The code location: what exists, with what, and when. Dagster loads `defs` through workspace.yaml."""

import dagster as dg

import lightkeeper as lk
from assets import LANDINGS, MODELS, TABLES
from resources import HOME, RESOURCES
from sensors import SENSORS

defs = dg.Definitions.merge(
    lk.definitions(MODELS, LANDINGS, HOME, TABLES),
    dg.Definitions(sensors=SENSORS, resources=RESOURCES, executor=dg.in_process_executor),
)
