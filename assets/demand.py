"""Daily demand of each product: what it learns from, and what it predicts."""

import lightkeeper as lk

demand = lk.Model(
    name="demand", owners=("team:data-science",),
    table="demand_features",  # one row a product and day; `known_ahead` is declared in its contract
    keys=("product",), time="day", target="units", horizon=28,
    features=("weekday", "week", "closed", "list_price_gbp", "units_28d_ago", "units_364d_ago",
              "units_same_weekday", "units_mean_7d", "units_mean_28d", "units_mean_91d", "sold_share_91d"),
)  # fmt: skip
