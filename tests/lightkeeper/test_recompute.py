"""A table computed again from given versions: the same rows as the run's, or a sentence why not; and features that leak."""

from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import dataframely as dy
import polars as pl
import pytest

import lightkeeper as lk
from lightkeeper.orchestrate.recompute import (
    assert_known_ahead,
    contract_of,
    known_ahead_of,
    leaks,
    metadata_of,
    recomputed,
)

HORIZON, FIRST, DAYS = 7, date(2026, 3, 2), 60
CUT = FIRST + timedelta(40)
_KNOWN = {"known_ahead": True}


class Line(dy.Schema):
    day = dy.Date(primary_key=True)
    product = dy.String(primary_key=True)
    units = dy.Int64()


class Shut(dy.Schema):
    day = dy.Date(primary_key=True, metadata=_KNOWN)
    shut = dy.Bool(metadata=_KNOWN)


class Feature(dy.Schema):
    day = dy.Date(primary_key=True)
    product = dy.String(primary_key=True)
    units = dy.Int64(nullable=True)
    shut = dy.Bool(metadata=_KNOWN)
    ago = dy.Float64(nullable=True, metadata=_KNOWN)
    share = dy.Float64(nullable=True)


@dg.asset(metadata=lk.about(Line, by="day"))
def daily(lines: pl.LazyFrame) -> pl.LazyFrame:
    return lines.group_by("day", "product").agg(pl.col("units").sum())


def features(lag: int = HORIZON, scale: Callable[[pl.Expr], pl.Expr] = lambda x: x, ahead: int = HORIZON) -> dg.AssetsDefinition:
    """Units `lag` days ago, and a share that is scaled; of all days and of the days ahead."""

    @dg.asset(name="features", metadata=lk.about(Feature, by="day"), code_version=f"{lag}")
    def made(daily: lk.TableInput, shut: pl.DataFrame) -> lk.TableOutput:
        assert (daily.before, daily.changed) == (None, None)
        known = daily.frame.collect()
        days = pl.date_range(known["day"].min(), known["day"].max() + timedelta(ahead), eager=True).alias("day")
        rows = known.select("product").unique().join(days.to_frame(), how="cross").join(known, ["day", "product"], "left")
        ago = pl.col("units").shift(lag).over("product", order_by="day").cast(pl.Float64)
        made = rows.join(shut, "day", "left").with_columns(pl.col("shut").fill_null(value=False), ago.alias("ago"))
        share = scale(pl.col("ago")).alias("share")
        return lk.TableOutput(made.with_columns(share).select(Feature.column_names()))

    return made


MODEL = lk.Model(
    name="shop", table="features", keys=("product",), time="day", target="units", horizon=HORIZON, features=("shut", "ago")
)


@pytest.fixture
def lake(tmp_path: Path) -> lk.Lake:
    """Lines of two products on 60 days in which no two days are alike, and a calendar that goes on for a year."""
    made = lk.Lake(tmp_path / "lake")
    rows = [(FIRST + timedelta(n), p, 100 * n + k) for n in range(DAYS) for k, p in enumerate("ab") for _ in range(2)]
    made.write("lines", pl.DataFrame(rows, schema=["day", "product", "units"], orient="row"), by="day")
    days = [FIRST + timedelta(n) for n in range(365)]
    made.write("shut", pl.DataFrame({"day": days, "shut": [day.weekday() == 5 for day in days]}))
    return made


LANDED = (dg.AssetSpec("lines", metadata=lk.about(Line, by="day")), dg.AssetSpec("shut", metadata=lk.about(Shut, by="day")))


def project(lake: lk.Lake, *assets: Any, **resources: Any) -> dg.Definitions:
    return dg.Definitions([*LANDED, *assets], resources={"io_manager": lk.LakeIOManager(root=lake.root), **resources})


def built(lake: lk.Lake, *assets: Any) -> dg.Definitions:
    """The definitions, and every asset of them materialized."""
    resources = {"io_manager": lk.LakeIOManager(root=lake.root)}
    assert dg.materialize([*LANDED, *assets], resources=resources, selection=list(assets)).success
    return project(lake, *assets)


def inputs(lake: lk.Lake, *names: str) -> dict[str, lk.TableVersion]:
    return {name: lake.version(name) for name in names}


# ---- computed again


def test_a_table_computed_again_has_the_rows_that_its_run_wrote(lake: lk.Lake) -> None:
    defs = built(lake, daily, features())
    for table, of in (("daily", ["lines"]), ("features", ["daily", "shut"])):
        again = recomputed(defs, lake, table, inputs(lake, *of))
        assert again.sort("day", "product").equals(lake.read(table).sort("day", "product").collect())


