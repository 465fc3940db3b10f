"""What the model of returns learns from: one row a product and day, every feature known 28 days ahead.

Owns the target and its features. Which products and days there are is the demand panel's; which lines are of products too.

The target of a day is of the 28 days that end on it, so that 28 days ahead of the last known day it speaks of what is still to
be sold and to come back. A day's feature ends 28 days before it, where the target's window has not begun. The targets of two
days less than 28 apart share days, though, and so do those on either side of a cut in time.
"""

from collections.abc import Iterable
from datetime import date, timedelta

import dagster as dg
import dataframely as dy
import polars as pl

import lightkeeper as lk
from assets.daily_demand import DAYS_SOLD_TO_ENTER, lines
from assets.demand_features import HORIZON

__all__ = ["DECLARED", "SOLD_AT_LEAST", "WINDOW", "ReturnFeatures", "features", "moves", "return_features"]

WINDOW = 28  # days of the target; at most HORIZON, or features would reach into it
SOLD_AT_LEAST = 20  # pieces in the window; of fewer a single piece is a rate of more than 5%

_KNOWN = {"known_ahead": True}
_PIECES = {"known_ahead": True, "from": ("sales.quantity",)}


class ReturnFeatures(dy.Schema):
    """One row a product and day, up to 28 days after the last known day; there the return rate is null."""

    product = dy.String(primary_key=True, description="stock code", metadata={"from": ("daily_demand.product",)})
    day = dy.Date(primary_key=True, description="the day", metadata={"from": ("daily_demand.day",)})
    return_rate = dy.Float64(
        nullable=True,
        min=0,
        max=1,
        description="the target: pieces that came back in the 28 days up to this one, for each piece sold in them, at most 1; "
        f"null where not known, or where fewer than {SOLD_AT_LEAST} pieces were sold",
        metadata={"from": ("sales.quantity",)},
    )
    week = dy.Int64(description="ISO week of the year", metadata=_KNOWN)
    list_price_gbp = dy.Float64(
        nullable=True,
        description="the last price known 28 days before, at most half a year old, GBP",
        metadata={**_KNOWN, "from": ("daily_demand.price_gbp",)},
    )
    return_rate_28d = dy.Float64(
        nullable=True, min=0, max=1, description="pieces returned for each sold, 28 days, known 28 days before", metadata=_PIECES
    )
    return_rate_91d = dy.Float64(
        nullable=True, min=0, max=1, description="pieces returned for each sold, 91 days, known 28 days before", metadata=_PIECES
    )
    return_rate_182d = dy.Float64(
        nullable=True, min=0, max=1, description="pieces returned for each sold, 182 days, known 28 days before", metadata=_PIECES
    )
    credit_share_182d = dy.Float64(
        nullable=True, min=0, max=1, description="share of 182 days' lines that are returns, known 28 days before", metadata=_PIECES
    )
    sold_mean_28d = dy.Float64(
        nullable=True, min=0, description="mean pieces sold a day, 28 days, known 28 days before", metadata=_PIECES
    )
    pieces_a_line_91d = dy.Float64(
        nullable=True, min=0, description="pieces sold in a line, 91 days, known 28 days before", metadata=_PIECES
    )


DECLARED: dict[str, lk.Lag | lk.Roll] = {
    "sold": lk.Roll("pieces_sold", 0, WINDOW, "sum"),
    "returned": lk.Roll("pieces_returned", 0, WINDOW, "sum"),
    "list_price_gbp": lk.Roll("price_gbp", HORIZON, 182, "last"),
    "sold_mean_28d": lk.Roll("pieces_sold", HORIZON, 28),
    "sold_28d": lk.Roll("pieces_sold", HORIZON, 28, "sum"),
    "sold_91d": lk.Roll("pieces_sold", HORIZON, 91, "sum"),
    "sold_182d": lk.Roll("pieces_sold", HORIZON, 182, "sum"),
    "returned_28d": lk.Roll("pieces_returned", HORIZON, 28, "sum"),
    "returned_91d": lk.Roll("pieces_returned", HORIZON, 91, "sum"),
    "returned_182d": lk.Roll("pieces_returned", HORIZON, 182, "sum"),
    "lines_91d": lk.Roll("lines_sold", HORIZON, 91, "sum"),
    "lines_182d": lk.Roll("lines", HORIZON, 182, "sum"),
    "returns_182d": lk.Roll("lines_returned", HORIZON, 182, "sum"),
}
_SHARES = {
    "return_rate_28d": ("returned_28d", "sold_28d"),
    "return_rate_91d": ("returned_91d", "sold_91d"),
    "return_rate_182d": ("returned_182d", "sold_182d"),
    "credit_share_182d": ("returns_182d", "lines_182d"),
}  # each at most 1: what comes back may have been sold before the window
_MOVES = ("pieces_sold", "pieces_returned", "lines_sold", "lines_returned", "lines")


