"""The return rate: each row equals what a plain loop over the lines gives, knows nothing too early, and grows day by day."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import date, timedelta
from importlib import import_module
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

import lightkeeper as lk
from assets.returns import returns
from lightkeeper.errors import Refused
from lightkeeper.measure.contract import column_lineage, columns, known_ahead
from tests.assets.shop import FIRST, Shop, demand

back = import_module("assets.return_features")
DAYS, LAST = 330, FIRST + timedelta(329)
PRODUCTS = {"10001A": 0, "10002": 60}  # product -> its first day in the panel
MOVE = {"day": pl.Date, "stock_code": pl.String, "quantity": pl.Int64, "price_gbp": pl.Float64}
PANEL = {"product": pl.String, "day": pl.Date, "units": pl.Int64, "price_gbp": pl.Float64, "day_state": pl.String}


def lines(seed: int) -> pl.DataFrame:
    """Lines of two products and of postage; some are returns, some in another spelling."""
    chance, rows = random.Random(seed), []  # noqa: S311 - a seed
    for n in range(DAYS):
        for code in (*PRODUCTS, "10001a", "POST"):
            if chance.random() < 0.5:
                pieces = chance.choice([4, 9, 1, -2, -5])
                rows.append((FIRST + timedelta(n), code, pieces, chance.choice([1.5, 2.25])))
    return pl.DataFrame(rows, schema=MOVE, orient="row")


def panel(sales: pl.DataFrame, missing: int = 300, days: int = DAYS) -> pl.DataFrame:
    """The demand panel of the lines; the sales of one day are missing."""
    net, price = net_of(sales), price_of(sales)
    rows = [
        (product, day, None if n == missing else net.get((product, day), 0), price.get((product, day)), "traded")
        for product, entry in PRODUCTS.items()
        for n in range(entry, days)
        if (day := FIRST + timedelta(n))
    ]
    return pl.DataFrame(rows, schema=PANEL, orient="row")


def net_of(sales: pl.DataFrame) -> dict[tuple[str, date], int]:
    found: dict[tuple[str, date], int] = {}
    for day, code, pieces, _ in sales.iter_rows():
        found[code.upper(), day] = found.get((code.upper(), day), 0) + pieces
    return found


def price_of(sales: pl.DataFrame) -> dict[tuple[str, date], float]:
    return {(code.upper(), day): price for day, code, pieces, price in sales.iter_rows() if pieces > 0}


def made(sales: pl.DataFrame, rows: pl.DataFrame | None = None) -> pl.DataFrame:
    rows = panel(sales) if rows is None else rows
    return back.features(rows, back.moves(sales.lazy()), rows["day"].max())


def share(part: float, whole: float) -> float | None:
    return min(part / whole, 1) if whole else None


def by_hand(sales: pl.DataFrame, product: str, day: date, missing: int = 300) -> dict[str, float | None]:
    """Target and features of one row, by a plain loop over the lines that the panel knows."""
    entered, gap = FIRST + timedelta(PRODUCTS[product]), FIRST + timedelta(missing)
    mine = [row for row in sales.iter_rows() if row[1].upper() == product and row[0] >= entered and row[0] != gap]

    def window(lag: int, days: int) -> tuple[list[int], list[int]]:
        first, last = day - timedelta(lag + days - 1), day - timedelta(lag)
        inside = [row for row in mine if first <= row[0] <= last]
        sold, came = [row[2] for row in inside if row[2] > 0], [-row[2] for row in inside if row[2] < 0]
        return sold, came

    (now, came), (month, month_came), (quarter, quarter_came) = window(0, 28), window(28, 28), window(28, 91)
    half, half_came = window(28, 182)
    there = [one for n in range(28, 56) if (one := day - timedelta(n)) >= entered and one != gap and one <= LAST]
    return {
        "return_rate": share(sum(came), sum(now)) if day <= LAST and sum(now) >= 20 else None,
        "week": day.isocalendar().week,
        "return_rate_28d": share(sum(month_came), sum(month)),
        "return_rate_91d": share(sum(quarter_came), sum(quarter)),
        "return_rate_182d": share(sum(half_came), sum(half)),
        "credit_share_182d": share(len(half_came), len(half) + len(half_came)),
        "sold_mean_28d": sum(month) / len(there) if there else None,
        "pieces_a_line_91d": sum(quarter) / len(quarter) if quarter else None,
    }


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_target_and_features_equal_a_plain_loop_over_the_lines(seed: int) -> None:
    sales = lines(seed)
    found = made(sales)
    rows = random.Random(seed).sample(list(found.iter_rows(named=True)), 80)  # noqa: S311 - a seed
    for row in rows:
        wanted = by_hand(sales, row["product"], row["day"])
        assert {name: row[name] for name in wanted} == pytest.approx(wanted, abs=1e-12), (row["product"], row["day"])


def sold(*moves: tuple[int, int]) -> pl.DataFrame:
    """Lines of one product: (day after the first, pieces)."""
    return pl.DataFrame([(FIRST + timedelta(n), "10001A", pieces, 1.0) for n, pieces in moves], schema=MOVE, orient="row")


def rate(sales: pl.DataFrame, day: int) -> float | None:
    rows = panel(sales, missing=-1, days=60)
    found: float | None = (
        made(sales, rows).filter(pl.col("day") == FIRST + timedelta(day), pl.col("product") == "10001A")["return_rate"].item()
    )
    return found


def test_a_return_counts_for_28_days_and_a_rate_needs_twenty_sold_pieces() -> None:
    sales = sold((0, 40), (10, -4), (27, 20))
    assert [rate(sales, day) for day in (9, 10, 27)] == [0.0, 0.1, 4 / 60]
    assert [rate(sales, day) for day in (28, 37, 38)] == [0.2, 0.2, 0.0]
    assert rate(sold((0, 19), (1, -1)), 5) is None


def test_more_returned_than_sold_in_the_window_is_a_rate_of_one() -> None:
    assert rate(sold((0, 20), (3, -90)), 5) == 1.0


def test_a_product_that_is_not_sold_has_no_rate() -> None:
    assert rate(sold((0, 20), (40, -5)), 45) is None


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 50), st.integers(60, 250))
def test_nothing_that_lands_after_a_cut_changes_a_feature_of_the_28_days_after_it(seed: int, cut: int) -> None:
    sales, day = lines(seed), FIRST + timedelta(cut)
    whole = made(sales)
    then = made(sales.filter(pl.col("day") <= day), panel(sales).filter(pl.col("day") <= day))
    after = pl.col("day").is_between(day + timedelta(1), day + timedelta(28))
    entered = whole.filter(after, pl.col("product").is_in(then["product"].unique().implode()))
    assert then.filter(after)["return_rate"].null_count() == then.filter(after).height
    assert_frame_equal(then.filter(after).drop("return_rate"), entered.drop("return_rate"), check_exact=True)


@pytest.mark.parametrize("seed", [4, 5, 6])
def test_a_target_knows_its_own_day_and_no_later_one(seed: int) -> None:
    sales, day = lines(seed), FIRST + timedelta(200)
    one = pl.DataFrame([(day, "10002", 50, 1.5)], schema=MOVE, orient="row")
    rows = panel(sales)
    was, now = made(sales, rows), made(pl.concat([sales, one]), rows)
    mine = pl.col("product") == "10002"
    other = was.filter(mine)["return_rate"].ne_missing(now.filter(mine)["return_rate"])
    assert set(was.filter(mine).filter(other)["day"]) == {day + timedelta(n) for n in range(28)}


def test_the_window_of_the_target_ends_before_its_features_begin_and_naive_looks_back_over_it() -> None:
    assert back.WINDOW <= back.HORIZON == returns.horizon
    assert returns.season == back.WINDOW
    ahead = [each.days for name, each in back.DECLARED.items() if name not in {"sold", "returned"}]
    assert min(ahead) == back.HORIZON


def test_each_feature_of_the_model_is_known_ahead_and_each_column_says_what_it_is_and_comes_from() -> None:
    assert set(returns.features) == set(known_ahead(back.ReturnFeatures))
    assert returns.target not in known_ahead(back.ReturnFeatures)
    assert [one.name for one in columns(back.ReturnFeatures) if not one.description] == []
    assert set(back.ReturnFeatures.column_names()) - set(column_lineage(back.ReturnFeatures)) == {"week"}


def test_the_model_is_declared_in_at_most_twelve_lines() -> None:
    text = (Path(back.__file__).parent / "returns.py").read_text()
    assert len([line for line in text.splitlines() if line.strip()]) <= 12


@dataclass
class Counter(Shop):
    """A shop of which only the panel and the returns are computed, each as the IO manager does: only what changed."""

    modes: dict[str, list[str]] = field(default_factory=lambda: {"daily_demand": [], "return_features": []})

    def lines(self, day: date, pieces: dict[str, int]) -> pl.DataFrame:
        return super().lines(day, {code: 9 * units for code, units in pieces.items()})

    def refresh(self) -> None:
        made = demand.daily_demand(self.input("daily_demand", "sales"), self.input("daily_demand", "holidays"))
        self.write("daily_demand", made, "sales", "holidays")
        made = back.return_features(*(self.input("return_features", table) for table in ("daily_demand", "sales")))
        self.write("return_features", made, "daily_demand", "sales")

    def whole(self) -> dict[str, pl.DataFrame]:
        panel = demand.panel(self.lake.read("sales"), self.lake.read("holidays"), None)
        return {"return_features": back.features(panel, back.moves(self.lake.read("sales")), panel["day"].max())}


@pytest.fixture
def three_days_to_enter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demand, "DAYS_SOLD_TO_ENTER", 3)


@pytest.mark.usefixtures("three_days_to_enter")
@pytest.mark.parametrize("seed", range(3))
def test_days_computed_one_by_one_equal_the_whole_table_computed_anew(seed: int, tmp_path: Path) -> None:
    shop = Counter.opened(tmp_path, seed, days=60)
    shop.refresh()
    for _ in range(6):
        shop.step()
        shop.refresh()
        assert_frame_equal(shop.rows("return_features"), shop.whole()["return_features"], check_exact=True)
    assert shop.modes["return_features"].count("whole") <= 2


@pytest.mark.usefixtures("three_days_to_enter")
@pytest.mark.parametrize("seed", [0, 1])
def test_a_correction_long_ago_is_followed_as_far_as_features_look_back(seed: int, tmp_path: Path) -> None:
    shop = Counter.opened(tmp_path, seed, days=260)
    shop.refresh()
    for ago in (1, 100, 230):
        shop.correct(ago)
        shop.refresh()
    assert_frame_equal(shop.rows("return_features"), shop.whole()["return_features"], check_exact=True)
    assert set(shop.modes["return_features"][1:]) == {"days"}


@pytest.mark.usefixtures("three_days_to_enter")
def test_a_correction_that_leaves_net_demand_as_it_was_still_reaches_the_return_rate(tmp_path: Path) -> None:
    shop = Counter.opened(tmp_path, 5, days=60)
    shop.refresh()
    day = shop.last - timedelta(3)
    old = shop.lake.read("sales").filter(pl.col("day") == day).collect()
    both = [
        old.head(1).with_columns(quantity=pl.lit(pieces, pl.Int64), row=pl.lit(90 + n, pl.Int64))
        for n, pieces in enumerate((70, -70))
    ]
    demanded = shop.lake.version("daily_demand")
    shop.lake.write("sales", pl.concat([old, *both]), by="day", replace=[day])
    before = shop.rows("return_features")
    shop.refresh()
    assert shop.lake.read("daily_demand", demanded).collect().equals(shop.lake.read("daily_demand").collect())
    assert not shop.rows("return_features").equals(before)
    assert_frame_equal(shop.rows("return_features"), shop.whole()["return_features"], check_exact=True)


@pytest.mark.usefixtures("three_days_to_enter")
def test_a_new_day_computes_itself_and_what_lies_ahead_of_it_and_nothing_before(tmp_path: Path) -> None:
    shop = Counter.opened(tmp_path, 7, days=260)
    shop.refresh()
    shop.arrive()
    shop.refresh()
    replaced = shop.lake.history("return_features")[0].replaced
    assert (min(replaced), max(replaced), len(replaced)) == (shop.last, shop.last + timedelta(28), 29)


def table(lake: lk.Lake, name: str, frame: pl.DataFrame) -> lk.TableInput:
    version = lake.write(name, frame)
    return lk.TableInput(version, lake.read(name, version))


def test_a_panel_without_a_product_and_sales_without_a_day_say_when_features_begin(tmp_path: Path) -> None:
    lake, sales = lk.Lake(tmp_path), lines(1)
    full, none = table(lake, "sales", sales), table(lake, "no_sales", sales.clear())
    with pytest.raises(Refused, match=r"no_panel@0 is empty: no product has sold on 100 days yet\. Land more days"):
        back.return_features(table(lake, "no_panel", panel(sales).clear()), full)
    with pytest.raises(Refused, match=r"no_sales@0 is empty: no day has landed\. Land more days"):
        back.return_features(table(lake, "daily_demand", panel(sales)), none)


def test_a_table_that_cannot_be_read_as_sales_or_as_a_panel_is_told(tmp_path: Path) -> None:
    lake, sales = lk.Lake(tmp_path), lines(1)
    rows = panel(sales)
    with pytest.raises(Refused, match=r"sales@0 has no column quantity; it has day, stock_code, price_gbp\."):
        back.return_features(table(lake, "daily_demand", rows), table(lake, "sales", sales.drop("quantity")))
    with pytest.raises(Refused, match="has a hole at"):
        back.return_features(table(lake, "holed", rows.filter(pl.col("day") != FIRST + timedelta(99))), table(lake, "moved", sales))
