"""One CSV file: its bytes, its text, its records -> raw rows, or a refusal that names file, row and rule.

The hash of a file is the hash of the bytes that were parsed: they are read once. A file is taken whole or refused
whole. Folders, parts and contracts stay out (`lake.landing`), and so does what the values must be like.

Rules: `file_is_a_file`, `file_can_be_read`, `file_is_finished`, `file_is_within_the_size_limit`, `file_is_not_empty`,
`file_is_utf8`, `file_has_no_nul_bytes`, `file_is_complete`, `file_has_the_declared_columns`, `quotes_are_closed`,
`records_are_whole`.
"""

from __future__ import annotations

import codecs
import csv
import errno
import hashlib
import io
import os
import re
import stat
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from lightkeeper.errors import BadDeclaration, FileRefused
from lightkeeper.values import LandedFile

__all__ = ["IGNORED", "CsvFormat", "is_ignored", "part_of", "printable", "read_file"]

IGNORED = (".*", "*.part", "*.tmp", "*.crdownload")  # names of files that are hidden, or being written
_DATE = re.compile(r"(?<![0-9])[0-9]{4}-[0-9]{2}-[0-9]{2}(?![0-9])")
_NEWLINE, _RETURN, _QUOTE = b'\n\r"'
_SHOWN = 60  # characters of a value in an error
_LISTED = 10  # names in an error
_PLACE = ("file", "row")  # columns that say where a row stands

Positions = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class CsvFormat:
    """What a source's CSV files look like: UTF-8 (with or without a byte order mark), LF or CRLF, quotes doubled.

    Attributes:
        columns: names that the header must have, in any order, and no others.
        max_bytes: size limit of one file.
        separator: one ASCII character.
        empty_ok: whether a header without a record is a file of no rows. A file of 0 bytes is always refused.
        ends_with_newline: whether the last record must end in a newline, which shows that the file is complete.
        ignore: patterns of names that are no arrivals.
    """

    columns: tuple[str, ...]
    max_bytes: int = 256 * 1024 * 1024
    separator: str = ","
    empty_ok: bool = False
    ends_with_newline: bool = True
    ignore: tuple[str, ...] = IGNORED

    def __post_init__(self) -> None:
        if len(self.separator) != 1 or not self.separator.isascii() or self.separator in '\r\n"\0':
            raise BadDeclaration(f"{self.separator!r} cannot separate fields: declare one ASCII character.")
        if not self.columns or len({*self.columns}) < len(self.columns) or {*self.columns} & {*_PLACE}:
            raise BadDeclaration(f"Columns {self.columns} need names, each once, none of them 'file' or 'row'.")


def part_of(name: str) -> date | None:
    """The one ISO date in a file's name; None where there is none, or two different ones."""
    try:
        found = {date.fromisoformat(text) for text in _DATE.findall(name)}
    except ValueError:
        return None
    return found.pop() if len(found) == 1 else None


def is_ignored(name: str, ignore: Sequence[str]) -> bool:
    """Whether a file's name matches one of the patterns, case and all."""
    return any(fnmatchcase(name, pattern) for pattern in ignore)


