"""Freshness: data that come as they always do are hardly ever late, and those that do not come are, by the same rule."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta, timezone
from typing import Any

import numpy as np
import polars as pl
import pytest

from lightkeeper.errors import Refused
from lightkeeper.measure.freshness import Usual, arrivals, fresh, model_age
from lightkeeper.values import Verdict

SEEDS = [1, 2, 3]
MONDAY = date(2026, 1, 5)
HOUR = timedelta(hours=1)


def at(day: date, hours: float) -> datetime:
    return datetime.combine(day, time(), UTC) + hours * HOUR


def on(days: int) -> date:
    return MONDAY + timedelta(days=days)


def files(days: Sequence[date], hours: Any) -> pl.DataFrame:
    came = [at(day, float(delay)) for day, delay in zip(days, hours, strict=True)]
    return pl.DataFrame({"day": days, "arrived": came}, schema={"day": pl.Date, "arrived": pl.Datetime("us", "UTC")})


def opened(weeks: int, closed: Sequence[int] = (6,)) -> list[date]:
    return [on(n) for n in range(7 * weeks) if on(n).weekday() not in closed]


def shop(weeks: int = 8, hours: float = 30.0, closed: Sequence[int] = (6,)) -> Usual:
    """Arrivals 30 hours after the day's start, no data on Sundays; the newest day is the last Saturday."""
    days = opened(weeks, closed)
    return arrivals(files(days, [hours] * len(days)))


def delays(seed: int, tail: str, n: int) -> Any:
    random = np.random.default_rng(seed)
    return 30 + {"exponential": random.exponential(2, n), "normal": random.standard_normal(n)}[tail]


def learnt(weeks: int, promise: float | None, now: datetime, last: int = 54) -> Verdict:
    return fresh(on(last), now, shop(weeks), None if promise is None else promise * HOUR)


@pytest.mark.parametrize("tail", ["exponential", "normal"])
@pytest.mark.parametrize("weeks", [3, 8])
def test_at_most_two_usual_days_in_a_thousand_are_late_and_one_of_five_days_more_always_is(weeks: int, tail: str) -> None:
    late = 0
    for seed in range(150):
        days = opened(weeks + 1)
        hours = delays(seed, tail, len(days)) + [12 * (day.weekday() == 0) for day in days]
        usual = arrivals(files(days, hours).head(6 * weeks))
        late += sum(at(day, float(delay)) > usual.late_at(day) for day, delay in zip(days[-6:], hours[-6:], strict=True))
        assert all(at(day, 30 + 120) > usual.late_at(day) for day in days[-6:])
    assert late <= 5  # of 900, 1.8 expected at 0.2%


def test_a_weekday_has_a_delay_of_its_own_where_it_came_six_times_and_that_of_all_before() -> None:
    hours = {weeks: [30 + 12 * (day.weekday() == 0) for day in opened(weeks)] for weeks in (3, 8)}
    few, more = (arrivals(files(opened(weeks), hours[weeks])) for weeks in (3, 8))
    assert (few.median[0], few.median[1]) == (30 * HOUR, 30 * HOUR)
    assert (more.median[0], more.limit[0]) == (42 * HOUR, 43 * HOUR)
    assert (more.median[1], more.limit[1]) == (30 * HOUR, 31 * HOUR)


def test_weekdays_that_were_there_in_half_of_the_weeks_are_expected() -> None:
    days = [day for day in opened(8, ()) if day.weekday() != 6 or day < on(28)]
    assert arrivals(files(days, [30.0] * len(days))).weekdays == frozenset(range(7))
    assert arrivals(files(days[:1] + days[8:], [30.0] * (len(days) - 7))).weekdays == frozenset(range(6))


def test_what_is_older_than_eight_weeks_and_what_came_in_one_batch_tells_no_delay() -> None:
    days = opened(20)
    hours = [30.0 if day >= on(84) else (on(84) - day).days * 24.0 for day in days]
    assert arrivals(files(days, hours)) == arrivals(files(days, hours).tail(48))
    loaded = arrivals(files(days, [(on(150) - day).days * 24.0 for day in days]))
    assert (loaded.weekdays, loaded.limit) == (frozenset(range(6)), {})
    assert fresh(on(138), at(on(150), 0), loaded, None).state == "learning"


@pytest.mark.parametrize("apart", [1, 20, 35])
def test_a_backlog_that_came_in_many_runs_tells_no_delay_as_one_that_came_in_one(apart: int) -> None:
    days = [on(n) for n in range(56)]
    hours = [(on(41) - day).days * 24.0 + 9 for day in days[:40]] + [30.0] * 16
    runs = [hour + n * apart / 60 for n, hour in enumerate(hours[:40])] + hours[40:]
    one, many = (arrivals(files(days, each)) for each in (hours, runs))
    assert many == one
    assert one.limit[0] == 31 * HOUR
    assert fresh(on(55), at(on(58), 0), many, None).state == "failed"


@pytest.mark.parametrize("together", [1, 2, 7])
def test_days_that_usually_come_up_to_seven_at_once_are_no_backlog(together: int) -> None:
    days = [on(n) for n in range(56)]
    usual = arrivals(files(days, [24.0 * (together - n % together) + 6 for n in range(56)]))
    assert len(usual.limit) == 7


def test_what_would_be_late_only_weeks_later_is_learning_and_not_passed() -> None:
    days = [on(n) for n in range(56)]
    usual = arrivals(files(days, [30.0 + 24 * 10 * (n % 5 == 0) for n in range(56)]))
    found = fresh(on(55), at(on(57), 0), usual, None)
    assert found.state == "learning"
    assert found.why.endswith("delays so far apart that more than 14 days pass before a day is late.")
    assert fresh(on(55), at(on(155), 0), usual, None).state == "failed"
    assert fresh(on(55), at(on(57), 0), usual, 30 * HOUR).state == "passed"  # what is promised needs no learning


