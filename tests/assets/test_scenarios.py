"""The scenarios: the same settings make the same bytes, and each differs from the quiet one where and as its truth says."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from functools import cache

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from assets.contracts import Holiday, Sale
from assets.daily_demand import entries
from assets.daily_demand import lines as product_lines
from assets.demand import demand
from assets.scenario_weeks import LINE, PRODUCTS, real_weeks
from assets.scenarios import SCENARIOS, scenarios
from lightkeeper.errors import Refused
from lightkeeper.measure.contract import Split, split
from lightkeeper.orchestrate.scenario import Script, Settings

BY_NAME = {one.name: one for one in SCENARIOS}
NAMES = [
    "quiet", "season", "campaign", "lockdown", "calibration", "population", "late", "missing", "duplicates", "slow", "poison",
    "new-normal", "hopeless",
]  # fmt: skip
SEEDS = (1, 2, 3)
FIRST, TURNS = date(2025, 1, 6), date(2025, 2, 17)
EMPTY = pl.DataFrame(schema={"day": pl.Date, "row": pl.Int64, **dict.fromkeys(LINE, pl.String)})


@cache
def made(name: str, seed: int = 1, magnitude: float | None = None, after_days: int = 28) -> Script:
    """A scenario with six quiet weeks before it turns."""
    return BY_NAME[name].script(Settings(seed, magnitude, 6, after_days, FIRST))


def files(script: Script) -> dict[date, bytes]:
    """Day -> the file of its sales."""
    return {one.day: one.files[path] for one in script.days for path in one.files if path == f"sales/sales-{one.day}.csv"}


def landed(script: Script, since: date = FIRST, until: date = date.max) -> Split:
    """The lines of some days, parted by the contract."""
    return split(pl.concat([EMPTY, *_read(script, since, until)]), Sale, keep=())


def _read(script: Script, since: date, until: date) -> Iterator[pl.DataFrame]:
    for day, text in files(script).items():
        if since <= day < until:
            lines = pl.read_csv(text, infer_schema=False)
            yield lines.select(pl.lit(day).alias("day"), pl.int_range(2, pl.len() + 2).alias("row"), *LINE)


def pair(name: str, seed: int, magnitude: float | None = None) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The accepted lines of the abnormal days: what they would have been, and what they are."""
    script = made(name, seed, magnitude)
    until = script.truth.ends or date.max
    return landed(made("quiet", seed), TURNS, until).accepted, landed(script, TURNS, until).accepted


def units(lines: pl.DataFrame) -> pl.DataFrame:
    """Pieces and lines of each product and day."""
    daily = product_lines(lines.lazy()).group_by("product", "day").agg(pl.col("quantity").sum(), pl.len())
    return daily.sort("product", "day").collect()


# ---- every scenario


def test_the_scenarios_are_those_that_were_asked_for() -> None:
    assert [one.name for one in SCENARIOS] == NAMES
    assert all(one.description.endswith(".") and one.unit for one in SCENARIOS)


@pytest.mark.parametrize(
    ("name", "kind", "table", "days"),
    [
        ("quiet", None, None, None), ("season", None, None, None), ("campaign", "concept", "daily_demand", 10),
        ("lockdown", "concept", "sales", 140), ("calibration", "instrument", "sales", None),
        ("population", "population", "sales", None), ("late", "arrival", "sales", 1), ("missing", "arrival", "sales", 1),
        ("duplicates", "duplicates", "sales", 5), ("slow", "slow", "basket_pairs", None), ("poison", "poison", "sales", 1),
        ("new-normal", "concept", "sales", None), ("hopeless", "concept", "sales", None),
    ],
)  # fmt: skip
def test_the_truth_says_its_kind_where_it_shows_and_how_long(
    name: str, kind: str | None, table: str | None, days: int | None
) -> None:
    truth = made(name).truth
    assert (truth.kind, truth.table) == (kind, table)
    assert truth.starts == (TURNS if kind else None)
    assert truth.ends == (TURNS + timedelta(days) if days else None)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", NAMES)
def test_the_same_settings_make_the_same_bytes_and_another_seed_others(name: str, seed: int) -> None:
    once, other = made(name, seed), made(name, seed + 1)
    assert made.__wrapped__(name, seed) == once
    assert [one.arrives for one in other.days] != [one.arrives for one in once.days]
    assert (files(other) == files(once)) is (name == "season")  # whose weeks are not drawn


