"""Rolling origins: what a recipe would have forecast, fitted at each origin on nothing but the days up to it. It writes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import polars as pl

from lightkeeper.errors import Refused
from lightkeeper.measure.skill import base_rate, scales, seasonal_naive
from lightkeeper.models.model import Model
from lightkeeper.models.registry import Trained
from lightkeeper.models.training import fit, least_days, training_frame
from lightkeeper.values import Window

__all__ = ["Learnt", "backtest", "matured", "naive_forecasts", "origins", "reach", "scored", "with_scales"]


@dataclass(frozen=True)
class Learnt:
    """Which days a recipe may learn from, at any origin: from `since` on, without the days of `left_out`."""

    since: date | None = None
    left_out: Window | None = None

    def rows(self, frame: pl.DataFrame, time: str) -> pl.DataFrame:
        """The rows that may be learnt from."""
        found = frame if self.since is None else frame.filter(pl.col(time) >= self.since)
        if self.left_out is None:
            return found
        return found.filter((pl.col(time) < self.left_out.start) | (pl.col(time) >= self.left_out.end))


_ALL = Learnt()


def origins(last: date, days: int, count: int, first: date | None = None) -> list[date]:
    """The last `count` origins whose `days` ahead are known, `days` apart, oldest first; none before `first`.

    Raises Refused where there is none.
    """
    found = [last - timedelta(days * (n + 1)) for n in range(count)]
    kept = sorted(one for one in found if first is None or one >= first)
    if not kept:
        judged = f"{first and first + timedelta(1)} to {last}, the days to be judged,"
        raise Refused(f"From {judged} there is no origin with {days} known days after it: give an earlier --from.")
    return kept


def backtest(model: Model, table: pl.LazyFrame, at: Sequence[date], learnt: Learnt = _ALL) -> pl.DataFrame:
    """Forecasts of the days after each origin, by a model fitted on the rows up to it.

    Args:
        model: the recipe.
        table: its feature table.
        at: the origins.
        learnt: the days that may be learnt from.

    Returns scored rows, sorted by origin, time and keys: keys, time, `origin`, `days_ahead` (Int64, 1 to the horizon),
        `actual`, `forecast`, `low`, `high` (Float64). Rows without a known target are left out.

    Raises Refused: as `training_frame` and `fit` do; an origin has too few days before it, or none known after it.
    """
    rows = training_frame(model, table)
    return pl.concat(list(_folds(model, rows, sorted(at), learnt)))


def _folds(model: Model, rows: pl.DataFrame, at: Sequence[date], learnt: Learnt) -> Iterator[pl.DataFrame]:
    days = rows[model.time]
    for origin in at:
        cut = days.search_sorted(origin, "right")
        end = days.search_sorted(origin + timedelta(model.judged_days), "right")
        known, ahead = learnt.rows(rows.head(cut), model.time), rows.slice(cut, end - cut)
        if ahead.is_empty() or known.is_empty():
            first, last = days[0], days[-1]
            raise Refused(
                f"model {model.name}: {origin} is no origin: its days run from {first} to {last}, and {least_days(model)} "
                f"days are needed, {model.judged_days} of them after it."
            )
        yield scored(model, ahead, fit(model, known).fitted.scored(ahead), origin)


def scored(model: Model, rows: pl.DataFrame, found: pl.DataFrame, origin: date) -> pl.DataFrame:
    """Rows of known days beside the forecasts for them (`forecast`, `low`, `high`)."""
    return rows.select(
        *(pl.col(name) for name in (*model.keys, model.time)),
        pl.lit(origin).alias("origin"),
        (pl.col(model.time) - pl.lit(origin)).dt.total_days().cast(pl.Int64).alias("days_ahead"),
        pl.col(model.target).cast(pl.Float64).alias("actual"),
    ).with_columns(found.get_columns())


def matured(model: Model, trained: Trained, table: pl.LazyFrame, *, banded: bool = True) -> pl.DataFrame:
    """A version's forecasts of the known days after those that it learnt from: scored rows, sorted by time and keys.

    Without bands, which cost twice as much as the forecasts, low and high are null.
    """
    since = table.filter(pl.col(model.time) > trained.last_day, pl.col(model.target).is_not_null())
    rows = since.select(*model.row_key, model.target, *trained.fitted.features).sort(model.row_key).collect()
    return scored(model, rows, trained.fitted.scored(rows, banded=banded), trained.last_day)


def reach(model: Model, days: pl.Series) -> date | None:
    """The earliest origin of a table with these known days: enough of them lie up to it; None where there are too few."""
    known, least = days.unique().sort(), least_days(model) - model.judged_days
    return known[least - 1] if len(known) >= least else None


def naive_forecasts(model: Model, known: pl.DataFrame, ahead: pl.DataFrame, origin: date) -> pl.DataFrame:
    """The naive forecast of rows after an origin, in the form of a fitted model's: low and high are null.

    With a horizon it is the value of the same day of the season before the origin; without one, the mean of the known target.

    Args:
        model: the declaration.
        known: keys, time and target of known days; those after the origin are not used.
        ahead: the rows to forecast.
        origin: the last day that may be used.
    """
    if model.horizon is None:
        rate = base_rate(known.filter(pl.col(model.time) <= origin), model.target)
        values = pl.repeat(rate, ahead.height, dtype=pl.Float64, eager=True)
    else:
        values = seasonal_naive(known, ahead, model.keys, model.time, model.target, origin, model.season)
    nothing = pl.repeat(None, ahead.height, dtype=pl.Float64, eager=True)
    return pl.DataFrame([values.alias("forecast"), nothing.alias("low"), nothing.alias("high")])


def with_scales(model: Model, rows: pl.DataFrame, known: pl.DataFrame, until: date) -> pl.DataFrame:
    """Scored rows with the scales of their series, `scale` and `scale_squared`, from the known days up to `until`."""
    if model.horizon is None:
        value = known.filter(pl.col(model.time) <= until)[model.target].cast(pl.Float64)
        spread = float(str(value.std() or 1.0))
        return rows.with_columns(pl.lit(spread).alias("scale"), pl.lit(spread**2).alias("scale_squared"))
    found = scales(known, model.keys, model.time, model.target, model.season, until)
    return rows.join(found, on=list(model.keys), how="left", maintain_order="left")
