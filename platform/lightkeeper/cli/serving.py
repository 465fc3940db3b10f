"""Dagster's servers as children of one command: webserver and daemon share a code server. Loopback only, ended by process id."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from lightkeeper.cli.project import Project
from lightkeeper.errors import LightkeeperError
from lightkeeper.home import Home

__all__ = ["Servers", "free_port", "serving"]

_LOOPBACK = "127.0.0.1"
_GRACE = 5.0  # seconds between asking a server to end and ending it


@dataclass(frozen=True)
class Servers:
    """The running servers: their processes by name, and where the pages are."""

    processes: dict[str, subprocess.Popen[bytes]]
    address: str
    logs: Path

    def ended(self) -> str | None:
        """The name of a server that ended by itself, if any."""
        return next((name for name, process in list(self.processes.items()) if process.poll() is not None), None)


def free_port(wanted: int) -> int:
    """The first free port of this machine's loopback from `wanted` on. Raises LightkeeperError after a hundred."""
    for port in range(wanted, wanted + 100):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((_LOOPBACK, port))
            except OSError:
                continue
            return port
    raise LightkeeperError(f"No port from {wanted} to {wanted + 99} is free on {_LOOPBACK}. Say another: --port.")


@contextmanager
def serving(project: Project, home: Home, port: int) -> Iterator[Servers]:
    """The servers, for as long as the block runs. Dagster's home must be ready.

    The code server starts first, the others as soon as it answers: they take a server that is not there yet for a broken one.
    """
    _refuse_second(home)
    logs = home.dagster / "servers"  # not `logs`: Dagster empties a folder of that name
    logs.mkdir(parents=True, exist_ok=True)
    page, code = free_port(port), free_port(port + 1000)
    workspace = home.dagster / "workspace.yaml"
    workspace.write_text(f"load_from:\n  - grpc_server: {{host: {_LOOPBACK}, port: {code}, location_name: lightkeeper}}\n")
    servers = Servers({}, f"http://{_LOOPBACK}:{page}", logs)
    ending, commands = threading.Event(), _commands(project, workspace, page, code)

    def start_all() -> None:
        for name, words in commands.items():
            if ending.is_set():
                return
            servers.processes[name] = _start(name, words, project.folder, logs)
            pids = {known: one.pid for known, one in servers.processes.items()}
            (home.dagster / "servers.json").write_text(json.dumps(pids))
            if name == "code":
                _wait_for(code, servers.processes[name], ending)

    starter = threading.Thread(target=start_all)
    starter.start()
    try:
        yield servers
    finally:
        ending.set()
        starter.join()
        _end(servers.processes)
        (home.dagster / "servers.json").unlink(missing_ok=True)


def _refuse_second(home: Home) -> None:
    """Raise LightkeeperError when servers of this home run already; left behind by a kill, or in another terminal."""
    try:
        recorded = json.loads((home.dagster / "servers.json").read_text())
    except (FileNotFoundError, ValueError):
        return
    running = [str(pid) for pid in recorded.values() if b"dagster" in _words_of(pid)]
    if running:
        raise LightkeeperError(
            f"Servers of {home.root} run already, as processes {', '.join(running)}. "
            f"Use them, or end them: kill {' '.join(running)}"
        )


def _words_of(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def _wait_for(port: int, process: subprocess.Popen[bytes], ending: threading.Event) -> None:
    """Until the port answers, the process ends, or everything ends."""
    while process.poll() is None and not ending.wait(0.1):
        with socket.socket() as probe:
            if probe.connect_ex((_LOOPBACK, port)) == 0:
                return


def _commands(project: Project, workspace: Path, page: int, code: int) -> dict[str, list[str]]:
    python = [sys.executable, "-m"]
    module = ["--python-file", str(project.folder / f"{project.module.replace('.', '/')}.py")]
    return {
        "code": [*python, "dagster", "code-server", "start", *module, "--working-directory", str(project.folder),
                 "--host", _LOOPBACK, "--port", str(code), "--location-name", "lightkeeper", "--log-level", "warning"],
        "webserver": [*python, "dagster_webserver", "-w", str(workspace), "--host", _LOOPBACK, "--port", str(page),
                      "--log-level", "warning"],
        "daemon": [*python, "dagster._daemon", "run", "-w", str(workspace), "--log-level", "warning"],
    }  # fmt: skip


def _start(name: str, words: list[str], folder: Path, logs: Path) -> subprocess.Popen[bytes]:
    with (logs / f"{name}.log").open("ab") as log:
        return subprocess.Popen(  # noqa: S603 - the product's own servers
            words, cwd=folder, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, start_new_session=True
        )


def _end(processes: dict[str, subprocess.Popen[bytes]]) -> None:
    """Ask each server and its children to end, the code server last: the others wait for it. End those that do not."""
    for process in reversed(processes.values()):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
