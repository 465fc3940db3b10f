"""Two writers at once, a writer that dies, a store that answers ambiguously: nothing is lost, nothing is half there."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest

from lightkeeper.errors import Conflict, StorageFailed
from lightkeeper.lake import gateway
from lightkeeper.lake.table import Lake
from lightkeeper.measure.content import sums
from lightkeeper.values import TableVersion

ONE, TWO = date(2026, 1, 1), date(2026, 1, 2)
SOURCE = Path(gateway.__file__).parents[2]
START = f"""
import sys; sys.path.insert(0, {str(SOURCE)!r})
from datetime import date
import polars as pl
from lightkeeper.lake.table import Lake
from lightkeeper.errors import Conflict
lake = Lake(sys.argv[1])
"""


def day(when: date, units: int) -> pl.DataFrame:
    return pl.DataFrame({"day": [when], "units": [units]})


def begun(root: Path) -> Lake:
    lake = Lake(root)
    lake.write("t", pl.concat([day(ONE, 1), day(TWO, 1)]), by="day")
    return lake


def units(lake: Lake, at: int | None = None) -> list[int]:
    return sorted(lake.read("t", at).collect()["units"])


def files(root: Path) -> set[str]:
    return {path.name for path in (root / "t").glob("*.parquet")}


def named(root: Path) -> set[str]:
    """The data files that any commit added."""
    logs = "".join(path.read_text() for path in (root / "t/_delta_log").glob("*.json"))
    return {name for name in files(root) if name in logs}


class Between:
    """A frame that lets somebody else write while it is being collected."""

    def __init__(self, frame: pl.DataFrame, meanwhile: Callable[[], object]) -> None:
        self.frame, self.meanwhile, self.done = frame, meanwhile, False

    def lazy(self) -> pl.LazyFrame:
        return self.frame.lazy().map_batches(self._seen, schema=self.frame.schema)

    def _seen(self, rows: pl.DataFrame) -> pl.DataFrame:
        if not self.done:
            self.done = True
            self.meanwhile()
        return rows


def test_two_writers_of_different_days_both_land(tmp_path: Path) -> None:
    lake = begun(tmp_path)
    late = Between(day(ONE, 5), lambda: lake.write("t", day(TWO, 7), by="day", replace=[TWO]))
    made = lake.write("t", late.lazy(), by="day", replace=[ONE])
    assert (made.version, units(lake)) == (2, [5, 7])
    assert lake.commit(made).sums == sums(lake.read("t").collect())
    assert files(tmp_path) == named(tmp_path)


def test_two_writers_of_one_day_conflict_and_the_first_stays(tmp_path: Path) -> None:
    lake = begun(tmp_path)
    late = Between(day(ONE, 5), lambda: lake.write("t", day(ONE, 7), by="day", replace=[ONE]))
    with pytest.raises(Conflict, match="t@1 was committed by run unknown"):
        lake.write("t", late.lazy(), by="day", replace=[ONE])
    assert (lake.version("t").version, units(lake)) == (1, [1, 7])
    assert files(tmp_path) == named(tmp_path)


@pytest.mark.parametrize("mode", ["overwrite", "replace", "append"])
def test_an_overwrite_conflicts_with_whatever_came_between(tmp_path: Path, mode: str) -> None:
    lake = begun(tmp_path)
    doing = {
        "overwrite": lambda: lake.write("t", day(ONE, 7)),
        "replace": lambda: lake.write("t", day(TWO, 7), by="day", replace=[TWO]),
        "append": lambda: lake.append("t", day(ONE, 7)),
    }
    with pytest.raises(Conflict):
        lake.write("t", Between(day(ONE, 5), doing[mode]).lazy())
    with pytest.raises(Conflict):
        lake.migrate("t", lambda rows: Between(rows.collect(), lambda: lake.append("t", day(TWO, 8))).lazy(), "why not")
    assert 5 not in units(lake)
    assert {7, 8} <= set(units(lake))
    assert files(tmp_path) == named(tmp_path)


def test_an_append_lands_after_an_append_or_a_day_and_not_after_an_overwrite(tmp_path: Path) -> None:
    lake = begun(tmp_path)
    lake.append("t", Between(day(ONE, 5), lambda: lake.append("t", day(ONE, 6))).lazy())
    lake.append("t", Between(day(ONE, 7), lambda: lake.write("t", day(TWO, 8), by="day", replace=[TWO])).lazy())
    assert units(lake) == [1, 5, 6, 7, 8]
    with pytest.raises(Conflict):
        lake.append("t", Between(day(ONE, 9), lambda: lake.write("t", day(TWO, 2))).lazy())
    assert units(lake) == [2]


def test_a_write_prepared_from_an_older_version_conflicts_and_one_from_a_future_version_too(tmp_path: Path) -> None:
    lake = begun(tmp_path)
    lake.write("t", day(ONE, 3), by="day", replace=[ONE])
    for base in (0, -1, 7):
        with pytest.raises(Conflict):
            lake.write("t", day(ONE, 4), by="day", replace=[ONE], base=base)
    assert lake.write("t", day(TWO, 4), by="day", replace=[TWO], base=0).version == 2


def test_two_that_create_one_table_do_not_both_create_it(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    with pytest.raises(Conflict):
        lake.write("t", Between(day(ONE, 5), lambda: lake.write("t", day(ONE, 6))).lazy())
    assert units(lake) == [6]
    assert lake.append("t", Between(day(ONE, 7), lambda: None).lazy()).version == 1


def test_eight_threads_that_append_at_once_lose_no_row(tmp_path: Path) -> None:
    lake = begun(tmp_path)
    failed: list[BaseException] = []

    def append(number: int) -> None:
        try:
            lake.append("t", day(ONE, number))
        except BaseException as error:  # noqa: BLE001 - shown below
            failed.append(error)

    threads = [threading.Thread(target=append, args=(n,)) for n in range(10, 15)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert units(lake) == [1, 1, 10, 11, 12, 13, 14]
    assert lake.commit(lake.version("t")).sums == sums(lake.read("t").collect())


def test_two_processes_that_write_one_table_lose_nothing(tmp_path: Path) -> None:
    lake = begun(tmp_path)
    code = START + (
        "when, first = date.fromisoformat(sys.argv[2]), int(sys.argv[3])\n"
        "for n in range(first, first + 5):\n"
        "    frame = pl.DataFrame({'day': [when], 'units': [n]})\n"
        "    lake.write('t', frame, by='day', replace=[when])\n"
    )
    started = [
        subprocess.Popen([sys.executable, "-c", code, tmp_path, when.isoformat(), first])
        for when, first in ((ONE, "10"), (TWO, "20"))
    ]
    assert [one.wait(120) for one in started] == [0, 0]
    assert (lake.version("t").version, units(lake)) == (10, [14, 24])
    assert lake.commit(lake.version("t")).sums == sums(lake.read("t").collect())


def test_a_writer_killed_at_any_moment_leaves_the_table_whole_and_the_next_write_works(tmp_path: Path) -> None:
    begun(tmp_path)
    code = START + (
        "big = pl.DataFrame({'day': [date(2026, 1, 1)] * 200_000, 'units': range(200_000)})\n"
        "for n in range(1000):\n"
        "    print(lake.write('t', big.with_columns(units=pl.col('units') + n), by='day').version, flush=True)\n"
    )
    for lines in (1, 2, 3):
        writer = subprocess.Popen([sys.executable, "-c", code, tmp_path], stdout=subprocess.PIPE, text=True)
        assert writer.stdout is not None
        told = [int(writer.stdout.readline()) for _ in range(lines)]
        threading.Event().wait(0.02 * lines)
        os.kill(writer.pid, signal.SIGKILL)
        writer.communicate()
        lake = Lake(tmp_path)
        newest = lake.version("t")
        assert newest.version >= told[-1]
        assert lake.commit(newest).sums == sums(lake.read("t").collect())
        assert units(lake, 0) == [1, 1]
    assert lake.append("t", day(TWO, 9)).version == newest.version + 1


def test_a_commit_that_landed_in_spite_of_an_error_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lake, send = begun(tmp_path), gateway._send

    def answers_too_late(*words: object) -> None:
        send(*words)  # type: ignore[arg-type]
        raise OSError("connection reset by peer")

    monkeypatch.setattr(gateway, "_send", answers_too_late)
    assert lake.append("t", day(ONE, 5)) == TableVersion("t", 1)
    assert units(lake) == [1, 1, 5]


def test_files_of_a_commit_that_landed_are_never_discarded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lake = begun(tmp_path)

    def cannot(*_: object) -> None:
        raise StorageFailed("the disk went away while the log was made durable")

    monkeypatch.setattr(gateway, "_settle", cannot)
    with pytest.raises(StorageFailed):
        lake.append("t", day(ONE, 5))
    assert units(Lake(tmp_path)) == [1, 1, 5]


def test_a_log_that_cannot_be_written_is_no_conflict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lake = begun(tmp_path)

    def refuses(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(gateway, "_send", refuses)
    with pytest.raises(StorageFailed, match="Nothing was committed"):
        lake.append("t", day(ONE, 5))
    assert files(tmp_path) == named(tmp_path)


@pytest.mark.parametrize("values", [[1.0, 3.0, float("nan"), None], [float("inf"), None], [-0.0, None], [None]])
def test_no_value_hides_from_a_filter(tmp_path: Path, values: list[float | None]) -> None:
    lake = Lake(tmp_path)
    frame = pl.DataFrame({"x": pl.Series(values, dtype=pl.Float64), "y": pl.Series(values, dtype=pl.Float32)})
    lake.write("t", frame)
    for column in (pl.col("x"), pl.col("y")):
        asked = [op(edge) for edge in (0.0, -0.0, 3.0, 5.0, float("nan"), float("inf")) for op in _operators(column)]
        for one in [*asked, column.is_nan(), column.is_null(), column.is_infinite(), column.is_in([0.0, 5.0])]:
            assert lake.read("t").filter(one).collect().height == frame.filter(one).height, one


def _operators(column: pl.Expr) -> list[Callable[[float], pl.Expr]]:
    return [column.lt, column.le, column.eq, column.ge, column.gt, column.ne]


def stated(root: Path) -> dict[str, tuple[object, object]]:
    """The ranges in the log of a table of one file."""
    last = (root / "t/_delta_log/00000000000000000000.json").read_text().splitlines()[-1]
    found = json.loads(json.loads(last)["add"]["stats"])
    return {column: (low, found["maxValues"][column]) for column, low in found["minValues"].items()}


def test_the_log_states_ranges_that_hold_every_value_and_none_where_a_nan_is(tmp_path: Path) -> None:
    moment = pl.Series([datetime(2026, 1, 1, 8, 30, 0, 7, tzinfo=UTC)] * 2)
    frame = pl.DataFrame({"day": [ONE, TWO], "n": [3, None], "x": [0.0, -0.0], "bad": [1.0, float("nan")], "s": [[1], [2]]})
    endless = pl.Series("endless", [1.0, float("inf")])
    Lake(tmp_path).write("t", frame.with_columns(endless, at=moment, naive=moment.dt.replace_time_zone(None)))
    assert stated(tmp_path) == {
        "day": ("2026-01-01", "2026-01-02"), "n": (3, 3), "x": (-0.0, 0.0),
        "at": ("2026-01-01T08:30:00.000007Z",) * 2, "naive": ("2026-01-01T08:30:00.000007",) * 2,
    }  # fmt: skip


def test_a_file_outside_the_asked_days_is_not_even_opened(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    lake.write("t", day(ONE, 1))
    lake.append("t", day(TWO, 2))
    other = next(path for path in (tmp_path / "t").glob("*.parquet") if pl.read_parquet(path)["day"][0] == TWO)
    other.write_bytes(b"x" * other.stat().st_size)
    assert lake.read("t").filter(pl.col("day") == ONE).collect()["units"].to_list() == [1]


def test_a_day_beyond_the_calendar_is_kept_and_states_no_range(tmp_path: Path) -> None:
    lake, far = Lake(tmp_path), pl.DataFrame({"day": pl.Series([3_000_000, 0], dtype=pl.Int32).cast(pl.Date)})
    lake.write("t", far)
    assert lake.read("t").filter(pl.col("day") > date(9999, 12, 31)).collect().height == 1
    lake.write("t", pl.DataFrame({"day": [ONE]}), by="day", replace=[ONE])
    assert lake.read("t").collect().height == 3
