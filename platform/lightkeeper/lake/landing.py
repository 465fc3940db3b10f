"""A folder that files land in -> raw rows, and rows parted by a contract. It reads files; it writes nothing.

How one file is read, and why it is refused, stands in `csv_file`; what a row must be like in `measure.contract`;
tables in `lake.table`. Two rules of a file are judged here: `file_name_has_its_day`; and a contract's rule on the form
of a value, such as `quantity_is_int`, where more than half of the file's records break one and the same.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import dataframely as dy
import numpy as np
import polars as pl

from lightkeeper.errors import FileRefused, Refused
from lightkeeper.lake.csv_file import IGNORED, CsvFormat, is_ignored, part_of, printable, read_file
from lightkeeper.measure.contract import RULE, Split, cast_rules, split
from lightkeeper.values import LandedFile

__all__ = [
    "IGNORED",
    "Admitted",
    "Arrival",
    "CsvFormat",
    "Landed",
    "admit",
    "newest_for_each_part",
    "part_of",
    "read_file",
    "read_files",
    "scan",
]

_SHOWN = 60  # characters of a value in an error


@dataclass(frozen=True, slots=True)
class Arrival:
    """A file seen in a landing folder: what tells one arrival from another without opening it."""

    name: str
    size: int
    mtime_ns: int
    ctime_ns: int
    part: date | None = None


@dataclass(frozen=True, slots=True)
class Landed:
    """Rows of several files, as text, and what became of each file.

    Attributes:
        raw: the format's columns (String, null where empty), then `file` (String) and `row` (Int64, the header is 1).
        files: the files that the rows came from, in the rows' order.
        refused: the files that could not be read, with rule and reason; they stay where they are.
    """

    raw: pl.DataFrame
    files: tuple[LandedFile, ...]
    refused: tuple[FileRefused, ...] = ()

    def dated(self, column: str) -> pl.DataFrame:
        """`raw` with the day that each row's file speaks for (Date; null where its name has none) before it."""
        parts = pl.Series(column, [file.part for file in self.files], dtype=pl.Date)
        which = np.repeat(np.arange(len(self.files)), [file.rows for file in self.files])
        return self.raw.select(parts.gather(which), pl.all())


@dataclass(frozen=True, slots=True)
class Admitted:
    """Rows of the files that were read, parted by a contract; `refused` holds the files that gave none."""

    accepted: pl.DataFrame
    rejected: pl.DataFrame
    counts: Mapping[str, int] = field(default_factory=dict)
    files: tuple[LandedFile, ...] = ()
    refused: tuple[FileRefused, ...] = ()


def scan(folder: Path, ignore: Sequence[str] = IGNORED) -> list[Arrival]:
    """What lies in a landing folder, by name; one directory listing, no file is opened.

    Names that match `ignore` are left out, and folders whose name has no date. Whatever else is no readable file is
    listed, so that `read_file` refuses it aloud. Raises Refused where the folder cannot be listed.
    """
    try:
        with os.scandir(folder) as entries:
            found = [_arrival(entry) for entry in entries if not is_ignored(entry.name, ignore)]
    except OSError as error:
        raise Refused(f"The landing folder {folder} cannot be listed: {error.strerror}. Make it, or mend it.") from error
    return sorted((one for one in found if one is not None), key=lambda one: one.name)


def newest_for_each_part(arrivals: Iterable[Arrival]) -> tuple[list[Arrival], list[Arrival]]:
    """Of several files for one day the last by (mtime, name) speaks: returns those that speak, and the superseded.

    Files whose name has no date all speak. Both lists are in the order of (day, mtime, name).
    """
    ordered = sorted(arrivals, key=lambda one: (one.part or date.min, one.mtime_ns, one.name))
    last = {one.part: one for one in ordered}
    speaking = [one for one in ordered if one.part is None or last[one.part] is one]
    return speaking, [one for one in ordered if one.part is not None and last[one.part] is not one]


def read_files(paths: Iterable[Path], form: CsvFormat) -> Landed:
    """The rows of several files, one after the other. A file that cannot be read is refused; the others are read."""
    read: list[tuple[pl.DataFrame, LandedFile]] = []
    refused: list[FileRefused] = []
    for path in paths:
        try:
            read.append(read_file(path, form))
        except FileRefused as error:
            refused.append(error)
    nothing = pl.DataFrame(schema={**dict.fromkeys((*form.columns, "file"), pl.String()), "row": pl.Int64()})
    raw = pl.concat([nothing, *(frame for frame, _ in read)], rechunk=True)
    return Landed(raw, tuple(file for _, file in read), tuple(refused))


def admit(landed: Landed, schema: type[dy.Schema], day: str | None = None, keep: tuple[str, ...] = ("file", "row")) -> Admitted:
    """Parts the rows by a contract, and refuses a file of which more than half break one rule on a value's form.

    Args:
        landed: what was read.
        schema: the contract.
        day: the contract's column that holds the day that a file speaks for; a file without one is refused.
        keep: columns handed through, as in `contract.split`; `day` comes before them in the rejected rows.
    """
    raw = landed.dated(day) if day else landed.raw
    keep = (day, *keep) if day else keep
    undated = [_undated(file.name) for file in landed.files if day and file.part is None]
    found = split(_without(raw, undated), schema, keep)
    misread = _misread(found, landed.files, schema)
    if misread:
        found = split(_without(raw, [*undated, *misread]), schema, keep)
    out = (*undated, *misread)
    files = tuple(file for file in landed.files if file.name not in {one.file for one in out})
    return Admitted(found.accepted, found.rejected, found.counts, files, (*landed.refused, *out))


def _arrival(entry: os.DirEntry[str]) -> Arrival | None:
    try:
        found = entry.stat()
    except FileNotFoundError:
        if not entry.is_symlink():
            return None  # it went away since the folder was listed
        found = entry.stat(follow_symlinks=False)
    except OSError:
        found = entry.stat(follow_symlinks=False)
    part = part_of(entry.name)
    if stat.S_ISDIR(found.st_mode) and part is None:
        return None
    return Arrival(printable(entry.name), found.st_size, found.st_mtime_ns, found.st_ctime_ns, part)


# ---- files that a contract refuses


def _undated(name: str) -> FileRefused:
    why = "its name has no one date that says which day it speaks for: name it like sales-2026-10-23.csv"
    return FileRefused(name, "file_name_has_its_day", why)


def _without(raw: pl.DataFrame, refused: Sequence[FileRefused]) -> pl.DataFrame:
    return raw.filter(~pl.col("file").is_in([one.file for one in refused])) if refused else raw


def _misread(found: Split, files: Iterable[LandedFile], schema: type[dy.Schema]) -> list[FileRefused]:
    """Files of which more than half of the records break one and the same rule on the form of a value."""
    columns = cast_rules(schema)
    broken = found.rejected.with_columns(pl.col(RULE).str.split(",")).explode(RULE)
    broken = broken.filter(pl.col(RULE).is_in(list(columns)))
    counted = broken.group_by("file", RULE, maintain_order=True).agg(pl.len(), pl.all().first().name.prefix("first "))
    rows = {file.name: file.rows for file in files}
    refused: dict[str, FileRefused] = {}
    for one in counted.sort("len", descending=True, maintain_order=True).to_dicts():
        name, rule, times = one["file"], one[RULE], one["len"]
        if 2 * times > rows[name] and name not in refused:
            value = str(one[f"first {columns[rule]}"])[:_SHOWN]
            why = f"{times} of {rows[name]} records break this rule, first {columns[rule]} = {value!r}"
            refused[name] = FileRefused(name, rule, why, one["first row"])
    return list(refused.values())
