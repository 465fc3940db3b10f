"""Return rate of each product over 28 days: what it learns from, and what it predicts."""

import lightkeeper as lk

returns = lk.Model(
    name="returns", owners=("team:data-science",),
    table="return_features",  # one row a product and day; its target is of 28 days, so naive looks back over as many
    keys=("product",), time="day", target="return_rate", horizon=28, season=28,
    features=("week", "list_price_gbp", "return_rate_28d", "return_rate_91d", "return_rate_182d", "credit_share_182d",
              "sold_mean_28d", "pieces_a_line_91d"),
)  # fmt: skip
