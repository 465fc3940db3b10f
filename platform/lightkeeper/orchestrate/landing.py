"""Landing as assets: files of a folder become the days of a table; what breaks the contract stands beside it, counted.

How a file is read belongs to `lake.landing`, what a contract says to `measure.contract`. When to land is the sensors' business.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import dataframely as dy
import polars as pl

from lightkeeper.errors import BadDeclaration, FileRefused
from lightkeeper.home import Home
from lightkeeper.lake.landing import Admitted, Arrival, CsvFormat, admit, newest_for_each_part, read_files, scan
from lightkeeper.lake.ledger import Ledger
from lightkeeper.lake.sources import read_folder
from lightkeeper.lake.table import Lake
from lightkeeper.orchestrate.io_manager import LakeIOManager, TableOutput
from lightkeeper.orchestrate.shown import about, watched
from lightkeeper.values import LandedFile

__all__ = ["FOLDER", "LANDS", "Landing", "LandingFolder", "files_ledger", "landing_assets"]

_FILES: dict[str, pl.DataType] = {
    "asset": pl.String(), "file": pl.String(), "part": pl.Date(), "sha256": pl.String(), "bytes": pl.Int64(),
    "mtime_ns": pl.Int64(), "state": pl.String(), "rule": pl.String(), "row": pl.Int64(), "why": pl.String(),
    "rows": pl.Int64(), "rejected": pl.Int64(), "run_id": pl.String(), "known_at": pl.Datetime("us", "UTC"),
}  # fmt: skip


FOLDER = "landing folder"  # metadata of the asset: where its files arrive
LANDS = "land_"  # how the names of the steps that land begin


@dataclass(frozen=True)
class Landing:
    """A folder whose files become the days of a table.

    Args:
        name: of the table; what breaks the contract goes to `<name>_rejected`.
        contract: a dataframely schema; the columns `day` and `row` are filled by the platform, the others stand in the files.
        folder: below the home's landing folder, or an absolute path. A file's name holds the day it speaks for, ISO.
        description: what the table is, for Dagster's UI.
        owners: e-mail addresses or `team:name`.
        max_bytes: a larger file is refused.
        fresh_within: how long after its end a day may stay the newest, such as "26h"; None: what is usual is learnt.
        segments: columns whose most frequent values are watched on their own.
        tags: for Dagster.
    """

    name: str
    contract: type[dy.Schema]
    folder: str
    description: str = ""
    owners: tuple[str, ...] = ()
    max_bytes: int = 256 * 1024 * 1024
    fresh_within: str | None = None
    segments: tuple[str, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        missing = [column for column in ("day", "row") if column not in self.contract.column_names()]
        if missing:
            raise BadDeclaration(
                f"landing {self.name}: its contract has no column {' and '.join(missing)}: "
                "add day = dy.Date() and row = dy.Int64()."
            )
        watched(self.contract, self.fresh_within, self.segments)

    @property
    def rejected(self) -> str:
        """The table of what breaks the contract."""
        return f"{self.name}_rejected"

    @property
    def format(self) -> CsvFormat:
        """What its files look like."""
        return CsvFormat(tuple(c for c in self.contract.column_names() if c not in {"day", "row"}), max_bytes=self.max_bytes)

    def place(self, home: Home) -> Path:
        """The folder on disk."""
        return home.landing / self.folder


class LandingFolder(dg.ConfigurableResource[None]):
    """The landing folder of a home, for assets that read a file which speaks for no day.

    Args:
        home: the home's folder.
    """

    home: str

    def read(self, folder: str, pattern: str = "*.csv") -> tuple[pl.LazyFrame, tuple[LandedFile, ...]]:
        """The rows of all files of `folder` below the landing folder, and what landed. Raises FileRefused, Refused."""
        return read_folder(Home(Path(self.home)).landing / folder, pattern)


def files_ledger(lake: Lake) -> Ledger:
    """Every file that was looked at: landed, refused or superseded, with the rule and the reason."""
    return Ledger(lake.store, "files", _FILES)


def landing_assets(landing: Landing, home: Home, first_day: date) -> dg.AssetsDefinition:
    """The assets `<name>` (a partition a day) and `<name>_rejected`, with the check that every file could be read."""
    days = dg.DailyPartitionsDefinition(start_date=first_day.isoformat(), end_offset=1)  # a file may come on its day
    shared: dict[str, Any] = {
        "group_name": "landing", "kinds": {"csv", "deltalake"}, "owners": list(landing.owners), "code_version": "1",
    }  # fmt: skip
    lines = dg.AssetSpec(
        landing.name,
        description=landing.description,
        metadata={
            **about(landing.contract, by="day", fresh_within=landing.fresh_within, segments=landing.segments),
            FOLDER: str(landing.place(home)),
        },
        partitions_def=days,
        **shared,
    )
    rejected = dg.AssetSpec(
        landing.rejected,
        description=f"Lines that break the contract of {landing.name}: raw text, file, row and the rules they broke.",
        metadata={"partition_expr": "day", "dagster/column_schema": _rejected_schema(landing)},
        **shared,
    )

    @dg.multi_asset(
        name=f"{LANDS}{landing.name}",
        outs={spec.key.path[-1]: dg.AssetOut.from_spec(spec) for spec in (lines, rejected)},
        check_specs=[
            dg.AssetCheckSpec("every_file_was_read", asset=landing.name, description="No file of the run was refused."),
        ],
        backfill_policy=dg.BackfillPolicy.single_run(),
        required_resource_keys={"io_manager"},
    )
    def land(context: dg.AssetExecutionContext) -> Iterator[Any]:
        manager: LakeIOManager = context.resources.io_manager
        window = context.partition_time_window
        wanted = [window.start.date() + timedelta(n) for n in range((window.end.date() - window.start.date()).days)]
        batch = _read(landing, landing.place(home), wanted)
        if batch.rows.files:
            yield from _outputs(landing, batch)
        files_ledger(manager.lake).add(_rows(landing, batch, context.run.run_id, manager))  # after the tables: none is lost
        if not batch.rows.files:
            raise dg.Failure(_nothing_landed(landing, home, wanted, batch))
        yield _check(landing, batch)

    return land


@dataclass(frozen=True)
class _Batch:
    """What the files of some days gave: their arrivals, by name, and their rows parted by the contract."""

    arrivals: Mapping[str, Arrival]
    superseded: Sequence[Arrival]
    rows: Admitted

    @property
    def days(self) -> frozenset[date]:
        """The days that files speak for."""
        return frozenset(file.part for file in self.rows.files if file.part)


def _read(landing: Landing, folder: Path, wanted: Sequence[date]) -> _Batch:
    days = set(wanted)
    speaking, superseded = newest_for_each_part([one for one in scan(folder) if one.part in days])
    landed = read_files([folder / one.name for one in speaking], landing.format)
    return _Batch({one.name: one for one in speaking}, superseded, admit(landed, landing.contract, "day"))


def _outputs(landing: Landing, batch: _Batch) -> Iterator[Any]:
    files, counts = batch.rows.files, batch.rows.counts
    yield dg.Output(
        TableOutput(
            batch.rows.accepted.select(landing.contract.column_names()),
            days=batch.days,
            files=files,
            metadata={"files": len(files), "lines rejected": batch.rows.rejected.height},
        ),
        output_name=landing.name,
    )
    yield dg.Output(
        TableOutput(batch.rows.rejected, days=batch.days, files=files, metadata={"rules broken": dict(counts)}),
        output_name=landing.rejected,
    )


def _check(landing: Landing, batch: _Batch) -> dg.AssetCheckResult:
    files, refused = batch.rows.files, batch.rows.refused
    return dg.AssetCheckResult(
        passed=not refused,
        check_name="every_file_was_read",
        asset_key=landing.name,
        severity=dg.AssetCheckSeverity.ERROR,
        description=f"{len(files)} files were read, {len(refused)} refused." + "".join(f" {one}" for one in refused[:3]),
        metadata={"read": len(files), "refused": len(refused), "superseded": len(batch.superseded)},
    )


def _rows(landing: Landing, batch: _Batch, run_id: str, manager: LakeIOManager) -> Iterator[dict[str, object]]:
    """Rows of the files ledger: one a file that was looked at."""
    rejected = dict(batch.rows.rejected.group_by("file").len().iter_rows())
    shared: dict[str, object] = {"asset": landing.name, "run_id": run_id, "known_at": manager.lake.clock()}
    for file in batch.rows.files:
        yield shared | _landed(file, batch.arrivals[file.name], rejected.get(file.name, 0))
    for one in batch.rows.refused:
        yield shared | _refused(one, batch.arrivals[one.file])
    for arrival in batch.superseded:
        yield shared | _looked_at(arrival) | {"state": "superseded", "why": "A later file speaks for its day."}


def _looked_at(arrival: Arrival) -> dict[str, object]:
    return {"file": arrival.name, "part": arrival.part, "bytes": arrival.size, "mtime_ns": arrival.mtime_ns}


def _landed(file: LandedFile, arrival: Arrival, rejected: int) -> dict[str, object]:
    return _looked_at(arrival) | {"state": "landed", "sha256": file.sha256, "rows": file.rows, "rejected": rejected}


def _refused(error: FileRefused, arrival: Arrival) -> dict[str, object]:
    return _looked_at(arrival) | {"state": "refused", "rule": error.rule, "row": error.row, "why": error.why}


def _nothing_landed(landing: Landing, home: Home, wanted: Sequence[date], batch: _Batch) -> str:
    if batch.rows.refused:
        said = "; ".join(str(one) for one in batch.rows.refused[:5])
        return f"Nothing was landed: {said}. Mend the file and put it into {landing.place(home)} again; the table is as it was."
    days = str(wanted[0]) if len(wanted) == 1 else f"{wanted[0]} to {wanted[-1]}"
    there = sorted(one.part for one in scan(landing.place(home)) if one.part)
    has = f"it has files from {there[0]} to {there[-1]}" if there else "it has no file whose name holds a day (YYYY-MM-DD)"
    return f"No file for {days} in {landing.place(home)}; {has}. Nothing was changed."


def _rejected_schema(landing: Landing) -> dg.TableSchema:
    texts: Iterable[str] = (c for c in landing.contract.column_names() if c not in {"day", "row"})
    return dg.TableSchema(
        columns=[
            dg.TableColumn("file", "String", description="The file that the line came in."),
            dg.TableColumn("day", "Date", description="The day that the file speaks for."),
            dg.TableColumn("row", "Int64", description="Record in the file, the header being 1."),
            *(dg.TableColumn(name, "String", description="As it came, unread.") for name in texts),
            dg.TableColumn("rule", "String", description="The rules that the line broke, sorted."),
        ]
    )
