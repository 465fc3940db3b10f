"""A table version computed again with the code that is recorded to have made it: a git worktree of that commit, its own process.

The user's own working tree is neither read nor changed. How a table is computed from given versions stands in `recompute`.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import polars as pl

import lightkeeper
from lightkeeper.errors import LightkeeperError, Refused, SchemaChanged, TypeRefused
from lightkeeper.lake.record import Commit
from lightkeeper.lake.schema import conform, plan
from lightkeeper.lake.table import Lake
from lightkeeper.lake.versions import last_ours
from lightkeeper.measure.content import digest, sums
from lightkeeper.orchestrate.recompute import recomputed
from lightkeeper.orchestrate.running import load
from lightkeeper.values import TableVersion

__all__ = ["DeepResult", "answer", "checked_out", "content_hash", "deep"]

_PREFIX = "lightkeeper-worktree-"
_LIBRARY = Path(lightkeeper.__file__).resolve().parents[1]
_ASKS = "from lightkeeper.orchestrate.worktree import answer; answer()"
_COMMIT = re.compile("[0-9a-f]{7,64}")


@dataclass(frozen=True, slots=True)
class DeepResult:
    """What a deep verification found.

    Attributes:
        version: that was asked about.
        state: same, different, or cannot (it was not computed).
        why: in one sentence.
        commit: the recorded git commit, where there is one.
        inputs: the versions that it was computed from.
        recorded: the content hash in its commit.
        found: the content hash of the rows that were computed again; None where there is none.
        library: whose Lightkeeper computed them: the recorded commit's own, or the installed one.
    """

    version: TableVersion
    state: Literal["same", "different", "cannot"]
    why: str
    commit: str | None = None
    inputs: tuple[TableVersion, ...] = ()
    recorded: str | None = None
    found: str | None = None
    library: Literal["recorded", "installed"] | None = None


def deep(
    project_folder: Path,
    module: str,
    lake_root: str | Path,
    table_version: TableVersion,
    storage_options: Mapping[str, str] | None = None,
) -> DeepResult:
    """Compute a version's table again from its recorded inputs with its recorded commit's code, and compare content hashes.

    A version that replaced some days is compared as a whole: increments promise to equal the whole. The installed packages
    are used, and the installed Lightkeeper where the commit's tree has none that can be asked.

    Args:
        project_folder: of the project, in its git repository.
        module: that holds `defs`.
        lake_root: of the lake, local or of an object store.
        table_version: to verify.
        storage_options: of the object store.

    Raises:
        NoSuchTable, NoSuchVersion: there is no such version. Everything else that stands in the way is the state "cannot".
    """
    lake = Lake(lake_root, storage_options)
    made = last_ours(lake.store, lake.resolve(table_version.table, table_version))
    why = next(_reasons(made), None) if made else "was written by something else than Lightkeeper: nothing says from what."
    if made is None or why is not None:
        return DeepResult(table_version, "cannot", f"{table_version} {why}", made.git_commit if made else None)
    commit = str(made.git_commit)
    question = {
        "module": module, "lake": lake.root if "://" in lake.root else str(Path(lake.root).resolve()),
        "options": dict(storage_options or {}), "table": made.version.table, "version": made.version.version,
    }  # fmt: skip
    try:
        with checked_out(project_folder, commit) as project:
            library = _library(project)
            said = _asked(project, library, {**question, "top": str(_top(project_folder))})
    except Refused as error:
        return DeepResult(table_version, "cannot", f"{table_version} cannot be computed again: {error}", commit)
    return _result(table_version, made, said, "installed" if library == _LIBRARY else "recorded")


def _reasons(made: Commit) -> Iterator[str]:
    """Why the record of a version does not say how to make it again; nothing where it does."""
    if made.git_commit is None:
        yield "has no git commit recorded: its project was in no git repository. Put the project into git."
    elif not _COMMIT.fullmatch(made.git_commit):
        yield f"has {made.git_commit!r} recorded as its git commit, which cannot be one."
    elif made.git_dirty is not False:
        yield f"was made with code that differed from {made.git_commit[:12]}: commit before you build what must be verified."
    if made.mode in {"migrate", "append"}:
        yield f"was made by {'a migration' if made.mode == 'migrate' else 'appending'}: its inputs alone do not say its rows."
    if made.sources:
        yield "holds rows of landed files; they are verified by their sha256, not computed again."
    if not made.inputs:
        yield "has no inputs recorded: what it was made from is not in the lake."


def _result(version: TableVersion, made: Commit, said: Mapping[str, Any], library: Literal["recorded", "installed"]) -> DeepResult:
    inputs = tuple(one.version for one in made.inputs)
    shared: dict[str, Any] = {"commit": made.git_commit, "inputs": inputs, "recorded": made.content_hash, "library": library}
    if "cannot" in said:
        return DeepResult(version, "cannot", f"{version} cannot be computed again: {said['cannot']}", **shared)
    by = f"computed from {', '.join(map(str, inputs))} with the code of {str(made.git_commit)[:12]}"
    if "differs" in said:
        return DeepResult(version, "different", f"{version}, {by}, has other columns: {said['differs']}", **shared)
    found, rows = said["hash"], said["rows"]
    if found == made.content_hash:
        return DeepResult(version, "same", f"{version}, {by}, has the same {rows:,} rows.", found=found, **shared)
    recorded = f"recorded are {made.rows:,} with {str(made.content_hash)[:16]}"
    why = f"{version}, {by}, has {rows:,} rows with the content hash {found[:16]}; {recorded}."
    return DeepResult(version, "different", why, found=found, **shared)


# -- the other process ------------------------------------------------------------------------------------------


def _library(project: Path) -> Path:
    """The folder of the Lightkeeper to ask: that of the checked-out tree if it can be asked, else the installed one."""
    places = (project / "platform", _top(project) / "platform")
    return next((one for one in places if (one / "lightkeeper/orchestrate/worktree.py").is_file()), _LIBRARY)


def _asked(project: Path, library: Path, question: Mapping[str, object]) -> dict[str, Any]:
    """What a process that imports the checked-out project answers."""
    top = _top(project)
    place = top.parent / "answer.json"
    text = json.dumps({**question, "project": str(project), "tree": str(top), "answer": str(place)})
    path = [str(project), str(library), *_moved(Path(str(question["top"])), top, library), os.environ.get("PYTHONPATH", "")]
    ran = subprocess.run(  # noqa: S603 - this interpreter, with words of ours
        [sys.executable, "-c", _ASKS],
        input=text,
        capture_output=True,
        text=True,
        check=False,
        cwd=project,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, path)), "PYTHONDONTWRITEBYTECODE": "1"},
    )
    if not place.is_file():
        said = ran.stderr.strip().splitlines() or ["it said nothing"]
        return {"cannot": f"its code failed: {said[-1]}"}
    answered: dict[str, Any] = json.loads(place.read_text(encoding="utf-8"))
    return answered


def _moved(top: Path, tree: Path, library: Path) -> list[str]:
    """The folders of the repository that this process imports from, in the checked-out tree: its modules go before the user's."""
    inside = [Path(one).resolve() for one in sys.path if one and Path(one).resolve().is_relative_to(top)]
    moved = [tree / one.relative_to(top) for one in inside]
    return [str(one) for one in moved if one.is_dir() and (one == library or not (one / "lightkeeper").is_dir())]


