"""Return rate of each product over 28 days: what it learns from, and what it predicts."""

import lightkeeper as lk

returns = lk.Model(
    name="returns", owners=("team:data-science",),
    table="return_features",  # one row a product and day; a target spans 28 days, hence the season of naive and the large leaves
    keys=("product",), time="day", target="return_rate", horizon=28, season=28,
    params={"num_leaves": 15, "min_data_in_leaf": 2_000},
    features=("week", "list_price_gbp", "return_rate_28d", "return_rate_91d", "return_rate_182d", "credit_share_182d",
              "sold_mean_28d", "pieces_a_line_91d", "abroad_share_91d"),
)  # fmt: skip
