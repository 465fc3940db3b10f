"""The help of each command, and the page of the command line beside it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from lightkeeper.cli import app
from lightkeeper.cli.options import EPILOG

PAGE = (Path(__file__).resolve().parents[2] / "docs/command-line.md").read_text()


def commands(group: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Each command by the words that call it."""
    for word, one in group.commands.items():
        if hasattr(one, "commands"):
            yield from commands(one, f"{name}{word} ")
        else:
            yield f"{name}{word}", one


EVERY = dict(commands(typer.main.get_command(app)))


def test_each_command_and_each_option_of_it_stands_on_the_page_of_the_command_line() -> None:
    assert [name for name in EVERY if f"`lightkeeper {name}" not in PAGE] == []
    options = {
        name: [word for one in command.params for word in one.opts if word.startswith("--")] for name, command in EVERY.items()
    }
    assert {name: missing for name, words in options.items() if (missing := [word for word in words if word not in PAGE])} == {}
    dated = {name.split()[-1] for name, words in options.items() if "--as-of" in words}
    line = next(part for part in PAGE.split("\n- ") if part.startswith("**`--as-of DAY`**"))
    assert {name for name in dated if f"`{name}`" not in line and f" {name}`" not in line} == set()


def test_what_a_bad_answer_is_fits_every_command_that_can_give_one() -> None:
    for part in ("versions differ", "a check fails", "a model is not the same, leaks or would not pass", "something is wrong here"):
        assert part in EPILOG


@pytest.mark.parametrize("words", ["", "table", *EVERY])
def test_the_help_shows_no_type_of_python_and_for_each_value_a_word(words: str) -> None:
    said = CliRunner().invoke(app, [*words.split(), "--help"], env={"COLUMNS": "200", "NO_COLOR": "1"}).output
    assert "Exit codes: 0 done" in said
    assert [line for line in said.splitlines() if re.search(r"<(str|bool|int|float|%|path|list|date)", line)] == []
    for one in EVERY[words].params if words in EVERY else ():
        assert one.param_type_name == "argument" or one.is_flag or re.search(rf"{one.opts[0]} +[A-Z]+", said), one.opts