def test_weeks_that_are_read_anew_make_the_same_bytes() -> None:
    once = made("hopeless")
    real_weeks.cache_clear()
    assert made.__wrapped__("hopeless") == once


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", ["quiet", "season", "slow"])
def test_days_on_which_nothing_happens_keep_the_contract_wholly(name: str, seed: int) -> None:
    parts = landed(made(name, seed, after_days=150))
    assert parts.rejected.height == 0
    assert parts.accepted.height > 20_000
    assert parts.accepted["stock_code"].str.to_uppercase().n_unique() == PRODUCTS


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", [one for one in NAMES if one != "season"])
def test_a_scenario_is_the_quiet_one_before_it_turns_and_after_it_ended(name: str, seed: int) -> None:
    script, quiet = made(name, seed), files(made("quiet", seed))
    found, truth = files(script), script.truth
    differ = {day for day in quiet if found.get(day) != quiet[day]}
    assert script.turns == TURNS
    if name in {"quiet", "slow", "late"}:
        assert differ == set()
    else:
        assert min(differ) == truth.starts == TURNS
        assert differ <= {day for day in quiet if TURNS <= day < (truth.ends or date.max)}
        assert len(differ) >= 0.75 * sum(TURNS <= day < (truth.ends or date.max) for day in quiet)


@pytest.mark.parametrize(
    ("name", "columns"),
    [("calibration", {"price_gbp"}), ("population", {"country"}), ("new-normal", {"quantity"}), ("hopeless", {"quantity"}),
     ("poison", {"quantity", "price_gbp", "country"})],
)  # fmt: skip
def test_the_columns_that_move_are_those_of_the_truth_and_no_line_is_lost(name: str, columns: set[str]) -> None:
    script = made(name, 2)
    quiet, found = (list(_read(one, TURNS, script.truth.ends or date.max)) for one in (made("quiet", 2), script))
    before, after = pl.concat(quiet), pl.concat(found)
    assert {column for column in LINE if not before[column].equals(after[column])} == columns == set(script.truth.columns)


@pytest.mark.parametrize("name", NAMES)
def test_every_invoice_is_of_one_day_and_one_country_and_no_number_is_used_twice(name: str) -> None:
    lines = landed(made(name, 3)).accepted
    each = lines.group_by("invoice").agg(pl.col("day").n_unique(), pl.col("country").n_unique(), pl.col("invoiced_at").n_unique())
    assert each["day"].max() == each["country"].max() == 1
    assert lines["invoice"].str.tail(6).n_unique() == each.height


def test_a_week_trades_on_six_days_and_the_holidays_come_with_the_first() -> None:
    for name in ("quiet", "season"):
        script = made(name)
        assert {day.weekday() for day in files(made("quiet"))} == {0, 1, 2, 3, 4, 6}
        assert [one.day for one in script.days if "holidays/holidays.csv" in one.files] == [FIRST]
        listed = pl.read_csv(script.days[0].files["holidays/holidays.csv"], try_parse_dates=True)
        assert split(listed, Holiday, keep=()).rejected.height == 0
        assert set(listed["day"]) & set(files(script)) == set()


@pytest.mark.parametrize("seed", SEEDS)
def test_quiet_days_have_no_yearly_course(seed: int) -> None:
    weekly = landed(made("quiet", seed, after_days=46 * 7)).accepted.group_by(pl.col("day").dt.truncate("1w")).len().sort("day")
    first, last = weekly["len"].head(26).mean(), weekly["len"].tail(26).mean()
    assert weekly.height == 52
    assert first == pytest.approx(last, rel=0.12)
    assert weekly["len"].max() <= max(real_weeks().weeks[place].height for place in real_weeks().calm)


def test_more_products_can_be_asked_for() -> None:
    (quiet,) = (one for one in scenarios(80) if one.name == "quiet")
    parts = landed(quiet.script(Settings(1, None, 6, 28, FIRST)))
    assert parts.rejected.height == 0
    assert parts.accepted["stock_code"].str.to_uppercase().n_unique() == 80


# ---- what each is