def test_a_former_version_of_an_input_gives_the_former_rows(lake: lk.Lake) -> None:
    defs = built(lake, daily)
    before, first = recomputed(defs, lake, "daily", inputs(lake, "lines")), lake.version("lines")
    lake.write("lines", lake.read("lines").filter(pl.col("product") == "a"), by="day")
    assert set(recomputed(defs, lake, "daily", inputs(lake, "lines"))["product"]) == {"a"}
    assert recomputed(defs, lake, "daily", {"lines": first}).sort("day", "product").equals(before.sort("day", "product"))
    assert str(lake.version("daily")) == "daily@0"


def test_until_a_day_takes_the_later_rows_away_and_leaves_what_is_known_ahead_whole(lake: lk.Lake) -> None:
    defs = built(lake, daily, features())
    then = recomputed(defs, lake, "features", inputs(lake, "daily", "shut"), until=CUT)
    assert then["day"].max() == CUT + timedelta(HORIZON)
    assert then.filter(pl.col("units").is_not_null())["day"].max() == CUT
    saturdays = then.filter((pl.col("day") > CUT) & pl.col("shut"))["day"].unique().to_list()
    assert saturdays == [day for n in range(1, 8) if (day := CUT + timedelta(n)).weekday() == 5]


def test_an_input_without_a_version_is_asked_for(lake: lk.Lake) -> None:
    with pytest.raises(lk.Refused, match="features is computed from daily, shut: no version is given of shut"):
        recomputed(built(lake, daily, features()), lake, "features", inputs(lake, "daily"))


@dg.asset
def with_context(context: dg.AssetExecutionContext, lines: pl.LazyFrame) -> pl.LazyFrame:
    return lines.filter(context.run is not None)


@dg.asset
def with_resource(lines: pl.LazyFrame, scale: dg.ResourceParam[int]) -> pl.LazyFrame:
    return lines.head(scale)


@dg.asset(deps=["lines"])
def beside(shut: pl.LazyFrame) -> pl.LazyFrame:
    return shut


@dg.asset
def from_nowhere() -> pl.DataFrame:
    return pl.DataFrame({"x": [1]})


@dg.asset(partitions_def=dg.DailyPartitionsDefinition("2026-03-01"), metadata={"partition_expr": "day"})
def by_parts(lines: pl.LazyFrame) -> pl.LazyFrame:
    return lines


@dg.multi_asset(specs=[dg.AssetSpec("one", deps=["lines"]), dg.AssetSpec("two")])
def several() -> tuple[int, int]:
    return 1, 2


@dg.asset
def some_days(lines: pl.LazyFrame) -> lk.TableOutput:
    return lk.TableOutput(lines.filter(pl.col("day") == FIRST), days=frozenset({FIRST}))


@dg.asset
def added(lines: pl.LazyFrame) -> lk.TableOutput:
    return lk.TableOutput(lines, append=True)


@dg.asset
def no_rows(lines: pl.LazyFrame) -> int:
    return len(lines.collect())


@pytest.mark.parametrize(
    ("asset", "table", "why"),
    [
        (with_context, "with_context", "asks for a run's context or config"),
        (with_resource, "with_resource", "needs the resource scale"),
        (beside, "beside", "depends on lines without taking it as an argument"),
        (from_nowhere, "from_nowhere", "reads no table"),
        (by_parts, "by_parts", "computed partition by partition"),
        (several, "one", "not made by a plain @dg.asset"),
        (some_days, "some_days", "gave 1 days instead of the whole table"),
        (added, "added", "gave rows to append instead of the whole table"),
        (no_rows, "no_rows", "gave a int, not rows"),
        (daily, "lines", "made elsewhere and only observed"),
        (daily, "lamps", "no asset here makes it"),
    ],
)
def test_what_cannot_be_computed_from_versions_alone_is_refused_with_its_reason(
    lake: lk.Lake, asset: Any, table: str, why: str
) -> None:
    defs = project(lake, asset, scale=dg.ResourceDefinition.hardcoded_resource(3))
    with pytest.raises(lk.Refused, match=f"{table} cannot be computed again outside a run: .*{why}"):
        recomputed(defs, lake, table, inputs(lake, "lines", "shut"))


# ---- leaks


@pytest.mark.parametrize("lag", [0, 1, HORIZON - 1, HORIZON, HORIZON + 1, 3 * HORIZON])
def test_a_lag_leaks_exactly_when_it_is_shorter_than_the_horizon(lake: lk.Lake, lag: int) -> None:
    defs = built(lake, daily, features(lag))
    found = leaks(defs, lake, MODEL, lake.version("features"), CUT)
    assert [one.feature for one in found] == (["ago"] if lag < HORIZON else [])
    assert [(one.compared, one.differ) for one in found] == ([(2 * HORIZON, 2 * (HORIZON - lag))] if lag < HORIZON else [])


