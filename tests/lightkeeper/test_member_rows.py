"""Members of a column with odd numbers of rows: who is named, who is not, and when nothing can be told."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pytest
from numpy.typing import NDArray

from lightkeeper.measure.member_rows import MemberRows, member_rows
from lightkeeper.values import Verdict

FIRST = date(2025, 1, 6)
NAMES = [f"P{number:02}" for number in range(30)]
Counts = NDArray[np.int64]


def quiet(seed: int, days: int = 150, members: int = 30) -> Counts:
    """Rows a day and member: few of many and many of few, twice as many on Fridays."""
    random = np.random.default_rng(seed)
    usual = np.linspace(1, 12, members)
    fridays = np.array([2 if day.weekday() == 4 else 1 for day in dates(days)])
    return random.poisson(usual * fridays[:, None]).astype(np.int64)


def dates(n: int) -> list[date]:
    return [FIRST + timedelta(number) for number in range(n)]


def judged(counts: Counts, *others: MemberRows) -> Verdict:
    return member_rows(dates(len(counts)), [MemberRows("product", NAMES[: counts.shape[1]], counts), *others], counts.sum(axis=1))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_member_with_three_times_its_rows_is_named_on_the_fifth_day_at_the_latest(seed: int) -> None:
    counts = quiet(seed)
    counts[-5:, 12] *= 3
    found = judged(counts)
    assert (found.state, found.check, found.column, found.extra["member"]) == ("failed", "members", "product", "P12")
    assert f"product P12 has {found.extra['rows']} in" in found.why
    assert float(str(found.extra["rows"])) > 2 * float(str(found.extra["usual"]))


@pytest.mark.parametrize("members", [3, 5, 10])
def test_one_of_few_members_that_triples_is_named_and_hardly_ever_another(members: int) -> None:
    found = []
    for seed in range(20):
        counts = np.random.default_rng(seed).poisson(100, (150, members)).astype(np.int64)
        counts[-3:, 1] *= 3
        found.append(judged(counts))
    assert {one.extra["member"] for one in found} == {"P01"}
    assert sum(one.measured or 0 for one in found) <= 22  # of 20 that are right


@pytest.mark.parametrize("who", [12, 25])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_campaign_of_months_ago_hides_none_of_today(seed: int, who: int) -> None:
    counts = quiet(seed)
    counts[60:70, who] *= 3
    counts[-5:, 12] *= 3
    assert judged(counts).extra.get("member") == "P12"


def test_a_member_that_stays_away_is_named() -> None:
    counts = quiet(4)
    counts[-5:, 25] = 0
    found = judged(counts)
    assert (found.state, found.extra["member"], found.extra["rows"]) == ("failed", "P25", 0)


@pytest.mark.parametrize("seed", [5, 6])
def test_one_odd_day_is_no_alarm_and_a_second_one_is(seed: int) -> None:
    counts = quiet(seed)
    counts[-1, 12] = 30 * counts[:, 12].mean()
    assert judged(counts).state == "passed"
    counts[-2, 12] = counts[-1, 12]
    assert judged(counts).extra["member"] == "P12"


def test_quiet_days_seldom_name_anybody() -> None:
    counts = [quiet(seed, 300) for seed in (7, 8, 9, 10)]
    bad = [judged(one[:end]).bad for one in counts for end in range(200, 300, 5)]
    assert sum(bad) <= 0.05 * len(bad)


def test_a_month_of_history_names_nobody_more_often_than_it_says() -> None:
    bad = [judged(quiet(seed, 31, 12)).bad for seed in range(100, 200)]
    assert sum(bad) <= 3


@pytest.mark.parametrize("seed", [11, 12])
def test_a_week_in_which_everybody_buys_less_is_no_oddity_of_one(seed: int) -> None:
    counts = quiet(seed)
    fewer = np.random.default_rng(seed).binomial(counts[-5:], 0.4)
    assert judged(np.vstack([counts[:-5], fewer])).state == "passed"


@pytest.mark.parametrize(("gone", "least"), [(30, 1), (12, 10)])
def test_members_whose_rows_went_to_other_values_are_named_and_no_others(gone: int, least: int) -> None:
    counts = quiet(12)
    rows = counts.sum(axis=1)
    counts[-5:, 30 - gone :] = 0
    found = member_rows(dates(len(counts)), [MemberRows("product", NAMES, counts)], rows)
    assert (found.state, found.extra["rows"]) == ("failed", 0)
    assert least <= float(str(found.measured)) <= gone


@pytest.mark.parametrize("seed", [12, 13])
def test_new_values_beside_the_known_ones_make_none_of_them_odd(seed: int) -> None:
    counts = quiet(seed)
    rows = counts.sum(axis=1) * np.where(np.arange(len(counts)) < len(counts) - 5, 1, 2)
    assert member_rows(dates(len(counts)), [MemberRows("product", NAMES, counts)], rows).state == "passed"


def test_the_order_of_members_changes_nothing() -> None:
    counts = quiet(13)
    counts[-5:, 12] *= 3
    turned = member_rows(dates(len(counts)), [MemberRows("product", NAMES[::-1], counts[:, ::-1])], counts.sum(axis=1))
    assert (turned.why, turned.extra) == (judged(counts).why, judged(counts).extra)


def test_a_column_that_is_another_under_other_names_is_judged_once() -> None:
    counts = quiet(14)
    counts[-5:, 12] *= 3
    names = MemberRows("name", [f"called {name}" for name in NAMES], counts)
    assert judged(counts, names) == judged(counts)
    assert judged(counts).n == 30


def test_numbers_that_never_come_again_are_no_members() -> None:
    invoices = np.diag(np.full(150, 20)).astype(np.int64)
    found = member_rows(dates(150), [MemberRows("invoice", [str(number) for number in range(150)], invoices)], invoices.sum(axis=1))
    assert (found.state, found.why) == ("passed", "No column of this table, its key aside, has values that come again day by day.")


def test_a_young_table_is_learning_and_says_for_how_many_days_more() -> None:
    found = judged(quiet(15, days=20))
    assert (found.state, found.why) == ("learning", "20 days are known; 8 more tell which values come again.")


def test_the_first_day_of_its_weekday_is_learning_and_never_passed() -> None:
    days = [day for day in dates(150) if day.weekday() != 5][:100]
    saturday = next(day for day in dates(200) if day > days[-1] and day.weekday() == 5)
    counts = quiet(17, days=101)
    found = member_rows([*days, saturday], [MemberRows("product", NAMES, counts)], counts.sum(axis=1))
    assert (found.state, found.why) == ("learning", f"No Saturday is known yet that {saturday} could be compared with.")


def test_too_few_days_to_name_a_single_member_are_learning_and_never_passed() -> None:
    found = judged(quiet(16, days=36, members=2))
    assert found.state == "learning"
    assert "no single one could be named by 36 days" in found.why


@pytest.mark.parametrize("days", [0, 1, 40])
def test_a_table_without_a_text_column_has_nothing_to_show(days: int) -> None:
    assert member_rows(dates(days), [], np.full(days, 9)).state == "passed"
