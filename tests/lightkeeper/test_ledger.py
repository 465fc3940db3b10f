"""Events beside the tables: added, never changed, in order, from several threads at once."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
from pathlib import Path

import polars as pl
import pytest

from lightkeeper.errors import StorageFailed, TypeRefused
from lightkeeper.lake.ledger import Ledger
from lightkeeper.lake.opened import opened
from lightkeeper.lake.storage import LocalStore
from lightkeeper.lake.table import Lake

SCHEMA = {"number": pl.Int64(), "said": pl.String()}


def ledger(root: Path) -> Ledger:
    return Ledger(LocalStore(root), "events", SCHEMA)


def numbers(root: Path) -> list[int]:
    return ledger(root).rows()["number"].to_list()


def test_an_empty_ledger_has_columns_and_no_rows(tmp_path: Path) -> None:
    ledger(tmp_path).add([])
    assert ledger(tmp_path).rows().schema == SCHEMA
    assert ledger(tmp_path).rows().height == 0
    assert list(tmp_path.iterdir()) == []


def test_rows_come_back_in_the_order_in_which_they_were_added_and_files_stay_few(tmp_path: Path) -> None:
    for number in range(0, 300, 2):
        ledger(tmp_path).add([{"number": number, "said": None}, {"number": number + 1, "said": "ü"}])
    assert numbers(tmp_path) == list(range(300))
    from deltalake import DeltaTable

    assert len(DeltaTable(tmp_path / "_ledger/events").file_uris()) <= 65


def test_threads_that_add_at_once_lose_nothing(tmp_path: Path) -> None:
    threads = [threading.Thread(target=lambda n=n: ledger(tmp_path).add([{"number": n, "said": "x"}])) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(numbers(tmp_path)) == list(range(6))


def elsewhere(root: Path, number: int) -> None:
    """Another process adds a row."""
    code = f"from test_ledger import *; ledger(Path({str(root)!r})).add([{{'number': {number}, 'said': 'there'}}])"
    subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parent, check=True)


def test_what_another_process_adds_is_read_and_added_to(tmp_path: Path) -> None:
    ledger(tmp_path).add([{"number": 1, "said": "here"}])
    assert numbers(tmp_path) == [1]
    elsewhere(tmp_path, 2)
    assert numbers(tmp_path) == [1, 2]
    ledger(tmp_path).add([{"number": 3, "said": "here"}])
    assert numbers(tmp_path) == [1, 2, 3]


def test_a_ledger_that_was_removed_and_made_anew_is_not_the_one_that_was_read_before(tmp_path: Path) -> None:
    for number in range(4):
        ledger(tmp_path).add([{"number": number, "said": "before"}])
    assert numbers(tmp_path) == [0, 1, 2, 3]
    (tmp_path / "_ledger").rename(tmp_path / "before")
    assert numbers(tmp_path) == []
    (tmp_path / "before").rename(tmp_path / "_ledger")
    assert numbers(tmp_path) == [0, 1, 2, 3]
    shutil.rmtree(tmp_path / "_ledger")
    elsewhere(tmp_path, 9)
    assert numbers(tmp_path) == [9]


def test_only_rows_whose_files_still_count_are_remembered(tmp_path: Path) -> None:
    for number in range(10):
        ledger(tmp_path).renew(lambda there, n=number: [{"number": n, "said": f"after {there.height}"}])
    assert numbers(tmp_path) == [9]
    with opened(ledger(tmp_path)) as found:
        assert found is not None
        assert list(found.frames) == [one.path for one in found.live]


def test_what_a_reader_does_to_its_rows_is_its_own_and_reaches_neither_others_nor_the_disk(tmp_path: Path) -> None:
    for number in range(3):
        ledger(tmp_path).add([{"number": number, "said": "x"}])
    ledger(tmp_path).renew(lambda rows: rows.tail(1).to_dicts())
    mine = ledger(tmp_path).rows()
    mine[0, "number"] = 99
    mine.drop_in_place("said")
    assert numbers(tmp_path) == [2]
    ledger(tmp_path).add([{"number": 3, "said": "y"}])
    assert ledger(tmp_path).rows().rows() == [(2, "x"), (3, "y")]


def test_a_ledger_that_has_learnt_a_column_is_read_with_it_where_it_was_read_without_before(tmp_path: Path) -> None:
    ledger(tmp_path).add([{"number": 1, "said": "x"}])
    assert ledger(tmp_path).rows().columns == ["number", "said"]
    wider = Ledger(LocalStore(tmp_path), "events", {**SCHEMA, "more": pl.Int64()})
    wider.add([{"number": 2, "said": "y", "more": 7}])
    assert wider.rows().rows() == [(1, "x", None), (2, "y", 7)]


def test_a_large_addition_keeps_its_place_when_the_small_ones_become_one_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lightkeeper.lake.ledger._SMALL", 50)
    ledger(tmp_path).add([{"number": -1}])
    ledger(tmp_path).add([{"number": number} for number in range(60)])
    for number in range(60, 140):
        ledger(tmp_path).add([{"number": number}])
    assert numbers(tmp_path) == list(range(-1, 140))


def test_a_ledger_that_somebody_compacted_is_refused_with_the_way_back(tmp_path: Path) -> None:
    from deltalake import DeltaTable

    for number in range(3):
        ledger(tmp_path).add([{"number": number}])
    DeltaTable(tmp_path / "_ledger/events").optimize.compact()
    for act in (lambda: ledger(tmp_path).rows(), lambda: ledger(tmp_path).add([{"number": 3}])):
        with pytest.raises(StorageFailed, match=r"_ledger/events holds .* was compacted or rewritten.*restore"):
            act()
    DeltaTable(tmp_path / "_ledger/events").restore(2)
    assert numbers(tmp_path) == [0, 1, 2]


def test_who_reads_while_another_adds_has_what_stood_when_it_began(tmp_path: Path) -> None:
    ledger(tmp_path).add([{"number": 1, "said": "x"}])

    def rule(there: pl.DataFrame) -> list[dict[str, object]]:
        if there.height == 1:  # somebody is faster, once
            ledger(tmp_path).add([{"number": 2, "said": "faster"}])
        return [{"number": there.height + 1, "said": "slower"}]

    ledger(tmp_path).decide(rule)
    assert numbers(tmp_path) == [1, 2, 3]


def test_a_row_of_another_form_is_refused_and_nothing_is_added(tmp_path: Path) -> None:
    ledger(tmp_path).add([{"number": 1, "said": "x"}])
    for wrong in ({"number": "seven", "said": "x"}, {"number": 1.5, "said": "x"}, {"number": 1, "heard": "x"}):
        with pytest.raises(TypeRefused, match="_ledger/events"):
            ledger(tmp_path).add([wrong])
    assert numbers(tmp_path) == [1]


def test_a_ledger_is_no_table_of_the_lake(tmp_path: Path) -> None:
    ledger(tmp_path).add([{"number": 1, "said": "x"}])
    assert Lake(tmp_path).tables() == []


def test_a_decision_is_made_of_the_rows_that_are_there_also_when_somebody_was_faster(tmp_path: Path) -> None:
    seen: list[int] = []

    def rule(rows: pl.DataFrame) -> list[dict[str, object]]:
        seen.append(rows.height)
        if len(seen) < 3:
            ledger(tmp_path).add([{"number": 100 + len(seen), "said": "faster"}])
        return [{"number": rows.height, "said": "counted"}]

    assert ledger(tmp_path).decide(rule)["number"].to_list() == [2]
    assert (seen, numbers(tmp_path)) == ([0, 1, 2], [101, 102, 2])


def test_a_rule_that_refuses_or_finds_nothing_to_add_adds_nothing(tmp_path: Path) -> None:
    def refuse(_: pl.DataFrame) -> list[dict[str, object]]:
        raise TypeRefused("not this one")

    with pytest.raises(TypeRefused, match="not this one"):
        ledger(tmp_path).decide(refuse)
    assert ledger(tmp_path).decide(lambda _: []).is_empty()
    assert numbers(tmp_path) == []
