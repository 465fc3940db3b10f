"""`up`, `build` and `land-next`: what they say and show. What they do stands in `building` and `serving`."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lightkeeper.cli.building import Built, Step, Tell, build, create, land_next, report
from lightkeeper.cli.options import EPILOG, HomeOption, JsonOption, again, same_home
from lightkeeper.cli.project import Project
from lightkeeper.cli.show import counted
from lightkeeper.errors import BadDeclaration, LightkeeperError
from lightkeeper.home import Home

if TYPE_CHECKING:
    from rich.console import Console

    from lightkeeper.cli.serving import Servers

__all__ = ["aligned", "progress", "register"]

SampleOption = Annotated[
    str | None,
    typer.Option(
        "--sample",
        metavar="SIZE",
        help="full, small, or none for your own data; counts when the home is new. Full by default, where there is one.",
    ),
]


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.command("up", epilog=EPILOG)(up)
    app.command("build", epilog=EPILOG)(build_command)
    app.command("land-next", epilog=EPILOG)(land_next_command)


def up(
    home: HomeOption = None,
    sample: SampleOption = None,
    port: Annotated[int, typer.Option("--port", metavar="N", help="Of Dagster's UI; the next free one is taken.")] = 3000,
) -> None:
    """Serve Dagster's UI, daemon and sensors, and build what is not there yet. Ends with Ctrl-C."""
    from rich.markup import escape

    from lightkeeper.cli.serving import serving
    from lightkeeper.orchestrate.running import ready

    for ending in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, signal.default_int_handler)  # a closed terminal ends the servers as Ctrl-C does, wherever it began
    project = Project.find(Path.cwd())
    place, console = project.home(home), _console()
    console.print(f"[bold]Lightkeeper[/bold]  state in {escape(_short(place.root))}")
    create(project, place, _sample(project, sample), datetime.now(UTC).date())
    ready(place)
    with serving(project, place, port) as servers:
        console.print(f"Dagster's UI   [bold]{servers.address}/asset-groups[/bold]   [dim](in a few seconds)[/dim]")
        console.print(f"[dim]Logs in {escape(_short(servers.logs))}. Ctrl-C ends everything.[/dim]\n")
        try:
            with progress(console) as tell:
                built = build(project, place, tell)
            _say_built(console, place, built)
        except LightkeeperError as error:  # the UI shows the run, and the sensor lands what comes
            console.print(f"[bold]The build stopped:[/bold] {escape(str(error))}", highlight=False)
        console.print(f"\nLook at the lineage: [bold]{servers.address}/asset-groups[/bold]")
        if place.record.kind == "sample" and place.record.scenario is None:
            land = escape(f"{_command()} land-next{same_home(elsewhere=True)}")
            console.print(f"Land the next day:   [bold]{land}[/bold]   (in a second terminal)", soft_wrap=True)
        _wait(servers)


def build_command(home: HomeOption = None, sample: SampleOption = None, as_json: JsonOption = False) -> None:
    """Build a home without serving: land, features, model, forecast. Run again, it goes on from what is there."""
    project = Project.find(Path.cwd())
    place, console = project.home(home), _console(quiet=as_json)
    create(project, place, _sample(project, sample), datetime.now(UTC).date())
    with progress(console) as tell:
        built = build(project, place, tell)
    if as_json:
        sys.stdout.write(json.dumps(report(place, built), indent=2) + "\n")
        return
    _say_built(console, place, built)
    console.print(f"Look: {again('table list')}", highlight=False, markup=False, soft_wrap=True)


