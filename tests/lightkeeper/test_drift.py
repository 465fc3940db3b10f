"""Drift of two windows: what moved is named and nothing else, and what cannot be judged is never called passed."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal
from scipy import stats

from lightkeeper.errors import Refused
from lightkeeper.measure.drift import DRIFT, drift
from lightkeeper.measure.profile import Profile

SEEDS = [1, 2, 3]


def drawn(seed: int, rows: int = 1000) -> pl.DataFrame:
    random = np.random.default_rng(seed)
    return pl.DataFrame(
        {
            "flat": random.standard_normal(rows),
            "price": np.round(random.lognormal(1, 1, rows), 2),
            "items": random.poisson(3, rows),
            "shop": random.choice(["a", "b", "c", "d"], rows, p=[0.5, 0.3, 0.15, 0.05]),
            "paid": random.random(rows) < 0.8,
        }
    )


def wide(seed: int, rows: int = 1000, columns: int = 25) -> pl.DataFrame:
    """Columns of five shapes: normals, skewed ones, small counts, tails, texts."""
    random = np.random.default_rng(seed)
    return pl.DataFrame(
        {
            **{f"n{n}": random.standard_normal(rows) for n in range(columns // 5)},
            **{f"s{n}": random.lognormal(0, 1, rows) for n in range(columns // 5)},
            **{f"c{n}": random.poisson(2, rows) for n in range(columns // 5)},
            **{f"t{n}": random.standard_t(3, rows) for n in range(columns // 5)},
            **{f"w{n}": random.geometric(0.2, rows).astype(str) for n in range(columns // 5)},
        }
    )


def states(found: pl.DataFrame) -> dict[str, str]:
    return dict(zip(found["column"], found["state"], strict=True))


def unknown(reference: Any, current: Any, name: str) -> str:
    """Why the column is unknown; fails where it is called anything else."""
    row = drift(reference, current).filter(pl.col("column") == name).row(0, named=True)
    assert (row["state"], row["p"], row["effect"]) == ("unknown", None, None)
    return str(row["why"])


@pytest.mark.parametrize("seed", SEEDS)
def test_a_window_against_itself_passes_everywhere(seed: int) -> None:
    found = drift(drawn(seed), drawn(seed))
    assert found.schema == DRIFT
    assert set(found["state"]) == {"passed"}
    assert found.select("effect", "psi", "jensen_shannon", "total_variation").sum().row(0) == (0.0, 0.0, 0.0, 0.0)


@pytest.mark.parametrize("column", ["flat", "price", "items"])
@pytest.mark.parametrize("seed", SEEDS)
def test_a_shift_of_half_an_sd_is_named_and_only_that_column(seed: int, column: str) -> None:
    before, now = drawn(seed), drawn(seed + 100)
    spread = before[column].std()
    found = drift(before, now.with_columns(pl.col(column) + spread / 2))  # type: ignore[operator]
    assert [name for name, state in states(found).items() if state == "drifted"] == [column]
    assert found["column"][0] == column
    assert column in found["why"][0]


@pytest.mark.parametrize("seed", SEEDS)
def test_texts_whose_shares_moved_and_a_flag_that_turned_are_named(seed: int) -> None:
    now = drawn(seed + 100).with_columns(pl.when(pl.int_range(pl.len()) % 5 == 0).then(pl.lit("e")).otherwise("shop").alias("shop"))
    found = drift(drawn(seed), now.with_columns(~pl.col("paid")))
    assert {name for name, state in states(found).items() if state == "drifted"} == {"shop", "paid"}
    effects = dict(zip(found["column"], found["effect"], strict=True))
    assert effects["shop"] == pytest.approx(0.2, abs=0.04)
    assert effects["paid"] == pytest.approx(0.6, abs=0.04)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_wider_spread_without_a_shift_is_drift(seed: int) -> None:
    before, now = drawn(seed), drawn(seed + 100)
    assert states(drift(before, now.with_columns(pl.col("flat") * 1.5)))["flat"] == "drifted"


def test_windows_of_independent_rows_alarm_in_at_most_about_one_of_a_hundred() -> None:
    references = [Profile.of(wide(seed)) for seed in range(10)]
    frames = [wide(1000 + seed) for seed in range(30)]
    alarms = sum("drifted" in drift(one, now)["state"].to_list() for one in references for now in frames)
    assert alarms / 300 <= 0.015
    for one, now in zip(references, frames, strict=False):  # and half an sd is seen
        found = drift(one, now.with_columns(pl.col("n3") + 0.5))
        assert [name for name, state in states(found).items() if state == "drifted"] == ["n3"]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_sure_difference_below_the_floor_is_no_drift_and_says_so(seed: int) -> None:
    before, now = (pl.DataFrame({"x": np.random.default_rng(one).standard_normal(60_000)}) for one in (seed, seed + 100))
    moved = now.with_columns(pl.col("x") + 0.035)
    low, high = drift(before, moved, floor=0.0), drift(before, moved, floor=0.06)
    assert (low["state"].item(), high["state"].item()) == ("drifted", "passed")
    assert low["p"].item() == high["p"].item() < 0.01
    assert "below the floor of 0.06" in high["why"].item()


@pytest.mark.parametrize("seed", SEEDS)
def test_p_is_that_of_one_column_adjusted_by_holm_for_all(seed: int) -> None:
    before, now = wide(seed), wide(seed + 100).with_columns(pl.col("n0") + 0.15, pl.col("n1") + 0.1)
    alone = {name: drift(before, now, columns=[name])["p"].item() for name in before.columns}
    ordered = sorted(alone, key=alone.__getitem__)
    steps = [min(1.0, alone[name] * (len(ordered) - place)) for place, name in enumerate(ordered)]
    holm = dict(zip(ordered, np.maximum.accumulate(steps), strict=True))
    found = drift(before, now)
    assert dict(zip(found["column"], found["p"], strict=True)) == pytest.approx(holm)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_smallest_shift_is_called_drift_about_every_other_time_and_half_of_it_seldom(seed: int) -> None:
    random, called = np.random.default_rng(seed), {0.5: 0, 1.0: 0, 1.6: 0}
    for _ in range(40):
        before, now = (pl.DataFrame({"x": random.standard_normal(rows)}) for rows in (4000, 1000))
        smallest = drift(before, now)["smallest"].item()
        for size in called:
            called[size] += drift(before, now + size * smallest)["state"].item() == "drifted"
    assert called[0.5] <= 9
    assert 8 <= called[1.0] <= 32
    assert called[1.6] >= 34


@pytest.mark.parametrize(
    ("state", "of", "factor"),
    [("passed", "number", 1.15), ("drifted", "number", 1.3), ("drifted", "text", 1.0)],
)
def test_no_sentence_says_that_less_than_what_passed_or_more_than_what_drifted_would_have_been_seen(
    state: str, of: str, factor: float
) -> None:
    silent = set()
    for seed in range(150):
        randoms = [np.random.default_rng(seed + side) for side in (0, 1000)]
        if of == "number":
            before, now = (
                pl.DataFrame({"x": random.standard_normal(1000) * times})
                for random, times in zip(randoms, (1.0, factor), strict=True)
            )
        else:  # a rare value that became frequent
            shares = [[0.98, 0.01, 0.01], [0.94, 0.01, 0.05]]
            before, now = (
                pl.DataFrame({"x": random.choice(["a", "b", "c"], 1000, p=one)})
                for random, one in zip(randoms, shares, strict=True)
            )
        row = drift(before, now).row(0, named=True)
        agrees = (row["state"] == "drifted") == (round(row["effect"], 3) >= round(row["smallest"], 3))
        assert ("would have been seen" in row["why"]) == agrees
        silent |= set() if agrees else {row["state"]}
    assert state in silent, "no seed shows what is asked here"


@pytest.mark.parametrize("values", [2, 6, 30])
@pytest.mark.parametrize("seed", SEEDS)
def test_of_a_text_the_least_share_that_moved_from_one_half_of_the_rows_is_drift_and_half_of_it_is_none(
    seed: int, values: int
) -> None:
    before = pl.DataFrame({"x": np.repeat(np.arange(values), 3000 // values).astype(str)})
    random, smallest = np.random.default_rng(seed), drift(before, before)["smallest"].item()
    for times, called in ((0.5, "passed"), (1.1, "drifted")):
        moved = (pl.col("x").cast(pl.Int64) < values // 2) & (pl.Series(random.random(before.height)) < 2 * times * smallest)
        upper = (pl.col("x").cast(pl.Int64) + values // 2).cast(pl.String)
        assert drift(before, before.with_columns(x=pl.when(moved).then(upper).otherwise("x")))["state"].item() == called


def test_the_least_that_would_have_been_seen_is_told_in_the_unit_of_the_effect() -> None:
    found = drift(drawn(1), drawn(2))
    for column, told in (
        ("flat", "; a shift of all its values by {:.3f} would"),
        ("paid", "; another value in {:.1%} of its rows would"),
    ):
        row = found.filter(column=column).row(0, named=True)
        assert told.format(row["smallest"]) in row["why"]


def test_a_column_in_which_missing_values_are_looked_at_as_well_must_move_farther_to_be_seen() -> None:
    before, now = (drawn(seed).select("flat", other=pl.when(pl.int_range(pl.len()) != 5).then("flat")) for seed in (1, 2))
    flat, other = (drift(before, now, columns=[name]).row(0, named=True) for name in ("flat", "other"))
    assert other["smallest"] > 1.05 * flat["smallest"]


@pytest.mark.parametrize("seed", SEEDS)
def test_frames_lazy_frames_files_and_profiles_give_the_same_rows(seed: int, tmp_path: Path) -> None:
    before, now = drawn(seed), drawn(seed + 100).with_columns(pl.col("flat") + 0.3)
    before.write_parquet(tmp_path / "before.parquet")
    now.write_parquet(tmp_path / "now.parquet", row_group_size=300)
    like, plain = Profile.of(before), drift(before, now)
    assert_frame_equal(drift(before.lazy(), now.lazy()), plain)
    assert_frame_equal(drift(tmp_path / "before.parquet", str(tmp_path / "now.parquet")), plain)
    assert_frame_equal(drift(like, Profile.of(now, like)), plain)
    assert_frame_equal(drift(like, tmp_path / "now.parquet"), plain)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_order_of_rows_and_of_columns_changes_nothing(seed: int) -> None:
    before, now = drawn(seed), drawn(seed + 100).with_columns(pl.col("flat") + 0.2)
    plain = drift(before, now)
    assert_frame_equal(drift(before.sample(fraction=1, shuffle=True, seed=seed), now.reverse()), plain)
    assert_frame_equal(drift(before.select(before.columns[::-1]), now).sort("column"), plain.sort("column"))


@pytest.mark.parametrize("factor", [1e-3, 8.0, 1e6])
@pytest.mark.parametrize("seed", SEEDS)
def test_another_unit_changes_neither_effect_nor_distances_of_shares(seed: int, factor: float) -> None:
    before, now = drawn(seed).select("flat"), drawn(seed + 100).select(pl.col("flat") + 0.2)
    plain, scaled = drift(before, now), drift(before * factor, now * factor)
    assert_frame_equal(plain.drop("wasserstein"), scaled.drop("wasserstein"), check_exact=True)
    assert scaled["wasserstein"].item() == pytest.approx(factor * plain["wasserstein"].item())


@pytest.mark.parametrize("source", ["frame", "lazy", "path"])
@pytest.mark.parametrize("seed", SEEDS)
def test_exact_distances_are_those_of_scipy_without_nulls_and_endless_values(seed: int, source: str, tmp_path: Path) -> None:
    before = drawn(seed).select(pl.when(pl.int_range(pl.len()) % 9 > 0).then("flat"))
    now = drawn(seed + 100).select(flat=pl.when(pl.int_range(pl.len()) % 50 > 0).then(pl.col("flat") + 0.3).otherwise(np.inf))
    a, b = before["flat"].drop_nulls().to_numpy(), now["flat"].filter(now["flat"].is_finite()).to_numpy()
    windows: Any = (before, now)
    if source == "path":
        windows = (tmp_path / "a.parquet", tmp_path / "b.parquet")
        before.write_parquet(windows[0])
        now.write_parquet(windows[1])
    found = drift(*(one.lazy() for one in windows) if source == "lazy" else windows, exact=True)
    assert found["ks"].item() == pytest.approx(stats.ks_2samp(a, b, method="asymp").statistic, abs=1e-9)
    assert found["wasserstein"].item() == pytest.approx(stats.wasserstein_distance(a, b), abs=1e-9)


def test_a_column_that_vanished_is_unknown_and_one_that_came_is_not_asked_for() -> None:
    found = drift(drawn(1), drawn(2).rename({"price": "cost"}))
    assert states(found) == dict.fromkeys(["flat", "items", "shop", "paid"], "passed") | {"price": "unknown"}
    assert found.filter(state="unknown")["why"].item() == "price is not in the current window: it vanished or was renamed."
    assert found["column"][0] == "price"  # before what passed


@pytest.mark.parametrize("type_", [pl.String(), pl.List(pl.Float64()), pl.Null()])
def test_a_changed_type_is_unknown_and_says_both_types(type_: Any) -> None:
    now = drawn(2)
    changed = now["flat"].cast(type_) if type_ == pl.String() else pl.Series([None] * 1000, dtype=type_)
    why = unknown(drawn(1), now.with_columns(changed.alias("flat")), "flat")
    assert why == f"flat was Float64 and is {type_}: its values cannot be compared."


def test_integers_that_became_fractions_are_still_compared() -> None:
    assert states(drift(drawn(1), drawn(2).with_columns(pl.col("items").cast(pl.Float64))))["items"] == "passed"


@pytest.mark.parametrize("kept", [False, True], ids=["rows", "stored"])
@pytest.mark.parametrize("rows", [1000, 20])
def test_yes_and_no_that_became_text_is_told_and_judged_by_its_values_and_so_is_the_reverse(rows: int, kept: bool) -> None:  # noqa: FBT001
    flags = [drawn(seed, rows).select("paid") for seed in (1, 2)]
    texts = [one.with_columns(pl.col("paid").cast(pl.String)) for one in flags]
    for before, now, said in (
        (flags[0], texts[1], "It was Boolean and is String"),
        (texts[0], flags[1], "It was String and is Boolean"),
    ):
        row = drift(Profile.of(before) if kept else before, now).row(0, named=True)
        assert row["state"] == ("passed" if rows == 1000 else "unknown")
        assert row["why"].endswith(f". {said}: its values are compared as text.")


def test_yes_and_no_that_became_other_words_has_drifted_and_says_that_it_became_text() -> None:
    words = drawn(2).with_columns(pl.when("paid").then(pl.lit("yes")).otherwise(pl.lit("no")).alias("paid"))
    assert states(found := drift(drawn(1), words))["paid"] == "drifted"
    assert "It was Boolean and is String" in found["why"][0]


@pytest.mark.parametrize("became", [pl.Categorical, pl.Enum(["a", "b", "c", "d"])], ids=str)
def test_texts_and_numbers_that_are_only_stored_otherwise_are_told_no_change_of_type(became: Any) -> None:
    now = drawn(2).with_columns(pl.col("items").cast(pl.Float64), pl.col("shop").cast(became))
    found = drift(drawn(1), now)
    assert set(found["state"]) == {"passed"}
    assert not [why for why in found["why"] if "It was" in why]


@pytest.mark.parametrize("rows", [0, 1, 29])
def test_a_window_of_too_few_rows_is_unknown_on_either_side(rows: int) -> None:
    few = drawn(1).head(rows)
    for reference, current, side in [(few, drawn(2), "reference"), (drawn(2), few, "current window")]:
        assert set(drift(reference, current, exact=True)["state"]) == {"unknown"}
        said = f"shop has {rows} values of {rows} rows in the {side}; at least 30 are needed."
        assert unknown(reference, current, "shop") == said


@pytest.mark.parametrize("column", ["flat", "items", "shop", "paid"])
def test_a_column_that_is_suddenly_empty_or_filled_has_drifted_and_one_that_stays_empty_is_unknown(column: str) -> None:
    gone = drawn(1).with_columns(pl.when(False).then(column).alias(column))
    assert f"{column} has 0 values of 1000 rows" in unknown(gone, gone, column)
    for reference, current, said in ((drawn(2), gone, "100.0% of its rows are missing, where 0.0% were"),
                                     (gone, drawn(2), "0.0% of its rows are missing, where 100.0% were")):  # fmt: skip
        row = drift(reference, current).filter(column=column).row(0, named=True)
        assert (row["state"], row["effect"], row["smallest"]) == ("drifted", 1.0, None)
        assert said in row["why"]


@pytest.mark.parametrize("seed", SEEDS)
def test_values_that_go_missing_or_become_infinite_have_drifted_also_where_too_few_are_left(seed: int) -> None:
    before, holes = drawn(seed).head(95), pl.int_range(pl.len()) % 10 != 0
    missing = drift(before, before.with_columns(items=pl.when(~holes).then("items")))
    assert states(missing)["items"] == "drifted"
    infinite = drift(drawn(seed), drawn(seed + 9).with_columns(flat=pl.when(holes).then("flat").otherwise(float("inf"))))
    assert [name for name, state in states(infinite).items() if state == "drifted"] == ["flat"]
    assert "10.0% of its rows are infinite, where 0.0% were" in infinite["why"][0]
    few = drift(drawn(seed), drawn(seed + 9).with_columns(items=pl.when(pl.int_range(pl.len()) % 50 != 0).then("items")))
    assert states(few)["items"] == "passed", "2% missing is below the floor"


def test_a_constant_that_stays_passes_and_one_that_varies_drifts() -> None:
    same, moved = pl.DataFrame({"x": [2.0] * 200}), pl.DataFrame({"x": [2.0] * 150 + [3.0] * 50})
    assert states(drift(same, same)) == {"x": "passed"}
    assert states(drift(same, moved)) == states(drift(moved, same)) == {"x": "drifted"}


@pytest.mark.parametrize("exact", [True, False])
def test_endless_values_have_drifted_on_one_side_and_are_unknown_on_both(exact: bool) -> None:  # noqa: FBT001
    endless, plain = pl.DataFrame({"flat": [np.inf, -np.inf] * 500}), drawn(2).select("flat")
    assert unknown(endless, endless, "flat").startswith("flat has no finite value in the reference")
    for reference, current in ((endless, plain), (plain, endless)):
        found = drift(reference, current, exact=exact)
        assert found["state"].item() == "drifted"
    assert np.isfinite(found["ks"].item())


@pytest.mark.parametrize("values", [[[1], [2]], [{"a": 1}, {"a": 2}], [b"x", b"y"], [date(2026, 1, 5), date(2026, 1, 6)]])
def test_a_type_that_is_only_counted_is_unknown(values: list[Any], tmp_path: Path) -> None:
    frame, path = pl.DataFrame({"x": values * 50}), tmp_path / "rows.parquet"
    frame.write_parquet(path)
    for window in (frame, path):
        found = drift(window, window, columns=["x"])
        assert found["state"].item() == "unknown"
        assert found["why"].item() == f"x is {frame['x'].dtype}: only its nulls are counted."


def test_100000_categories_are_never_passed_and_a_flood_of_one_has_drifted() -> None:
    before, other = (pl.DataFrame({"x": [f"{mark}{n}" for n in range(100_000)]}) for mark in "ab")
    assert unknown(before, before, "x").startswith("x has too many values: the most frequent")
    assert unknown(before, other, "x").endswith("hold 0.0% of its rows, and nothing is told of the others.")
    assert unknown(Profile.of(before), other, "x").endswith("Two windows of rows tell more.")
    few = other.with_columns(pl.when(pl.int_range(pl.len()) % 2 == 0).then(pl.lit("a1")).otherwise("x").alias("x"))
    assert states(drift(before, few)) == {"x": "drifted"}


_RANDOM_TEXTS = {
    "300 as frequent": lambda random, n: random.integers(0, 300, n),
    "40 as frequent": lambda random, n: random.integers(0, 40, n),
    "few frequent and many rare": lambda random, n: random.zipf(1.5, n),
    "one of nine in ten and 39 others": lambda random, n: np.where(random.random(n) < 0.9, 0, random.integers(1, 40, n)),
}


@pytest.mark.parametrize("kept", [False, True], ids=["rows", "stored"])
@pytest.mark.parametrize("texts", list(_RANDOM_TEXTS))
@pytest.mark.parametrize(("n", "m"), [(1000, 1000), (100, 1000), (40, 40), (5000, 1000)])
def test_texts_of_many_values_that_did_not_change_are_seldom_called_drift(texts: str, n: int, m: int, kept: bool) -> None:  # noqa: FBT001
    called = 0
    for seed in range(60):
        random = np.random.default_rng([seed, n, m])
        before, now = (pl.DataFrame({"x": _RANDOM_TEXTS[texts](random, size).astype(str)}) for size in (n, m))
        called += states(drift(Profile.of(before) if kept else before, now))["x"] == "drifted"
    assert called <= 3  # 60 windows at 1%: more than 3 come by chance once in 300


@pytest.mark.parametrize("kept", [False, True], ids=["rows", "stored"])
@pytest.mark.parametrize("texts", list(_RANDOM_TEXTS))
def test_a_new_text_in_a_third_of_the_rows_is_drift_and_never_passed(texts: str, kept: bool) -> None:  # noqa: FBT001
    called = "unknown" if kept and "as frequent" in texts else "drifted"  # luck alone tells the reference which are frequent
    for seed in range(10):
        random = np.random.default_rng(seed)
        before, now = (pl.DataFrame({"x": _RANDOM_TEXTS[texts](random, 1000).astype(str)}) for _ in range(2))
        broken = now.with_columns(x=pl.when(pl.int_range(pl.len()) % 3 == 0).then(pl.lit("ERROR")).otherwise("x"))
        assert states(drift(Profile.of(before) if kept else before, broken)) == {"x": called}


@pytest.mark.parametrize(("n", "m"), [(100, 1000), (40, 40), (1000, 100)])
def test_small_windows_of_numbers_that_did_not_change_are_seldom_called_drift(n: int, m: int) -> None:
    called = 0
    for seed in range(150):
        random = np.random.default_rng([seed, n, m])
        windows = [pl.DataFrame({"x": random.standard_normal(size)}) for size in (n, m)]
        called += states(drift(*windows))["x"] == "drifted"
    assert called <= 6  # 150 windows at 1%: more than 6 come by chance once in 1,100


@pytest.mark.parametrize(("n", "m"), [(40, 2000), (100, 2000), (200, 5000)])
def test_a_reference_that_is_far_smaller_than_the_window_is_seldom_called_drift_either(n: int, m: int) -> None:
    called = 0
    for seed in range(400):
        random = np.random.default_rng([seed, n, m])
        called += states(drift(*(pl.DataFrame({"x": random.standard_normal(size)}) for size in (n, m))))["x"] == "drifted"
    assert called <= 10  # 400 windows at 1%: more than 10 come by chance once in 350


@pytest.mark.parametrize(("n", "m", "wider"), [(100, 100, 2.5), (1000, 1000, 1.4), (100, 1000, 2.5)])
def test_a_spread_that_changed_is_seen_by_small_and_by_equal_windows(n: int, m: int, wider: float) -> None:
    seen = 0
    for seed in range(40):
        random = np.random.default_rng([seed, n, m])
        before, now = (pl.DataFrame({"x": random.standard_normal(size)}) for size in (n, m))
        seen += states(drift(before, now * wider))["x"] == "drifted"
    assert seen >= 36


def test_a_profile_in_cells_of_its_own_is_unknown_and_says_what_to_do() -> None:
    why = unknown(Profile.of(drawn(1)), Profile.of(drawn(2)), "flat")
    assert why == "flat was counted in other cells than the reference: make its profile with like=reference."


@pytest.mark.parametrize(
    ("alpha", "floor"), [(0.0, 0.05), (1.0, 0.05), (-0.1, 0.05), (0.01, -0.05), (float("nan"), 0.05), (0.01, float("nan"))]
)
def test_an_alpha_or_a_floor_that_cannot_be_is_refused(alpha: float, floor: float) -> None:
    with pytest.raises(Refused, match=f"alpha {alpha} and floor {floor}"):
        drift(drawn(1), drawn(2), alpha=alpha, floor=floor)


def test_exact_distances_of_profiles_and_columns_that_are_not_there_are_refused() -> None:
    before = Profile.of(drawn(1))
    for reference, current in [(before, drawn(2)), (drawn(1), Profile.of(drawn(2), before))]:
        with pytest.raises(Refused, match=r"need the rows of both windows"):
            drift(reference, current, exact=True)
    with pytest.raises(Refused, match=r"The reference has no column colour; it has flat, price, items, shop, paid"):
        drift(before, drawn(2), columns=["flat", "colour"])
    with pytest.raises(Refused, match=r"no column colour to profile"):
        drift(drawn(1), drawn(2), columns=["flat", "colour"])
