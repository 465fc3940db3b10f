"""Durable bytes under one root: a local folder or an object store. It knows no Delta and no frames."""

from __future__ import annotations

import hashlib
import mmap
import os
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Protocol

from lightkeeper.errors import StorageFailed

__all__ = ["Fill", "LocalStore", "ObjectStore", "Store", "Stored", "open_store"]

LOG = "_delta_log"
Fill = Callable[[Path | BytesIO], object]  # writes a file's bytes, to a path or into a buffer


@dataclass(frozen=True, slots=True)
class Stored:
    """What was stored: its size in bytes and their sha256 (hex)."""

    bytes: int
    sha256: str


class Store(Protocol):
    """Bytes by path relative to the root. After `create` and `settle` a power cut can no longer lose the bytes."""

    options: Mapping[str, str]

    def uri(self, folder: str) -> str:
        """Where delta-rs and Polars find `folder`."""
        ...

    def create(self, path: str, fill: Fill) -> Stored:
        """Make a new file of what `fill` writes, durably. Raises StorageFailed; then nothing is left behind."""
        ...

    def get(self, path: str) -> bytes:
        """The bytes of a file. Raises FileNotFoundError."""
        ...

    def names(self, folder: str) -> list[str]:
        """The names in a folder, sorted; empty when there is none."""
        ...

    def exists(self, path: str) -> bool:
        """Whether a file or folder is there."""
        ...

    def settle(self, path: str) -> None:
        """Make a file that somebody else wrote, its name and its folder's name durable. Raises StorageFailed."""
        ...

    def discard(self, paths: list[str]) -> None:
        """Delete files that no commit names."""
        ...


def open_store(root: str, options: Mapping[str, str] | None = None) -> Store:
    """The store for a local path, or for `s3://`, `az://`, `abfss://`, `gs://` with delta-rs's storage options."""
    if "://" in root and not root.startswith("file://"):
        return ObjectStore(root, options or {})
    return LocalStore(Path(root.removeprefix("file://")).expanduser().absolute())


class LocalStore:
    """A folder of this machine. Every write is followed by fsync of the file and of its folder."""

    options: Mapping[str, str] = {}

    def __init__(self, root: Path) -> None:
        self.root = root

    def uri(self, folder: str) -> str:
        """An absolute path."""
        return str(self.root / folder)

    def create(self, path: str, fill: Fill) -> Stored:
        """Fill, hash, fsync; then fsync the folder, and the folders above it that are new."""
        target = self.root / path
        try:
            new = _make_folder(target.parent)
            stored = _filled(target, fill)
            for folder in (target.parent, *new):
                _sync(folder)
        except OSError as error:
            raise StorageFailed(_refusal(target, error)) from error
        return stored

    def get(self, path: str) -> bytes:
        """Read the whole file."""
        return (self.root / path).read_bytes()

    def names(self, folder: str) -> list[str]:
        """One scan of the folder."""
        try:
            return sorted(os.listdir(self.root / folder))  # noqa: PTH208 - names, as fast as it goes
        except (FileNotFoundError, NotADirectoryError):
            return []

    def exists(self, path: str) -> bool:
        """One stat."""
        return (self.root / path).exists()

    def settle(self, path: str) -> None:
        """Fsync the file, its folder and the folder above."""
        target = self.root / path
        try:
            for one in (target, target.parent, target.parent.parent):
                _sync(one)
        except OSError as error:
            raise StorageFailed(f"{target} stands, and could not be made durable: {error.strerror or error}.") from error

    def discard(self, paths: list[str]) -> None:
        """Unlink what is there."""
        for path in paths:
            (self.root / path).unlink(missing_ok=True)


class ObjectStore:
    """An object store through delta-rs's own client; a finished upload is durable by the store's promise."""

    def __init__(self, root: str, options: Mapping[str, str]) -> None:
        self.root = root.rstrip("/")
        self.options: Mapping[str, str] = dict(options)

    def uri(self, folder: str) -> str:
        """A URL of the store."""
        return f"{self.root}/{folder}"

    def _files(self, folder: str) -> Any:
        from deltalake.fs import DeltaStorageHandler

        # Its public stream hands pyarrow buffers to a writer that takes bytes alone.
        return DeltaStorageHandler(self.uri(folder), dict(self.options))._handler  # noqa: SLF001

    def create(self, path: str, fill: Fill) -> Stored:
        """Fill a buffer in memory, hash it, upload it as one object."""
        folder, _, name = path.rpartition("/")
        buffer = BytesIO()
        fill(buffer)
        data = buffer.getvalue()
        try:
            stream = self._files(folder).open_output_stream(name)
            stream.write(data)
            stream.close()
        except OSError as error:
            raise StorageFailed(
                f"{self.uri(path)} ({len(data):,} bytes) could not be written: {error}. Nothing was committed."
            ) from error
        return Stored(len(data), hashlib.sha256(data).hexdigest())

    def get(self, path: str) -> bytes:
        """Download the whole object."""
        folder, _, name = path.rpartition("/")
        return bytes(self._files(folder).open_input_file(name).read())

    def names(self, folder: str) -> list[str]:
        """One listing, not recursive. Raises StorageFailed when the store does not answer."""
        try:
            infos = self._files(folder).get_file_info_selector("", allow_not_found=True, recursive=False)
        except OSError as error:
            raise StorageFailed(f"{self.uri(folder)} could not be listed: {error}") from error
        return sorted(info.base_name for info in infos)

    def exists(self, path: str) -> bool:
        """One look-up of an object, or one listing of a folder."""
        folder, _, name = path.rpartition("/")
        there = self._files(folder).get_file_info([name])[0]
        return there.type.name != "NotFound" or bool(self.names(path))

    def settle(self, path: str) -> None:
        """Nothing to do: the store promised."""

    def discard(self, paths: list[str]) -> None:
        """Delete objects; one that cannot be deleted stays, for no commit names it."""
        for path in paths:
            folder, _, name = path.rpartition("/")
            with suppress(OSError):
                self._files(folder).delete_file(name)


def _make_folder(folder: Path) -> list[Path]:
    """Make a folder and those above it; return the folders in which a new name stands."""
    there = folder
    while not there.exists():
        there = there.parent
    folder.mkdir(parents=True, exist_ok=True)
    above = [folder, *folder.parents]
    return above[1 : above.index(there) + 1]


def _filled(target: Path, fill: Fill) -> Stored:
    """A new file, hashed as it stands and on the disk; or no file."""
    try:
        fill(target)
        with target.open("rb") as file:
            with mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as data:
                stored = Stored(len(data), hashlib.sha256(data).hexdigest())
            os.fsync(file.fileno())
    except BaseException:
        with suppress(OSError):
            target.unlink(missing_ok=True)
        raise
    return stored


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _refusal(target: Path, error: OSError) -> str:
    try:
        free = f"{shutil.disk_usage(target.parent).free:,} bytes are free there"
    except OSError:
        free = "its folder cannot be reached"
    return (
        f"{target.name} could not be written to {target.parent}: {error.strerror or error}; {free}. "
        "Nothing was committed. Make room or mend the folder, then run it again."
    )
