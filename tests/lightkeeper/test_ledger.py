"""Events beside the tables: added, never changed, in order, from several threads at once."""

from __future__ import annotations

import threading
from pathlib import Path

import polars as pl
import pytest

from lightkeeper.errors import TypeRefused
from lightkeeper.lake.ledger import Ledger
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
