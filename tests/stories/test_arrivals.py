"""Stories of the sensor `arrivals` on a real Dagster instance: what it asks for, once, and what comes of running it."""

from __future__ import annotations

import os
import shutil
from datetime import date, timedelta
from pathlib import Path

import pytest

from assets.sample import SAMPLE
from tests.harness import HEADER, Story, line

LANDS = ["sales", "sales_rejected"]
REFRESHED = [*LANDS, "daily_demand", "demand_features", "demand_forecast", "demand_outcome", "demand_explanation"]


@pytest.fixture
def day(fresh: Story) -> date:
    """A day of the sample's time, some weeks after its first; the clock stands behind it."""
    found = SAMPLE.days(fresh.home)[60]
    fresh.clock_after(found + timedelta(30))
    return found


def put(story: Story, day: date, quantity: int = 6) -> str:
    return story.put(f"sales-{day}.csv", HEADER + line(day, quantity=quantity)).name


def ticks(story: Story, count: int = 3) -> list[str]:
    return [str(request.run_key) for _ in range(count) for request in story.tick()]


def test_a_new_file_is_asked_for_once(fresh: Story, day: date) -> None:
    put(fresh, day)
    assert fresh.tick() == []
    assert fresh.skipped == f"Seen once, waiting until unchanged: sales-{day}.csv."
    (one,) = fresh.tick()
    assert one.tags["dagster/asset_partition_range_start"] == one.tags["dagster/asset_partition_range_end"] == str(day)
    assert fresh.tick() == []
    assert fresh.skipped == "Nothing new has arrived."


def test_a_file_whose_run_was_deleted_while_it_waited_is_asked_for_again(fresh: Story, day: date) -> None:
    put(fresh, day)
    (first,) = [*fresh.tick(), *fresh.tick()]
    job = fresh.defs.resolve_implicit_global_asset_job_def()
    waits = fresh.instance.create_run_for_job(job, tags=dict(first.tags))
    assert ticks(fresh) == []
    fresh.instance.delete_run(waits.run_id)
    (again,) = [request for _ in range(3) for request in fresh.tick()]
    assert again.run_key == first.run_key  # Dagster knows it no more
    assert ticks(fresh) == []


def test_launching_what_was_asked_for_lands_the_day_and_refreshes_what_depends_on_it_with_the_model_that_is_there(
    story: Story, next_day: date
) -> None:
    story.release(next_day, next_day)
    (result,) = story.arrive()
    assert result.success
    assert {name: story.newest(name) for name in REFRESHED} == {name: f"{name}@1" for name in REFRESHED}
    assert story.newest("demand_model") == "demand_model@1"
    assert story.rows("demand_forecast")["origin"].max() == next_day
    assert ticks(story) == []


@pytest.mark.nightly
def test_in_a_home_without_a_model_the_run_trains_one(story: Story, next_day: date) -> None:
    for table in ("demand_model", "demand_forecast", "_ledger/decisions"):
        shutil.rmtree(Path(story.lake.root) / table)
    story.release(next_day, next_day)
    (result,) = story.arrive()
    assert result.success
    assert set(story.rows("demand_forecast")["model_version"]) == {"demand:v2"}


@pytest.mark.nightly  # a run that fails, twice over
def test_what_fails_below_the_landing_is_asked_for_again_without_landing_it_twice(story: Story, next_day: date) -> None:
    model = Path(story.lake.root) / "demand_model"
    model.rename(model.with_name("_away"))
    model.write_text("no table")
    story.release(next_day, next_day)
    (failed,) = story.arrive()
    assert not failed.success
    assert story.newest("sales") == "sales@1"
    model.unlink()
    model.with_name("_away").rename(model)
    (again,) = story.tick()
    assert story.tick() == []
    asked = {key.to_user_string() for key in again.asset_selection or []}
    returns = {"return_features", "returns_forecast", "returns_outcome", "returns_explanation"}
    assert asked == {*REFRESHED, *returns} - set(LANDS)
    assert story.launch(again).success
    assert (story.newest("demand_forecast"), story.newest("sales"), ticks(story)) == ("demand_forecast@1", "sales@1", [])
    assert story.files()["file"].to_list().count(f"sales-{next_day}.csv") == 1


def test_content_counts_and_not_names_or_times(story: Story) -> None:
    sales = story.home.landing / "sales"
    newest = max(sales.glob("*.csv"))
    assert ticks(story) == []
    os.utime(newest, ns=(0, newest.stat().st_mtime_ns + 10**9))
    assert ticks(story) == []
    shutil.copy(newest, newest.with_stem(f"{newest.stem}-again"))
    assert ticks(story) == []


@pytest.mark.nightly
def test_corrected_content_is_asked_for_and_so_is_the_correction_taken_back(story: Story) -> None:
    newest = max((story.home.landing / "sales").glob("*.csv"))
    original, corrected = newest.read_text(), newest.read_text().replace("United Kingdom", "Wales")
    for text in (corrected, original):
        story.put(newest.name, text)
        (result,) = story.arrive()
        assert result.success
    assert ticks(story) == []
    hashes = [one.content_hash for one in story.lake.history("sales")]
    assert hashes[0] == hashes[2] != hashes[1]


