"""What the demand model learns from: one row a product and day, every feature known 28 days ahead."""

from datetime import date, timedelta

import dagster as dg
import dataframely as dy
import polars as pl

import lightkeeper as lk
from assets.daily_demand import DAYS_SOLD_TO_ENTER, SATURDAY

HORIZON = 28  # days; every feature of a day is known so long before it

_KNOWN = {"known_ahead": True}
_UNITS = {"known_ahead": True, "from": ("daily_demand.units",)}


class DemandFeatures(dy.Schema):
    """One row a product and day, up to 28 days after the last known day; there the units are null."""

    product = dy.String(primary_key=True, description="stock code", metadata={"from": ("daily_demand.product",)})
    day = dy.Date(primary_key=True, description="the day", metadata={"from": ("daily_demand.day",)})
    units = dy.Int64(
        nullable=True,
        description="pieces, the target; null where not known",
        metadata={"from": ("daily_demand.units",)},
    )
    weekday = dy.Int64(description="1 Monday to 7 Sunday", metadata=_KNOWN)
    week = dy.Int64(description="ISO week of the year", metadata=_KNOWN)
    closed = dy.Bool(description="a Saturday or a holiday", metadata={**_KNOWN, "from": ("holidays.closed",)})
    list_price_gbp = dy.Float64(
        nullable=True,
        description="the last price known 28 days before, at most half a year old, GBP",
        metadata={**_KNOWN, "from": ("daily_demand.price_gbp",)},
    )
    units_28d_ago = dy.Float64(nullable=True, description="pieces 28 days before", metadata=_UNITS)
    units_364d_ago = dy.Float64(nullable=True, description="pieces on the same weekday a year before", metadata=_UNITS)
    units_same_weekday = dy.Float64(
        nullable=True, description="mean pieces of the last four such weekdays known 28 days before", metadata=_UNITS
    )
    units_mean_7d = dy.Float64(nullable=True, description="mean pieces of 7 days, known 28 days before", metadata=_UNITS)
    units_mean_28d = dy.Float64(nullable=True, description="mean pieces of 28 days, known 28 days before", metadata=_UNITS)
    units_mean_91d = dy.Float64(nullable=True, description="mean pieces of 91 days, known 28 days before", metadata=_UNITS)
    sold_share_91d = dy.Float64(nullable=True, description="share of 91 days on which it sold", metadata=_UNITS)


DECLARED: dict[str, lk.Lag | lk.Roll] = {
    "list_price_gbp": lk.Roll("price_gbp", HORIZON, 182, "last"),
    "units_28d_ago": lk.Lag("units", HORIZON),
    "units_35d_ago": lk.Lag("units", HORIZON + 7),
    "units_42d_ago": lk.Lag("units", HORIZON + 14),
    "units_49d_ago": lk.Lag("units", HORIZON + 21),
    "units_364d_ago": lk.Lag("units", 364),
    "units_mean_7d": lk.Roll("units", HORIZON, 7),
    "units_mean_28d": lk.Roll("units", HORIZON, 28),
    "units_mean_91d": lk.Roll("units", HORIZON, 91),
    "sold_share_91d": lk.Roll("sold", HORIZON, 91),
}
_SAME_WEEKDAY = ("units_28d_ago", "units_35d_ago", "units_42d_ago", "units_49d_ago")


@dg.asset(
    group_name="demand",
    kinds={"polars", "deltalake"},
    owners=["team:planning"],
    code_version="1",
    metadata=lk.about(DemandFeatures, by="day"),
    description="Every feature known 28 days ahead: calendar, last list price, lags and rolling means of each product.",
)
def demand_features(daily_demand: lk.TableInput, holidays: lk.TableInput) -> lk.TableOutput:
    """The features; of only the days that a change reaches when the demand says which days changed."""
    last = daily_demand.frame.select(pl.col("day").max()).collect().item()
    if last is None:
        raise lk.Refused(f"{daily_demand.version} is empty: no product has sold on {DAYS_SOLD_TO_ENTER} days yet.")
    days = _affected(daily_demand, holidays, last)
    since = None if days is None else min(days) - timedelta(lk.reach(DECLARED.values()))
    demand = daily_demand.frame if since is None else daily_demand.frame.filter(pl.col("day") >= since)
    frame = features(demand.collect(), holidays.frame.collect(), last)
    frame = frame if days is None else frame.filter(pl.col("day").is_in(days))
    metadata = {"days computed": frame["day"].n_unique(), "known up to": str(last)}
    return lk.TableOutput(lk.check(frame, DemandFeatures), days=days, metadata=metadata)


def features(demand: pl.DataFrame, holidays: pl.DataFrame, last: date) -> pl.DataFrame:
    """Features of every day of a demand panel and of the 28 days after `last`, sorted by product and day."""
    rows = pl.concat([demand.drop("day_state"), _ahead(demand, last)], how="diagonal").sort("product", "day")
    rows = rows.with_columns((pl.col("units") > 0).cast(pl.Float64).alias("sold"))
    made = lk.features(rows, DECLARED)
    shut = holidays.filter(pl.col("closed"))["day"].implode()
    return made.with_columns(
        pl.mean_horizontal(_SAME_WEEKDAY).alias("units_same_weekday"),
        pl.col("day").dt.weekday().cast(pl.Int64).alias("weekday"),
        pl.col("day").dt.week().cast(pl.Int64).alias("week"),
        (pl.col("day").is_in(shut) | (pl.col("day").dt.weekday() == SATURDAY)).alias("closed"),
    ).select(pl.col(name).cast(column.dtype) for name, column in DemandFeatures.columns().items())


def _ahead(demand: pl.DataFrame, last: date) -> pl.DataFrame:
    """The days to forecast, for each product of the last known day."""
    day = pl.date_range(last + timedelta(1), last + timedelta(HORIZON), eager=True).alias("day")
    return demand.filter(pl.col("day") == last).select("product").join(pl.DataFrame([day]), how="cross")


def _affected(demand: lk.TableInput, holidays: lk.TableInput, last: date) -> frozenset[date] | None:
    """The days whose rows differ from those that were last computed; None: any day may."""
    if demand.changed is None or holidays.changed != frozenset():
        return None
    ahead = {last + timedelta(n) for n in range(1, HORIZON + 1)}
    return frozenset({*demand.changed, *ahead, *lk.touched(demand.changed, DECLARED.values(), last + timedelta(HORIZON))})
