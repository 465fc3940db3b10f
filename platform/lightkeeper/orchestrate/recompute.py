"""A table computed again outside a run, from given versions of its inputs; and what that proves of a model's features.

It reads and computes; it writes nothing. Which code is called is the caller's: the definitions that are loaded here. A commit's
own code is fetched in `worktree`. What a contract says stands in `measure.contract`; here is how it is found from an asset.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import dagster as dg
import dataframely as dy
import polars as pl

from lightkeeper.errors import BadDeclaration, LightkeeperError, Refused
from lightkeeper.lake.schema import conform, plan
from lightkeeper.lake.table import Lake
from lightkeeper.measure.contract import known_ahead
from lightkeeper.models.model import Model
from lightkeeper.orchestrate.code import code_version
from lightkeeper.orchestrate.io_manager import _DECLARED as SOURCES
from lightkeeper.orchestrate.io_manager import TableInput, TableOutput, table_name
from lightkeeper.orchestrate.shown import CONTRACT
from lightkeeper.values import TableVersion

__all__ = ["Leak", "assert_known_ahead", "contract_of", "known_ahead_of", "leaks", "metadata_of", "recomputed"]

_CLOSE = 1e-9  # relative difference of floats up to which two values are one
_THEN = " at the cut"  # suffix of the columns as they would have been
_Frames = Mapping[str, pl.LazyFrame]


def metadata_of(defs: dg.Definitions, table: str) -> Mapping[str, Any]:
    """The definition metadata of the asset that makes `table`; none where the definitions have no such asset."""
    node = _node(defs, table)
    return {} if node is None else node.metadata


def contract_of(metadata: Mapping[str, Any]) -> type[dy.Schema] | None:
    """The contract that `lk.about` named in an asset's metadata; None where there is none, or it cannot be imported."""
    named = metadata.get(CONTRACT)
    module, _, name = str(getattr(named, "value", named)).partition(":")
    if not name:
        return None
    try:
        found: Any = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError):
        return None
    return found if isinstance(found, type) and issubclass(found, dy.Schema) else None


def known_ahead_of(metadata: Mapping[str, Any]) -> frozenset[str] | None:
    """The columns that the contract declares as known a horizon ahead; None where there is no contract to ask."""
    contract = contract_of(metadata)
    return None if contract is None else frozenset(known_ahead(contract))


def assert_known_ahead(model: Model, metadata: Mapping[str, Any]) -> None:
    """Raise BadDeclaration unless the contract of the model's table declares every feature as known ahead.

    A model without a horizon, and a table without a contract, are not asked; `leaks` tests by values.
    """
    contract = contract_of(metadata)
    unsaid = [] if contract is None else [name for name in model.features if name not in known_ahead(contract)]
    if model.horizon is None or contract is None or not unsaid:
        return
    one = len(unsaid) == 1
    raise BadDeclaration(
        f"model {model.name}: {'feature' if one else 'features'} {', '.join(unsaid)} {'is' if one else 'are'} not declared "
        f'known_ahead in {contract.__name__}, the contract of {model.table}: write metadata={{"known_ahead": True}} on '
        f"{'its column if it is' if one else 'their columns if they are'} known {model.horizon} days ahead, "
        f"else leave {'it' if one else 'them'} out."
    )


def recomputed(
    defs: dg.Definitions, lake: Lake, table: str, inputs: Mapping[str, TableVersion], until: date | None = None
) -> pl.DataFrame:
    """All rows that the asset of `table` gives for the given versions of its inputs, with the code that is loaded here.

    Args:
        defs: holds the plain `@dg.asset` that makes the table.
        lake: where the inputs are read.
        table: to compute; nothing is written.
        inputs: upstream table -> the version to read.
        until: cuts each input to the days up to this one, by the date column that its asset names (`partition_expr`): what
            would have been computed had we stood there. What is known ahead in every column, or has no date, stays whole.

    Raises:
        Refused: the asset needs a context or resources, lands files, is partitioned, or gives other than the whole table;
            or an input has no version here, or the asset fails. And whatever reading raises.
    """
    assets = _plain(defs, table)
    _assert_given(assets, inputs)
    frames = {up: _cut(metadata_of(defs, up), _read(lake, inputs[up]), until) for up in _read_by(assets)}
    return _called(assets, lake, inputs, frames)


def _read_by(assets: dg.AssetsDefinition) -> list[str]:
    return sorted({table_name(key) for key in assets.keys_by_input_name.values()})


