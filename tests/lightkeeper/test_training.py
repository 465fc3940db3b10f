"""Training: the same rows give the same bytes, in whatever order and process they come; what cannot be learnt from is refused."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import lightgbm
import numpy as np
import polars as pl
import pytest

from lightkeeper.errors import Refused
from lightkeeper.lake.table import Lake
from lightkeeper.models.model import Model
from lightkeeper.models.scoring import unseen
from lightkeeper.models.training import cut_of, fit, least_days, training_frame
from tests.lightkeeper.lamps import AHEAD, COUNTS, CUT, FIRST, KNOWN, LAMPS, LAST, SERIES, SOLD, table

ROOT = Path(__file__).resolve().parents[2]
Change = Callable[[pl.LazyFrame], pl.LazyFrame]
ELSEWHERE = """
from tests.lightkeeper.lamps import table
from tests.lightkeeper.test_training import learnt
print(learnt(table(2)))
"""

BAGGED = replace(LAMPS, params={**LAMPS.params, "bagging_fraction": 0.5, "bagging_freq": 1})  # row order tells on its trees


def learnt(rows: pl.DataFrame | pl.LazyFrame, model: Model = BAGGED) -> str:
    return fit(model, training_frame(model, rows.lazy())).sha256


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


def test_other_rows_another_seed_and_other_parameters_give_another_model() -> None:
    other = replace(BAGGED, params={**BAGGED.params, "seed": 2})
    assert len({learnt(table()), learnt(table(2)), learnt(table(), other), learnt(table(), LAMPS)}) == 4


def test_the_matrix_that_lightgbm_gets_gives_the_trees_of_its_own_interface() -> None:
    rows = training_frame(LAMPS, table().lazy())
    made = fit(LAMPS, rows)
    params = {name: value for name, value in LAMPS.lightgbm_params.items() if name != "num_iterations"}
    data = lightgbm.Dataset(
        made.fitted.matrix(rows),
        rows["units"].to_numpy(),
        feature_name=list(LAMPS.features),
        categorical_feature=["wick"],
        params=params,
    )
    bare = lightgbm.train(params, data, made.rounds)
    assert np.array_equal(bare.predict(made.fitted.matrix(rows)), made.fitted.predict(rows))


def test_an_artifact_says_what_it_was_made_of() -> None:
    rows = training_frame(LAMPS, table().lazy())
    made = fit(LAMPS, rows)
    assert made.sha256 == made.fitted.sha256
    assert (made.rows, made.first, made.last) == (SERIES * KNOWN, FIRST, LAST)
    assert made.training_hash != fit(LAMPS, rows.with_columns(pl.col("price") + 1)).training_hash


def test_a_challenger_is_fitted_up_to_the_cut_and_what_comes_after_it_changes_nothing() -> None:
    assert cut_of(LAMPS, table().lazy()) == CUT == LAST - timedelta(AHEAD)
    other = table().with_columns(pl.when(pl.col("day") > CUT).then(pl.lit(7)).otherwise("units").cast(pl.Int64).alias("units"))
    frames = [training_frame(LAMPS, rows.lazy(), CUT) for rows in (table(), other)]
    assert frames[0]["day"].max() == CUT
    assert fit(LAMPS, frames[0]).sha256 == fit(LAMPS, frames[1]).sha256


def test_the_number_of_rounds_is_found_on_the_last_days_and_given_rounds_are_kept() -> None:
    rows, noisy = training_frame(LAMPS, table().lazy()), replace(LAMPS, params={**LAMPS.params, "num_iterations": 200})
    assert fit(LAMPS, rows, 12).rounds == 12
    assert 30 <= fit(noisy, rows).rounds < 200


def test_the_band_has_quantiles_of_its_own_and_a_probability_has_none() -> None:
    rows = training_frame(LAMPS, table().lazy())
    scored = fit(LAMPS, rows).fitted.scored(rows)
    inside = scored.select((rows["units"] >= pl.col("low")) & (rows["units"] <= pl.col("high"))).to_series().mean()
    assert scored.select((pl.col("low") <= pl.col("high")).mean()).item() > 0.98
    assert 0.6 < float(str(inside)) < 0.95
    sold = training_frame(SOLD, table().lazy())
    probable = fit(SOLD, sold).fitted.scored(sold)
    assert probable["forecast"].is_between(0, 1).all()
    assert (probable["low"].null_count(), probable["high"].null_count()) == (sold.height, sold.height)


def test_a_text_is_a_category_and_one_that_was_not_learnt_is_missing_and_told() -> None:
    rows = training_frame(LAMPS, table().lazy())
    fitted = fit(LAMPS, rows).fitted
    assert fitted.categories == {"wick": ("flat", "none", "round")}
    new = rows.with_columns(wick=pl.lit("square"))
    assert unseen(new, fitted.categories) == {"wick": ("square",)}
    assert unseen(rows, fitted.categories) == {}
    nothing = rows.with_columns(wick=pl.lit(None, pl.String))
    assert np.array_equal(fitted.predict(new), fitted.predict(nothing))
    assert not np.array_equal(fitted.predict(new), fitted.predict(rows))


def test_a_feature_without_any_value_does_no_harm() -> None:
    for dtype in (pl.Float64, pl.String):
        rows = training_frame(LAMPS, table().with_columns(wick=pl.lit(None, dtype)).lazy())
        assert np.isfinite(fit(LAMPS, rows).fitted.predict(rows)).all()


REFUSED: list[tuple[str, Model, Change, str]] = [
    ("an unknown column", LAMPS, lambda t: t.drop("price", "open"), "has no column price, open; it has shop, lamp"),
    ("a feature of lists", LAMPS, lambda t: t.with_columns(price=pl.lit([1])), "price .* is no number and no text"),
    ("a target of texts", LAMPS, lambda t: t.with_columns(units=pl.lit("many")), "units .String. is no number. Make it one in"),
    ("no rows", LAMPS, lambda t: t.filter(pl.col("units") > 1e9), "no row has a known units, so there is nothing to learn"),
    ("a row that stands twice", LAMPS, lambda t: pl.concat([t, t.sort("day", "shop", "lamp").head(1)]), "has two rows for"),
    ("a row without its key", LAMPS, lambda t: t.with_columns(shop=pl.lit(None, pl.String)), "has 280 rows without shop"),
    ("an endless target", LAMPS, lambda t: t.with_columns(units=pl.lit(float("inf"))), "units is inf for .* Make it null"),
    ("an endless feature", LAMPS, lambda t: t.with_columns(price=pl.lit(float("inf"))), "the feature price is infinite for"),
    ("times that are no days", LAMPS, lambda t: t.with_columns(pl.col("day").cast(pl.String)), "day is String. Make it a Date"),
    ("a count below 0", COUNTS, lambda t: t.with_columns(pl.col("units") - 100), "units is -.* A count is 0 or more"),
    (
        "a yes or no that is 3",
        SOLD,
        lambda t: t.with_columns(pl.col("sold") + 2),
        "sold is [23] for .* A binary target is 0, 1 or null",
    ),
]


@pytest.mark.parametrize(("model", "change", "said"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_a_table_that_cannot_be_learnt_from_is_refused_by_name(model: Model, change: Change, said: str) -> None:
    with pytest.raises(Refused, match=f"model {model.name}: .*{said}"):
        training_frame(model, change(table().lazy()))


@pytest.mark.parametrize(("days", "said"), [(1, "has 1 known days to learn from, 14 are"), (13, "has 13 known days")])
def test_too_few_days_are_refused_with_how_many_are_needed(days: int, said: str) -> None:
    with pytest.raises(Refused, match=said):
        fit(LAMPS, training_frame(LAMPS, table(known=days).lazy()))
    with pytest.raises(Refused, match=rf"has {days} known days; {least_days(LAMPS)} are needed: 14 to be judged on, and 14 before"):
        cut_of(LAMPS, table(known=days).lazy())


def test_a_target_that_never_changes_is_refused_with_its_value() -> None:
    rows = table().with_columns(pl.when(pl.col("units").is_not_null()).then(pl.lit(5)).alias("units"))
    with pytest.raises(Refused, match="units is 5 in each of 280 rows, so there is nothing to learn"):
        fit(LAMPS, training_frame(LAMPS, rows.lazy()))


def test_a_target_of_days_to_come_is_refused() -> None:
    with pytest.raises(Refused, match=f"units is known for {LAST}, and today is {CUT}. Make targets of days to come null"):
        cut_of(LAMPS, table().lazy(), CUT)
    with pytest.raises(Refused, match=f"units is known for {LAST}, and today is {CUT}"):
        training_frame(LAMPS, table().lazy(), today=CUT)
