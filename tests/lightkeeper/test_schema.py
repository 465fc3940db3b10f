"""Every type that Polars has is kept exactly, mapped without loss, or refused by name with what to do."""

from __future__ import annotations

import inspect
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightkeeper.errors import LightkeeperError, SchemaChanged, TypeRefused
from lightkeeper.lake.schema import conform, delta_schema, frame_schema, plan, stored_type
from lightkeeper.lake.table import Lake

MOMENT = datetime(2026, 7, 1, 12, 30, 15, 123456)  # noqa: DTZ001 - naive is one of the types
KEPT = {
    "Int8": pl.Series([1, -128, None], dtype=pl.Int8), "Int16": pl.Series([1, None], dtype=pl.Int16),
    "Int32": pl.Series([1, None], dtype=pl.Int32), "Int64": pl.Series([2**63 - 1, -(2**63), None]),
    "Float32": pl.Series([0.1, None], dtype=pl.Float32), "Float64": pl.Series([0.1, float("nan"), float("inf"), None]),
    "Boolean": pl.Series([True, None]), "String": pl.Series(["", "a\0ü🕯", None]), "Binary": pl.Series([b"", b"\xff\0", None]),
    "Date": pl.Series([date(1, 1, 1), date(9999, 12, 31), None]), "Decimal": pl.Series([Decimal("1.50"), None]),
    "Datetime": pl.Series([MOMENT, None]), "List": pl.Series([[1, None], [], None]),
    "Struct": pl.Series([{"a": 1, "b": [{"c": "x"}]}, None]),
}  # fmt: skip
MAPPED = {
    "UInt8": (pl.Series([255, None], dtype=pl.UInt8), pl.Int16), "UInt16": (pl.Series([65535], dtype=pl.UInt16), pl.Int32),
    "UInt32": (pl.Series([2**32 - 1], dtype=pl.UInt32), pl.Int64),
    "UInt64": (pl.Series([2**63 - 1, None], dtype=pl.UInt64), pl.Int64),
    "Categorical": (pl.Series(["a", None], dtype=pl.Categorical), pl.String),
    "Enum": (pl.Series(["a", None], dtype=pl.Enum(["a"])), pl.String),
}  # fmt: skip
REFUSED = {
    "Null": pl.Series([None, None]), "Time": pl.Series([time(1)]), "Duration": pl.Series([timedelta(1)]),
    "Object": pl.Series([object()], dtype=pl.Object), "Array": pl.Series([[1, 2]], dtype=pl.Array(pl.Int64, 2)),
    "Int128": pl.Series([1], dtype=pl.Int128), "UInt128": pl.Series([1], dtype=pl.UInt128),
    "Float16": pl.Series([1.0], dtype=pl.Float32).cast(pl.Float16), "empty struct": pl.Series([{}], dtype=pl.Struct([])),
    "list of times": pl.Series([[time(1)]]), "struct of durations": pl.Series([{"d": timedelta(1)}]),
    "list of nulls": pl.Series([[None]]), "list of arrays": pl.Series([[[1, 2]]], dtype=pl.List(pl.Array(pl.Int64, 2))),
}  # fmt: skip
ABSTRACT = {
    "DataType", "BaseExtension", "Extension", "FloatType", "IntegerType", "TemporalType", "Utf8", "Unknown", "Map",
}  # fmt: skip


def written(tmp_path: Path, values: pl.Series) -> pl.Series:
    lake = Lake(tmp_path)
    lake.write("t", values.alias("c").to_frame())
    return lake.read("t").collect()["c"]


def test_no_type_of_polars_is_without_an_answer() -> None:
    kinds = vars(pl.datatypes).items()
    names = {name for name, kind in kinds if inspect.isclass(kind) and issubclass(kind, pl.DataType)}
    assert names - ABSTRACT - set(KEPT) - set(MAPPED) == set(REFUSED) & names
    for name in ("Unknown", "Utf8"):
        assert name in ABSTRACT
    with pytest.raises(TypeRefused, match="'c' is Unknown"):
        stored_type("c", pl.Unknown())


@pytest.mark.parametrize("name", KEPT)
def test_a_type_that_delta_keeps_comes_back_as_it_was(tmp_path: Path, name: str) -> None:
    assert written(tmp_path, KEPT[name]).equals(KEPT[name], check_dtypes=True, null_equal=True)


@pytest.mark.parametrize("name", MAPPED)
def test_a_type_that_delta_spoils_is_mapped_to_one_that_holds_its_values(tmp_path: Path, name: str) -> None:
    values, stored = MAPPED[name]
    found = written(tmp_path, values)
    assert (found.dtype, found.to_list()) == (stored, values.to_list())


@pytest.mark.parametrize("name", REFUSED)
def test_a_type_that_delta_cannot_hold_is_refused_by_name_with_what_to_do(tmp_path: Path, name: str) -> None:
    with pytest.raises(TypeRefused, match=r"column 'c(\.d)?' is .*: (store|give|cast)"):
        written(tmp_path, REFUSED[name])
    assert not (tmp_path / "t").exists()