def test_a_leak_is_shown_by_its_first_row_with_both_values(lake: lk.Lake) -> None:
    defs = built(lake, daily, features(2))
    (found,) = leaks(defs, lake, MODEL, lake.version("features"), CUT)
    assert found.row == {"day": CUT + timedelta(3), "product": "a"}
    assert (found.whole, found.then) == (2 * 100.0 * (CUT - FIRST + timedelta(1)).days, None)


@pytest.mark.parametrize(("factor", "leak"), [(1 + 1e-12, False), (1 + 1e-6, True)])
def test_a_float_that_differs_in_its_last_digits_alone_is_no_leak(lake: lk.Lake, factor: float, *, leak: bool) -> None:
    """The whole table's maximum is that of the last day, the cut table's of the cut."""
    late = pl.col("day").max() > CUT + timedelta(HORIZON)
    defs = built(lake, daily, features(scale=lambda x: x * pl.when(late).then(factor).otherwise(1.0)))
    model = lk.Model(name="m", table="features", keys=("product",), time="day", target="units", horizon=7, features=("share",))
    assert bool(leaks(defs, lake, model, lake.version("features"), CUT)) is leak


def test_a_leak_in_a_table_further_up_is_found_as_well(lake: lk.Lake) -> None:
    @dg.asset(name="daily", metadata=lk.about(Line, by="day"))
    def centred(lines: pl.LazyFrame) -> pl.LazyFrame:
        total = lines.group_by("day", "product").agg(pl.col("units").sum())
        return total.with_columns(pl.col("units") - pl.col("units").max())

    defs = built(lake, centred, features())
    assert [one.feature for one in leaks(defs, lake, MODEL, lake.version("features"), CUT)] == ["ago"]


@pytest.mark.parametrize(
    ("cut", "ahead", "why"),
    [
        (FIRST + timedelta(DAYS - 1), HORIZON, "knows no units in the 7 days after"),
        (CUT, 0, "none of the 14 rows of features@0 in the 7 days after"),
        (FIRST - timedelta(3), HORIZON, "features cannot be computed again from daily@0, shut@0: its asset failed: TypeError"),
    ],
)
def test_a_cut_that_compares_nothing_is_refused(lake: lk.Lake, cut: date, ahead: int, why: str) -> None:
    defs = built(lake, daily, features(ahead=ahead))
    with pytest.raises(lk.Refused, match=why):
        leaks(defs, lake, MODEL, lake.version("features"), cut)


def test_a_version_of_other_code_and_a_model_without_a_horizon_are_not_asked_for_leaks(lake: lk.Lake) -> None:
    built(lake, daily, features(7))
    at = lake.version("features")
    with pytest.raises(lk.Refused, match="features@0 was made by other code than is loaded here"):
        leaks(project(lake, daily, features(8)), lake, MODEL, at, CUT)
    row = lk.Model(name="m", table="features", keys=("product",), time="day", target="units", features=("ago",), horizon=None)
    with pytest.raises(lk.Refused, match="model m has no horizon"):
        leaks(project(lake, daily, features(7)), lake, row, at, CUT)


# ---- declared


def test_the_contract_of_a_table_is_found_from_the_definitions(lake: lk.Lake) -> None:
    defs = project(lake, daily, features())
    assert contract_of(metadata_of(defs, "features")) is Feature
    assert known_ahead_of(metadata_of(defs, "features")) == {"shut", "ago"}
    assert metadata_of(defs, "lamps") == {}


def test_a_contract_that_cannot_be_imported_is_none() -> None:
    class Local(dy.Schema):
        x = dy.Int64()

    named = ["no_such_module:X", "pathlib:Path", "pathlib:Nothing", "pathlib", ""]
    found = [lk.about(Local), {}, *({"contract": name} for name in named)]
    assert [contract_of(metadata) for metadata in found] == [None] * len(found)
    assert known_ahead_of({}) is None


def test_a_feature_that_is_not_declared_known_ahead_is_named_with_its_mend() -> None:
    model = lk.Model(
        name="shop", table="features", keys=("product",), time="day", target="units", horizon=7, features=("ago", "share")
    )
    said = (
        "model shop: feature share is not declared known_ahead in Feature, the contract of features: write "
        'metadata={"known_ahead": True} on its column if it is known 7 days ahead, else leave it out.'
    )
    with pytest.raises(lk.BadDeclaration) as error:
        assert_known_ahead(model, lk.about(Feature))
    assert str(error.value) == said
    assert_known_ahead(MODEL, lk.about(Feature))


def test_a_model_without_a_horizon_and_a_table_without_a_contract_are_not_asked() -> None:
    row = lk.Model(name="m", table="features", keys=("product",), time="day", target="units", features=("share",), horizon=None)
    assert_known_ahead(row, lk.about(Feature))
    assert_known_ahead(MODEL, {})