def test_a_second_file_of_a_day_is_no_delay() -> None:
    one = files(opened(8), [30.0] * 48)
    assert arrivals(pl.concat([files(opened(8), [99.0] * 48), one])) == arrivals(one)


@pytest.mark.parametrize(
    ("day", "hour", "state"), [(55, 12, "passed"), (56, 12, "passed"), (57, 6.9, "passed"), (57, 7.1, "failed")]
)
def test_after_a_saturday_it_is_late_when_monday_is_not_there_at_its_time(day: int, hour: float, state: str) -> None:
    found = learnt(8, None, at(on(day), hour))
    assert (found.check, found.state, found.extra["missing"]) == ("freshness", state, on(56))
    assert found.limit == pytest.approx(24 + 31)
    assert found.measured == pytest.approx(24 * (day - 55) + hour)
    assert "next is Monday 2026-03-02, usually there at 2026-03-03 06:00 UTC, and late from 2026-03-03 07:00" in found.why


@pytest.mark.parametrize(
    ("hours", "state"), [(23.0, "passed"), (24.0, "passed"), (54.0, "passed"), (54.1, "failed"), (500.0, "failed")]
)
def test_a_promise_does_not_count_a_closed_day(hours: float, state: str) -> None:
    found = learnt(8, 30, at(on(55), hours))
    assert found.state == state
    assert found.measured == pytest.approx(hours)


def test_a_promise_on_a_table_of_a_day_a_month_is_kept_or_broken_by_its_age() -> None:
    months = [date(2026, month, 28) for month in range(1, 7)]
    usual = arrivals(files(months, [30.0] * len(months)))
    assert fresh(months[-1], at(date(2026, 7, 20), 0), usual, timedelta(days=35)).state == "passed"
    assert fresh(months[-1], at(date(2026, 12, 1), 0), usual, timedelta(days=35)).state == "failed"
    assert fresh(months[-1], at(date(2026, 12, 1), 0), usual, None).state == "learning"


@pytest.mark.parametrize("usual", [None, arrivals(files([], []))])
def test_a_promise_needs_no_history_and_without_both_it_is_learning(usual: Usual | None) -> None:
    assert fresh(on(54), at(on(55), 31), usual, 30 * HOUR).state == "failed"
    assert fresh(on(54), at(on(55), 29), usual, 30 * HOUR).state == "passed"
    found = fresh(on(54), at(on(55), 31), usual, None)
    assert (found.state, found.limit, found.measured) == ("learning", None, 31.0)


@pytest.mark.parametrize("weeks", [1, 2, 3])
def test_a_week_is_too_little_to_be_late_by(weeks: int) -> None:
    found = learnt(weeks, None, at(on(200), 0), 7 * weeks - 2)
    assert found.state == ("failed" if weeks == 3 else "learning")
    assert "14 days and arrivals tell what is usual" in found.why or weeks == 3


def test_a_day_still_running_has_no_age() -> None:
    assert learnt(8, None, at(on(54), 12)).measured == 0.0


def test_without_a_day_or_with_one_after_now_nothing_is_measured() -> None:
    none, jumped = fresh(None, at(MONDAY, 0), shop(), HOUR), fresh(on(1), at(MONDAY, 23), shop(), HOUR)
    assert (none.state, jumped.state) == ("unknown", "unknown")
    assert jumped.why == "The newest event day 2026-01-06 lies after now (2026-01-05 23:00 UTC): the clock or the day is wrong."


@pytest.mark.parametrize("now", [datetime(2026, 1, 5), datetime(2026, 1, 5, tzinfo=timezone(HOUR))])  # noqa: DTZ001 - that is refused
def test_a_time_that_is_not_utc_is_refused(now: datetime) -> None:
    with pytest.raises(Refused, match="in UTC"):
        fresh(None, now, None, None)
    with pytest.raises(Refused, match="in UTC"):
        model_age(MONDAY, MONDAY, now, 1)


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        (pl.DataFrame({"day": [MONDAY]}), "a time in UTC"),
        (files([MONDAY], [1]).with_columns(pl.col("arrived").dt.replace_time_zone(None)), "a time in UTC"),
        (files([MONDAY], [1]).with_columns(day=pl.lit(None, pl.Date)), "with a null"),
    ],
)
def test_arrivals_that_cannot_be_are_refused(frame: pl.DataFrame, said: str) -> None:
    with pytest.raises(Refused, match=said):
        arrivals(frame)


@pytest.mark.parametrize(("most", "states"), [(100, ["passed", "passed"]), (30, ["failed", "passed"]), (10, ["failed", "failed"])])
def test_a_model_is_judged_by_its_age_and_by_the_matured_days_it_has_not_learnt_from(most: int, states: list[str]) -> None:
    old, unlearnt = model_age(MONDAY, on(20), at(on(48), 5), most)
    assert [old.check, unlearnt.check] == ["age", "unlearnt"]
    assert [old.state, unlearnt.state] == states
    assert (old.measured, unlearnt.measured, old.limit) == (48, 20, most)


def test_without_a_limit_or_with_a_day_after_now_the_age_is_unknown() -> None:
    for found in (model_age(MONDAY, on(1), at(on(2), 0), None), model_age(MONDAY, on(3), at(on(2), 0), 5)):
        assert [one.state for one in found] == ["unknown", "unknown"]
    assert model_age(on(2), MONDAY, at(on(2), 0), 0)[1].measured == 0
    with pytest.raises(Refused, match="-1 days"):
        model_age(MONDAY, MONDAY, at(MONDAY, 0), -1)
