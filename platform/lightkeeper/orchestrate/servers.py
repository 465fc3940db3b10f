"""Dagster's servers as processes of this machine: started on its loopback, waited for, noted in the home, ended by process id.

Which servers run together, and what for, is their caller's business: `up` serves people, `daemon` plays a scenario.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from lightkeeper.errors import LightkeeperError
from lightkeeper.home import Home

__all__ = ["LOCATION", "LOOPBACK", "any_port", "code", "end", "folder", "forget", "free_port", "note", "refuse_second", "start",
           "wait_for", "workspace"]  # fmt: skip

LOOPBACK = "127.0.0.1"
LOCATION = "lightkeeper"
_GRACE = 5.0  # seconds between asking a server to end and ending it
_NOTED = "servers.json"


def free_port(wanted: int) -> int:
    """The first free port of this machine's loopback from `wanted` on. Raises LightkeeperError after a hundred."""
    for port in range(wanted, wanted + 100):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((LOOPBACK, port))
            except OSError:
                continue
            return port
    raise LightkeeperError(f"No port from {wanted} to {wanted + 99} is free on {LOOPBACK}. Say another: --port.")


def any_port() -> int:
    """A free port that nobody chose: two who ask at once hardly get the same."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def folder(home: Home) -> Path:
    """Where the servers of a home log, made if need be."""
    logs = home.dagster / "servers"  # not `logs`: Dagster empties a folder of that name
    logs.mkdir(parents=True, exist_ok=True)
    return logs


def workspace(home: Home, port: int) -> Path:
    """The file that tells the other servers where the code server of a home answers, written anew."""
    path = home.dagster / "workspace.yaml"
    path.write_text(f"load_from:\n  - grpc_server: {{host: {LOOPBACK}, port: {port}, location_name: {LOCATION}}}\n")
    return path


def code(project: Path, file: Path, port: int, *command: str) -> list[str]:
    """The words that start a code server of the definitions in a file; `command` is "api", "grpc" or "code-server", "start"."""
    return [sys.executable, "-m", "dagster", *command, "--python-file", str(file), "--working-directory", str(project),
            "--host", LOOPBACK, "--port", str(port), "--location-name", LOCATION, "--log-level", "warning"]  # fmt: skip


def refuse_second(home: Home) -> None:
    """Raise LightkeeperError when servers of this home run already; left behind by a kill, or in another terminal."""
    try:
        recorded = json.loads((home.dagster / _NOTED).read_text())
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


def note(home: Home, processes: Mapping[str, subprocess.Popen[bytes]]) -> None:
    """Note which servers of a home run, for `refuse_second`."""
    (home.dagster / _NOTED).write_text(json.dumps({name: one.pid for name, one in processes.items()}))


def forget(home: Home) -> None:
    """Note that no server of a home runs any more."""
    (home.dagster / _NOTED).unlink(missing_ok=True)


def start(
    name: str, words: list[str], project: Path, logs: Path, environ: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """A server in a session of its own, with `environ` for its environment, or this process's; what it says goes to its log."""
    with (logs / f"{name}.log").open("ab") as log:
        return subprocess.Popen(  # noqa: S603 - the product's own servers
            words, cwd=project, env=environ, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, start_new_session=True
        )


def wait_for(port: int, process: subprocess.Popen[bytes], ending: threading.Event) -> None:
    """Until the port answers, the process ends, or everything ends."""
    while process.poll() is None and not ending.wait(0.1):
        with socket.socket() as probe:
            if probe.connect_ex((LOOPBACK, port)) == 0:
                return


def end(processes: Mapping[str, subprocess.Popen[bytes]]) -> None:
    """Ask each server and its children to end, the first started last: the others wait for it. End those that do not."""
    for process in reversed(list(processes.values())):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
