"""`lightkeeper table list | show | history | lineage` on a real lake of four tables."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from deltalake import write_deltalake
from typer.testing import CliRunner, Result

from lightkeeper.cli import app
from lightkeeper.errors import NoSuchTable, NoSuchVersion, Refused
from lightkeeper.home import Home, HomeRecord
from lightkeeper.lake.table import Lake
from lightkeeper.values import Input, LandedFile, Stamp, TableVersion

FIRST = date(2026, 6, 1)
DAYS = [FIRST + timedelta(n) for n in range(10)]
COMMIT = "0123456789abcdef0123456789abcdef01234567"
Run = Callable[..., Result]


def landed(day: date) -> LandedFile:
    return LandedFile(f"sales-{day}.csv", hashlib.sha256(str(day).encode()).hexdigest(), 400, 2, day)


def sales(*days: date, quantity: int = 1) -> pl.DataFrame:
    return pl.DataFrame({"day": [day for day in days for _ in range(2)], "row": [2, 3] * len(days)}).with_columns(
        product=pl.lit("85123A"), quantity=pl.lit(quantity, pl.Int64), price_gbp=pl.lit(2.5)
    )


def stamp(asset: str, *files: LandedFile, **extra: object) -> Stamp:
    return Stamp(asset, "1a2b3c4d-run", "source:ab12cd34ef56", COMMIT, git_dirty=True, files=files, extra=extra)


class World:
    """A home with holidays@0, sales@0..1, demand@0..1 and forecast@0; its clock goes on a day with each write."""

    def __init__(self, root: Path) -> None:
        self.home = Home(root / "home")
        self.now = datetime(2026, 6, 11, tzinfo=UTC)
        self.home.create(HomeRecord("sample", "small", 700, FIRST, self.now))
        self.lake = Lake(self.home.lake, clock=self.tick)
        self.holidays = self.lake.write("holidays", pl.DataFrame({"day": [FIRST], "closed": [True]}), stamp=stamp("holidays"))
        self.first = self.land(*DAYS)
        self.demand(self.first)
        self.second = self.land(DAYS[3], quantity=7)
        self.demand(self.second)
        outside = Input(TableVersion("weather", 12), "s3://elsewhere/weather")
        self.lake.write("forecast", pl.DataFrame({"units": [1.5]}), inputs=[TableVersion("demand", 1), outside],
                        stamp=stamp("forecast", model_version="demand:v3"))  # fmt: skip

    def tick(self) -> datetime:
        self.now += timedelta(1)
        return self.now

    def land(self, *days: date, quantity: int = 1) -> TableVersion:
        files = stamp("sales", *map(landed, days))
        return self.lake.write("sales", sales(*days, quantity=quantity), by="day", replace=days, stamp=files)

    def demand(self, read: TableVersion) -> TableVersion:
        frame = self.lake.read("sales", read).group_by("product", "day").agg(units=pl.col("quantity").sum())
        return self.lake.write("demand", frame, inputs=[read, self.holidays], stamp=stamp("demand"))


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    def command(*words: str, columns: int = 80, home: Path = tmp_path / "home") -> Result:
        return CliRunner().invoke(app, ["table", *words, "--home", str(home)], env={"COLUMNS": str(columns)})

    return command


def document(result: Result) -> Any:
    def never(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    return json.loads(result.stdout, parse_constant=never)


# -- list -------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("world")
def test_list_names_each_table_with_its_version_rows_time_and_inputs(run: Run) -> None:
    lines = run("list").stdout.splitlines()
    assert [line.split()[0] for line in lines[1:5]] == ["demand", "forecast", "holidays", "sales"]
    assert lines[1].split()[:3] == ["demand", "@1", "10"]
    assert "2026-06-16 00:00  sales@1 holidays@0" in lines[1]
    found = document(run("list", "--json"))["tables"]
    assert [(one["table"], one["version"], one["rows"]) for one in found][-1] == ("sales", 1, 20)
    assert all(one["bytes"] > 100 and one["gone"] is None for one in found)


@pytest.mark.usefixtures("world")
def test_list_newest_first_goes_by_the_time_of_recording(run: Run) -> None:
    found = document(run("list", "--json", "--newest-first"))["tables"]
    assert [one["table"] for one in found] == ["forecast", "demand", "sales", "holidays"]


@pytest.mark.usefixtures("world")
def test_list_as_of_a_day_shows_what_was_known_at_its_end(run: Run) -> None:
    found = document(run("list", "--as-of", "2026-06-14", "--json"))["tables"]
    assert [(one["table"], one["version"]) for one in found] == [("demand", 0), ("holidays", 0), ("sales", 0)]
    assert "knew no table on 2026-06-01" in run("list", "--as-of", "2026-06-01", columns=300).stdout
    assert run("list", "--as-of", "yesterday").exit_code == 2


@pytest.mark.usefixtures("world")
@pytest.mark.parametrize("columns", [40, 60, 80])
def test_no_line_is_wrapped_or_longer_than_the_terminal(run: Run, columns: int) -> None:
    for words in (["list"], ["history", "sales"], ["lineage", "forecast@0"], ["lineage", "sales@0", "--down"]):
        lines = run(*words, columns=columns).stdout.splitlines()
        assert max(map(len, lines[:4])) <= columns
        assert all(line.strip() for line in lines[:4])
    assert len(run("history", "sales", columns=columns).stdout.splitlines()) == 3


@pytest.mark.usefixtures("world")
def test_a_narrow_terminal_loses_the_least_important_columns_and_keeps_the_others_whole(run: Run) -> None:
    heads, row, *_ = run("list", columns=45).stdout.splitlines()
    assert heads.split() == ["table", "version", "rows", "known", "at", "(UTC)"]
    assert row.split() == ["demand", "@1", "10", "2026-06-16", "00:00"]


def test_an_empty_lake_says_what_to_do_next(run: Run, tmp_path: Path) -> None:
    Home(tmp_path / "home").create()
    result = run("list")
    assert result.exit_code == 0
    assert "lightkeeper build" in result.stdout
    assert document(run("list", "--json"))["tables"] == []


def test_no_home_at_all_is_refused_with_the_command_that_makes_one(run: Run, tmp_path: Path) -> None:
    result = run("list", home=tmp_path / "nowhere")
    assert isinstance(result.exception, Refused)
    assert "lightkeeper build --home" in str(result.exception)


def test_a_lake_without_the_record_of_its_home_can_still_be_read(run: Run, world: World) -> None:
    (world.home.root / "home.json").unlink()
    assert "forecast" in run("list").stdout


# -- show -------------------------------------------------------------------------------------------------------


def test_show_says_what_a_version_is_and_where_it_came_from(run: Run, world: World) -> None:
    said = run("show", "sales", columns=100).stdout
    for part in ("sales@1  the newest version", "2026-06-04 replaced, by asset sales", "20 (20 written)", "06-15 00:00",
                 "1a2b3c4d-run", "git 0123456789ab, uncommitted changes", "price_gbp Float64", "10 files, 2026-06-01",
                 "lightkeeper table lineage sales@1", str(world.home.lake / "sales")):  # fmt: skip
        assert part in said
    content = world.lake.commit("sales@1").content_hash
    assert f"lk1 {content}" in run("show", "sales").stdout


@pytest.mark.usefixtures("world")
def test_show_as_json_holds_everything_in_full(run: Run) -> None:
    found = document(run("show", "sales@1", "--json", "--rows", "2"))
    assert found["schema"] == {
        "day": "Date",
        "row": "Int64",
        "product": "String",
        "quantity": "Int64",
        "price_gbp": "Float64",
    }
    assert (found["rows"], found["rows_written"], found["replaced"]) == (20, 20, ["2026-06-04"])
    assert found["sources"][3]["sha256"] == landed(DAYS[3]).sha256
    assert len(found["head"]) == 2
    assert (found["git_commit"], found["git_dirty"], found["content"]["algorithm"]) == (COMMIT, True, "lk1")
    assert document(run("show", "forecast", "--json"))["inputs"][1]["uri"] == "s3://elsewhere/weather"


@pytest.mark.usefixtures("world")
def test_show_of_an_older_version_or_day_names_the_newest(run: Run) -> None:
    assert "sales@0  the newest is sales@1" in run("show", "sales@0").stdout
    assert "sales@0  the newest is sales@1" in run("show", "sales", "--as-of", "2026-06-13").stdout
    assert "model_version: demand:v3" in run("show", "forecast").stdout


@pytest.mark.usefixtures("world")
def test_what_is_not_there_is_refused_with_a_hint(run: Run) -> None:
    for words, kind, hint in (
        (["show", "sale"], NoSuchTable, "Did you mean sales"),
        (["show", "sales@9"], NoSuchVersion, "sales@1"),
    ):
        found = run(*words).exception
        assert isinstance(found, kind)
        assert hint in str(found)
    assert run("show", "sales@0", "--as-of", "2026-06-13").exit_code == 2


def test_a_version_whose_files_are_gone_still_tells_how_it_was_made(run: Run, world: World) -> None:
    for file in (world.home.lake / "demand").glob("*.parquet"):
        file.unlink()
    said = run("show", "demand@0", columns=200).stdout
    assert "gone" in said
    assert "sales@0, holidays@0" in said
    assert "files are not there any more" in document(run("show", "demand@0", "--json"))["gone"]


def test_values_that_json_has_no_word_for_come_as_text(run: Run, world: World) -> None:
    odd = pl.DataFrame({"f": [float("nan"), float("-inf")], "b": [b"\x00\xff", None], "l": [[1.5], None]})
    world.lake.write("odd", odd)
    head = document(run("show", "odd", "--json"))["head"]
    assert head == [{"f": "NaN", "b": "00ff", "l": [1.5]}, {"f": "-Infinity", "b": None, "l": None}]


def test_a_list_is_shown_as_its_values(run: Run, world: World) -> None:
    world.lake.write("lists", pl.DataFrame({"names": [["a", "b\x1b", None], [], None], "sizes": [[1.5, 2], [3], [4]]}))
    shown = run("show", "lists").output
    assert "a, b\\x1b, null" in shown
    assert "1.5, 2.0" in shown
    assert "Series" not in shown


def test_text_from_data_cannot_drive_the_terminal(run: Run, world: World) -> None:
    world.lake.write("odd", pl.DataFrame({"te\x1b[2Jxt": ["\x1b[31mred", "[bold]plain[/bold]", "two\nlines", "\u202eturned"]}))
    said = run("show", "odd").stdout
    assert not {"\x1b", "\u202e"} & set(said)
    for shown in ("\\x1b[31mred", "[bold]plain[/bold]", "two\\nlines", "te\\x1b[2Jxt"):
        assert shown in said


def test_a_table_that_another_program_writes_is_shown_as_such(run: Run, world: World) -> None:
    write_deltalake(str(world.home.lake / "foreign"), pl.DataFrame({"a": [1, 2, 3]}))
    assert "by another program" in run("show", "foreign").stdout
    found = next(one for one in document(run("list", "--json"))["tables"] if one["table"] == "foreign")
    assert (found["rows"], found["known_at"]) == (3, None)
    assert "by another program" in run("lineage", "foreign").stdout
    assert run("history", "foreign").exit_code == 0


# -- history ----------------------------------------------------------------------------------------------------


def test_history_goes_back_from_the_newest_with_unchanged_writes_in_their_place(run: Run, world: World) -> None:
    world.demand(world.second)
    lines = [line.split() for line in run("history", "demand", columns=120).stdout.splitlines()[1:]]
    assert [(line[0], line[3]) for line in lines] == [("@1", "unchanged"), ("@1", "overwrite"), ("@0", "overwrite")]
    found = document(run("history", "demand", "--json"))["lines"]
    assert [one["unchanged"] for one in found] == [True, False, False]
    assert [one["inputs"][0]["version"] for one in found] == [1, 1, 0]
    assert not any(one["unchanged"] for one in document(run("history", "sales", "--json"))["lines"])


def test_an_unchanged_write_stands_above_the_version_that_it_found(run: Run, world: World) -> None:
    world.land(*DAYS[:2])
    world.land(DAYS[5], quantity=9)
    found = document(run("history", "sales", "--json"))["lines"]
    assert [(one["version"], one["unchanged"]) for one in found] == [(2, False), (1, True), (1, False), (0, False)]


@pytest.mark.usefixtures("world")
def test_history_shows_the_days_that_were_replaced(run: Run) -> None:
    wide, narrow = (run("history", "sales", columns=columns).stdout.splitlines() for columns in (120, 80))
    assert "2026-06-01..2026-06-10" in wide[2]
    assert "10 days" in narrow[2]
    assert "2026-06-04" in narrow[1]


@pytest.mark.usefixtures("world")
def test_history_with_a_limit_says_that_there_is_more(run: Run) -> None:
    said = run("history", "sales", "--limit", "1", columns=100).stdout
    assert "@0" not in said
    assert "lightkeeper table history sales --limit 0" in said
    assert len(document(run("history", "sales", "--limit", "0", "--json"))["lines"]) == 2


@pytest.mark.usefixtures("world")
def test_a_history_of_one_version_is_wrong_usage_that_names_the_history_of_its_table(run: Run) -> None:
    asked = run("history", "sales@1", columns=300)
    assert asked.exit_code == 2
    for part in ("'sales@1' is one version", "lightkeeper table history sales --home", "lightkeeper table show sales@1 --home"):
        assert part in " ".join(asked.output.split())


# -- lineage ----------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("world")
def test_lineage_goes_up_to_the_landed_files(run: Run) -> None:
    said = run("lineage", "forecast", columns=120).stdout
    order = ["forecast@0", "demand@1", "sales@1", "10 files, 2026-06-01 .. 2026-06-10", "holidays@0", "weather@12"]
    places = [said.index(part) for part in order]
    assert places == sorted(places)
    assert "outside this lake: s3://elsewhere/weather" in said


@pytest.mark.usefixtures("world")
def test_lineage_with_files_lists_each_of_them_with_its_digest(run: Run) -> None:
    said = run("lineage", "sales@0", "--files", columns=120).stdout
    assert all(f"sales-{day}.csv  sha256 {landed(day).sha256[:12]}" in said for day in DAYS)
    found = document(run("lineage", "sales@0", "--json"))
    assert [one["sha256"] for one in found["files"]] == [landed(day).sha256 for day in DAYS]


@pytest.mark.usefixtures("world")
def test_lineage_down_shows_what_was_made_from_a_version(run: Run) -> None:
    found = document(run("lineage", "sales@1", "--down", "--json"))
    assert [one["version"] for one in found["used_by"]] == ["demand@1"]
    assert [one["version"] for one in found["used_by"][0]["used_by"]] == ["forecast@0"]
    assert "csv" not in run("lineage", "sales@1", "--down").stdout
    assert "Nothing was made from it yet." in run("lineage", "forecast", "--down").stdout


def test_lineage_down_marks_a_version_that_came_out_the_same(run: Run, world: World) -> None:
    same = world.land(DAYS[3], quantity=7)
    assert same == world.second
    world.lake.write("copy", pl.DataFrame({"units": [3]}), inputs=[world.first])
    world.lake.write("copy", pl.DataFrame({"units": [3]}), inputs=[world.second])
    assert "copy@0  came out the same from it" in run("lineage", "sales@1", "--down").stdout
    assert "copy@0  overwrite" in run("lineage", "sales@0", "--down").stdout


def test_lineage_says_which_version_cannot_be_read_any_more(run: Run, world: World) -> None:
    shutil.rmtree(world.home.lake / "holidays")
    said = run("lineage", "demand", columns=200).stdout
    assert "holidays@0  missing: " in said
    assert "holds no table 'holidays'" in said
