"""What is not there, without Dagster: days that never came, columns without a value, columns that have nothing to compare with."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from lightkeeper.values import Verdict
from lightkeeper.watch.drawing import Watched
from tests.lightkeeper.orders import FIRST, HISTORY, Shop, day_of


def days_of(*numbers: int) -> pl.DataFrame:
    return pl.concat([day_of(number) for number in numbers])


def missed(shop: Shop, *numbers: int) -> dict[int, Verdict]:
    """The bad verdicts on volume, by the number of the day, after these days came at once."""
    days = [FIRST + timedelta(number) for number in numbers]
    shop.today = days[-1] + timedelta(1)
    shop.lake.write("orders", days_of(*numbers), by="day", replace=days)
    found = shop.look()
    assert found[-1].day == days[-1]
    return {
        (one.day - FIRST).days: verdict
        for one in found
        if one.day
        for verdict in one.verdicts
        if verdict.check == "volume" and verdict.bad
    }


def test_a_day_that_never_came_is_told_once_when_a_later_one_comes(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    found = missed(shop, HISTORY + 1)
    assert {number: (one.measured, one.kind) for number, one in found.items()} == {HISTORY: (0, "arrival")}
    assert found[HISTORY].why.startswith(f"0 rows on {FIRST + timedelta(HISTORY):%A} {FIRST + timedelta(HISTORY)}; usual are 200")
    assert found[HISTORY].why.endswith("Later days have rows.")
    assert missed(shop, HISTORY + 2) == {}


def test_each_of_several_days_that_never_came_is_told_and_the_last_ones_of_a_long_hole(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    assert set(missed(shop, HISTORY + 2, HISTORY + 4)) == {HISTORY, HISTORY + 1, HISTORY + 3}
    assert set(missed(shop, HISTORY + 64)) == set(range(HISTORY + 33, HISTORY + 64))


def test_a_day_that_comes_after_all_is_judged_and_missed_no_more(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    missed(shop, HISTORY + 1)
    day = FIRST + timedelta(HISTORY)
    shop.lake.write("orders", days_of(HISTORY), by="day", replace=[day])
    late = [one for one in shop.look() if one.day == day]
    assert [one.state for one in late[0].verdicts if one.check == "volume"] == ["passed"]


def test_a_day_whose_rows_are_taken_back_is_missed(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    missed(shop, HISTORY, HISTORY + 1)
    day = FIRST + timedelta(HISTORY)
    shop.lake.write("orders", days_of(HISTORY).clear(), by="day", replace=[day])
    found = [(one.day, verdict.check, verdict.state) for one in shop.look() for verdict in one.verdicts if verdict.bad]
    assert found == [(day, "volume", "failed")]
    missed(shop, HISTORY + 2)
    assert missed(shop, HISTORY + 3) == {}


def test_the_oldest_days_that_a_table_keeps_no_more_are_not_missed(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    shop.today += timedelta(1)
    shop.lake.write("orders", days_of(*range(30, HISTORY + 1)), by="day")
    assert not [verdict for one in shop.look() for verdict in one.verdicts if verdict.bad]


def test_a_weekday_without_rows_is_missed_only_where_it_usually_has_some(tmp_path: Path) -> None:
    shop = Shop(tmp_path / "weekdays", history=0)
    open_ = [number for number in range(HISTORY) if number % 7 != 6]
    shop.today = FIRST + timedelta(HISTORY)
    shop.lake.write("orders", days_of(*open_), by="day")
    shop.look()
    sunday = next(number for number in range(HISTORY, HISTORY + 7) if number % 7 == 6)
    assert missed(shop, *range(HISTORY, sunday), sunday + 1) == {}
    assert set(missed(shop, sunday + 3)) == {sunday + 2}


def test_a_hole_among_the_last_days_of_a_first_look_is_told(tmp_path: Path) -> None:
    shop = Shop(tmp_path, history=0)
    assert set(missed(shop, *(number for number in range(HISTORY) if number != HISTORY - 2))) == {HISTORY - 2}


@pytest.mark.parametrize(("column", "checks"), [("size", ["range"]), ("shop", ["categories", "members"])])
def test_of_a_column_without_a_value_no_check_is_passed(tmp_path: Path, column: str, checks: list[str]) -> None:
    shop = Shop(tmp_path)
    found = shop.land(day_of(HISTORY).with_columns(pl.lit(None).cast(day_of(0).schema[column]).alias(column)))
    assert [(one.check, one.column) for one in found if one.bad] == [("nulls", column)]
    told = {one.check: (one.state, one.why) for one in found if one.check in checks}
    assert {state for state, _ in told.values()} == {"unknown"}
    assert all(f"None of the 200 rows of the day has a value of {column}" in why for _, why in told.values())


def test_what_fails_is_told_before_what_could_not_be_judged(tmp_path: Path) -> None:
    shop = Shop(tmp_path, Watched("orders", "day"))
    spoilt = day_of(HISTORY).with_columns(shop=pl.lit("west"), size=pl.lit(None, pl.Float64))
    found = {one.check: one.state for one in shop.land(spoilt)}
    assert (found["categories"], found["range"]) == ("failed", "unknown")


def test_a_column_that_never_had_a_value_is_named_beside_the_others(tmp_path: Path) -> None:
    shop = Shop(tmp_path, history=0)
    shop.today = FIRST + timedelta(HISTORY)
    shop.lake.write("orders", days_of(*range(HISTORY)).with_columns(weight=pl.lit(float("inf"))), by="day")
    verdicts = shop.look()[-1].verdicts
    found = next(one for one in verdicts if one.check == "range")
    assert found.state == "passed"
    assert found.why.endswith("weight cannot be compared with the reference.")
