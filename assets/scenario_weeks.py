"""What a scenario's days are made of: whole real days of the sample, moved in time, their invoices numbered anew.

It owns which weeks and products are taken, and what is known of them. What happens to the days, and how they become
files, stays out: see `scenarios`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from pathlib import Path

import polars as pl

from assets.contracts import Sale, is_product
from lightkeeper.errors import Refused

__all__ = ["FIRST_WEEK", "HOME_COUNTRY", "LINE", "NEW_INVOICE", "PRODUCTS", "WEEKS", "RealWeeks", "holidays_moved", "real_weeks"]

PRODUCTS = 60  # those that sold on the most days of the calm weeks
FIRST_WEEK = date(2009, 12, 7)  # the first Monday of the sample
WEEKS = 104  # complete ones, one after the other
NEW_INVOICE = 900_000  # invoices that a scenario adds are numbered from here, those of the real weeks from 100,000
HOME_COUNTRY = "United Kingdom"
LINE = ("invoice", "stock_code", "description", "quantity", "invoiced_at", "price_gbp", "country")  # as in the sample's files

_DATA = Path(__file__).parent / "data"
_FIRST_INVOICE, _DIGITS = 100_000, 6
_TRADING_DAYS, _AUGUST = 6, 8
_STEADY = 0.9  # share of the days on which a product sold for its daily pieces to be judged


@dataclass(frozen=True, slots=True, eq=False)
class RealWeeks:
    """The sample's complete weeks, without the lines that the contract `Sale` rejects, of some products.

    Attributes:
        weeks: one frame a week, in order: the columns of `LINE`, `day`, and `number`, the invoice's place in its week.
        calm: the weeks, by their place in `weeks`, that begin and end in January to August and traded on all six days,
            so that no holiday lies in them.
        steadiest: of the products that sold on 90% of the calm weeks' days, the one whose daily pieces, returns netted,
            have the lowest coefficient of variation.
        variation: that coefficient.
        abroad: country other than the United Kingdom -> its share of their invoices in the calm weeks.
    """

    weeks: tuple[pl.DataFrame, ...]
    calm: tuple[int, ...]
    steadiest: str
    variation: float
    abroad: dict[str, float]

    def moved(self, places: Sequence[int], first: date) -> pl.DataFrame:
        """The weeks at `places`, one after the other from the Monday `first`: `day` and the columns of `LINE`.

        Raises Refused where six digits do not number their invoices.
        """
        return self.drawn([[place] * 7 for place in places], first)

    def drawn(self, places: Sequence[Sequence[int]], first: date) -> pl.DataFrame:
        """Weeks from the Monday `first`, each weekday of which is that of a real week of its own: its place in `places`.

        Raises Refused where six digits do not number their invoices.
        """
        invoice, parts = _FIRST_INVOICE, []
        for nth, week in enumerate(places):
            for weekday, place in enumerate(week):
                part = self.weeks[place].filter(pl.col("day").dt.weekday() == weekday + 1)
                numbered = part.with_columns(pl.col("number").rank("dense").cast(pl.Int64) - 1)
                parts.append(_moved(numbered, first - FIRST_WEEK + timedelta(weeks=nth - place), invoice))
                invoice += part["number"].n_unique()
        if invoice > NEW_INVOICE:
            raise Refused(f"{len(places)} weeks have {invoice - _FIRST_INVOICE} invoices, too many for six digits: ask for fewer.")
        return pl.concat(parts)


@cache
def real_weeks(products: int = PRODUCTS) -> RealWeeks:
    """The weeks, with the lines of so many products; ties go to more pieces, then to the lower code."""
    lines = _with_week(_lines())
    calm = _calm(lines)
    code = pl.col("stock_code").str.to_uppercase()
    taken = _best_sellers(_of(lines, calm), products)
    lines = _with_week(Sale.filter(lines.filter(code.is_in(taken)).select(Sale.column_names()))[0])
    number = pl.col("invoice").str.tail(_DIGITS).cast(pl.Int64).rank("dense").over("week") - 1
    weeks = lines.with_columns(number.cast(pl.Int64).alias("number")).partition_by("week", maintain_order=True, as_dict=True)
    pool = _of(lines, calm)
    every = tuple(weeks.get((place,), pl.DataFrame(schema=weeks[(0,)].schema)) for place in range(WEEKS))
    return RealWeeks(every, tuple(calm), *_steadiest(pool), _abroad(pool))


def holidays_moved(first: date) -> pl.DataFrame:
    """The sample's holidays when its first week begins on the Monday `first`: day, name, closed."""
    return pl.read_csv(_DATA / "holidays.csv", try_parse_dates=True).with_columns(pl.col("day") + (first - FIRST_WEEK))


