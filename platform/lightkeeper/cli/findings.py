"""What `lightkeeper doctor` looks at: this machine, this installation, this project and this home.

Standard library only, and no package is imported here: it must run where they are missing or broken. It looks, and
changes nothing; how findings are told is in `doctor`.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from lightkeeper.cli.packages import requirements, satisfies, try_imports
from lightkeeper.errors import LightkeeperError
from lightkeeper.home import Home, HomeRecord

__all__ = ["Finding", "examine"]

_OLDEST_PYTHON = (3, 11)
_GIGABYTE = 10**9
_LITTLE, _TOO_LITTLE = 5 * _GIGABYTE, _GIGABYTE // 2
_DAY = timedelta(days=1)
_SERVERS = "servers.json"  # in Dagster's home: name -> {"pid": ...} of each server that `lightkeeper up` started


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at: `ok`, a `note` (it works, or will once you go on), or `wrong`; and how to mend it."""

    what: str
    state: Literal["ok", "note", "wrong"]
    says: str
    mend: str = ""


def examine(given: Path | None, start: Path, environ: Mapping[str, str]) -> Iterator[Finding]:
    """All findings, in the order in which one would mend them; `given` is the home that `--home` names."""
    yield _python(sys.version_info[:3])
    yield from _packages(requirements())
    yield _libgomp()
    yield _git()
    yield from _project(start)
    yield _machine_clock(datetime.now(UTC))
    try:
        home = Home(given.expanduser().resolve()) if given else Home.find(start, environ)
    except LightkeeperError as error:
        yield Finding("home", "note", str(error))
        return
    yield from _home(home)


# -- the installation -------------------------------------------------------------------------------------------


def _python(version: tuple[int, ...]) -> Finding:
    says = f"{'.'.join(map(str, version))} at {sys.executable}"
    if version < _OLDEST_PYTHON:
        return Finding("python", "wrong", says, "Install Python 3.11 or newer, and make the environment anew with it.")
    return Finding("python", "ok", says)


def _packages(wanted: Mapping[str, str]) -> Iterator[Finding]:
    if not wanted:
        yield Finding("packages", "note", "neither a clone nor an installation says which packages are needed", "make setup")
    tried = try_imports([*wanted])
    for name, limits in wanted.items():
        version, error = tried[name]
        mend = f"make setup in the clone, or: pip install '{name}{limits}'"
        if error:
            yield Finding(name, "wrong", error, mend)
        elif not satisfies(version, limits):
            yield Finding(name, "wrong", f"{version} is not {limits}", mend)
        else:
            yield Finding(name, "ok", version)


def _libgomp(load: Callable[[str], object] = ctypes.CDLL) -> Finding:
    if sys.platform != "linux":
        return Finding("libgomp", "ok", f"not needed on {sys.platform}")
    try:
        load("libgomp.so.1")
    except OSError as error:
        mend = "apt-get install libgomp1 (Debian, Ubuntu), dnf install libgomp (Fedora, RHEL), apk add libgomp (Alpine)"
        return Finding("libgomp", "wrong", f"lightgbm needs this library of the system: {error}", mend)
    return Finding("libgomp", "ok", "libgomp.so.1 loads")


def _git() -> Finding:
    found = shutil.which("git")
    if found is None:
        return Finding("git", "note", "not found: table versions will not say which commit made them", "Install git.")
    return Finding("git", "ok", found)


# -- the project ------------------------------------------------------------------------------------------------


def _project(start: Path) -> Iterator[Finding]:
    try:
        folder = Home.find(start, {}).root.parent
    except LightkeeperError as error:
        yield Finding("project", "note", str(error))
        return
    absent = [name for name in (f"{_definitions(folder)}.py", "workspace.yaml") if not (folder / name).is_file()]
    if absent:
        mend = "Dagster loads workspace.yaml, which names the module with the definitions."
        yield Finding("project", "wrong", f"{folder} has no {' and no '.join(absent)}", mend)
    else:
        yield Finding("project", "ok", str(folder))
    shadow = folder / "platform" / "__init__.py"
    if shadow.exists():
        yield Finding("platform", "wrong", f"{shadow} hides Python's own module platform", f"rm {shadow}")


def _definitions(folder: Path) -> str:
    """The file of the module that `[tool.lightkeeper] definitions` names, without its ending."""
    try:
        tool = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8")).get("tool", {})
    except (OSError, ValueError):
        return "definitions"
    return str(tool.get("lightkeeper", {}).get("definitions", "definitions")).replace(".", "/")


