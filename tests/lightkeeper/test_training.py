"""Training: the same rows give the same bytes, in whatever order and process they come; what cannot be learnt from is refused."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from lightkeeper.errors import Refused
from lightkeeper.lake.table import Lake
from lightkeeper.models.training import matrix, train, training_frame
from tests.lightkeeper.lamps import FIRST, LAMPS, LAST, table

ROOT = Path(__file__).resolve().parents[2]
Change = Callable[[pl.LazyFrame], pl.LazyFrame]
ELSEWHERE = """
from tests.lightkeeper.lamps import table
from tests.lightkeeper.test_training import learnt
print(learnt(table(2)))
"""


BAGGED = replace(LAMPS, params={**LAMPS.params, "bagging_fraction": 0.5, "bagging_freq": 1})  # row order tells on its trees


def learnt(rows: pl.DataFrame | pl.LazyFrame) -> str:
    return train(BAGGED, training_frame(BAGGED, rows.lazy())).sha256


def test_two_processes_train_the_same_bytes() -> None:
    command = [sys.executable, "-c", ELSEWHERE]
    where = {"PYTHONPATH": f"{ROOT / 'platform'}:{ROOT}", "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "7"}
    done = subprocess.run(command, env=where, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == learnt(table(2))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_neither_the_order_of_rows_nor_the_layout_of_files_changes_the_model(seed: int, tmp_path: Path) -> None:
    rows, lake = table(), Lake(tmp_path)
    lake.write("whole", rows)
    lake.write("monthly", rows.sample(fraction=1, shuffle=True, seed=seed), by="day")
    lake.write("days", rows.filter(pl.col("day") != FIRST), by="day")
    lake.write("days", rows.filter(pl.col("day") == FIRST), by="day", replace=[FIRST])
    assert {learnt(lake.read(name)) for name in lake.tables()} == {learnt(rows)}


def test_other_rows_and_another_seed_give_another_model() -> None:
    other, rows = replace(BAGGED, params={**BAGGED.params, "seed": 2}), training_frame(LAMPS, table().lazy())
    assert len({learnt(table()), learnt(table(2)), train(other, rows).sha256, train(LAMPS, rows).sha256}) == 4


def test_an_artifact_says_what_it_was_made_of() -> None:
    rows = training_frame(LAMPS, table().lazy())
    made = train(LAMPS, rows)
    assert made.sha256 == hashlib.sha256(made.data).hexdigest()
    assert (made.rows, made.first, made.last) == (240, str(FIRST), str(LAST))
    assert {"lightgbm", "numpy", "polars", "machine", "python"} <= set(json.loads(made.environment))
    assert made.training_hash == train(LAMPS, rows.with_columns(pl.col("price"))).training_hash
    assert made.training_hash != train(LAMPS, rows.with_columns(pl.col("price") + 1)).training_hash


def test_a_missing_value_of_a_feature_is_learnt_from_and_a_missing_target_is_not() -> None:
    holes = table().with_columns(pl.when(pl.col("price") > 4).then(pl.col("price")).alias("price"))
    rows = training_frame(LAMPS, holes.lazy())
    assert rows.height == 240
    assert rows["day"].max() == LAST
    assert matrix(LAMPS, rows).shape == (240, 3)
    assert len(train(LAMPS, rows).data) > 0


REFUSED: list[tuple[str, Change, str]] = [
    ("an unknown column", lambda t: t.drop("price", "open"), "has no column price, open; it has shop, lamp"),
    ("a text feature", lambda t: t.with_columns(pl.col("price").cast(pl.String)), "price .String. is no number. Make it one in"),
    ("no rows", lambda t: t.filter(pl.col("units") > 1e9), "no row of lamp_features has a known units, so there is nothing to"),
    ("a row that stands twice", lambda t: pl.concat([t, t.head(1)]), "has two rows for"),
    ("a row without its key", lambda t: t.with_columns(shop=pl.lit(None, pl.String)), "has 240 rows without shop"),
    ("an endless target", lambda t: t.with_columns(units=pl.lit(float("inf"))), "units is inf for .* Make it null"),
    ("times that are no days", lambda t: t.with_columns(pl.col("day").cast(pl.String)), "day is String. Make it a Date"),
]


@pytest.mark.parametrize(("change", "said"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_a_table_that_cannot_be_learnt_from_is_refused_by_name(change: Change, said: str) -> None:
    with pytest.raises(Refused, match=f"model lamps: .*{said}"):
        training_frame(LAMPS, change(table().lazy()))
