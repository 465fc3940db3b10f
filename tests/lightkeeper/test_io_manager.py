"""The IO manager in a foreign project: frames in and out, partitions, conflicts, what the commit and the UI say."""

import subprocess
import threading
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest

import lightkeeper as lk
from lightkeeper.home import HomeRecord
from lightkeeper.orchestrate.code import git_state

MONDAY = date(2026, 3, 2)
DAYS = dg.DailyPartitionsDefinition("2026-03-01")
BY_DAY = {"partition_expr": "day"}
PRICES = pl.DataFrame({"product": ["nut", "bolt"], "pence": [3, 7]})
_FIRST, _LAST = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"


@pytest.fixture
def lake(tmp_path: Path) -> lk.Lake:
    return lk.Lake(tmp_path / "lake")


def run(lake: lk.Lake, *assets: Any, home: Path | None = None, **words: Any) -> dg.ExecuteInProcessResult:
    manager = lk.LakeIOManager(root=lake.root, home=str(home) if home else None)
    return dg.materialize(list(assets), resources={"io_manager": manager}, raise_on_error=False, **words)


def why(result: dg.ExecuteInProcessResult) -> str:
    """What the first step that failed says."""
    assert not result.success
    error = next(event for event in result.all_events if event.is_step_failure).step_failure_data.error
    assert error is not None
    return str((error.cause or error).message)


def shown(result: dg.ExecuteInProcessResult, asset: str) -> dict[str, Any]:
    (made,) = (one for one in result.get_asset_materialization_events() if one.asset_key == dg.AssetKey(asset.split("/")))
    return {name: value.value for name, value in made.materialization.metadata.items()}


def days_of(lake: lk.Lake, table: str) -> list[tuple[date, int]]:
    return lake.read(table).select("day", "x").sort("day", "x").collect().rows()


@dg.asset
def prices() -> pl.DataFrame:
    return PRICES


@dg.asset
def dear(prices: pl.LazyFrame) -> pl.LazyFrame:
    assert isinstance(prices, pl.LazyFrame)
    return prices.filter(pl.col("pence") > 5)


@dg.asset
def dearest(dear: pl.DataFrame) -> pl.DataFrame:
    assert isinstance(dear, pl.DataFrame)
    return dear.tail(1)


@dg.asset
def plainly(dear) -> pl.LazyFrame:  # noqa: ANN001 - an asset without annotations
    assert isinstance(dear, pl.LazyFrame)
    return dear


@dg.asset(partitions_def=DAYS, metadata=BY_DAY)
def daily(context: dg.AssetExecutionContext) -> pl.DataFrame:
    start, end = context.partition_time_window
    return pl.DataFrame({"day": [start.date() + timedelta(n) for n in range((end - start).days)]}).with_columns(
        x=pl.lit(1, pl.Int64)
    )


# ---- frames


def test_frames_and_lazy_frames_go_in_and_out_as_the_annotations_ask(lake: lk.Lake) -> None:
    assert run(lake, prices, dear, dearest, plainly).success
    assert lake.read("dearest").collect().rows() == [("bolt", 7)]
    assert [str(one.version) for one in lake.commit("dearest@0").inputs] == ["dear@0"]


def test_a_part_of_the_assets_reads_what_stands_in_the_lake(lake: lk.Lake) -> None:
    run(lake, prices, dear)
    lake.write("prices", pl.DataFrame({"product": ["lamp"], "pence": [99]}))
    assert run(lake, prices.to_source_asset(), dear).success
    assert lake.read("dear").collect().rows() == [("lamp", 99)]
    assert [str(one.version) for one in lake.history("dear")[0].inputs] == ["prices@1"]


def test_an_asset_whose_input_was_never_made_says_what_to_materialize(lake: lk.Lake) -> None:
    assert "table 'prices' had no version when this run started. Materialize prices first" in why(
        run(lake, prices.to_source_asset(), dear)
    )


def test_a_value_is_read_outside_a_run(lake: lk.Lake) -> None:
    run(lake, prices, dear)
    defs = dg.Definitions([prices, dear], resources={"io_manager": lk.LakeIOManager(root=lake.root)})
    assert defs.load_asset_value("prices", python_type=pl.DataFrame).equals(PRICES)
    assert isinstance(defs.load_asset_value("dear"), pl.LazyFrame)