def test_a_season_is_the_real_weeks_in_their_order_and_is_no_defect() -> None:
    script = BY_NAME["season"].script(Settings(history_weeks=100, after_days=28))
    weekly = landed(script).accepted.group_by((pl.col("day") - FIRST).dt.total_days() // 7).len().sort("day")
    real = [week.height for week in real_weeks().weeks]
    assert dict(weekly.iter_rows()) == {place: height for place, height in enumerate(real) if height}
    assert (script.truth.kind, script.truth.starts) == (None, None)
    with pytest.raises(Refused, match=r"104 real weeks; 100 weeks of history and 29 days after it need 105: ask for fewer"):
        BY_NAME["season"].script(Settings(history_weeks=100, after_days=29))


@pytest.mark.parametrize("seed", SEEDS)
def test_a_campaign_triples_the_lines_and_pieces_of_the_steadiest_seller_alone(seed: int) -> None:
    quiet, found = pair("campaign", seed)
    product = real_weeks().steadiest
    ours, others = pl.col("product") == product, pl.col("product") != product
    tripled = units(quiet).filter(ours).with_columns(pl.col("quantity") * 3, pl.col("len") * 3)
    assert_frame_equal(units(found).filter(ours), tripled)
    assert_frame_equal(units(found).filter(others), units(quiet).filter(others))
    assert product in made("campaign", seed).truth.what
    half = units(pair("campaign", seed, 1.5)[1]).filter(ours)["len"].sum()
    assert half / units(quiet).filter(ours)["len"].sum() == pytest.approx(1.5, abs=0.25)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_lockdown_drops_whole_invoices_for_eight_weeks_and_gives_them_back_in_twelve(seed: int) -> None:
    kept = []
    quiet, found = (landed(made(name, seed, after_days=160)).accepted for name in ("quiet", "lockdown"))
    for since, until in [(0, 56), (56, 84), (84, 112), (112, 140), (140, 160)]:
        some = pl.col("day").is_between(TURNS + timedelta(since), TURNS + timedelta(until), closed="left")
        kept.append(found.filter(some)["invoice"].n_unique() / quiet.filter(some)["invoice"].n_unique())
    assert kept == pytest.approx([0.4, 0.5, 0.7, 0.9, 1.0], abs=0.04)
    assert kept[-1] == 1
    assert_frame_equal(found.drop("row"), quiet.filter(pl.col("invoice").is_in(found["invoice"].implode())).drop("row"))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("magnitude", [None, 0.2])
def test_a_calibration_raises_each_price_by_its_share_to_four_decimals(seed: int, magnitude: float | None) -> None:
    quiet, found = pair("calibration", seed, magnitude)
    wanted = [round(price * (1 + (magnitude or 0.07)), 4) for price in quiet["price_gbp"]]
    assert found["price_gbp"].to_list() == pytest.approx(wanted, abs=1e-9)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_population_moves_a_share_of_the_home_invoices_to_the_countries_abroad(seed: int) -> None:
    quiet, found = (one.unique("invoice").sort("invoice") for one in pair("population", seed))
    home = quiet["country"] == "United Kingdom"
    moved = found.filter(home).filter(pl.col("country") != "United Kingdom")["country"]
    assert moved.len() / home.sum() == pytest.approx(0.3, abs=0.05)
    assert found.filter(~home).equals(quiet.filter(~home))
    assert (moved == "Germany").mean() == pytest.approx(real_weeks().abroad["Germany"], abs=0.08)
    assert set(moved) <= set(real_weeks().abroad)


@pytest.mark.parametrize("seed", SEEDS)
def test_files_arrive_in_the_night_after_their_day_and_the_late_one_two_days_later(seed: int) -> None:
    quiet = {one.day: one.arrives for one in made("quiet", seed).days}
    late = {one.day: one.arrives for one in made("late", seed).days}
    for day, at in quiet.items():
        due = datetime.combine(day + timedelta(1), time(2), UTC)
        assert at is None if day.weekday() == 5 else at is not None and due <= at < due + timedelta(minutes=10)
    at = quiet[TURNS]
    assert at is not None
    assert late == {**quiet, TURNS: at + timedelta(2)}
    assert {one.day: one.arrives for one in made("late", seed, 5).days} == {**quiet, TURNS: at + timedelta(5)}


@pytest.mark.parametrize("seed", SEEDS)
def test_the_missing_file_never_comes_and_the_others_do(seed: int) -> None:
    quiet, script = made("quiet", seed), made("missing", seed)
    absent = [one for one in script.days if one.day == TURNS]
    assert [(dict(one.files), one.arrives) for one in absent] == [({}, None)]
    assert [one for one in script.days if one.day != TURNS] == [one for one in quiet.days if one.day != TURNS]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_share_of_the_lines_stands_twice_more_once_for_the_contract_to_find_and_once_on_a_new_invoice(seed: int) -> None:
    script = made("duplicates", seed)
    quiet, parts = (
        landed(made("quiet", seed), TURNS, script.truth.ends or date.max).accepted,
        landed(script, TURNS, script.truth.ends or date.max),
    )
    again = {day: round(0.3 * lines) for day, lines in quiet.group_by("day").len().iter_rows()}
    assert parts.counts == {"not_a_repeated_line": parts.rejected.height}
    assert dict(parts.rejected.group_by("day").len().iter_rows()) == again
    new = parts.accepted.filter(~pl.col("invoice").is_in(quiet["invoice"].implode()))
    assert new.height == parts.rejected.height == parts.accepted.height - quiet.height
    assert new.join(quiet, on=["day", *LINE[1:]], how="anti", nulls_equal=True).height == 0
    assert quiet["day"].n_unique() == 5


@pytest.mark.parametrize("seed", SEEDS)
def test_poison_is_readable_and_within_the_contract_and_far_from_the_truth(seed: int) -> None:
    quiet, found = pair("poison", seed)
    assert found.height >= 0.99 * quiet.height  # pieces at the limit may make two lines of an invoice one
    assert set(found["country"]) == {"???"}
    assert set(found["day"]) == {TURNS}
    both = quiet.join(found, on="row", suffix="_now")
    assert both["quantity_now"].equals((both["quantity"] * 1000).clip(-99_999, 99_999).alias("quantity_now"))
    assert both["price_gbp_now"].to_list() == pytest.approx([min(price * 100, 999.99) for price in both["price_gbp"]])
    assert (pair("poison", seed, 0.4)[1]["country"] == "???").mean() == pytest.approx(0.4, abs=0.15)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_new_normal_has_its_times_the_pieces_for_ever(seed: int) -> None:
    quiet, found = pair("new-normal", seed)
    assert max(abs(now - 1.6 * was) for was, now in zip(quiet["quantity"], found["quantity"], strict=True)) <= 0.5
    assert found["quantity"].sum() / quiet["quantity"].sum() == pytest.approx(1.6, abs=0.05)
    assert made("new-normal", seed).truth.ends is None


@pytest.mark.parametrize("seed", SEEDS)
def test_hopeless_pieces_are_those_of_other_lines_of_the_day_times_noise_of_the_stated_width(seed: int) -> None:
    quiet, found = (pl.concat(_read(made(name, seed), TURNS, date.max)) for name in ("quiet", "hopeless"))
    mixed = pl.concat(_read(made("hopeless", seed, 0), TURNS, date.max))  # the same without noise
    pieces = [one.select("day", pl.col("quantity").cast(pl.Int64)) for one in (quiet, mixed, found)]
    assert_frame_equal(*(one.sort("day", "quantity") for one in pieces[:2]))
    was, other, now = (one["quantity"] for one in pieces)
    assert abs(pl.DataFrame([was.alias("a"), other.alias("b")]).select(pl.corr("a", "b", method="spearman")).item()) < 0.1
    noise = (now / other).filter(other >= 48).log()  # enough pieces not to be cut off at one
    assert (noise.mean(), noise.std()) == pytest.approx((0, 1.5), abs=0.2)
    assert (now * other).min() > 0


# ---- settings that are refused


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (Settings(magnitude=-0.1), r"a magnitude of -0.1: give one from 0 to 1"),
        (Settings(magnitude=float("nan")), r"a magnitude of nan: give one from 0 to 1"),
        (Settings(magnitude=1001), r"a magnitude of 1001: give one from 0 to 1"),
        (Settings(history_weeks=0), r"a history of 0 weeks: give 1 or more"),
        (Settings(after_days=0), r"0 days after the history: give 1 or more"),
        (Settings(seed=-1), r"the seed -1: give 0 or above"),
        (Settings(first=date(2025, 1, 7)), r"the first day 2025-01-07, a Tuesday: give a Monday, such as 2025-01-06"),
    ],
)
@pytest.mark.parametrize("name", NAMES)
def test_bad_settings_are_refused_with_the_value_and_the_next_step(name: str, settings: Settings, said: str) -> None:
    with pytest.raises(Refused, match=f"The scenario {name} cannot be made from {said}"):
        BY_NAME[name].script(settings)


