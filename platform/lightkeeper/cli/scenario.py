"""`lightkeeper scenario`: made-up days with a known truth, played in a home of their own; what is noticed, and what is done."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lightkeeper.cli.champion import done
from lightkeeper.cli.missed import missed, missed_json
from lightkeeper.cli.options import EPILOG, JsonOption
from lightkeeper.cli.project import Project
from lightkeeper.cli.show import Column, WithSentences, counted, did_you_mean, dim, grid, print_json, print_text, records, text
from lightkeeper.errors import Refused
from lightkeeper.home import Home
from lightkeeper.values import version_name

if TYPE_CHECKING:
    import dagster as dg
    from rich.console import RenderableType

    from lightkeeper.orchestrate.replay import Moment
    from lightkeeper.orchestrate.scenario import Scenario, Script, Settings, Truth

__all__ = ["code_of", "definitions_of", "length", "play", "register", "told"]

_NewHome = Annotated[
    Path | None, typer.Option("--home", metavar="DIR", help="A new home for it; .lightkeeper-NAME-SEED by default.")
]

_BUILD, _QUIET_DAY, _DAY, _DAEMON_DAY = 20.0, 0.1, 3.0, 15.0  # seconds, about: of any history, of a day of it, of a day after it


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("scenario", epilog=EPILOG)(play)


def play(  # noqa: PLR0913 - a command's options
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="Of a registered scenario; without one they are listed.")
    ] = None,
    *,
    seed: Annotated[int, typer.Option("--seed", metavar="N", min=0, help="The same seed makes the same days.")] = 1,
    magnitude: Annotated[
        float | None, typer.Option("--magnitude", metavar="X", help="How strong, in the scenario's own unit.")
    ] = None,
    weeks: Annotated[
        int | None, typer.Option("--weeks", metavar="N", min=1, help="Quiet weeks before anything happens; the scenario's own.")
    ] = None,
    days: Annotated[
        int | None, typer.Option("--days", metavar="N", min=1, help="Calendar days to play after them; the scenario's own.")
    ] = None,
    daemon: Annotated[
        bool, typer.Option("--daemon", help="Through Dagster's own daemon and queue: some 15 seconds a day instead of three.")
    ] = False,
    home: _NewHome = None,
    as_json: JsonOption = False,
) -> None:
    """Play a scenario's days in a home of its own, with the project's sensors, and tell what is noticed and what is done.

    It ends with what the forecasts missed by, beside what they had missed by, had the first version been left alone.
    """
    from lightkeeper.orchestrate.scenario import Settings

    project = Project.find(Path.cwd())
    if name is None:
        print_text(*_listed([*project.scenarios.values()]))
        return
    scenario = _named(project, name)
    played = weeks or scenario.history_weeks, days or scenario.after_days
    if played[0] < scenario.least_weeks:
        raise Refused(
            f"The scenario {name} cannot be built from {counted(played[0], 'quiet week')}: its tables are empty before "
            f"{scenario.least_weeks}. Give --weeks {scenario.least_weeks} or more; by default it has {scenario.history_weeks}."
        )
    script = scenario.script(Settings(seed, magnitude, *played))
    place = Home(home.expanduser().resolve()) if home else Home(project.folder / f".lightkeeper-{name}-{seed}")
    if place.exists:
        raise Refused(f"{place.root} is a home already. Remove it, or choose another: --home DIR.")
    if not as_json:
        print_text(f"{scenario.name}: {scenario.description}", length(script, daemon=daemon))
    moments = []
    for moment in (_followed if daemon else _played)(project, scenario, script, place, quiet=as_json):
        moments.append(moment)
        if not as_json:
            print_text(*told(moment))
    if as_json:
        print_json({"scenario": name, "seed": seed, "home": str(place.root), "truth": _truth(script.truth),
                    "moments": [_json(one) for one in moments], "missed": missed_json(place, script)})  # fmt: skip
    else:
        print_text(*_closed(script, moments, place), *missed(place, script))


def _named(project: Project, name: str) -> Scenario:
    there = project.scenarios
    if name in there:
        return there[name]
    mend = did_you_mean(name, there, f"There are {', '.join(there)}.")
    raise Refused(f"There is no scenario {name!r}. {mend}")


def _played(project: Project, scenario: Scenario, script: Script, place: Home, *, quiet: bool) -> Iterator[Moment]:
    """The days in this process: the project's sensors, ticked as a daemon does, and what they ask for run at once."""
    from lightkeeper.orchestrate.replay import play
    from lightkeeper.orchestrate.sensing import SENSED, Senses

    instance, defs = _built(project, scenario, script, place, quiet=quiet)
    explanations = {key for key in defs.resolve_asset_graph().materializable_asset_keys if key.path[-1].endswith("_explanation")}
    senses = Senses(defs, instance, SENSED, frozenset(explanations))
    yield from play(defs, instance, place, script, senses=senses)


