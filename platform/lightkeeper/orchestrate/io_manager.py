"""The IO manager: assets in and out of the lake, each write stamped with the versions that were read. It owns no table logic."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
from pydantic import PrivateAttr

from lightkeeper.errors import BadDeclaration
from lightkeeper.home import Home
from lightkeeper.lake.sources import DeltaSource
from lightkeeper.lake.table import Lake
from lightkeeper.orchestrate.code import code_version, git_state, project_folder
from lightkeeper.orchestrate.cost import peak_mb
from lightkeeper.orchestrate.pins import RunPins
from lightkeeper.orchestrate.shown import shown
from lightkeeper.values import Input, LandedFile, Stamp, TableVersion

__all__ = ["LakeIOManager", "TableInput", "TableOutput", "declare_source", "table_name"]

_DECLARED: dict[str, DeltaSource] = {}
_Reads = dict[str, Input]


@dataclass(frozen=True)
class TableInput:
    """An input at its exact version, for an asset that computes only what changed.

    Attributes:
        version: what is read.
        frame: its rows, lazily.
        before: the version that the asset's table was last computed from; None when there is none, or by other code.
        changed: the days that were replaced since then; None when anything may have changed.
    """

    version: TableVersion
    frame: pl.LazyFrame
    before: TableVersion | None = None
    changed: frozenset[date] | None = None
    lake: Lake | None = field(default=None, repr=False)

    def former(self) -> pl.LazyFrame:
        """The rows of the version `before`. Raises BadDeclaration when there is none."""
        if self.before is None or self.lake is None:
            raise BadDeclaration(f"{self.version}: there is no former version that this asset was computed from.")
        return self.lake.read(self.before.table, self.before)


@dataclass(frozen=True)
class TableOutput:
    """What an asset hands over when it is more than a frame.

    Attributes:
        frame: the rows.
        days: the days that the frame replaces; None replaces the whole table, or the run's partitions.
        append: add the rows to the table instead; they are right only on top of the version the run started from.
        files: the landed files that the rows came from.
        extra: further JSON values for the commit.
        metadata: further entries for Dagster's UI.
    """

    frame: pl.LazyFrame | pl.DataFrame
    days: frozenset[date] | None = None
    append: bool = False
    files: tuple[LandedFile, ...] = ()
    extra: Mapping[str, object] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)


def declare_source(source: DeltaSource) -> None:
    """Make a table outside the lake one that runs pin at their start."""
    _DECLARED[source.name] = source


def table_name(key: dg.AssetKey) -> str:
    """The table of an asset: its key, parts joined by two underscores."""
    return "__".join(key.path)


class LakeIOManager(dg.ConfigurableIOManager):
    """Stores each asset as a table of a lake and records in the commit what was read, by which run and code.

    An asset gives a `polars.LazyFrame` or `DataFrame` (the whole table, or the run's daily partitions when the asset is
    partitioned and names its date column in `metadata={"partition_expr": "day"}`), or a `TableOutput`. It takes a
    `polars.LazyFrame` (default), a `DataFrame`, or a `TableInput` by its annotation. Inputs are pinned when the run starts.

    Args:
        root: of the lake; local, `s3://`, `az://` ...
        storage_options: of the object store.
        home: the home whose clock is used; without one the machine's clock.
    """

    root: str
    storage_options: dict[str, str] | None = None
    home: str | None = None
    _pins: dict[str, RunPins] = PrivateAttr(default_factory=dict)
    _reads: dict[tuple[str, str], _Reads] = PrivateAttr(default_factory=dict)
    _peaks: dict[tuple[str, str], float | None] = PrivateAttr(default_factory=dict)

    @property
    def lake(self) -> Lake:
        """The lake that tables are stored in."""
        home = Home(Path(self.home)) if self.home else None
        return Lake(self.root, self.storage_options, home.now if home and home.exists else None)

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        """Pin the lake as it stands, once a run."""
        if context.run and context.instance:
            self._pins_of(context.run.run_id, context.instance)

    def load_input(self, context: dg.InputContext) -> Any:
        """The pinned version of an upstream table, as the annotation asks."""
        lake, name = self.lake, table_name(context.asset_key)
        read = self._pinned(context, lake, name)
        frame = _scan(lake, read)
        if _reads_partitions(context):
            frame = frame.filter(_in_window(context, name))
        wanted = context.dagster_type.typing_type
        if wanted is TableInput:
            return self._table_input(context, lake, read, frame)
        if wanted not in (pl.LazyFrame, pl.DataFrame, Any, None, dg.Nothing):
            raise BadDeclaration(_no_such_form(context, wanted))
        return frame.collect() if wanted is pl.DataFrame else frame

    def handle_output(self, context: dg.OutputContext, obj: Any) -> None:
        """Write what the asset gave, and show what was written."""
        if obj is None:
            return
        output = obj if isinstance(obj, TableOutput) else _as_output(context, obj)
        lake, name, pins = self.lake, table_name(context.asset_key), self._pins_of(context.run_id, _instance(context))
        before = pins.base(name)
        inputs = tuple(self._reads.get((context.run_id, context.step_key), {}).values())
        if output.append:
            made = lake.append(name, output.frame, inputs=inputs, stamp=_stamp(context, output), base=before, alone=True)
        else:
            made = lake.write(
                name,
                output.frame,
                inputs=inputs,
                replace=_days(context, output),
                by=_part_column(context),
                stamp=_stamp(context, output),
                base=before,
            )
        pins.record(made)
        self._peaks[context.run_id, name] = peak_mb()
        unchanged = made.version == before or lake.commit(made).run_id != context.run_id
        context.add_output_metadata({**shown(lake, made, _definition(context), unchanged, inputs), **output.metadata})

    def base(self, context: dg.AssetExecutionContext, table: str) -> int:
        """The version that a write of this run to `table` stands on; -1 when the table did not exist."""
        return self._pins_of(context.run.run_id, context.instance).base(table)

    def looked_at(self, context: dg.AssetCheckExecutionContext, table: str) -> tuple[int, bool, float | None]:
        """What a check of this run looks at: the version (-1 without one), whether the run made it, and its peak memory in MB."""
        pins = self._pins_of(context.run.run_id, context.instance)
        return pins.base(table), pins.made(table), self._peaks.get((context.run.run_id, table))

    def read(self, context: dg.AssetExecutionContext, table: str) -> TableInput | None:
        """A table that the asset reads if it is there, at the version that the run reads; recorded as read. None without one."""
        pins, lake = self._pins_of(context.run.run_id, context.instance), self.lake
        if pins.base(table) < 0:
            return None
        read = pins.input(table)
        self._reads.setdefault((context.run.run_id, _step(context)), {})[table] = read
        return TableInput(read.version, _scan(lake, read), lake=lake)

    def append(
        self, context: dg.AssetExecutionContext, table: str, output: TableOutput, inputs: Iterable[TableVersion]
    ) -> TableVersion:
        """Add rows to the table of another asset, on top of the version that the run stands on; the run reads it from then on."""
        lake, pins = self.lake, self._pins_of(context.run.run_id, context.instance)
        commit, dirty = git_state(project_folder(context.run))
        version = code_version(context.assets_def, context.asset_key)
        stamp = Stamp(context.asset_key.to_user_string(), context.run.run_id, version, commit, dirty, extra=output.extra)
        made = lake.append(table, output.frame, inputs=inputs, stamp=stamp, base=pins.base(table), alone=True)
        pins.record(made)
        definition = context.job_def.asset_layer.get(dg.AssetKey(table.split("__"))).metadata
        found = {**shown(lake, made, definition, unchanged=False), **output.metadata}
        context.log_event(dg.AssetMaterialization(dg.AssetKey(table.split("__")), metadata=found))
        return made

    def _pins_of(self, run_id: str, instance: dg.DagsterInstance) -> RunPins:
        if run_id not in self._pins:
            folder = Path(instance.storage_directory()) / "lightkeeper" / run_id
            self._pins[run_id] = RunPins(self.lake, folder, _DECLARED.values())
        return self._pins[run_id]

    def _pinned(self, context: dg.InputContext, lake: Lake, name: str) -> Input:
        step = context.step_context if context._step_context else None  # noqa: SLF001 - no public question for it
        if step is None:  # outside a run: whoever loads a value by hand reads what is newest
            return _DECLARED[name].newest() if name in _DECLARED else Input(lake.version(name))
        read = self._pins_of(step.run_id, step.instance).input(name)
        self._reads.setdefault((step.run_id, step.step.key), {})[name] = read
        return read

    def _table_input(self, context: dg.InputContext, lake: Lake, read: Input, frame: pl.LazyFrame) -> TableInput:
        """The input with what changed since the consumer was last computed by the same code."""
        keys = context.step_context.get_output_asset_keys()
        (key, *others) = sorted(keys)
        consumer, pins = table_name(key), self._pins_of(context.step_context.run_id, context.instance)
        base = pins.base(consumer)
        layer = context.step_context.job_def.asset_layer
        if others or base < 0 or read.uri is not None or layer.get(key).partitions_def is not None:
            return TableInput(read.version, frame)  # a partition's last run says nothing of the other partitions
        last = lake.commit(TableVersion(consumer, base))
        before = next((one.version for one in last.inputs if one.version.table == read.version.table), None)
        same_code = last.code_version == code_version(layer.get(key).assets_def, key)
        if before is None or not same_code or last.mode == "migrate":
            return TableInput(read.version, frame)
        changed = lake.changed(read.version.table, before.version, read.version.version)
        return TableInput(read.version, frame, before, changed, lake)


def _step(context: dg.AssetExecutionContext) -> str:
    return context.op_execution_context.get_step_execution_context().step.key


def _scan(lake: Lake, read: Input) -> pl.LazyFrame:
    if read.uri is not None:
        return _DECLARED[read.version.table].read(read.version.version)
    return lake.read(read.version.table, read.version)


def _as_output(context: dg.OutputContext, obj: Any) -> TableOutput:
    if isinstance(obj, pl.LazyFrame | pl.DataFrame):
        return TableOutput(obj)
    raise BadDeclaration(
        f"asset {context.asset_key.to_user_string()} gave a {type(obj).__name__}: give a polars DataFrame or LazyFrame, "
        "or an lk.TableOutput."
    )


def _no_such_form(context: dg.InputContext, wanted: Any) -> str:
    return (
        f"{context.step_context.step.key} takes the table {table_name(context.asset_key)} as a "
        f"{getattr(wanted, '__name__', wanted)}: annotate it as pl.LazyFrame, pl.DataFrame or lk.TableInput."
    )


def _instance(context: dg.OutputContext) -> dg.DagsterInstance:
    return context.step_context.instance


def _definition(context: dg.OutputContext) -> Mapping[str, Any]:
    return context.definition_metadata or {}


def _part_column(context: dg.OutputContext) -> str | None:
    found = _definition(context).get("partition_expr")
    if found is None and context.has_asset_partitions:
        raise BadDeclaration(_no_date_column(context.asset_key.to_user_string()))
    return None if found is None else str(getattr(found, "value", found))


def _stamp(context: dg.OutputContext, output: TableOutput) -> Stamp:
    commit, dirty = git_state(project_folder(context.step_context.dagster_run))
    assets = context.step_context.job_def.asset_layer.get(context.asset_key).assets_def
    version = code_version(assets, context.asset_key)
    key = context.asset_key.to_user_string()
    return Stamp(key, context.run_id, version, commit, dirty, output.files, extra=output.extra)


def _reads_partitions(context: dg.InputContext) -> bool:
    """Whether the consumer is itself partitioned, so that it reads the partitions that the run is about."""
    if not context.has_asset_partitions or not context._step_context:  # noqa: SLF001 - no public question for it
        return False
    layer = context.step_context.job_def.asset_layer
    return any(layer.get(key).partitions_def is not None for key in context.step_context.get_output_asset_keys())


def _in_window(context: dg.InputContext, name: str) -> pl.Expr:
    metadata = (context.upstream_output.definition_metadata if context.upstream_output else None) or {}
    column = metadata.get("partition_expr")
    if column is None:
        raise BadDeclaration(_no_date_column(name))
    start, end = context.asset_partitions_time_window
    return pl.col(str(getattr(column, "value", column))).is_between(start.date(), end.date(), closed="left")


def _no_date_column(asset: str) -> str:
    return f'asset {asset} is partitioned and does not say by which date column: metadata={{"partition_expr": "day"}}.'


def _days(context: dg.OutputContext, output: TableOutput) -> frozenset[date] | None:
    if output.days is None and context.has_asset_partitions:
        return frozenset(_window_days(context))
    return output.days


def _window_days(context: dg.OutputContext) -> Iterable[date]:
    """The days of the run's partitions. Raises BadDeclaration where a partition is less than whole days of the table."""
    asset, partitions = context.asset_key.to_user_string(), context.asset_partitions_def
    if not isinstance(partitions, dg.TimeWindowPartitionsDefinition):
        raise BadDeclaration(
            f"asset {asset}: a {type(partitions).__name__} has no days of its own, so that writing one partition would replace "
            "others. Partition by days and keep the rest as columns, or give an lk.TableOutput that says which days."
        )
    if not context.asset_partition_keys:
        raise BadDeclaration(f"asset {asset}: the run's partitions are not among those declared, or lie in the future.")
    start, end = context.asset_partitions_time_window
    days = [start.date() + timedelta(n) for n in range((end.date() - start.date()).days)]
    if len(days) < len(context.asset_partition_keys):
        raise BadDeclaration(f"asset {asset}: partitions shorter than a day are not kept apart. Partition it by days.")
    return days