def _assert_given(assets: dg.AssetsDefinition, inputs: Mapping[str, TableVersion]) -> None:
    read, table = _read_by(assets), table_name(assets.key)
    missing = [one for one in read if one not in inputs]
    if missing:
        raise Refused(f"{table} is computed from {', '.join(read)}: no version is given of {', '.join(missing)}.")


def _node(defs: dg.Definitions, table: str) -> Any:
    graph = defs.resolve_asset_graph()
    return next((graph.get(key) for key in graph.get_all_asset_keys() if table_name(key) == table), None)


def _plain(defs: dg.Definitions, table: str) -> dg.AssetsDefinition:
    """The asset whose own function can be called with tables alone. Raises Refused."""
    node = _node(defs, table)
    why = "no asset here makes it" if node is None else _why_not(node)
    if why is not None:
        raise Refused(f"{table} cannot be computed again outside a run: {why}.")
    found: dg.AssetsDefinition = node.assets_def
    return found


def _why_not(node: Any) -> str | None:
    """Why an asset cannot be called with tables alone; None where it can."""
    return next(_reasons(node), None)


def _reasons(node: Any) -> Iterator[str]:
    """What stands in the way; what comes later stands on what comes before."""
    if not node.is_executable:
        yield "it is made elsewhere and only observed"
    assets: dg.AssetsDefinition = node.assets_def
    op: Any = assets.node_def
    function = _function(assets)
    if function is None or len(assets.keys) > 1:
        yield "it is not made by a plain @dg.asset of its own, with one function and one table"
    if node.partitions_def is not None:
        yield "it is computed partition by partition"
    if op.compute_fn.has_context_arg() or op.compute_fn.has_config_arg():
        yield "its function asks for a run's context or config"
    needed = {one.name for one in op.compute_fn.get_resource_args()} | set(op.required_resource_keys)
    if needed:
        yield f"it needs the resource {', '.join(sorted(needed))}, so that its inputs are not tables alone"
    if inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function):
        yield "its function does not return its rows"
    unread = sorted(set(assets.keys_by_input_name) - set(inspect.signature(function).parameters))
    if unread:
        yield f"it depends on {', '.join(unread)} without taking it as an argument, so that no commit says what it read there"
    if not assets.keys_by_input_name:
        yield "it reads no table: what it gives comes from elsewhere"


def _function(assets: dg.AssetsDefinition) -> Any:
    return getattr(getattr(assets.node_def, "compute_fn", None), "decorated_fn", None)


def _read(lake: Lake, version: TableVersion) -> pl.LazyFrame:
    """The rows of a version of a table of the lake, or of a declared source outside it."""
    if version.table in SOURCES:
        return SOURCES[version.table].read(version.version)
    return lake.read(version.table, version)


def _cut(metadata: Mapping[str, Any], frame: pl.LazyFrame, until: date | None) -> pl.LazyFrame:
    """The rows up to a day, of a table that has days and is not known ahead as a whole."""
    by, contract = metadata.get("partition_expr"), contract_of(metadata)
    if until is None or by is None or (contract is not None and set(known_ahead(contract)) == set(contract.column_names())):
        return frame
    return frame.filter(pl.col(str(getattr(by, "value", by))) <= until)


def _called(assets: dg.AssetsDefinition, lake: Lake, inputs: Mapping[str, TableVersion], frames: _Frames) -> pl.DataFrame:
    """What an asset's own function gives for its inputs, each in the form that its annotation asks."""
    given: dict[str, Any] = {}
    for name, key in assets.keys_by_input_name.items():
        up = table_name(key)
        wanted = assets.node_def.input_dict[name].dagster_type.typing_type
        whole = TableInput(inputs[up], frames[up], lake=lake)
        given[name] = whole if wanted is TableInput else frames[up].collect() if wanted is pl.DataFrame else frames[up]
    table, read = table_name(assets.key), ", ".join(str(inputs[one]) for one in _read_by(assets))
    try:
        return _rows(table, _function(assets)(**given))
    except LightkeeperError:
        raise
    except Exception as error:
        raise Refused(f"{table} cannot be computed again from {read}: its asset failed: {type(error).__name__}: {error}") from error


def _rows(table: str, made: Any) -> pl.DataFrame:
    """The rows of the whole table. Raises Refused when something else was given."""
    made = made.value if isinstance(made, dg.Output) else made
    output = TableOutput(made) if isinstance(made, pl.LazyFrame | pl.DataFrame) else made
    if not isinstance(output, TableOutput):
        raise Refused(f"{table} cannot be computed again outside a run: its asset gave a {type(made).__name__}, not rows.")
    if output.append or output.days is not None or output.files:
        what = "landed files" if output.files else "rows to append" if output.append else f"{len(output.days or ())} days"
        raise Refused(f"{table} cannot be computed again outside a run: its asset gave {what} instead of the whole table.")
    return output.frame.lazy().collect()


