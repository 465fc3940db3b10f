"""Fixtures: a home with history, built once, copied for each story."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

import lightkeeper as lk
from assets.sample import SAMPLE
from tests.harness import Story, copied, new_home


@pytest.fixture(scope="session")
def history(tmp_path_factory: pytest.TempPathFactory) -> Story:
    """The small sample with everything landed but the last 56 days, a model and a forecast. Only to be read.

    One worker builds it, the others wait and copy it.
    """
    base = tmp_path_factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "built"
    shared.mkdir(exist_ok=True)
    with (shared / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (shared / "home").exists():
            story = Story(new_home(shared / "building"))
            days = SAMPLE.days(story.home)
            story.build(days[0], days[-57])
            story.instance.dispose()
            (shared / "building").rename(shared / "home")
    return copied(lk.Home(shared / "home"), tmp_path_factory.mktemp("history") / "home")


@pytest.fixture
def story(history: Story, tmp_path: Path) -> Iterator[Story]:
    """A copy of the home with history, to go on from."""
    told = copied(history.home, tmp_path / "home")
    yield told
    told.instance.dispose()


@pytest.fixture(scope="session")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Story:
    """A home of the small sample in which nothing has landed, its databases made. Only to be copied."""
    story = Story(new_home(tmp_path_factory.mktemp("untouched") / "home"))
    story.instance.get_runs_count()
    story.instance.all_instigator_state()
    return story


@pytest.fixture
def fresh(untouched: Story, tmp_path: Path) -> Iterator[Story]:
    """A home of the small sample in which nothing has landed."""
    told = copied(untouched.home, tmp_path / "home")
    yield told
    told.instance.dispose()


@pytest.fixture
def next_day(history: Story) -> date:
    """The first day after the history that has sales."""
    now = history.home.now().date()
    return next(day for day in SAMPLE.trading_days(history.home) if day >= now)
