"""What a model was trained on and with: libraries, processor, lock file. It decides whether a rebuilt model can be the same."""

from __future__ import annotations

import hashlib
import platform
from importlib.metadata import version
from pathlib import Path

__all__ = ["differences", "environment", "lock_hash", "processor"]

_LIBRARIES = ("lightgbm", "numpy", "polars")
_LOCKS = ("requirements.lock", "uv.lock", "poetry.lock", "pdm.lock", "Pipfile.lock")


def environment(project: Path | None = None) -> dict[str, object]:
    """Versions of the libraries and of Python, the processor, and the lock file of a project with its sha256 (None without)."""
    found: dict[str, object] = {name: version(name) for name in _LIBRARIES}
    return {
        **found,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "processor": processor(),
        "lock": None if project is None else lock_hash(project),
    }


def lock_hash(project: Path) -> str | None:
    """`requirements.lock:<sha256>` of the first lock file of a project's folder; None where there is none."""
    for name in _LOCKS:
        try:
            return f"{name}:{hashlib.sha256((project / name).read_bytes()).hexdigest()}"
        except OSError:
            continue
    return None


def differences(then: dict[str, object], now: dict[str, object]) -> list[str]:
    """In which libraries or processors two environments differ, such as "lightgbm 4.6.0 then, 4.7.0 now"."""
    names = [name for name in (*_LIBRARIES, "python", "machine", "processor") if then.get(name) != now.get(name)]
    return [f"{name} {then.get(name)} then, {now.get(name)} now" for name in names]


def processor() -> str:
    """The name of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()
