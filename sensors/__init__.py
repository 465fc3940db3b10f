"""When to act. Each sensor reads what is recorded and asks for a run; it computes nothing and writes no table.

`arrivals` lands new files; `retraining` asks for an attempt where a check fails and the rule allows one; `outcomes` takes a
promotion back; `freshness`, `runtimes` and `failures` tell what is late, slow or failed; `alerts` sends what is told.
"""

import lightkeeper as lk
from assets import LANDINGS, MODELS
from resources import HOME, RESOURCES

SENSORS = lk.sensors_of(LANDINGS, MODELS, HOME, lambda: RESOURCES["io_manager"].lake)

__all__ = ["SENSORS"]
