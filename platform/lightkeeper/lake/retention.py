"""How long a table keeps its log and its deleted files: for ever, verified for effect. It deletes nothing.

Also what a table that something else made must be like before the lake writes to it.
"""

from __future__ import annotations

import re
from typing import Any

from lightkeeper.errors import Conflict, Refused, StorageFailed

__all__ = ["CHECKPOINT_EVERY", "KEEP_EVERYTHING", "adopt", "effective_retention_days", "verify_retention"]

_DAYS = 36_500
CHECKPOINT_EVERY = 50  # versions

KEEP_EVERYTHING: dict[str, str | None] = {
    "delta.logRetentionDuration": f"interval {_DAYS} days",
    "delta.deletedFileRetentionDuration": f"interval {_DAYS} days",
    "delta.enableExpiredLogCleanup": "false",
    "delta.checkpointInterval": str(CHECKPOINT_EVERY),
}
_KNOWN_FEATURES = {"timestampNtz", "appendOnly", "invariants"}
_FOREIGN = ("delta.constraints.", "delta.columnMapping", "delta.generationExpression")
_SWITCHES = ("delta.appendOnly", "delta.enableChangeDataFeed", "delta.enableDeletionVectors", "delta.enableRowTracking")


def effective_retention_days(handle: Any) -> float:
    """The retention of deleted files, in days, that delta-rs applies to an opened table.

    A property that delta-rs cannot parse is accepted in silence and its default (7 days) applies; only the refusal of a
    vacuum below the limit tells the value in force.
    """
    from deltalake.exceptions import DeltaError

    try:
        handle.vacuum(retention_hours=0, dry_run=True)
    except DeltaError as refusal:
        hours = re.search(r"greater than (\d+) hours", str(refusal))
        if hours:
            return int(hours.group(1)) / 24
    return 0.0


def verify_retention(handle: Any, table: str) -> None:
    """Raise StorageFailed unless the table keeps its log and its deleted files."""
    days, settings = effective_retention_days(handle), handle.metadata().configuration
    kept = settings.get("delta.enableExpiredLogCleanup") == "false"
    if days < _DAYS or not kept:
        raise StorageFailed(
            f"{table} keeps deleted files {days:g} days, and expired log files {'stay' if kept else 'are deleted'}; "
            f"{_DAYS} days and for ever were asked. Do not write to it before this is mended."
        )


def adopt(handle: Any, table: str) -> bool:
    """Give an opened table that something else made the lake's settings; whether that took a commit.

    Raises:
        Refused: the table is of a form that the lake cannot write without harm, such as one partitioned by folders.
        Conflict: somebody else committed meanwhile.
        StorageFailed: the settings do not take effect.
    """
    from deltalake import CommitProperties
    from deltalake.exceptions import CommitFailedError

    if KEEP_EVERYTHING.items() <= handle.metadata().configuration.items():
        return False
    _assert_plain(handle, table)
    settings = {key: str(value) for key, value in KEEP_EVERYTHING.items()}
    try:
        handle.alter.set_table_properties(settings, commit_properties=CommitProperties(max_commit_retries=0))
    except CommitFailedError as error:
        raise Conflict(f"{table}: somebody else committed while its settings were set: {error}") from error
    verify_retention(handle, table)
    return True


def _assert_plain(handle: Any, table: str) -> None:
    meta, protocol = handle.metadata(), handle.protocol()
    features = {*(protocol.reader_features or ()), *(protocol.writer_features or ())} - _KNOWN_FEATURES
    found = [f"the feature {feature}" for feature in sorted(features)]
    found += [key for key in meta.configuration if key.startswith(_FOREIGN)]
    found += [key for key in _SWITCHES if meta.configuration.get(key) == "true"]
    found += [f"folders by {', '.join(meta.partition_columns)}"] if meta.partition_columns else []
    if found:
        raise Refused(
            f"{table} was made by something else and has {'; '.join(found)}: the lake can read it and would spoil it "
            "by writing. Nothing was written. Write a table of another name from it."
        )
