"""The rules of the house that no linter knows. A rule that stands here can be relied on everywhere else."""

from __future__ import annotations

import ast
import importlib
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tools.lock import LOCKS, stale

ROOT = Path(__file__).resolve().parent.parent
LIBRARY = ROOT / "platform" / "lightkeeper"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
MODULES = [
    ".".join(path.relative_to(LIBRARY.parent).with_suffix("").parts).removesuffix(".__init__")
    for path in sorted(LIBRARY.rglob("*.py"))
]
FLOORS = sorted(module for module in MODULES if module.count(".") == 1 and not module.endswith(".__main__"))
HOSTS = [
    ".".join(parts)
    for parts in (
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("npmjs", "org"),
        ("debian", "org"),
        ("ubuntu", "com"),
        ("crates", "io"),
        ("docker", "io"),
        ("ghcr", "io"),
        ("anaconda", "org"),
    )
]
MACHINE = re.compile(r"(?<![\w.~}\])/-])/(?:root|work|tmp|home|Users|opt|mnt)/\w")
BANNED = {"base", "common", "core", "helpers", "manager", "misc", "util", "utils"}
COMMAND = re.compile(r"^(?:\$ )?(?:[A-Z_]+=\S+ )*(?:\.venv/bin/)?(make|lightkeeper) ([^#|`\n]+)", re.MULTILINE)


