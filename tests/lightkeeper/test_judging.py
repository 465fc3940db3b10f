"""Judging: champion, challenger and the naive forecast on the same rows, which neither has seen."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import polars as pl
import pytest

from lightkeeper.errors import Refused
from lightkeeper.measure.gate import Gate
from lightkeeper.models.backtesting import scored
from lightkeeper.models.following import as_served
from lightkeeper.models.judging import ROW, judge, judgement_rows, loss_for
from lightkeeper.models.model import Model
from lightkeeper.models.registry import Trained, as_calibration
from lightkeeper.models.shadow import former
from lightkeeper.models.training import cut_of
from lightkeeper.values import TableVersion
from tests.lightkeeper.lamps import AHEAD, COUNTS, CUT, FIRST, LAMPS, LAST, NOW, REPAIRS, RETURNS, SERIES, SOLD, table, trained

WEAK = replace(LAMPS, features=("weekday",))  # does not know the price, which moves the units most


def every(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.filter(pl.col("slice") == "all")


def test_a_challenger_is_judged_on_the_days_after_its_cut_beside_naive_on_the_same_rows() -> None:
    found = judge(LAMPS, table().lazy(), trained(LAMPS, table()), None, 0.05)
    assert (found.first, found.last) == (CUT + timedelta(1), LAST)
    assert every(found.rows).select("contender", "n", "days").rows() == [
        ("challenger lamps:v1", SERIES * AHEAD, AHEAD), ("naive lamps:naive", SERIES * AHEAD, AHEAD),
    ]  # fmt: skip
    assert (found.ruling.action, found.ruling.code, found.champion) == ("promote", "better", 0)
    assert found.ruling.why.startswith("lamps:v1 replaces lamps:naive: over 14 days it has a scaled squared error of")


@pytest.mark.parametrize(("horizon", "open_days"), [(7, 7), (AHEAD, 5)], ids=["a week ahead", "no rows at weekends"])
def test_a_horizon_that_holds_fewer_known_days_than_the_gate_needs_is_judged_on_more(horizon: int, open_days: int) -> None:
    model, rows = replace(LAMPS, horizon=horizon), table().filter(pl.col("day").dt.weekday() <= open_days)
    found = judge(model, rows.lazy(), trained(model, rows), None, 0.05)
    assert (found.ruling.action, found.ruling.code) == ("promote", "better")
    assert every(found.rows)["days"].to_list() == [AHEAD, AHEAD]
    assert {"days ahead 1-7", "days ahead 8-14"} <= set(found.rows["slice"])


def test_the_metrics_are_those_of_a_table_computed_by_hand() -> None:
    rows, one = table(), trained(LAMPS, table())
    judged = rows.filter(pl.col("day") > CUT, pl.col("units").is_not_null()).sort(LAMPS.row_key)
    off = judged["units"] - pl.Series(one.fitted.predict(judged))
    naive = judged.join(
        rows.select("shop", "lamp", pl.col("day") + timedelta(7), pl.col("units").alias("week")), on=["shop", "lamp", "day"]
    ).filter(pl.col("day") <= CUT + timedelta(7))
    found = judge(LAMPS, rows.lazy(), one, None, 0.05).rows
    assert every(found)["wape"][0] == pytest.approx(off.abs().sum() / judged["units"].sum())
    assert every(found)["bias"][0] == pytest.approx(-off.sum() / judged["units"].sum())
    first = found.filter(pl.col("slice") == "days ahead 1-7", pl.col("contender").str.starts_with("naive"))
    assert first["wape"][0] == pytest.approx((naive["units"] - naive["week"]).abs().sum() / naive["units"].sum())


def test_a_challenger_of_the_same_recipe_on_the_same_rows_ties_and_the_champion_stays() -> None:
    found = judge(LAMPS, table().lazy(), trained(LAMPS, table(), 2), trained(LAMPS, table(), 1), 0.05)
    assert (found.ruling.action, found.ruling.code) == ("reject", "tie")
    assert found.ruling.why.startswith("lamps:v1 stays: over 14 days")


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_better_recipe_replaces_the_champion_and_a_worse_one_does_not(seed: int) -> None:
    model, simple, rows = replace(LAMPS, horizon=28), replace(WEAK, horizon=28), table(seed, 140, 28)
    weak, strong = trained(simple, rows, 1), trained(model, rows, 2)
    assert judge(model, rows.lazy(), strong, weak, 0.05).ruling.action == "promote"
    worse = judge(simple, rows.lazy(), replace(weak, version=strong.version), trained(model, rows, 1), 0.05).ruling
    assert (worse.action, worse.code) == ("reject", "worse")


def test_a_champion_that_was_trained_later_moves_the_judged_days_behind_its_own_cut() -> None:
    champion = trained(LAMPS, table(), 1, until=LAST - timedelta(3))
    found = judge(LAMPS, table().lazy(), trained(LAMPS, table(), 2), champion, 0.05)
    assert (found.first, found.last) == (LAST - timedelta(2), LAST)
    assert found.ruling.why == "lamps:v1 stays: 3 matured days, 11 fewer than the 14 that the gate needs."


def test_where_no_day_has_matured_since_the_champion_nothing_is_promoted() -> None:
    found = judge(LAMPS, table().lazy(), trained(LAMPS, table(), 2), trained(LAMPS, table(), 1, until=LAST), 0.05)
    assert (found.first, found.ruling.action, found.ruling.code) == (None, "reject", "too_few_days")
    assert every(found.rows)["n"].to_list() == [0, 0, 0]


def test_a_row_that_one_contender_cannot_forecast_is_left_out_for_all() -> None:
    newcomer = table().filter(~((pl.col("shop") == "York") & (pl.col("lamp") == "gas") & (pl.col("day") <= CUT)))
    found = judge(LAMPS, newcomer.lazy(), trained(LAMPS, newcomer), None, 0.05)
    assert every(found.rows)["n"].unique().to_list() == [3 * AHEAD]


def harmed() -> tuple[Model, pl.DataFrame]:
    """Shops whose prices turned round in York only after the cut."""
    model = replace(LAMPS, horizon=28, slices=("shop",), promote_if=Gate(slice_least_n=20))
    rows = table(1, 140, 28)
    york = (pl.col("shop") == "York") & (pl.col("day") > cut_of(model, rows.lazy()))
    return model, rows.with_columns(pl.when(york).then(60 - pl.col("units")).otherwise("units").cast(pl.Int64).alias("units"))


def test_a_slice_that_is_harmed_stops_a_challenger_whatever_it_gains_elsewhere() -> None:
    model, rows = harmed()
    shown = judge(model, rows.lazy(), trained(model, rows), None, 0.05)
    assert {"shop=Hull", "shop=York"} <= set(shown.rows["slice"])
    (york,) = [one for one in shown.ruling.slices if one.name == "shop=York"]
    assert york.comparison.paired.mean < 0
    assert york.harmed
    assert shown.ruling.action != "promote"


def test_an_expectation_that_does_not_hold_stops_a_challenger_and_is_told() -> None:
    good = replace(LAMPS, expect=("units falls when price rises", "wape at most 0.9 where shop=York"))
    bad = replace(LAMPS, expect=("units rises when price rises",))
    fine = judge(good, table().lazy(), trained(good, table()), None, 0.05)
    assert [one.holds for one in fine.held] == [True, True]
    assert fine.ruling.action == "promote"
    stopped = judge(bad, table().lazy(), trained(bad, table()), None, 0.05).ruling
    assert stopped.code == "expectation_failed"
    assert '"units rises when price rises" does not hold: when price rises by one standard deviation' in stopped.why


@pytest.mark.parametrize("model", [COUNTS, SOLD, RETURNS, REPAIRS], ids=["count", "binary", "binary rows", "rows"])
def test_each_kind_of_target_is_judged_by_its_own_loss(model: Model) -> None:
    found = judge(model, table().lazy(), trained(model, table()), None, 0.05)
    expected = "brier" if model.kind == "binary" else "squared"
    assert loss_for(model) == expected
    assert (every(found.rows)["brier"].null_count() == 0) == (model.kind == "binary")
    assert found.ruling.action == "promote"


def test_a_median_is_judged_by_absolute_errors_and_a_gate_may_say_which() -> None:
    assert loss_for(replace(LAMPS, params={**LAMPS.params, "objective": "regression_l1"})) == "absolute"
    assert loss_for(replace(LAMPS, promote_if=Gate(loss="absolute"))) == "absolute"


def test_the_bands_that_are_measured_cover_about_what_they_say() -> None:
    found = every(judge(LAMPS, table().lazy(), trained(LAMPS, table()), None, 0.05).rows)
    assert found["coverage_80"].is_between(0.6, 1).all()


def test_a_column_to_slice_by_that_is_not_there_is_named() -> None:
    sliced = replace(LAMPS, slices=("country",))
    with pytest.raises(Refused, match="lamp_features has no column country to slice by"):
        judge(sliced, table().lazy(), trained(LAMPS, table()), None, 0.05)


def test_the_rows_of_a_judgement_are_those_of_its_table() -> None:
    found = judge(LAMPS, table().lazy(), trained(LAMPS, table()), None, 0.05)
    rows = judgement_rows(LAMPS, found, 3, NOW, TableVersion("lamp_features", 12))
    assert dict(rows.schema) == ROW
    assert rows.select("judgement", "table_version", "first_day").unique().rows() == [(3, "lamp_features@12", CUT + timedelta(1))]
    assert isinstance(rows["last_day"][0], date)


LATE = (pl.col("day") > CUT) & pl.col("units").is_not_null()
BROKEN = [
    (LAMPS, [pl.when(LATE).then(float("inf")).otherwise("price").alias("price")], "the feature price is infinite for"),
    (LAMPS, [pl.when(LATE).then(float("inf")).otherwise("units").alias("units")], "units is inf for"),
    (COUNTS, [pl.when(LATE).then(-5).otherwise("units").alias("units")], "A count is 0 or more"),
    (SOLD, [pl.when(LATE).then(7).otherwise("sold").alias("sold")], "A binary target is 0, 1 or null"),
]


@pytest.mark.parametrize(("model", "change", "said"), BROKEN, ids=[row[2] for row in BROKEN])
def test_judged_rows_that_could_not_be_learnt_from_are_refused_before_anybody_is_promoted(
    model: Model, change: list[pl.Expr], said: str
) -> None:
    rows = table().with_columns(change)
    with pytest.raises(Refused, match=said):
        judge(model, rows.lazy(), trained(model, rows), None, 0.05)


def test_two_judged_rows_of_one_key_are_refused() -> None:
    twice = pl.concat([table(), table().filter(LATE).head(1)])
    with pytest.raises(Refused, match="has two rows for"):
        judge(LAMPS, twice.lazy(), trained(LAMPS, twice), None, 0.05)


FALLEN = (pl.col("units") * 0.4).round() + 3 * (pl.col("wick") == "flat")  # a level, and what no level can tell


def in_a_fallen_world(learnt: pl.Expr) -> tuple[Model, pl.DataFrame, Trained, Trained]:
    """What is sold has long fallen; a champion that follows it, and a challenger that has learnt something else or just that."""
    rows, turns, until = table(known=180, ahead=0), FIRST + timedelta(80), FIRST + timedelta(140)
    fallen = pl.when(pl.col("day") >= turns).then(FALLEN).otherwise(pl.col("units"))
    world = rows.with_columns(fallen.cast(pl.Int64))
    first = trained(LAMPS, rows, 1, turns - timedelta(2))
    known = rows.filter(pl.col("day").is_between(first.last_day - timedelta(AHEAD - 1), first.last_day)).sort(LAMPS.row_key)
    backtest = as_calibration(scored(LAMPS, known, first.fitted.scored(known), first.last_day - timedelta(AHEAD)))
    champion = replace(first, row={**first.row, "calibration": backtest})
    challenger = trained(LAMPS, rows.with_columns(learnt.round().cast(pl.Int64).alias("units")), 2, until)
    return LAMPS, world, champion, challenger


def test_a_challenger_that_would_be_worse_than_the_champion_as_it_serves_is_not_promoted() -> None:
    model, world, champion, challenger = in_a_fallen_world(pl.col("units") * 0.52)
    alone = judge(replace(model, follow_level=False), world.lazy(), challenger, champion, 0.05).ruling
    assert (alone.action, alone.code) == ("promote", "better")
    found = judge(model, world.lazy(), challenger, champion, 0.05).ruling
    assert (found.action, found.code) == ("reject", "better_as_it_serves")
    assert found.why.startswith("lamps:v1 stays: over 39 days, following a shift of the level, lamps:v1 has a scaled squared error")


def test_a_challenger_that_has_learnt_the_level_replaces_a_champion_that_follows_it() -> None:
    model, world, champion, challenger = in_a_fallen_world(FALLEN)
    found = judge(model, world.lazy(), challenger, champion, 0.05).ruling
    assert (found.action, found.code) == ("promote", "better")


def test_the_naive_forecast_does_not_take_over_from_a_champion_that_misses_less_as_it_serves() -> None:
    model, world, champion, challenger = in_a_fallen_world(pl.col("units"))
    alone = judge(replace(model, follow_level=False), world.lazy(), challenger, champion, 0.05).ruling
    assert (alone.action, alone.code) == ("naive", "naive_better")
    found = judge(model, world.lazy(), challenger, champion, 0.05).ruling
    assert (found.action, found.code) == ("reject", "better_as_it_serves")
    assert "where lamps:naive has" in found.why


def test_a_day_that_is_missing_among_the_outcomes_does_not_end_what_was_followed() -> None:
    model, world, champion, _ = in_a_fallen_world(FALLEN)
    gap = FIRST + timedelta(130)
    holed = world.with_columns(pl.when(pl.col("day") != gap).then(pl.col("units")).alias("units"))
    rows = holed.filter(pl.col("day").is_between(gap, gap + timedelta(14)), pl.col("units").is_not_null()).sort(model.row_key)
    own, served = champion.fitted.scored(rows)["forecast"], as_served(model, champion, holed.lazy(), rows)["forecast"]
    factors = rows.select("day", factor=served / own).group_by("day").agg(pl.col("factor").mean()).sort("day")["factor"]
    assert factors.is_between(0.35, 0.55).all()


def test_the_former_champion_is_compared_as_it_would_serve() -> None:
    model, world, former_one, serving = in_a_fallen_world(pl.col("units") * 0.52)
    since = serving.last_day + timedelta(1)
    mine = former(model, world.lazy(), serving, former_one, since)
    assert (mine.state, mine.n, mine.column) == ("failed", 28, str(serving.version))  # it follows from the first judged day on
    assert former(replace(model, follow_level=False), world.lazy(), serving, former_one, since).state == "passed"


@pytest.mark.parametrize(("left", "looked"), [(27, 14), (14, 14), (13, 0)])
def test_a_former_champion_is_compared_on_days_alone_on_which_the_other_served(left: int, looked: int) -> None:
    model, world, former_one, serving = in_a_fallen_world(pl.col("units") * 0.52)
    last = world.filter(pl.col("units").is_not_null())["day"].max()
    found = former(model, world.lazy(), serving, former_one, last - timedelta(left - 1))
    assert (found.state == "learning", found.n) == (not looked, looked or left)
