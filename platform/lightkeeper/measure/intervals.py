"""Bands around forecasts that cover what they say: raw quantiles corrected by what matured.

Owns the calibration of a contender on its matured rows, and the bands it gives to rows ahead. What bands covered, totals
and sample paths, and which rows have matured, stay out.

Conformalized quantile regression (Romano, Patterson & Candes 2019) a series and week ahead on a rolling window, with
levels that follow the misses of past days (Gibbs & Candes 2021), and a window that begins anew at a confirmed break. A
level that too few days carry is refused, not guessed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

import numpy as np
import polars as pl

from lightkeeper.errors import BadDeclaration, Refused
from lightkeeper.measure.adapting import Adapting, found_break
from lightkeeper.measure.ladder import RUNGS, Ladder, Replay, needed
from lightkeeper.measure.residuals import NUMBERS, Residuals, Widths, checked, matured

__all__ = ["LEVELS", "Calibration", "Settings", "calibrate", "limit_names"]

LEVELS = (0.8, 0.95)
_WEEK = 7


@dataclass(frozen=True, slots=True)
class Settings:
    """How bands are made.

    Attributes:
        window: days, back from the last matured one, that a calibration stands on.
        floor_share: the least width of a raw band, as a share of the median width of all rows.
        floor_at: no limit lies below it: 0.0 for counts; sample paths are not floored. None for targets of either sign.
        find_breaks: whether a break that the misses confirm begins the window anew.
        gamma: pace at which a level follows the misses of a day; 0 keeps it.
        gamma_after_break: likewise from the first day after a break on.
    """

    window: int = 180
    floor_share: float = 0.01
    floor_at: float | None = None
    find_breaks: bool = True
    gamma: float = 0.02
    gamma_after_break: float = 0.05

    def __post_init__(self) -> None:
        positive = {"window": self.window, "floor_share": self.floor_share}
        wrong = [f"{name} {value}" for name, value in positive.items() if not value > 0]
        wrong += [f"{name} {value}" for name, value in self._paces.items() if not 0 <= value < 1]
        if wrong:
            raise BadDeclaration(f"Intervals with {', '.join(wrong)}: window and floor_share lie above 0, a pace in [0, 1).")

    @property
    def _paces(self) -> dict[str, float]:
        return {"gamma": self.gamma, "gamma_after_break": self.gamma_after_break}


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """What a contender's matured rows say of its bands.

    Attributes:
        keys: the columns that name a series.
        levels: those asked for, ascending.
        settings: how bands are made.
        refused: for each level that has no bands a sentence that says why.
        used: for each level the adapted one that its bands are made with; the level itself where nothing was missed yet.
        breaks: the first day after each break inside the window, those passed in and those found.
        n: matured rows inside the window.
        days: their distinct days.
        start: the first day (ordinal) that the narrowest level stands on: the window's, or the last break's.
        misses: a row a day that the replay banded: `day`, `n` (rows) and for each level the share beyond it, `missed_80`:
            of bands as they would have been issued with what was known, at the level itself; ties and steps between
            ranks count in part, so that 1 - level is expected. Empty where no row was forecast after another matured.
        residuals: the matured rows as arrays.
        widths: the width of any row.
        limits: for each rung of the ladder a row a group: `_series`, `_week` where it has them, a limit a level.
    """

    keys: tuple[str, ...]
    levels: tuple[float, ...]
    settings: Settings
    refused: Mapping[float, str]
    used: Mapping[float, float]
    breaks: tuple[date, ...]
    n: int
    days: int
    start: int
    misses: pl.DataFrame
    residuals: Residuals = field(repr=False)
    widths: Widths = field(repr=False)
    limits: tuple[pl.DataFrame, ...] = field(repr=False)

    def bands(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The rows, in their order, with a low and a high for each level, and the rung that they come from.

        Args:
            rows: keys, `days_ahead`, `forecast`, `low` and `high` (raw, as in the matured rows); others are carried along.

        Returns:
            With `low_80`, `high_80` and so on (Float64, units of the target; null where the level is refused, or the
            forecast is null), low_95 <= low_80 <= forecast <= high_80 <= high_95, and `band_from` (String: "series and
            horizon", "series", "all series", or which for each level when they differ; null without a band).

        Raises:
            Refused: a column is missing, a number is infinite, or the raw bands are not of the calibration's kind.
        """
        checked(rows, (*self.keys, "days_ahead", *NUMBERS), "Rows to band")
        self._refuse_other_kind(rows)
        given = [name for name in rows.columns if name not in {*_columns(self.levels), "band_from"}]
        placed = self.placed(rows.select(given))
        for level, inner in zip(self.levels, (None, *self.levels), strict=False):
            placed = placed.with_columns(*_limits(level, inner, self.settings.floor_at))
        return placed.select(*given, *_columns(self.levels), _source(self.levels))

    def placed(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The rows with their raw band, `_width`, `_series` (null for a new one) and `_week`, and each rung's limits."""
        week = (pl.max_horizontal(pl.col("days_ahead").cast(pl.Int64).fill_null(1), pl.lit(1)) - 1) // _WEEK
        placed = self.widths.added(rows).with_columns(week.alias("_week"))
        names = self.residuals.names.with_row_index("_series")
        if self.keys:
            placed = placed.join(names, on=list(self.keys), nulls_equal=True, how="left", maintain_order="left")
        else:
            placed = placed.with_columns(pl.lit(0, pl.UInt32).alias("_series"))
        first, second, third = self.limits
        placed = placed.join(first, on=["_series", "_week"], how="left", maintain_order="left")
        placed = placed.join(second, on="_series", how="left", maintain_order="left")
        return placed.with_columns(pl.lit(third[name].first(), pl.Float64).alias(name) for name in third.columns)

    def _refuse_other_kind(self, rows: pl.DataFrame) -> None:
        """A score counts widths of the raw band, or of the series' scale: one does not serve the other."""
        known = rows.filter(pl.col("forecast").is_not_null())
        without, raw = known["low"].null_count(), self.widths.raw
        if raw is not None and without != (0 if raw else known.height):
            one, other = ("a raw band", "none") if raw else ("no raw band", "one")
            raise Refused(
                f"The calibration stands on forecasts with {one}, and of {known.height} rows to band"
                f" {without if raw else known.height - without} have {other}: band each contender by its own calibration."
            )


def calibrate(
    rows: pl.DataFrame,
    keys: Sequence[str],
    levels: Sequence[float] = LEVELS,
    settings: Settings = Settings(),
    breaks: Sequence[date] = (),
) -> Calibration:
    """What a contender's matured rows say of its bands; the order of the rows plays no part.

    Args:
        rows: one a series, day and origin: keys, `day` (Date), `days_ahead` (whole days from 1), `actual`, `forecast`,
            `low` and `high` (raw quantiles at 0.1 and 0.9, known in all rows or null in all). Rows without an actual value
            or a forecast are left out. A calibration without rows refuses each level, and its bands are null.
        keys: the columns that name a series; none for a single one.
        levels: each between 0 and 1.
        settings: how bands are made.
        breaks: days on which something is known to have broken: the rows before the last of them that leaves a level days
            enough are left out for it.

    Raises:
        Refused: a column is missing, a number is infinite, raw bands are mixed, or a level lies outside its range.
    """
    wrong = [level for level in levels if not 0 < level < 1]
    if wrong or not levels:
        raise Refused(f"Bands at {wrong or 'no level'}: give levels between 0 and 1, 0.8 for bands that cover four in five.")
    levels = tuple(sorted(set(levels)))
    known = matured(rows, keys, settings.window)
    widths = Widths.of(known, keys, settings.floor_share)
    residuals = Residuals.of(known, widths)
    ladder = Ladder(residuals)
    adapting = Adapting(settings.gamma, settings.gamma_after_break)
    passed = [(day.toordinal(), day.toordinal()) for day in breaks]
    replay, found = _replayed(ladder, levels, passed, adapting, find=settings.find_breaks)
    limits = tuple(_limits_of(ladder, rung, replay.used, found) for rung in range(len(RUNGS)))
    days = len(np.unique(residuals.day))
    return Calibration(
        keys=tuple(keys),
        levels=levels,
        settings=settings,
        refused={level: _why(level, days, known.height) for level in levels if days < needed(level)},
        used=replay.used,
        breaks=tuple(date.fromordinal(begins) for begins, _ in found if known.height and begins > residuals.day.min()),
        n=known.height,
        days=days,
        start=ladder.start(int(residuals.day.max(initial=0)), levels[0], found),
        misses=_misses(replay),
        residuals=residuals,
        widths=widths,
        limits=limits,
    )


def _replayed(
    ladder: Ladder, levels: Sequence[float], breaks: Sequence[tuple[int, int]], adapting: Adapting, *, find: bool
) -> tuple[Replay, list[tuple[int, int]]]:
    """The replay, and the breaks that it stands on: those passed in, and each that the narrowest level's misses confirm."""
    found = sorted(breaks)
    horizon = int((ladder.rows.day - ladder.rows.origin).max(initial=1))
    while True:
        replay = ladder.replayed(levels, found, adapting)
        since = max((confirmed + horizon for _, confirmed in found), default=0)  # until then bands are those from before
        n, missed = replay.n[levels[0]], replay.missed[levels[0]]
        seen = (n > 0) & (replay.day >= since)
        places = found_break(missed[seen], n[seen].astype(float), 1 - levels[0]) if find else None
        if places is None:
            return replay, found
        begins, confirmed = (int(day) for day in replay.day[seen][list(places)])
        found = [*found, (begins, confirmed)]


def _limits_of(ladder: Ladder, rung: int, used: Mapping[float, float], breaks: Sequence[tuple[int, int]]) -> pl.DataFrame:
    """One row a group of the rung: `_series` and `_week`, or fewer, and for each level its limit in widths."""
    groups, last = ladder.rungs[rung].groups, int(ladder.rows.day.max(initial=0))
    columns = [pl.Series("_group", np.arange(groups), pl.Int64)]
    for level, at in used.items():
        known = ladder.known(last, ladder.start(last, level, breaks))
        limits = ladder.rungs[rung].limits(known, level, at) if groups else np.zeros(0)
        columns.append(pl.Series(_limit(level, rung), limits, pl.Float64).fill_nan(None))
    group = pl.col("_group")
    parts = (((group // ladder.weeks), (group % ladder.weeks)), (group,), ())[rung]
    named = [part.alias(name) for part, name in zip(parts, ("_series", "_week"), strict=False)]
    return pl.DataFrame(columns).select(*named, pl.exclude("_group"))


def _limits(level: float, inner: float | None, floor_at: float | None) -> tuple[pl.Expr, pl.Expr]:
    """Low and high at a level: around the forecast, around the level inside, and not below the floor."""
    low, high = limit_names(level)
    out = pl.coalesce(_limit(level, rung) for rung in range(len(RUNGS))) * pl.col("_width")
    below = pl.col("_low") - out if floor_at is None else pl.max_horizontal(pl.col("_low") - out, pl.lit(floor_at))
    within = ("forecast", *(() if inner is None else limit_names(inner)))
    known = pl.col("forecast").is_not_null() & out.is_not_null()
    return (
        pl.when(known).then(pl.min_horizontal(below, *within)).cast(pl.Float64).alias(low),
        pl.when(known).then(pl.max_horizontal(pl.col("_high") + out, *within)).cast(pl.Float64).alias(high),
    )


def _source(levels: Sequence[float]) -> pl.Expr:
    """Which rung a row's bands come from, named once where the levels agree."""
    rungs = range(len(RUNGS))
    each = [
        pl.when(pl.col(limit_names(level)[0]).is_not_null()).then(
            pl.coalesce(pl.when(pl.col(_limit(level, rung)).is_not_null()).then(pl.lit(RUNGS[rung])) for rung in rungs)
        )
        for level in levels
    ]
    apart = pl.concat_str(
        [one + f" ({_label(level)}%)" for one, level in zip(each, levels, strict=True)], separator=", ", ignore_nulls=True
    )
    agree = pl.all_horizontal(one.eq_missing(each[0]) for one in each)
    none = pl.all_horizontal(one.is_null() for one in each)
    return pl.when(none).then(None).when(agree).then(each[0]).otherwise(apart).alias("band_from")


def limit_names(level: float) -> tuple[str, str]:
    """The columns of a level's limits: `low_80` and `high_80` for 0.8, `low_99.5` for 0.995."""
    return f"low_{_label(level)}", f"high_{_label(level)}"


def _label(level: float) -> str:
    return f"{100 * level:.6g}"


def _limit(level: float, rung: int) -> str:
    return f"_limit_{rung}_{_label(level)}"


def _columns(levels: Sequence[float]) -> list[str]:
    return [name for level in levels for name in limit_names(level)]


def _why(level: float, days: int, rows: int) -> str:
    """Why a level has no bands, and what gives it some."""
    return (
        f"No {_label(level)}% band: {rows} matured rows of {days} days do not carry it;"
        f" it needs {needed(level)} days, {needed(level) - days} more."
    )


def _misses(replay: Replay) -> pl.DataFrame:
    """The days that were banded at the narrowest level, with each level's share outside."""
    n = next(iter(replay.n.values()))
    days = pl.Series("day", replay.day - date(1970, 1, 1).toordinal(), pl.Int32).cast(pl.Date)
    missed = [pl.Series(f"missed_{_label(level)}", share, pl.Float64).fill_nan(None) for level, share in replay.missed.items()]
    return pl.DataFrame([days, pl.Series("n", n, pl.Int64), *missed]).filter(pl.col("n") > 0)
