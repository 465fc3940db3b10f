"""When to act. Each sensor reads what is recorded and asks for a run; it computes nothing and writes no table."""

import lightkeeper as lk
from assets import LANDINGS, MODELS
from resources import HOME, RESOURCES

SENSORS = [lk.arrivals_sensor(LANDINGS, MODELS, HOME, lambda: RESOURCES["io_manager"].lake)]

__all__ = ["SENSORS"]
