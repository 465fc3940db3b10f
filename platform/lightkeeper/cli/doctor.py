"""`lightkeeper doctor`: says what this machine, this installation and this home lack, and how to mend it.

Standard library only, so that it runs where typer and rich are missing. What is looked at is in `findings`.
"""

import argparse
import json
import os
import shutil
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from lightkeeper.cli import NOBODY_READS, UNLIMITED, write_out
from lightkeeper.cli.findings import Finding, examine
from lightkeeper.cli.packages import installed_version

# Annotations are evaluated here (no `from __future__ import annotations`): typer reads those of the command in
# `register`, whose options are imported only there.
if TYPE_CHECKING:
    import typer

__all__ = ["register", "without_typer"]

_INDENT = 26
_COLOURS = {"ok": "32", "note": "33", "wrong": "1;31"}


def register(app: "typer.Typer") -> None:
    """Adds `doctor` to the command."""
    import typer

    from lightkeeper.cli.options import EPILOG, HomeOption, JsonOption

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
    width = shutil.get_terminal_size().columns if terminal or "COLUMNS" in os.environ else UNLIMITED
    colour = terminal and not os.environ.get("NO_COLOR")
    lines = [line for one in findings for line in _lines(one, width, colour=colour)]
    last = "All is well." if not wrong else f"{wrong} {'thing is' if wrong == 1 else 'things are'} wrong."
    return "\n".join([*lines, "", last]) + "\n"


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
