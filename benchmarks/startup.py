"""How long a person waits: from `lightkeeper up` to a page, to a page with data, to a finished build; and the commands' start.

With packages at hand in this environment; cold in a fresh clone with an empty home folder, `make setup` included. The
servers are ended as a person ends them, and afterwards no process of theirs may be left.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.machine import environment

__all__ = ["AT_HAND_S", "COLD_S", "left_over", "run"]

ROOT = Path(__file__).resolve().parent.parent
AT_HAND_S, COLD_S = 60.0, 150.0  # to a page with data
GIVE_UP_S = 900.0
PORT = 3700
COMMANDS = (("--help",), ("table", "list"), ("table", "lineage", "demand_forecast"))
_ASKED = '{assetOrError(assetKey:{path:["sales"]}){...on Asset{assetMaterializations(limit:1){timestamp}}}}'
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
_KEPT = ("PIP_", "UV_", "SSL_", "CURL_", "REQUESTS_", "HTTPLIB2_", "NO_PROXY", "HTTP_PROXY", "HTTPS_PROXY")
_STAGES = {
    "address": "address printed",
    "page": "first page",
    "data": "page with data",
    "built": "build done",
    "ended": "Ctrl-C to end",
}


@dataclass(frozen=True)
class _Place:
    """Where `lightkeeper` is started: its folder, its command, its environment, its home."""

    folder: Path
    command: str
    env: dict[str, str]
    home: Path


def run(quick: bool) -> dict[str, Any]:  # noqa: FBT001 - the runner's own word
    """Seconds of each stage; quick: the small sample once, with packages at hand only."""
    size, turns = ("small", 1) if quick else ("full", 3)
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="startup-") as folder:
        places = [_here(Path(folder) / f"home-{turn}") for turn in range(turns)]
        if not quick:
            _up(_here(Path(folder) / "home-warm"), "small")  # does not count: it leaves the sources compiled
        taken = [_up(place, size) for place in places]
        rows += _rows(f"up, {size} sample", taken, AT_HAND_S)
        rows += [_row(" ".join(("lightkeeper", *words)), _commands(places[-1], words, 3 if quick else 7)) for words in COMMANDS]
        if not quick:
            rows += _cold(Path(folder) / "cold", size)
    found = {"sample": size, "rows": rows}
    for row in rows:
        print(f"{row['what']:44s} {row['ours_s']:7.2f} s  {row['spread']}")
    return found


def _here(home: Path) -> _Place:
    return _Place(ROOT, str(Path(sys.executable).parent / "lightkeeper"), environment(), home)


def _rows(what: str, taken: list[dict[str, float]], limit: float) -> list[dict[str, Any]]:
    return [
        _row(f"{what}: {said}", [one[stage] for one in taken], limit if stage == "data" else None)
        for stage, said in _STAGES.items()
    ]


def _row(what: str, values: list[float], limit: float | None = None) -> dict[str, Any]:
    middle = statistics.median(values)
    return {
        "what": what, "ours_s": middle, "theirs_s": None, "ratio": None, "spread": [min(values), max(values)],
        "limit": limit, "met": None if limit is None else middle <= limit, "n": len(values),
    }  # fmt: skip


# ---- up, as a person sees it


def _up(place: _Place, size: str) -> dict[str, float]:
    """Seconds from the start of `lightkeeper up` to each stage. Raises when a process is left at the end."""
    log = place.home.with_suffix(".log")
    words = [place.command, "up", "--home", str(place.home), "--sample", size, "--port", str(PORT)]
    started = time.monotonic()
    with _process(words, place, log) as process:

        def until(stage: Callable[[], object]) -> float:
            while not stage():
                if process.poll() is not None or time.monotonic() - started > GIVE_UP_S:
                    raise RuntimeError(f"lightkeeper up did not get there:\n{log.read_text()[-3000:]}")
                time.sleep(0.2)
            return time.monotonic() - started

        found = {"address": until(lambda: _address(log))}
        address = _address(log) or ""
        found["page"] = until(lambda: _get(address))
        found["data"] = until(lambda: _has_data(address))
        found["built"] = until(lambda: "Look at the lineage" in log.read_text())
        asked = time.monotonic()
        process.send_signal(signal.SIGINT)
        code = process.wait(60)
        found["ended"] = time.monotonic() - asked
    left = left_over(place.home)
    if left:
        raise RuntimeError(f"lightkeeper up ended with {code} and left processes: {left}")
    return found


@contextmanager
def _process(words: list[str], place: _Place, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process in a group of its own; ended by its id whatever happens."""
    with log.open("wb") as out:
        process = subprocess.Popen(
            words, cwd=place.folder, env=place.env, stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _address(log: Path) -> str | None:
    found = re.search(r"http://127\.0\.0\.1:\d+", log.read_text(errors="replace"))
    return found[0] if found else None


def _get(address: str, asked: bytes | None = None) -> str | None:
    """The answer of a page, or of a GraphQL question; None while nobody answers."""
    request = urllib.request.Request(address, asked, {"Content-Type": "application/json"})  # noqa: S310 - loopback
    try:
        with _DIRECT.open(request, timeout=10) as answer:
            return str(answer.read().decode())
    except OSError:
        return None


def _has_data(address: str) -> bool:
    said = _get(f"{address}/graphql", json.dumps({"query": _ASKED}).encode())
    asset = json.loads(said or "{}").get("data", {}).get("assetOrError", {})
    return bool(asset.get("assetMaterializations"))


def left_over(home: Path) -> dict[int, str]:
    """Processes of this machine that were started for a home, by id, with their command. Linux; nothing elsewhere."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if entry.name != str(os.getpid()) and str(home).encode() in (entry / "environ").read_bytes():
                found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()[:120]
        except OSError:
            continue
    return found


def _commands(place: _Place, words: tuple[str, ...], turns: int) -> list[float]:
    """Seconds of a command on a built home, after one that does not count."""
    taken = []
    for _ in range(turns + 1):
        started = time.monotonic()
        env = {**place.env, "LIGHTKEEPER_HOME": str(place.home)}
        subprocess.run([place.command, *words], cwd=place.folder, env=env, capture_output=True, check=True)
        taken.append(time.monotonic() - started)
    return taken[1:]


# ---- cold


def _cold(folder: Path, size: str) -> list[dict[str, Any]]:
    """A fresh clone, an empty home folder, empty caches: `make setup`, then `lightkeeper up`. What lies in the commit counts."""
    clone, home = folder / "clone", folder / "user"
    home.mkdir(parents=True)
    git, make = shutil.which("git") or "git", shutil.which("make") or "make"
    subprocess.run([git, "-c", "safe.directory=*", "clone", "-q", str(ROOT), str(clone)], check=True)
    path = os.pathsep.join(one for one in os.environ["PATH"].split(os.pathsep) if ".venv" not in one)
    env = {name: value for name, value in os.environ.items() if name.upper().startswith(_KEPT)}
    env |= {"HOME": str(home), "PATH": path, "LANG": "C.UTF-8"}
    started = time.monotonic()
    done = subprocess.run([make, "setup"], cwd=clone, env=env, capture_output=True, text=True, check=False)
    setup = time.monotonic() - started
    if done.returncode:
        print(f"make setup did not succeed, so the cold start is not measured: {done.stderr.strip()[-500:]}")
        return []
    try:
        taken = _up(_Place(clone, str(clone / ".venv/bin/lightkeeper"), env, clone / ".lightkeeper"), size)
    finally:
        shutil.rmtree(home, ignore_errors=True)
    whole = {stage: seconds + (setup if stage != "ended" else 0) for stage, seconds in taken.items()}
    return [_row("cold: make setup", [setup]), *_rows("cold: make setup and up", [whole], COLD_S)]


if __name__ == "__main__":
    print(json.dumps(run("--quick" in sys.argv), indent=1))
