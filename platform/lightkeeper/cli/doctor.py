"""`lightkeeper doctor`: what this machine, this installation and this home lack, and how to mend it.

Standard library only: it must run where packages are missing or broken, so they are imported in a process of their own.
It looks, and changes nothing.
"""

import argparse
import ctypes
import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import textwrap
import time
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from lightkeeper.cli import NOBODY_READS, write_out
from lightkeeper.errors import LightkeeperError
from lightkeeper.home import Home, HomeRecord

# Annotations are evaluated here (no `from __future__ import annotations`): typer reads those of the command in
# `register`, whose options are imported only there.
if TYPE_CHECKING:
    import typer

__all__ = ["Finding", "examine", "installed_version", "register", "requirements", "satisfies", "without_typer"]

_OLDEST_PYTHON = (3, 11)
_GIGABYTE = 10**9
_LITTLE, _TOO_LITTLE = 5 * _GIGABYTE, _GIGABYTE // 2
_DAY = timedelta(days=1)
_IMPORT_SECONDS = 120
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


def _packages(wanted: Mapping[str, str]) -> Iterator[Finding]:
    if not wanted:
        yield Finding("packages", "note", "neither a clone nor an installation says which packages are needed", "make setup")
    tried = _try_imports([*wanted])
    for name, limits in wanted.items():
        version, error = tried[name]
        mend = f"make setup in the clone, or: pip install '{name}{limits}'"
        if error:
            yield Finding(name, "wrong", error, mend)
        elif not satisfies(version, limits):
            yield Finding(name, "wrong", f"{version} is not {limits}", mend)
        else:
            yield Finding(name, "ok", version)


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


def _try_imports(names: Sequence[str]) -> dict[str, tuple[str, str]]:
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


# -- telling ----------------------------------------------------------------------------------------------------


def register(app: "typer.Typer") -> None:
    """Adds `doctor` to the command."""
    import typer

    from lightkeeper.cli.show import EPILOG, HomeOption, JsonOption

    @app.command("doctor", epilog=EPILOG)
    def doctor(*, home: HomeOption = None, as_json: JsonOption = False) -> None:
        """Say what is missing here, and how to mend it. Exit code 1 when something is wrong."""
        raise typer.Exit(_tell([*examine(home, Path.cwd(), os.environ)], as_json=as_json))


def without_typer(arguments: Sequence[str]) -> int:
    """`lightkeeper doctor` where typer or rich is missing; returns the exit code."""
    parser = argparse.ArgumentParser("lightkeeper doctor", description="Say what is missing here, and how to mend it.")
    parser.add_argument("--home", type=Path, metavar="DIR", help="Use this home.")
    parser.add_argument("--json", action="store_true", help="Print one JSON document and nothing else.")
    given = parser.parse_args(arguments)
    return _tell([*examine(given.home, Path.cwd(), os.environ)], as_json=given.json)


def _tell(findings: Sequence[Finding], *, as_json: bool) -> int:
    wrong = sum(one.state == "wrong" for one in findings)
    document = {"lightkeeper": installed_version(), "ok": not wrong, "findings": [asdict(one) for one in findings]}
    if not write_out(json.dumps(document, indent=2) + "\n" if as_json else _text(findings, wrong)):
        return NOBODY_READS
    return 1 if wrong else 0


def _text(findings: Sequence[Finding], wrong: int) -> str:
    terminal = sys.stdout.isatty()
    width = shutil.get_terminal_size().columns if terminal or "COLUMNS" in os.environ else _UNLIMITED
    colour = terminal and not os.environ.get("NO_COLOR")
    lines = [line for one in findings for line in _lines(one, width, colour=colour)]
    last = "All is well." if not wrong else f"{wrong} {'thing is' if wrong == 1 else 'things are'} wrong."
    return "\n".join([*lines, "", last]) + "\n"


_UNLIMITED = 10_000  # columns of a line that nobody looks at in a terminal
_INDENT = 26
_COLOURS = {"ok": "32", "note": "33", "wrong": "1;31"}


def _lines(one: Finding, width: int, *, colour: bool) -> list[str]:
    room = max(width - _INDENT, 20)
    said = [part for text in (one.says, one.mend and f"-> {one.mend}") for part in _wrapped(text, room)]
    state = f"{one.state:<5}"
    first = f"\x1b[{_COLOURS[one.state]}m{state}\x1b[0m" if colour else state
    heads = [f"{first}  {one.what:<18} ", *[" " * _INDENT] * (len(said) - 1)]
    return [f"{head}{line}".rstrip() for head, line in zip(heads, said, strict=True)]


def _wrapped(text: str, room: int) -> list[str]:
    shown = "".join(c if c.isprintable() else " " for c in text)
    return textwrap.wrap(shown, room, break_long_words=False, break_on_hyphens=False)
