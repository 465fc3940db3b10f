"""Each scenario in short form through Dagster: a quiet history, then the days that something happens to, landed and checked."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import dagster as dg
import polars as pl
import pytest

import lightkeeper as lk
from assets import LANDINGS, MODELS, TABLES
from assets.sales import holidays
from assets.scenario_weeks import PRODUCTS, real_weeks
from assets.scenarios import SCENARIOS, scenarios
from lightkeeper.alerts.kept import standing
from lightkeeper.lake.suspects import suspects
from lightkeeper.lake.table import Lake
from lightkeeper.lake.verdicts import states, verdicts
from lightkeeper.models.decisions import decisions
from lightkeeper.orchestrate import checks as checks_module
from lightkeeper.orchestrate.replay import Moment, begin, play, settle
from lightkeeper.orchestrate.running import DAGSTER_YAML, checked, landed, materialize
from lightkeeper.orchestrate.scenario import Script, Settings
from lightkeeper.orchestrate.sensing import SENSED, Senses

ROOT = Path(__file__).resolve().parents[2]
SEED = 7  # never one that tuned anything
NAMED = {one.name: one for one in SCENARIOS}
FEW = 12  # products: enough for every check, few enough for whole days in two seconds


def defs_of(home: lk.Home, extra: list[dg.AssetsDefinition] | None = None) -> dg.Definitions:
    return lk.project(home.root, landings=LANDINGS, assets=[holidays, *(extra or [])], home=home)


def instance_of(home: lk.Home) -> dg.DagsterInstance:
    home.dagster.mkdir(parents=True, exist_ok=True)
    (home.dagster / "dagster.yaml").write_text(DAGSTER_YAML)
    return dg.DagsterInstance.from_config(str(home.dagster))


def script_of(name: str, days: int, magnitude: float | None = None) -> Script:
    return NAMED[name].script(Settings(seed=SEED, after_days=days, magnitude=magnitude))


@pytest.fixture(scope="module")
def settled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in which 26 quiet weeks have landed: every scenario of the seed begins so."""
    home = lk.Home(tmp_path_factory.mktemp("quiet") / "home")
    script = script_of("quiet", 14)
    begin(home, "quiet", script)
    settle(defs_of(home), instance_of(home), script, only=[dg.AssetKey("holidays")])
    return home.root


@pytest.fixture
def played(settled: Path, tmp_path: Path):  # noqa: ANN201 - a function
    """Plays some days of a scenario on a copy of the quiet home; gives the home and what was noticed day by day."""

    def run(name: str, days: int = 9, magnitude: float | None = None) -> tuple[lk.Home, list[Moment]]:
        home = lk.Home(shutil.copytree(settled, tmp_path / name))
        script = script_of(name, days, magnitude)
        return home, list(play(defs_of(home), instance_of(home), home, script, only=[]))

    return run


@pytest.fixture
def landed_at_once(settled: Path, tmp_path: Path):  # noqa: ANN201 - a function
    """Lands some days of a scenario in one run on a copy of the quiet home; gives the home and the bad verdicts, day by day."""

    def run(name: str, days: int = 9, magnitude: float | None = None) -> tuple[lk.Home, pl.DataFrame]:
        home = lk.Home(shutil.copytree(settled, tmp_path / name))
        script = script_of(name, days, magnitude)
        later = [one for one in script.days if one.day >= script.turns]
        for one in later:
            for path, content in one.files.items():
                (home.landing / path).write_bytes(content)
        with home.landing_lock():
            home.move_clock(datetime.combine(later[-1].day, time(2), UTC) + timedelta(1))
        defs = defs_of(home)
        run_id = materialize(defs, instance_of(home), landed(defs), (later[0].day, later[-1].day)).run_id
        rows = verdicts(Lake(home.lake)).rows().filter(pl.col("run_id") == run_id)
        return home, rows.filter(pl.col("state").is_in(["failed", "drifted"]))

    return run


def seen(moments: list[Moment]) -> pl.DataFrame:
    return pl.concat([one.noticed for one in moments])


def test_quiet_days_raise_nothing(landed_at_once) -> None:  # noqa: ANN001
    home, found = landed_at_once("quiet", 12)
    assert found.is_empty()
    held = states(Lake(home.lake)).rows().filter(pl.col("asset") == "sales")
    judged = held.filter(pl.col("check").is_in(["contract", "volume", "nulls", "categories", "range", "duplicates", "drift"]))
    assert judged.height == 7
    assert set(judged["state"]) == {"passed"}
    kept = verdicts(Lake(home.lake)).rows(pl.col("asset") == "sales")
    beside = dict(kept.group_by("check").agg(pl.col("reference_version").is_not_null().any()).iter_rows())
    assert {check for check, is_beside in beside.items() if not is_beside} >= {"contract", "freshness"}
    assert beside["drift"]


