"""Rolling origins: at each nothing is known but the days up to it."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import polars as pl
import pytest

from lightkeeper.errors import Refused
from lightkeeper.models.backtesting import Learnt, backtest, origins, reach
from lightkeeper.models.dummy import dummy_rows
from lightkeeper.models.training import fit, training_frame
from lightkeeper.models.trying import Span, recipe_tried, rehearsed, worth_of_history
from lightkeeper.values import Window
from tests.lightkeeper.lamps import AHEAD, FIRST, LAMPS, LAST, SERIES, table, trained

AT = [LAST - timedelta(2 * AHEAD), LAST - timedelta(AHEAD)]
BROKEN = Window(FIRST, FIRST + timedelta(20))


def test_origins_lie_a_horizon_apart_and_leave_known_days_after_the_last() -> None:
    assert origins(LAST, AHEAD, 2) == AT
    assert origins(LAST, AHEAD, 9, AT[0]) == AT
    since = LAST - timedelta(2)  # as it is typed: the first day that is judged
    with pytest.raises(
        Refused, match=f"From {since} to {LAST}, .*there is no origin with 14 known days after it: give an earlier --from"
    ):
        origins(LAST, AHEAD, 2, since - timedelta(1))


def test_each_origin_is_forecast_by_a_model_fitted_on_the_days_up_to_it() -> None:
    found, rows = backtest(LAMPS, table().lazy(), AT), training_frame(LAMPS, table().lazy())
    assert found.group_by("origin").len().sort("origin").rows() == [(one, SERIES * AHEAD) for one in AT]
    known, ahead = rows.filter(pl.col("day") <= AT[0]), rows.filter(pl.col("day").is_between(AT[0] + timedelta(1), AT[1]))
    assert found.filter(pl.col("origin") == AT[0])["forecast"].to_list() == fit(LAMPS, known).fitted.predict(ahead).tolist()


@pytest.mark.parametrize("seed", [1, 2])
def test_what_comes_after_an_origin_changes_no_forecast_of_it(seed: int) -> None:
    after = pl.when(pl.col("day") > AT[0]).then(pl.col("units") * 3 + seed).otherwise("units").alias("units")
    one, other = (backtest(LAMPS, rows.lazy(), AT) for rows in (table(seed), table(seed).with_columns(after)))
    first = pl.col("origin") == AT[0]
    assert one.filter(first)["forecast"].equals(other.filter(first)["forecast"])
    assert not one.filter(~first)["forecast"].equals(other.filter(~first)["forecast"])


def test_days_that_are_left_out_are_not_learnt_from() -> None:
    odd = table().with_columns(
        pl.when(pl.col("day") < BROKEN.end).then(pl.lit(999)).otherwise("units").cast(pl.Int64).alias("units")
    )
    without = Learnt(left_out=BROKEN)
    assert backtest(LAMPS, odd.lazy(), AT, without)["forecast"].equals(backtest(LAMPS, table().lazy(), AT, without)["forecast"])
    assert backtest(LAMPS, odd.lazy(), AT)["forecast"].max() > 100  # type: ignore[operator]


def test_an_origin_without_known_days_on_both_sides_is_refused() -> None:
    with pytest.raises(Refused, match=f"{LAST} is no origin: its days run from {FIRST} to {LAST}, and 28 days are needed"):
        backtest(LAMPS, table().lazy(), [LAST])


def test_a_changed_recipe_stands_beside_the_declared_one_and_naive_on_the_same_rows() -> None:
    blunt = replace(LAMPS, params={**LAMPS.params, "num_iterations": 1})
    found = recipe_tried(LAMPS, blunt, table().lazy(), Span(count=2))
    assert found.rows["contender"].to_list() == ["declared", "changed", "naive"]
    assert found.rows["n"].unique().to_list() == [2 * SERIES * AHEAD]
    assert found.why.startswith("changed is worse than declared: its loss is")
    same = recipe_tried(LAMPS, LAMPS, table().lazy(), Span(count=2))
    assert (same.difference.mean, "cannot be told apart" in same.why) == (0, True)


def test_a_window_of_the_past_is_judged_alone() -> None:
    found = recipe_tried(LAMPS, LAMPS, table().lazy(), Span(last=AT[1]))
    assert found.origins[-1] == AT[0]
    assert found.rows["days"][0] == len(found.origins) * AHEAD
    with pytest.raises(Refused, match="has no known day up to 2025-01-01"):
        recipe_tried(LAMPS, LAMPS, table().lazy(), Span(last=date(2025, 1, 1)))


def test_a_piece_of_history_that_misleads_is_worth_less_than_nothing_and_a_sound_one_more() -> None:
    turned = 60 - 2 * pl.col("weekday") + 6 * pl.col("price")
    odd = table().with_columns(pl.when(pl.col("day") < BROKEN.end).then(turned.cast(pl.Int64)).otherwise("units").alias("units"))
    bad = worth_of_history(LAMPS, odd.lazy(), Span(count=2), BROKEN, without=True)
    assert bad.rows["contender"].to_list() == ["without 2026-01-05:2026-01-25", "with 2026-01-05:2026-01-25", "naive"]
    assert bad.difference.high < 0
    piece = Window(FIRST, FIRST + timedelta(84))
    good = worth_of_history(LAMPS, table(known=140).lazy(), Span(count=2), piece, without=False)
    assert good.difference.low > 0
    with pytest.raises(Refused, match="a piece of history is judged on days after it"):
        worth_of_history(LAMPS, table().lazy(), Span(count=1), Window(LAST, LAST + timedelta(9)), without=True)


def test_the_working_trees_model_meets_the_gate_without_becoming_a_version() -> None:
    found = rehearsed(LAMPS, table().lazy(), trained(LAMPS, table(), 4))
    assert (found.challenger, found.champion, found.ruling.code) == (5, 4, "tie")


def test_rows_made_up_from_a_contract_can_be_run_through() -> None:
    from assets import MODELS
    from assets.demand_features import DemandFeatures

    demand = next(model for model in MODELS if model.name == "demand")
    rows = dummy_rows(demand, DemandFeatures)
    assert rows.equals(dummy_rows(demand, DemandFeatures))
    assert rows.filter(pl.col("units").is_null())["day"].n_unique() == 28
    assert rehearsed(demand, rows.lazy(), None).last is not None
    with pytest.raises(Refused, match="the contract DemandFeatures has no column warmth"):
        dummy_rows(replace(demand, features=("warmth",)), DemandFeatures)


def test_days_without_a_known_target_do_not_count_towards_those_that_an_origin_needs() -> None:
    traded = table(known=112).filter(pl.col("day").dt.weekday() <= 2)  # two days of seven
    known = traded.filter(pl.col("units").is_not_null())["day"]
    first = reach(LAMPS, known)
    assert first == known.unique().sort()[13]
    assert reach(LAMPS, known.unique().sort().head(13)) is None
    found = recipe_tried(LAMPS, LAMPS, traded.lazy(), Span(count=50))
    assert found.origins[0] >= first
