"""Every block of the README and of the pages under docs/ runs."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest

import lightkeeper as lk

ROOT = Path(__file__).resolve().parent.parent
_BLOCK = re.compile(r"^```(\w+)(?: file=(\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, the file it is to be saved as, its text."""

    language: str
    file: str | None
    text: str


def blocks(page: str) -> list[Block]:
    return [Block(*found.groups()) for found in _BLOCK.finditer((ROOT / page).read_text())]


def run(words: list[str], folder: Path, **environ: str) -> str:
    inherited = {name: value for name, value in os.environ.items() if name not in {"LIGHTKEEPER_HOME", "DAGSTER_HOME"}}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        words, cwd=folder, env={**inherited, "PATH": path, **environ}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{words}: {done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def own_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project of docs/your-own-data.md, with two months of files, as its reader has it after step 3."""
    folder = tmp_path_factory.mktemp("own")
    for block in blocks("docs/your-own-data.md"):
        if block.file:
            (folder / block.file).parent.mkdir(parents=True, exist_ok=True)
            (folder / block.file).write_text(block.text)
    for number in range(1, 61):
        day = date(2026, 10, 23) - timedelta(number)
        lines = "".join(f"{product},{5 + (number + len(product)) % 7}\n" for product in ("bolt", "nut"))
        (folder / f".lightkeeper/landing/orders/orders-{day}.csv").write_text(f"product,pieces\n{lines}")
    for block in blocks("docs/your-own-data.md"):
        if block.language == "sh":
            for command in block.text.splitlines():
                run(shlex.split(command), folder)
    return folder


def test_the_page_for_ones_own_data_leads_from_csv_files_to_a_forecast(own_project: Path) -> None:
    lake = lk.Lake(own_project / ".lightkeeper/lake")
    forecast = lake.read("orders_ahead_forecast").collect()
    assert forecast.height == 2 * 7
    assert forecast["day"].min() == date(2026, 10, 24)
    assert forecast["pieces_forecast"].is_between(0, 12).all()
    assert forecast["model_version"].unique().to_list() == ["orders_ahead:naive"]  # each week repeats the last one


def test_the_line_with_a_thousands_separator_is_kept_beside_the_table(own_project: Path) -> None:
    rejected = lk.Lake(own_project / ".lightkeeper/lake").read("orders_rejected").collect()
    assert rejected.select("row", "pieces", "rule").rows() == [(3, "1,200", "pieces_is_int")]


def test_the_python_block_for_reading_runs_beside_the_home(own_project: Path) -> None:
    block = next(one for one in blocks("docs/your-own-data.md") if one.language == "python" and not one.file)
    assert "orders@0" in run([sys.executable, "-c", block.text], own_project)


def test_the_block_for_a_project_of_somebody_else_gives_versions_with_lineage(own_project: Path) -> None:
    words = "import foreign; foreign.defs.resolve_implicit_global_asset_job_def().execute_in_process()"
    run([sys.executable, "-c", words], own_project)
    lake = lk.Lake(own_project / "lake")
    assert lake.read("dear").collect().equals(pl.DataFrame({"product": ["bolt"], "pence": [7]}))
    assert [str(node.version) for node in lake.lineage("dear@0").nodes] == ["prices@0"]


MADE_ANEW = {"orders", "order_features", "orders_ahead_forecast", "orders_ahead_outcome", "orders_ahead_explanation"}


def versions(project: Path) -> dict[str, int]:
    return {name: one.version for name, one in lk.Lake(project / ".lightkeeper/lake").versions().items()}


def test_building_ones_own_data_again_lands_only_what_is_new_and_trains_nothing(own_project: Path) -> None:
    before = versions(own_project)
    run(["lightkeeper", "build"], own_project)
    assert versions(own_project) == before
    (own_project / ".lightkeeper/landing/orders/orders-2026-10-24.csv").write_text("product,pieces\nbolt,5\nnut,6\n")
    (own_project / ".lightkeeper/landing/orders/orders-2962-10-24.csv").write_text("product,pieces\nbolt,5\n")  # a slip
    run(["lightkeeper", "build"], own_project)
    after = versions(own_project)
    assert {name for name in after if after[name] != before[name]} == MADE_ANEW
    days = lk.Lake(own_project / ".lightkeeper/lake").read("orders").collect()["day"]
    assert days.max() == date(2026, 10, 24)
