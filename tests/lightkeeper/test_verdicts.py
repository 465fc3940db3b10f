"""What holds now, from verdicts that come one after the other: also where a look could not judge."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from lightkeeper.lake.suspects import follow, lasting, suspects
from lightkeeper.lake.table import Lake
from lightkeeper.lake.verdicts import Judged, record, states
from lightkeeper.values import TableVersion, Verdict
from lightkeeper.watch import runs

FIRST, SECOND = date(2026, 3, 2), date(2026, 3, 3)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path, clock=lambda: datetime(2026, 3, 9, 6, tzinfo=UTC))


def look(lake: Lake, state: str, day: date | None = FIRST) -> tuple[str, int, date, date | None]:
    """State, failing days, since when and of which day, after one more look at the range of a column."""
    verdict = Verdict("range", state, "Half of its rows lie out of range.", 0.5, 0.1, 100, "price")
    judged = [Judged(TableVersion("sales", 0), day, verdicts=(verdict,))]
    follow(lake, judged)
    record(lake, judged)
    lasting(lake, "sales")
    row = states(lake).rows().row(0, named=True)
    return row["state"], row["failing"], row["since"], row["day"]


def test_looks_that_could_not_judge_make_one_bad_day_no_lasting_one(lake: Lake) -> None:
    assert look(lake, "failed") == ("failed", 1, FIRST, FIRST)
    for _ in range(3):
        assert look(lake, "unknown", None) == ("unknown", 1, FIRST, FIRST)
        assert look(lake, "failed") == ("failed", 1, FIRST, FIRST)
    assert suspects(lake)["day"].to_list() == [FIRST]
    assert look(lake, "failed", SECOND) == ("failed", 2, FIRST, SECOND)


def test_a_day_that_is_looked_at_again_counts_once_and_one_that_passes_ends_it(lake: Lake) -> None:
    look(lake, "failed")
    assert look(lake, "failed") == ("failed", 1, FIRST, FIRST)
    assert look(lake, "passed", SECOND) == ("passed", 0, SECOND, SECOND)
    assert look(lake, "unknown", None) == ("unknown", 0, date(2026, 3, 9), SECOND)
    assert look(lake, "failed", date(2026, 3, 4)) == ("failed", 1, date(2026, 3, 4), date(2026, 3, 4))


@pytest.mark.parametrize(("rows", "said"), [(0, "The run has 0 rows"), (None, "How many rows the run has is not known")])
def test_a_run_that_left_its_table_empty_is_told_as_such(lake: Lake, rows: int | None, said: str) -> None:
    found = runs.look(lake, TableVersion("sales", 1), "run", runs.Cost(1.0, None, rows))
    assert [one.why.startswith(said) for one in found.verdicts if one.check == "rows_per_second"] == [True]
