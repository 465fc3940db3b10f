"""The state folder of one deployment: its places, its record (`home.json`), its clock, its landing lock.

What lies in the lake, the landing folder and Dagster's home belongs to others. Standard library only.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Literal, cast

from lightkeeper.errors import HomeBusy, Refused, StorageFailed

__all__ = ["FORMAT", "Home", "HomeRecord", "settings"]

FORMAT = 1  # of home.json; a change that an older release cannot read gets the next number
_RECORD = "home.json"
_LOCK = "landing.lock"
_SCENARIO = "scenario "
_PROBE_SECONDS = 0.001  # how long a look at the lock may hold it up


@dataclass(frozen=True, slots=True)
class HomeRecord:
    """What a home is: for one's own data (all else None), or a sample moved in time, with a clock of its own.

    Attributes:
        kind: "own" or "sample".
        sample_size: which cut of the sample, such as "full" or "small".
        shift_weeks: whole weeks by which every date of the sample was moved.
        first_day: the first day of the sample, after the move.
        now: the sample's clock, UTC.
    """

    kind: Literal["sample", "own"] = "own"
    sample_size: str | None = None
    shift_weeks: int | None = None
    first_day: date | None = None
    now: datetime | None = None

    @classmethod
    def of_scenario(cls, name: str, first_day: date, now: datetime) -> HomeRecord:
        """The record of a home in which a scenario is played; its days are made, and none of them is moved."""
        return cls("sample", f"{_SCENARIO}{name}", 0, first_day, now)

    @property
    def scenario(self) -> str | None:
        """The scenario that is played in the home; None in any other."""
        size = self.sample_size or ""
        return size.removeprefix(_SCENARIO) if size.startswith(_SCENARIO) else None

    def __post_init__(self) -> None:
        if self.kind not in ("sample", "own"):
            raise Refused(f"A home is of kind 'sample' or 'own', not {self.kind!r}.")
        given = [value is not None for value in (self.sample_size, self.shift_weeks, self.first_day, self.now)]
        if self.kind == "sample" and not all(given):
            raise Refused("The record of a sample home needs sample_size, shift_weeks, first_day and now.")
        if self.kind == "own" and any(given):
            raise Refused("The record of a home for one's own data has no sample_size, shift_weeks, first_day or now.")
        if self.now is not None:
            _utc(self.now)


@dataclass(frozen=True, slots=True)
class Home:
    """The folder that one deployment keeps its state in."""

    root: Path

    @property
    def lake(self) -> Path:
        """The folder of the Delta tables."""
        return self.root / "lake"

    @property
    def landing(self) -> Path:
        """The folder that files arrive in, one folder below it for each source."""
        return self.root / "landing"

    @property
    def dagster(self) -> Path:
        """Dagster's own home."""
        return self.root / "dagster"

    @property
    def none_yet(self) -> str:
        """What to say where no home was made yet."""
        return f"There is no home in {self.root} yet. Make one: lightkeeper build"

    @property
    def exists(self) -> bool:
        """Whether a home was made here: the record is written last, so a half-made home does not exist."""
        return (self.root / _RECORD).is_file()

    @property
    def record(self) -> HomeRecord:
        """What was recorded when the home was made, and where its clock stands. Raises Refused."""
        path = self.root / _RECORD
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            raise Refused(f"No home in {self.root}. Make one: lightkeeper build --home {self.root}") from None
        except (OSError, UnicodeDecodeError) as error:
            raise _unreadable(path, str(error)) from error
        return _parse(text, path)

    def create(self, record: HomeRecord | None = None) -> HomeRecord:
        """Makes the folders and writes the record (one's own data by default). Raises Refused where a home exists."""
        record = record or HomeRecord()
        _make_folder(self.root)
        with self.landing_lock():
            if self.exists:
                raise Refused(f"{self.root} is a home already. Use it, or choose another folder.")
            for folder in (self.lake, self.landing, self.dagster):
                _make_folder(folder)
            _write_durably(self.root / _RECORD, _text(record))
        return record

    def now(self) -> datetime:
        """The home's time, UTC: the recorded clock of a sample, the real clock for one's own data."""
        return self.record.now or datetime.now(UTC)

    def move_clock(self, to: datetime) -> HomeRecord:
        """Sets a sample's clock to `to` (UTC), durably. Call it while holding `landing_lock`.

        Raises:
            Refused: the home has the real clock, or `to` lies before the clock or is not in UTC.
        """
        record = self.record
        if record.now is None:
            raise Refused(f"{self.root} holds one's own data and has the real clock: it cannot be moved.")
        if _utc(to) < record.now:
            raise Refused(f"The clock of {self.root} stands at {record.now.isoformat()}; it never goes back to {to}.")
        moved = replace(record, now=to)
        _write_durably(self.root / _RECORD, _text(moved))
        return moved

    @classmethod
    def find(cls, start: Path, environ: Mapping[str, str], given: Path | None = None) -> Home:
        """The home that is meant in the folder `start`; it need not exist yet.

        The one that is `given` by --home, else the one that `LIGHTKEEPER_HOME` names (both relative to the working
        directory, `~` being the user's folder), else `.lightkeeper` in the nearest folder at or above `start` that
        holds a workspace.yaml or a pyproject.toml with [tool.lightkeeper]. Raises Refused.
        """
        if named := given or environ.get("LIGHTKEEPER_HOME"):
            return cls(Path(named).expanduser().resolve())
        for folder in (start.resolve(), *start.resolve().parents):
            if _is_project(folder):
                return cls(folder / ".lightkeeper")
        raise Refused(
            f"No Lightkeeper project in {start} or above it. Go to a project's folder, make this one a project with "
            "an empty [tool.lightkeeper] table in its pyproject.toml, or set LIGHTKEEPER_HOME to a folder."
        )

    @contextmanager
    def landing_lock(self) -> Iterator[None]:
        """Holds the home's landing for one process at a time; the kernel frees it when its holder dies.

        Raises HomeBusy at once, with the holder's process id, while somebody else holds it.
        """
        handle = _open_lock(self.root / _LOCK)
        try:
            _take(handle, self.root)
            os.ftruncate(handle, 0)
            os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
            try:
                yield
            finally:
                os.ftruncate(handle, 0)
        finally:
            os.close(handle)

    def landing_is_busy(self) -> bool:
        """Whether somebody holds the landing lock now. Costs one open and one lock call, writes nothing."""
        try:
            handle = os.open(self.root / _LOCK, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            return not _lock(handle, fcntl.LOCK_SH)
        finally:
            os.close(handle)


def _lock(handle: int, how: int) -> bool:
    try:
        fcntl.flock(handle, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _take(handle: int, root: Path) -> None:
    """The exclusive lock. Whoever only looks holds a shared one for a moment: that is waited out, a holder is not."""
    while not _lock(handle, fcntl.LOCK_EX):
        if not _lock(handle, fcntl.LOCK_SH):
            pid = os.pread(handle, 32, 0).decode("ascii", "replace").strip() or "unknown"
            raise HomeBusy(
                f"Process {pid} is landing into {root}. Wait until it has finished, or end it (kill {pid}) and run "
                "this again: what it had not committed is landed anew."
            )
        fcntl.flock(handle, fcntl.LOCK_UN)
        time.sleep(_PROBE_SECONDS)


def _open_lock(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except FileNotFoundError:
        raise Refused(f"No home in {path.parent}. Make one: lightkeeper build --home {path.parent}") from None
    except OSError as error:
        raise StorageFailed(f"{path} cannot be opened: {error}. Check the folder's permissions.") from error


def settings(folder: Path) -> dict[str, Any] | None:
    """What [tool.lightkeeper] in a folder's pyproject.toml says; None without it. Raises Refused, naming a broken file."""
    path = folder / "pyproject.toml"
    if not path.is_file():
        return None
    try:
        tools = tomllib.loads(path.read_text(encoding="utf-8")).get("tool", {})
    except (OSError, ValueError) as error:
        raise Refused(f"{path} cannot be read: {error}. Mend it: it may say that its folder is a project.") from error
    found = tools.get("lightkeeper") if isinstance(tools, dict) else None
    if found is not None and not isinstance(found, dict):
        raise Refused(f"{path}: lightkeeper = {found!r} is no table. Write [tool.lightkeeper] on a line of its own.")
    return cast("dict[str, Any] | None", found)


def _is_project(folder: Path) -> bool:
    return (folder / "workspace.yaml").is_file() or settings(folder) is not None


def _utc(moment: datetime) -> datetime:
    if moment.utcoffset() != UTC.utcoffset(None):
        raise Refused(f"A home's clock is UTC; {moment!r} is not: give it tzinfo=UTC.")
    return moment


def _text(record: HomeRecord) -> str:
    values = {
        "format": FORMAT,
        "kind": record.kind,
        "sample_size": record.sample_size,
        "shift_weeks": record.shift_weeks,
        "first_day": record.first_day and record.first_day.isoformat(),
        "now": record.now and record.now.isoformat(),
    }
    return json.dumps({name: value for name, value in values.items() if value is not None}, indent=2) + "\n"


def _parse(text: str, path: Path) -> HomeRecord:
    try:
        values = json.loads(text)
    except ValueError as error:
        raise _unreadable(path, f"it is no JSON ({error})") from error
    if not isinstance(values, dict) or type(values.get("format")) is not int:
        raise _unreadable(path, "it names no format")
    if values["format"] != FORMAT:
        raise Refused(f"{path} has format {values['format']}, this release reads {FORMAT}: use the one that wrote it.")
    try:
        return _record(values)
    except (KeyError, TypeError, ValueError, Refused) as error:
        raise _unreadable(path, f"{type(error).__name__}: {error}") from error


def _record(values: dict[str, object]) -> HomeRecord:
    if values["kind"] == "own":
        return HomeRecord()
    size, weeks, first, now = (values[name] for name in ("sample_size", "shift_weeks", "first_day", "now"))
    if type(size) is not str or type(weeks) is not int or type(first) is not str or type(now) is not str:
        raise TypeError("sample_size, first_day and now are text, shift_weeks is a whole number")
    if values["kind"] != "sample":
        raise ValueError(f"unknown kind {values['kind']!r}")
    return HomeRecord("sample", size, weeks, date.fromisoformat(first), datetime.fromisoformat(now))


def _unreadable(path: Path, why: str) -> Refused:
    return Refused(
        f"{path} cannot be read: {why}. Bring it back from a backup; the lake beside it is untouched, and its tables "
        "can be read with lightkeeper.Lake."
    )


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageFailed(f"{path} cannot be made: {error}. Choose another folder with --home.") from error


def _write_durably(path: Path, text: str) -> None:
    """Replaces `path` at once and for good: a reader sees the old text or the new, also after a power cut."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise StorageFailed(f"{path} could not be written: {error}. It holds all of the old text or of the new.") from error
