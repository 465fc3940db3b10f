"""Stories of files that land: corrected, repeated, broken; what became of each line, and what was made again because of it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest

from assets import LANDINGS
from assets.contracts import Sale
from assets.sample import SAMPLE
from lightkeeper.orchestrate.running import RunFailed
from tests.harness import HEADER, Story, copied, line

RULES = {"invoice_is_six_digits", "quantity_is_not_zero", "quantity_is_plausible", "price_is_positive", "price_is_plausible"}


def file_of(story: Story, day: date) -> Path:
    return story.home.landing / "sales" / f"sales-{day}.csv"


def correct(story: Story, day: date) -> None:
    """The file of a day is corrected: every second line goes, the others are doubled."""
    lines = pl.read_csv(file_of(story, day), infer_schema=False).gather_every(2)
    twice = (pl.col("quantity").cast(pl.Int64) * 2).cast(pl.String)
    story.put(f"sales-{day}.csv", lines.with_columns(twice).write_csv())


def last_tuesday(story: Story) -> date:
    days = SAMPLE.trading_days(story.home)
    return next(day for day in reversed(days) if day < story.home.now().date() and day.isoweekday() == 2)


def records(path: Path) -> pl.DataFrame:
    """What a file holds: its name and the numbers of its records."""
    lines = pl.read_csv(path, infer_schema=False).height
    return pl.DataFrame({"file": [path.name] * lines, "row": range(2, lines + 2)})


def hashes(story: Story, *tables: str) -> list[str | None]:
    return [story.lake.commit(story.lake.version(table)).content_hash for table in tables]


def made_from_scratch(story: Story, folder: Path) -> Story:
    """Another home with the same landed tables, in which everything below them is computed in one go."""
    other = copied(story.home, folder)
    for table in ("daily_demand", "demand_features"):
        shutil.rmtree(Path(other.lake.root) / table)
    other.make("daily_demand", "demand_features")
    other.instance.dispose()
    return other


def test_a_correction_of_last_tuesday_replaces_one_day_and_keeps_the_old_version_readable(story: Story) -> None:
    tuesday, before = last_tuesday(story), story.rows("sales")
    correct(story, tuesday)
    story.land(tuesday)
    assert story.changed_days("sales", 0) == {tuesday}
    assert story.rows("sales", 0).equals(before)
    of_tuesday = [rows.filter(pl.col("day") == tuesday).height for rows in (before, story.rows("sales"))]
    assert of_tuesday[1] == pytest.approx(of_tuesday[0] / 2, abs=5)
    assert [one.name for one in story.lake.commit("sales@1").sources] == [f"sales-{tuesday}.csv"]


def test_what_depends_on_a_corrected_day_changes_on_the_days_that_the_correction_reaches_and_no_others(story: Story) -> None:
    tuesday, now = last_tuesday(story), story.home.now().date()
    correct(story, tuesday)
    ran = story.land(tuesday)
    assert story.changed_days("daily_demand", 0) == {tuesday}
    reached = story.changed_days("demand_features", 0)
    assert {tuesday, tuesday + timedelta(28)} <= reached
    assert {day for day in reached if day != tuesday} <= {tuesday + timedelta(n) for n in range(28, 28 + 182)}
    assert max(reached) == now - timedelta(1) + timedelta(28)
    assert {story.lake.commit(ran.versions[name]).mode for name in ("sales", "daily_demand", "demand_features")} == {"replace"}


@pytest.mark.nightly  # many landings of many days
def test_days_that_come_singly_together_late_and_corrected_leave_what_one_computation_from_scratch_makes(
    story: Story, tmp_path: Path
) -> None:
    days = [day for day in SAMPLE.trading_days(story.home) if day >= story.home.now().date()]
    story.release(days[0], days[0])
    story.land(days[0])
    story.release(days[1], days[8])  # a week and its closed Saturday in one run
    story.land(days[1], days[8])
    for day in (days[0], days[0] - timedelta(140)):  # yesterday's file, and one from before products entered the panel
        near = min(SAMPLE.trading_days(story.home), key=lambda one, day=day: abs(one - day))
        correct(story, near)
        story.land(near)
    whole = made_from_scratch(story, tmp_path / "other")
    assert hashes(story, "daily_demand", "demand_features") == hashes(whole, "daily_demand", "demand_features")
    assert {one.mode for one in story.lake.history("demand_features")[:-1]} == {"replace"}


@pytest.mark.nightly
def test_a_correction_that_moves_a_products_entry_is_followed_from_the_one_entry_to_the_other(story: Story, tmp_path: Path) -> None:
    entered = story.rows("daily_demand").group_by("product").agg(pl.col("day").min()).sort("day")
    product, entry = entered.filter(pl.col("day") > entered["day"].min() + timedelta(3)).row(0)
    lines = pl.read_csv(file_of(story, entry), infer_schema=False)
    without = lines.filter(pl.col("stock_code").str.to_uppercase() != product)
    story.put(f"sales-{entry}.csv", without.write_csv())
    story.land(entry)
    first = story.rows("daily_demand").filter(pl.col("product") == product)["day"].min()
    assert first > entry
    assert set(story.lake.commit(story.lake.version("daily_demand")).replaced) >= {entry, first - timedelta(1)}
    whole = made_from_scratch(story, tmp_path / "other")
    assert hashes(story, "daily_demand", "demand_features") == hashes(whole, "daily_demand", "demand_features")


def test_every_landed_line_stands_in_the_sales_or_among_the_rejected_with_a_named_rule_and_never_in_both(history: Story) -> None:
    paths = sorted((history.home.landing / "sales").glob("*.csv"))
    landed = pl.concat([records(path) for path in paths])
    taken = history.rows("sales").select(pl.format("sales-{}.csv", pl.col("day")).alias("file"), "row")
    refused = history.rows("sales_rejected").select("file", "row")
    both = pl.concat([taken, refused])
    assert both.is_unique().all()
    assert landed.height == both.height == history.files()["rows"].sum()
    assert landed.join(both, on=["file", "row"], how="anti").is_empty()
    assert refused.height == history.files()["rejected"].sum() > 0


def test_the_rules_of_rejected_lines_are_those_of_the_contract(history: Story) -> None:
    rules = history.rows("sales_rejected")["rule"].str.split(",").explode()
    assert RULES & set(rules)
    own = {name for name in vars(Sale) if not name.startswith("_")}
    forms = {"quantity_is_int", "stock_code_is_given"}
    assert set(rules) - own - forms == set()
    assert rules.null_count() == 0


def test_the_same_file_again_makes_no_version_of_anything(story: Story) -> None:
    tuesday, before = last_tuesday(story), story.lake.versions()
    ran = story.land(tuesday)
    assert story.lake.versions() == before
    assert {"sales", "sales_rejected", "daily_demand", "demand_features", "demand_forecast"} < set(ran.versions)
    assert set(ran.versions) == set(story.lake.unchanged.rows().filter(pl.col("run_id") == ran.run_id)["table"])


COLUMNS = "file_has_the_declared_columns"
BAD: dict[str, tuple[Callable[[date], bytes], str]] = {
    "cut in the middle": (lambda day: (HEADER + line(day) + line(day)).encode()[:-15], "file_is_complete"),
    "of no bytes": (lambda _: b"", "file_is_not_empty"),
    "header only": (lambda _: HEADER.encode(), "file_is_not_empty"),
    "another encoding": (lambda day: (HEADER + line(day).replace("WHITE", "CAF\u00c9")).encode("latin-1"), "file_is_utf8"),
    "a missing column": (lambda day: (HEADER + line(day)).replace(",country", "").encode(), COLUMNS),
    "an additional column": (lambda day: (HEADER + line(day)).replace("country", "country,shop").encode(), COLUMNS),
    "records of another length": (lambda day: (HEADER + line(day) + "1,2\n").encode(), "records_are_whole"),
    "dates in another form": (lambda day: (HEADER + line(day)).replace(str(day), "23/10/2026").encode(), "invoiced_at_is_datetime"),
    "thousands separators": (lambda day: (HEADER + line(day, quantity='"1,200"')).encode(), "quantity_is_int"),
    "beyond the size limit": (lambda day: (HEADER + line(day) * 40).encode(), "file_is_within_the_size_limit"),
}  # fmt: skip


def test_bad_files_are_refused_by_name_and_rule_while_the_good_one_beside_them_lands(fresh: Story) -> None:
    small = Story(fresh.home, landings=[replace(LANDINGS[0], max_bytes=1_000)])
    first = SAMPLE.days(small.home)[1]
    days = {what: first + timedelta(n) for n, what in enumerate(BAD)}
    for what, (content, _) in BAD.items():
        small.put(f"sales-{days[what]}.csv", content(days[what]))
    good = first + timedelta(len(BAD))
    small.put(f"sales-{good}.csv", HEADER + line(good))
    small.only_land(first, good)
    refused = small.files().filter(pl.col("state") == "refused")
    found = dict(refused.select("part", "rule").iter_rows())
    assert {what: found[day] for what, day in days.items()} == {what: rule for what, (_, rule) in BAD.items()}
    assert refused["why"].null_count() == 0
    assert small.rows("sales")["day"].to_list() == [good]
    assert {file_of(small, day).exists() for day in days.values()} == {True}


def test_reordered_columns_land_as_they_are_named(fresh: Story) -> None:
    day = SAMPLE.days(fresh.home)[1]
    text = pl.read_csv((HEADER + line(day)).encode(), infer_schema=False)
    fresh.put(f"sales-{day}.csv", text.select(reversed(text.columns)).write_csv())
    fresh.only_land(day)
    assert fresh.rows("sales").row(0, named=True)["quantity"] == 6


def test_a_run_in_which_every_file_is_refused_fails_with_file_row_and_rule_and_leaves_the_table_as_it_was(fresh: Story) -> None:
    day = SAMPLE.days(fresh.home)[1]
    fresh.put(f"sales-{day}.csv", HEADER + line(day))
    fresh.only_land(day)
    fresh.put(f"sales-{day}.csv", HEADER + line(day, quantity='"1,200"'))
    with pytest.raises(RunFailed, match=rf"sales-{day}\.csv row 2: .*'1,200' \(rule quantity_is_int\)\. Mend the file"):
        fresh.only_land(day)
    assert fresh.newest("sales") == "sales@0"
    assert fresh.files()["state"].to_list() == ["landed", "refused"]


def test_a_day_without_a_file_says_what_the_folder_has(fresh: Story) -> None:
    day = SAMPLE.days(fresh.home)[1]
    with pytest.raises(RunFailed, match=f"No file for {day} in .*it has no file whose name holds a day"):
        fresh.only_land(day)
    fresh.put(f"sales-{day}.csv", HEADER + line(day))
    with pytest.raises(RunFailed, match=f"it has files from {day} to {day}. Nothing was changed"):
        fresh.only_land(day + timedelta(1))


def test_of_two_files_for_one_day_the_newest_speaks_and_the_other_is_recorded_as_superseded(fresh: Story) -> None:
    day = SAMPLE.days(fresh.home)[1]
    fresh.put(f"sales-{day}.csv", HEADER + line(day))
    fresh.put(f"sales-{day}-corrected.csv", HEADER + line(day, quantity=9))
    fresh.only_land(day)
    assert fresh.rows("sales")["quantity"].to_list() == [9]
    assert dict(fresh.files().select("state", "file").iter_rows()) == {
        "landed": f"sales-{day}-corrected.csv", "superseded": f"sales-{day}.csv",
    }  # fmt: skip


def test_a_disk_that_refuses_leaves_no_file_marked_as_landed(fresh: Story) -> None:
    day = SAMPLE.days(fresh.home)[1]
    fresh.put(f"sales-{day}.csv", HEADER + line(day))
    (Path(fresh.lake.root) / "sales").write_text("no table can be made here")
    with pytest.raises(RunFailed):
        fresh.only_land(day)
    assert fresh.files().is_empty()
    (Path(fresh.lake.root) / "sales").unlink()
    fresh.only_land(day)
    assert fresh.files()["state"].to_list() == ["landed"]
