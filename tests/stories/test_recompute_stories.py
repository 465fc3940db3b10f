"""Stories of tables computed again: by the code that made them, as of a day, and with nothing left behind."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import dagster as dg
import polars as pl
import pytest

import lightkeeper as lk
from assets import LANDINGS, MODELS, TABLES
from lightkeeper.orchestrate.recompute import assert_known_ahead, leaks, metadata_of, recomputed
from lightkeeper.orchestrate.worktree import checked_out, content_hash, deep
from tests.harness import Story

ROOT = Path(__file__).resolve().parents[2]
FEATURES, DEMAND = lk.TableVersion("demand_features", 0), lk.TableVersion("daily_demand", 0)
SHOP = """\
import dagster as dg
import polars as pl
from shop import FACTOR


@dg.asset
def lines() -> pl.DataFrame:
    return pl.DataFrame({"x": [1, 2]})


@dg.asset
def doubled(lines: pl.LazyFrame) -> pl.LazyFrame:
    return lines.select(pl.col("x") * FACTOR)


defs = dg.Definitions([lines, doubled])
"""


def git(folder: Path, *words: str) -> str:
    who = ["-c", "user.name=A Person", "-c", "user.email=person@example.com", "-c", "commit.gpgsign=false"]
    command = ["git", "-C", str(folder), *who, *words]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    return subprocess.run(command, capture_output=True, text=True, check=True, env=clean).stdout.strip()


def committed(folder: Path) -> str:
    """Everything in the folder as a commit, in a repository of its own."""
    if not (folder / ".git").exists():
        git(folder, "init", "--quiet")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--allow-empty", "--message", "as it stands")
    return git(folder, "rev-parse", "HEAD")


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A project in a subfolder of a repository, that knows no Lightkeeper but the installed one."""
    folder = tmp_path / "repository" / "shop"
    folder.mkdir(parents=True)
    (folder / "definitions.py").write_text(SHOP)
    (folder / "shop.py").write_text("FACTOR = 2\n")
    return folder


@pytest.fixture
def lake(tmp_path: Path) -> lk.Lake:
    made = lk.Lake(tmp_path / "lake")
    made.write("lines", pl.DataFrame({"x": [1, 2]}))
    return made


def doubled(lake: lk.Lake, commit: str | None, *, dirty: bool | None = False, rows: tuple[int, ...] = (2, 4)) -> lk.TableVersion:
    """A version of the table `doubled`, recorded as made by a commit."""
    stamp = lk.Stamp(git_commit=commit, git_dirty=dirty)
    return lake.write("doubled", pl.DataFrame({"x": rows}), inputs=[lk.TableVersion("lines", 0)], stamp=stamp)


def left(repository: Path) -> list[str]:
    """The worktrees that git knows beside the repository itself."""
    return [line for line in git(repository, "worktree", "list", "--porcelain").splitlines() if "lightkeeper-worktree" in line]


# ---- the code that made it


def test_a_version_is_the_same_by_its_own_code_although_the_project_has_moved_on(shop: Path, lake: lk.Lake) -> None:
    made = doubled(lake, committed(shop.parent))
    (shop / "shop.py").write_text("FACTOR = 3\n")
    committed(shop.parent)
    (shop / "definitions.py").write_text("raise RuntimeError('half written')\n")
    found = deep(shop, "definitions", lake.root, made)
    assert (found.state, found.library, found.found) == ("same", "installed", lake.commit(made).content_hash)
    assert found.why.startswith("doubled@0, computed from lines@0 with the code of ")
    assert git(shop.parent, "status", "--porcelain") == "M shop/definitions.py"
    assert left(shop.parent) == []


def test_rows_that_the_recorded_code_does_not_give_are_different(shop: Path, lake: lk.Lake) -> None:
    found = deep(shop, "definitions", lake.root, doubled(lake, committed(shop.parent), rows=(2, 5)))
    assert (found.state, found.found == found.recorded) == ("different", False)
    assert "has 2 rows with the content hash" in found.why


def test_columns_that_the_recorded_code_does_not_give_are_different(shop: Path, lake: lk.Lake) -> None:
    stamp = lk.Stamp(git_commit=committed(shop.parent), git_dirty=False)
    made = lake.write("doubled", pl.DataFrame({"y": [2, 4]}), inputs=[lk.TableVersion("lines", 0)], stamp=stamp)
    found = deep(shop, "definitions", lake.root, made)
    assert found.state == "different"
    assert "'y' is missing" in found.why


def unknown(_: Path) -> str:
    return "0" * 40


def broken(shop: Path) -> str:
    (shop / "shop.py").unlink()
    return committed(shop.parent)


@pytest.mark.parametrize(
    ("commit", "dirty", "why"),
    [
        (None, None, "no git commit recorded"),
        (unknown, False, "is not in the repository"),
        (lambda _: "--help", False, "which cannot be one"),
        (lambda shop: committed(shop.parent), True, "made with code that differed from"),
        (broken, False, "No module named 'shop'"),
    ],
)
def test_a_version_whose_code_is_not_there_is_said_so(
    shop: Path, lake: lk.Lake, commit: Callable[[Path], str] | None, why: str, *, dirty: bool | None
) -> None:
    committed(shop.parent)
    found = deep(shop, "definitions", lake.root, doubled(lake, commit(shop) if commit else None, dirty=dirty))
    assert found.state == "cannot"
    assert why in found.why
    assert left(shop.parent) == []


