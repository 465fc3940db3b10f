"""Makes the locks from pyproject.toml, and tells whether they are current, without a network.

The first lines of a lock carry a digest of the requirements it was made from and of its own pins: a change of either
without `make lock` shows. A lock names no index: packages are found where the machine's own settings say, and are
known by their hashes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import tomllib
from pathlib import Path

from tools.setup import ROOT, VENV, uv_environment

__all__ = ["LOCKS", "main", "stale"]

LOCKS = {"requirements.lock": "dev", "tests/independent/requirements.lock": "independent"}
HEAD = "# Made by `make lock` from pyproject.toml; a change by hand shows in `make check`.\n# digest: "
COMPILE = ("pip", "compile", "-q", "--universal", "--generate-hashes", "--no-header", "--python-version", "3.11")


def main() -> int:
    """`lock.py [--upgrade]` makes the locks, `lock.py --check` answers 1 where one is stale."""
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--check", action="store_true", help="only tell whether the locks are current")
    words.add_argument("--upgrade", action="store_true", help="take the newest releases that pyproject.toml accepts")
    chosen = words.parse_args()
    if not chosen.check:
        for lock in LOCKS:
            _make(lock, upgrade=chosen.upgrade)
    for lock in stale():
        print(f"{lock} does not fit pyproject.toml, or was changed by hand. Make it anew: make lock", file=sys.stderr)
    return 1 if stale() else 0


def stale(root: Path = ROOT) -> list[str]:
    """Names of the locks that were not made, as they are, from the requirements as they are."""
    return [lock for lock in LOCKS if not _is_current(root, lock)]


def _is_current(root: Path, lock: str) -> bool:
    path = root / lock
    if not path.exists():
        return False
    text = path.read_text()
    head, _, pins = text.partition("\n\n")
    return head == HEAD + _digest(root, lock, pins)


def _digest(root: Path, lock: str, pins: str) -> str:
    """sha256 (hex) of what the lock answers for and of its pins."""
    project = tomllib.loads((root / "pyproject.toml").read_text())
    asked = [project["project"]["requires-python"], project["dependency-groups"][LOCKS[lock]]]
    if _holds_the_project(lock):
        asked.append(project["project"]["dependencies"])
    return hashlib.sha256(json.dumps([asked, pins]).encode()).hexdigest()


def _holds_the_project(lock: str) -> bool:
    return LOCKS[lock] == "dev"


def _make(lock: str, *, upgrade: bool) -> None:
    """Compiles one lock; pins that still fit stay, unless `upgrade`."""
    path = ROOT / lock
    source = ["pyproject.toml", "--group", "dev"] if _holds_the_project(lock) else ["--group", LOCKS[lock]]
    words = [*COMPILE, *source, "-o", lock, *(["--upgrade"] if upgrade else [])]
    subprocess.run([VENV / "bin" / "uv", *words], check=True, cwd=ROOT, env=uv_environment())
    pins = path.read_text()
    path.write_text(f"{HEAD}{_digest(ROOT, lock, pins)}\n\n{pins}")


if __name__ == "__main__":
    sys.exit(main())