def test_an_output_of_another_type_is_refused_by_its_name(lake: lk.Lake) -> None:
    @dg.asset
    def odd() -> dict[str, int]:
        return {"a": 1}

    assert "asset odd gave a dict: give a polars DataFrame or LazyFrame, or an lk.TableOutput" in why(run(lake, odd))
    assert lake.tables() == []


def test_an_input_of_another_type_is_refused_by_its_name(lake: lk.Lake) -> None:
    @dg.asset
    def odd(prices: list[int]) -> pl.DataFrame:
        return pl.DataFrame(prices)

    assert "odd takes the table prices as a List" in why(run(lake, prices, odd))


def test_an_asset_that_gives_nothing_writes_nothing(lake: lk.Lake) -> None:
    @dg.asset
    def silent():  # noqa: ANN202 - an asset without annotations
        return None

    @dg.asset
    def none() -> None: ...

    result = run(lake, silent, none)
    assert result.success
    assert (lake.tables(), "table version" in shown(result, "silent")) == ([], False)


def test_a_key_of_several_parts_becomes_one_table_name(lake: lk.Lake) -> None:
    @dg.asset(key=["shop", "till", "lines"])
    def lines() -> pl.DataFrame:
        return PRICES

    @dg.asset(ins={"lines": dg.AssetIn(key=["shop", "till", "lines"])}, key_prefix="shop")
    def total(lines: pl.LazyFrame) -> pl.LazyFrame:
        return lines.select(pl.col("pence").sum())

    result = run(lake, lines, total)
    assert lake.tables() == ["shop__till__lines", "shop__total"]
    assert (shown(result, "shop/total")["inputs"], lake.read("shop__total").collect().item()) == ("shop__till__lines@0", 10)
    assert lake.commit("shop__total@0").asset == "shop/total"


# ---- partitions


def test_a_partition_replaces_its_days_and_no_others(lake: lk.Lake) -> None:
    assert run(lake, daily, tags={_FIRST: "2026-03-02", _LAST: "2026-03-05"}).success
    lake.write("daily", pl.DataFrame({"day": [date(2026, 3, 3)], "x": [9]}), by="day", replace=[date(2026, 3, 3)])
    assert run(lake, daily, partition_key="2026-03-05").success
    assert run(lake, daily, partition_key="2026-03-09").success
    assert [(day.day, x) for day, x in days_of(lake, "daily")] == [(2, 1), (3, 9), (4, 1), (5, 1), (9, 1)]
    assert lake.history("daily")[0].replaced == (date(2026, 3, 9),)


def test_a_partitioned_asset_reads_the_partitions_of_the_run_and_an_unpartitioned_one_all(lake: lk.Lake) -> None:
    @dg.asset(partitions_def=DAYS, metadata=BY_DAY)
    def same_day(daily: pl.LazyFrame) -> pl.LazyFrame:
        return daily

    @dg.asset
    def every_day(daily: pl.DataFrame) -> pl.DataFrame:
        return daily

    run(lake, daily, tags={_FIRST: "2026-03-02", _LAST: "2026-03-05"})
    assert run(lake, daily, same_day, every_day, partition_key="2026-03-04").success
    assert ([day.day for day, _ in days_of(lake, "same_day")], len(days_of(lake, "every_day"))) == ([4], 4)


def test_a_week_is_seven_days_and_a_day_in_a_time_zone_is_one(lake: lk.Lake) -> None:
    @dg.asset(partitions_def=dg.WeeklyPartitionsDefinition("2026-03-01"), metadata=BY_DAY)
    def weekly(context: dg.AssetExecutionContext) -> pl.DataFrame:
        return pl.DataFrame({"day": [date.fromisoformat(context.partition_key) + timedelta(n) for n in range(7)], "x": range(7)})

    @dg.asset(partitions_def=dg.DailyPartitionsDefinition("2026-03-01", timezone="Europe/London"), metadata=BY_DAY)
    def british(context: dg.AssetExecutionContext) -> pl.DataFrame:
        return pl.DataFrame({"day": [date.fromisoformat(context.partition_key)], "x": [1]})

    assert run(lake, weekly, partition_key="2026-03-08").success
    assert run(lake, british, partition_key="2026-03-29").success  # it has 23 hours
    assert lake.commit("weekly@0").replaced == tuple(date(2026, 3, 8 + n) for n in range(7))
    assert lake.commit("british@0").replaced == (date(2026, 3, 29),)


