"""The command `lightkeeper`: its start, its exit codes, and errors as sentences. What is shown stands beside it.

The start needs the standard library alone, so that `lightkeeper doctor` can say which packages are missing, typer
included; commands import what they need when they run.
"""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
import traceback
from typing import TYPE_CHECKING, TextIO

from lightkeeper.errors import LightkeeperError

if TYPE_CHECKING:
    import typer

    app: typer.Typer

__all__ = ["NOBODY_READS", "UNLIMITED", "app", "main", "write_out"]

REFUSED = 3  # a LightkeeperError: the reason and the next step are on stderr
FAULT = 70  # anything that nobody expected
INTERRUPTED = 130
NOBODY_READS = 141  # what a shell reports of a process that SIGPIPE ended
UNLIMITED = 10_000  # columns of a line that nobody looks at in a terminal
_LOOK = "LIGHTKEEPER_DEBUG=1 shows where; lightkeeper doctor says what is wrong here."


def main() -> None:
    """Runs the command of `sys.argv` and exits: 0, 1, 2, 3, 70, 130 or 141, as `lightkeeper --help` explains them."""
    for stream in (sys.stdout, sys.stderr):
        _print_what_can_be_printed(stream)
    try:
        code = _run()
    except KeyboardInterrupt:
        code = INTERRUPTED
    sys.exit(code if write_out("") else NOBODY_READS)


def write_out(text: str) -> bool:
    """Writes to stdout at once; False when its reader went away, as `head` does."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # so that the flush at exit has a place to go
        return False
    return True


def _run() -> int:
    try:
        command = _build()
    except ImportError as error:
        return _without_typer(error)
    try:
        command(prog_name="lightkeeper")
    except SystemExit as end:
        return int(end.code or 0)
    except Exception as error:  # noqa: BLE001 - the last place where it can become a sentence
        return _explained(error)
    return 0


def _explained(error: Exception) -> int:
    if isinstance(error, LightkeeperError):
        return _say(type(error).__name__, str(error), REFUSED)
    if isinstance(error, ImportError):
        return _missing(error)
    return _say("A fault", f"{type(error).__name__}: {error}\n{_LOOK}", FAULT)


def __getattr__(name: str) -> object:
    if name == "app":
        return _build()
    raise AttributeError(f"module 'lightkeeper.cli' has no attribute {name!r}")


def _build() -> typer.Typer:
    import typer

    from lightkeeper.cli import alert, check, doctor, model, running, scenario, table
    from lightkeeper.cli.help_text import without_types
    from lightkeeper.cli.options import EPILOG, options

    app = typer.Typer(
        name="lightkeeper",
        help="Lightkeeper: every dataset and every model is a versioned table with its lineage.",
        epilog=EPILOG,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    app.callback()(options)
    running.register(app)
    table.register(app)
    model.register(app)
    check.register(app)
    alert.register(app)
    scenario.register(app)
    doctor.register(app)
    without_types(app)
    return app


def _say(kind: str, sentence: str, code: int) -> int:
    """The error on stderr as one block, wrapped for a terminal, without traceback unless LIGHTKEEPER_DEBUG=1."""
    if os.environ.get("LIGHTKEEPER_DEBUG") == "1":
        traceback.print_exc()
    terminal = sys.stderr.isatty()
    width = shutil.get_terminal_size().columns if terminal else UNLIMITED
    lines = [line for part in sentence.splitlines() for line in _wrapped(part, width - 2)]
    head = f"\x1b[1;31m{kind}\x1b[0m" if terminal and not os.environ.get("NO_COLOR") else kind
    sys.stderr.write("\n".join([head, *(f"  {line}" for line in lines)]) + "\n")
    return code


def _wrapped(part: str, width: int) -> list[str]:
    shown = "".join(c if c.isprintable() else repr(c)[1:-1] for c in part)
    return textwrap.wrap(shown, max(width, 20), break_long_words=False, break_on_hyphens=False)


def _print_what_can_be_printed(stream: TextIO) -> None:
    """Characters that the terminal's encoding does not know become question marks instead of an error."""
    reconfigure = getattr(stream, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="replace")


def _without_typer(error: ImportError) -> int:
    """Only `doctor` works without typer and rich; everything else says to run it."""
    from lightkeeper.cli import doctor

    if sys.argv[1:2] == ["doctor"]:
        return doctor.without_typer(sys.argv[2:])
    return _missing(error)


def _missing(error: ImportError) -> int:
    return _say("A package is missing", f"{error}. What is missing, and how to mend it: lightkeeper doctor", FAULT)
