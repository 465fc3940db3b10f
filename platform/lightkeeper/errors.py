"""The tree of errors. Each names the thing, the values and the next step.

LightkeeperError
├── Refused                  a question or an input was malformed; nothing was written
│   ├── BadName              a name or a version that cannot be one
│   ├── NoSuchTable          the folder holds no table
│   ├── NoSuchVersion        the table has no such version
│   ├── TypeRefused          Delta would spoil a column's type
│   ├── SchemaChanged        the frame does not fit the table's schema
│   ├── FileRefused          a landed file cannot be read as what it says it is
│   ├── TooLittle            there is not enough to learn from yet
│   └── BadDeclaration       a model, contract or source is declared wrongly
├── TableVersionGone         a version existed, and its files do not
├── ModelAltered             the stored bytes of a model are not those that were recorded
├── Conflict                 somebody else committed first
├── StorageFailed            the disk or the object store refused a write
└── HomeBusy                 another process is landing into this home
"""

from __future__ import annotations

__all__ = [
    "BadDeclaration",
    "BadName",
    "Conflict",
    "FileRefused",
    "HomeBusy",
    "LightkeeperError",
    "ModelAltered",
    "NoSuchTable",
    "NoSuchVersion",
    "Refused",
    "SchemaChanged",
    "StorageFailed",
    "TableVersionGone",
    "TooLittle",
    "TypeRefused",
    "escaped",
]


def escaped(text: str) -> str:
    """The text in one line: control characters and others that cannot be printed are spelled out."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


class LightkeeperError(Exception):
    """Everything that Lightkeeper raises on purpose."""


class Refused(LightkeeperError):
    """A question or an input was malformed; nothing was written."""


class BadName(Refused):
    """A name or a version that cannot be one."""


class NoSuchTable(Refused):
    """The folder holds no table."""


class NoSuchVersion(Refused):
    """The table has no such version."""


class TypeRefused(Refused):
    """Delta would spoil a column's type."""


class SchemaChanged(Refused):
    """The frame does not fit the table's schema."""


class FileRefused(Refused):
    """A landed file cannot be read as what it says it is.

    Attributes:
        file: name of the file, as it is; in the message what cannot be printed is spelled out.
        row: record in the file, the header being 1; None where the whole file is meant.
        rule: the rule that it broke, a short name such as `file_is_complete`.
    """

    def __init__(self, file: str, rule: str, why: str, row: int | None = None) -> None:
        self.file, self.rule, self.why, self.row = file, rule, why, row
        where = escaped(file) if row is None else f"{escaped(file)} row {row}"
        super().__init__(f"{where}: {why} (rule {rule})")


class TooLittle(Refused):
    """There is not enough to learn from yet; more days mend it."""


class BadDeclaration(Refused):
    """A model, a contract or a source is declared wrongly."""


class TableVersionGone(LightkeeperError):
    """A version existed, and its files do not."""


class ModelAltered(LightkeeperError):
    """The stored bytes of a model are not those that were recorded."""


class Conflict(LightkeeperError):
    """Somebody else committed first, and recomputing is not safe here."""


class StorageFailed(LightkeeperError):
    """The disk or the object store refused a write; nothing was committed."""


class HomeBusy(LightkeeperError):
    """Another process is landing into this home."""
