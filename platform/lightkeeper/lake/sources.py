"""Data that something else writes: a Delta table elsewhere, Parquet or CSV files, a SQL query. It writes nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from lightkeeper.errors import BadDeclaration, FileRefused, NoSuchTable, NoSuchVersion, Refused
from lightkeeper.lake.handles import assert_files, delta_table
from lightkeeper.lake.storage import open_store
from lightkeeper.values import Input, LandedFile, TableVersion, check_name

__all__ = ["DeltaSource", "read_folder", "read_query"]


@dataclass(frozen=True, slots=True)
class DeltaSource:
    """A Delta table outside the lake, read where it stands at a version that is pinned and recorded.

    Its owner may vacuum it: then an old version cannot be read any more, and the error says so. Copy what must be kept.
    """

    name: str
    uri: str
    storage_options: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_name(self.name)

    def newest(self) -> Input:
        """The version as of now. Raises NoSuchTable."""
        return self._input(self._open(None).version())

    def read(self, at: int) -> pl.LazyFrame:
        """The rows of one version. Raises NoSuchTable, NoSuchVersion, TableVersionGone."""
        handle = self._open(at)
        root, _, folder = self.uri.rstrip("/").rpartition("/")
        assert_files(
            open_store(root or ("/" if self.uri.startswith("/") else "."), self.storage_options), TableVersion(folder, at), handle
        )
        return pl.scan_delta(handle)

    def _input(self, version: int) -> Input:
        return Input(TableVersion(self.name, version), self.uri)

    def _open(self, version: int | None) -> Any:
        from deltalake.exceptions import DeltaError, TableNotFoundError

        try:
            return delta_table()(self.uri, version=version, storage_options=dict(self.storage_options) or None)
        except TableNotFoundError as error:
            raise NoSuchTable(f"source {self.name}: {self.uri} holds no Delta table.") from error
        except DeltaError as error:
            raise NoSuchVersion(f"source {self.name}: {self.uri} has no version {version} any more: {error}") from error


def read_folder(folder: str | Path, pattern: str = "**/*.parquet") -> tuple[pl.LazyFrame, tuple[LandedFile, ...]]:
    """The rows of every Parquet or CSV file below a folder, with what landed: names, sha256, sizes, rows.

    Each file is read once into memory, hashed, and parsed from the same bytes; all must agree in columns and types.

    Raises:
        FileRefused: a file cannot be parsed, or differs from the first one; it names the file.
        Refused: no file matches.
    """
    root = Path(folder)
    paths = sorted(path for path in root.glob(pattern) if path.is_file() and not path.name.startswith((".", "_")))
    if not paths:
        raise Refused(f"{root} holds no file that matches {pattern!r}.")
    read = [_read(path, path.relative_to(root).as_posix()) for path in paths]
    first = read[0][0].schema
    for frame, landed in read:
        if frame.schema != first:
            raise FileRefused(landed.name, "same_columns", f"columns {dict(frame.schema)} differ from {dict(first)}")
    return pl.concat([frame for frame, _ in read]).lazy(), tuple(landed for _, landed in read)


def _read(path: Path, name: str) -> tuple[pl.DataFrame, LandedFile]:
    data = path.read_bytes()
    parsers: dict[str, Callable[[bytes], pl.DataFrame]] = {".parquet": pl.read_parquet, ".csv": _read_csv}
    parse = parsers.get(path.suffix)
    if parse is None:
        raise FileRefused(name, "known_format", f"files end in .parquet or .csv, this one in {path.suffix!r}")
    try:
        frame = parse(data)
    except (pl.exceptions.PolarsError, OSError, BaseException) as error:
        if not isinstance(error, pl.exceptions.PolarsError | OSError) and type(error).__name__ != "PanicException":
            raise  # a truncated Parquet file raises Polars' PanicException, which is no Exception
        raise FileRefused(name, "readable", f"it cannot be parsed: {error}") from error
    return frame, LandedFile(name, hashlib.sha256(data).hexdigest(), len(data), frame.height)


def _read_csv(data: bytes) -> pl.DataFrame:
    return pl.read_csv(data, try_parse_dates=True, infer_schema_length=None)


def read_query(query: str, connection: Any) -> tuple[pl.DataFrame, tuple[LandedFile, ...]]:
    """The rows that a SQL query gives now, with the query's text and a sha256 of it as what landed.

    Args:
        query: one SELECT.
        connection: anything that `polars.read_database` takes: a DB-API connection, a SQLAlchemy engine or its URL.
    """
    if isinstance(connection, str):
        from sqlalchemy import create_engine

        connection = create_engine(connection)
    try:
        frame = pl.read_database(query, connection, infer_schema_length=None)
    except Exception as error:  # every database driver has errors of its own
        raise BadDeclaration(f"the query {query[:80]!r} failed: {error}") from error
    text = query.encode()
    return frame, (LandedFile(f"sql: {query[:200]}", hashlib.sha256(text).hexdigest(), len(text), frame.height),)