def _followed(project: Project, scenario: Scenario, script: Script, place: Home, *, quiet: bool) -> Iterator[Moment]:
    """The days through Dagster's daemon, its queue and a code server."""
    from lightkeeper.orchestrate.daemon import daemon, played

    _built(project, scenario, script, place, quiet=quiet)
    with daemon(project.folder, code_of(project, scenario, script, place), place) as running:
        yield from played(running, script)


_CODE = """\
\"\"\"What the daemon loads for the scenario {name}: the project with the tables that only this scenario has.\"\"\"

import datetime

from lightkeeper.cli.scenario import definitions_of
from lightkeeper.orchestrate.scenario import Settings

defs = definitions_of({folder!r}, {name!r}, Settings({settings}))
"""


def code_of(project: Project, scenario: Scenario, script: Script, place: Home) -> Path:
    """The file that a code server loads: the project's own, or one in the home where the scenario has tables of its own."""
    if scenario.tables is None:
        return project.file
    file = place.root / "scenario_definitions.py"
    words = ", ".join(f"{key}={value!r}" for key, value in asdict(script.settings).items())
    file.write_text(_CODE.format(name=scenario.name, folder=str(project.folder), settings=words))
    return file


def definitions_of(folder: str, name: str, settings: Settings) -> dg.Definitions:
    """The definitions of the project in a folder, with the tables that only a scenario has."""
    from lightkeeper.orchestrate.running import load

    project = Project(Path(folder))
    scenario = _named(project, name)
    return _with_own(load(project.folder, project.module), scenario, scenario.script(settings))


def _built(project: Project, scenario: Scenario, script: Script, place: Home, *, quiet: bool) -> tuple[Any, dg.Definitions]:
    """The home with its quiet history landed and everything made of it."""
    from lightkeeper.orchestrate.replay import begin, settle
    from lightkeeper.orchestrate.running import load, ready

    with _removed_if_it_fails(place.root):
        begin(place, scenario.name, script)
        instance = ready(place)
        defs = _with_own(load(project.folder, project.module), scenario, script)
        if not quiet:
            print_text(f"Building {_quiet(script)} quiet days in {place.root} ...")
        settle(defs, instance, script)
    return instance, defs


@contextmanager
def _removed_if_it_fails(folder: Path) -> Iterator[None]:
    """A home that could not be built is no home: what was begun goes, unless something lay there before."""
    mine = not folder.exists() or not any(folder.iterdir())
    try:
        yield
    except BaseException:
        if mine:
            shutil.rmtree(folder, ignore_errors=True)
        raise


def _with_own(defs: dg.Definitions, scenario: Scenario, script: Script) -> dg.Definitions:
    import dagster as dg

    from lightkeeper.orchestrate.project import definitions

    if scenario.tables is None:
        return defs
    return dg.Definitions.merge(defs, definitions(tables=scenario.tables(script)))


# -- showing ----------------------------------------------------------------------------------------------------


def _listed(rows: Sequence[Scenario]) -> Sequence[RenderableType]:
    """A line a scenario, what happens below it, and how one is played."""
    table, _ = grid([
        Column("scenario", [text(one.name) for one in rows]),
        Column("magnitude", ["-" if one.unit == "none" else text(f"{one.default:g} {one.unit}") for one in rows], least=20),
        Column("quiet weeks", [str(one.history_weeks) for one in rows], right=True),
        Column("days after", [str(one.after_days) for one in rows], right=True),
    ])  # fmt: skip
    play_one = [dim(f"Play one, in a home of its own: lightkeeper scenario {text(rows[0].name)}")] if rows else []
    return [WithSentences(table, [one.description for one in rows]), "", *play_one]


