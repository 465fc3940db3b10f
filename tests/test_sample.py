"""The sample is the real data and nothing else: moved by whole weeks, one file a day, read back to the last digit."""

from __future__ import annotations

import hashlib
import os
import re
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import polars as pl
import pytest

from assets.contracts import Holiday, Sale, is_product
from assets.sample import SAMPLE, Released
from lightkeeper.errors import Refused, StorageFailed
from lightkeeper.home import Home
from lightkeeper.lake.landing import Admitted, CsvFormat, admit, read_files, scan
from lightkeeper.measure.contract import columns, empty, known_ahead

TODAY = date(2026, 11, 22)
WEEKS = 780
DATA = Path(__file__).parent.parent / "assets" / "data"
REAL = pl.read_parquet(DATA / "online_retail_ii.parquet")
FORM = CsvFormat(tuple(name for name in Sale.column_names() if name not in ("day", "row")))
LAST = date(2026, 11, 20)


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Home:
    home = Home(tmp_path_factory.mktemp("full") / "home")
    SAMPLE.create(home, "full", TODAY)
    assert SAMPLE.release(home, SAMPLE.days(home)) == Released(604, 1_067_371)
    return home


@pytest.fixture
def small(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    SAMPLE.create(home, "small", TODAY)
    return home


def landed(home: Home, *days: date) -> Admitted:
    names = [home.landing / "sales" / f"sales-{day}.csv" for day in days]
    return admit(read_files(names, FORM), Sale, "day")


def real(*days: date) -> pl.DataFrame:
    """The real lines of some days of the home's calendar, with the moved times."""
    moved = REAL.with_columns(pl.col("InvoiceDate").dt.offset_by(f"{WEEKS}w"))
    return moved.filter(pl.col("InvoiceDate").dt.date().is_in(days))


# ---- the copy that ships


def test_the_copy_that_ships_is_the_one_that_its_attribution_tells_of() -> None:
    told = (DATA / "ATTRIBUTION.md").read_text(encoding="utf-8")
    assert hashlib.sha256((DATA / "online_retail_ii.parquet").read_bytes()).hexdigest() in told
    assert f"{REAL.height:,} rows" in told
    assert all(f"`{name}`" in told for name in REAL.columns)
    assert "Customer ID" not in REAL.columns
    assert all(word in told for word in ("Chen", "10.24432/C5CG6D", "CC BY 4.0", "UCI Machine Learning Repository"))


def test_the_holidays_are_the_days_without_trade_that_are_no_saturdays() -> None:
    listed = pl.read_csv(DATA / "holidays.csv", try_parse_dates=True)
    trade = set(REAL["InvoiceDate"].dt.date())
    every = [SAMPLE.first + timedelta(days=n) for n in range((SAMPLE.last - SAMPLE.first).days + 1)]
    without = [day for day in every if day not in trade and day.weekday() != 5]
    assert listed.filter(pl.col("day") <= SAMPLE.last)["day"].to_list() == without
    assert listed["day"].is_sorted()
    assert listed["closed"].all()
    assert listed["day"].max() == date(2012, 1, 2)


def test_every_line_of_the_first_nine_days_of_december_2010_occurs_twice() -> None:
    days = REAL.filter(pl.col("InvoiceDate").dt.date().is_between(date(2010, 12, 1), date(2010, 12, 9)))
    assert days.group_by(days.columns).len().filter(pl.col("len") % 2 == 1).height == 0


# ---- a sample home


@pytest.mark.parametrize(("today", "last"), [(TODAY, LAST), (LAST, LAST - timedelta(weeks=1)), (date(2011, 12, 10), SAMPLE.last)])
def test_the_last_day_moves_by_whole_weeks_to_before_today(tmp_path: Path, today: date, last: date) -> None:
    home = Home(tmp_path)
    record = SAMPLE.create(home, "full", today)
    assert SAMPLE.days(home)[-1] == last
    assert last < today <= last + timedelta(weeks=1)
    assert record.shift_weeks == (last - SAMPLE.last).days / 7
    assert last.weekday() == SAMPLE.last.weekday()


def test_a_new_home_stands_at_its_first_day_with_holidays_and_no_sales(small: Home) -> None:
    days = SAMPLE.days(small)
    assert (len(days), days[0], days[-1]) == (300, date(2026, 1, 25), LAST)
    assert all(later - day == timedelta(days=1) for day, later in pairwise(days))
    assert small.now() == datetime(2026, 1, 25, tzinfo=UTC)
    assert SAMPLE.last_released(small) is None
    assert scan(small.landing / "sales") == []


def test_the_holidays_move_with_the_sales(full: Home) -> None:
    read = read_files([full.landing / "holidays" / "holidays.csv"], CsvFormat(tuple(Holiday.column_names())))
    holidays = admit(read, Holiday).accepted
    shipped = pl.read_csv(DATA / "holidays.csv", try_parse_dates=True)
    assert (holidays["day"] - shipped["day"]).unique().to_list() == [timedelta(weeks=WEEKS)]
    assert holidays["name"].to_list() == shipped["name"].to_list()
    closed = set(holidays["day"]) | {day for day in SAMPLE.days(full) if day.weekday() == 5}
    assert {*SAMPLE.days(full)} - {*SAMPLE.trading_days(full)} <= closed


def test_a_home_is_not_made_over_another(small: Home) -> None:
    with pytest.raises(Refused, match="is a home already"):
        SAMPLE.create(small, "full", TODAY)
    assert small.record.sample_size == "small"


def test_an_unknown_size_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="no size 'huge': take one of full, small"):
        SAMPLE.create(Home(tmp_path / "home"), "huge", TODAY)
    assert list(tmp_path.iterdir()) == []


