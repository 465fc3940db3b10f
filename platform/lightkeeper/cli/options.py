"""The options that commands share, and what they mean: which home, which lake, which version of a table.

It knows no command; how results are shown is in `show`.
"""

from __future__ import annotations

import os
import shlex
from contextvars import ContextVar
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lightkeeper.cli.show import print_text
from lightkeeper.errors import Refused
from lightkeeper.home import Home
from lightkeeper.values import TableVersion

if TYPE_CHECKING:
    from lightkeeper.lake.table import Lake

__all__ = [
    "EPILOG",
    "AsOfOption",
    "DayArgument",
    "HomeOption",
    "JsonOption",
    "VersionArgument",
    "again",
    "find_home",
    "open_lake",
    "options",
    "parse_day",
    "same_home",
    "wanted_version",
]  # fmt: skip

EPILOG = (
    "Exit codes: 0 done; 1 answered, and the answer is bad (versions differ, a check fails, a model is not the same, leaks or "
    "would not pass, something is wrong here); 2 wrong usage; 3 refused, the reason and the next step are on stderr; 70 a fault "
    "of the program or the machine (LIGHTKEEPER_DEBUG=1 shows where); 130 interrupted; 141 the reader of the output went away."
)


def parse_day(text: str) -> date:
    """A day as it is typed. Raises a usage error."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no day: write it like 2026-10-23.") from None


_NAMED: ContextVar[tuple[Path | None, str]] = ContextVar("_NAMED", default=(None, ""))  # --home and LIGHTKEEPER_HOME, as given


def remember_home(given: Path | None) -> Path | None:
    """Keep which home a command was given, for the commands that it says to type next."""
    _NAMED.set((given, os.environ.get("LIGHTKEEPER_HOME", "")))
    return given


HomeOption = Annotated[
    Path | None,
    typer.Option(
        "--home",
        metavar="DIR",
        callback=remember_home,
        help="Use this home, not the one of the project here (or LIGHTKEEPER_HOME).",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]
AsOfOption = Annotated[
    date | None,
    typer.Option("--as-of", metavar="DAY", parser=parse_day, help="As it was known at the end of that day (UTC)."),
]
DayArgument = Annotated[date, typer.Argument(metavar="DAY", parser=parse_day, help="The suspect day, such as 2026-03-02.")]
VersionArgument = Annotated[str, typer.Argument(metavar="T[@V]", help="A table (its newest version) or a version: sales@41.")]


def _version(value: bool) -> None:  # noqa: FBT001 - typer's callback
    from lightkeeper.cli.packages import installed_version

    if value:
        print_text(f"lightkeeper {installed_version()}")
        raise typer.Exit


def options(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    """Options of the command itself, before any sub-command."""


# -- where ------------------------------------------------------------------------------------------------------


def find_home(given: Path | None) -> Home:
    """The home that `--home` names, else the one that `Home.find` finds from here. Raises Refused."""
    return Home.find(Path.cwd(), os.environ, given)


def again(words: str) -> str:
    """A command to type next, `lightkeeper WORDS`, in the home that this one was given."""
    return f"lightkeeper {words}{same_home()}"


def same_home(*, elsewhere: bool = False) -> str:
    """` --home DIR` where this command was given one that the next would not find by itself; `elsewhere`: in another terminal."""
    given, environ = _NAMED.get()
    named = given or (Path(environ) if elsewhere and environ else None)
    if named is None:
        return ""
    try:
        usual = Home.find(Path.cwd(), {} if elsewhere else {"LIGHTKEEPER_HOME": environ}).root
    except Refused:
        usual = None
    return "" if named.expanduser().resolve() == usual else f" --home {shlex.quote(str(named))}"


def open_lake(given: Path | None) -> Lake:
    """The lake of a home, with the home's clock. Raises Refused where there is neither a home nor a lake."""
    from lightkeeper.lake.table import Lake

    home = find_home(given)
    if not home.lake.is_dir():
        _ = home.record  # says that there is no home, and how to make one
    return Lake(home.lake, clock=home.now)


def wanted_version(lake: Lake, given: str, as_of: date | None = None) -> TableVersion:
    """The version that `sales` or `sales@41` means. Raises NoSuchTable, NoSuchVersion, BadName."""
    if "@" not in given:
        return lake.resolve(given, as_of=as_of)
    if as_of is not None:
        raise typer.BadParameter(f"give a version, {given}, or --as-of {as_of}, not both.")
    wanted = TableVersion.parse(given)
    return lake.resolve(wanted.table, wanted)
