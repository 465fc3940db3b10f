"""Other people's data as assets: observed where it stands and pinned, or copied with what landed recorded."""

import hashlib
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest
from deltalake import write_deltalake

import lightkeeper as lk
from lightkeeper.orchestrate import io_manager

WEATHER = pl.DataFrame({"city": ["Hull", "York"], "rain_mm": [4.0, 1.0]})


@pytest.fixture
def lake(tmp_path: Path) -> Iterator[lk.Lake]:
    yield lk.Lake(tmp_path / "lake")
    io_manager._DECLARED.clear()


def run(lake: lk.Lake, *assets: Any, **words: Any) -> dg.ExecuteInProcessResult:
    return dg.materialize(list(assets), resources={"io_manager": lk.LakeIOManager(root=lake.root)}, raise_on_error=False, **words)


def why(result: dg.ExecuteInProcessResult) -> str:
    error = next(event for event in result.all_events if event.is_step_failure).step_failure_data.error
    assert error is not None
    return str((error.cause or error).message)


def weather(folder: Path, rain: float, mode: Any = "append") -> str:
    """Somebody else writes one more version of their table."""
    write_deltalake(folder / "weather", WEATHER.with_columns(rain_mm=pl.lit(rain)).to_arrow(), mode=mode)
    return str(folder / "weather")


def test_a_table_of_somebody_else_is_read_at_the_version_of_the_runs_start_while_they_go_on_writing(
    lake: lk.Lake, tmp_path: Path
) -> None:
    uri = weather(tmp_path, 1.0)

    @dg.asset
    def busy() -> pl.DataFrame:
        weather(tmp_path, 2.0)
        return WEATHER

    @dg.asset(deps=[busy])
    def wet(weather: pl.LazyFrame) -> pl.LazyFrame:
        return weather.group_by("city").agg(pl.col("rain_mm").sum())

    observed = lk.observed_table(lk.DeltaSource("weather", uri))
    assert run(lake, observed, busy, wet, selection=["busy", "wet"]).success
    assert set(lake.read("wet").collect()["rain_mm"]) == {1.0}
    assert run(lake, observed, wet, selection=["wet"]).success
    assert set(lake.read("wet").collect()["rain_mm"]) == {3.0}
    recorded = [made.record["inputs"] for made in lake.history("wet")]
    assert recorded == [[{"table": "weather", "version": n, "uri": uri}] for n in (1, 0)]
    assert lake.lineage("wet@0").nodes[0].uri == uri


def test_an_observation_tells_the_version_and_where_it_stands(tmp_path: Path) -> None:
    uri = weather(tmp_path, 1.0)
    weather(tmp_path, 2.0)
    observed = lk.observed_table(lk.DeltaSource("weather", uri), "Rain of the day.")
    defs = dg.Definitions([observed], jobs=[dg.define_asset_job("look", "weather")])
    (told,) = defs.resolve_job_def("look").execute_in_process().get_asset_observation_events()
    observation = told.asset_observation_data.asset_observation
    assert (observation.metadata["table version"].value, observation.metadata["dagster/uri"].value) == ("weather@1", uri)
    assert observation.tags["dagster/data_version"] == "1"
    assert next(iter(observed.specs)).description == "Rain of the day."


def test_a_source_that_is_gone_stops_the_assets_that_read_it_and_no_others(lake: lk.Lake, tmp_path: Path) -> None:
    @dg.asset
    def other() -> pl.DataFrame:
        return WEATHER

    @dg.asset
    def wet(weather: pl.LazyFrame) -> pl.LazyFrame:
        return weather

    observed = lk.observed_table(lk.DeltaSource("weather", str(tmp_path / "gone")))
    result = run(lake, observed, other, wet, selection=["other", "wet"])
    assert "source weather: " in why(result)
    assert "gone holds no Delta table. Mend the source and run it again" in why(result)
    assert lake.tables() == ["other"]


def test_a_folder_is_copied_with_the_sha256_of_each_file(lake: lk.Lake, tmp_path: Path) -> None:
    folder = tmp_path / "prices"
    folder.mkdir()
    WEATHER.write_parquet(folder / "b.parquet")
    WEATHER.head(1).write_parquet(folder / "a.parquet")
    copied = lk.copied_folder("prices", folder)
    assert run(lake, copied).success
    files = lake.commit("prices@0").sources
    assert {(one.name, one.sha256, one.rows) for one in files} == {
        (name, hashlib.sha256((folder / name).read_bytes()).hexdigest(), rows)
        for name, rows in (("a.parquet", 1), ("b.parquet", 2))
    }
    assert run(lake, copied).success
    assert len(lake.history("prices")) == 1


def test_a_folder_of_csv_is_copied_alike(lake: lk.Lake, tmp_path: Path) -> None:
    (tmp_path / "prices.csv").write_text("product,pence\nnut,3\n")
    assert run(lake, lk.copied_folder("prices", tmp_path, "*.csv")).success
    assert lake.read("prices").collect().rows() == [("nut", 3)]


def test_a_file_that_was_cut_is_refused_by_name_and_the_copy_stays_as_it_was(lake: lk.Lake, tmp_path: Path) -> None:
    folder = tmp_path / "prices"
    folder.mkdir()
    WEATHER.write_parquet(folder / "a.parquet")
    copied = lk.copied_folder("prices", folder)
    run(lake, copied)
    (folder / "b.parquet").write_bytes((folder / "a.parquet").read_bytes()[:200])
    said = why(run(lake, copied))
    assert "FileRefused: b.parquet: it cannot be parsed" in said
    assert len(lake.history("prices")) == 1


def test_a_query_is_copied_with_its_text_and_its_credentials_stand_in_no_definition(lake: lk.Lake, tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "shop.db") as shop:
        shop.execute("create table customers (name text, spent real)")
        shop.executemany("insert into customers values (?, ?)", [("Ada", 3.5), ("Bob", 7.0)])
    shop.close()
    asked: list[str] = []

    def connect() -> str:
        asked.append("now")
        return f"sqlite:///{tmp_path}/shop.db"

    query = "select name from customers where spent > 5"
    copied = lk.copied_query("customers", query, connect)
    assert asked == []
    assert run(lake, copied).success
    assert (lake.read("customers").collect().rows(), asked) == ([("Bob",)], ["now"])
    (landed,) = lake.commit("customers@0").sources
    assert (landed.name, landed.sha256, landed.rows) == (f"sql: {query}", hashlib.sha256(query.encode()).hexdigest(), 1)
    log = (Path(lake.root) / "customers" / "_delta_log" / f"{0:020d}.json").read_text()
    assert "sqlite:" not in json.dumps(log)


def test_a_query_that_fails_says_so_and_writes_nothing(lake: lk.Lake, tmp_path: Path) -> None:
    copied = lk.copied_query("customers", "select * from nowhere", lambda: f"sqlite:///{tmp_path}/shop.db")
    assert "the query 'select * from nowhere' failed" in why(run(lake, copied))
    assert lake.tables() == []
