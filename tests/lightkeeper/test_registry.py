"""The table of a model's versions: what a row holds, and what is not read from it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from lightkeeper.errors import LightkeeperError, Refused
from lightkeeper.lake.table import Lake
from lightkeeper.models.registry import ROW, newest, same_as_newest, version_row
from lightkeeper.models.training import Artifact, train, training_frame
from lightkeeper.values import ModelVersion, TableVersion
from tests.lightkeeper.lamps import FIRST, LAMPS, LAST, table

NOW = datetime(2026, 3, 6, tzinfo=UTC)


def artifact(seed: int = 1) -> Artifact:
    return train(LAMPS, training_frame(LAMPS, table(seed).lazy()))


def row(number: int = 1, seed: int = 1) -> pl.DataFrame:
    return version_row(LAMPS, number, artifact(seed), [TableVersion("lamp_features", 12)], NOW)


def test_a_row_holds_the_bytes_their_sha256_the_parameters_and_what_they_were_learnt_from(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    lake.append("lamps_model", row())
    found = lake.read("lamps_model").collect().row(0, named=True)
    assert (found["model"], found["version"], found["learnt_from"]) == ("lamps", 1, ["lamp_features@12"])
    assert hashlib.sha256(found["artifact"]).hexdigest() == found["sha256"]
    assert json.loads(found["params"]) == LAMPS.lightgbm_params
    assert (found["rows"], found["first_day"], found["last_day"]) == (240, str(FIRST), str(LAST))
    assert (found["target"], found["features"], found["horizon"]) == ("units", list(LAMPS.features), 7)
    assert (found["seed"], found["threads"], found["trained_at"]) == (1, 1, NOW)
    assert set(found) == set(ROW)


def test_the_newest_version_is_read_whatever_the_order_of_the_rows() -> None:
    versions = pl.concat([row(3, 3), row(10), row(2, 2)]).lazy()
    found = newest(LAMPS, versions)
    assert (found.version, found.data) == (ModelVersion("lamps", 10), artifact().data)
    assert (found.features, found.last_day, found.target) == (LAMPS.features, str(LAST), "units")


def test_the_same_training_again_is_recognised_and_another_is_not() -> None:
    versions = pl.concat([row(1, 2), row(2)]).lazy()
    assert same_as_newest(versions, artifact())
    assert not same_as_newest(versions, artifact(2))
    assert not same_as_newest(versions, replace(artifact(), training_hash="of other rows"))
    assert not same_as_newest(pl.LazyFrame(schema=ROW), artifact())


def test_bytes_that_were_tampered_with_are_refused_and_training_again_mends_them() -> None:
    changed = row().with_columns(pl.lit(row()["artifact"][0].replace(b"tree", b"trew")).alias("artifact"))
    with pytest.raises(LightkeeperError, match=r"lamps:v1: its bytes are not those that were recorded .* Materialize lamps_model"):
        newest(LAMPS, changed.lazy())
    assert not same_as_newest(changed.lazy(), artifact())


def test_a_model_without_a_version_says_what_to_materialize() -> None:
    with pytest.raises(Refused, match=r"model lamps has no version yet\. Materialize lamps_model"):
        newest(LAMPS, pl.LazyFrame(schema=ROW))
