"""What a day's drift is told as: where nothing could have been seen, the reason is the one that holds."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from lightkeeper.lake.table import Lake
from lightkeeper.values import Verdict
from lightkeeper.watch.drawing import Watched
from lightkeeper.watch.tables import look

FIRST = date(2025, 1, 6)
HISTORY = 60
ROWS = 200
NOISY = "its quiet days differ so much that no change of it would have been seen."


def sold(number: int, rows: int = ROWS) -> pl.DataFrame:
    """One day's rows: numbers, a text of few values, and one that is nearly all another on each day."""
    random = np.random.default_rng(number)
    return pl.DataFrame({
        "day": [FIRST + timedelta(number)] * rows,
        "size": random.normal(100, 10, rows),
        "shop": random.choice(["north", "south", "east"], rows),
        "driver": ["Eve", *[str(random.choice(["Ann", "Bob", "Cy", "Di"]))] * (rows - 1)],
    })  # fmt: skip


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Verdict]:
    """The verdict on each column of three days of one row each."""
    return told_of_days(tmp_path_factory.mktemp("few"), rows=1)


def told_of_days(folder: Path, rows: int) -> dict[str, Verdict]:
    """The verdict on each column of the last of three days of so many rows, after a history of usual ones."""
    days = [sold(number) for number in range(HISTORY)]
    today = FIRST
    lake = Lake(folder, clock=lambda: datetime.combine(today, datetime.min.time(), UTC))
    for number in (HISTORY - 1, HISTORY + 2):
        days += [sold(one, rows) for one in range(len(days), number + 1)]
        today = FIRST + timedelta(number + 1)
        version = lake.write("orders", pl.concat(days), by="day", replace=[FIRST + timedelta(one) for one in range(number + 1)])
        judged = look(lake, Watched("orders", "day"), version).judged[-1]
    return {str(one.column): one for one in judged.verdicts if one.check == "drift"}


def test_three_days_of_one_row_are_told_to_be_too_few_beside_what_usual_days_would_have_shown(told: dict[str, Verdict]) -> None:
    shop = told["shop"]
    assert (shop.state, NOISY in shop.why) == ("unknown", False)
    assert "; 1 value on one of these days is too few to tell; on days of 200 values, as is usual, " in shop.why
    assert shop.why.endswith("% would have been seen.")


def test_days_without_values_beside_a_full_one_are_told_to_be_what_is_too_few(tmp_path: Path) -> None:
    days = [sold(number) for number in range(HISTORY + 3)]
    lake = Lake(tmp_path, clock=lambda: datetime.combine(FIRST + timedelta(HISTORY + 3), datetime.min.time(), UTC))
    days[HISTORY:] = [day.with_columns(shop=pl.lit(None, pl.String)) for day in days[HISTORY:-1]] + [sold(HISTORY + 2)]
    judged = look(lake, Watched("orders", "day"), lake.write("orders", pl.concat(days), by="day")).judged[-1]
    shop = next(one for one in judged.verdicts if one.check == "drift" and one.column == "shop")
    assert (shop.state, shop.n) == ("unknown", ROWS)
    assert "; 0 values on one of these days are too few to tell; on days of 200 values, as is usual, " in shop.why


def test_what_usual_days_would_have_shown_is_what_they_say_themselves(told: dict[str, Verdict], tmp_path: Path) -> None:
    usual = told_of_days(tmp_path, rows=ROWS)["shop"]
    assert usual.state == "passed"
    assert f", as is usual, {usual.limit:.1%} would have been seen." in told["shop"].why


def test_a_column_whose_quiet_days_differ_blames_them_and_not_the_few_rows(told: dict[str, Verdict]) -> None:
    assert (told["driver"].state, told["driver"].why.endswith(NOISY)) == ("unknown", True)
