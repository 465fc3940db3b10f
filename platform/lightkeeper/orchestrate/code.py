"""Which code made a version: the git commit of the project, whether its tree was dirty, and the version of an asset's code."""

from __future__ import annotations

import hashlib
import inspect
import os
import subprocess
from functools import cache
from pathlib import Path

import dagster as dg

__all__ = ["code_version", "git_state", "project_folder"]


@cache
def git_state(folder: str) -> tuple[str | None, bool | None]:
    """The commit of the git tree that holds `folder`, and whether the tree is dirty; (None, None) outside git.

    Dirty is a tree in which a tracked file differs from the commit, or which holds a Python file that git does not know.
    Asked once a process: a run loads its code once, when it starts.
    """
    commit = _git(folder, "rev-parse", "HEAD")
    if commit is None:
        return None, None
    status = _git(folder, "status", "--porcelain", "-z", "--untracked-files=all") or ""
    changed = [one for one in status.split("\0") if one]
    return commit.strip(), any(not one.startswith("?? ") or one.endswith(".py") for one in changed)


def _git(folder: str, *words: str) -> str | None:
    try:
        found = subprocess.run(  # noqa: S603 - fixed words
            ["git", "-C", folder, *words],  # noqa: S607 - git is found on the path
            capture_output=True,
            text=True,
            check=False,
            timeout=10,
            env={name: value for name, value in os.environ.items() if not name.startswith("GIT_")},  # a hook sets them
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found.stdout if found.returncode == 0 else None


def project_folder(run: dg.DagsterRun) -> str:
    """Where the code location of a run stands: its working directory as Dagster records it, else that of the process."""
    origin = run.job_code_origin
    recorded = getattr(origin.repository_origin.code_pointer, "working_directory", None) if origin else None
    return str(recorded or Path.cwd())


@cache
def code_version(assets: dg.AssetsDefinition, key: dg.AssetKey) -> str | None:
    """The declared code version of an asset, else `source:` and a hash of its function's text; None where there is no text."""
    declared = assets.specs_by_key[key].code_version
    if declared is not None:
        return declared
    function = getattr(getattr(assets.node_def, "compute_fn", None), "decorated_fn", None)
    try:
        text = inspect.getsource(function) if function is not None else None
    except (OSError, TypeError):
        return None
    return None if text is None else f"source:{hashlib.sha256(text.encode()).hexdigest()[:12]}"