def test_a_partitioned_asset_that_does_not_say_its_date_column_is_refused(lake: lk.Lake) -> None:
    @dg.asset(partitions_def=DAYS)
    def mute() -> pl.DataFrame:
        return PRICES

    assert 'asset mute is partitioned and does not say by which date column: metadata={"partition_expr": "day"}' in why(
        run(lake, mute, partition_key="2026-03-02")
    )
    assert lake.tables() == []


PARTITIONS = {
    "hours": (dg.HourlyPartitionsDefinition("2026-03-01-00:00"), "2026-03-02-04:00", "shorter than a day are not kept apart"),
    "names": (dg.StaticPartitionsDefinition(["a", "b"]), "a", "a StaticPartitionsDefinition has no days of its own"),
    "both": (
        dg.MultiPartitionsDefinition({"day": DAYS, "shop": dg.StaticPartitionsDefinition(["a", "b"])}),
        dg.MultiPartitionKey({"day": "2026-03-02", "shop": "a"}),
        "writing one partition would replace others",
    ),
}


@pytest.mark.parametrize(("partitions", "key", "said"), PARTITIONS.values(), ids=PARTITIONS)
def test_partitions_that_are_no_whole_days_are_refused_and_nothing_is_replaced(
    partitions: Any, key: str, said: str, lake: lk.Lake
) -> None:
    lake.write("apart", pl.DataFrame({"day": [MONDAY], "x": [1]}), by="day")

    @dg.asset(partitions_def=partitions, metadata=BY_DAY)
    def apart() -> pl.DataFrame:
        return pl.DataFrame({"day": [MONDAY], "x": [2]})

    assert said in why(run(lake, apart, partition_key=key))
    assert days_of(lake, "apart") == [(MONDAY, 1)]


@pytest.mark.parametrize(
    ("day", "said"),
    [("2026-02-01", "before the partitions definition start"), ("2226-03-02", "not among those declared, or lie in the future")],
)
def test_a_day_that_is_no_partition_yet_or_was_never_one_writes_nothing(day: str, said: str, lake: lk.Lake) -> None:
    assert said in why(run(lake, daily, tags={_FIRST: day, _LAST: day}))
    assert lake.tables() == []


def test_24_hours_are_not_taken_for_a_day(lake: lk.Lake) -> None:
    @dg.asset(partitions_def=PARTITIONS["hours"][0], metadata=BY_DAY)
    def hourly() -> pl.DataFrame:
        return pl.DataFrame({"day": [MONDAY], "x": [2]})

    found = run(lake, hourly, tags={_FIRST: "2026-03-02-00:00", _LAST: "2026-03-02-23:00"})
    assert "shorter than a day" in why(found)


def test_rows_of_another_day_than_the_partition_are_refused(lake: lk.Lake) -> None:
    @dg.asset(partitions_def=DAYS, metadata=BY_DAY)
    def astray() -> pl.DataFrame:
        return pl.DataFrame({"day": [MONDAY], "x": [2]})

    assert "1 rows are not of the replaced days, the first is of 2026-03-02" in why(run(lake, astray, partition_key="2026-03-03"))


# ---- two runs at once


def test_two_runs_that_write_disjoint_days_of_one_table_at_once_both_land(lake: lk.Lake) -> None:
    results = at_once(lake, MONDAY, MONDAY + timedelta(1))
    assert [one.success for one in results] == [True, True]
    assert [day for day, _ in days_of(lake, "contested")] == [MONDAY, MONDAY + timedelta(1)]


@pytest.mark.parametrize("day", [None, MONDAY])
def test_of_two_runs_that_overwrite_the_same_at_once_the_second_is_told_to_run_again(day: date | None, lake: lk.Lake) -> None:
    first, second = at_once(lake, day, day)
    assert first.success
    assert f"lightkeeper.errors.Conflict: contested@1 was committed by run {first.run_id}" in why(second)
    assert "Nothing was written: run it again, from contested@1" in why(second)
    assert days_of(lake, "contested") == [(MONDAY, 1)]