def printable(name: str) -> str:
    """A file's name as text: bytes that are not UTF-8 are spelled out."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def read_file(path: Path, form: CsvFormat) -> tuple[pl.DataFrame, LandedFile]:
    """The rows of one file, and what was read. Raises FileRefused.

    The rows have the format's columns (String, null where empty), `file` (String), and `row` (Int64, the header is 1).
    """
    content = _content(path, form)
    body = content.removeprefix(codecs.BOM_UTF8)
    if not body:
        raise FileRefused(path.name, "file_is_not_empty", "it holds a byte order mark and nothing else")
    if not form.ends_with_newline and not body.endswith(b"\n"):
        body += b"\n"
    _refuse_other_text(path.name, body)
    header, records = _shape(path.name, body, form)
    if records == 0 and not form.empty_ok:
        raise FileRefused(path.name, "file_is_not_empty", "it holds a header and no record", 1)
    landed = LandedFile(path.name, hashlib.sha256(content).hexdigest(), len(content), records, part_of(path.name))
    return _parsed(path.name, body, header, records, form), landed


# ---- bytes


def _content(path: Path, form: CsvFormat, read: Callable[[int, int], bytes] | None = None) -> bytes:
    """All bytes of a finished regular file within the limit. `read(handle, limit)` is passed in by tests alone."""
    name = printable(path.name)
    if name != path.name:
        raise FileRefused(name, "file_can_be_read", "its name is not UTF-8: give it another")
    if is_ignored(name, form.ignore):
        raise FileRefused(name, "file_is_finished", "its name says that it is hidden or being written")
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            return _whole(name, handle, form.max_bytes, read or _slurp)
        finally:
            os.close(handle)
    except OSError as error:
        rule = "file_is_a_file" if error.errno in (errno.ENOENT, errno.ELOOP, errno.ENXIO) else "file_can_be_read"
        raise FileRefused(name, rule, f"it cannot be read: {error.strerror}") from error


def _whole(name: str, handle: int, limit: int, read: Callable[[int, int], bytes]) -> bytes:
    before = os.fstat(handle)
    if not stat.S_ISREG(before.st_mode):
        raise FileRefused(name, "file_is_a_file", "it is a folder, a pipe or a device")
    if before.st_size > limit:
        raise FileRefused(name, "file_is_within_the_size_limit", f"it has {before.st_size:,} bytes, {limit:,} at most")
    if before.st_size == 0:
        raise FileRefused(name, "file_is_not_empty", "it has 0 bytes")
    content, after = read(handle, before.st_size + 1), os.fstat(handle)
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns) or len(content) != after.st_size:
        grown = f"it had {before.st_size:,} bytes, then {after.st_size:,}"
        raise FileRefused(name, "file_is_finished", f"it was written while it was read ({grown}): land it again later")
    return content


def _slurp(handle: int, limit: int) -> bytes:
    with os.fdopen(handle, "rb", closefd=False) as file:
        return file.read(limit)


def _refuse_other_text(name: str, body: bytes) -> None:
    if body.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise FileRefused(name, "file_is_utf8", "it begins like UTF-16: save it as UTF-8", 1)
    if (nul := body.find(b"\0")) >= 0:
        why = f"byte {nul} is NUL: it is UTF-16, or was damaged; save it as UTF-8"
        raise FileRefused(name, "file_has_no_nul_bytes", why, _record_at(body, nul))
    try:
        body.decode("utf-8")
    except UnicodeDecodeError as error:
        why = f"byte {error.start} (0x{body[error.start]:02x}) is not UTF-8: it looks like another encoding"
        raise FileRefused(name, "file_is_utf8", f"{why}; save it as UTF-8", _record_at(body, error.start)) from error


def _record_at(body: bytes, position: int) -> int:
    """The record that holds a byte, the header being 1."""
    quotes, ends = _marks(body[:position])
    return len(ends[_outside(ends, quotes)]) + 1


# ---- records


def _marks(body: bytes) -> tuple[Positions, Positions]:
    """Positions of the quotes and of the newlines."""
    codes = np.frombuffer(body, np.uint8)
    quotes = np.flatnonzero(codes == _QUOTE) if b'"' in body else np.empty(0, np.int64)
    return quotes, np.flatnonzero(codes == _NEWLINE)


def _outside(positions: Positions, quotes: Positions) -> npt.NDArray[np.bool_]:
    """Which positions stand outside quoted fields: an even number of quotes comes before them."""
    outside: npt.NDArray[np.bool_] = np.searchsorted(quotes, positions) % 2 == 0
    return outside


def _shape(name: str, body: bytes, form: CsvFormat) -> tuple[list[str], int]:
    """The header's names, and how many records follow it: each complete, well quoted and of as many fields."""
    quotes, newlines = _marks(body)
    ends = newlines[_outside(newlines, quotes)]
    if not body.endswith(b"\n"):
        last = body[-_SHOWN:].rpartition(b"\n")[2].decode("utf-8", "replace")
        why = f"it ends without a newline, in {last!r}: it was cut, or is still being written"
        raise FileRefused(name, "file_is_complete", why, len(ends) + 1)
    _refuse_quotes(name, body, quotes, ends, form.separator)
    _refuse_returns(name, body, quotes, ends)
    header = _header(name, body[: ends[0]].decode(), form)
    separators = np.flatnonzero(np.frombuffer(body, np.uint8) == ord(form.separator))
    separators = separators[_outside(separators, quotes)]
    fields = np.diff(np.searchsorted(separators, ends), prepend=0) + 1
    blank = np.diff(ends, prepend=-1) <= 1
    if (wrong := np.flatnonzero((fields != len(header)) | blank)).size:
        first = int(wrong[0])
        found = "it is blank" if blank[first] else f"it has {fields[first]} fields"
        raise FileRefused(name, "records_are_whole", f"{found}, the header has {len(header)}", first + 1)
    return header, len(ends) - 1


