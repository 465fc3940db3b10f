"""The sample: two years of a gift wholesaler's real sales, moved in time and landed as one CSV file a day.

It writes into a home's landing folder and makes its record; it lands nothing into tables. Origin, licence and what
was altered are told in `data/ATTRIBUTION.md`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from pathlib import Path

import polars as pl

from assets.contracts import is_product
from lightkeeper.errors import Refused, StorageFailed
from lightkeeper.home import Home, HomeRecord
from lightkeeper.lake.landing import part_of

__all__ = ["SAMPLE", "OnlineRetail", "Released"]

_DATA = Path(__file__).parent / "data"
_COLUMNS = {
    "Invoice": "invoice",
    "StockCode": "stock_code",
    "Description": "description",
    "Quantity": "quantity",
    "InvoiceDate": "invoiced_at",
    "Price": "price_gbp",
    "Country": "country",
}
_TIME = "%Y-%m-%d %H:%M:%S"
_SMALL_PRODUCTS = 120


@dataclass(frozen=True, slots=True)
class Released:
    """What a release wrote: files (one a day of trade) and their rows; and how many files were there already."""

    files: int
    rows: int
    left: int = 0


@dataclass(frozen=True, slots=True)
class OnlineRetail:
    """Online Retail II in a home's calendar. Days are those of the home, after the move by whole weeks.

    Attributes:
        first, last: the sample's days before the move.
        small_days: calendar days of the size "small", up to the last.
        held_back_days: calendar days at the end that are not released when a home is built.
    """

    first: date = date(2009, 12, 1)
    last: date = date(2011, 12, 9)
    small_days: int = 300
    held_back_days: int = 28

    @property
    def sizes(self) -> dict[str, date]:
        """Size -> its first day before the move."""
        return {"full": self.first, "small": self.last - timedelta(days=self.small_days - 1)}

    def create(self, home: Home, size: str, today: date) -> HomeRecord:
        """Makes a sample home and releases the holidays. No day of sales is released; the clock is at the first.

        Args:
            home: where; no home may exist there.
            size: "full", or "small" (the last 300 days; 120 products and every code that is none).
            today: the last day of the sample moves to the latest day before it that is whole weeks away.

        Raises:
            Refused: a home exists, or the size is unknown.
            StorageFailed: the folder cannot be written.
        """
        if size not in self.sizes:
            raise Refused(f"The sample has no size {size!r}: take one of {', '.join(self.sizes)}.")
        if home.exists:
            raise Refused(f"{home.root} is a home already. Use it, or choose another folder.")
        weeks = (today - timedelta(days=1) - self.last).days // 7
        first = self.sizes[size] + timedelta(weeks=weeks)
        _write(_holidays(weeks), home.landing / "holidays" / "holidays.csv")
        (home.landing / "sales").mkdir(parents=True, exist_ok=True)
        return home.create(HomeRecord("sample", size, weeks, first, datetime.combine(first, time(), UTC)))

    def days(self, home: Home) -> list[date]:
        """Every calendar day of the sample, in order."""
        _, weeks, first = _sample_record(home)
        last = self.last + timedelta(weeks=weeks)
        return [first + timedelta(days=number) for number in range((last - first).days + 1)]

    def trading_days(self, home: Home) -> list[date]:
        """The days that have sales, in order."""
        return self._sales(home).select(pl.col("invoiced_at").dt.date().unique().sort()).collect().to_series().to_list()

    def held_back(self, home: Home) -> list[date]:
        """The last calendar days, which `land-next` releases one after the other."""
        return self.days(home)[-self.held_back_days :]

    def last_released(self, home: Home) -> date | None:
        """The newest day that has a file or lies before the home's clock; None before the first release."""
        _, _, first = _sample_record(home)
        parts = [part_of(path.name) for path in (home.landing / "sales").glob("sales-*.csv")]
        passed = home.now().date() - timedelta(days=1)
        return max((day for day in (*parts, passed) if day is not None and day >= first), default=None)

    def release(self, home: Home, days: Iterable[date]) -> Released:
        """Writes `landing/sales/sales-<day>.csv` for each of `days` that has trade, whole or not at all.

        A file that is there is left as it is: it may have been corrected.

        Raises:
            Refused: a day lies outside the sample; nothing was written.
            StorageFailed: the disk refused a file; those before it stand.
        """
        asked = sorted({*days})
        if outside := sorted({*asked} - {*self.days(home)}):
            first, *_, last = self.days(home)
            raise Refused(f"The sample has no {outside[0]}: its days run from {first} to {last}.")
        left = tuple(day for day in asked if _file(home, day).exists())
        wanted = [day for day in asked if day not in left]
        sales = self._sales(home).filter(pl.col("invoiced_at").dt.date().is_in(wanted)).collect()
        each = sales.with_columns(day=pl.col("invoiced_at").dt.date()).partition_by(
            "day", maintain_order=True, include_key=False, as_dict=True
        )
        for (day,), lines in each.items():
            _write(lines, _file(home, day))
        return Released(len(each), sales.height, len(left))

    def _sales(self, home: Home) -> pl.LazyFrame:
        """The lines of a home's sample in their order, moved."""
        size, weeks, _ = _sample_record(home)
        lines = _lines().filter(pl.col("invoiced_at") >= self.sizes[size])
        if size == "small":
            code = pl.col("stock_code")
            lines = lines.filter(~is_product(code) | code.is_in(_best_sellers(self.sizes[size])))
        return lines.with_columns(pl.col("invoiced_at").dt.offset_by(f"{weeks}w"))


SAMPLE = OnlineRetail()


def _sample_record(home: Home) -> tuple[str, int, date]:
    """Size, weeks and first day of a sample home. Raises Refused for a home of another kind."""
    record = home.record
    if record.sample_size is None or record.shift_weeks is None or record.first_day is None:
        raise Refused(f"{home.root} holds one's own data, no sample: put files into {home.landing} instead.")
    if record.sample_size not in SAMPLE.sizes:
        raise Refused(f"{home.root} holds a {record.sample_size}, not the sample: make another home for the sample.")
    return record.sample_size, record.shift_weeks, record.first_day


def _lines() -> pl.LazyFrame:
    return pl.scan_parquet(_DATA / "online_retail_ii.parquet").rename(_COLUMNS)


@cache
def _best_sellers(first: date) -> tuple[str, ...]:
    """The products that sold on the most days since `first`; ties go to more pieces, then to the lower code."""
    sold = _lines().filter(pl.col("invoiced_at") >= first, pl.col("price_gbp") > 0, is_product(pl.col("stock_code")))
    days = sold.group_by("stock_code").agg(pl.col("invoiced_at").dt.date().n_unique(), pl.col("quantity").sum())
    best = days.sort("invoiced_at", "quantity", "stock_code", descending=[True, True, False]).head(_SMALL_PRODUCTS)
    return tuple(best.select("stock_code").collect().to_series())


def _holidays(weeks: int) -> pl.DataFrame:
    return pl.read_csv(_DATA / "holidays.csv", try_parse_dates=True).with_columns(pl.col("day").dt.offset_by(f"{weeks}w"))


def _file(home: Home, day: date) -> Path:
    return home.landing / "sales" / f"sales-{day}.csv"


def _write(frame: pl.DataFrame, path: Path) -> None:
    """Under a name that no sensor takes for an arrival until it is whole."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        frame.write_csv(temporary, datetime_format=_TIME)
        temporary.replace(path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise StorageFailed(f"{path} could not be written: {error}. The files before it stand; ask again.") from error
