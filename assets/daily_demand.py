"""Daily demand: a complete panel, one row a product and day, returns netted, gaps explicit."""

from datetime import date, timedelta

import dagster as dg
import dataframely as dy
import polars as pl

import lightkeeper as lk
from assets.contracts import is_product

DAYS_SOLD_TO_ENTER = 100  # a product enters the panel on the day on which it has sold on so many different days, and stays

SATURDAY = 6  # the weekday on which nothing is sold
_STATES = ("traded", "closed", "missing")


class DailyDemand(dy.Schema):
    """One row a product and day, from the day on which the product entered, without a hole."""

    product = dy.String(primary_key=True, description="stock code, upper case", metadata={"from": ("sales.stock_code",)})
    day = dy.Date(primary_key=True, description="the day", metadata={"from": ("sales.day",)})
    units = dy.Int64(
        nullable=True,
        description="pieces sold less pieces returned; null where the day's sales are missing",
        metadata={"from": ("sales.quantity",)},
    )
    price_gbp = dy.Float64(
        nullable=True,
        min=0,
        description="median list price of the day's lines, GBP; null where nothing was sold",
        metadata={"from": ("sales.price_gbp",)},
    )
    day_state = dy.String(
        check=lambda column: column.is_in(_STATES),
        description="traded: sales landed; closed: a Saturday or a holiday; missing: sales should be there and are not",
        metadata={"from": ("sales.day", "holidays.closed")},
    )


@dg.asset(
    group_name="demand",
    kinds={"polars", "deltalake"},
    owners=["team:planning"],
    code_version="1",
    metadata=lk.about(DailyDemand, by="day"),
    description=f"A complete panel of every product that has sold on {DAYS_SOLD_TO_ENTER} days: pieces a day, returns netted.",
)
def daily_demand(sales: lk.TableInput, holidays: lk.TableInput) -> lk.TableOutput:
    """The panel; only the days that changed when the sales say which."""
    entered = entries(sales.frame)
    days = _affected(sales, holidays, entered)
    frame = panel(sales.frame, holidays.frame, days, entered)
    metadata = {"days computed": frame["day"].n_unique(), "units a day": lk.picture(_recent(sales.frame), "the last 13 weeks")}
    return lk.TableOutput(lk.check(frame, DailyDemand), days=days, metadata=metadata)


def _recent(sales: pl.LazyFrame) -> list[float | None]:
    """Pieces of all products on each landed day of the last 13 weeks."""
    last = pl.col("day") > pl.col("day").max() - timedelta(91)
    days = lines(sales.filter(last)).group_by("day").agg(pl.col("quantity").sum()).sort("day")
    return days.collect()["quantity"].to_list()


def lines(sales: pl.LazyFrame) -> pl.LazyFrame:
    """Lines of products: product, day, quantity, price_gbp."""
    product = pl.col("stock_code").str.to_uppercase().alias("product")
    return sales.filter(is_product(pl.col("stock_code"))).select(product, "day", "quantity", "price_gbp")


def entries(sales: pl.LazyFrame) -> pl.DataFrame:
    """Product -> `entry`, the day on which it had sold on DAYS_SOLD_TO_ENTER different days; other products are left out."""
    sold = lines(sales).filter(pl.col("quantity") > 0).select("product", "day").unique()
    nth = pl.col("day").sort().get(DAYS_SOLD_TO_ENTER - 1, null_on_oob=True).alias("entry")
    return sold.group_by("product").agg(nth).drop_nulls().sort("product").collect()


def panel(
    sales: pl.LazyFrame, holidays: pl.LazyFrame, days: frozenset[date] | None, entered: pl.DataFrame | None = None
) -> pl.DataFrame:
    """The rows of some days (None: of all days), sorted by product and day; `entered` is what `entries` gives."""
    entered = entries(sales) if entered is None else entered
    calendar = _calendar(sales, holidays)
    if days is not None:
        calendar = calendar.filter(pl.col("day").is_in(days))
    rows = entered.join_where(calendar, pl.col("day") >= pl.col("entry")).drop("entry")
    sold = _sold(sales if days is None else sales.filter(pl.col("day").is_in(days)))
    known = pl.when(pl.col("day_state") != "missing").then(pl.col("units").fill_null(0))
    return (
        rows.join(sold, on=["product", "day"], how="left")
        .with_columns(known.alias("units"))
        .select("product", "day", "units", "price_gbp", "day_state")
        .sort("product", "day")
    )


def _sold(sales: pl.LazyFrame) -> pl.DataFrame:
    price = pl.col("price_gbp").filter(pl.col("quantity") > 0).median()
    return lines(sales).group_by("product", "day").agg(pl.col("quantity").sum().alias("units"), price).collect()


def _calendar(sales: pl.LazyFrame, holidays: pl.LazyFrame) -> pl.DataFrame:
    """Every day from the first to the last landed one: day, day_state."""
    landed = sales.select(pl.col("day").unique()).collect()
    if landed.is_empty():
        return pl.DataFrame(schema={"day": pl.Date, "day_state": pl.String})
    closed = holidays.filter(pl.col("closed")).select("day").collect()
    shut = pl.col("day").is_in(closed["day"].implode()) | (pl.col("day").dt.weekday() == SATURDAY)
    state = pl.when(pl.col("day").is_in(landed["day"].implode())).then(pl.lit("traded")).when(shut).then(pl.lit("closed"))
    every = landed.select(pl.date_range(pl.col("day").min(), pl.col("day").max()).alias("day"))
    return every.with_columns(state.otherwise(pl.lit("missing")).alias("day_state"))


def _affected(sales: lk.TableInput, holidays: lk.TableInput, entered: pl.DataFrame) -> frozenset[date] | None:
    """The days whose rows differ from those that were last computed; None: any day may."""
    if sales.changed is None or holidays.changed != frozenset():
        return None
    before, now = (frame.select(pl.col("day").max()).collect().item() for frame in (sales.former(), sales.frame))
    if before is None or now is None or now < before:
        return None
    new = {before + timedelta(n) for n in range(1, (now - before).days + 1)}
    return frozenset(sales.changed | new | _moved(entries(sales.former()), entered, now))


def _moved(before: pl.DataFrame, now: pl.DataFrame, last: date) -> set[date]:
    """The days on which a product is in one of the two panels and not in the other."""
    end = pl.lit(last + timedelta(1))
    both = before.join(now, on="product", how="full", coalesce=True, suffix="_now")
    pair = [pl.col("entry").fill_null(end), pl.col("entry_now").fill_null(end)]
    moved = both.select(pl.min_horizontal(pair).alias("start"), pl.max_horizontal(pair).alias("stop"))
    spans = moved.filter(pl.col("start") < pl.col("stop")).unique()
    return {start + timedelta(n) for start, stop in spans.iter_rows() for n in range((stop - start).days)}


__all__ = ["DAYS_SOLD_TO_ENTER", "SATURDAY", "DailyDemand", "daily_demand", "entries", "lines", "panel"]