def test_a_file_that_grows_waits_and_one_that_is_being_copied_is_not_seen(fresh: Story, day: date) -> None:
    fresh.put(f"sales-{day}.csv.part", HEADER)
    fresh.put(f".sales-{day}.csv", HEADER)
    assert ticks(fresh) == []
    for lines in range(1, 4):
        fresh.put(f"sales-{day}.csv", HEADER + line(day) * lines)
        assert fresh.tick() == []
    assert len(fresh.tick()) == 1


def test_a_refused_file_is_asked_for_once_recorded_with_its_rule_and_landed_when_it_was_mended(fresh: Story, day: date) -> None:
    fresh.put(f"sales-{day}.csv", (HEADER + line(day))[:-9])
    (refused,) = fresh.arrive()
    assert not refused.success
    assert ticks(fresh) == []
    row = fresh.files().row(0, named=True)
    assert (row["state"], row["rule"], row["row"], row["run_id"]) == ("refused", "file_is_complete", 2, refused.run_id)
    assert "ends without a newline" in row["why"]
    put(fresh, day)
    fresh.arrive()
    assert fresh.files()["state"].to_list() == ["refused", "landed"]
    assert fresh.rows("sales")["day"].to_list() == [day]


@pytest.mark.nightly
def test_a_run_that_fails_for_another_reason_is_asked_for_three_times_and_the_tick_then_says_so(fresh: Story, day: date) -> None:
    (Path(fresh.lake.root) / "sales").parent.mkdir(exist_ok=True)
    (Path(fresh.lake.root) / "sales").write_text("no table can be made here")
    put(fresh, day)
    keys = []
    for _ in range(6):
        for request in fresh.tick():
            keys.append(str(request.run_key))
            assert not fresh.launch(request).success
    assert [key[-2:] for key in keys] == ["#1", "#2", "#3"]
    assert fresh.skipped == f"Given up after 3 runs that failed, touch the file to try again: sales-{day}.csv."


def test_the_sensor_is_quiet_while_a_command_lands(fresh: Story, day: date) -> None:
    put(fresh, day)
    with fresh.home.landing_lock():
        assert ticks(fresh) == []
        assert fresh.skipped == "A command is landing files into this home."
    assert len(ticks(fresh)) == 1


def test_neighbouring_days_come_in_one_run_and_far_ones_in_their_own(fresh: Story, day: date) -> None:
    for n in (0, 1, 4, 20):
        put(fresh, day + timedelta(n))
    asked = [request for _ in range(2) for request in fresh.tick()]
    spans = [(one.tags["dagster/asset_partition_range_start"], one.tags["dagster/asset_partition_range_end"]) for one in asked]
    far = str(day + timedelta(20))
    assert spans == [(str(day), str(day + timedelta(4))), (far, far)]
    assert len({one.run_key for one in asked}) == 2


def test_files_that_cannot_be_landed_are_named_in_the_tick(fresh: Story) -> None:
    now, first = fresh.home.now().date(), SAMPLE.days(fresh.home)[0]
    for name in ("notes.csv", f"sales-{first - timedelta(1)}.csv", f"sales-{now + timedelta(90)}.csv"):
        fresh.put(name, HEADER + line(first))
    assert ticks(fresh) == []
    assert "Without one day (YYYY-MM-DD) in the name, and so never landed: notes.csv." in fresh.skipped
    assert f"Before the first partition, reload the code location to land them: sales-{first - timedelta(1)}.csv." in fresh.skipped
    assert f"Of a day that has not come yet: sales-{now + timedelta(90)}.csv." in fresh.skipped


def test_what_is_no_readable_file_does_not_stop_the_sensor(fresh: Story, day: date) -> None:
    folder = fresh.home.landing / "sales"
    (folder / f"sales-{day}.csv").mkdir()
    os.mkfifo(folder / f"sales-{day + timedelta(10)}.csv")
    (folder / f"sales-{day + timedelta(20)}.csv").symlink_to(folder / "nowhere.csv")
    put(fresh, day + timedelta(30))
    asked = [request for _ in range(2) for request in fresh.tick()]
    assert len(asked) == 4
    assert not fresh.launch(asked[1]).success
    assert fresh.files().select("rule", "state").rows() == [("file_is_a_file", "refused")]
    assert ticks(fresh) == []


def test_a_cursor_of_another_release_is_forgotten_and_nothing_lands_twice(story: Story) -> None:
    story.cursor = '{"sales": {"of another form": 1}}'
    assert ticks(story) == []


def test_a_folder_without_a_home_says_how_to_make_one(fresh: Story) -> None:
    shutil.rmtree(fresh.home.lake)
    (fresh.home.root / "home.json").rename(fresh.home.root / "away.json")
    assert fresh.tick() == []
    assert "Make one: lightkeeper build" in fresh.skipped