@dg.asset(
    group_name="returns",
    kinds={"polars", "deltalake"},
    owners=["team:planning"],
    code_version="1",
    metadata=lk.about(ReturnFeatures, by="day"),
    description="The return rate of each product over 28 days, and what was known of it 28 days ahead.",
)
def return_features(daily_demand: lk.TableInput, sales: lk.TableInput) -> lk.TableOutput:
    """The features; of only the days that a change reaches when both inputs say which days changed."""
    _need(daily_demand, ("product", "day", "units", "price_gbp"))
    _need(sales, ("day", "stock_code", "quantity", "price_gbp"))
    last = _last(daily_demand, f"no product has sold on {DAYS_SOLD_TO_ENTER} days yet")
    _last(sales, "no day has landed")
    days = _affected(daily_demand, sales, last)
    since = date.min if days is None else min(days) - timedelta(lk.reach(DECLARED.values()))
    demand, sold = (each.frame.filter(pl.col("day") >= since) for each in (daily_demand, sales))
    frame = features(demand.collect(), moves(sold), last)
    frame = frame if days is None else frame.filter(pl.col("day").is_in(days))
    metadata = {"days computed": frame["day"].n_unique(), "known up to": str(last)}
    return lk.TableOutput(lk.check(frame, ReturnFeatures), days=days, metadata=metadata)


def moves(sales: pl.LazyFrame) -> pl.DataFrame:
    """What each product moved on a day, Int64: pieces and lines sold, pieces and lines returned (above 0), and all lines.

    A day on which a product has no line has no row.
    """
    sold = pl.col("quantity") > 0
    found = (
        lines(sales)
        .group_by("product", "day")
        .agg(
            pl.col("quantity").filter(sold).sum().alias("pieces_sold"),
            -pl.col("quantity").filter(~sold).sum().alias("pieces_returned"),
            sold.sum().cast(pl.Int64).alias("lines_sold"),
            (~sold).sum().cast(pl.Int64).alias("lines_returned"),
            pl.len().cast(pl.Int64).alias("lines"),
        )
    )
    return found.collect()


def features(demand: pl.DataFrame, moved: pl.DataFrame, last: date) -> pl.DataFrame:
    """Target and features of every day of a demand panel and of the 28 days after `last`, sorted by product and day.

    Args:
        demand: the panel, sorted by product and day, without holes; on a day whose `units` are null nothing is known.
        moved: what `moves` gives.
        last: the last day of the panel; the target is null after it.
    """
    of_day = demand.select("product", "day", "units", "price_gbp").join(moved, on=["product", "day"], how="left")
    known = [pl.when(pl.col("units").is_not_null()).then(pl.col(name).fill_null(0)).alias(name) for name in _MOVES]
    rows = lk.extended(of_day.with_columns(known), HORIZON)
    made = lk.features(rows, DECLARED)
    target = pl.when((pl.col("day") <= last) & (pl.col("sold") >= SOLD_AT_LEAST)).then(_share("returned", "sold"))
    return made.with_columns(
        target.alias("return_rate"),
        pl.col("day").dt.week().cast(pl.Int64).alias("week"),
        pl.when(pl.col("lines_91d") > 0).then(pl.col("sold_91d") / pl.col("lines_91d")).alias("pieces_a_line_91d"),
        *(_share(*parts).alias(name) for name, parts in _SHARES.items()),
    ).select(pl.col(name).cast(column.dtype) for name, column in ReturnFeatures.columns().items())


def _share(part: str, whole: str) -> pl.Expr:
    """Part of the whole, at most 1; null where the whole is 0."""
    return pl.when(pl.col(whole) > 0).then((pl.col(part) / pl.col(whole)).clip(upper_bound=1))


def _need(table: lk.TableInput, wanted: Iterable[str]) -> None:
    found = table.frame.collect_schema().names()
    if missing := [name for name in wanted if name not in found]:
        raise lk.Refused(f"{table.version} has no column {', '.join(missing)}; it has {', '.join(found)}. Land or compute it anew.")


def _last(table: lk.TableInput, why: str) -> date:
    """The last day of a table. Raises Refused for an empty one."""
    last: date | None = table.frame.select(pl.col("day").max()).collect().item()
    if last is None:
        raise lk.Refused(f"{table.version} is empty: {why}. Land more days.")
    return last


def _affected(demand: lk.TableInput, sales: lk.TableInput, last: date) -> frozenset[date] | None:
    """The days whose rows differ from those that were last computed; None: any day may.

    A day of sales may change without its net demand changing, so both are asked.
    """
    if demand.changed is None or sales.changed is None:
        return None
    until = last + timedelta(HORIZON)
    changed = {day for day in demand.changed | sales.changed if day <= last}
    ahead = {last + timedelta(n) for n in range(1, HORIZON + 1)}
    return frozenset({*changed, *ahead, *lk.touched(changed, DECLARED.values(), until)})