@pytest.mark.parametrize("name", ["lockdown", "population", "duplicates", "poison"])
def test_a_share_above_one_is_refused(name: str) -> None:
    with pytest.raises(Refused, match=r"a magnitude of 1\.2: give one from 0 to 1"):
        made(name, magnitude=1.2)


def test_a_lockdown_of_everything_leaves_files_of_a_header_alone() -> None:
    script = made("lockdown", magnitude=1)
    assert landed(script, TURNS).accepted.height == 0
    assert {text.decode() for day, text in files(script).items() if day >= TURNS} == {",".join(LINE) + "\n"}


@pytest.mark.parametrize("name", ["lockdown", "new-normal", "hopeless"])
def test_a_story_of_retraining_has_a_year_to_learn_from_and_time_for_an_attempt(name: str) -> None:
    scenario = BY_NAME[name]
    assert scenario.history_weeks * 7 >= 364 + demand.horizon + 7
    assert scenario.after_days >= demand.horizon + 7 + 28


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", ["quiet", "season"])
def test_a_product_enters_the_panel_within_the_least_weeks_and_none_within_fewer(name: str, seed: int) -> None:
    least = BY_NAME[name].least_weeks
    for weeks, enters in ((least, True), (least - 1, False)):
        sales = landed(BY_NAME[name].script(Settings(seed, None, weeks, 1)), until=FIRST + timedelta(weeks=weeks)).accepted
        assert bool(entries(sales.lazy()).height) == enters
