"""Daily demand: the panel's rules on hand-made sales, and that computing only what changed gives what a full run gives."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from tests.assets.shop import FIRST, Shop, demand


@pytest.fixture(autouse=True)
def three_days_to_enter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demand, "DAYS_SOLD_TO_ENTER", 3)


def sales(*lines: tuple[int, str, int, float]) -> pl.LazyFrame:
    """Lines of (day after the first, code, pieces, price)."""
    rows = [(FIRST + timedelta(day), code, pieces, price) for day, code, pieces, price in lines]
    names = {"day": pl.Date, "stock_code": pl.String, "quantity": pl.Int64, "price_gbp": pl.Float64}
    return pl.LazyFrame(rows, schema=names, orient="row")


def holidays(*days: int) -> pl.LazyFrame:
    listed = [FIRST + timedelta(day) for day in days]
    return pl.LazyFrame({"day": listed, "closed": [True] * len(listed)}, schema={"day": pl.Date, "closed": pl.Boolean})


def panel(found: pl.LazyFrame, shut: pl.LazyFrame | None = None) -> list[tuple[object, ...]]:
    rows = demand.panel(found, holidays() if shut is None else shut, None)
    return [((row[1] - FIRST).days, row[0], *row[2:]) for row in rows.iter_rows()]


LAMP = [(n, "10001A", 2, 1.5) for n in range(3)]


def test_a_product_enters_on_the_day_on_which_it_has_sold_often_enough_and_stays() -> None:
    assert panel(sales(*LAMP, (4, "10002", 1, 1.0))) == [
        (2, "10001A", 2, 1.5, "traded"),
        (3, "10001A", None, None, "missing"),
        (4, "10001A", 0, None, "traded"),
    ]


def test_returns_are_netted_and_do_not_count_as_days_sold() -> None:
    assert panel(sales(*LAMP, (2, "10001A", -5, 1.5))) == [(2, "10001A", -3, 1.5, "traded")]
    assert panel(sales(*LAMP[:2], (2, "10001A", -5, 1.5))) == []


def test_spellings_of_a_code_are_one_product_and_what_is_no_product_is_left_out() -> None:
    mixed = [(n, code, 2, 1.5) for n, code in enumerate(["10001a", "10001A", "10001a"])]
    assert [row[1] for row in panel(sales(*mixed, *((n, "POST", 1, 9.0) for n in range(5))))] == ["10001A"] * 3


def test_the_price_is_the_median_of_the_days_sold_lines_and_null_where_nothing_was_sold() -> None:
    dear = [(2, "10001A", 1, 9.0), (2, "10001A", 1, 2.0), (2, "10001A", -1, 100.0), (3, "10002", 1, 1.0)]
    assert [row[3] for row in panel(sales(*LAMP, *dear))] == [2.0, None]


def test_gaps_are_told_apart_closed_on_saturdays_and_holidays_missing_otherwise() -> None:
    # the first day is a Monday, the sixth a Saturday
    found = panel(sales(*LAMP, (8, "10002", 1, 1.0)), holidays(7))
    assert {day: (state, units) for day, _, units, _, state in found} == {
        2: ("traded", 2), 3: ("missing", None), 4: ("missing", None), 5: ("closed", 0), 6: ("missing", None),
        7: ("closed", 0), 8: ("traded", 0),
    }  # fmt: skip


def test_a_holiday_on_which_sales_landed_all_the_same_was_traded() -> None:
    assert panel(sales(*LAMP), holidays(2))[0][4] == "traded"


def test_no_product_and_no_sales_make_an_empty_panel() -> None:
    assert panel(sales()) == panel(sales((0, "POST", 1, 1.0))) == []


@pytest.mark.parametrize("seed", range(3))
def test_computing_only_what_changed_gives_the_rows_of_a_full_computation(seed: int, tmp_path: Path) -> None:
    shop = Shop.opened(tmp_path, seed, days=12)
    shop.refresh()
    for _ in range(7):
        shop.step()
        shop.refresh()
        for table, whole in shop.whole().items():
            assert_frame_equal(shop.rows(table), whole, check_exact=True)
    assert shop.modes["daily_demand"].count("whole") <= 2


def test_a_correction_that_moves_a_products_entry_replaces_the_days_between_the_two_entries(tmp_path: Path) -> None:
    shop = Shop.opened(tmp_path, 1, days=0)
    for n in range(1, 12):
        shop.put({FIRST + timedelta(n): {"10001A": 1} if n in {2, 4, 6, 9} else {"10002": 1}})
    shop.refresh()
    assert shop.rows("daily_demand").filter(pl.col("product") == "10001A")["day"].min() == FIRST + timedelta(6)
    before = shop.lake.version("daily_demand")
    shop.put({FIRST + timedelta(4): {"10002": 1}})
    shop.refresh()
    replaced = shop.lake.history("daily_demand")[0].replaced
    assert set(replaced) == {FIRST + timedelta(n) for n in (4, 6, 7, 8)}
    assert shop.lake.read("daily_demand", before).filter(pl.col("product") == "10001A").collect().height == 6
    assert shop.rows("daily_demand").filter(pl.col("product") == "10001A")["day"].min() == FIRST + timedelta(9)


def test_a_corrected_day_replaces_that_day_alone(tmp_path: Path) -> None:
    shop = Shop.opened(tmp_path, 3, days=20)
    shop.refresh()
    day = shop.last - timedelta(2)
    sold = shop.lake.read("sales").filter(pl.col("day") == day).collect()["stock_code"].str.to_uppercase().unique().to_list()
    shop.put({day: {code: 50 for code in sold if code != "POST"}})
    shop.refresh()
    assert shop.lake.history("daily_demand")[0].replaced == (day,)


def test_a_changed_holiday_computes_everything_anew(tmp_path: Path) -> None:
    shop = Shop.opened(tmp_path, 4, days=20)
    shop.refresh()
    shop.lake.write("holidays", pl.DataFrame({"day": [FIRST + timedelta(15)], "name": ["Flood"], "closed": [True]}))
    shop.refresh()
    assert shop.modes["daily_demand"] == ["whole", "whole"]
    assert_frame_equal(shop.rows("demand_features"), shop.whole()["demand_features"], check_exact=True)


def test_the_order_of_lines_does_not_change_the_panel() -> None:
    rows = sales(*LAMP, (2, "10001A", 1, 9.0), (3, "10001A", 4, 2.0), (3, "10001A", -1, 7.0))
    shuffled = rows.collect().sample(fraction=1, shuffle=True, seed=5).lazy()
    assert panel(rows) == panel(shuffled)
