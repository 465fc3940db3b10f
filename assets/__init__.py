"""The register: what exists in this code location. A new table or model is one file, its import and its name here."""

from assets.daily_demand import daily_demand
from assets.demand import demand
from assets.demand_features import demand_features
from assets.return_features import return_features
from assets.returns import returns
from assets.sales import holidays, sales

LANDINGS = [sales]
TABLES = [holidays, daily_demand, demand_features, return_features]
MODELS = [demand, returns]

__all__ = ["LANDINGS", "MODELS", "TABLES"]