def answer() -> None:
    """Compute a table again as another process asks on stdin (JSON), and write the answer to the file that it names.

    The question: `project`, `module`, `lake`, `options`, `table`, `version`, `answer`; `tree` and `top`, the checked-out tree and
    the user's. The answer: `hash` and `rows`; or `differs`, why the rows do not fit the stored schema; or `cannot`, why not.
    """
    asked = json.load(sys.stdin)
    Path(asked["answer"]).write_text(json.dumps(_answered(asked)), encoding="utf-8")


def _answered(asked: Mapping[str, Any]) -> dict[str, object]:
    at = TableVersion(asked["table"], asked["version"])
    try:
        lake = Lake(asked["lake"], asked["options"])
        defs = load(Path(asked["project"]), asked["module"])
        frame = recomputed(defs, lake, at.table, {one.version.table: one.version for one in lake.commit(at).inputs})
    except LightkeeperError as error:
        return {"cannot": str(error)}
    foreign = _foreign(Path(asked["top"]), Path(asked["tree"]))
    if foreign:
        return {"cannot": f"it imports {foreign[0]}, which is not in the commit."}
    try:
        return {"hash": content_hash(lake, at, frame), "rows": frame.height}
    except (SchemaChanged, TypeRefused) as error:
        return {"differs": str(error)}