def test_a_home_for_ones_own_data_has_no_sample(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.create()
    with pytest.raises(Refused, match="one's own data"):
        SAMPLE.days(home)


# ---- releasing days


def test_every_real_row_is_in_exactly_one_file(full: Home) -> None:
    files = [home_file.part for home_file in scan(full.landing / "sales")]
    assert files == SAMPLE.trading_days(full)
    admitted = landed(full, *SAMPLE.trading_days(full))
    assert admitted.refused == ()
    assert admitted.accepted.height + admitted.rejected.height == REAL.height
    assert admitted.counts == {"not_a_repeated_line": 34_335, "price_is_plausible": 1, "price_is_positive": 6_207}
    assert sum(file.rows for file in admitted.files) == REAL.height


def test_a_day_is_read_back_to_the_last_digit(full: Home) -> None:
    awkward = pl.col("Description").is_null() | pl.col("Description").str.contains('[",]') | (pl.col("Price") < 0)
    days = real(*SAMPLE.days(full)).filter(awkward)["InvoiceDate"].dt.date().value_counts(sort=True)["InvoiceDate"]
    for day in [*days[:3], *days[-3:], LAST]:
        admitted = landed(full, day)
        back = pl.concat([admitted.accepted, _typed(admitted.rejected)]).sort("row").select(FORM.columns)
        assert back.rows() == real(day).rows()


def _typed(rejected: pl.DataFrame) -> pl.DataFrame:
    """The rejected rows with the values that their texts stand for."""
    read = rejected.with_columns(
        pl.col("quantity").cast(pl.Int64), pl.col("price_gbp").cast(pl.Float64), pl.col("invoiced_at").str.to_datetime()
    )
    return read.select(*Sale.column_names(), "file").cast({"invoiced_at": pl.Datetime("us")})


def test_a_release_writes_the_asked_days_of_trade_and_no_others(small: Home) -> None:
    friday, saturday = date(2026, 1, 30), date(2026, 1, 31)
    released = SAMPLE.release(small, [friday, saturday])
    assert [one.part for one in scan(small.landing / "sales")] == [friday]
    assert released == Released(1, len((small.landing / "sales" / f"sales-{friday}.csv").read_text().splitlines()) - 1)
    assert [path.name for path in (small.landing / "sales").iterdir()] == [f"sales-{friday}.csv"]


def test_a_file_that_was_corrected_is_not_released_over(small: Home) -> None:
    day = date(2026, 1, 30)
    SAMPLE.release(small, [day])
    file = small.landing / "sales" / f"sales-{day}.csv"
    file.write_text("corrected")
    assert SAMPLE.release(small, [day]) == Released(0, 0, left=1)
    assert file.read_text() == "corrected"


def test_a_release_that_fails_leaves_no_half_file(small: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    def full_disk(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full_disk)
    with pytest.raises(StorageFailed, match=r"sales-2026-01-30\.csv could not be written: .*No space left"):
        SAMPLE.release(small, [date(2026, 1, 30)])
    assert list((small.landing / "sales").iterdir()) == []


def test_a_day_outside_the_sample_is_refused_and_nothing_is_written(small: Home) -> None:
    with pytest.raises(Refused, match="no 2026-11-21: its days run from 2026-01-25 to 2026-11-20"):
        SAMPLE.release(small, [date(2026, 1, 30), date(2026, 11, 21)])
    assert scan(small.landing / "sales") == []


def test_the_last_twenty_eight_days_are_held_back(small: Home) -> None:
    held = SAMPLE.held_back(small)
    assert (len(held), held[0], held[-1]) == (28, date(2026, 10, 24), LAST)


def test_what_was_released_last_is_told_by_files_and_clock(small: Home) -> None:
    SAMPLE.release(small, [date(2026, 1, 29), date(2026, 1, 30)])
    assert SAMPLE.last_released(small) == date(2026, 1, 30)
    small.move_clock(datetime(2026, 2, 1, tzinfo=UTC))
    assert SAMPLE.last_released(small) == date(2026, 1, 31)


def test_the_small_sample_is_the_same_every_time_and_has_products_to_learn_from(small: Home, tmp_path: Path) -> None:
    SAMPLE.release(small, SAMPLE.days(small))
    twin = Home(tmp_path / "twin")
    SAMPLE.create(twin, "small", TODAY)
    SAMPLE.release(twin, SAMPLE.days(twin))
    names = [one.name for one in scan(small.landing / "sales")]
    assert [(small.landing / "sales" / name).read_bytes() for name in names] == [
        (twin.landing / "sales" / name).read_bytes() for name in names
    ]
    sales = landed(small, *SAMPLE.trading_days(small)).accepted.filter(is_product(pl.col("stock_code")))
    days = sales.group_by("stock_code").agg(pl.col("day").n_unique())["day"]
    assert len(days) == 120
    assert days.min() >= 150  # type: ignore[operator]
    assert len(SAMPLE.trading_days(small)) == 251


def test_the_small_sample_keeps_every_code_that_is_no_product(small: Home) -> None:
    day = date(2026, 11, 16)
    SAMPLE.release(small, [day])
    admitted = landed(small, day)
    kept = {*admitted.accepted["stock_code"], *admitted.rejected["stock_code"]}
    assert {code for code in kept if not re.match(r"\d{5}|DCGS", code)} == {
        code for code in real(day)["StockCode"] if not re.match(r"\d{5}|DCGS", code)
    }


# ---- the contracts of what lands


@pytest.mark.parametrize("code", ["21232", "85123A", "85099b", "84016LP", "DCGS0058", "DCGSSGIRL"])
def test_a_stock_code_of_a_product(code: str) -> None:
    assert pl.select(is_product(pl.lit(code))).item()


@pytest.mark.parametrize(
    "code",
    [
        *("POST", "DOT", "M", "m", "D", "S", "B", "C2", "C3", "BANK CHARGES", "ADJUST", "ADJUST2", "AMAZONFEE", "CRUK"),
        *("gift_0001_20", "GIFT", "TEST001", "PADS", "2123", "212321", "85123ABC", "85123A ", ""),
    ],
)
def test_a_stock_code_of_no_product(code: str) -> None:
    assert not pl.select(is_product(pl.lit(code))).item()


GOOD = {
    "invoice": "C489434",
    "stock_code": "85123A",
    "description": None,
    "quantity": "-12",
    "invoiced_at": "2026-01-30 08:15:00",
    "price_gbp": "2.55",
    "country": "EIRE",
}


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({}, None),
        ({"invoice": "48943"}, "invoice_is_six_digits"),
        ({"invoice": "CC489434"}, "invoice_is_six_digits"),
        ({"invoice": "4894345"}, "invoice_is_six_digits"),
        ({"stock_code": None}, "stock_code_is_given"),
        ({"country": ""}, "country_is_given"),
        ({"quantity": "0"}, "quantity_is_not_zero"),
        ({"quantity": "100000"}, None),
        ({"quantity": "-100001"}, "quantity_is_plausible"),
        ({"quantity": "1.5"}, "quantity_is_int"),
        ({"price_gbp": "0"}, "price_is_positive"),
        ({"price_gbp": "-0.01"}, "price_is_positive"),
        ({"price_gbp": "1000"}, None),
        ({"price_gbp": "1000.01"}, "price_is_plausible"),
        ({"price_gbp": "1000.01", "stock_code": "AMAZONFEE"}, None),
        ({"invoiced_at": "2026-01-31 00:00:00"}, "of_its_day"),
        ({"invoiced_at": "2026-01-30T23:59:59"}, None),
        ({"invoiced_at": "30/01/2026 08:15"}, "invoiced_at_is_datetime"),
    ],
)
def test_a_line_keeps_the_contract_or_is_rejected_for_one_reason(
    tmp_path: Path, changes: dict[str, str | None], rule: str | None
) -> None:
    lines = [GOOD | changes, *({**GOOD, "invoice": f"48943{n}"} for n in (1, 2))]
    pl.DataFrame(lines, schema=dict.fromkeys(FORM.columns, pl.String)).write_csv(tmp_path / "sales-2026-01-30.csv")
    admitted = admit(read_files([tmp_path / "sales-2026-01-30.csv"], FORM), Sale, "day")
    assert admitted.rejected["rule"].to_list() == ([rule] if rule else [])
    assert admitted.refused == ()