def land_next_command(
    days: Annotated[int, typer.Option("--days", metavar="N", min=1, help="Days with sales to land, one after the other.")] = 1,
    home: HomeOption = None,
    only_files: Annotated[
        bool, typer.Option("--only-files", help="Only put the files there; the sensor `arrivals` lands them.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Land the sample's next held-back days, real ones, and move the clock of the home."""
    project = Project.find(Path.cwd())
    place, console = project.home(home), _console(quiet=as_json)
    with progress(console) as tell:
        built, landed = land_next(project, place, days, tell, only_files=only_files)
    if as_json:
        said = {**report(place, built), "landed": [day.isoformat() for day in landed]}
        sys.stdout.write(json.dumps(said, indent=2) + "\n")
        return
    verb = "Put files for" if only_files else "Landed"
    console.print(f"{verb} {', '.join(f'{day:%a %d %b %Y}' for day in landed)}. It is now {place.now():%a %d %b %Y}.")
    if only_files:
        console.print("The sensor [bold]arrivals[/bold] lands them within half a minute when Dagster is up.")
    for line in aligned(built.versions):
        console.print(f"  {line}", highlight=False)


def aligned(versions: Mapping[str, str]) -> list[str]:
    """A line an asset, the versions below each other."""
    wide = max(map(len, versions), default=0)
    return [f"{asset:<{wide}}  {version}" for asset, version in sorted(versions.items())]


def _console(*, quiet: bool = False) -> Console:
    from rich.console import Console

    return Console(stderr=quiet)


@contextmanager
def progress(console: Console) -> Iterator[Tell]:
    """Progress bars on a terminal; a line for each phase elsewhere."""
    if not console.is_terminal:
        yield _lines(console)
        return
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(20),
        TextColumn("{task.fields[far]}"),
        TimeElapsedColumn(),
    )
    with _past_runs(console) as terminal, Progress(*columns, console=terminal, transient=True) as bars:
        task = bars.add_task("starting", total=None, far="")

        def tell(step: Step) -> None:
            total = step.total if step.done else None
            far = f"{step.done} of {step.total}" if step.done else ""
            bars.update(task, description=step.what, total=total, completed=step.done, far=far, refresh=True)

        yield tell


@contextmanager
def _past_runs(console: Console) -> Iterator[Console]:
    """A console on the same terminal, whose lines are not taken for what a run prints."""
    from rich.console import Console

    try:
        terminal = os.fdopen(os.dup(console.file.fileno()), "w")
    except OSError:  # it writes to no file
        yield console
        return
    with terminal:
        yield Console(file=terminal)


def _lines(console: Console) -> Tell:
    def tell(step: Step) -> None:
        if step.done in {0, step.total}:
            console.print(step.what, highlight=False)

    return tell


def _say_built(console: Console, home: Home, built: Built) -> None:
    from rich.table import Table

    if built.runs:
        seconds = ", ".join(f"{phase} {spent:.1f} s" for phase, spent in built.seconds.items())
        console.print(f"Built {counted(built.days, 'day')} in {counted(built.runs, 'run')} ({seconds}).", highlight=False)
    else:
        console.print("Everything was built already.")
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("table", "version", "rows"):
        table.add_column(name, justify="left" if name == "table" else "right")
    for one in report(home, built)["tables"]:  # type: ignore[attr-defined]
        table.add_row(one["table"], f"@{one['version']}", f"{one['rows']:,}")
    console.print(table)
    console.print(f"It is [bold]{home.now():%A %d %B %Y}[/bold] in this home.", highlight=False)


def _wait(servers: Servers) -> None:
    """Until Ctrl-C, or until a server ends by itself."""
    try:
        while (name := servers.ended()) is None:
            time.sleep(0.5)
    except KeyboardInterrupt:
        return
    raise LightkeeperError(f"The {name} ended by itself. Read {servers.logs}/{name}.log")


def _sample(project: Project, given: str | None) -> str:
    """The size that is asked for; the whole sample by default, none where the project registers none."""
    if given is not None:
        return given
    try:
        return "full" if project.sample else "none"
    except BadDeclaration:
        return "none"


def _command() -> str:
    """How this command is called again from here."""
    return "lightkeeper" if shutil.which("lightkeeper") else _short(Path(sys.argv[0])).removeprefix("./")


def _short(path: Path) -> str:
    try:
        return f"./{path.relative_to(Path.cwd())}"
    except ValueError:
        return str(path)