# -- the home ---------------------------------------------------------------------------------------------------


def _home(home: Home) -> Iterator[Finding]:
    yield _disk(home.root)
    if not home.exists and not home.root.exists():
        yield Finding("home", "note", f"{home.root} is not made yet", f"lightkeeper build --home {home.root}")
        return
    try:
        record = home.record
    except LightkeeperError as error:
        yield Finding("home", "wrong", str(error))
        return
    yield Finding("home", "ok", f"{home.root} ({'a sample' if record.kind == 'sample' else 'own data'})")
    yield from _folders(home)
    yield _home_clock(record, datetime.now(UTC))
    yield _dagster(home)
    yield _landing(home)
    yield _servers(home)


def _disk(root: Path) -> Finding:
    folder = next(one for one in (root, *root.parents) if one.exists())
    free = shutil.disk_usage(folder).free
    says = f"{free / _GIGABYTE:.1f} GB free at {folder}"
    if free < _LITTLE:
        return Finding("disk", "wrong" if free < _TOO_LITTLE else "note", says, "Make room, or choose another --home.")
    return Finding("disk", "ok", says)


def _folders(home: Home) -> Iterator[Finding]:
    for name, folder in {"lake": home.lake, "landing": home.landing, "dagster": home.dagster}.items():
        try:
            os.scandir(folder).close()
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            mend = f"Make {folder} a folder that {_user()} can read and write."
            yield Finding(f"folder {name}", "wrong", f"{folder}: {error.strerror or error}", mend)


def _user() -> str:
    return os.environ.get("USER") or f"user {os.getuid()}"


def _dagster(home: Home) -> Finding:
    if (home.dagster / "dagster.yaml").is_file():
        return Finding("dagster's home", "ok", f"{home.dagster} is set up")
    return Finding("dagster's home", "note", f"{home.dagster} holds no dagster.yaml yet", "lightkeeper up sets it up.")


def _landing(home: Home) -> Finding:
    try:
        busy = home.landing_is_busy()
    except OSError as error:
        return Finding("landing lock", "wrong", f"its lock cannot be read: {error}", f"Mend the permissions in {home.root}.")
    if busy:
        return Finding("landing lock", "note", "a process is landing now; others wait until it has finished")
    return Finding("landing lock", "ok", "free")


def _servers(home: Home) -> Finding:
    path = home.dagster / _SERVERS
    try:
        pids = _pids(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return Finding("servers", "ok", "none are running")
    except (OSError, ValueError) as error:
        return Finding("servers", "wrong", f"{path} cannot be read: {error}", f"rm {path}, and start them anew: lightkeeper up")
    gone = {name: pid for name, pid in pids.items() if not _alive(pid)}
    if gone:
        says = ", ".join(f"{name} (process {pid})" for name, pid in gone.items())
        return Finding("servers", "note", f"recorded and not running: {says}", "Start them anew: lightkeeper up")
    return Finding("servers", "ok", ", ".join(f"{name} runs as process {pid}" for name, pid in pids.items()) or "none are running")


def _pids(recorded: object) -> dict[str, int]:
    if not isinstance(recorded, dict):
        raise ValueError("it is no JSON object")  # noqa: TRY004 - one kind of error for one kind of damage
    found = {name: value.get("pid") if isinstance(value, dict) else value for name, value in recorded.items()}
    return {str(name): pid for name, pid in found.items() if type(pid) is int and pid > 0}


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


# -- the clocks -------------------------------------------------------------------------------------------------


def _machine_clock(now: datetime) -> Finding:
    """A clock that stands before this very file was written is wrong."""
    written = datetime.fromtimestamp(Path(__file__).stat().st_mtime, UTC)
    says = f"{now:%Y-%m-%d %H:%M} UTC ({time.tzname[0]} here)"
    if now < written - _DAY:
        return Finding("clock", "wrong", f"{says}, before this program was installed", "Set the machine's clock.")
    return Finding("clock", "ok", says)


def _home_clock(record: HomeRecord, now: datetime) -> Finding:
    if record.now is None:
        return Finding("home's clock", "ok", "the machine's")
    says = f"its own, at {record.now:%Y-%m-%d %H:%M} UTC"
    if record.now > now + _DAY:
        return Finding("home's clock", "wrong", f"{says}, in the future", "Set the machine's clock, or make the home anew.")
    return Finding("home's clock", "ok", says)