@pytest.mark.parametrize(
    "values",
    [
        pl.Series([2**63], dtype=pl.UInt64),
        pl.Series([[2**63]], dtype=pl.List(pl.UInt64)),
        pl.Series([{"a": 2**63}], dtype=pl.Struct({"a": pl.UInt64})),
        pl.Series([1_001], dtype=pl.Int64).cast(pl.Datetime("ns")),
        pl.Series([[1_001]]).cast(pl.List(pl.Datetime("ns"))),
        pl.Series([{"a": 1}]).cast(pl.Struct({"a": pl.Datetime("ns")})),
        pl.Series([2**62], dtype=pl.Int64).cast(pl.Datetime("ms")),
    ],
    ids=["UInt64", "list", "struct", "ns", "list of ns", "struct of ns", "ms"],
)
def test_a_value_that_would_be_changed_is_refused_and_nothing_is_written(tmp_path: Path, values: pl.Series) -> None:
    with pytest.raises(TypeRefused, match="'c'"):
        written(tmp_path, values)
    assert not list(tmp_path.glob("t/*.parquet"))


def test_times_keep_their_instant_whatever_their_unit_and_zone(tmp_path: Path) -> None:
    london = pl.Series([datetime(2026, 7, 1, 12, tzinfo=ZoneInfo("Europe/London")), None])
    found = written(tmp_path / "a", london)
    assert found.dtype == pl.Datetime("us", "UTC")
    assert found.to_list() == [datetime(2026, 7, 1, 11, tzinfo=UTC), None]
    moment = MOMENT.replace(microsecond=123000)
    for unit in ("ns", "ms"):
        values = pl.Series([moment]).dt.cast_time_unit(unit)  # type: ignore[arg-type]
        assert written(tmp_path / unit, values).to_list() == [moment]


def test_a_column_of_nulls_fits_any_column_of_an_existing_table(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    lake.write("t", pl.DataFrame({"a": [1], "b": [[1]]}))
    lake.append("t", pl.DataFrame({"a": [None], "b": [None]}))
    assert lake.read("t").collect().schema == {"a": pl.Int64, "b": pl.List(pl.Int64)}


def test_every_difference_is_named_at_once_and_nothing_is_written(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    lake.write("t", pl.DataFrame({"a": [1], "b": ["x"], "c": [1.5]}))
    with pytest.raises(SchemaChanged) as refused:
        lake.append("t", pl.DataFrame({"a": [1.9], "b": [7], "d": [1]}))
    for part in ("'c' is missing", "'d' is new", "'a' is Float64, the table holds Int64", "'b' is Int64, the table holds String"):
        assert part in str(refused.value)
    assert "lightkeeper table migrate t" in str(refused.value)
    assert (lake.version("t").version, len(list(tmp_path.glob("t/*.parquet")))) == (0, 1)


@pytest.mark.parametrize(
    ("held", "given"),
    [
        (pl.Int64(), pl.Float64()), (pl.Int64(), pl.String()), (pl.Int32(), pl.Int64()), (pl.Float32(), pl.Float64()),
        (pl.Float64(), pl.Int64()), (pl.Float32(), pl.Int32()), (pl.Date(), pl.Datetime("us")), (pl.Datetime("us"), pl.Date()),
        (pl.Datetime("us"), pl.Datetime("us", "UTC")), (pl.Datetime("us", "UTC"), pl.Datetime("us")),
        (pl.Boolean(), pl.Int8()), (pl.Decimal(10, 2), pl.Decimal(12, 2)), (pl.Decimal(10, 2), pl.Float64()),
        (pl.List(pl.Int64()), pl.List(pl.Int32())), (pl.Struct({"a": pl.Int64()}), pl.Struct({"b": pl.Int64()})),
        (pl.String(), pl.Binary()),
    ],
    ids=str,
)  # fmt: skip
def test_a_cast_that_may_lose_is_refused(held: Any, given: Any) -> None:
    with pytest.raises(SchemaChanged, match="'c' is"):
        plan("t", {"c": given}, {"c": held})


@pytest.mark.parametrize(
    ("held", "given"),
    [
        (pl.Int64(), pl.Int8()), (pl.Int64(), pl.UInt32()), (pl.Float64(), pl.Int32()), (pl.Float64(), pl.Float32()),
        (pl.String(), pl.Categorical()),
    ],
    ids=str,
)  # fmt: skip
def test_a_narrower_type_is_widened_to_the_tables(held: Any, given: Any) -> None:
    assert plan("t", {"c": given}, {"c": held}) == {"c": held}


def test_columns_come_in_the_tables_order(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    lake.write("t", pl.DataFrame({"a": [1], "b": ["x"]}))
    lake.append("t", pl.DataFrame({"b": ["y"], "a": [2]}))
    assert sorted(lake.read("t").collect().rows()) == [(1, "x"), (2, "y")]


@pytest.mark.parametrize("columns", [{"a": 1, "A": 2}, {"": 1}, {"s": {"x": 1, "X": 2}}], ids=str)
def test_names_that_delta_would_mix_up_are_refused(tmp_path: Path, columns: dict[str, Any]) -> None:
    with pytest.raises(SchemaChanged, match="rename"):
        Lake(tmp_path).write("t", pl.DataFrame([columns]))


@given(st.lists(st.one_of(st.integers(-(2**63), 2**63 - 1), st.integers(-(2**50), 2**50).map(lambda n: n * 1000)), min_size=1))
def test_nanoseconds_are_kept_to_the_microsecond_or_refused(numbers: list[int]) -> None:
    frame = pl.DataFrame({"c": pl.Series(numbers, dtype=pl.Int64).cast(pl.Datetime("ns"))})
    try:
        kept = conform(frame, {"c": pl.Datetime("us")})
    except LightkeeperError:
        assert any(number % 1000 for number in numbers)
    else:
        assert [number * 1000 for number in kept["c"].to_physical()] == numbers


def test_a_schema_survives_the_way_to_delta_and_back() -> None:
    schema = {name: stored_type(name, values.dtype) for name, values in KEPT.items()}
    assert frame_schema(delta_schema(schema)) == schema
