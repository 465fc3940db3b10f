"""Explaining: parts add up to the forecast in its own units, changes to the change, and both are told in words."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import lightgbm
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import integrate, stats

from lightkeeper.errors import Refused
from lightkeeper.models.explaining import Before, Link, changed, contributions, feature_history, link_of, sentence

KEY = ("day", "lamp")
FEATURES = ("price", "wick", "open")
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Tiny:
    """A real booster of LightGBM, asked as a stored version is."""

    booster: lightgbm.Booster
    features: tuple[str, ...] = FEATURES

    @property
    def link(self) -> Link:
        return link_of(self.booster.model_to_string().encode())

    def predict(self, rows: pl.DataFrame) -> Floats:
        return self._asked(rows)

    def contributions(self, rows: pl.DataFrame) -> Floats:
        return self._asked(rows, pred_contrib=True)

    def _asked(self, rows: pl.DataFrame, **how: bool) -> Floats:
        return np.asarray(self.booster.predict(matrix(rows, self.features), num_threads=1, **how))


@dataclass(frozen=True)
class Told:
    """A scorer that says what it is told to."""

    raw: Floats
    forecast: Floats
    link: Link = "identity"
    features: tuple[str, ...] = FEATURES

    def predict(self, rows: pl.DataFrame) -> Floats:
        return self.forecast[: rows.height]

    def contributions(self, rows: pl.DataFrame) -> Floats:
        return self.raw[: rows.height]


def matrix(rows: pl.DataFrame, features: tuple[str, ...] = FEATURES) -> Floats:
    return rows.select(pl.col(name).cast(pl.Float64) for name in features).to_numpy(order="c")


def table(count: int = 300, seed: int = 1) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    price, wick = rng.normal(5, 2, count), rng.integers(0, 4, count)
    return pl.DataFrame(
        {
            "day": [date(2025, 11, 24) + timedelta(n // 2) for n in range(count)],
            "lamp": ["oil", "gas"] * (count // 2),
            "price": [None if n % 11 == 3 else price[n] for n in range(count)],
            "wick": wick,
            "open": rng.random(count) < 0.7,
            "units": np.exp(1 + wick / 3 - price / 9) * rng.random(count) * 4,
        }
    )


def fitted(objective: str = "regression", seed: int = 1, features: tuple[str, ...] = FEATURES, **more: Any) -> Tiny:
    rows = table(seed=seed)
    target = rows["units"].to_numpy()
    labels = (target > np.median(target)).astype(float) if objective in ("binary", "cross_entropy") else target
    params = {
        "objective": objective,
        "min_data_in_leaf": 5,
        "num_leaves": 7,
        "num_threads": 1,
        "seed": seed,
        "verbosity": -1,
        **more,
    }
    data = lightgbm.Dataset(matrix(rows, features), labels, feature_name=list(features))
    return Tiny(lightgbm.train(params, data, 20), features)


def wide(parts: pl.DataFrame) -> Floats:
    """The contributions as LightGBM gives them: a row a row, the base last."""
    return np.roll(parts["contribution"].to_numpy().reshape(-1, len(FEATURES) + 1), -1, axis=1)


@pytest.mark.parametrize("objective", ["regression", "regression_l1", "poisson", "tweedie", "gamma", "binary", "cross_entropy"])
@pytest.mark.parametrize("seed", [1, 2])
def test_the_parts_of_a_row_add_up_to_its_forecast_in_the_units_of_the_target(objective: str, seed: int) -> None:
    scorer, rows = fitted(objective, seed), table(200, seed + 10)
    sums = contributions(scorer, rows, KEY).group_by(KEY, maintain_order=True).agg(pl.col("contribution").sum())
    assert sums.select(KEY).equals(rows.select(KEY))
    np.testing.assert_allclose(sums["contribution"], scorer.predict(rows), rtol=1e-9)


def test_without_a_link_the_parts_are_those_of_lightgbm() -> None:
    scorer, rows = fitted(), table(200, 5)
    np.testing.assert_allclose(wide(contributions(scorer, rows, KEY)), scorer.contributions(rows), rtol=1e-9, atol=1e-12)


def test_each_part_stands_beside_the_name_and_the_value_of_its_feature() -> None:
    rows = table(8)
    parts = contributions(fitted(), rows, KEY)
    assert parts.columns == [*KEY, "part", "name", "value", "category", "contribution"]
    assert parts["part"].to_list() == ["base", "feature", "feature", "feature"] * 8
    assert parts["name"].to_list() == ["base", *FEATURES] * 8
    for name in FEATURES:
        assert parts.filter(pl.col("name") == name)["value"].to_list() == rows[name].cast(pl.Float64).to_list()
    assert parts.filter(pl.col("part") == "base")["value"].null_count() == 8
    assert parts["category"].null_count() == parts.height


def test_the_base_is_the_same_for_each_row_and_what_a_row_without_reasons_would_get() -> None:
    parts = contributions(fitted("tweedie"), table(100, 4), KEY)
    bases = parts.filter(pl.col("part") == "base")["contribution"]
    raw = fitted("tweedie").contributions(table(2))[0, -1]
    np.testing.assert_allclose(bases, np.exp(raw), rtol=1e-12)


@pytest.mark.parametrize(("objective", "slope"), [("tweedie", np.exp), ("binary", stats.logistic.pdf)])
def test_with_a_link_a_part_is_the_integral_of_the_slope_along_the_way_from_the_base(objective: str, slope: Any) -> None:
    """The integral is done by numbers (quad): an oracle for the quotient that is used."""
    scorer, rows = fitted(objective), table(20, 7)
    raw = scorer.contributions(rows)
    sums = raw[:, :-1].sum(axis=1)
    ways = [integrate.quad(lambda t, at=at, to=to: slope(at + t * to), 0, 1)[0] for at, to in zip(raw[:, -1], sums, strict=True)]
    np.testing.assert_allclose(wide(contributions(scorer, rows, KEY))[:, :-1], raw[:, :-1] * np.array(ways)[:, None], rtol=1e-7)


def expected(node: dict[str, Any], row: Floats, known: frozenset[int]) -> float:
    """What a tree gives when some features are known: elsewhere both ways, weighted by the training rows (Lundberg 2020)."""
    if "leaf_value" in node:
        return float(node["leaf_value"])
    left, right = node["left_child"], node["right_child"]
    if node["split_feature"] in known:
        return expected(left if row[node["split_feature"]] <= node["threshold"] else right, row, known)
    counts = [side.get("internal_count", side.get("leaf_count")) for side in (left, right)]
    return sum(expected(s, row, known) * n for s, n in zip((left, right), counts, strict=True)) / sum(counts)


def test_the_parts_of_a_small_tree_are_its_shapley_values_by_brute_force() -> None:
    rows = table().drop_nulls()
    data = lightgbm.Dataset(matrix(rows, ("price", "wick")), rows["units"].to_numpy(), feature_name=["price", "wick"])
    params = {"objective": "regression", "num_leaves": 6, "learning_rate": 1.0, "num_threads": 1, "verbosity": -1}
    scorer = Tiny(lightgbm.train(params, data, 1), ("price", "wick"))
    tree = scorer.booster.dump_model()["tree_info"][0]["tree_structure"]
    parts = contributions(scorer, rows, KEY)["contribution"].to_numpy().reshape(-1, 3)
    for row, (base, price, wick) in zip(matrix(rows, ("price", "wick"))[:40], parts, strict=False):
        none, first, second, both = (expected(tree, row, frozenset(known)) for known in ((), (0,), (1,), (0, 1)))
        shapley = (none, (first - none + both - second) / 2, (second - none + both - first) / 2)
        np.testing.assert_allclose((base, price, wick), shapley, rtol=1e-6, atol=1e-9)


NUMBERS = st.floats(-3, 3).map(lambda x: round(x, 3))


@given(
    st.lists(st.tuples(NUMBERS, NUMBERS, NUMBERS), min_size=1, max_size=20), st.sampled_from(["identity", "log", "logit"]), NUMBERS
)
@settings(max_examples=200, deadline=None)
def test_whatever_the_parts_they_add_up_and_keep_their_signs(rows: list[tuple[float, ...]], link: Link, base: float) -> None:
    raw = np.column_stack([np.array(rows), np.full(len(rows), base)])
    sums = raw.sum(axis=1)
    forecast = {"identity": sums, "log": np.exp(sums), "logit": 1 / (1 + np.exp(-sums))}[link]
    parts = wide(contributions(Told(raw.copy(), forecast, link), table(40).head(len(rows)), KEY))
    np.testing.assert_allclose(parts.sum(axis=1), forecast, rtol=1e-9, atol=1e-12)
    assert (np.sign(parts[:, :-1]) == np.sign(raw[:, :-1])).all()


@pytest.mark.parametrize(("link", "slope"), [("identity", 1.0), ("log", np.exp(0.7)), ("logit", stats.logistic.pdf(0.7))])
def test_parts_that_cancel_out_have_the_slope_at_the_base(link: Link, slope: float) -> None:
    at_base = {"identity": 0.7, "log": np.exp(0.7), "logit": 1 / (1 + np.exp(-0.7))}[link]
    raw = np.array([[0.3, -0.1 - 0.2, 0.0, 0.7], [0.0, 0.0, 0.0, 0.7]])  # the first sum is rounding: 5e-17
    parts = wide(contributions(Told(raw, np.full(2, at_base), link), table(2), KEY))
    np.testing.assert_allclose(parts[:, :-1], slope * raw[:, :-1], rtol=1e-12)
    np.testing.assert_allclose(parts[:, -1], at_base, rtol=1e-12)


def test_a_forecast_that_was_cut_at_nothing_still_has_parts_that_add_up() -> None:
    raw = np.array([[-3.0, -1.0, 0.5, 2.0]])
    parts = wide(contributions(Told(raw, np.array([0.0])), table(2).head(1), KEY))
    np.testing.assert_allclose(parts, [[-12 / 7, -4 / 7, 2 / 7, 2.0]])


def test_the_numbers_of_the_scorer_stay_as_they_are() -> None:
    told = Told(np.array([[1.0, 2.0, 3.0, 0.0]]), np.exp([6.0]), "log")
    contributions(told, table(2).head(1), KEY)
    assert told.raw.tolist() == [[1.0, 2.0, 3.0, 0.0]]


def test_a_text_is_told_as_its_category_and_has_no_number() -> None:
    raw = np.array([[1.0, 2.0], [3.0, 2.0]])
    parts = contributions(Told(raw, raw.sum(axis=1), features=("lamp",)), table(2), ("day",))
    assert parts["category"].to_list() == [None, "oil", None, "gas"]
    assert parts["value"].null_count() == 4


def test_no_rows_have_no_parts_and_the_same_columns() -> None:
    nothing, some = (contributions(Told(np.zeros((n, 4)), np.zeros(n)), table(2).head(n), KEY) for n in (0, 2))
    assert nothing.height == 0
    assert nothing.schema == some.schema


REFUSED = [
    (lambda: contributions(fitted(), table(4).drop("wick", "lamp"), KEY), "no column lamp, wick; they have day, price"),
    (lambda: contributions(fitted(), table(4).rename({"lamp": "name"}), ("day", "name")), "cannot be called name.*Rename it"),
    (lambda: changed(fitted(), table(4), KEY, Before(table(4), "forecast")), "no column forecast; they have day"),
    (lambda: changed(fitted(), table(4), KEY, Before(pl.concat([table(4), table(2)]), "units")), "had two previous forecasts"),
    (lambda: changed(fitted(), table(4), KEY, Before(table(4).cast({"day": pl.Datetime}), "units")), "keys of the previous"),
    (lambda: feature_history(fitted(), table(4).clear(), "lamps:v1"), "lamps:v1: 0 training rows and a sample of 2000"),
    (lambda: feature_history(fitted(), table(4), "lamps:v1", sample=0), "4 training rows and a sample of 0"),
    (lambda: sentence(contributions(fitted(), table(4), KEY), date(2025, 11, 24), "lamps"), "4 forecasts are to be told"),
    (lambda: fitted(reg_sqrt=True).link, "regression with sqrt is not explained"),
    (lambda: fitted("binary", sigmoid=2.0).link, "sigmoid:2 is not explained"),
]


@pytest.mark.parametrize(("ask", "said"), REFUSED, ids=[said for _, said in REFUSED])
def test_what_cannot_be_explained_is_refused_by_name(ask: Any, said: str) -> None:
    with pytest.raises(Refused, match=said):
        ask()


@pytest.mark.parametrize(
    ("objective", "link"),
    [("regression", "identity"), ("huber", "identity"), ("tweedie", "log"), ("poisson", "log"), ("binary", "logit")],
)
def test_the_link_is_read_from_the_models_own_text(objective: str, link: Link) -> None:
    assert fitted(objective).link == link


def test_a_change_is_what_new_data_and_then_a_new_model_made_of_it() -> None:
    old, new, rows = fitted("tweedie", 1), fitted("tweedie", 2), table(6, 9)
    given = rows.select(KEY).with_columns(pl.Series("said", [4.0, None, 1.5, float("nan"), 2.0, 0.0])).reverse()
    made = changed(new, rows, KEY, Before(given, "said", old))
    told = rows[[0, 2, 4, 5]]
    assert made.select(KEY).unique(maintain_order=True).equals(told.select(KEY))
    data, model, events = made["contribution"].to_numpy().reshape(-1, 3).T
    said = np.array([4.0, 1.5, 2.0, 0.0])
    np.testing.assert_allclose(data, old.predict(told) - said, rtol=1e-12)
    np.testing.assert_allclose(model, new.predict(told) - old.predict(told), rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(data + model + events, new.predict(told) - said, rtol=1e-12)


def test_with_the_same_version_the_whole_change_is_of_the_data() -> None:
    scorer, rows = fitted(), table(6, 9)
    made = changed(scorer, rows, KEY, Before(rows.select(*KEY, said="units"), "said"))
    assert made.filter(pl.col("name") != "data")["contribution"].to_list() == [0.0] * 12
    assert set(made.filter(pl.col("name") == "data")["contribution"]) != {0.0}


def test_a_change_has_the_columns_of_the_parts_and_none_where_nothing_was_forecast_before() -> None:
    scorer, rows = fitted(), table(6, 9)
    before = rows.select(*KEY, said="units")
    made, none = (changed(Told(np.zeros((6, 4)), np.zeros(6)), rows, KEY, Before(b, "said")) for b in (before, before.clear()))
    assert made.schema == none.schema == contributions(scorer, rows, KEY).schema
    assert none.height == 0
    assert made["part"].unique().to_list() == ["change"]
    assert made["name"].to_list() == ["data", "model", "events"] * 6


def test_the_history_of_a_feature_tells_its_values() -> None:
    rows = table(300)
    row = feature_history(fitted(), rows, "lamps:v3").row(0, named=True)
    known = rows["price"].drop_nulls().to_numpy()
    assert (row["model_version"], row["feature"], row["n"]) == ("lamps:v3", "price", 300)
    assert row["null_share"] == pytest.approx(1 - len(known) / 300)
    assert (row["mean"], row["sd"]) == pytest.approx((known.mean(), known.std(ddof=1)))
    names = ("min", "p05", "p25", "median", "p75", "p95", "max")
    assert [row[name] for name in names] == pytest.approx(np.quantile(known, [0, 0.05, 0.25, 0.5, 0.75, 0.95, 1]))


@pytest.mark.parametrize("objective", ["regression", "tweedie"])
def test_the_history_of_a_feature_tells_how_much_it_counts_and_which_way(objective: str) -> None:
    scorer, rows = fitted(objective), table(300)
    history, parts = feature_history(scorer, rows, "lamps:v3"), contributions(scorer, rows, KEY)
    for row in history.iter_rows(named=True):
        of = parts.filter(pl.col("name") == row["feature"])
        known = of.drop_nulls("value")
        assert row["effect"] == pytest.approx(of["contribution"].abs().mean())
        assert row["rank_correlation"] == pytest.approx(stats.spearmanr(known["value"], known["contribution"]).statistic)
    assert history["effect_share"].sum() == pytest.approx(1)
    assert history["direction"].to_list()[:2] == [-1, 1]


def test_a_sample_of_rows_gives_the_same_history_each_time_and_the_values_of_all_rows() -> None:
    scorer, rows = fitted(), table(300)
    some, again, all_rows = (feature_history(scorer, rows, "lamps:v3", sample=n) for n in (50, 50, 300))
    told = [name for name in some.columns if name not in ("effect", "effect_share", "rank_correlation", "direction")]
    assert some.equals(again)
    assert some.select(told).equals(all_rows.select(told))
    assert not some["effect"].equals(all_rows["effect"])


def test_a_feature_without_values_that_differ_or_without_numbers_has_no_direction() -> None:
    raw = np.column_stack([np.arange(4.0), np.arange(4.0), np.zeros(4), np.ones(4)])
    rows = table(4).with_columns(wick=1)
    made = feature_history(Told(raw, raw.sum(axis=1), features=("lamp", "wick", "open")), rows, "lamps:v1")
    assert made["direction"].to_list() == [None, None, None]
    assert made["mean"].to_list() == [None, 1.0, rows["open"].mean()]
    assert made["effect_share"].to_list() == [0.5, 0.5, 0.0]
    assert made["null_share"].to_list() == [0.0, 0.0, 0.0]


def test_a_model_that_makes_nothing_of_its_features_gives_none_of_them_a_share() -> None:
    made = feature_history(Told(np.ones((4, 4)) * [0, 0, 0, 1], np.ones(4)), table(4), "lamps:v1")
    assert made["effect_share"].null_count() == made["direction"].null_count() == 3


def parts_of(base: float, **features: float) -> pl.DataFrame:
    rows = [("base", "base", base), *(("feature", name, part) for name, part in features.items())]
    return pl.DataFrame(rows, ["part", "name", "contribution"], orient="row")


MONDAY = date(2025, 11, 24)
SAID = [
    (
        parts_of(410, units_28d_ago=-24, units_mean_28d=18, price=29, weekday=115),
        "Monday 24 Nov: 548 pieces, 138 more than a usual day (410). Main reasons: weekday +115, price +29; units_28d_ago -24.",
    ),
    (parts_of(410, up=9, down=-19.4), "Monday 24 Nov: 400 pieces, 10 less than a usual day (410). Main reasons: down -19; up +9."),
    (parts_of(410, up=9, down=-9), "Monday 24 Nov: 410 pieces, as on a usual day (410). Main reasons: up +9; down -9."),
    (parts_of(410, up=0.3), "Monday 24 Nov: 410 pieces, as on a usual day (410)."),
    (parts_of(12000.4, up=1234), "Monday 24 Nov: 13,234 pieces, 1,234 more than a usual day (12,000). Main reasons: up +1,234."),
    (parts_of(0.31, up=2.95), "Monday 24 Nov: 3.26 pieces, 2.95 more than a usual day (0.31). Main reasons: up +2.95."),
    (parts_of(-4.0, up=4.0), "Monday 24 Nov: 0.00 pieces, 4.00 more than a usual day (-4.00). Main reasons: up +4.00."),
    (parts_of(0.0), "Monday 24 Nov: 0 pieces, as on a usual day (0)."),
]


@pytest.mark.parametrize(("parts", "said"), SAID, ids=[said for _, said in SAID])
def test_a_forecast_is_told_in_a_sentence(parts: pl.DataFrame, said: str) -> None:
    assert sentence(parts, MONDAY, "pieces") == said


def test_the_changes_that_stand_beside_the_parts_do_not_enter_the_sentence() -> None:
    scorer, rows = fitted(), table(2).head(1)
    parts = contributions(scorer, rows, KEY)
    both = pl.concat([parts, changed(scorer, rows, KEY, Before(rows.select(*KEY, said="units"), "said"))])
    assert sentence(both, MONDAY, "lamps") == sentence(parts, MONDAY, "lamps")
    assert sentence(parts, MONDAY, "lamps").startswith(f"Monday 24 Nov: {scorer.predict(rows)[0]:.2f} lamps, ")


def test_as_many_reasons_are_named_as_are_asked_for() -> None:
    assert sentence(parts_of(10, a=1, b=2, c=3), MONDAY, "pieces", reasons=2).endswith("Main reasons: c +3.0, b +2.0.")
