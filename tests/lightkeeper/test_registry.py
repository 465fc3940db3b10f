"""The table of a model's versions: what a row holds, what is read from it, and bytes that somebody changed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from lightkeeper.errors import ModelAltered, Refused
from lightkeeper.lake.table import Lake
from lightkeeper.models.registry import ROW, as_declared, last_number, read_version, same_as_before, summary
from lightkeeper.models.training import cut_of, fit, training_frame
from tests.lightkeeper.lamps import CUT, FIRST, LAMPS, NOW, RETURNS, SOLD, row, table


def test_a_row_holds_the_bytes_their_sha256_the_parameters_and_what_they_were_learnt_from(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    lake.append("lamps_model", row(LAMPS, table()))
    found = lake.read("lamps_model").collect().row(0, named=True)
    assert (found["model"], found["version"], found["role"], found["judged"]) == ("lamps", 1, "challenger", None)
    assert found["learnt_from"] == ["lamp_features@0"]
    assert json.loads(found["params"]) == LAMPS.lightgbm_params
    assert (found["first_day"], found["last_day"], found["trained_at"]) == (FIRST, CUT, NOW)
    assert json.loads(found["categories"]) == {"wick": ["flat", "none", "round"]}
    assert set(found) == set(ROW)


def test_a_version_that_was_read_back_predicts_what_the_fitted_one_did(tmp_path: Path) -> None:
    lake, rows = Lake(tmp_path), training_frame(LAMPS, table().lazy(), CUT)
    lake.append("lamps_model", row(LAMPS, table()))
    again = read_version("lamps", lake.read("lamps_model"), 1).fitted
    assert again.scored(rows).equals(fit(LAMPS, rows).fitted.scored(rows))


@pytest.mark.parametrize("model", [LAMPS, SOLD, RETURNS], ids=lambda model: model.name)
def test_the_declaration_comes_back_from_the_row(model: object) -> None:
    stored = read_version("m", row(model, table()).lazy(), 1)  # type: ignore[arg-type]
    assert as_declared(stored.row) == model


def test_a_version_that_there_is_not_is_refused_with_those_that_there_are() -> None:
    versions = pl.concat([row(LAMPS, table(), 1), row(LAMPS, table(2), 4)]).lazy()
    with pytest.raises(Refused, match=r"model lamps has no version 3; it has v1, v4"):
        read_version("lamps", versions, 3)
    with pytest.raises(Refused, match=r"it has none yet: materialize lamps_model"):
        read_version("lamps", pl.LazyFrame(schema=ROW), 1)
    assert (last_number(versions), last_number(pl.LazyFrame(schema=ROW))) == (4, 0)
    assert summary(versions)["version"].to_list() == [1, 4]


@pytest.mark.parametrize("part", ["artifact", "artifact_low", "artifact_high"])
def test_bytes_that_were_tampered_with_are_refused(part: str) -> None:
    stored = row(LAMPS, table())
    changed = stored.with_columns(pl.lit(stored[part][0].replace(b"tree", b"trew", 1)).alias(part))
    with pytest.raises(ModelAltered, match=r"lamps:v1: its bytes are not those that were recorded .* materialize lamps_model"):
        read_version("lamps", changed.lazy(), 1)


@pytest.mark.parametrize("part", ["calibration", "reference"])
def test_what_intervals_and_novelty_stand_on_is_sealed_as_well(part: str) -> None:
    changed = row(LAMPS, table()).with_columns(pl.lit(b"other").alias(part))
    with pytest.raises(ModelAltered, match=r"lamps:v1: its bytes are not those that were recorded"):
        read_version("lamps", changed.lazy(), 1)


def test_the_same_training_again_is_recognised_and_another_is_not() -> None:
    rows = training_frame(LAMPS, table().lazy(), cut_of(LAMPS, table().lazy()))
    same, versions = fit(LAMPS, rows), pl.concat([row(LAMPS, table(2), 1), row(LAMPS, table(), 2)])
    assert same_as_before(versions.lazy(), same) == 2
    assert same_as_before(versions.lazy(), replace(same, training_hash="of other rows")) is None
    assert same_as_before(versions.lazy(), same, "refit") is None
    assert same_as_before(pl.LazyFrame(schema=ROW), same) is None
    tampered = versions.with_columns(artifact=pl.lit(b"other"))
    assert same_as_before(tampered.lazy(), same) is None
