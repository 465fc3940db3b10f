"""What the last step of a run does about a promotion that was to be taken back."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import polars as pl
import pytest
from deltalake import write_deltalake

from lightkeeper.lake.table import Lake
from lightkeeper.lake.verdicts import Judged, record
from lightkeeper.models.decisions import champion, promoted
from lightkeeper.orchestrate.attempting import MODEL, ROLLBACK, take_back
from lightkeeper.values import Decision, TableVersion, Verdict
from tests.lightkeeper.lamps import LAMPS, NOW, row, table

WORSE = Verdict("former", "failed", "Over the 14 days since, the one before misses less.", 0.2, 0.0, 14, "lamps:v3")


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """Three versions, of which the third serves, and should not have been promoted."""
    made = Lake(tmp_path, clock=lambda: NOW)
    for number in (1, 2, 3):
        made.append("lamps_model", row(LAMPS, table(), number))
        promoted(made, Decision("lamps", "promoted", number, "user ada", "this one"))
    record(made, [Judged(TableVersion("lamps_outcome", 0), date(2026, 3, 15), verdicts=(WORSE,))])
    return made


@pytest.mark.parametrize(("altered", "serves"), [(set(), 2), ({2}, 1), ({1, 2}, 0)])
def test_a_promotion_is_taken_back_to_the_version_that_it_was_compared_with(lake: Lake, altered: set[int], serves: int) -> None:
    other = pl.when(pl.col("version").is_in(list(altered))).then(pl.lit(b"other")).otherwise("artifact").alias("artifact")
    rows = lake.read("lamps_model").with_columns(other).collect()
    write_deltalake(str(Path(lake.root) / "lamps_model"), rows.to_arrow(), mode="overwrite")  # past the lake
    take_back(lake, LAMPS, {MODEL: "lamps", ROLLBACK: "lamps:v3"}, "run-1")
    assert champion(lake, "lamps").version == serves
