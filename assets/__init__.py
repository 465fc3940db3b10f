"""The register: what exists in this code location. A new table or model is one file and one line here."""

from assets.daily_demand import daily_demand
from assets.demand import demand
from assets.demand_features import demand_features
from assets.sales import holidays, sales

LANDINGS = [sales]
TABLES = [holidays, daily_demand, demand_features]
MODELS = [demand]

__all__ = ["LANDINGS", "MODELS", "TABLES"]