def tracked() -> list[Path]:
    """Files that are, or would be, in the repository."""
    command = ["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    return [ROOT / name for name in names if name and (ROOT / name).is_file()]


def texts() -> list[tuple[str, str]]:
    """Tracked text files: name in the repository, and content."""
    return [(str(path.relative_to(ROOT)), path.read_text()) for path in tracked() if b"\0" not in path.read_bytes()[:8192]]


def contract(part_of_its_name: str) -> dict[str, list[str]]:
    """The one import-linter contract whose name says this."""
    (found,) = (one for one in PROJECT["tool"]["importlinter"]["contracts"] if part_of_its_name in one["name"])
    return found


def test_the_platform_folder_is_no_package_so_that_the_standard_library_keeps_its_module() -> None:
    assert not (ROOT / "platform" / "__init__.py").exists()
    command = [sys.executable, "-c", "import platform; print(platform.__file__)"]
    where = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    assert Path(where).parent.samefile(sysconfig.get_path("stdlib"))


def test_each_floor_on_disk_has_its_place_among_the_layers() -> None:
    layers = contract("imports only from floors below")["layers"]
    named = [name.strip(" ()") for layer in layers for name in re.split(r"[|:]", layer)]
    assert sorted(named) == FLOORS


@pytest.mark.parametrize(("library", "owner"), [("deltalake", "lightkeeper.lake"), ("lightgbm", "lightkeeper.models")])
def test_a_library_with_one_owner_is_forbidden_to_each_other_floor(library: str, owner: str) -> None:
    bound = contract(f"imports {library}" if library == "deltalake" else f"import {library}")
    assert set(bound["source_modules"]) == {*FLOORS, "assets", "sensors", "resources"} - {owner}
    assert bound["forbidden_modules"] == [library]


def test_dagster_is_forbidden_to_each_floor_below_the_edge() -> None:
    layers = contract("imports only from floors below")["layers"]
    below = layers[layers.index("lightkeeper.orchestrate") + 1 :]
    assert set(contract("nobody knows dagster")["source_modules"]) == set(below)


@pytest.mark.parametrize("module", MODULES)
def test_each_module_says_what_it_owns_and_which_of_its_names_are_public(module: str) -> None:
    path = LIBRARY.parent / Path(*module.split("."))
    source = (path / "__init__.py" if path.is_dir() else path.with_suffix(".py")).read_text()
    body = ast.parse(source).body
    assert ast.get_docstring(ast.parse(source)), f"{module} opens without a docstring"
    if len(body) == 1 or module.endswith(".__main__"):
        return
    names = importlib.import_module(module).__all__
    assert names
    assert [name for name in names if not hasattr(importlib.import_module(module), name)] == []


def test_each_public_name_of_the_library_can_be_imported_and_says_what_it_is() -> None:
    lightkeeper = importlib.import_module("lightkeeper")
    mute = [name for name in lightkeeper.__all__ if not getattr(lightkeeper, name).__doc__]
    assert lightkeeper.__all__
    assert mute == []


def test_no_file_names_a_package_host_or_a_path_of_one_machine() -> None:
    found = [
        f"{name}:{number}: {line.strip()[:120]}"
        for name, text in texts()
        for number, line in enumerate(text.splitlines(), 1)
        if MACHINE.search(line) or any(host in line for host in HOSTS)
    ]
    assert found == []


def test_no_module_has_a_name_that_says_nothing() -> None:
    code = [path.relative_to(ROOT) for path in tracked() if path.suffix == ".py"]
    assert [str(path) for path in code if BANNED & {*path.with_suffix("").parts}] == []


def test_no_file_is_too_long_to_be_read_at_one_sitting() -> None:
    lengths = {name: text.count("\n") for name, text in texts() if name.endswith((".py", ".md", ".toml", ".yml", "file"))}
    assert {name: lines for name, lines in lengths.items() if lines > 600} == {}


@pytest.mark.parametrize("page", sorted((ROOT / "docs/decisions").glob("*.md")), ids=lambda page: page.stem)
def test_a_decision_is_a_short_page_of_one_form(page: Path) -> None:
    lines = page.read_text().splitlines()
    heads = [line for line in lines if line.startswith("#")]
    assert heads[0].startswith(f"# {int(page.name[:4])}. ")
    assert heads[1:3] == ["## Context", "## Choice"]
    assert heads[-1] == "## What would change our mind"
    assert set(heads[3:-1]) <= {"## What it costs"}
    assert len(lines) <= 40


def test_the_locks_are_current_name_no_index_and_hash_each_package() -> None:
    assert stale() == []
    for lock in LOCKS:
        pins = re.findall(r"^\S+==\S+.*$", (ROOT / lock).read_text(), re.MULTILINE)
        assert pins
        assert [pin for pin in pins if not pin.endswith("\\")] == []
        assert re.findall(r"^-.*|://", (ROOT / lock).read_text(), re.MULTILINE) == []


@pytest.mark.parametrize("changed", ["pyproject.toml", *LOCKS])
def test_a_changed_requirement_or_a_changed_pin_makes_a_lock_stale(changed: str, tmp_path: Path) -> None:
    for name in ("pyproject.toml", *LOCKS):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    assert stale(tmp_path) == []
    text = (tmp_path / changed).read_text()
    (tmp_path / changed).write_text(re.sub(r"\b(polars|duckdb)(>=|==)", r"\1\g<2>0.", text))
    assert stale(tmp_path) == [lock for lock in LOCKS if changed in {"pyproject.toml", lock}]


def test_the_lock_pins_a_release_that_each_requirement_accepts() -> None:
    for lock, group in LOCKS.items():
        pins = dict(re.findall(r"^([\w.-]+)==(\S+)", (ROOT / lock).read_text(), re.MULTILINE))
        asked = [Requirement(one) for one in PROJECT["dependency-groups"][group] + PROJECT["project"]["dependencies"]]
        kept = [one for one in asked if group == "dev" or one.name.startswith("duckdb")]
        assert [str(one) for one in kept if pins.get(one.name, "0") not in one.specifier] == []


def commands_of_the_readme() -> dict[str, set[str]]:
    """What README.md tells people to type: the words after `make` and after `lightkeeper`."""
    text = (ROOT / "README.md").read_text()
    fences = re.findall(r"^```(?:sh|bash|console|text)?\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    spans = re.findall(r"(?<!`)`([^`\n]+)`(?!`)", text)
    found: dict[str, set[str]] = {"make": set(), "lightkeeper": set()}
    for program, words in COMMAND.findall(re.sub(r" (?:&&|;) ", "\n", "\n".join([*fences, *spans]))):
        found[program].add(words.strip())
    return found


def help_of(words: str) -> tuple[int, str]:
    """Exit code and text of a command's own help."""
    start = "import sys; from lightkeeper.cli import main; sys.exit(main())"
    plain = re.match(r"(?:[a-z][a-z-]* ?)*", words)
    command = [sys.executable, "-c", start, *(plain.group().split() if plain else ()), "--help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout


def test_each_make_target_that_the_readme_names_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {word for words in commands_of_the_readme()["make"] for word in words.split() if "=" not in word}
    assert {"run", "test"} <= named
    assert named - targets == set()


def test_each_command_and_option_that_the_readme_names_is_in_the_programs_own_help(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in {"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"}.items():
        monkeypatch.setenv(name, value)
    named = sorted(commands_of_the_readme()["lightkeeper"])
    with ThreadPoolExecutor(2) as two:
        answers = dict(zip(named, two.map(help_of, named), strict=True))
    assert named
    assert [words for words, (code, _) in answers.items() if code] == []
    options = {words: set(re.findall(r"--[a-z][a-z-]*", words)) for words in named}
    assert [words for words, (_, text) in answers.items() if any(option not in text for option in options[words])] == []