def test_a_line_is_repeated_within_its_file_alone(tmp_path: Path) -> None:
    for day in ("2026-01-30", "2026-01-31"):
        lines = pl.DataFrame([GOOD, GOOD], schema=dict.fromkeys(FORM.columns, pl.String))
        lines.write_csv(tmp_path / f"sales-{day}.csv")
    admitted = admit(read_files(sorted(tmp_path.iterdir()), FORM), Sale, "day")
    assert admitted.rejected.select("day", "row", "rule").rows() == [
        (date(2026, 1, 30), 3, "not_a_repeated_line"),
        (date(2026, 1, 31), 2, "of_its_day"),
        (date(2026, 1, 31), 3, "not_a_repeated_line,of_its_day"),
    ]


@pytest.mark.parametrize("contract", [Sale, Holiday])
def test_every_column_of_a_landed_table_is_described(contract: type[Sale | Holiday]) -> None:
    assert all(note.description for note in columns(contract))
    assert empty(contract).width == len(columns(contract))


def test_holidays_are_known_ahead_and_sales_are_not() -> None:
    assert known_ahead(Holiday) == ("day", "name", "closed")
    assert known_ahead(Sale) == ()


def test_files_are_released_under_a_name_that_no_sensor_sees_until_they_are_whole(
    small: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[str]] = []
    whole = Path.replace

    def watched(path: Path, target: Path) -> Path:
        seen.append([*os.listdir(path.parent), *(one.name for one in scan(path.parent))])  # noqa: PTH208 - names alone
        return whole(path, target)

    monkeypatch.setattr(Path, "replace", watched)
    SAMPLE.release(small, [date(2026, 1, 30)])
    assert [name.endswith(".part") for (name,) in seen] == [True]
