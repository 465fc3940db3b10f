"""What follows from a judgement: a refit and its promotion, the naive forecast in its place, or a rejection. Each follows once.

A run that was killed half-way is taken up where it ended: a refit that stands there is used, a decision that stands there holds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import polars as pl

from lightkeeper.errors import Refused
from lightkeeper.lake.table import Lake
from lightkeeper.measure.novelty import Reference
from lightkeeper.models.backtesting import backtest, matured, reach
from lightkeeper.models.decisions import decided, decisions, expected, numbered, promoted
from lightkeeper.models.model import Model
from lightkeeper.models.registry import (
    Made,
    Trained,
    as_calibration,
    as_declared,
    last_number,
    read_version,
    same_as_before,
    version_row,
)
from lightkeeper.models.training import Artifact, fit, training_frame
from lightkeeper.values import Decision, TableVersion

__all__ = ["Bench", "Write", "by_hand", "follow", "unfollowed"]

_AS_GOOD = ("tie", "worse", "not_better_than_naive", "better_as_it_serves")  # the champion is no worse for being old

Write = Callable[[pl.DataFrame, int, TableVersion], None]  # the row, its number, the table version that it learnt from


@dataclass(frozen=True)
class Bench:
    """Where a refit is made: the lake, the versions that are there, what it is made with, who asks, and how its row is written."""

    model: str
    lake: Lake
    versions: pl.LazyFrame
    environment: Mapping[str, object]
    by: str
    run_id: str | None
    write: Write


def unfollowed(lake: Lake, model: str, judgements: pl.LazyFrame) -> Mapping[str, Any] | None:
    """The newest judgement, if nothing has followed from it yet."""
    newest = judgements.filter(pl.col("judgement") == pl.col("judgement").max()).head(1).collect()
    if newest.is_empty():
        return None
    row = newest.row(0, named=True)
    followed = decisions(lake, model).filter(pl.col("action") != "judged")["judgement"].to_list()
    return None if row["judgement"] in followed else row


def follow(bench: Bench, judgement: Mapping[str, Any]) -> int | None:
    """Do what a judgement says; the number of the version that serves by it, None where the champion stays.

    Raises Conflict: another version serves than the one that was judged against.
    """
    said = Decision(
        bench.model, "rejected", judgement["challenger"], bench.by, judgement["why"], judgement["champion"], judgement["code"],
        judgement=judgement["judgement"], pins=(judgement["table_version"],), run_id=bench.run_id, matured=judgement["last_day"],
    )  # fmt: skip
    stays = replace(said, action="confirmed") if _by_age(bench) and judgement["code"] in _AS_GOOD else said
    if judgement["action"] == "reject":
        decided(bench.lake, stays)
        return None
    number = 0 if judgement["action"] == "naive" else _refitted(bench, judgement)
    moved = promoted(bench.lake, replace(said, action="promoted", version=number), expected(decisions(bench.lake), judgement))
    if not moved and number == 0:
        decided(bench.lake, stays)
    return number


def _by_age(bench: Bench) -> bool:
    """Whether the run was asked for by nothing but the champion's age."""
    rows = decisions(bench.lake, bench.model).filter(pl.col("action") == "attempted", pl.col("run_id") == bench.run_id)
    return bench.run_id is not None and rows["cause"].to_list()[-1:] == ["age"]


def _refitted(bench: Bench, judgement: Mapping[str, Any]) -> int:
    """The number of the version that is the judged challenger's recipe, fitted up to the present of the judged table."""
    challenger = read_version(bench.model, bench.versions, judgement["challenger"])
    model, at = as_declared(challenger.row), TableVersion.parse(judgement["table_version"])
    table = bench.lake.read(at.table, at)
    rows = training_frame(model, table)
    artifact = fit(model, rows, challenger.row["rounds"])
    same = same_as_before(bench.versions, artifact, "refit")
    if same is not None:  # a run that was killed wrote it
        _note(bench, same, challenger, at, artifact)
        return same
    number = max(last_number(bench.versions), numbered(decisions(bench.lake), bench.model)) + 1
    made = Made(
        (at,), bench.lake.clock(), bench.environment, "refit", challenger.version.number,
        as_calibration(_past(model, challenger, table)), _reference(artifact, rows),
    )  # fmt: skip
    bench.write(version_row(model, number, artifact, made), number, at)
    _note(bench, number, challenger, at, artifact)
    return number


def _note(bench: Bench, number: int, challenger: Trained, at: TableVersion, artifact: Artifact) -> None:
    """That a refit was trained, once, whoever wrote it."""
    rows = decisions(bench.lake, bench.model)
    if rows.filter(pl.col("action") == "trained", pl.col("version") == number).is_empty():
        why = f"{challenger.version} fitted again on {artifact.rows:,} rows of {at} up to {artifact.last}"
        said = Decision(
            bench.model, "trained", number, bench.by, why, pins=(str(at),), run_id=bench.run_id, matured=artifact.last
        )  # fmt: skip
        decided(bench.lake, said)


def _past(model: Model, challenger: Trained, table: pl.LazyFrame) -> pl.DataFrame:
    """Forecasts that the intervals stand on: the challenger's of the judged days, and backtests of stretches before."""
    judged = matured(model, challenger, table)
    earlier = [challenger.last_day - timedelta(model.judged_days * n) for n in range(1, model.windows)]
    known = table.filter(pl.col(model.target).is_not_null()).select(pl.col(model.time).unique()).collect()[model.time]
    first = reach(model, known)
    enough = [one for one in earlier if first is not None and one >= first]
    return judged if not enough else pl.concat([backtest(model, table, enough).select(judged.columns), judged])


def _reference(artifact: Artifact, rows: pl.DataFrame) -> bytes:
    fitted = artifact.fitted
    return Reference.of(fitted.matrix(rows), fitted.features, tuple(fitted.categories)).to_bytes()


def by_hand(lake: Lake, model: str, number: int, who: str, why: str) -> bool:
    """A person promotes a version (0: the naive forecast); False when it serves already.

    Raises Refused: there is no such version, or no reason. ModelAltered: its bytes are not those that were recorded.
    """
    if number:
        assert_serves(lake, model, number)
    return promoted(lake, Decision(model, "promoted", number, who, why, code="by_hand"))


def assert_serves(lake: Lake, model: str, number: int) -> None:
    """Raise Refused or ModelAltered unless a version is there, with the bytes that were recorded."""
    if number == 0:
        return
    if not lake.exists(f"{model}_model"):
        raise Refused(f"model {model} has no version yet. Materialize {model}_model.")
    read_version(model, lake.read(f"{model}_model"), number)
