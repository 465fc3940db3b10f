"""Makes `.venv` from the lock: uv by pip, everything else by uv, each file checked against its hash.

`make setup` calls it when something changed since the last time; with `peers` it makes the environment of what the tests
measure the product against, which whoever only runs it does not need. Standard library only, for it runs before anything
is installed. Which index is asked is the machine's own business: uv's settings are followed, or else pip's.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

__all__ = ["main", "uv_environment"]

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
LOCK = ROOT / "requirements.lock"
PEER = VENV / "independent"
PEER_LOCK = ROOT / "tests" / "independent" / "requirements.lock"
STARTS_WITH = "dagster, dagster_webserver.app, dagster._daemon, dagster._grpc, polars, lightgbm, deltalake, dataframely"
UV_KNOWS = {f"UV_{name}" for name in ("CONFIG_FILE", "DEFAULT_INDEX", "FIND_LINKS", "INDEX", "INDEX_URL", "NO_INDEX")}
FROM_PIP = {"index-url": "UV_DEFAULT_INDEX", "cert": "SSL_CERT_FILE"}


def main(*words: str) -> int:
    """Everything that `make setup` does; 0, or 1 with what to do said on standard error."""
    why = _what_is_missing()
    if why:
        return _say_no(why)
    try:
        if "peers" in words:
            _install_peers()
            return 0
        _make_environment()
        _install()
    except subprocess.CalledProcessError as failed:
        command = " ".join(str(word) for word in failed.cmd)
        return _say_no(f"this failed, its own words are above: {command}\nNothing is half done: run it again.")
    print("make setup: ready. Next: make run, or make test.")
    return 0


def _say_no(why: str) -> int:
    print(f"make setup: {why}", file=sys.stderr)
    return 1


def uv_environment() -> dict[str, str]:
    """The environment that uv runs in: this process's, with pip's index and certificate where uv has no settings."""
    environment = {"UV_HTTP_TIMEOUT": "180", **os.environ}
    configured = Path(os.environ.get("XDG_CONFIG_HOME") or Path("~/.config").expanduser()) / "uv" / "uv.toml"
    if environment.keys() & UV_KNOWS or configured.exists() or Path("/etc/uv/uv.toml").exists():
        return environment
    return _pip_settings() | environment


def _pip_settings() -> dict[str, str]:
    """Index and certificate that pip is told to use, under uv's names; variables win over files."""
    command = [VENV / "bin" / "python", "-m", "pip", "config", "list"]
    listed = subprocess.run(command, capture_output=True, text=True, check=False).stdout.splitlines()
    pairs = [line.partition("=") for line in sorted(listed, key=lambda line: line.startswith(":env:"))]
    settings = {key.rpartition(".")[2]: value.strip("'") for key, _, value in pairs}
    return {FROM_PIP[name]: value for name, value in settings.items() if name in FROM_PIP}


def _what_is_missing() -> str | None:
    """What this Python lacks and how to mend it; None when it can make the environment."""
    major, minor = sys.version_info[:2]
    if (major, minor) < (3, 11):
        why = f"{sys.executable} is Python {major}.{minor}, and Lightkeeper needs 3.11 or newer."
        return f"{why}\nInstall one and name it: make setup PYTHON=python3.11"
    try:
        import ensurepip  # noqa: F401 - Debian ships it apart from Python
        import venv  # noqa: F401
    except ImportError as gone:
        why = f"{sys.executable} has no module `{gone.name}`, so it cannot make an environment."
        return f"{why}\nOn Debian and Ubuntu: apt-get install python3-venv (or python{major}.{minor}-venv)"
    return None


def _make_environment() -> None:
    """`.venv` with the pinned uv in it; made anew where it is broken or was moved."""
    if not _stands_here():
        shutil.rmtree(VENV, ignore_errors=True)
        print(f"make setup: Python {sys.version.split()[0]} in {VENV.name}", flush=True)
        _run(sys.executable, "-m", "venv", VENV)
    if not (VENV / "bin" / "uv").exists():
        pin = VENV / "uv.txt"
        pin.write_text(_pin_of("uv", LOCK.read_text()))
        _run(VENV / "bin" / "pip", "install", "-q", "--no-deps", "--require-hashes", "-r", pin)


def _stands_here() -> bool:
    """Whether `.venv` was made in this very place and its Python starts."""
    config = VENV / "pyvenv.cfg"
    made_here = config.exists() and any(
        line.startswith("command = ") and line.endswith(f" {VENV}") for line in config.read_text().splitlines()
    )
    return made_here and (VENV / "bin" / "python").exists()


def _pin_of(package: str, lock: str) -> str:
    """The lines of one package, its hashes included, cut out of a lock's text."""
    _, start, rest = lock.partition(f"\n{package}==")
    hashes = rest.partition("\n    #")[0]
    if not start:
        raise SystemExit(f"make setup: {LOCK.name} pins no {package}. Make it anew: make lock")
    return f"{package}=={hashes}\n"


def _install() -> None:
    """The locked packages, and this project on top."""
    environment = uv_environment()
    if not _holds(VENV, LOCK):
        print("make setup: packages of the lock, checked against their hashes", flush=True)
        _sync(environment, VENV, LOCK)
        warming = _warm()
        _remember_metadata(environment)
        warming.wait()
    _uv(environment, "pip", "install", "--python", VENV, "--no-deps", "--no-build-isolation", "--offline", "-e", ROOT)


def _install_peers() -> None:
    """An independent reader of Delta and an object store, in an environment of their own."""
    if _holds(PEER, PEER_LOCK):
        return
    environment = uv_environment()
    print("make test: an independent Delta reader and an object store, for the tests alone", flush=True)
    _uv(environment, "venv", "--clear", "--python", VENV / "bin" / "python", PEER)
    _sync(environment, PEER, PEER_LOCK)


def _holds(venv: Path, lock: Path) -> bool:
    """Whether that environment was filled from that lock, to its end."""
    kept = venv / "filled-from.lock"
    return kept.exists() and kept.read_text() == lock.read_text()


def _sync(environment: dict[str, str], venv: Path, lock: Path) -> None:
    """Makes an environment hold the lock's packages and no others, and notes it."""
    _uv(environment, "pip", "sync", "--python", venv, "--require-hashes", lock)
    shutil.copyfile(lock, venv / "filled-from.lock")


def _uv(environment: dict[str, str], *words: str | Path) -> None:
    how_loud = [] if sys.stderr.isatty() else ["--quiet"]
    subprocess.run([VENV / "bin" / "uv", *how_loud, *words], check=True, cwd=ROOT, env=environment)


def _remember_metadata(environment: dict[str, str]) -> None:
    """Fills uv's cache with what it needs to resolve the wheel's requirements offline, as the wheel's test does."""
    words = ("--python", VENV, "--constraint", LOCK, "-o", VENV / "runtime.txt")
    try:
        _uv(environment, "--quiet", "pip", "compile", ROOT / "pyproject.toml", *words)
    except subprocess.CalledProcessError:
        print("make setup: the index was not reached; all is installed, but tests/test_wheel.py may miss metadata.")


def _warm() -> subprocess.Popen[bytes]:
    """Compiles what every start imports, on a second core, even where the machine asks Python to keep no bytecode."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    command = [str(VENV / "bin" / "python"), "-c", f"import {STARTS_WITH}"]
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _run(*words: str | Path) -> None:
    subprocess.run(words, check=True, cwd=ROOT)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