def test_a_gauge_off_by_seven_percent_is_called_an_instrument(landed_at_once) -> None:  # noqa: ANN001
    _, found = landed_at_once("calibration", 9)
    assert set(found["column"]) == {"price_gbp"}
    assert set(found["kind"]) == {"instrument"}
    assert "1.070 x" in found["why"][-1]


def test_another_mix_of_countries_is_called_a_population(landed_at_once) -> None:  # noqa: ANN001
    _, found = landed_at_once("population", 7)
    found = found.filter(pl.col("check") == "drift")
    assert set(found["column"]) == {"country"}
    assert set(found["kind"]) == {"population"}


def test_a_fall_of_trade_is_seen_within_two_days_of_the_third(landed_at_once) -> None:  # noqa: ANN001
    _, found = landed_at_once("lockdown", 8)
    fallen = found.filter(pl.col("check") == "volume")["day"].min()
    assert fallen <= date(2025, 7, 11)  # the fifth


def test_a_product_that_sells_three_times_as_much_is_named_within_four_days(landed_at_once) -> None:  # noqa: ANN001
    _, found = landed_at_once("campaign", 6)
    assert found.select("check", "column").unique().rows() == [("members", "stock_code")]
    assert found["day"].min() <= date(2025, 7, 10)  # the fourth
    product = real_weeks(PRODUCTS).steadiest
    assert all(f": stock_code {product} has " in why for why in found["why"])


def test_the_yearly_course_of_trade_stops_no_run_and_makes_no_day_look_broken(tmp_path: Path) -> None:
    (season,) = [one for one in scenarios(FEW) if one.name == "season"]
    home, script = lk.Home(tmp_path / "season"), season.script(Settings(seed=SEED, after_days=2))
    begin(home, "season", script)
    defs, instance = lk.project(home.root, landings=LANDINGS, assets=TABLES, models=MODELS, home=home), instance_of(home)
    settle(defs, instance, script)
    lake = Lake(home.lake, clock=home.now)
    before = decisions(lake)
    explanations = frozenset(dg.AssetKey(model.explanation_table) for model in MODELS)
    moments = list(play(defs, instance, home, script, senses=Senses(defs, instance, SENSED, explanations)))
    assert [one.day for one in moments] == [date(2025, 7, 7), date(2025, 7, 8)]
    assert all(run.is_success for run in instance.get_runs())
    assert suspects(lake).is_empty()
    assert decisions(lake).equals(before)
    sold = verdicts(lake).rows().filter(pl.col("asset") == "sales", pl.col("day") >= script.turns)
    whole = sold.filter(pl.col("check").is_in(["contract", "volume", "nulls", "duplicates", "members", "drift"]))
    assert whole["day"].n_unique() == len(moments)
    assert set(whole["state"]) == {"passed"}
    newest = lake.read("demand_forecast").select(pl.col("origin").max()).collect().item()
    assert newest == moments[-1].day


@pytest.mark.parametrize(("name", "days"), [("late", 3), ("missing", 3)])
def test_a_file_that_does_not_come_is_called_an_arrival_before_anything_else(played, name: str, days: int) -> None:  # noqa: ANN001
    _, moments = played(name, days)
    first = next(one for one in moments if one.noticed.height)
    assert first.day is None
    assert first.noticed.select("check", "kind").unique().rows() == [("freshness", "arrival")]
    assert "Monday" in first.noticed["why"][0]


def test_lines_that_are_sent_again_are_counted_against_the_contract(landed_at_once) -> None:  # noqa: ANN001
    _, found = landed_at_once("duplicates", 1)
    assert found.filter(pl.col("check") == "contract")["column"].to_list() == ["not_a_repeated_line"]


def test_a_corrupt_day_is_seen_on_the_day(landed_at_once) -> None:  # noqa: ANN001
    _, found = landed_at_once("poison", 1)
    assert set(found.filter(pl.col("check") == "range")["column"]) == {"quantity", "price_gbp"}
    assert found.filter(pl.col("check") == "categories")["column"].to_list() == ["country"]


def test_a_lasting_change_of_the_pieces_is_drift_of_the_pieces(landed_at_once) -> None:  # noqa: ANN001
    _, found = landed_at_once("new-normal", 8)
    found = found.filter(pl.col("check") == "drift")
    assert set(found["column"]) == {"quantity"}