def _quiet(script: Script) -> int:
    """Calendar days of the history."""
    return sum(one.day < script.turns for one in script.days)


def length(script: Script, *, daemon: bool) -> str:
    """How long the days are played, and about how long that takes."""
    quiet = _quiet(script)
    after = len(script.days) - quiet
    minutes = round((_BUILD + quiet * _QUIET_DAY + after * (_DAEMON_DAY if daemon else _DAY)) / 60)
    about = "a minute" if minutes <= 1 else f"{minutes} minutes"
    return f"{counted(quiet // 7, 'quiet week')}, then {counted(after, 'day')}: about {about} on two processors."


def told(moment: Moment) -> Sequence[RenderableType]:
    """One line a run, and one a thing noticed."""
    what = f"{moment.day:%a %d %b} landed" if moment.day else "nothing came"
    head = f"{moment.at:%a %d %b %H:%M}  {what}"
    rows = moment.noticed.unique(["asset", "check", "column", "segment"], keep="last", maintain_order=True)
    each = rows.group_by("asset", "check", maintain_order=True)
    noticed = [f"    {_line(mine.row(0, named=True), mine['column'].n_unique() - 1)}" for _, mine in each]
    return [head, *noticed, *_decided(moment), *(f"    alert  {_alert(row)}" for row in moment.told.iter_rows(named=True))]


def _decided(moment: Moment) -> Iterator[RenderableType]:
    """What was decided of the models: the word in bold, the reason below it."""
    from rich.padding import Padding
    from rich.text import Text

    for row in moment.decided.iter_rows(named=True):
        if row["action"] in ("trained", "judged"):
            continue
        nth = f", attempt {row['attempt']}" if row["action"] == "attempted" else ""
        version = "" if row["action"] in ("held", "attempted") else f" {version_name(row['model'], row['version'])}"
        head = f"{row['model']}: {done(row)}{version}{nth}"
        yield Padding(Text(text(head), style="bold"), (0, 0, 0, 4))
        yield Padding(Text(text(row["why"]), style="dim"), (0, 0, 0, 6))


def _alert(row: dict[str, Any]) -> str:
    opening = "solved: " if row["event"] == "solved" else ""
    return text(f"{opening}{row['title']}")


def _line(row: dict[str, Any], more: int) -> str:
    """The first verdict of a check, and of how many more columns it is."""
    from lightkeeper.measure.level_shift import CHECK

    others = f" and {counted(more, 'more column')}" if more else ""
    where = f" of {row['column']}" if row["column"] else ""
    part = f" ({row['segment']})" if row["segment"] else ""
    kind = f": {row['kind']}" if row["kind"] else ""
    if row["check"] == CHECK:
        kind = f": forecasts x {row['measured']:.2f}"
    return text(f"{row['state']}  {row['asset']} {row['check']}{where}{part}{others}{kind}")


def _closed(script: Script, moments: Sequence[Moment], place: Home) -> Sequence[str]:
    truth = script.truth
    first = next((one for one in moments if one.noticed.height), None)
    seen = "Nothing was noticed." if first is None else f"First noticed on {first.at:%a %d %b %H:%M}."
    kinds = sorted({row for one in moments for row in one.noticed["kind"].drop_nulls()})
    told = f" It was called {', '.join(kinds)}." if kinds else ""
    return ["", f"What happened: {truth.what}", f"{seen}{told}", f"Look: lightkeeper check history --home {place.root}"]


def _truth(truth: Truth) -> dict[str, Any]:
    return {"kind": truth.kind, "starts": truth.starts, "ends": truth.ends, "table": truth.table,
            "columns": list(truth.columns), "what": truth.what}  # fmt: skip


def _json(moment: Moment) -> dict[str, Any]:
    return {"at": moment.at.isoformat(), "day": moment.day, "noticed": records(moment.noticed),
            "decided": records(moment.decided), "told": records(moment.told)}  # fmt: skip
