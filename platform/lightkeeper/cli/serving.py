"""Dagster's servers as children of one command: webserver and daemon share a code server. How one is run stands in `servers`."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lightkeeper.cli.project import Project
from lightkeeper.home import Home
from lightkeeper.orchestrate import servers as running
from lightkeeper.orchestrate.servers import LOOPBACK, free_port

__all__ = ["Servers", "free_port", "serving"]


@dataclass(frozen=True)
class Servers:
    """The running servers: their processes by name, and where the pages are."""

    processes: dict[str, subprocess.Popen[bytes]]
    address: str
    logs: Path

    def ended(self) -> str | None:
        """The name of a server that ended by itself, if any."""
        return next((name for name, process in list(self.processes.items()) if process.poll() is not None), None)


@contextmanager
def serving(project: Project, home: Home, port: int) -> Iterator[Servers]:
    """The servers, for as long as the block runs. Dagster's home must be ready.

    The code server starts first, the others as soon as it answers: they take a server that is not there yet for a broken one.
    """
    running.refuse_second(home)
    logs, page, code = running.folder(home), free_port(port), free_port(port + 1000)
    workspace = running.workspace(home, code)
    servers = Servers({}, f"http://{LOOPBACK}:{page}", logs)
    ending, commands = threading.Event(), _commands(project, workspace, page, code)
    environ = {"LIGHTKEEPER_ADDRESS": servers.address, **os.environ}  # where alerts link to, unless it is set

    def start_all() -> None:
        for name, words in commands.items():
            if ending.is_set():
                return
            servers.processes[name] = running.start(name, words, project.folder, logs, environ)
            running.note(home, servers.processes)
            if name == "code":
                running.wait_for(code, servers.processes[name], ending)

    starter = threading.Thread(target=start_all)
    starter.start()
    try:
        yield servers
    finally:
        ending.set()
        starter.join()
        running.end(servers.processes)
        running.forget(home)


def _commands(project: Project, workspace: Path, page: int, code: int) -> dict[str, list[str]]:
    python = [sys.executable, "-m"]
    return {
        "code": running.code(project.folder, project.file, code, "code-server", "start"),
        "webserver": [*python, "dagster_webserver", "-w", str(workspace), "--host", LOOPBACK, "--port", str(page),
                      "--log-level", "warning"],
        "daemon": [*python, "dagster._daemon", "run", "-w", str(workspace), "--log-level", "warning"],
    }  # fmt: skip