@dataclass(frozen=True, slots=True)
class Leak:
    """A feature that changes when the future does.

    Attributes:
        feature: the column.
        compared: rows in which it was compared.
        differ: rows of them in which it was another value, the future not being there.
        row: key and day of the first such row.
        whole: its value there as the table holds it.
        then: its value there as it would have been computed at the cut.
    """

    feature: str
    compared: int
    differ: int
    row: Mapping[str, object]
    whole: object
    then: object


def leaks(defs: dg.Definitions, lake: Lake, model: Model, at: TableVersion, cut: date) -> list[Leak]:
    """The features that are not known ahead, tested by values: none, if all is well.

    The model's table is computed again as if we stood at `cut`: from the versions that `at` was made from, their rows after
    the cut taken away; an input that the platform computes is itself computed again so, back to what landed. In the `horizon`
    days after the cut every feature must be what it is in `at`: nulls equal nulls, floats to 1e-9 relative. Rows that are in
    only one of the two are left aside. An input without a date column is left whole: what it leaks is not found.

    Raises:
        Refused: no row can be compared, nothing is known after the cut, the model has no horizon, the table's code is not
            that of `at`, or the table cannot be computed again outside a run.
    """
    if model.horizon is None:
        raise Refused(f"model {model.name} has no horizon: nothing of it need be known ahead.")
    if not _same_code(defs, lake, at):
        raise Refused(f"{at} was made by other code than is loaded here: materialize {at.table} first, and ask of that version.")
    ahead = pl.col(model.time).is_between(cut, cut + timedelta(model.horizon), closed="right")
    whole = lake.read(at.table, at).filter(ahead).collect()
    if whole[model.target].null_count() == whole.height:
        raise Refused(
            f"{at} knows no {model.target} in the {model.horizon} days after {cut}: choose a cut with known days after it."
        )
    then = _stood(defs, lake, at, cut)
    both = whole.join(conform(then, plan(at.table, then.schema, whole.schema)), on=model.row_key, suffix=_THEN)
    if both.is_empty():
        raise Refused(
            f"model {model.name}: none of the {whole.height} rows of {at} in the {model.horizon} days after {cut} is among those "
            f"computed again as of that day. Choose a cut after which {at.table} has rows for the days to come."
        )
    found = (_leak(model, both.sort(model.row_key), feature) for feature in model.features)
    return [one for one in found if one is not None]


def _leak(model: Model, both: pl.DataFrame, feature: str) -> Leak | None:
    a, b = pl.col(feature), pl.col(feature + _THEN)
    same = a.eq_missing(b)
    if both.schema[feature].is_float():
        near = (a - b).abs() <= _CLOSE * pl.max_horizontal(a.abs(), b.abs())
        same = same | near.fill_null(value=False)
    odd = both.filter(~same)
    if odd.is_empty():
        return None
    first = odd.row(0, named=True)
    key = {name: first[name] for name in model.row_key}
    return Leak(feature, both.height, odd.height, key, first[feature], first[feature + _THEN])


def _same_code(defs: dg.Definitions, lake: Lake, at: TableVersion) -> bool:
    """Whether the asset loaded here is of the code version that made `at`."""
    assets = _plain(defs, at.table)
    return lake.commit(at).code_version == code_version(assets, assets.key)


def _stood(defs: dg.Definitions, lake: Lake, at: TableVersion, cut: date) -> pl.DataFrame:
    """The table of a version as it would have been computed at a cut, from what it was computed from."""
    inputs = {one.version.table: one.version for one in lake.commit(at).inputs}
    assets = _plain(defs, at.table)
    _assert_given(assets, inputs)
    frames = {table: _stood_input(defs, lake, version, cut) for table, version in inputs.items()}
    return _called(assets, lake, inputs, frames)


def _stood_input(defs: dg.Definitions, lake: Lake, version: TableVersion, cut: date) -> pl.LazyFrame:
    """An input at a cut: computed again where its own code is loaded here, else its rows up to the cut."""
    node = _node(defs, version.table)
    if node is not None and _why_not(node) is None and _same_code(defs, lake, version):
        return _stood(defs, lake, version, cut).lazy()
    return _cut({} if node is None else node.metadata, _read(lake, version), cut)