def at_once(lake: lk.Lake, *days: date | None) -> list[dg.ExecuteInProcessResult]:
    """Two runs that both started before either wrote; each replaces its day, or the whole table. The first writes first."""
    lake.write("contested", pl.DataFrame({"day": [MONDAY], "x": [0]}), by="day")
    started, written = threading.Barrier(2, timeout=60), threading.Event()
    results: dict[int, dg.ExecuteInProcessResult] = {}

    def one(number: int, day: date | None) -> None:
        @dg.asset(metadata=BY_DAY)
        def contested() -> lk.TableOutput:
            started.wait()
            assert number == 1 or written.wait(60)
            frame = pl.DataFrame({"day": [day or MONDAY], "x": [number]})
            return lk.TableOutput(frame, days=None if day is None else frozenset({day}))

        results[number] = run(lake, contested)
        written.set()

    threads = [threading.Thread(target=one, args=(number, day)) for number, day in enumerate(days, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [results[1], results[2]]


# ---- what is recorded and shown


def test_the_same_content_again_makes_no_version_and_the_ui_says_so(lake: lk.Lake) -> None:
    run(lake, prices, dear)
    lake.write("prices", pl.concat([PRICES, pl.DataFrame({"product": ["pin"], "pence": [1]})]))
    result = run(lake, prices.to_source_asset(), dear)
    said = shown(result, "dear")
    assert (said["table version"], said["inputs"]) == ("dear@0", "prices@1")
    assert (said["rows written"], said["bytes written"]) == (0, 0)
    assert "no new version" in said["unchanged"]
    row = lake.unchanged.rows().row(0, named=True)
    assert (row["table"], row["version"], row["inputs"], row["run_id"]) == ("dear", 0, ["prices@1"], result.run_id)


def test_the_ui_shows_version_inputs_rows_bytes_schema_and_the_command_that_shows_the_same(lake: lk.Lake) -> None:
    said, made = shown(run(lake, prices, dear), "dear"), lake.commit("dear@0")
    assert (said["table version"], said["inputs"], said["dagster/row_count"]) == ("dear@0", "prices@0", 1)
    assert said["bytes written"] == made.bytes_written > 0
    assert [(one.name, one.type) for one in said["dagster/column_schema"].columns] == [("product", "String"), ("pence", "Int64")]
    assert said["show"] == "`lightkeeper table show dear@0`"
    assert str(made.content_hash).startswith(said["content hash"])
    assert said["known at"] == made.known_at.isoformat()
    assert said["dagster/uri"].endswith("lake/dear")


def test_the_commit_names_asset_run_and_code_and_needs_no_dagster(lake: lk.Lake) -> None:
    result = run(lake, prices, dear)
    made = lake.commit("dear@0")
    assert (made.asset, made.run_id) == ("dear", result.run_id)
    assert made.record["inputs"] == [{"table": "prices", "version": 0}]


def test_a_declared_code_version_is_recorded_and_else_a_hash_of_the_functions_text(lake: lk.Lake) -> None:
    @dg.asset(code_version="7")
    def declared() -> pl.DataFrame:
        return PRICES

    def made(text: str) -> dg.AssetsDefinition:
        Path(lake.root).mkdir(exist_ok=True)
        source = Path(lake.root) / f"code_{text}.py"
        source.write_text(f"import polars as pl\ndef hashed():\n    return pl.DataFrame({{'x': [{text}]}})\n")
        space: dict[str, Any] = {}
        exec(compile(source.read_text(), str(source), "exec"), space)  # noqa: S102 - a module of another day
        return dg.asset(space["hashed"])

    run(lake, declared, made("1"))
    run(lake, made("1"))
    run(lake, made("2"))
    versions = [one.code_version for one in lake.history("hashed")]
    assert lake.commit("declared@0").code_version == "7"
    assert len(versions) == 2 == len(set(versions))
    assert all(one and one.startswith("source:") for one in versions)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A git repository of its own, and the process standing in it."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "assets.py").write_text("x = 1\n")
    git(folder, "init", "-q")
    git(folder, "add", ".")
    git(folder, "-c", "user.name=a", "-c", "user.email=a@b.c", "commit", "-qm", "first")
    monkeypatch.chdir(folder)
    yield folder
    git_state.cache_clear()


def git(folder: Path, *words: str) -> str:
    return subprocess.run(["git", "-C", folder, *words], capture_output=True, text=True, check=True).stdout.strip()


def recorded(lake: lk.Lake, rows: int) -> tuple[str | None, bool | None]:
    git_state.cache_clear()

    @dg.asset
    def numbers() -> pl.DataFrame:
        return pl.DataFrame({"x": range(rows)})

    assert run(lake, numbers).success
    made = lake.history("numbers")[0]
    return made.git_commit, made.git_dirty


def test_the_commit_of_the_project_is_recorded_and_whether_its_tree_was_dirty(
    lake: lk.Lake, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = git(project, "rev-parse", "HEAD")
    monkeypatch.setenv("GIT_DIR", str(project / "of another repository"))  # as in a hook of it
    assert recorded(lake, 1) == (head, False)
    (project / "data.csv").write_text("of no concern\n")
    assert recorded(lake, 2) == (head, False)
    (project / "new.py").write_text("code that git does not know\n")
    assert recorded(lake, 3) == (head, True)
    (project / "new.py").unlink()
    (project / "assets.py").write_text("x = 2\n")
    assert recorded(lake, 4) == (head, True)


def test_a_project_outside_git_records_none(lake: lk.Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert recorded(lake, 1) == (None, None)


def test_the_time_of_recording_is_that_of_the_homes_clock(lake: lk.Lake, tmp_path: Path) -> None:
    home, now = lk.Home(tmp_path / "home"), datetime(2031, 5, 6, tzinfo=UTC)
    home.create(HomeRecord("sample", "small", 1, now.date(), now))
    assert run(lake, prices, home=home.root).success
    assert lake.commit("prices@0").known_at == now


# ---- computing only what changed


def test_an_asset_is_told_the_days_that_changed_since_it_was_last_computed(lake: lk.Lake) -> None:
    told: list[Any] = []

    @dg.asset(metadata=BY_DAY, code_version="1")
    def total(daily: lk.TableInput) -> lk.TableOutput:
        told.append((daily.changed, daily.before and daily.former().collect().height))
        return lk.TableOutput(daily.frame.with_columns(x=pl.lit(len(told), pl.Int64)))

    run(lake, daily, total, tags={_FIRST: "2026-03-02", _LAST: "2026-03-05"})
    for day in (3, 5):
        rows = pl.DataFrame({"day": [date(2026, 3, day)], "x": [9]})
        lake.write("daily", rows, by="day", replace=[date(2026, 3, day)])
    run(lake, daily.to_source_asset(), total)
    run(lake, daily.to_source_asset(), total)
    assert told == [(None, None), ({date(2026, 3, 3), date(2026, 3, 5)}, 4), (frozenset(), 4)]


def test_nothing_is_said_to_be_known_after_other_code_or_a_whole_new_table_or_a_hand_written_version(lake: lk.Lake) -> None:
    told: list[Any] = []

    def total(version: str) -> dg.AssetsDefinition:
        @dg.asset(name="total", metadata=BY_DAY, code_version=version)
        def asset(daily: lk.TableInput) -> lk.TableOutput:
            told.append(daily.changed)
            return lk.TableOutput(daily.frame.with_columns(x=pl.lit(len(told), pl.Int64)))

        return asset

    run(lake, daily, total("1"), partition_key="2026-03-02")
    run(lake, daily.to_source_asset(), total("2"))
    lake.write("daily", pl.DataFrame({"day": [MONDAY], "x": [5]}), by="day")
    run(lake, daily.to_source_asset(), total("2"))
    lake.write("total", pl.DataFrame({"day": [MONDAY], "x": [99]}), by="day")
    run(lake, daily.to_source_asset(), total("2"))
    assert told == [None] * 4


def test_a_partitioned_asset_is_never_told_that_nothing_changed(lake: lk.Lake) -> None:
    told: list[Any] = []

    @dg.asset
    def rates() -> pl.DataFrame:
        return PRICES

    @dg.asset(partitions_def=DAYS, metadata=BY_DAY, code_version="1")
    def converted(rates: lk.TableInput) -> pl.DataFrame:
        told.append(rates.changed)
        return pl.DataFrame({"day": [MONDAY + timedelta(len(told))], "x": [1]})

    run(lake, rates)
    for day in (3, 4):
        assert run(lake, rates.to_source_asset(), converted, partition_key=f"2026-03-0{day}").success
    assert told == [None, None]
