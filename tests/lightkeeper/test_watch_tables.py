"""A table looked at, without Dagster: each check made to fail; what cannot be judged is never passed; new references."""

from __future__ import annotations

import shutil
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from lightkeeper.lake.table import Lake
from lightkeeper.lake.verdicts import states as kept
from lightkeeper.measure.daily import Found
from lightkeeper.values import Verdict
from lightkeeper.watch.drawing import Watched
from lightkeeper.watch.drifted import Rows, _verdict
from lightkeeper.watch.kept import last_reference
from lightkeeper.watch.tables import HELD, look
from tests.lightkeeper.orders import FIRST, HISTORY, ROWS, WATCHED, Shop, day_of


@pytest.fixture(scope="module")
def looked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The lake of a shop whose history was looked at."""
    folder = tmp_path_factory.mktemp("shop") / "lake"
    Shop(folder)
    return folder


@pytest.fixture
def shop(looked: Path, tmp_path: Path) -> Shop:
    """The same shop again, in a lake of its own."""
    return Shop(Path(shutil.copytree(looked, tmp_path / "lake")))


def states(verdicts: list[Verdict], check: str) -> set[str]:
    return {one.state for one in verdicts if one.check == check}


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_quiet_day_fails_no_check(shop: Shop, seed: int) -> None:
    assert not [one for one in shop.land(day_of(HISTORY, seed)) if one.bad]


@pytest.mark.parametrize(
    ("check", "column", "spoilt"),
    [
        ("nulls", "size", {"size": pl.when(pl.int_range(pl.len()) < 40).then(None).otherwise(pl.col("size"))}),
        ("range", "size", {"size": pl.when(pl.int_range(pl.len()) < 40).then(9e9).otherwise(pl.col("size"))}),
        ("range", "size", {"size": pl.when(pl.int_range(pl.len()) < 40).then(float("inf")).otherwise(pl.col("size"))}),
        ("categories", "shop", {"shop": pl.when(pl.int_range(pl.len()) < 40).then(pl.lit("west")).otherwise(pl.col("shop"))}),
    ],
)
def test_a_day_with_a_fifth_of_bad_values_is_named_by_its_column(
    shop: Shop, check: str, column: str, spoilt: dict[str, pl.Expr]
) -> None:
    bad = [one for one in shop.land(day_of(HISTORY).with_columns(**spoilt)) if one.bad]
    assert [(one.check, one.column) for one in bad] == [(check, column)]


def test_rows_that_repeat_another_are_duplicates(shop: Shop) -> None:
    rows = day_of(HISTORY)
    found = shop.land(pl.concat([rows.head(ROWS - 40), rows.head(40)]))
    assert states(found, "duplicates") == {"failed"}


@pytest.mark.parametrize("rows", [1, 10 * ROWS])
def test_a_day_with_few_or_many_rows_fails_its_volume(shop: Shop, rows: int) -> None:
    found = shop.land(pl.concat([day_of(HISTORY, seed) for seed in range(10)]).head(rows))
    assert states(found, "volume") == {"failed"}


def test_a_value_that_has_four_times_its_rows_for_days_is_named_unless_it_is_of_the_key(tmp_path: Path) -> None:
    for key, state in (((), "failed"), (("shop",), "passed")):
        shop = Shop(tmp_path / state, Watched("orders", "day", key=key))
        rows = [day_of(HISTORY + number).with_columns(shop=pl.lit("north")) for number in range(4)]
        for day in rows:
            found = shop.land(pl.concat([day, day_of(HISTORY).with_columns(day=day["day"])]))
        assert states(found, "members") == {state}


def test_a_day_that_lost_nearly_all_rows_fails_long_after_its_reference_was_drawn(shop: Shop) -> None:
    later = [day_of(HISTORY + number) for number in range(40)]
    shop.lake.write("orders", pl.concat(later), by="day", replace=[one["day"][0] for one in later])
    found = shop.land(day_of(HISTORY + 40).head(2))
    assert states(found, "volume") == {"failed"}


def test_a_day_that_was_taken_back_is_in_no_later_window(shop: Shop) -> None:
    wrong = pl.concat([day_of(HISTORY + 1, seed, shift=100.0) for seed in range(10)])
    assert states(shop.land(wrong), "volume") == {"failed"}
    shop.lake.write("orders", wrong.head(0), by="day", replace=[wrong["day"][0]])
    for number in (2, 3):
        found = shop.land(day_of(HISTORY + number))
        assert (states(found, "volume"), states(found, "drift")) == ({"passed"}, {"passed"})


def test_where_every_column_has_another_name_rows_are_counted_and_nothing_passes_unseen(tmp_path: Path) -> None:
    shop = Shop(tmp_path, Watched("orders", "day"))
    shop.lake.migrate("orders", lambda rows: rows.rename({"size": "a", "shop": "b", "code": "c"}), "the till has other words")
    found = shop.land(day_of(HISTORY).rename({"size": "a", "shop": "b", "code": "c"}))
    said = {one.check: (one.state, one.why) for one in reversed(found)}
    assert said["volume"][1].startswith("200 rows on")
    assert (said["volume"][0], said["duplicates"][0]) == ("passed", "passed")
    assert [said[check][0] for check in ("nulls", "categories", "range", "drift")] == ["unknown"] * 3 + ["failed"]


def test_days_of_few_rows_say_the_larger_shift_that_they_could_have_shown(shop: Shop) -> None:
    def smallest(rows: pl.DataFrame) -> float:
        (size,) = (one for one in shop.land(rows) if (one.check, one.column) == ("drift", "size"))
        return float(str(size.extra["smallest"]))

    usual = smallest(day_of(HISTORY))
    few = [smallest(day_of(HISTORY + number).head(4)) for number in (1, 2, 3)]
    assert few[-1] > 4 * usual


def test_days_on_which_a_table_still_filled_are_no_reference_and_hide_no_later_shift(tmp_path: Path) -> None:
    shop = Shop(tmp_path, history=1)
    filling = [day_of(number, shift=50.0 * (1 - number / 80)).head(5 + 2 * number) for number in range(80)]
    shop.lake.write("orders", pl.concat([*filling, *(day_of(number) for number in range(80, 160))]), by="day")
    shop.today = FIRST + timedelta(160)
    shop.look(promoted=shop.lake.clock())
    reference = last_reference(shop.lake, "orders")
    assert reference is not None
    assert FIRST + timedelta(60) < reference.quiet.start <= FIRST + timedelta(100)
    found = [shop.land(day_of(160 + number, shift=10.0)) for number in range(4)][-1]
    assert [(one.column, one.state) for one in found if one.check == "drift" and one.bad] == [("size", "drifted")]


def grown_up(folder: Path, few: list[int], days: int, key: tuple[str, ...] = ()) -> Shop:
    """A shop whose first days had few rows, and whose reference is drawn when it is so many days old."""
    shop = Shop(folder, Watched("orders", "day", key=key), history=1)
    rows = [*few, *[ROWS] * (days - len(few))]
    shop.lake.write("orders", pl.concat([day_of(number).head(n) for number, n in enumerate(rows)]), by="day")
    shop.today = FIRST + timedelta(days)
    shop.look(promoted=shop.lake.clock())
    return shop


@pytest.mark.parametrize(("key", "repeated"), [((), "unknown"), (("code",), "failed")])
def test_a_corrected_day_from_before_the_reference_passes_or_tells_nothing_but_repeated_keys(
    tmp_path: Path, key: tuple[str, ...], repeated: str
) -> None:
    shop, day = grown_up(tmp_path, [5 + number // 2 for number in range(60)], 160, key), FIRST + timedelta(40)
    rows = day_of(40).head(30)
    broken = rows.with_columns(size=pl.lit(None, dtype=pl.Float64), code=pl.lit("once"))
    for landed, nulls, duplicates in ((broken, "unknown", repeated), (rows, "passed", "passed")):
        shop.lake.write("orders", landed, by="day", replace=[day])
        judged = shop.look()
        assert [one.day for one in judged] == [day, shop.today - timedelta(1)]
        found = list(judged[0].verdicts)
        assert (states(found, "nulls"), states(found, "duplicates")) == ({nulls}, {duplicates})


def test_a_young_reference_grows_week_by_week_also_where_the_days_on_which_the_table_filled_are_left_out(tmp_path: Path) -> None:
    shop, ends = grown_up(tmp_path, [2] * 26, 64), []
    for number in range(64, 78):
        shop.land(day_of(number))
        reference = last_reference(shop.lake, "orders")
        assert reference is not None
        assert reference.quiet.start > FIRST + timedelta(26)
        ends.append(reference.quiet.end)
    assert sorted(ends.count(one) for one in set(ends)) == [7, 7]


def test_a_young_reference_of_which_every_day_was_taken_back_is_no_error(tmp_path: Path) -> None:
    shop = grown_up(tmp_path, [2] * 26, 64)
    reference = last_reference(shop.lake, "orders")
    assert reference is not None
    taken = pl.date_range(reference.quiet.start, shop.today, eager=True).to_list()
    shop.lake.write("orders", day_of(0).head(0), by="day", replace=taken)
    assert states(shop.land(day_of(65)), "volume") == {"learning"}


def test_a_table_whose_rows_rise_and_fall_with_the_year_keeps_its_whole_reference(tmp_path: Path) -> None:
    shop = Shop(tmp_path, history=1)
    rows = [round(120 + 80 * np.sin(number / 20)) for number in range(160)]
    shop.lake.write("orders", pl.concat([day_of(number).head(n) for number, n in enumerate(rows)]), by="day")
    shop.today = FIRST + timedelta(160)
    shop.look(promoted=shop.lake.clock())
    reference = last_reference(shop.lake, "orders")
    assert reference is not None
    assert reference.quiet.start == FIRST


def test_a_lasting_shift_drifts_in_its_column_alone(shop: Shop) -> None:
    found = [shop.land(day_of(HISTORY + number, shift=10.0)) for number in range(4)][-1]
    assert {one.column for one in found if one.state == "drifted"} == {"size"}


def test_a_column_that_vanished_and_one_that_became_a_text_fail_with_both_versions_named(shop: Shop) -> None:
    shop.lake.migrate("orders", lambda rows: rows.drop("shop").with_columns(pl.col("size").cast(pl.String)), "the till changed")
    found = {one.column: one for one in shop.look()[-1].verdicts if one.check == "drift"}
    assert found["shop"].state == found["size"].state == "failed"
    assert "vanished" in found["shop"].why
    assert "is String" in found["size"].why


def test_segments_of_a_column_that_vanished_hold_up_no_new_reference_and_are_unknown(tmp_path: Path) -> None:
    shop = Shop(tmp_path, Watched("orders", "day", segments=("shop",)))
    shop.lake.migrate("orders", lambda rows: rows.drop("shop"), "the till changed")
    shop.today += timedelta(1)
    found = {one.column: one for one in shop.look(promoted=shop.lake.clock())[-1].verdicts if one.check == "drift"}
    assert (found["size"].state, found["shop"].state) == ("passed", "unknown")
    assert found["shop"].why == "shop is declared to be watched by its segments, and orders@1 has no such column."


def test_a_date_column_may_have_the_name_of_what_is_counted(tmp_path: Path) -> None:
    lake = Lake(tmp_path, clock=lambda: datetime.combine(FIRST + timedelta(HISTORY), datetime.min.time(), UTC))
    for name in ("len", "rows"):
        lake.write(
            f"orders_{name}", pl.concat([day_of(number).head(9).rename({"day": name}) for number in range(HISTORY)]), by=name
        )
        judged = look(lake, Watched(f"orders_{name}", name), lake.version(f"orders_{name}")).judged
        assert len(judged) == HELD


def test_new_values_of_a_column_with_more_values_than_are_listed_are_told_to_go_unnoticed(shop: Shop) -> None:
    found = [one for one in shop.land(day_of(HISTORY)) if one.check == "categories"]
    assert [one.state for one in found] == ["passed"]
    assert "New values of code are not noticed" in found[0].why


def test_categories_that_cannot_be_listed_are_unknown_and_never_passed(tmp_path: Path) -> None:
    shop = Shop(tmp_path, Watched("orders", "day", columns=("code",)))
    assert states(shop.land(day_of(HISTORY)), "categories") == {"unknown"}


def test_a_table_whose_days_are_all_to_come_is_unknown_in_every_check(shop: Shop) -> None:
    shop.today = FIRST
    found = shop.look()[-1].verdicts
    assert {one.state for one in found} == {"unknown"}
    assert len(found) == 7


def test_a_reference_of_three_weeks_is_learning_and_says_from_when_it_can_judge(tmp_path: Path) -> None:
    lake = Lake(tmp_path, clock=lambda: datetime(2025, 1, 27, tzinfo=UTC))
    lake.write("orders", pl.concat([day_of(number) for number in range(15)]), by="day")
    found = [one for one in look(lake, WATCHED, lake.version("orders")).judged[-1].verdicts if one.check == "drift"]
    assert {one.state for one in found} == {"learning"}
    assert all("alerts start about" in one.why for one in found)


def test_a_day_that_was_replaced_is_counted_and_judged_anew(shop: Shop) -> None:
    bad = day_of(HISTORY).with_columns(size=pl.lit(9e9))
    assert states(shop.land(bad), "range") == {"failed"}
    assert states(shop.land(day_of(HISTORY)), "range") == {"passed"}


def test_a_day_of_the_reference_that_is_replaced_is_judged_and_so_is_its_correction(shop: Shop) -> None:
    old, good = FIRST + timedelta(30), day_of(30)
    for rows, state in ((good.with_columns(size=pl.lit(9e9)), "failed"), (good, "passed")):
        shop.lake.write("orders", rows, by="day", replace=[old])
        found = {one.day: one for one in shop.look()}
        assert list(found) == [old, FIRST + timedelta(HISTORY - 1)]
        assert states(list(found[old].verdicts), "range") == {state}


def test_the_same_rows_written_anew_are_not_judged_again(shop: Shop) -> None:
    rows = shop.lake.read("orders").collect()
    shop.lake.write("orders", rows.with_columns(size=pl.when(pl.col("day") == FIRST).then(0.0).otherwise(pl.col("size"))), by="day")
    assert [one.day for one in shop.look()] == [FIRST, FIRST + timedelta(HISTORY - 1)]


@pytest.mark.parametrize("promoted", [False, True])
def test_every_day_that_came_since_the_last_look_is_judged(shop: Shop, promoted: bool) -> None:  # noqa: FBT001 - drawn
    shop.today += timedelta(40)
    later = [day_of(HISTORY + number) for number in range(40)]
    later[2] = later[2].with_columns(size=pl.lit(9e9))
    shop.lake.write("orders", pl.concat(later), by="day", replace=[one["day"][0] for one in later])
    found = shop.look(promoted=shop.lake.clock() if promoted else None)
    assert [one.day for one in found] == [one["day"][0] for one in later]
    assert "failed" in states(list(found[2].verdicts), "range") | states(list(found[2].verdicts), "drift")


def test_a_history_that_comes_after_a_small_start_is_what_the_reference_is_drawn_from(tmp_path: Path) -> None:
    shop = Shop(tmp_path, history=10)
    shop.today += timedelta(50)
    later = [day_of(number) for number in range(10, HISTORY)]
    shop.lake.write("orders", pl.concat(later), by="day", replace=[one["day"][0] for one in later])
    assert len(shop.look()) == HELD
    reference = last_reference(shop.lake, "orders")
    assert reference is not None
    assert (reference.number, reference.quiet.end) == (2, FIRST + timedelta(HISTORY - HELD - 1))


def test_an_old_day_that_was_missing_leaves_a_new_reference_its_days(shop: Shop) -> None:
    hole = FIRST + timedelta(5)
    shop.lake.write("orders", day_of(5).head(0), by="day", replace=[hole])
    shop.look(promoted=later(shop))
    shop.lake.write("orders", day_of(5), by="day", replace=[hole])
    assert len(shop.look(promoted=later(shop))) == HELD


def later(shop: Shop) -> datetime:
    """The clock moves on by a day; when it is."""
    shop.today += timedelta(1)
    return shop.lake.clock()


def test_a_history_that_lands_later_is_counted_and_makes_no_day_suspect(shop: Shop) -> None:
    before = [day_of(-number).with_columns(size=pl.lit(None, pl.Float64)) for number in range(1, 30)]
    shop.lake.write("orders", pl.concat(before), by="day", replace=[one["day"][0] for one in before])
    assert [one.day for one in shop.look()] == [FIRST + timedelta(HISTORY - 1)]


def test_days_of_the_reference_that_are_replaced_by_another_mix_drift_without_a_kind(shop: Shop) -> None:
    days = [day_of(number).with_columns(shop=pl.lit("north")) for number in range(40, 44)]
    shop.lake.write("orders", pl.concat(days), by="day", replace=[one["day"][0] for one in days])
    found = [one for judged in shop.look() for one in judged.verdicts if one.check == "drift" and one.bad]
    assert "shop" in {one.column for one in found}
    assert {one.kind for one in found} == {None}


@pytest.mark.parametrize(("promoted", "number"), [(timedelta(0), 2), (timedelta(days=90), 1)])
def test_a_promotion_draws_a_new_reference_unless_it_is_ahead_of_the_clock(shop: Shop, promoted: timedelta, number: int) -> None:
    shop.land(day_of(HISTORY))
    shop.look(promoted=shop.lake.clock() + promoted)
    reference = last_reference(shop.lake, "orders")
    assert reference is not None
    assert reference.number == number


def test_rows_that_share_their_key_are_duplicates_and_without_the_key_it_is_unknown(tmp_path: Path) -> None:
    shop = Shop(tmp_path, Watched("orders", "day", key=("day", "code")))
    assert states(shop.land(day_of(HISTORY)), "duplicates") == {"passed"}
    twice = day_of(HISTORY + 1).with_columns(code=pl.lit("0001"))
    assert states(shop.land(twice), "duplicates") == {"failed"}
    shop.lake.migrate("orders", lambda rows: rows.drop("code"), "the till changed")
    assert states(list(shop.look()[-1].verdicts), "duplicates") == {"unknown"}


def test_a_text_that_became_a_number_is_no_member_and_a_number_that_became_a_text_has_no_range(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    rows = [day_of(HISTORY + number).with_columns(shop=pl.lit("north")) for number in range(3)]
    codes = {"north": 1, "south": 2, "east": 3}
    change = (pl.col("shop").replace_strict(codes, return_dtype=pl.Int64), pl.col("size").cast(pl.String))
    shop.lake.migrate("orders", lambda frame: frame.with_columns(change), "the till changed")
    found = [shop.land(one.with_columns(change)) for one in rows][-1]
    (members,) = [one for one in found if one.check == "members"]
    assert (members.state, "No column" in members.why) == ("passed", True)
    (ranged,) = [one for one in found if one.check == "range"]
    assert (ranged.state, "size" in ranged.why) == ("unknown", True)


def test_a_drift_is_kept_beside_a_column_that_vanished(shop: Shop) -> None:
    shop.lake.migrate("orders", lambda rows: rows.drop("shop"), "the till changed")
    for number in range(4):
        shop.land(day_of(HISTORY + number, shift=10.0).drop("shop"))
    (row,) = kept(shop.lake).rows(pl.col("check") == "drift").iter_rows(named=True)
    assert (row["state"], sorted(row["columns"])) == ("failed", ["shop", "size"])
    assert "shop vanished" in row["why"]
    assert "size: moved" in row["why"]


def test_a_level_that_fell_is_told_as_below_and_so_is_the_least_that_would_have_been_seen() -> None:
    fell = Found("units", "level", True, 1.5, 1.0, 2.0, 9, rising=False)
    assert (fell.told, fell.share(fell.smallest)) == ("60.0% below", 0.5)
    assert Found("units", "level", True, 0.07, 0.1, 2.0, 9).told == "7.0% above"


def test_a_jump_smaller_than_what_lasts_must_be_is_told_as_a_jump(shop: Shop) -> None:
    reference = last_reference(shop.lake, "orders")
    assert reference is not None
    rows = Rows(shop.lake.version("orders"), shop.lake.read("orders"), "day", shop.today, {})
    lasting, jumped = (
        _verdict(rows, reference, Found("size", "number", True, size, 0.5, 1.1, 9, jumped=True), None) for size in (0.6, 0.3)
    )
    assert "1.10 x the limit, 0.500 would have been seen." in lasting.why
    assert "it jumped, 1.10 x the limit of a jump. What comes slowly is seen from 0.500 on." in jumped.why
    assert (lasting.limit, jumped.limit) == (0.5, None)


@pytest.mark.parametrize(("effect", "said"), [(0.01, "and too small to be called drift"), (0.2, "That is no drift until it lasts")])
def test_what_passes_beyond_its_limit_says_why(shop: Shop, effect: float, said: str) -> None:
    reference = last_reference(shop.lake, "orders")
    assert reference is not None
    rows = Rows(shop.lake.version("orders"), shop.lake.read("orders"), "day", shop.today, {})
    beyond, within = (
        _verdict(rows, reference, Found("size", "number", False, effect, 0.5, strength, 9), None) for strength in (1.7, 0.9)
    )
    assert (beyond.state, said in beyond.why) == ("passed", True)
    assert "0.90 x the limit, 0.500 would have been seen." in within.why


def test_what_lies_beyond_on_one_day_alone_is_told_to_be_no_drift_until_it_lasts(shop: Shop) -> None:
    (found,) = (one for one in shop.land(day_of(HISTORY, shift=5.0)) if (one.check, one.column) == ("drift", "size"))
    assert found.state == "passed"
    assert "That is no drift until it lasts; a lasting 0." in found.why


@pytest.mark.parametrize(("shift", "number"), [(0.0, 2), (10.0, 1)])
def test_twice_as_many_days_draw_a_new_reference_unless_a_column_drifts(tmp_path: Path, shift: float, number: int) -> None:
    shop = Shop(tmp_path)
    later = [day_of(HISTORY + one, shift=shift) for one in range(HISTORY)]
    for rows in (later[:10], later[10:], later[-1:]):  # what drifts is seen before there are twice as many days
        shop.today = rows[-1]["day"][0] + timedelta(1)
        shop.lake.write("orders", pl.concat(rows), by="day", replace=[one["day"][0] for one in rows])
        shop.look()
    reference = last_reference(shop.lake, "orders")
    assert reference is not None
    assert reference.number == number


@pytest.mark.parametrize(
    ("column", "became"),
    [
        (column, dtype)
        for column in ("size", "shop")
        for dtype in (pl.List(pl.Float64), pl.Date, pl.Binary, pl.Boolean)
        if (column, dtype) != ("shop", pl.Boolean)  # both are counted by their values
    ],
    ids=str,
)
def test_a_column_of_another_type_fails_alone_and_the_others_are_judged_on(shop: Shop, column: str, became: Any) -> None:
    empty = pl.lit(None, became)
    shop.lake.migrate("orders", lambda rows: rows.with_columns(empty.alias(column)), "the till changed")
    found = shop.look()[-1].verdicts
    assert [(one.column, one.state) for one in found if one.check == "drift" and one.bad] == [(column, "failed")]
    assert states(list(found), "nulls") == {"passed"}
    assert states(list(found), "range") == {"unknown" if column == "size" else "passed"}


def test_a_column_that_was_taken_away_is_forgotten_and_a_new_one_watched_when_twice_as_many_days_are_known(shop: Shop) -> None:
    shop.lake.migrate("orders", lambda rows: rows.drop("shop").with_columns(region=pl.lit("x")), "shops are regions now")
    bad = []
    for rows in ([0], range(1, HISTORY)):
        later = pl.concat([day_of(HISTORY + one).drop("shop").with_columns(region=pl.lit("x")) for one in rows])
        shop.today = FIRST + timedelta(HISTORY + rows[-1] + 1)
        shop.lake.write("orders", later, by="day", replace=later["day"].unique().to_list())
        bad.append({one.column for one in shop.look()[-1].verdicts if one.bad})
    assert bad == [{"shop"}, set()]
    reference = last_reference(shop.lake, "orders")
    assert reference is not None
    assert set(reference.cells.columns) == {"size", "region", "code"}


def test_a_table_of_one_row_a_day_is_watched(tmp_path: Path) -> None:
    lake = Lake(tmp_path, clock=lambda: datetime(2025, 4, 1, tzinfo=UTC))
    rows = pl.concat([day_of(number).head(1) for number in range(80)])
    lake.write("orders", rows, by="day")
    found = look(lake, WATCHED, lake.version("orders")).judged[-1].verdicts
    assert {one.column for one in found if one.check == "drift"} >= {"size", "shop"}
    assert {one.state for one in found if one.check == "nulls"} == {"passed"}


def test_a_table_of_days_and_times_alone_is_unknown_and_says_why(tmp_path: Path) -> None:
    lake = Lake(tmp_path, clock=lambda: datetime(2025, 4, 1, tzinfo=UTC))
    lake.write("orders", day_of(1).select("day"), by="day")
    found = look(lake, WATCHED, lake.version("orders")).judged[-1].verdicts
    assert {(one.state, one.why) for one in found} == {
        ("unknown", "orders@0 has no column but days and times: there is nothing to compare.")
    }


def test_a_column_whose_name_looks_like_one_of_its_segments_keeps_its_name(tmp_path: Path) -> None:
    shop = Shop(tmp_path, Watched("orders", "day", segments=("shop",)))
    shop.lake.migrate("orders", lambda rows: rows.rename({"size": "size | shop=north"}), "an odd name")
    shop.today += timedelta(1)
    shop.look(promoted=shop.lake.clock())
    day = day_of(HISTORY).rename({"size": "size | shop=north"})
    named = {(one.column, one.segment) for one in shop.land(day) if one.check == "drift"}
    assert {("size | shop=north", None), ("size | shop=north", "shop=north"), ("shop", None)} <= named


def test_a_shift_in_one_shop_alone_is_named_with_it(tmp_path: Path) -> None:
    shop = Shop(tmp_path, Watched("orders", "day", segments=("shop",)))
    moved = pl.when(pl.col("shop") == "east").then(pl.col("size") + 12).otherwise("size")
    found = [shop.land(day_of(HISTORY + number).with_columns(size=moved)) for number in range(5)][-1]
    named = [(one.column, one.segment) for one in found if one.state == "drifted"]
    assert ("size", "shop=east") in named
    assert ("size", "shop=north") not in named


def test_what_drifted_is_ranked_by_what_it_is_worth_and_says_so(shop: Shop) -> None:
    both = [pl.col("size") + 10, pl.when(pl.int_range(pl.len()) < 150).then(pl.lit("east")).otherwise("shop").alias("shop")]
    for worth in ({"size": ("units", 9.0), "shop": ("units", 0.1)}, {"size": ("units", 0.1), "shop": ("units", 9.0)}):
        for number in range(4):
            shop.today = FIRST + timedelta(HISTORY + number + 1)
            rows = day_of(HISTORY + number).with_columns(both)
            shop.lake.write("orders", rows, by="day", replace=[rows["day"][0]])
            judged = look(shop.lake, WATCHED, shop.lake.version("orders"), worth).judged[-1]
        drifted = [one for one in judged.verdicts if one.state == "drifted"]
        assert [str(one.column) for one in drifted] == sorted(worth, key=lambda name: -worth[name][1])
        assert [one.extra["impact"] for one in drifted] == [
            pytest.approx(one.measured * worth[str(one.column)][1])  # type: ignore[operator]
            for one in drifted
        ]


def test_three_days_that_are_few_together_fail_though_none_is_alone(shop: Shop) -> None:
    found = [shop.land(day_of(HISTORY + number).head(ROWS * 7 // 10)) for number in range(4)]
    volumes = [one for day in found for one in day if one.check == "volume"]
    assert volumes[0].state == "passed"
    assert volumes[-1].state == "failed"
    assert (volumes[-1].limit, volumes[-1].measured) > (0.99, 1.0)
    assert "The last 3 days together lie" in volumes[-1].why
    assert "% below what is usual" in volumes[-1].why


def test_a_text_of_rare_values_is_told_as_such_and_has_not_passed(shop: Shop) -> None:
    found = [one for one in shop.land(day_of(HISTORY)) if one.check == "drift"]
    assert "code" not in {one.column for one in found}
    assert "Of code most values are too rare to be compared." in found[0].why
    alone = Shop(shop.lake.store.root / "alone", Watched("orders", "day", columns=("code",)))  # type: ignore[attr-defined]
    assert {one.state for one in alone.land(day_of(HISTORY)) if one.check == "drift"} == {"unknown"}


def test_a_number_without_a_finite_value_is_unknown(tmp_path: Path) -> None:
    lake = Lake(tmp_path, clock=lambda: datetime(2025, 4, 1, tzinfo=UTC))
    rows = pl.concat([day_of(number) for number in range(80)])
    lake.write(
        "orders", rows.with_columns(size=pl.when(pl.col("day") < date(2025, 3, 20)).then(float("inf")).otherwise(1.0)), by="day"
    )
    found = [one for one in look(lake, WATCHED, lake.version("orders")).judged[-1].verdicts if one.column == "size"]
    assert [(one.check, one.state) for one in found if one.check == "drift"] == [("drift", "unknown")]
    assert found[-1].why == "size has no finite value in the reference, so that none are compared."


def test_a_look_by_a_clock_gone_astray_does_not_hide_what_is_found_when_it_is_right_again(shop: Shop) -> None:
    astray = shop.today + timedelta(40)
    rows = pl.concat([day_of(HISTORY + number) for number in range(40)])
    shop.today = astray
    shop.lake.write("orders", rows, by="day", replace=rows["day"].unique().to_list())
    shop.look()
    shop.today = FIRST + timedelta(HISTORY + 1)
    shop.land(day_of(HISTORY).with_columns(size=pl.lit(9e9)))
    held = kept(shop.lake).rows(pl.col("check") == "range").row(0, named=True)
    assert (held["state"], held["day"]) == ("failed", FIRST + timedelta(HISTORY))


@pytest.mark.parametrize(("late", "newest"), [(1, 2), (7, 8), (8, 1)])
def test_a_day_is_judged_when_it_has_come_true_and_after_a_week_though_it_has_not(tmp_path: Path, late: int, newest: int) -> None:
    lake, known = Lake(tmp_path, clock=lambda: datetime(2025, 3, 7, tzinfo=UTC)), date(2025, 3, 7) - timedelta(late)
    days = [date(2025, 3, 7) + timedelta(number) for number in range(-60, 5)]
    rows = pl.DataFrame({"day": days * 20, "price": range(1300)}).with_columns(sold=pl.when(pl.col("day") < known).then("price"))
    lake.write("plan", rows, by="day")
    found = look(lake, Watched("plan", "day"), lake.version("plan")).judged[-1]
    assert found.day == date(2025, 3, 7) - timedelta(newest)
    assert states(list(found.verdicts), "nulls") == {"failed" if newest == 1 else "passed"}
    lake.write("plan", rows.filter(pl.col("day") == known).with_columns(sold="price"), by="day", replace=[known])
    assert known in {one.day for one in look(lake, Watched("plan", "day"), lake.version("plan")).judged}