def test_inputs_that_are_gone_and_tables_of_landed_files_are_said_so(shop: Path, lake: lk.Lake) -> None:
    made = doubled(lake, committed(shop.parent))
    for file in Path(lake.root, "lines").glob("*.parquet"):
        file.unlink()
    assert "files are not there any more" in deep(shop, "definitions", lake.root, made).why
    assert "has no git commit recorded" in deep(shop, "definitions", lake.root, lk.TableVersion("lines", 0)).why
    with pytest.raises(lk.NoSuchVersion):
        deep(shop, "definitions", lake.root, lk.TableVersion("lines", 9))


def test_a_module_that_only_the_working_tree_has_is_never_taken_for_the_commits(
    shop: Path, lake: lk.Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = doubled(lake, broken(shop))
    (shop / "shop.py").write_text("FACTOR = 2\n")
    monkeypatch.setenv("PYTHONPATH", str(shop))
    found = deep(shop, "definitions", lake.root, made)
    assert found.state == "cannot"
    assert "shop.py, which is not in the commit" in found.why


# ---- nothing is left behind


def test_a_worktree_that_a_killed_process_left_is_removed_by_the_next_and_one_in_use_is_not(shop: Path) -> None:
    commit = committed(shop.parent)
    hold = f"""
from pathlib import Path
from lightkeeper.orchestrate.worktree import checked_out
with checked_out(Path({str(shop)!r}), {commit!r}) as tree:
    print(tree, flush=True)
    input()
"""
    held = subprocess.Popen([sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert held.stdout is not None
    tree = Path(held.stdout.readline().strip())
    with checked_out(shop, commit) as other:
        assert (other / "shop.py").read_text() == (tree / "shop.py").read_text()
        assert len(left(shop.parent)) == 2
    held.send_signal(signal.SIGKILL)
    held.communicate()
    assert tree.exists()
    with checked_out(shop, commit):
        assert len(left(shop.parent)) == 1
    assert (left(shop.parent), tree.exists()) == ([], False)


def test_a_failure_inside_and_a_worktree_of_the_users_own_leave_the_repository_as_it_was(shop: Path, tmp_path: Path) -> None:
    commit = committed(shop.parent)
    git(shop.parent, "worktree", "add", "--detach", str(tmp_path / "own"), commit)
    shutil.rmtree(tmp_path / "own")  # as on a disk that is not mounted just now
    before = git(shop.parent, "worktree", "list")
    with pytest.raises(ValueError, match="inside"), checked_out(shop, commit):
        raise ValueError("inside")
    assert git(shop.parent, "worktree", "list") == before


# ---- the example company


def test_the_features_of_the_example_are_what_their_inputs_give(history: Story) -> None:
    for at in (FEATURES, DEMAND):
        inputs = {one.version.table: one.version for one in history.lake.commit(at).inputs}
        frame = recomputed(history.defs, history.lake, at.table, inputs)
        assert content_hash(history.lake, at, frame) == history.lake.commit(at).content_hash


@pytest.mark.nightly
def test_a_day_that_was_added_by_an_increment_is_the_same_when_the_recorded_commit_computes_the_whole(
    story: Story, next_day: date, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tmp_path / "project"
    for folder in ("assets", "resources", "sensors", "platform"):
        shutil.copytree(ROOT / folder, project / folder, ignore=shutil.ignore_patterns("__pycache__", "data"))
    shutil.copy(ROOT / "definitions.py", project)
    shutil.copy(ROOT / "pyproject.toml", project)
    commit = committed(project)
    monkeypatch.chdir(project)
    story.release(next_day, next_day)
    story.land(next_day)
    made = story.lake.version("demand_features")
    assert (story.lake.commit(made).mode, story.lake.commit(made).git_commit) == ("replace", commit)
    found = deep(project, "definitions", story.home.lake, made)
    assert (found.state, found.library, left(project)) == ("same", "recorded", [])


@pytest.mark.parametrize("days_before", [1, 28, 61])
def test_no_feature_of_the_example_changes_when_the_future_does(history: Story, days_before: int) -> None:
    last = history.rows("daily_demand")["day"].max()
    assert isinstance(last, date)
    assert leaks(history.defs, history.lake, MODELS[0], FEATURES, last - timedelta(days_before)) == []
    assert_known_ahead(MODELS[0], metadata_of(history.defs, "demand_features"))


def test_a_feature_of_the_example_that_knows_too_much_is_caught(story: Story) -> None:
    features = next(one for one in TABLES if one.key == dg.AssetKey("demand_features"))
    honest = features.node_def.compute_fn.decorated_fn

    @dg.asset(name="demand_features", metadata=metadata_of(story.defs, "demand_features"), code_version="leaking")
    def leaking(daily_demand: lk.TableInput, holidays: lk.TableInput) -> lk.TableOutput:
        frame = honest(daily_demand, holidays).frame
        week_ago = pl.col("units").shift(7).over("product", order_by="day").cast(pl.Float64)
        return lk.TableOutput(frame.with_columns(week_ago.alias("units_28d_ago")))

    tables = [one for one in TABLES if one is not features]
    story.defs = lk.project(story.home.root, landings=LANDINGS, assets=[*tables, leaking], models=MODELS, home=story.home)
    story.make("demand_features")
    last = story.rows("daily_demand")["day"].max()
    (found,) = leaks(story.defs, story.lake, MODELS[0], story.lake.version("demand_features"), last - timedelta(28))
    assert (found.feature, found.then) == ("units_28d_ago", None)
    assert found.row["day"] > last - timedelta(28 - 7)
