"""Which code made a version: the git commit of the project, whether its tree was changed, and the version of an asset's code."""

from __future__ import annotations

import hashlib
import inspect
import subprocess
from functools import cache
from pathlib import Path

import dagster as dg

__all__ = ["code_version", "git_state"]


@cache
def git_state(folder: str) -> tuple[str | None, bool | None]:
    """The commit of the git tree that holds `folder` and whether tracked files differ from it; (None, None) outside git.

    Asked once a process: a run loads its code once, when it starts.
    """
    commit = _git(folder, "rev-parse", "HEAD")
    if commit is None:
        return None, None
    status = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return commit.strip(), bool(status and status.strip())


def _git(folder: str, *words: str) -> str | None:
    try:
        found = subprocess.run(  # noqa: S603 - fixed words
            ["git", "-C", folder, *words],  # noqa: S607 - git is found on the path
            capture_output=True,
            text=True,
            check=False,
            timeout=10,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found.stdout if found.returncode == 0 else None


def project_folder() -> str:
    """Where the code location runs: Dagster's working directory."""
    return str(Path.cwd())


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
