"""What a commit says of itself: the record in the Delta log, read back as a value. No Dagster, no Delta library."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

from lightkeeper.errors import NoSuchVersion, Refused
from lightkeeper.lake.gateway import log_path
from lightkeeper.lake.storage import Store
from lightkeeper.measure.content import Sums
from lightkeeper.values import Input, LandedFile, Stamp, TableVersion

__all__ = ["Commit", "assert_json", "read_commit", "record_of", "stamp_json"]

_MAINTENANCE = frozenset({"OPTIMIZE", "VACUUM START", "VACUUM END", "SET TBLPROPERTIES", "ADD FEATURE"})


@dataclass(frozen=True, slots=True)
class Commit:
    """One version of a table and how it came to be. Fields are None where another writer than Lightkeeper committed."""

    version: TableVersion
    operation: str
    mode: str | None = None  # overwrite, replace, append, migrate
    known_at: datetime | None = None
    asset: str | None = None
    run_id: str | None = None
    code_version: str | None = None
    git_commit: str | None = None
    git_dirty: bool | None = None
    inputs: tuple[Input, ...] = ()
    sources: tuple[LandedFile, ...] = ()
    by: str | None = None
    replaced: tuple[date, ...] = ()
    rows: int | None = None
    rows_written: int | None = None
    bytes_written: int = 0
    content_hash: str | None = None
    sums: Sums | None = None
    extra: Mapping[str, object] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict, repr=False)  # of the operation, in Delta's words
    record: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def ours(self) -> bool:
        """Whether the platform's gateway made it."""
        return bool(self.record)

    @property
    def whole(self) -> bool:
        """Whether it wrote the whole table, so that no row of an earlier version is in it."""
        said = str(self.parameters.get("mode", "")).lower()
        return self.mode in {"overwrite", "migrate"} or (
            not self.ours and said == "overwrite" and not self.parameters.get("predicate")
        )

    @property
    def keeps_content(self) -> bool:
        """Whether the rows are those of the version before it (compaction, vacuum, settings)."""
        return self.operation in _MAINTENANCE


def assert_json(stamp: Stamp) -> None:
    """Raise Refused unless the stamp's `extra` can stand in a JSON log that every reader can parse."""
    try:
        json.dumps(dict(stamp.extra), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise Refused(f"extra={dict(stamp.extra)!r} cannot be recorded as JSON: {error}. Nothing was written.") from error


def stamp_json(stamp: Stamp, inputs: tuple[Input, ...], known_at: datetime) -> dict[str, object]:
    """The part of a record that says who, when and from what."""
    return {
        "asset": stamp.asset,
        "run_id": stamp.run_id,
        "code_version": stamp.code_version,
        "git_commit": stamp.git_commit,
        "git_dirty": stamp.git_dirty,
        "known_at": known_at.isoformat(),
        "inputs": [_input_json(one) for one in inputs],
        "sources": [_file_json(one) for one in stamp.files],
        "extra": dict(stamp.extra),
    }


def _input_json(one: Input) -> dict[str, object]:
    found: dict[str, object] = {"table": one.version.table, "version": one.version.version}
    return found if one.uri is None else {**found, "uri": one.uri}


def _file_json(one: LandedFile) -> dict[str, object]:
    found = {"name": one.name, "sha256": one.sha256, "bytes": one.bytes, "rows": one.rows}
    return found if one.part is None else {**found, "part": one.part.isoformat()}


def record_of(log: bytes) -> dict[str, Any]:
    """The `commitInfo` of one Delta log entry; empty when the entry has none."""
    for line in log.splitlines():
        action = json.loads(line)
        if "commitInfo" in action:
            return dict(action["commitInfo"])
    return {}


def read_commit(store: Store, table: str, version: int) -> Commit:
    """One commit, by one read of one small file. Raises NoSuchVersion."""
    try:
        info = record_of(store.get(log_path(table, version)))
    except FileNotFoundError as error:
        raise NoSuchVersion(f"{table}@{version}: the log holds no such version.") from error
    at = TableVersion(table, version)
    return (
        _parse(at, info, info["lightkeeper"])
        if info.get("lightkeeper")
        else Commit(at, _operation(info), parameters=info.get("operationParameters") or {})
    )


def _operation(info: Mapping[str, Any]) -> str:
    return str(info.get("operation", "unknown"))


def _parse(at: TableVersion, info: Mapping[str, Any], record: Mapping[str, Any]) -> Commit:
    content = record.get("content") or {}
    return Commit(
        version=at,
        operation=_operation(info),
        mode=record["mode"],
        known_at=datetime.fromisoformat(record["known_at"]).astimezone(UTC),
        asset=record["asset"],
        run_id=record["run_id"],
        code_version=record["code_version"],
        git_commit=record["git_commit"],
        git_dirty=record["git_dirty"],
        inputs=tuple(Input(TableVersion(i["table"], i["version"]), i.get("uri")) for i in record["inputs"]),
        sources=tuple(_file(one) for one in record["sources"]),
        by=record.get("by"),
        replaced=tuple(date.fromisoformat(day) for day in record.get("replaced", ())),
        rows=record["rows"],
        rows_written=record["rows_written"],
        bytes_written=sum(one["bytes"] for one in record["files"]),
        content_hash=content.get("hash"),
        sums=Sums.from_json(content["sums"]) if "sums" in content else None,
        extra=record["extra"],
        parameters=info.get("operationParameters") or {},
        record=record,
    )


def _file(one: Mapping[str, Any]) -> LandedFile:
    part = date.fromisoformat(one["part"]) if "part" in one else None
    return LandedFile(one["name"], one["sha256"], one["bytes"], one["rows"], part)