def test_noise_in_place_of_pieces_that_stays_below_the_limit_is_told_with_what_would_have_been_seen(landed_at_once) -> None:  # noqa: ANN001
    home, _ = landed_at_once("hopeless", 8)
    rows = (
        verdicts(Lake(home.lake))
        .rows()
        .filter(pl.col("check") == "drift", pl.col("column") == "quantity", pl.col("segment").is_null())
    )
    assert rows["measured"][-1] > 0.1
    assert rows["limit"][-1] > rows["measured"][-1]
    assert "would have been seen" in rows["why"][-1]


@pytest.mark.nightly  # real seconds of a real step: a machine under load may have a wide norm
def test_a_step_that_takes_ever_longer_leaves_its_norm(settled: Path, tmp_path: Path) -> None:
    home = lk.Home(shutil.copytree(settled, tmp_path / "slow"))
    script = script_of("slow", 19)
    make = NAMED["slow"].tables
    assert make is not None
    defs, instance = defs_of(home, list(make(script))), instance_of(home)
    noticed = [
        one.noticed.filter(pl.col("asset") == "basket_pairs")
        for one in play(defs, instance, home, script, [dg.AssetKey("basket_pairs")])
    ]
    first = next(number for number, one in enumerate(noticed) if one.height)
    assert first > 9
    assert "run_time" in noticed[first]["check"]


def test_a_check_without_a_run_of_its_table_looks_at_what_is_there(settled: Path, tmp_path: Path) -> None:
    home = lk.Home(shutil.copytree(settled, tmp_path / "again"))
    defs, instance = defs_of(home), instance_of(home)
    keys = [
        key
        for key in defs.resolve_asset_graph().asset_check_keys
        if key.asset_key == dg.AssetKey("sales") and key.name != "every_file_was_read"
    ]
    run = checked(defs, instance, keys)
    rows = verdicts(Lake(home.lake)).rows().filter(pl.col("run_id") == run)
    assert {"volume", "drift", "freshness"} <= set(rows["check"])
    assert instance.get_run_by_id(run).is_success  # type: ignore[union-attr]


def test_a_table_that_is_overdue_is_looked_at_by_the_sensor_and_told_to_be_late(settled: Path, tmp_path: Path) -> None:
    home = lk.Home(shutil.copytree(settled, tmp_path / "overdue"))
    lake = Lake(home.lake, clock=home.now)
    senses = Senses(defs_of(home), instance_of(home), ["freshness"])
    assert list(senses.settle()) == []
    with home.landing_lock():
        home.move_clock(home.now() + timedelta(days=3))
    (run,) = senses.settle()
    assert run.key.startswith("freshness:sales:")
    assert run.failed is None
    row = states(lake).rows((pl.col("asset") == "sales") & (pl.col("check") == "freshness")).row(0, named=True)
    assert row["state"] == "failed"
    assert standing(lake).select("cause", "asset").rows() == [("freshness", "sales")]


def test_a_day_of_which_every_line_breaks_the_contract_fails_though_none_landed(settled: Path, tmp_path: Path) -> None:
    home = lk.Home(shutil.copytree(settled, tmp_path / "lost"))
    lake, defs, instance = Lake(home.lake, clock=home.now), defs_of(home), instance_of(home)
    script = script_of("quiet", 14)
    first, second = [one for one in script.days if one.day >= script.turns][:2]
    ((name, good),) = first.files.items()
    dear = pl.read_csv(good, infer_schema=False).with_columns(price_gbp=pl.lit("-1.0")).write_csv().encode()

    def land(day: date, name: str, content: bytes) -> dict[date, str]:
        (home.landing / name).write_bytes(content)
        with home.landing_lock():
            home.move_clock(max(home.now() + timedelta(minutes=1), datetime.combine(day, time(2), UTC) + timedelta(1)))
        run = materialize(defs, instance, landed(defs), (day, day)).run_id
        rows = verdicts(lake).rows((pl.col("run_id") == run) & (pl.col("check") == "contract") & (pl.col("asset") == "sales"))
        return dict(rows.select("day", "state").iter_rows())

    assert land(first.day, name, dear)[first.day] == "failed"
    assert suspects(lake)["day"].to_list() == [first.day]
    key = dg.AssetCheckKey(dg.AssetKey("sales"), "contract")
    shown = instance.event_log_storage.get_latest_asset_check_execution_by_key([key])[key].event.asset_check_evaluation
    assert not shown.passed
    assert "none of them landed" in shown.description
    assert land(second.day, *next(iter(second.files.items()))) == {second.day: "passed"}  # told once
    assert land(first.day, name, good) == {first.day: "passed", second.day: "passed"}
    assert suspects(lake).is_empty()
    assert land(first.day, name, dear)[first.day] == "failed"  # a day that was good, and older than the newest
    assert suspects(lake)["day"].to_list() == [first.day]


