"""Daily demand of the sample's products, 28 days ahead: ours beside the seasonal naive, AutoETS and the mean of 28 days.

Six rolling origins whose 28 days do not overlap, up to the last day whose demand is known. The forecast is a mean, and three
product-days of five have no demand, so that the absolute error, and with it WAPE, would reward a median: to forecast 0 gives
1.0. What is judged is the squared error scaled a series (RMSSE); WAPE stands beside it. Features and parameters were chosen
on origins before the first judged day. AutoETS, which takes seconds a dozen series, is given every fourth product.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.accuracy_rivals import environment, filled, forecasts
from benchmarks.accuracy_scores import banded, coverage_rows, loss_row, naive_beside, origins, ratio_row, together

if TYPE_CHECKING:
    import polars as pl

    import lightkeeper as lk

__all__ = ["mean_beside", "product_recipe", "recipe", "run", "some_products"]

JUDGED = 6
EVERY = 4
TODAY = date(2026, 11, 22)  # the sample is moved to the days before it
FEATURES = (
    "weekday", "closed", "list_price_gbp", "units_28d_ago", "units_same_weekday", "units_mean_7d", "units_mean_28d",
    "units_mean_91d", "sold_share_91d",
)  # fmt: skip
PARAMS: dict[str, object] = {"num_leaves": 15, "min_data_in_leaf": 1000, "learning_rate": 0.05, "feature_fraction": 0.6}


def run(quick: bool) -> dict[str, Any]:  # noqa: FBT001 - the runner's own word
    """RMSSE, WAPE and bands of the six origins; quick: the small sample, two origins, few rounds, no rivals."""
    judged = 2 if quick else JUDGED
    with tempfile.TemporaryDirectory(prefix="retail-") as folder:
        table = _table(Path(folder), "small" if quick else "full")
        at = origins(_last(table), 28, 2 * judged)
        rows = _contended(recipe(50 if quick else None), table, at, judged)
        product = _contended(product_recipe(50 if quick else None), table, at[judged:], judged)
        rival = None if quick else _rival(Path(folder), table, at[judged:])
    chosen = some_products(rows)
    known = chosen.filter(chosen["naive_7"].is_not_null())  # neither naive nor AutoETS can know a product that enters later
    some = None if rival is None else together(known, rival, "product")
    made = [*_rows(rows, "ours"), *_rows(product, "the example's model")]
    made += [] if some is None else _beside_ets(some)
    found = {
        "origins": [day.isoformat() for day in at[judged:]],
        "n": rows.height,
        "beside_ets": {"n": known.height, "left_out": chosen.height - known.height},
        "rows": [*made, *coverage_rows(rows, ["product"])],
    }
    print(json.dumps(found, indent=1))
    return found


def _rows(rows: pl.DataFrame, who: str) -> list[dict[str, Any]]:
    limit = 1.0 if who == "ours" else None
    return [
        loss_row(rows, "naive_7", "rmsse", f"{who}: RMSSE beside the seasonal naive"),
        ratio_row(rows, "naive_7", "squared", f"{who}: squared error over the naive's, 95% interval up to", limit),
        loss_row(rows, "naive_7", "wape", f"{who}: WAPE beside the seasonal naive"),
        loss_row(rows, "mean_28", "rmsse", f"{who}: RMSSE beside the mean of 28 days"),
        ratio_row(rows, "mean_28", "squared", f"{who}: squared error over that mean's, 95% interval up to"),
    ]


def _beside_ets(rows: pl.DataFrame) -> list[dict[str, Any]]:
    return [
        loss_row(rows, "AutoETS", "rmsse", "ours: RMSSE beside AutoETS, every fourth product"),
        ratio_row(rows, "AutoETS", "squared", "ours: squared error over AutoETS's, 95% interval up to", 1.0),
        loss_row(rows, "AutoETS", "wape", "ours: WAPE beside AutoETS, every fourth product"),
    ]


def _table(folder: Path, size: str) -> pl.DataFrame:
    """The example's demand features, as the bare chain makes them from every landed line."""
    import polars as pl

    from assets.sample import SAMPLE
    from benchmarks.chain import bare_chain
    from lightkeeper.home import Home

    home = Home(folder / "home")
    SAMPLE.create(home, size, TODAY)
    SAMPLE.release(home, SAMPLE.days(home))
    bare_chain(folder / "home")
    return pl.read_parquet(folder / "home" / "bare" / "demand_features.parquet")


def _last(table: pl.DataFrame) -> date:
    import polars as pl

    last: date = table.filter(pl.col("units").is_not_null())["day"].max()  # type: ignore[assignment]
    return last


def recipe(rounds: int | None = None) -> lk.Model:
    """The model as it is judged; rounds: at most so many. It has no `week`, which is no season before two years are known."""
    from assets.demand import demand

    return replace(demand, features=FEATURES, params={**PARAMS, **({"num_iterations": rounds} if rounds else {})})


def product_recipe(rounds: int | None = None) -> lk.Model:
    """The example's own model."""
    from assets.demand import demand

    return replace(demand, params={**demand.params, "num_iterations": rounds}) if rounds else demand


def _contended(model: lk.Model, table: pl.DataFrame, at: Sequence[date], judged: int) -> pl.DataFrame:
    """Rows of the judged origins with the naive forecast, the mean of 28 days, scales and, where origins lie before, bands."""
    import polars as pl

    from lightkeeper.measure.intervals import Settings
    from lightkeeper.models.backtesting import backtest, with_scales

    rows, known = backtest(model, table.lazy(), at), table.select("product", "day", "units")
    if len(at) > judged:
        rows = banded(rows, ["product"], at[-judged:], Settings())
    beside = naive_beside(rows.filter(pl.col("origin") >= at[-judged]), known, "product", "units", 7)
    return with_scales(model, mean_beside(beside, table), known, at[-judged])


def mean_beside(rows: pl.DataFrame, table: pl.DataFrame) -> pl.DataFrame:
    """The rows with the mean of the 28 days known 28 days before, as `mean_28`; 0 on a closed day, 7/6 on the others."""
    import polars as pl

    mean = pl.when("closed").then(0.0).otherwise(pl.col("units_mean_28d") * 7 / 6)
    return rows.join(
        table.select("product", "day", mean.alias("mean_28")), on=["product", "day"], how="left", maintain_order="left"
    ).with_columns(pl.col("mean_28").fill_null(0.0))


def some_products(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows of every fourth product by name."""
    import polars as pl

    chosen = rows["product"].unique().sort().gather_every(EVERY)
    return rows.filter(pl.col("product").is_in(chosen.implode()))


def _rival(folder: Path, table: pl.DataFrame, judged: Sequence[date]) -> pl.DataFrame | None:
    import polars as pl

    python = environment(folder)
    if python is None:
        return None
    given, known = folder / "panel.parquet", table.filter(pl.col("units").is_not_null())
    some = some_products(known).sort("product", "day").select("product", "day", "units")
    filled(some, "product", "units").write_parquet(given)
    return forecasts(python, "statistical", given, judged, {"horizon": 28, "models": ["AutoETS"]})


if __name__ == "__main__":
    run("--quick" in sys.argv)
