"""Which Lightkeeper runs, which packages it needs, and whether they import.

Standard library only: it must run where packages are missing or broken, so they are imported in a process of their own.
"""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

__all__ = ["installed_version", "requirements", "satisfies", "try_imports"]

_IMPORT_SECONDS = 120


def _source_tree() -> Mapping[str, Any] | None:
    """The `[project]` table of the clone that this file stands in; None where the package is installed."""
    path = Path(__file__).resolve().parents[3] / "pyproject.toml"
    try:
        project: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8")).get("project", {})
    except (OSError, ValueError):
        return None
    return project if project.get("name") == "lightkeeper" else None


def installed_version() -> str:
    """The version of Lightkeeper that runs: the clone's, else the installed one's, else `unknown`."""
    project = _source_tree()
    try:
        return str(project["version"]) if project else importlib.metadata.version("lightkeeper")
    except (KeyError, importlib.metadata.PackageNotFoundError):
        return "unknown"


def requirements() -> dict[str, str]:
    """What Lightkeeper needs: `{"polars": ">=2.1,<3"}`; empty where neither a clone nor an installation says it."""
    project = _source_tree()
    try:
        lines = project.get("dependencies", []) if project else importlib.metadata.requires("lightkeeper") or []
    except importlib.metadata.PackageNotFoundError:
        lines = []
    found = (re.match(r"([A-Za-z0-9._-]+)\s*(?:\[[^]]*\])?\s*\(?([^;)]*)", line) for line in lines if "extra ==" not in line)
    return {one[1]: one[2].replace(" ", "") for one in found if one}


def satisfies(version: str, wanted: str) -> bool:
    """Whether a version lies in a range such as `>=2.1,<3`; by release numbers, what follows them does not count."""
    compare: dict[str, Callable[[list[int], list[int]], bool]] = {
        ">=": lambda a, b: a >= b, "<=": lambda a, b: a <= b, "==": lambda a, b: a == b, "!=": lambda a, b: a != b,
        ">": lambda a, b: a > b, "<": lambda a, b: a < b,
    }  # fmt: skip
    clauses = (re.match(r"(>=|<=|==|!=|>|<)\s*([\d.]+)", one.strip()) for one in wanted.split(","))
    return all(compare[one[1]](*_padded(version, one[2])) for one in clauses if one)


def _padded(*versions: str) -> list[list[int]]:
    releases = [[int(n) for n in re.findall(r"\d+", re.match(r"[\d.]*", one)[0])] for one in versions]  # type: ignore[index]
    longest = max(map(len, releases))
    return [one + [0] * (longest - len(one)) for one in releases]


_TRY = """
import importlib, importlib.metadata, sys
for name in sys.argv[1:]:
    print(name, "dies", "", sep="\\t", flush=True)
    try:
        importlib.import_module(name.replace("-", "_"))
        print(name, "is", importlib.metadata.version(name), sep="\\t", flush=True)
    except BaseException as error:
        said = " ".join(str(error).split())
        print(name, "fails", f"{type(error).__name__}: {said}", sep="\\t", flush=True)
"""


def try_imports(names: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Version and error of each package, tried in another process: a broken library may end the process."""
    found: dict[str, tuple[str, str]] = {}
    while left := [name for name in names if name not in found]:
        flags = ["-S"] if sys.flags.no_site else []
        command = [sys.executable, "-P", *flags, "-c", _TRY, *left]
        try:
            child = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_IMPORT_SECONDS)  # noqa: S603 - ourselves
        except subprocess.TimeoutExpired:
            return found | dict.fromkeys(left, ("", f"did not import within {_IMPORT_SECONDS} s"))
        lines = [line.split("\t") for line in child.stdout.splitlines() if line.count("\t") == 2]  # noqa: PLR2004 - see _TRY
        for name, word, rest in lines:
            found[name] = (rest, "") if word == "is" else ("", rest or f"importing it ends Python (exit code {child.returncode})")
        if not lines:
            return found | dict.fromkeys(left, ("", f"could not be tried: {child.stderr.strip()[-200:]}"))
    return found