def test_a_look_at_lateness_whose_run_fails_is_asked_for_three_times(
    settled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = lk.Home(shutil.copytree(settled, tmp_path / "failing"))
    senses = Senses(defs_of(home), instance_of(home), ["freshness"])
    with home.landing_lock():
        home.move_clock(home.now() + timedelta(days=3))

    def failing(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(checks_module, "_keep", failing)
    asked = list(senses.settle())
    assert [one.failed is not None for one in asked] == [True] * 3
    assert len({one.key for one in asked}) == 3


def test_what_dagster_shows_of_a_drift_is_its_sentence_its_numbers_and_a_picture(landed_at_once) -> None:  # noqa: ANN001
    home, _ = landed_at_once("population", 7)
    key = dg.AssetCheckKey(dg.AssetKey("sales"), "drift")
    record = instance_of(home).event_log_storage.get_latest_asset_check_execution_by_key([key])[key]
    drift = record.event.asset_check_evaluation
    assert not drift.passed
    assert drift.severity == dg.AssetCheckSeverity.WARN
    assert "mix of country" in str(drift.description)
    shown = {name: value.value for name, value in drift.metadata.items()}
    assert {"measured", "limit", "n", "picture", "columns", "kind", "reference"} <= set(shown)
    assert str(shown["picture"]).startswith("![country")
    assert len(str(shown["picture"])) < 1000


def test_a_verdict_on_an_older_version_does_not_move_the_state(landed_at_once) -> None:  # noqa: ANN001
    from lightkeeper.lake.verdicts import Judged, record
    from lightkeeper.values import TableVersion, Verdict

    home, _ = landed_at_once("quiet", 1)
    lake = Lake(home.lake, clock=home.now)
    before = states(lake).rows().filter(pl.col("asset") == "sales", pl.col("check") == "volume")
    record(lake, [Judged(TableVersion("sales", 0), date(2025, 7, 7), verdicts=(Verdict("volume", "failed", "replaced."),))])
    after = states(lake).rows().filter(pl.col("asset") == "sales", pl.col("check") == "volume")
    assert before.equals(after)
    assert verdicts(lake).rows()["why"][-1] == "replaced."


def lightkeeper(*words: str) -> subprocess.CompletedProcess[str]:
    environ = {name: value for name, value in os.environ.items() if name not in {"LIGHTKEEPER_HOME", "DAGSTER_HOME"}}
    command = str(Path(sys.executable).parent / "lightkeeper")
    return subprocess.run(
        [command, *words], cwd=ROOT, env={**environ, "COLUMNS": "80"}, capture_output=True, text=True, check=False
    )


def test_the_command_looks_says_what_drifted_and_ends_with_1(landed_at_once) -> None:  # noqa: ANN001
    home, _ = landed_at_once("calibration", 7)
    done = lightkeeper("check", "run", "sales", "--home", str(home.root))
    assert done.returncode == 1, done.stderr
    assert "drifted sales drift on 2025-07-13" in done.stdout
    assert "looks like: instrument" in done.stdout
    assert max(len(line) for line in done.stdout.splitlines()) <= 80


def test_the_command_ends_with_0_where_all_is_quiet_and_tells_what_was_found_before(landed_at_once) -> None:  # noqa: ANN001
    home, _ = landed_at_once("quiet", 3)
    assert lightkeeper("check", "run", "sales", "--home", str(home.root), "--explain").returncode == 0
    found = json.loads(lightkeeper("check", "history", "sales", "--home", str(home.root), "--json").stdout)
    assert {"volume", "drift", "freshness"} <= {one["check"] for one in found["verdicts"]}
    assert all(one["why"] for one in found["verdicts"])


def test_a_name_that_nothing_has_is_refused_with_the_nearest(settled: Path) -> None:
    done = lightkeeper("check", "history", "sale", "--home", str(settled))
    assert done.returncode == 3
    assert "Did you mean sales?" in done.stderr


def test_scenarios_are_listed_and_an_unknown_one_is_refused() -> None:
    assert {one.name for one in SCENARIOS} <= set(lightkeeper("scenario").stdout.split())
    done = lightkeeper("scenario", "calibratoin")
    assert done.returncode == 3
    assert "Did you mean calibration?" in done.stderr
