"""One look at a landing folder after another: what is asked for, how often, and what is remembered. No Dagster, no files."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, replace
from datetime import date, timedelta

import polars as pl
import pytest

from lightkeeper.lake.landing import Arrival
from lightkeeper.orchestrate.looks import ATTEMPTS, Cursor, Wanted, look

MONDAY = date(2026, 3, 2)
_LEDGER = {
    "file": pl.String, "part": pl.Date, "bytes": pl.Int64, "mtime_ns": pl.Int64, "state": pl.String, "sha256": pl.String,
}  # fmt: skip


@dataclass
class Folder:
    """A landing folder in which time passes, the runs that were asked for, and the ledger that they write."""

    files: dict[str, tuple[Arrival, str]] = field(default_factory=dict)
    ledger: list[tuple[object, ...]] = field(default_factory=list)
    runs: dict[str, bool | None] = field(default_factory=dict)
    cursor: Cursor = field(default_factory=Cursor)
    time: int = 0
    reads: int = 0
    hashed: list[str] = field(default_factory=list)

    def put(self, content: str, day: date = MONDAY, name: str = "") -> str:
        self.time += 1
        named = name or f"sales-{day}.csv"
        self.files[named] = (Arrival(named, len(content), self.time, self.time, day), content)
        return named

    def tick(self) -> list[Wanted]:
        wanted, self.cursor = look([one for one, _ in self.files.values()], self.cursor, self.rows, self.content, self.runs.get)
        assert self.cursor == Cursor(**json.loads(json.dumps(asdict(self.cursor))))
        return wanted

    def ticks(self, count: int = 3) -> list[tuple[str, ...]]:
        return [run.files for _ in range(count) for run in self.tick()]

    def rows(self) -> pl.DataFrame:
        self.reads += 1
        return pl.DataFrame(self.ledger, schema=_LEDGER, orient="row")

    def content(self, one: Arrival) -> str:
        self.hashed.append(one.name)
        return sha(self.files[one.name][1])

    def end(self, run: Wanted, state: str = "landed", *, failed: bool = False) -> None:
        """The run has looked at its files, and ended."""
        for name in run.files:
            one, content = self.files[name]
            self.ledger.append((name, one.part, one.size, one.mtime_ns, state, sha(content) if state == "landed" else None))
        self.runs[run.key] = failed

    def land(self) -> list[tuple[str, ...]]:
        """Tick until nothing is asked for, and let each run succeed."""
        asked = []
        for _ in range(4):
            for run in self.tick():
                asked.append(run.files)
                self.end(run)
        return asked


def sha(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()


@pytest.fixture
def folder() -> Folder:
    return Folder()


def test_a_new_file_is_asked_for_at_the_second_look_and_never_again(folder: Folder) -> None:
    name = folder.put("a")
    assert folder.tick() == []
    (run,) = folder.tick()
    assert (run.files, run.first, run.last, run.landed) == ((name,), MONDAY, MONDAY, False)
    assert folder.ticks() == []
    folder.end(run)
    assert folder.ticks() == []


def test_a_file_that_grows_waits_until_two_looks_agree(folder: Folder) -> None:
    for content in ("a", "ab", "abc"):
        folder.put(content)
        assert folder.tick() == []
    assert [run.files for run in folder.tick()] == [("sales-2026-03-02.csv",)]


def test_no_run_spans_the_day_of_a_file_that_is_still_written(folder: Folder) -> None:
    for n in range(3):
        folder.put("a", MONDAY + timedelta(n))
    folder.tick()
    folder.put("a, and more", MONDAY + timedelta(1))
    assert [(run.first, run.last) for run in folder.tick()] == [(MONDAY, MONDAY), (MONDAY + timedelta(2),) * 2]
    assert folder.ticks(1) == [("sales-2026-03-03.csv",)]


def test_a_touched_file_and_a_copy_under_another_name_are_not_asked_for(folder: Folder) -> None:
    folder.put("a")
    assert len(folder.land()) == 1
    folder.put("a")
    assert folder.land() == []
    folder.put("a", name="sales-2026-03-02-again.csv")
    assert folder.land() == []


def test_a_correction_is_asked_for_and_so_is_the_correction_taken_back(folder: Folder) -> None:
    first = folder.put("a") and folder.files["sales-2026-03-02.csv"]
    keys = set()
    for content in ("a", "b", "a", "b"):
        folder.put(content)
        folder.tick()
        (run,) = folder.tick()
        folder.end(run)
        keys.add(run.key)
    assert len(keys) == 4
    folder.files["sales-2026-03-02.csv"] = first  # brought back with its old time, as `mv` and `cp -p` do
    assert len(folder.land()) == 1


def test_a_file_corrected_while_its_run_is_under_way_is_asked_for_once_more(folder: Folder) -> None:
    folder.put("a")
    folder.tick()
    (first,) = folder.tick()
    read = replace(folder.files[first.files[0]][0])
    folder.put("b")
    folder.ledger.append((read.name, read.part, read.size, read.mtime_ns, "landed", sha("a")))
    assert folder.tick() == []
    (second,) = folder.tick()
    assert second.key.endswith("#1")
    assert second.key != first.key
    folder.runs[first.key] = False
    folder.end(second)
    assert folder.ticks() == []


def test_a_refused_file_is_asked_for_once_and_again_when_a_better_one_takes_its_place(folder: Folder) -> None:
    folder.put("bad")
    folder.tick()
    (run,) = folder.tick()
    folder.end(run, "refused", failed=True)
    assert folder.ticks() == []
    folder.put("good")
    assert folder.land() == [("sales-2026-03-02.csv",)]


def test_a_run_that_fails_for_another_reason_is_asked_for_three_times_in_all_and_then_left(folder: Folder) -> None:
    folder.put("a")
    keys = []
    for _ in range(10):
        for run in folder.tick():
            keys.append(run.key)
            folder.runs[run.key] = True
    assert [key.rpartition("#")[2] for key in keys] == [str(n + 1) for n in range(ATTEMPTS)]
    assert folder.cursor.given_up == ["sales-2026-03-02.csv"]
    reads = folder.reads
    assert folder.ticks() == []
    assert folder.reads == reads
    folder.put("b")
    assert folder.land() == [("sales-2026-03-02.csv",)]


def test_what_fails_after_the_file_has_landed_is_made_up_for_without_landing_it_again(folder: Folder) -> None:
    folder.put("a")
    folder.tick()
    (run,) = folder.tick()
    folder.end(run, failed=True)
    (again,) = folder.tick()
    assert (again.files, again.landed) == (run.files, True)
    assert folder.tick() == []
    folder.runs[again.key] = False
    assert folder.ticks() == []
    assert folder.cursor.idle


def test_neighbouring_days_land_in_one_run_and_far_ones_in_runs_of_their_own(folder: Folder) -> None:
    for n in (0, 1, 4, 8, 20):
        folder.put("a", MONDAY + timedelta(n))
    folder.tick()
    spans = [((run.first - MONDAY).days, (run.last - MONDAY).days, len(run.files)) for run in folder.tick()]
    assert spans == [(0, 8, 4), (20, 20, 1)]


def test_of_several_files_for_one_day_the_newest_speaks(folder: Folder) -> None:
    folder.put("a")
    later = folder.put("b", name="sales-2026-03-02-corrected.csv")
    assert folder.land() == [(later,)]


def test_a_file_that_went_away_before_it_was_read_is_not_asked_for(folder: Folder) -> None:
    folder.put("a")
    folder.tick()
    seen = [one for one, _ in folder.files.values()]
    wanted, cursor = look(seen, folder.cursor, folder.rows, lambda _: None, folder.runs.get)
    assert (wanted, cursor.idle) == ([], True)


def test_a_folder_of_600_files_that_have_landed_costs_no_read_of_the_ledger_and_a_small_cursor(folder: Folder) -> None:
    for n in range(600):
        folder.put(f"{n}", MONDAY + timedelta(n))
    assert [len(files) for files in folder.land()] == [600]
    folder.reads, folder.hashed = 0, []
    assert folder.ticks() == []
    assert (folder.reads, folder.hashed) == (0, [])
    assert len(json.dumps(asdict(folder.cursor))) < 100


def test_one_new_file_beside_600_is_the_only_one_that_is_hashed(folder: Folder) -> None:
    for n in range(600):
        folder.put(f"{n}", MONDAY + timedelta(n))
    folder.land()
    folder.hashed = []
    new = folder.put("new", MONDAY + timedelta(700))
    assert folder.land() == [(new,)]
    assert folder.hashed == [new]


def test_a_home_built_before_the_sensor_ever_ticked_has_nothing_to_ask_for(folder: Folder) -> None:
    folder.put("a")
    folder.land()
    folder.cursor = Cursor()
    assert folder.ticks() == []


def test_a_file_with_an_older_time_than_the_one_that_landed_is_named_until_it_is_touched(folder: Folder) -> None:
    later = folder.put("a")
    folder.land()
    folder.files["sales-fix.csv"] = (Arrival("sales-fix.csv", 1, 0, 9, MONDAY), "b")
    assert folder.ticks() == []
    assert folder.cursor.passed_over == ["sales-fix.csv"]
    folder.put("b", name="sales-fix.csv")
    assert folder.land() == [("sales-fix.csv",)]
    assert later not in folder.cursor.passed_over  # it landed as it lies there


def test_a_superseded_file_is_not_named_while_a_run_that_looks_at_it_is_to_come(folder: Folder) -> None:
    earlier, _ = folder.put("a", name="sales-a.csv"), folder.put("b", name="sales-b.csv")
    folder.tick()
    assert folder.cursor.passed_over == []
    (run,) = folder.tick()
    assert folder.cursor.passed_over == []
    one = folder.files[earlier][0]
    folder.ledger.append((earlier, one.part, one.size, one.mtime_ns, "superseded", None))
    folder.end(run)
    assert folder.ticks() == []
    assert folder.cursor.passed_over == []