def content_hash(lake: Lake, at: TableVersion, frame: pl.DataFrame) -> str:
    """The content hash that `frame` would have as the content of `at.table`, in the schema stored at that version.

    Raises SchemaChanged, TypeRefused when it does not fit that schema.
    """
    schema = lake.schema(at.table, at)
    return digest(schema, sums(conform(frame, plan(at.table, frame.schema, schema))))


def _foreign(top: Path, tree: Path) -> list[str]:
    """Files of the user's own tree that were imported, packages and the library left out."""
    files = [getattr(module, "__file__", None) for module in list(sys.modules.values())]
    paths = sorted(Path(one).resolve() for one in files if one)
    aside = (tree, Path(sys.prefix).resolve(), _LIBRARY / "lightkeeper")
    return [str(one) for one in paths if one.is_relative_to(top) and not any(map(one.is_relative_to, aside))]


# -- git --------------------------------------------------------------------------------------------------------


@contextmanager
def checked_out(project: Path, commit: str) -> Iterator[Path]:
    """The project's folder as it stood at a commit, in a temporary git worktree, which is removed at the end.

    One that a killed process left behind is removed by the next. Raises Refused where git or the commit is missing.
    """
    top = _top(project)
    _sweep(top)
    if _git(top, "cat-file", "-e", f"{commit}^{{commit}}").returncode:
        raise Refused(
            f"the commit {commit[:12]} is not in the repository {top}. Fetch it: git fetch --unshallow, or from its remote."
        )
    holder = Path(tempfile.mkdtemp(prefix=_PREFIX)).resolve()
    tree = holder / "tree"
    with (holder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            added = _git(top, "-c", "core.hooksPath=/dev/null", "worktree", "add", "--detach", str(tree), commit)
            if added.returncode:
                raise Refused(f"git could not check out {commit[:12]}: {added.stderr.strip()}")
            yield tree / project.resolve().relative_to(top)
        finally:
            _remove(top, tree)


def _sweep(top: Path) -> None:
    """Remove the worktrees of ours whose process is not there any more."""
    for line in _git(top, "worktree", "list", "--porcelain").stdout.splitlines():
        tree = Path(line.removeprefix("worktree "))
        if line.startswith("worktree ") and tree.parent.name.startswith(_PREFIX) and not _held(tree.parent / "lock"):
            _remove(top, tree)


def _held(lock: Path) -> bool:
    try:
        with lock.open() as held:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _remove(top: Path, tree: Path) -> None:
    """Remove one worktree, of which git and the disk may know only a part."""
    _git(top, "worktree", "remove", "--force", "--force", str(tree))
    shutil.rmtree(tree.parent, ignore_errors=True)


def _top(folder: Path) -> Path:
    """The root of the git tree that holds a folder. Raises Refused."""
    found = _git(folder, "rev-parse", "--show-toplevel")
    if found.returncode:
        raise Refused(f"{folder} is in no git repository that can be read: {found.stderr.strip()}")
    return Path(found.stdout.rstrip("\n")).resolve()


def _git(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}  # a hook sets them
    try:
        return subprocess.run(  # noqa: S603 - fixed words, a commit and paths of ours
            ["git", "-C", str(folder), *words],  # noqa: S607 - git is found on the path
            capture_output=True,
            text=True,
            check=False,
            env=environment,
        )
    except OSError as error:
        return subprocess.CompletedProcess(words, 1, "", f"git cannot be started: {error}")
