"""What a commit says, as JSON and in words: its inputs, its days, its landed files. All commands of `table` say it so.

It reads nothing and prints nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import TYPE_CHECKING

from lightkeeper.cli.show import counted, size, text, timestamp
from lightkeeper.values import Input, LandedFile

if TYPE_CHECKING:
    from lightkeeper.lake.record import Commit

__all__ = [
    "DIGEST", "algorithm", "commit_json", "days_of", "days_short", "file_json", "file_lines", "input_json", "input_names",
]  # fmt: skip

DIGEST = 12  # hex digits of a hash that tell things apart at a glance
_FEW_FILES = 3  # landed files that are listed; more are folded into one line


def input_names(inputs: Sequence[Input]) -> str:
    """`sales@1 holidays@0`; `-` for none."""
    return " ".join(str(one.version) for one in inputs) or "-"


def input_json(one: Input) -> dict[str, object]:
    """One input, for JSON; `uri` is None inside this lake."""
    return {"table": one.version.table, "version": one.version.version, "uri": one.uri}


def file_json(one: LandedFile) -> dict[str, object]:
    """One landed file, for JSON; `bytes` and `rows` are numbers, `part` is its day or None."""
    return {"name": one.name, "sha256": one.sha256, "bytes": one.bytes, "rows": one.rows, "part": one.part}


def commit_json(commit: Commit) -> dict[str, object]:
    """A commit, for JSON; None where the commit does not say it."""
    return {
        "version": commit.version.version,
        "operation": commit.operation,
        "mode": commit.mode,
        "known_at": timestamp(commit.known_at),
        "asset": commit.asset,
        "run_id": commit.run_id,
        "code_version": commit.code_version,
        "git_commit": commit.git_commit,
        "git_dirty": commit.git_dirty,
        "inputs": [input_json(one) for one in commit.inputs],
        "by": commit.by,
        "replaced": commit.replaced,
        "rows": commit.rows,
        "rows_written": commit.rows_written,
        "bytes_written": commit.bytes_written if commit.ours else None,
    }


def algorithm(commit: Commit) -> str:
    """The algorithm of the commit's content hash: `lk1`."""
    return str((commit.record.get("content") or {}).get("algorithm"))


def days_of(days: Sequence[date]) -> str:
    """`2026-10-23`, `2026-10-01..2026-10-23` without gaps, `12 days` with gaps; `-` for none."""
    if not days:
        return "-"
    first, last = min(days), max(days)
    if first == last:
        return str(first)
    return f"{first}..{last}" if last - first == timedelta(len(set(days)) - 1) else f"{len(set(days))} days"


def days_short(days: Sequence[date]) -> str:
    """One day by its name, `12 days` for more; `-` for none."""
    return days_of(days) if len(set(days)) < 2 else f"{len(set(days))} days"  # noqa: PLR2004 - one day is named


def file_lines(files: Sequence[LandedFile], *, all_files: bool) -> list[str]:
    """A line for each file, or one line for many: how many they are, and from which to which."""
    if len(files) <= _FEW_FILES or all_files:
        return [f"{text(one.name)}  sha256 {one.sha256[:DIGEST]}  {counted(one.rows)}" for one in files]
    parts = [one.part for one in files if one.part is not None]
    ends = (min(parts), max(parts)) if len(parts) == len(files) else (text(files[0].name), text(files[-1].name))
    total = f"{counted(sum(one.rows for one in files))}, {size(sum(one.bytes for one in files))}"
    return [f"{len(files)} files, {ends[0]} .. {ends[1]}, {total}"]