def _lines() -> pl.DataFrame:
    """Every real line, with the columns of `Sale`."""
    lines = pl.read_parquet(_DATA / "online_retail_ii.parquet")
    named = lines.rename(dict(zip(lines.columns, LINE, strict=True)))
    return named.with_columns(pl.col("invoiced_at").dt.date().alias("day"), pl.int_range(2, pl.len() + 2).alias("row"))


def _with_week(lines: pl.DataFrame) -> pl.DataFrame:
    """The lines of the complete weeks, with the place of their week."""
    week = (pl.col("day") - FIRST_WEEK).dt.total_days() // 7
    return lines.with_columns(week.alias("week")).filter(pl.col("week").is_between(0, WEEKS - 1))


def _of(lines: pl.DataFrame, weeks: list[int]) -> pl.DataFrame:
    return lines.filter(pl.col("week").is_in(weeks))


def _calm(lines: pl.DataFrame) -> list[int]:
    month = pl.col("day").dt.month().max()
    weeks = lines.group_by("week").agg(pl.col("day").n_unique(), month.alias("month")).sort("week")
    return weeks.filter(pl.col("day") == _TRADING_DAYS, pl.col("month") <= _AUGUST)["week"].to_list()


def _best_sellers(pool: pl.DataFrame, products: int) -> list[str]:
    sold = pool.filter(pl.col("price_gbp") > 0, pl.col("quantity") > 0, is_product(pl.col("stock_code")))
    days = sold.group_by(pl.col("stock_code").str.to_uppercase()).agg(pl.col("day").n_unique(), pl.col("quantity").sum())
    return days.sort("day", "quantity", "stock_code", descending=[True, True, False]).head(products)["stock_code"].to_list()


def _steadiest(pool: pl.DataFrame) -> tuple[str, float]:
    days = pool["day"].n_unique()
    pieces, sold = pl.col("quantity").sum().cast(pl.Float64), (pl.col("quantity") > 0).any().alias("sold")
    daily = pool.group_by(pl.col("stock_code").str.to_uppercase(), "day").agg(pieces, sold).sort("day")
    mean = pl.col("quantity").sum() / days
    spread = ((pl.col("quantity") ** 2).sum() / days - mean**2).sqrt()
    each = daily.group_by("stock_code").agg((spread / mean).alias("variation"), pl.col("sold").sum())
    best = each.filter(pl.col("sold") >= _STEADY * days).sort("variation", "stock_code").row(0)
    return best[0], best[1]


def _abroad(pool: pl.DataFrame) -> dict[str, float]:
    invoices = pool.filter(pl.col("country") != HOME_COUNTRY).group_by("country").agg(pl.col("invoice").n_unique()).sort("country")
    return dict(invoices.select("country", pl.col("invoice") / pl.col("invoice").sum()).iter_rows())


def _moved(week: pl.DataFrame, move: timedelta, invoice: int) -> pl.DataFrame:
    digits = (pl.col("number") + invoice).cast(pl.String)
    return week.select(
        pl.col("day") + move,
        pl.concat_str(pl.col("invoice").str.head(-_DIGITS), digits),
        *LINE[1:4],
        pl.col("invoiced_at") + move,
        *LINE[5:],
    )
