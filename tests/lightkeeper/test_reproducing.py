"""A past model is rebuilt from what it learnt from: the same, nearly the same, another, or it cannot be."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import polars as pl
import pytest

from lightkeeper.errors import Refused
from lightkeeper.lake.table import Lake
from lightkeeper.models.environment import differences, environment, lock_hash
from lightkeeper.models.registry import Made, version_row
from lightkeeper.models.reproducing import verify
from lightkeeper.models.training import fit, training_frame
from lightkeeper.values import ModelVersion
from tests.lightkeeper.lamps import CUT, FEATURES, LAMPS, NOW, table

ONE = ModelVersion("lamps", 1)


def stored(folder: Path, change: pl.Expr | None = None, **other: str) -> Lake:
    """A lake with a feature table and a version; of its row an artifact or the environment may be changed."""
    lake = Lake(folder)
    lake.write("lamp_features", table())
    artifact = fit(LAMPS, training_frame(LAMPS, table().lazy(), CUT))
    one = version_row(LAMPS, 1, artifact, Made((FEATURES,), NOW, {**environment(), **other}))
    lake.append("lamps_model", one if change is None else one.with_columns(change))
    return lake


def resealed(lake: Lake, parts: dict[str, bytes]) -> None:
    """The version with other trees, under a sha256 that fits them."""
    from lightkeeper.models.scoring import Fitted

    names = {"point": "artifact", "low": "artifact_low", "high": "artifact_high"}
    sha = Fitted((), {}, parts).sha256
    row = (
        lake.read("lamps_model")
        .collect()
        .with_columns(pl.lit(sha).alias("sha256"), *(pl.lit(parts[p]).alias(c) for p, c in names.items()))
    )
    lake.write("lamps_model", row)


def moved(lake: Lake, place: int) -> dict[str, bytes]:
    """The stored trees with one digit of the first leaf changed, counted from its first; the text keeps its length."""
    row = lake.read("lamps_model").collect().row(0, named=True)
    parts = {"point": row["artifact"], "low": row["artifact_low"], "high": row["artifact_high"]}
    head, mark, rest = parts["point"].partition(b"leaf_value=")
    value, space, tail = rest.partition(b" ")
    digits = [n for n, one in enumerate(value) if chr(one).isdigit()]
    at = digits[place]
    other = b"5" if value[at : at + 1] == b"9" else bytes([value[at] + 1])
    return {**parts, "point": head + mark + value[:at] + other + value[at + 1 :] + space + tail}


def test_the_same_trees_are_identical(tmp_path: Path) -> None:
    found = verify(stored(tmp_path), ONE)
    assert (found.answer, found.largest, found.environment) == ("IDENTICAL", 0.0, ())
    assert found.why == "the same trees, byte for byte, from 224 rows of lamp_features@0."


def test_a_later_version_of_the_table_changes_nothing(tmp_path: Path) -> None:
    lake = stored(tmp_path)
    lake.write("lamp_features", table(2))
    assert verify(lake, ONE).answer == "IDENTICAL"


def test_trees_that_differ_by_rounding_on_another_processor_are_equivalent_and_which_is_told(tmp_path: Path) -> None:
    lake = stored(tmp_path, processor="an abacus")
    resealed(lake, moved(lake, 11))
    found = verify(lake, ONE)
    assert found.answer == "EQUIVALENT"
    assert 0 < float(str(found.largest)) < 1e-8
    assert "processor an abacus then" in found.why


def test_the_same_difference_with_the_same_libraries_and_processor_is_different(tmp_path: Path) -> None:
    lake = stored(tmp_path)
    resealed(lake, moved(lake, 11))
    found = verify(lake, ONE)
    assert (found.answer, "with the same libraries and processor" in found.why) == ("DIFFERENT", True)


def test_a_large_difference_is_different_on_any_processor(tmp_path: Path) -> None:
    lake = stored(tmp_path, processor="an abacus")
    resealed(lake, moved(lake, 0))
    found = verify(lake, ONE)
    assert found.answer == "DIFFERENT"
    assert float(str(found.largest)) > 0.5


def test_a_row_that_says_it_learnt_from_other_rows_is_different(tmp_path: Path) -> None:
    found = verify(stored(tmp_path, pl.lit("of other rows").alias("training_hash")), ONE)
    assert (found.answer, "gives other rows than the 224 that lamps:v1 learnt from" in found.why) == ("DIFFERENT", True)


def test_what_is_missing_is_told(tmp_path: Path) -> None:
    lake = stored(tmp_path / "gone")
    for file in (tmp_path / "gone/lamp_features").glob("*.parquet"):
        file.unlink()
    assert (
        "lamp_features@0 cannot be read as it was: lamp_features@0: 1 of its 1 files are not there any more"
        in verify(lake, ONE).why
    )
    altered = stored(tmp_path / "altered", pl.lit(b"tree").alias("artifact"))
    shutil.rmtree(tmp_path / "gone/lamp_features")
    answers = [verify(lake, ONE).answer, verify(altered, ONE).answer]
    assert answers == ["CANNOT", "CANNOT"]


def test_a_model_or_a_version_that_there_is_not_is_refused(tmp_path: Path) -> None:
    lake = stored(tmp_path)
    with pytest.raises(Refused, match="holds no model bowls"):
        verify(lake, ModelVersion("bowls", 1))
    with pytest.raises(Refused, match="model lamps has no version 9; it has v1"):
        verify(lake, ModelVersion("lamps", 9))


def test_an_environment_names_libraries_processor_and_lock_file(tmp_path: Path) -> None:
    assert lock_hash(tmp_path) is None
    (tmp_path / "requirements.lock").write_text("polars==2.1.0")
    now = environment(tmp_path)
    assert str(now["lock"]).startswith("requirements.lock:")
    assert {"lightgbm", "numpy", "polars", "python", "machine", "processor"} <= set(now)
    assert json.loads(json.dumps(now)) == now
    assert differences(now, now) == []
    assert differences({**now, "polars": "1.0"}, now) == [f"polars 1.0 then, {now['polars']} now"]


@pytest.mark.parametrize("kept", [0, 0.5], ids=["empty", "truncated"])
def test_a_table_whose_file_is_broken_cannot_be_read_and_that_is_told(tmp_path: Path, kept: float) -> None:
    lake = stored(tmp_path)
    (file,) = (tmp_path / "lamp_features").glob("*.parquet")
    whole = file.read_bytes()
    file.write_bytes(whole[: int(len(whole) * kept)])
    assert verify(lake, ONE).answer == "CANNOT"


@pytest.mark.parametrize("change", [pl.col("units") + 1, pl.col("units") * 0], ids=["others", "constant"])
def test_a_table_whose_rows_were_changed_under_it_is_different(tmp_path: Path, change: pl.Expr) -> None:
    lake = stored(tmp_path)
    there = tmp_path / "elsewhere"
    Lake(there).write("lamp_features", table().with_columns(change))
    for name in ("lamp_features",):
        shutil.rmtree(tmp_path / name)
        shutil.copytree(there / name, tmp_path / name)
    found = verify(lake, ONE)
    assert (found.answer, "another content hash" in found.why) == ("DIFFERENT", True)


def test_a_declaration_that_this_release_refuses_is_told_as_such(tmp_path: Path) -> None:
    lake = stored(tmp_path)
    row = lake.read("lamps_model").collect()
    odd = json.dumps({**json.loads(row["declared"][0]), "season": 0})
    lake.write("lamps_model", row.with_columns(declared=pl.lit(odd)))
    found = verify(lake, ONE)
    assert found.answer == "CANNOT"
    assert found.why.startswith(
        "this release refuses what it was declared by, use the one that trained it: model lamps: season is 0"
    )
