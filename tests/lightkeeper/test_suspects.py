"""Days that must not be learnt from: what makes one suspect, what clears it, and what lasts."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from lightkeeper.lake.suspects import GROSS, LASTS, accept, follow, lasting, suspects
from lightkeeper.lake.table import Lake
from lightkeeper.lake.verdicts import Judged, record
from lightkeeper.values import TableVersion, Verdict

DAY = date(2026, 3, 2)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path, clock=lambda: datetime(2026, 3, 9, 6, tzinfo=UTC))


def judged(share: float, day: date = DAY, check: str = "range", state: str = "failed", version: int = 1) -> Judged:
    return Judged(
        TableVersion("sales", version), day, verdicts=(Verdict(check, state, f"{share:.0%} of its rows.", share, 0.01, 100),)
    )


def days(lake: Lake) -> list[date]:
    return suspects(lake)["day"].to_list()


@pytest.mark.parametrize("check", ["contract", "nulls", "categories", "range", "duplicates"])
def test_a_day_of_which_a_large_share_is_broken_is_suspect(lake: Lake, check: str) -> None:
    follow(lake, [judged(GROSS, check=check)])
    assert suspects(lake).select("asset", "day", "check").rows() == [("sales", DAY, check)]


@pytest.mark.parametrize(
    ("share", "check", "state"),
    [(GROSS - 0.01, "range", "failed"), (1.0, "volume", "failed"), (1.0, "drift", "drifted"), (0.5, "range", "passed")],
)
def test_what_a_change_of_the_world_may_show_makes_no_day_suspect(lake: Lake, share: float, check: str, state: str) -> None:
    follow(lake, [judged(share, check=check, state=state)])
    assert days(lake) == []


def test_a_corrected_file_clears_its_day_and_no_other(lake: Lake) -> None:
    follow(lake, [judged(0.9), judged(0.9, DAY + timedelta(1))])
    follow(lake, [judged(0.0, state="passed")])
    assert days(lake) == [DAY + timedelta(1)]


def test_a_day_that_could_not_be_judged_again_stays_suspect(lake: Lake) -> None:
    follow(lake, [judged(0.9)])
    follow(lake, [judged(0.0, state="unknown")])
    assert days(lake) == [DAY]


def test_new_values_that_last_are_how_the_world_is_now(lake: Lake) -> None:
    for n in range(LASTS):
        one = judged(0.9, DAY + timedelta(n))
        follow(lake, [one])
        record(lake, [one])
        lasting(lake, "sales")
        assert len(days(lake)) == (n + 1 if n + 1 < LASTS else 0)


def test_missing_values_that_last_are_still_a_broken_pipe(lake: Lake) -> None:
    for n in range(LASTS + 2):
        one = judged(0.9, DAY + timedelta(n), check="nulls")
        follow(lake, [one])
        record(lake, [one])
        lasting(lake, "sales")
    assert len(days(lake)) == LASTS + 2


def landed(lake: Lake, price: float, day: date = DAY) -> int:
    """The version that a day's file makes."""
    rows = pl.DataFrame({"day": [day], "price": [float(price)]})
    return lake.write("sales", rows, by="day", replace=[day]).version


def test_a_day_that_was_accepted_is_suspect_anew_when_another_broken_file_of_it_lands(lake: Lake) -> None:
    follow(lake, [judged(0.3, version=landed(lake, 3))])
    assert accept(lake, "sales", DAY, "user ada", "it was so") == 1
    follow(lake, [judged(0.0, state="passed", version=landed(lake, 4))])
    assert days(lake) == []
    follow(lake, [judged(1.0, version=landed(lake, 5))])
    assert days(lake) == [DAY]
    assert accept(lake, "sales", DAY, "user ada", "so was this") == 1
    follow(lake, [judged(1.0, version=lake.version("sales").version)])
    assert days(lake) == []


def test_a_day_that_was_accepted_is_not_suspect_anew_while_its_rows_stay_as_they_are(lake: Lake) -> None:
    first = landed(lake, 3)
    follow(lake, [judged(0.3, version=first)])
    accept(lake, "sales", DAY, "user ada", "it was so")
    follow(lake, [judged(0.3, version=first)])
    after = landed(lake, 3, DAY + timedelta(1))
    follow(lake, [judged(0.4, version=after)])  # other rows landed, and the day is compared with another reference
    assert days(lake) == []
    lake.write("sales", pl.DataFrame({"day": [DAY], "price": [9.0]}), by="day")  # as a whole: nobody knows what it replaced
    follow(lake, [judged(0.3, version=lake.version("sales").version)])
    assert days(lake) == []
    follow(lake, [judged(0.5, version=lake.version("sales").version)])
    assert days(lake) == [DAY]


def test_what_is_accepted_is_the_file_that_was_looked_at_last(lake: Lake) -> None:
    for share, price in ((0.3, 3.0), (0.6, 6.0)):
        one = judged(share, version=landed(lake, price))
        follow(lake, [one])
        record(lake, [one])
    accept(lake, "sales", DAY, "user ada", "it was so")
    follow(lake, [judged(0.6, version=landed(lake, 1, DAY + timedelta(1)))])
    assert days(lake) == []


def test_where_nothing_was_ever_suspect_nothing_is_written(lake: Lake) -> None:
    follow(lake, [judged(0.0, state="passed")])
    assert not (Path(lake.root) / "_ledger" / "suspects").exists()