def _refuse_quotes(name: str, body: bytes, quotes: Positions, ends: Positions, separator: str) -> None:
    """A quote opens at a field's start, closes at its end, or is one of a doubled pair within."""
    if not quotes.size:
        return
    codes = np.frombuffer(b"\n" + body + b"\n\n", np.uint8)
    before, after, then = codes[quotes], codes[quotes + 2], codes[quotes + 3]
    edge = np.zeros(256, np.bool_)
    edge[[ord(separator), _NEWLINE, _QUOTE]] = True
    opens, closes = edge[before], edge[after] | ((after == _RETURN) & (then == _NEWLINE))
    wrong = np.flatnonzero(~np.where(np.arange(quotes.size) % 2 == 0, opens, closes))
    if wrong.size or quotes.size % 2:
        place = int(quotes[wrong[0]] if wrong.size else quotes[-1])
        row = int(np.searchsorted(ends, place)) + 1
        why = f"the quote at byte {place} is never closed, or stands within a field that is not quoted"
        raise FileRefused(name, "quotes_are_closed", why, row)


def _refuse_returns(name: str, body: bytes, quotes: Positions, ends: Positions) -> None:
    """Outside quotes a carriage return belongs to a line's end; elsewhere it would hide at the end of a value."""
    if b"\r" not in body:
        return
    codes = np.frombuffer(body, np.uint8)
    returns = np.flatnonzero(codes[:-1] == _RETURN)
    alone = returns[_outside(returns, quotes) & (codes[returns + 1] != _NEWLINE)]
    if alone.size:
        why = f"the carriage return at byte {alone[0]} ends no line: end lines with LF or CRLF"
        raise FileRefused(name, "records_are_whole", why, int(np.searchsorted(ends, alone[0])) + 1)


def _header(name: str, text: str, form: CsvFormat) -> list[str]:
    try:
        found = next(csv.reader(io.StringIO(text.removesuffix("\r")), delimiter=form.separator), [])
    except csv.Error as error:
        raise FileRefused(name, "file_has_the_declared_columns", f"the header is none: {error}", 1) from error
    faults = {
        "lacks": [one for one in form.columns if one not in found],
        "does not declare": [one for one in found if one not in form.columns],
        "has more than once": [one for one, times in Counter(found).items() if times > 1],
    }
    if any(faults.values()):
        said = "; ".join(f"{verb} {_listed(names)}" for verb, names in faults.items() if names)
        why = f"the header {said}; the columns are {form.separator.join(form.columns)}"
        raise FileRefused(name, "file_has_the_declared_columns", why, 1)
    return found


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(repr(one[:_SHOWN]) for one in names[:_LISTED]) + more


def _parsed(name: str, body: bytes, header: list[str], records: int, form: CsvFormat) -> pl.DataFrame:
    quote = '"' if b'"' in body else None
    try:
        frame = pl.read_csv(body, separator=form.separator, infer_schema=False, quote_char=quote)
    except pl.exceptions.PolarsError as error:
        raise FileRefused(name, "records_are_whole", str(error).partition("\n")[0]) from error
    if frame.shape != (records, len(header)):
        raise FileRefused(name, "records_are_whole", f"{records} records were counted and {frame.height} parsed")
    frame.columns = header
    file = pl.Series("file", [name]).new_from_index(0, records)
    row = pl.int_range(2, records + 2, dtype=pl.Int64, eager=True).alias("row")
    return pl.DataFrame([*(frame[column] for column in form.columns), file, row])
