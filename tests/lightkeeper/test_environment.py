"""What a model was made with: the lock file first found, and in what two environments differ."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from lightkeeper.models.environment import differences, environment, lock_hash


def test_the_lock_file_is_named_with_the_sha256_of_its_bytes_and_the_first_of_several_counts(tmp_path: Path) -> None:
    (tmp_path / "poetry.lock").write_bytes(b"p")
    assert lock_hash(tmp_path) == f"poetry.lock:{hashlib.sha256(b'p').hexdigest()}"
    (tmp_path / "requirements.lock").write_bytes(b"r")
    assert lock_hash(tmp_path) == f"requirements.lock:{hashlib.sha256(b'r').hexdigest()}"


def test_without_a_project_there_is_no_lock() -> None:
    assert environment()["lock"] is None


@pytest.mark.parametrize("name", ["lightgbm", "numpy", "polars", "python", "machine", "processor"])
def test_each_library_and_the_processor_is_compared_and_the_lock_file_is_not(name: str) -> None:
    now = environment()
    assert differences({**now, name: "other", "lock": "other"}, now) == [f"{name} other then, {now[name]} now"]


def test_what_was_not_recorded_then_is_a_difference() -> None:
    assert len(differences({}, environment())) == 6
