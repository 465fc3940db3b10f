"""The library stands alone: its wheel, in an empty environment, runs somebody else's project. No network is needed."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tools.setup import uv_environment

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
PROJECT = """
import dagster as dg
import polars as pl
import lightkeeper as lk

@dg.asset
def orders() -> pl.DataFrame:
    return pl.DataFrame({"product": ["lamp", "oil"], "units": [3, 4]})

@dg.asset
def totals(orders: pl.LazyFrame) -> pl.LazyFrame:
    return orders.select(pl.col("units").sum())

dg.materialize([orders, totals], resources={"io_manager": lk.LakeIOManager(root="lake")})
"""
QUESTION = """
import lightkeeper as lk
lake = lk.Lake("lake")
(made,) = lake.history("totals")
print(made.asset, made.version, "from", *(one.version for one in made.inputs), "rows", made.rows)
print(*(node.version for node in lake.lineage(made.version).walk()), lake.read("totals").collect().item())
"""


def run(*words: str | Path, where: Path, **environment: str) -> str:
    """What a command prints; the test fails with the command's own words when it fails."""
    done = subprocess.run(words, cwd=where, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(map(str, words))}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this tree."""
    folder = tmp_path_factory.mktemp("dist")
    run(BIN / "python", "-m", "hatchling", "build", "-t", "wheel", "-d", folder, where=ROOT, PATH="")
    (made,) = folder.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment that holds the wheel and what it requires, from uv's cache alone."""
    environment = tmp_path_factory.mktemp("foreign") / "env"
    offline = {**uv_environment(), "UV_OFFLINE": "1"}
    run(BIN / "uv", "venv", "--python", sys.executable, environment, where=environment.parent, **offline)
    install = ("pip", "install", "--python", environment, "--constraint", ROOT / "requirements.lock", wheel)
    run(BIN / "uv", *install, where=environment.parent, **offline)
    return environment / "bin"


def test_the_wheel_holds_the_library_whole_and_nothing_else(wheel: Path) -> None:
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    library = ROOT / "platform"
    on_disk = {path.relative_to(library).as_posix() for path in library.rglob("*") if path.is_file()}
    assert packed == {name for name in on_disk if "__pycache__" not in name}
    assert {name.split("/")[0] for name in packed} == {"lightkeeper"}
    assert "lightkeeper/py.typed" in packed


def test_the_wheel_carries_the_licence_and_the_command(wheel: Path) -> None:
    files = {name.split(".dist-info/")[1] for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" in name}
    assert {"METADATA", "entry_points.txt", "licenses/LICENSE"} <= files


def test_a_foreign_project_of_ten_lines_gets_versions_and_lineage(installed: Path, tmp_path: Path) -> None:
    assert len(PROJECT.split("\n")) - PROJECT.split("\n").count("") <= 10
    (tmp_path / "project.py").write_text(PROJECT)
    run(installed / "python", "project.py", where=tmp_path, HOME=str(tmp_path), PATH="/usr/bin:/bin")
    answer = run(installed / "python", "-c", QUESTION, where=tmp_path, HOME=str(tmp_path), PATH="/usr/bin:/bin")
    assert answer.splitlines() == ["totals totals@0 from orders@0 rows 1", "totals@0 orders@0 7"]


def test_the_command_starts_outside_any_project(installed: Path, tmp_path: Path) -> None:
    assert "table" in run(installed / "lightkeeper", "--help", where=tmp_path, HOME=str(tmp_path), PATH="/usr/bin:/bin")


def test_the_environment_holds_no_development_tool_and_nothing_of_this_project_but_the_library(installed: Path) -> None:
    packages = {path.name for path in installed.parent.glob("lib/python3*/site-packages/*")}
    assert {"lightkeeper", "dagster", "polars"} <= packages
    assert packages & {"pytest", "hypothesis", "duckdb", "mypy", "assets", "sensors", "resources", "tests", "tools"} == set()
