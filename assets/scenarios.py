"""The scenarios: days of sales with a known truth, made from whole real days of the sample, drawn by weekday.

It owns when what happens, the truth of it, and the files that arrive. Which weeks and products the days are made of
stands in `scenario_weeks`, what a change does to lines in `scenario_changes`. A scenario is the quiet one of the same
settings but for its abnormal days; only `season` has other weeks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import partial

import numpy as np
import polars as pl

from assets import scenario_changes as changes
from assets.scenario_tables import slow_tables
from assets.scenario_weeks import LINE, PRODUCTS, WEEKS, RealWeeks, holidays_moved, real_weeks
from lightkeeper.errors import Refused
from lightkeeper.orchestrate.scenario import Scenario, ScenarioDay, Script, Settings, Truth

__all__ = ["SCENARIOS", "scenarios"]

_TIME = "%Y-%m-%d %H:%M:%S"
_ARRIVAL, _JITTER_SECONDS = time(2, tzinfo=UTC), 600  # of the next day, and up to ten minutes later
_WEEKS, _ARRIVALS, _CHANGE = range(3)  # what is drawn has a stream of its own, so that no draw moves another
_SHARE, _LARGEST = "share of ", 1000  # how the unit of a share begins; the largest magnitude that is none
_LEAST, _LEAST_YEARLY = 17, 19  # weeks in which a product sells on the days that `daily_demand` asks for; Christmas takes two more


@dataclass(frozen=True, slots=True)
class _Plot:
    """What happens in a scenario from the first day after the history on; see also `Scenario` and `Truth`.

    Attributes:
        what: the truth in a sentence, with {magnitude} and {product}, the steadiest seller.
        lasts: calendar days; None for ever.
        change: the lines of these days -> other lines.
        arrival: when the first abnormal day's file should arrive, and the magnitude -> when it does; None for never.
        yearly: the real weeks in their order instead of calm ones at random.
        played: weeks of history and days after it that tell the story: a model needs a year to learn from, weeks to be judged on.
    """

    name: str
    description: str
    what: str
    kind: str | None = None
    table: str | None = None
    columns: tuple[str, ...] = ()
    unit: str = "none"
    default: float = 0
    lasts: int | None = None
    change: Callable[[changes.Turn], pl.DataFrame] = changes.nothing
    arrival: Callable[[datetime, float], datetime | None] = lambda due, _: due
    yearly: bool = False
    played: tuple[int, int] = (26, 14)

    def truth(self, turns: date, magnitude: float, real: RealWeeks) -> Truth:
        """The truth of one script."""
        ends = None if self.lasts is None else turns + timedelta(self.lasts)
        what = self.what.format(magnitude=magnitude, product=real.steadiest)
        return Truth(self.kind, turns if self.kind else None, ends, self.table, self.columns, what)


def scenarios(products: int = PRODUCTS) -> tuple[Scenario, ...]:
    """Every scenario, made of the lines of so many products: those that sold on the most days of the calm weeks.

    A script raises Refused for settings that no days can be made from.
    """
    own = {"slow": slow_tables}
    return tuple(
        Scenario(
            one.name, one.description, one.unit, one.default, partial(_script, one, products), own.get(one.name), *one.played,
            least_weeks=_LEAST_YEARLY if one.yearly else _LEAST,
        )
        for one in _PLOTS
    )  # fmt: skip


def _script(plot: _Plot, products: int, settings: Settings) -> Script:
    magnitude = _checked(plot, settings)
    real, turns = real_weeks(products), settings.first + timedelta(weeks=settings.history_weeks)
    truth = plot.truth(turns, magnitude, real)
    lines = _undisturbed(plot, settings, real)
    abnormal = pl.col("day").is_between(turns, truth.ends or date.max, closed="left")
    turn = changes.Turn(lines.filter(abnormal), turns, magnitude, _chance(settings, _CHANGE), real)
    changed = pl.concat([lines.filter(~abnormal), plot.change(turn).select(lines.columns)])
    files = _files(lines["day"].unique(), changed.sort("day", "invoiced_at", maintain_order=True))
    files[settings.first]["holidays/holidays.csv"] = _csv(_holidays(plot, settings))
    arrivals = {day: at if day in files else None for day, at in _due(settings).items()}
    if (due := arrivals[turns]) is not None:
        arrivals[turns] = plot.arrival(due, magnitude)
    return Script(tuple(ScenarioDay(day, files[day] if at else {}, at) for day, at in arrivals.items()), turns, truth, settings)


# ---- settings, and the days that they ask for


def _checked(plot: _Plot, settings: Settings) -> float:
    """The magnitude. Raises Refused for settings that no days can be made from."""
    magnitude = plot.default if settings.magnitude is None else settings.magnitude
    top = 1 if plot.unit.startswith(_SHARE) else _LARGEST
    first = settings.first
    wrong = {
        f"a magnitude of {magnitude}: give one from 0 to {top}": not 0 <= magnitude <= top,
        f"a history of {settings.history_weeks} weeks: give 1 or more": settings.history_weeks < 1,
        f"{settings.after_days} days after the history: give 1 or more": settings.after_days < 1,
        f"the seed {settings.seed}: give 0 or above": settings.seed < 0,
        f"the first day {first}, a {first:%A}: give a Monday, such as {first - timedelta(first.weekday())}": first.weekday() > 0,
    }
    for what, is_wrong in wrong.items():
        if is_wrong:
            raise Refused(f"The scenario {plot.name} cannot be made from {what}.")
    return magnitude


def _chance(settings: Settings, stream: int) -> np.random.Generator:
    return np.random.default_rng([settings.seed, stream])


def _calendar_days(settings: Settings) -> int:
    return settings.history_weeks * 7 + settings.after_days


def _undisturbed(plot: _Plot, settings: Settings, real: RealWeeks) -> pl.DataFrame:
    """`day` and the columns of a file, before anything happens: calm days drawn by weekday, or all weeks in their order."""
    count = math.ceil(_calendar_days(settings) / 7)
    chosen = _chance(settings, _WEEKS).integers(len(real.calm), size=(count, 7))
    places = [[nth] * 7 for nth in range(count)] if plot.yearly else [[real.calm[one] for one in week] for week in chosen]
    if plot.yearly and count > WEEKS:
        asked = f"{settings.history_weeks} weeks of history and {settings.after_days} days after it"
        raise Refused(f"The scenario {plot.name} has {WEEKS} real weeks; {asked} need {count}: ask for fewer.")
    return real.drawn(places, settings.first).filter(pl.col("day") < settings.first + timedelta(_calendar_days(settings)))


def _holidays(plot: _Plot, settings: Settings) -> pl.DataFrame:
    """Those of the real weeks. Calm weeks have none, and a file of no rows has no types: it lists the Saturday before."""
    if plot.yearly:
        return holidays_moved(settings.first)
    return pl.DataFrame({"day": [settings.first - timedelta(2)], "name": ["Saturday before the first day"], "closed": [True]})


def _files(traded: Iterable[date], lines: pl.DataFrame) -> dict[date, dict[str, bytes]]:
    """Day of trade -> its file, by its path; a day that lost all its lines has a file of a header alone."""
    each = lines.partition_by("day", maintain_order=True, as_dict=True)
    return {day: {f"sales/sales-{day}.csv": _csv(each.get((day,), lines.clear()).select(LINE))} for day in traded}


def _csv(frame: pl.DataFrame) -> bytes:
    return frame.write_csv(datetime_format=_TIME).encode()


def _due(settings: Settings) -> dict[date, datetime]:
    """Every calendar day -> when its files should arrive."""
    days = [settings.first + timedelta(nth) for nth in range(_calendar_days(settings))]
    late = _chance(settings, _ARRIVALS).integers(_JITTER_SECONDS, size=len(days)).tolist()
    return {day: datetime.combine(day, _ARRIVAL) + timedelta(1, late[nth]) for nth, day in enumerate(days)}


# ---- what happens when

_PLOTS = (
    _Plot("quiet", "Calm days in a random order: nothing happens.", "nothing happens"),
    _Plot(
        "season", "The real yearly course, with holidays and Christmas.",
        "trade follows its yearly course, strongly; nothing is wrong", yearly=True,
    ),
    _Plot(
        "campaign", "One product sells several times as much for ten days.",
        "demand for {product}, the steadiest seller, is {magnitude:g} times what it was",
        "concept", "daily_demand", ("units",), "times", 3, lasts=10, change=changes.campaign,
    ),
    _Plot(
        "lockdown", "Trade falls for eight weeks and recovers over twelve.",
        "a share of {magnitude:g} of the invoices is lost for 8 weeks, then linearly fewer for 12",
        "concept", "sales", (), "share of invoices lost", 0.6,
        lasts=changes.DOWN_DAYS + changes.RECOVERY_DAYS, change=changes.lockdown, played=(65, 80),
    ),
    _Plot(
        "calibration", "Every price is off by one factor.", "every price is too high by a share of {magnitude:g}",
        "instrument", "sales", ("price_gbp",), "share above the true price", 0.07, change=changes.calibration,
    ),
    _Plot(
        "population", "Customers come from other countries than before.",
        "a share of {magnitude:g} of the United Kingdom's invoices goes to other countries",
        "population", "sales", ("country",), "share of invoices gone abroad", 0.3, change=changes.population,
    ),
    _Plot(
        "late", "One day's file comes days too late.", "the file comes {magnitude:g} days late",
        "arrival", "sales", (), "days", 2, lasts=1, arrival=lambda due, magnitude: due + timedelta(magnitude),
    ),
    _Plot(
        "missing", "One day's file never comes.", "the file never comes",
        "arrival", "sales", lasts=1, arrival=lambda _, __: None,
    ),
    _Plot(
        "duplicates", "Lines are sent again on five trading days.",
        "a share of {magnitude:g} of the lines stands there again, and once more under another invoice",
        "duplicates", "sales", (), "share of lines sent again", 0.3, lasts=5, change=changes.duplicates,
    ),
    _Plot(
        "slow", "Files of quiet; a step that reads them is ever slower.",
        "the step that makes basket_pairs takes ever longer", "slow", "basket_pairs",
    ),
    _Plot(
        "poison", "One day's file is readable garbage.",
        "a share of {magnitude:g} of the lines has senseless pieces, price and country",
        "poison", "sales", ("quantity", "price_gbp", "country"), "share of lines spoilt", 1, lasts=1, change=changes.poison,
    ),
    _Plot(
        "new-normal", "Every order is larger, for ever.", "every line has {magnitude:g} times its pieces, for ever",
        "concept", "sales", ("quantity",), "times", 1.6, change=changes.new_normal,
        played=(65, 63),
    ),
    _Plot(
        "hopeless", "Pieces become noise, for ever: nothing can be learnt.",
        "a line has another line's pieces of its day, times noise of sigma {magnitude:g}",
        "concept", "sales", ("quantity",), "sigma of the logarithm", 1.5, change=changes.hopeless,
        played=(65, 100),
    ),
)  # fmt: skip

SCENARIOS = scenarios()
