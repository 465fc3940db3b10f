"""The lake's promises: versions, reading back, incremental hashes, times, names, sizes."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings

from lightkeeper.errors import BadName, Conflict, NoSuchTable, NoSuchVersion, Refused, SchemaChanged, TableVersionGone
from lightkeeper.lake.handles import handle_of
from lightkeeper.lake.ledger import Ledger
from lightkeeper.lake.retention import CHECKPOINT_EVERY
from lightkeeper.lake.sources import DeltaSource
from lightkeeper.lake.table import Lake
from lightkeeper.measure.content import digest, sums
from lightkeeper.values import Stamp, TableVersion
from tests.lightkeeper.histories import Step, frame, histories, play, rows_of

JAN = [date(2026, 1, n) for n in range(1, 31)]


def sales(day: date, units: int = 1) -> pl.DataFrame:
    return pl.DataFrame({"day": [day], "units": [units]})


def noon(day: int) -> Stamp:
    return Stamp(known_at=datetime(2026, 1, day, 12, tzinfo=UTC))


def data_files(table: Path) -> set[str]:
    return {path.name for path in table.glob("*.parquet")}


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(histories())
def test_every_version_of_a_random_history_reads_as_the_plain_rows_it_was_written_from(
    tmp_path_factory: pytest.TempPathFactory, steps: list[Step]
) -> None:
    lake = Lake(tmp_path_factory.mktemp("lake"))
    for version, rows in play(lake, steps).items():
        assert rows_of(lake.read("t", version)) == rows


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(histories())
def test_the_hash_kept_from_commit_to_commit_equals_that_of_a_recount(
    tmp_path_factory: pytest.TempPathFactory, steps: list[Step]
) -> None:
    lake = Lake(tmp_path_factory.mktemp("lake"))
    for version in play(lake, steps):
        made, read = lake.commit(TableVersion("t", version)), lake.read("t", version).collect()
        assert made.sums == sums(read)
        assert (made.content_hash, made.rows) == (digest(read.schema, sums(read)), read.height)


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(histories(4))
def test_order_of_rows_and_layout_of_files_do_not_change_the_hash(
    tmp_path_factory: pytest.TempPathFactory, steps: list[Step]
) -> None:
    lake = Lake(tmp_path_factory.mktemp("lake"))
    last = list(play(lake, steps))[-1]
    rows = lake.read("t", last).collect()
    one = lake.write("shuffled", rows.sample(fraction=1, shuffle=True, seed=len(steps)))
    two = lake.write("by_month", rows, by="day")
    assert lake.commit(one).content_hash == lake.commit(two).content_hash == lake.commit(TableVersion("t", last)).content_hash


def test_the_same_content_again_makes_no_version_but_a_row_in_the_ledger(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    up = lake.write("up", sales(JAN[0]))
    first = lake.write("sales", pl.concat([sales(JAN[0]), sales(JAN[1], 2)]))
    files = data_files(tmp_path / "sales")
    stamp = Stamp(run_id="run 7", code_version="2", known_at=datetime(2026, 2, 1, tzinfo=UTC))
    again = lake.write("sales", pl.concat([sales(JAN[1], 2), sales(JAN[0])]), inputs=[up], stamp=stamp)
    row = lake.unchanged.rows().row(0, named=True)
    assert (again, lake.version("sales"), data_files(tmp_path / "sales")) == (first, first, files)
    assert row == {
        "table": "sales", "version": 0, "inputs": ["up@0"], "run_id": "run 7", "code_version": "2",
        "known_at": datetime(2026, 2, 1, tzinfo=UTC), "content_hash": lake.commit(first).content_hash,
    }  # fmt: skip
    assert lake.write("sales", sales(JAN[1], 2), by="day", replace=[JAN[1]]) == first


def test_two_equal_rows_are_not_one_row(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    lake.write("t", sales(JAN[0]))
    twice = lake.append("t", sales(JAN[0]))
    assert twice.version == 1
    assert lake.read("t").collect().height == 2


def test_rows_without_a_day_stay_when_a_day_beside_them_is_replaced(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    lake.write("t", pl.DataFrame({"day": [JAN[0], None], "units": [1, 2]}))
    lake.write("t", sales(JAN[0], 9), by="day", replace=[JAN[0]])
    assert sorted(lake.read("t").collect()["units"]) == [2, 9]


def test_a_day_replaced_alone_touches_only_files_of_its_month(tmp_path: Path) -> None:
    lake, start = Lake(tmp_path), date(2026, 1, 1)
    lake.write("t", pl.DataFrame({"day": [start + timedelta(n) for n in range(120)], "units": range(120)}), by="day")
    lake.write("t", sales(date(2026, 3, 3), 7), by="day", replace=[date(2026, 3, 3)])
    log = [json.loads(line) for line in (tmp_path / "t/_delta_log/00000000000000000001.json").read_text().splitlines()]
    touched = [one[kind]["path"] for one in log for kind in ("add", "remove") if kind in one]
    months = {pl.read_parquet(tmp_path / "t" / path)["day"].dt.month().unique().item() for path in touched}
    assert (len(touched), months) == (2, {3})
    assert lake.read("t").filter(pl.col("units") == 7).collect().height == 2


def test_eight_small_files_of_a_month_become_one_and_no_file_of_another_month(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    lake.write("t", sales(date(2025, 12, 1)), by="day")
    counts = []
    for day in JAN[:20]:
        lake.write("t", sales(day), by="day", replace=[day])
        counts.append(lake.read("t").collect().height)
    files = dict(_spans(tmp_path / "t", lake))
    assert counts == list(range(2, 22))
    assert len(files) <= 9
    assert all(first.month == last.month for first, last in files.values())


def _spans(table: Path, lake: Lake) -> list[tuple[str, tuple[date, date]]]:
    from deltalake import DeltaTable

    paths = pl.DataFrame(DeltaTable(table, version=lake.version(table.name).version).get_add_actions())["path"]
    days = ((path, pl.read_parquet(table / path)["day"]) for path in paths)
    return [(path, (day.min(), day.max())) for path, day in days]  # type: ignore[misc]


def test_a_day_without_rows_becomes_empty(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    lake.write("t", pl.concat([sales(JAN[0]), sales(JAN[1])]), by="day")
    made = lake.write("t", sales(JAN[0]).clear(), by="day", replace=[JAN[0]])
    assert lake.read("t").collect()["day"].to_list() == [JAN[1]]
    assert (lake.commit(made).replaced, lake.commit(made).rows_written) == ((JAN[0],), 1)


def test_rows_of_other_days_than_those_replaced_are_refused_and_nothing_is_written(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    lake.write("t", sales(JAN[0]), by="day")
    files = data_files(tmp_path / "t")
    for wrong in (sales(JAN[1]), sales(JAN[0]).with_columns(day=pl.lit(None, pl.Date))):
        with pytest.raises(Refused, match="1 rows are not of the replaced days"):
            lake.write("t", wrong, by="day", replace=[JAN[0]])
    assert (lake.version("t").version, data_files(tmp_path / "t")) == (0, files)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"replace": [JAN[0]]}, "needs by="),
        ({"replace": [datetime(2026, 1, 1)], "by": "day"}, "takes days"),  # noqa: DTZ001 - naive on purpose
        ({"replace": ["2026-01-01"], "by": "day"}, "takes days"),
        ({"replace": [JAN[0]], "by": "units"}, "must be a Date column"),
        ({"replace": [JAN[0]], "by": "nowhere"}, "must be a Date column"),
        ({"stamp": Stamp(extra={"x": float("nan")})}, "cannot be recorded as JSON"),
        ({"stamp": Stamp(extra={"x": object()})}, "cannot be recorded as JSON"),
    ],
)
def test_a_malformed_write_is_refused_and_nothing_is_written(tmp_path: Path, words: dict[str, object], said: str) -> None:
    lake = Lake(tmp_path)
    with pytest.raises(Refused, match=said):
        lake.write("t", sales(JAN[0]), **words)  # type: ignore[arg-type]
    assert not data_files(tmp_path / "t")
    assert not lake.exists("t")


def test_what_is_no_frame_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="not from a dict"):
        Lake(tmp_path).write("t", {"x": [1]})  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["", "..", "../up", "a/b", "a b", "_hidden", "1st", "é", "a" * 101, "a\n", "a@1", "CON\0"])
def test_a_name_that_cannot_name_a_table_is_refused(tmp_path: Path, name: str) -> None:
    lake = Lake(tmp_path / "lake")
    for ask in (lake.read, lake.version, lake.history, lake.exists, lambda n: lake.write(n, sales(JAN[0]))):
        with pytest.raises(BadName):
            ask(name)
    assert list(tmp_path.iterdir()) == []


def test_a_table_that_is_not_there_is_named_with_those_that_are(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    (tmp_path / "a_folder").mkdir()
    (tmp_path / "a_file").write_text("no table")
    with pytest.raises(NoSuchTable, match="There are: none yet"):
        lake.read("a_folder")
    lake.write("sales", sales(JAN[0]))
    with pytest.raises(NoSuchTable, match="Did you mean sales"):
        lake.read("sale")
    with pytest.raises(NoSuchTable, match="'a_file'"):
        lake.history("a_file")
    assert lake.tables() == ["sales"]


def test_a_version_that_does_not_exist_is_named_with_the_newest(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    lake.write("t", sales(JAN[0]))
    for at in (1, -1, 10**9, TableVersion("t", 1)):
        with pytest.raises(NoSuchVersion, match="the newest is t@0"):
            lake.read("t", at)
    for odd in ("0", True, 0.0, TableVersion("other", 0)):
        with pytest.raises(Refused):
            lake.read("t", odd)  # type: ignore[arg-type]
    with pytest.raises(Refused, match="not both"):
        lake.read("t", 0, as_of=JAN[0])


def test_a_version_whose_files_were_vacuumed_says_so_at_read(tmp_path: Path) -> None:
    from deltalake import DeltaTable

    lake = Lake(tmp_path)
    lake.write("t", sales(JAN[0]))
    lake.write("t", sales(JAN[1]))
    DeltaTable(tmp_path / "t").vacuum(retention_hours=0, dry_run=False, enforce_retention_duration=False)
    with pytest.raises(TableVersionGone, match=r"t@0: 1 of its 1 files are not there any more"):
        lake.read("t", 0)
    assert lake.read("t", 1).collect()["day"].to_list() == [JAN[1]]


def test_a_newest_version_without_its_file_says_so_at_read(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    lake.write("t", sales(JAN[0]))
    next((tmp_path / "t").glob("*.parquet")).unlink()
    with pytest.raises(TableVersionGone, match="t@0"):
        lake.read("t")


def test_a_version_is_opened_once_and_anew_where_another_table_stands_in_its_place(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    lake.write("t", sales(JAN[0]))
    first = lake.version("t")
    assert handle_of(lake.store, first) is handle_of(lake.store, first)
    shutil.rmtree(tmp_path / "t")
    lake.write("t", sales(JAN[1]))
    assert lake.version("t") == first
    assert lake.read("t").collect()["day"].to_list() == [JAN[1]]


def test_a_lazy_frame_of_a_version_stays_of_it_while_the_table_is_written(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    lake.write("t", sales(JAN[0]), by="day")
    before = lake.read("t")
    lake.write("t", sales(JAN[1]), by="day", replace=[JAN[1]])
    assert (before.collect().height, lake.read("t", 0).collect().height, lake.read("t").collect().height) == (1, 1, 2)


@pytest.mark.parametrize("folder", ["my project", "Jörg's lake", "a#b+c"])
def test_a_lake_may_lie_in_a_folder_of_any_name(tmp_path: Path, folder: str) -> None:
    lake = Lake(tmp_path / folder)
    lake.write("t", sales(JAN[0]), by="day")
    lake.write("t", sales(JAN[1]), by="day", replace=[JAN[1]])
    assert lake.read("t").filter(pl.col("day") > JAN[0]).collect()["day"].to_list() == [JAN[1]]
    assert DeltaSource("t", str(tmp_path / folder / "t")).read(0).collect()["day"].to_list() == [JAN[0]]
    rows = Ledger(lake.store, "events", {"n": pl.Int64()})
    rows.add([{"n": 1}])
    assert rows.rows()["n"].to_list() == [1]


def test_as_of_reads_what_was_known_then(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    for day in (2, 3, 5):
        lake.append("t", sales(JAN[day]), stamp=noon(day))
    assert lake.resolve("t", as_of=date(2026, 1, 2)).version == 0
    assert lake.resolve("t", as_of=datetime(2026, 1, 3, 11, tzinfo=UTC)).version == 0
    assert lake.resolve("t", as_of=datetime(2026, 1, 3, 12, tzinfo=UTC)).version == 1
    assert lake.resolve("t", as_of=datetime(2026, 1, 3, 12)).version == 1  # noqa: DTZ001 - naive means UTC
    assert lake.resolve("t", as_of=date(2026, 1, 4)).version == 1
    assert lake.resolve("t", as_of=date(9999, 12, 31)).version == 2
    with pytest.raises(NoSuchVersion, match="was not known on 2026-01-01: its first version was recorded at 2026-01-02T12"):
        lake.read("t", as_of=date(2026, 1, 1))


def test_known_at_never_falls_when_the_clock_goes_back(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    for day in (9, 4, 10, 1):
        lake.append("t", sales(JAN[0], day), stamp=noon(day))
    known = [made.known_at.day for made in reversed(lake.history("t")) if made.known_at]
    assert known == [9, 9, 10, 10]
    assert lake.resolve("t", as_of=date(2026, 1, 9)).version == 1


def test_a_frame_of_no_rows_makes_a_table_that_keeps_its_columns(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    lake.write("t", sales(JAN[0]).clear())
    lake.write("by_day", sales(JAN[0]).clear(), by="day")
    assert lake.read("t").collect().schema == sales(JAN[0]).schema
    assert lake.read("by_day").collect().height == 0
    assert lake.append("t", sales(JAN[0])).version == 1
    assert lake.append("t", sales(JAN[0]).clear()).version == 1


def test_a_frame_of_no_columns_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SchemaChanged, match="no columns"):
        Lake(tmp_path).write("t", pl.DataFrame())


def test_one_row_and_a_cell_of_fifty_megabytes_come_back(tmp_path: Path) -> None:
    lake, cell = Lake(tmp_path), b"0123456789" * 5_000_000
    lake.write("t", pl.DataFrame({"name": ["model"], "cell": [cell]}))
    assert lake.read("t").collect()["cell"][0] == cell
    assert lake.read("t").select("name").collect().item() == "model"


def test_a_lazy_frame_that_fails_half_way_leaves_nothing(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    lake.write("t", sales(JAN[0]))
    files = data_files(tmp_path / "t")
    late = pl.LazyFrame({"day": [JAN[0]] * 1_200_000, "text": ["1"] * 1_199_999 + ["x"]})
    failing = late.select("day", units=pl.col("text").cast(pl.Int64))
    with pytest.raises(pl.exceptions.InvalidOperationError):
        lake.write("t", failing)
    assert (data_files(tmp_path / "t"), lake.version("t").version) == (files, 0)


def test_a_table_opens_past_its_checkpoint_and_its_first_version_is_still_there(tmp_path: Path) -> None:
    lake, versions = Lake(tmp_path), CHECKPOINT_EVERY + 5
    for number in range(versions):
        lake.append("t", sales(JAN[0], number))
    assert list((tmp_path / "t/_delta_log").glob("*.checkpoint.parquet"))
    assert lake.version("t").version == versions - 1
    assert lake.schema("t") == {"day": pl.Date(), "units": pl.Int64()}
    assert lake.read("t", 0).collect()["units"].to_list() == [0]
    assert [made.version.version for made in lake.history("t", 3)] == [versions - 1, versions - 2, versions - 3]


def test_a_migration_is_a_version_like_any_other_and_old_versions_keep_their_schema(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    lake.write("t", sales(JAN[0]))
    made = lake.migrate("t", lambda rows: rows.with_columns(price=pl.lit(1.5)), "prices are known now")
    assert lake.read("t").collect().columns == ["day", "units", "price"]
    assert lake.read("t", 0).collect().columns == ["day", "units"]
    said = lake.commit(made)
    assert (said.mode, said.extra, [str(one.version) for one in said.inputs]) == (
        "migrate", {"why": "prices are known now"}, ["t@0"],
    )  # fmt: skip
    with pytest.raises(SchemaChanged, match="'price' is missing"):
        lake.append("t", sales(JAN[1]))
    with pytest.raises(Refused, match="says why"):
        lake.migrate("t", lambda rows: rows, " ")


def test_a_migration_can_bring_the_first_time_without_a_zone(tmp_path: Path) -> None:
    lake, moment = Lake(tmp_path), datetime(2026, 1, 1, 8)  # noqa: DTZ001 - naive is what it is about
    lake.write("t", sales(JAN[0]))
    lake.migrate("t", lambda rows: rows.with_columns(at=pl.lit(moment, pl.Datetime("us"))), "times")
    lake.append("t", sales(JAN[1]).with_columns(at=pl.lit(moment, pl.Datetime("us"))))
    assert lake.read("t").collect()["at"].to_list() == [moment, moment]
    assert [made.keeps_content for made in lake.history("t")] == [False, False, True, False]


def test_what_changed_between_versions_is_days_or_everything(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    lake.write("t", pl.concat([sales(day) for day in JAN]), by="day")
    for day in (JAN[3], JAN[5]):
        lake.write("t", sales(day, 5), by="day", replace=[day])
    assert lake.changed("t", 0, 2) == {JAN[3], JAN[5]}
    assert lake.changed("t", 2, 2) == frozenset()
    lake.append("t", sales(JAN[0]))
    assert lake.changed("t", 0, 3) is None


def test_a_home_below_a_tilde_is_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    Lake("~/lake").write("t", frame([]))
    assert (tmp_path / "lake" / "t").is_dir()


def test_of_two_appends_that_are_right_only_on_top_of_one_version_one_lands(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    lake.append("versions", pl.DataFrame({"number": [1]}))
    lake.append("versions", pl.DataFrame({"number": [2]}), base=0, alone=True)
    with pytest.raises(Conflict, match="versions@1 was committed"):
        lake.append("versions", pl.DataFrame({"number": [2]}), base=0, alone=True)
    assert sorted(lake.read("versions").collect()["number"]) == [1, 2]
