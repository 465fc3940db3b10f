"""The benchmarks run and give figures in one form. How fast anything is, is not asserted here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import run
from benchmarks.machine import commit, environment, load, machine, noise, versions
from benchmarks.startup import left_over

ROOT = Path(__file__).resolve().parent.parent
KEYS = {"what", "ours_s", "theirs_s", "ratio", "spread", "limit", "limit_of", "met", "n", "unit"}


def result(**row: Any) -> dict[str, Any]:
    """A result with one row."""
    return {
        "name": "chain", "measured_at": "2026-11-22T10:00:00+00:00", "quick": False, "commit": "a" * 40, "dirty": False,
        "versions": versions(), "machine": machine(), "load": {"before": [0.1, 0, 0], "after": [0.2, 0, 0]},
        "noise": {when: {"sort": {"median_s": 0.05, "spread": 0.1}} for when in ("before", "after")},
        "rows": run.adapted("chain", {"rows": [{"what": "whole chain", "spread": [1.0, 2.0], "ours_s": 1.5, **row}]}),
    }  # fmt: skip


# each quick run costs what its sizes cost; the two that start servers or many processes are for the night
@pytest.mark.parametrize(
    "name",
    [
        "ticks",
        pytest.param("chain", marks=pytest.mark.nightly),
        pytest.param("policy", marks=pytest.mark.nightly),
        pytest.param("latency", marks=pytest.mark.nightly),
        pytest.param("lake", marks=pytest.mark.nightly),
        pytest.param("features", marks=pytest.mark.nightly),
        pytest.param("startup", marks=pytest.mark.nightly),
        pytest.param("gate", marks=pytest.mark.nightly),
        pytest.param("training", marks=pytest.mark.nightly),
    ],
)
def test_the_quick_run_of_each_benchmark_keeps_figures_with_what_they_were_measured_on(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_OFFLINE", "1")
    assert run.main(["--quick", "--only", name, "--results", str(tmp_path)]) == 0
    (kept,) = (json.loads(path.read_text()) for path in tmp_path.glob(f"20*-{name}.json"))
    assert kept["quick"]
    assert kept["versions"].keys() >= {"python", "dagster", "polars", "deltalake", "lightgbm", "pyarrow"}
    assert all(row.keys() >= KEYS for row in kept["rows"])
    assert all(row["ours_s"] is not None or row["ratio"] is not None for row in kept["rows"])
    assert all(0 <= row["spread"][0] <= row["spread"][1] for row in kept["rows"])


def test_the_machine_says_what_it_is_and_how_much_it_varies() -> None:
    assert int(str(machine()["cores"])) >= 1
    assert len(load()) == 3
    assert commit().keys() == {"commit", "dirty"}
    assert all(one["median_s"] > 0 and one["spread"] >= 0 for one in noise(turns=3).values())


def test_no_side_of_a_benchmark_runs_without_compiled_sources_or_in_somebody_s_home(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("PYTHONDONTWRITEBYTECODE", "LIGHTKEEPER_HOME", "KEPT"):
        monkeypatch.setenv(name, "1")
    assert environment().keys() & {"PYTHONDONTWRITEBYTECODE", "LIGHTKEEPER_HOME", "KEPT"} == {"KEPT"}


@pytest.mark.parametrize(("limit", "missed"), [(1.4, 1), (1.5, 0), (None, 0)])
def test_a_figure_over_its_limit_is_named_with_the_noise_beside_it(limit: float | None, missed: int) -> None:
    said = run._missed(result(limit=limit))
    assert len(said) == missed
    assert all("whole chain: 1.50 s, at most 1.40 s" in line and "load 0.1-0.2" in line for line in said)


def test_a_limit_on_a_ratio_bounds_the_ratio_and_not_the_seconds() -> None:
    found = {"write": {"unit": "x", "median": 1.6, "spread": [1.5, 1.7], "limit": 1.5, "bare_s": 0.4, "noise": 0.1}}
    (row,) = run.adapted("lake", found)
    assert (row["ratio"], row["theirs_s"], row["met"]) == (1.6, 0.4, False)


def test_features_without_a_peer_are_told_without_a_ratio() -> None:
    units = {unit: {"median": 2.0, "min": 1.0, "max": 3.0} for unit in ("seconds", "megabytes")}
    rows = run.adapted("features", {"cases": {"ours in memory": units}, "ratios": {}})
    assert [(row["what"], row["unit"], row["met"]) for row in rows] == [
        ("in memory, seconds", "s", None),
        ("in memory, megabytes", "MB", None),
    ]


def test_the_page_takes_new_tables_and_keeps_its_text() -> None:
    text = "Before.\n<!-- figures: chain -->\nold\n<!-- end: chain -->\nAfter <!-- figures: lake -->.\n"
    renewed = run.page(text, {"chain": result(limit=2.0)})
    assert renewed.startswith("Before.\n")
    assert renewed.endswith("After <!-- figures: lake -->.\n")
    assert "old" not in renewed
    assert "| whole chain | 1.50 s |" in renewed
    assert run.page(renewed, {"chain": result(limit=2.0)}) == renewed


def test_what_was_called_what_stands_in_a_table_of_its_own_with_the_seeds_that_it_adds_up_to() -> None:
    confusion = {"quiet": {"nothing": 7, "drift": 3}, "late": {"arrival": 9, "nothing": 1}}
    text = run.rendered({**result(), "found": {"confusion": confusion}})
    table = text.partition("\n\n")[2].partition("\n\n")[0].splitlines()
    assert table == [
        "| scenario | nothing | drift | arrival | seeds |",
        "| --- | ---: | ---: | ---: | ---: |",
        "| quiet | 7 | 3 |  | 10 |",
        "| late | 1 |  | 9 | 10 |",
    ]
    assert "scenario" not in run.rendered(result())


def test_the_page_shows_the_newest_kept_result_of_each_benchmark() -> None:
    text = (ROOT / "docs" / "benchmarks.md").read_text()
    assert run.page(text, run._newest(ROOT / "benchmarks" / "results")) == text


def test_the_readme_says_how_often_drift_is_called_on_quiet_days_as_the_kept_result_does() -> None:
    rows = run._newest(ROOT / "benchmarks" / "results")["drift"]["found"]["rows"]
    quiet = [row for row in rows if row["what"].startswith("quiet days, ")]
    shares, worst = [row["ours_s"] for row in quiet], max(row["spread"][1] for row in quiet)
    text = " ".join((ROOT / "README.md").read_text().split())
    assert f"Over {len(quiet)} settings of made-up days" in text
    assert (
        f"drift was called on {min(shares):.1f} to {max(shares):.2f}% of quiet days on average, and on {worst:.1f}% of them" in text
    )


def test_a_process_that_was_started_for_a_home_is_seen_until_it_has_ended(tmp_path: Path) -> None:
    env = {**os.environ, "LIGHTKEEPER_HOME": str(tmp_path)}
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, env=env)
    try:
        if Path("/proc/self/environ").exists():
            assert process.pid in left_over(tmp_path)
    finally:
        process.communicate(b"\n", timeout=60)
    assert left_over(tmp_path) == {}
