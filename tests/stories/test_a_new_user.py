"""A new user: builds the sample, follows the README, opens Dagster's UI, lets the daemon land a file, ends it with Ctrl-C."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

import lightkeeper as lk
from assets.sample import SAMPLE
from tests.test_docs import blocks

ROOT = Path(__file__).resolve().parent.parent.parent
COMMAND = Path(sys.executable).parent / "lightkeeper"
ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+")
QUIET = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def told(*words: str, home: Path, code: int = 0) -> str:
    environ = {name: value for name, value in os.environ.items() if name != "DAGSTER_HOME"}
    environ |= {"LIGHTKEEPER_HOME": str(home), "NO_COLOR": "1", "COLUMNS": "80"}
    done = subprocess.run([COMMAND, *words], cwd=ROOT, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == code, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def until(true: Callable[[], bool], seconds: float) -> bool:
    """Whether something came true within some seconds."""
    deadline, pause = time.monotonic() + seconds, threading.Event()
    while not true():
        if time.monotonic() > deadline:
            return False
        pause.wait(0.5)
    return True


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("user") / "home"


@pytest.fixture(scope="module")
def built(home: Path) -> dict[str, object]:
    """What `lightkeeper build` says of a fresh home."""
    said = told("build", "--sample", "small", "--json", home=home)
    return dict(json.loads(said))


def versions(home: Path) -> dict[str, int]:
    return {name: one.version for name, one in lk.Lake(home / "lake").versions().items()}


def test_a_build_lands_the_history_at_once_and_then_day_by_day(built: dict[str, object], home: Path) -> None:
    days = SAMPLE.days(lk.Home(home))
    singles = [day for day in SAMPLE.trading_days(lk.Home(home)) if days[-35] <= day < days[-28]]
    assert built["runs"] == 2 + len(singles)
    assert built["now"] == f"{days[-28]}T00:00:00+00:00"
    assert versions(home)["sales"] == len(singles)
    assert versions(home)["demand_model"] == 1  # a challenger, and its refit
    forecast = lk.Lake(home / "lake").read("demand_forecast").collect()
    assert forecast["origin"].n_unique() == 1 + len(singles)


def test_building_again_starts_from_what_is_there(built: dict[str, object], home: Path) -> None:
    before = versions(home)
    again = json.loads(told("build", "--json", home=home))
    assert (again["runs"], again["now"], versions(home)) == (0, built["now"], before)


def test_the_shell_commands_of_the_readme_run(built: dict[str, object], home: Path) -> None:
    commands = [
        line.partition("#")[0].strip()
        for block in blocks("README.md")
        if block.language == "sh"
        for line in block.text.splitlines()
    ]
    assert len(commands) > 5
    for command in commands:
        words = shlex.split(command)
        if words[0] == "make":
            subprocess.run(["make", "-n", *words[1:]], cwd=ROOT, check=True, capture_output=True)
            continue
        assert words[0] == ".venv/bin/lightkeeper", command
        told(*words[1:], home=home, code=1 if "diff" in words else 0)
    assert built["now"] != lk.Home(home).now().isoformat()  # land-next moved the clock


def test_the_python_blocks_of_the_readme_run(built: dict[str, object], home: Path, tmp_path: Path) -> None:
    assert built
    (tmp_path / ".lightkeeper").symlink_to(home)
    python = [block.text for block in blocks("README.md") if block.language == "python"]
    declared, asked = python
    assert len([line for line in declared.splitlines() if line.strip()]) <= 12
    for text in (declared, asked):
        subprocess.run([sys.executable, "-c", text], cwd=tmp_path, check=True, capture_output=True)


@pytest.mark.nightly
def test_landing_the_next_days_one_by_one_makes_a_forecast_for_each(built: dict[str, object], home: Path) -> None:
    assert built
    before = versions(home)
    said = json.loads(told("land-next", "--days", "2", "--json", home=home))
    after = versions(home)
    assert len(said["landed"]) == 2
    assert {name: after[name] - before[name] for name in ("sales", "demand_features", "demand_forecast")} == {
        "sales": 2,
        "demand_features": 2,
        "demand_forecast": 2,
    }
    assert after["demand_model"] == before["demand_model"]


@pytest.mark.nightly
def test_a_day_whose_landing_was_interrupted_is_landed_by_the_next_call(built: dict[str, object], home: Path) -> None:
    assert built
    place = lk.Home(home)
    done = date.fromisoformat(json.loads((home / "built.json").read_text())["day"])
    day = next(one for one in SAMPLE.trading_days(place) if one > done)
    with place.landing_lock():  # as far as a call gets that is ended before its run
        SAMPLE.release(place, [day])
        place.move_clock(datetime.combine(day + timedelta(1), datetime.min.time(), UTC))
    assert json.loads(told("land-next", "--json", home=home))["landed"] == [day.isoformat()]
    states = lk.Lake(home / "lake").read("daily_demand").collect()["day_state"]
    assert "missing" not in states


@pytest.mark.nightly  # days of a build once more
def test_a_build_that_was_killed_goes_on_where_it_was(tmp_path: Path, built: dict[str, object], home: Path) -> None:
    assert built
    shutil.copytree(home, tmp_path / "home")
    day = SAMPLE.days(lk.Home(home))[-32]
    (tmp_path / "home" / "built.json").write_text(json.dumps({"day": day.isoformat()}))  # as if killed after that day
    before = versions(tmp_path / "home")
    again = json.loads(told("build", "--json", home=tmp_path / "home"))
    assert again["runs"] > 0
    assert versions(tmp_path / "home")["sales"] == before["sales"]  # the same content again makes no version


@dataclass(frozen=True)
class Served:
    """A running `lightkeeper up`."""

    process: subprocess.Popen[bytes]
    address: str
    home: Path

    def ask(self, query: str) -> dict[str, object]:
        body = json.dumps({"query": query}).encode()
        request = urllib.request.Request(  # noqa: S310 - loopback
            f"{self.address}/graphql", body, {"content-type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310 - loopback
            return dict(json.load(answer)["data"])

    def answers(self) -> bool:
        try:
            return "demand_forecast" in json.dumps(self.ask("{ assetNodes { assetKey { path } } }"))
        except OSError:
            return False


@pytest.fixture(scope="module")
def served(built: dict[str, object], home: Path) -> Iterator[Served]:
    assert built
    environ = {**os.environ, "LIGHTKEEPER_HOME": str(home), "NO_COLOR": "1", "PYTHONUNBUFFERED": "1"}
    said = home.parent / "up.txt"
    with said.open("wb") as output:
        process = subprocess.Popen([COMMAND, "up", "--port", "3400"], cwd=ROOT, env=environ, stdout=output, stderr=output)
    try:
        assert until(lambda: ADDRESS.search(said.read_text()) is not None, 60), said.read_text()
        found = ADDRESS.search(said.read_text())
        up = Served(process, found[0] if found else "", home)
        assert until(up.answers, 120), (home / "dagster/servers/code.log").read_text()[-2000:]
        yield up
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            process.wait(30)


SENSORS = """{ sensorsOrError(repositorySelector: {
    repositoryName: "__repository__", repositoryLocationName: "lightkeeper"
}) { ... on Sensors { results { name sensorState { status } } } } }"""


def test_the_sensor_is_on_and_the_pages_come_from_loopback(served: Served) -> None:
    found = json.dumps(served.ask(SENSORS))
    assert '"name": "arrivals"' in found
    assert "RUNNING" in found
    assert served.address.startswith("http://127.0.0.1:")


def test_the_first_lines_name_the_page_to_open(served: Served) -> None:
    lines = (served.home.parent / "up.txt").read_text().splitlines()
    assert f"{served.address}/asset-groups" in " ".join(lines[:3])


def browser() -> str:
    found = next(filter(None, map(shutil.which, ("chromium", "google-chrome", "chromium-browser"))), None)
    assert found, "a browser is needed: apt-get install chromium"
    return found


def test_the_lineage_page_tells_the_story_in_a_browser(served: Served) -> None:
    page = f"{served.address}/assets/demand_forecast?view=lineage&lineageScope=upstream&lineageDepth=5"
    names = ("landing", "sales", "holidays", "daily_demand", "demand_features", "demand_model", "demand_forecast")

    def shown() -> bool:
        with tempfile.TemporaryDirectory() as profile:
            words = [browser(), *QUIET, f"--user-data-dir={profile}", "--virtual-time-budget=30000", "--dump-dom"]
            dom = subprocess.run(
                [*words, "--window-size=1800,900", page], capture_output=True, text=True, check=False, timeout=100
            ).stdout
        return all(name in dom for name in names)

    assert until(shown, 200)


def test_the_daemon_lands_a_corrected_file_and_refreshes_what_depends_on_it(served: Served) -> None:
    before, lake = versions(served.home), lk.Lake(served.home / "lake")
    sales = served.home / "landing" / "sales"
    name = sorted(path.name for path in sales.glob("sales-*.csv"))[-3]
    lines = (sales / name).read_text().splitlines(keepends=True)
    (sales / f".{name}.part").write_text("".join(lines[:-5]))
    (sales / f".{name}.part").replace(sales / name)
    assert until(lambda: versions(served.home)["demand_forecast"] > before["demand_forecast"], 120)
    made = lake.commit(lake.version("sales"))
    assert made.replaced == (date.fromisoformat(name[6:16]),)
    assert made.version.version == before["sales"] + 1
    assert versions(served.home)["demand_model"] == before["demand_model"]


def test_a_second_up_of_the_same_home_is_refused_with_the_processes_to_end(served: Served) -> None:
    pids = json.loads((served.home / "dagster/servers.json").read_text())
    environ = {**os.environ, "LIGHTKEEPER_HOME": str(served.home)}
    done = subprocess.run([COMMAND, "up"], cwd=ROOT, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert f"kill {' '.join(str(pid) for pid in pids.values())}" in " ".join(done.stderr.split())


def test_ctrl_c_ends_every_server(served: Served) -> None:
    pids = json.loads((served.home / "dagster/servers.json").read_text())
    assert sorted(pids) == ["code", "daemon", "webserver"]
    served.process.send_signal(signal.SIGINT)
    assert served.process.wait(30) == 0
    assert not [name for name, pid in pids.items() if Path(f"/proc/{pid}").exists()]


@pytest.mark.nightly  # servers of their own, and a day of a build: Dagster's runs give both signals the handler of Ctrl-C
def test_an_up_that_a_script_began_in_the_background_is_ended_by_its_process_id(
    tmp_path: Path, built: dict[str, object], home: Path
) -> None:
    assert built
    shutil.copytree(home, tmp_path / "home")
    (tmp_path / "home" / "dagster" / "servers.json").unlink(missing_ok=True)
    day = SAMPLE.days(lk.Home(home))[-31]
    (tmp_path / "home" / "built.json").write_text(json.dumps({"day": day.isoformat()}))
    environ = {**os.environ, "LIGHTKEEPER_HOME": str(tmp_path / "home"), "NO_COLOR": "1", "PYTHONUNBUFFERED": "1"}
    said = tmp_path / "up.txt"
    words = ["sh", "-c", f"trap '' INT; exec {COMMAND} up --port 3600"]  # as a shell does to what it starts with an ampersand
    with said.open("wb") as output:
        process = subprocess.Popen(words, cwd=ROOT, env=environ, stdout=output, stderr=output)
    try:
        assert until(lambda: "Look at the lineage" in said.read_text(), 150), said.read_text()
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    finally:
        process.kill()
