"""The project that a command is started in: its folder, its definitions, its sample. It loads them only when asked."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from lightkeeper.errors import BadDeclaration, Refused
from lightkeeper.home import Home, HomeRecord, settings

if TYPE_CHECKING:
    from lightkeeper.orchestrate.scenario import Scenario

__all__ = ["Project", "Sample"]


class Released(Protocol):
    """What a release wrote."""

    files: int
    rows: int


class Sample(Protocol):
    """Data that a project ships to be tried with. Registered as `sample = "module:NAME"` under [tool.lightkeeper]."""

    def create(self, home: Home, size: str, today: date) -> HomeRecord:
        """Make a sample home; its clock stands at the first day."""
        ...

    def days(self, home: Home) -> list[date]:
        """Every calendar day, in order."""
        ...

    def trading_days(self, home: Home) -> list[date]:
        """The days that have a file, in order."""
        ...

    def held_back(self, home: Home) -> list[date]:
        """The last calendar days, which are landed one by one on request."""
        ...

    def release(self, home: Home, days: Iterable[date]) -> Released:
        """Put the files of some days into the landing folder."""
        ...


@dataclass(frozen=True)
class Project:
    """A folder with a workspace.yaml or a pyproject.toml with [tool.lightkeeper]."""

    folder: Path

    @classmethod
    def find(cls, start: Path) -> Project:
        """The nearest project at or above a folder. Raises Refused, saying how to make one."""
        for folder in (start.resolve(), *start.resolve().parents):
            if (folder / "workspace.yaml").is_file() or settings(folder) is not None:
                return cls(folder)
        raise Refused(
            f"{start} is in no project: there is no workspace.yaml here or above. A project is a folder with definitions.py "
            "(defs = dg.Definitions(...)) and an empty [tool.lightkeeper] in pyproject.toml. "
            "See docs/your-own-data.md for the shortest one."
        )

    @property
    def module(self) -> str:
        """The module that holds `defs`."""
        return str((settings(self.folder) or {}).get("definitions", "definitions"))

    @property
    def file(self) -> Path:
        """The file of that module."""
        return self.folder / f"{self.module.replace('.', '/')}.py"

    @property
    def sample(self) -> Sample:
        """The registered sample. Raises BadDeclaration when there is none."""
        named = (settings(self.folder) or {}).get("sample")
        if not named:
            raise BadDeclaration(f"{self.folder} registers no sample: build without one, lightkeeper build --sample none.")
        return cast("Sample", self._registered(str(named)))

    @property
    def scenarios(self) -> Mapping[str, Scenario]:
        """The registered scenarios, by name. Raises BadDeclaration when there are none."""
        named = (settings(self.folder) or {}).get("scenarios")
        if not named:
            raise BadDeclaration(
                f'{self.folder} registers no scenarios: write scenarios = "module:SCENARIOS" under [tool.lightkeeper].'
            )
        return {one.name: one for one in cast("Iterable[Scenario]", self._registered(str(named)))}

    def _registered(self, named: str) -> object:
        module, _, name = named.partition(":")
        if str(self.folder) not in sys.path:
            sys.path.insert(0, str(self.folder))
        return getattr(importlib.import_module(module), name)

    def home(self, given: Path | None) -> Home:
        """The home that is meant: --home, else LIGHTKEEPER_HOME, else `.lightkeeper` in the project."""
        return Home.find(self.folder, os.environ, given)
