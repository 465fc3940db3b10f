"""How well forecasts did: the seasonal naive to beat, the scales of series, losses of rows and days, and the metrics of a table.

Owns definitions and arithmetic. Whether a difference is more than noise is in `paired`, what follows from it in `gate`.

A forecast is judged by a loss that its kind of forecast minimises (Gneiting 2011): a mean by the squared error, a median
by the absolute error, a probability by the Brier score.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Literal

import polars as pl

from lightkeeper.errors import BadDeclaration, Refused

__all__ = ["Kind", "Loss", "base_rate", "daily", "loss_of", "losses", "measured", "scales", "seasonal_naive"]

Kind = Literal["continuous", "count", "binary"]
Loss = Literal["absolute", "squared", "brier"]

_SEASONS = 8  # how far back the naive forecast looks
_FLOOR = 0.1  # of the pooled scale; a series whose own is smaller would outweigh all others
_SURE = 1e-15  # the log loss takes no probability nearer to 0 or 1
_LOW, _HIGH = 0.1, 0.9  # quantiles of a raw band


def seasonal_naive(  # noqa: PLR0913, PLR0917 - a panel has four names, and the rest is asked of it
    known: pl.DataFrame, ahead: pl.DataFrame, keys: Sequence[str], time: str, target: str, origin: date, season: int = 7
) -> pl.Series:
    """The last known value at the same place of the season, for each row of `ahead`.

    Args:
        known: rows of the panel, columns `keys`, `time` (Date) and `target` (a number or a boolean); rows after `origin` are not
            used, nulls and NaN count as unknown.
        ahead: rows to forecast, columns `keys` and `time`.
        keys: columns that name a series.
        time: the column with the day.
        target: the column to forecast.
        origin: the last day whose target counts as known.
        season: days of a season.

    Returns:
        Float64, aligned with the rows of `ahead`: for day d the value season x ceil((d - origin) / season) days before, or at
        the same place up to seven seasons earlier; where none is known the series' mean over its last eight seasons; null where
        that is not known either.

    Raises:
        Refused: a row of `ahead` lies at or before the origin: its forecast would know too much.
    """
    earliest = ahead.get_column(time).min()
    if isinstance(earliest, date) and earliest <= origin:
        raise Refused(f"A naive forecast made on {origin} is asked for {earliest}: ask for days after {origin}.")
    back = (pl.lit(origin) - pl.col(time)).dt.total_days()
    place = (back % season).alias("_place")  # 0 on the origin's own, whether behind or ahead
    value = pl.col(target).cast(pl.Float64).fill_nan(None).alias("_value")
    recent = (
        known.filter(pl.col(time).is_between(origin - timedelta(_SEASONS * season - 1), origin))
        .select(*keys, time, place, value)
        .drop_nulls("_value")
    )
    last = recent.group_by(*keys, "_place").agg(pl.col("_value").sort_by(time).last())
    mean = recent.group_by(*keys).agg(pl.col("_value").mean().alias("_mean"))
    found = (
        ahead.select(*keys, place)
        .join(last, on=[*keys, "_place"], how="left", nulls_equal=True, maintain_order="left")
        .join(mean, on=list(keys), how="left", nulls_equal=True, maintain_order="left")
    )
    return found.select(pl.coalesce("_value", "_mean").alias(target)).to_series()


def base_rate(known: pl.DataFrame, target: str) -> float:
    """The mean of the known targets: the naive prediction of a model without a horizon.

    Raises:
        Refused: no target is known.
    """
    mean = known.select(pl.col(target).cast(pl.Float64).fill_nan(None).mean()).item()
    if mean is None:
        raise Refused(f"No {target} is known in {known.height} rows: there is no base rate. Wait for outcomes.")
    return float(mean)


def scales(  # noqa: PLR0913, PLR0917 - as above
    known: pl.DataFrame, keys: Sequence[str], time: str, target: str, season: int = 7, until: date | None = None
) -> pl.DataFrame:
    """How much each series moves from season to season: what its errors are divided by.

    The mean |y(t) - y(t - season)| scales the absolute error to MASE (Hyndman & Koehler 2006), the mean square the squared
    error to RMSSE (Makridakis, Spiliotis & Assimakopoulos 2022, the M5 competition).

    Args:
        known: rows of the panel, one a series and day; days may be missing, nulls and NaN count as unknown.
        keys: columns that name a series.
        time: the column with the day (Date).
        target: the column to forecast.
        season: days of a season.
        until: the last day to use; None: all.

    Returns:
        One row a series of `known`: the keys, `scale` and `scale_squared` (Float64, above 0), sorted by the keys. A series
        with a scale below a tenth of the pooled one (a constant one has 0) gets that tenth (of the square: a hundredth); one
        without two known days a season apart gets the pooled scale; where all is constant or unknown both are 1.
    """
    values = known.select(*keys, time, pl.col(target).cast(pl.Float64).fill_nan(None).alias("_now"))
    used = values.filter(pl.col(time) <= until) if until else values
    used = used.drop_nulls("_now")
    before = used.select(*keys, pl.col(time).dt.offset_by(f"{season}d"), pl.col("_now").alias("_before"))
    step = pl.col("_now") - pl.col("_before")
    moved = used.join(before, on=[*keys, time], nulls_equal=True).select(*keys, step.abs().alias("_step"))
    own = (pl.col("_step").mean().alias("scale"), (pl.col("_step") ** 2).mean().alias("scale_squared"))
    scale, squared = moved.select(own).row(0)
    found = values.select(keys).unique().join(moved.group_by(keys).agg(own), on=list(keys), how="left", nulls_equal=True)
    return found.with_columns(_floored("scale", scale, _FLOOR), _floored("scale_squared", squared, _FLOOR**2)).sort(keys)


def _floored(name: str, pooled: float | None, share: float) -> pl.Expr:
    """The scale of a series, kept from 0."""
    return pl.max_horizontal(pl.col(name).fill_null(pooled), pl.lit(share * pooled)) if pooled else pl.lit(1.0).alias(name)


def loss_of(kind: Kind, loss: Literal["auto"] | Loss) -> Loss:
    """The loss that decides: "auto" is the Brier score of a binary target, else the squared error, which a mean minimises.

    Raises:
        BadDeclaration: the Brier score of a target that is not binary.
    """
    if loss == "auto":
        return "brier" if kind == "binary" else "squared"
    if loss == "brier" and kind != "binary":
        raise BadDeclaration(f'The Brier score is for a binary target, this one is {kind}: take "absolute" or "squared".')
    return loss


def losses(kind: Kind, loss: Literal["auto"] | Loss, actual: pl.Expr, forecast: pl.Expr) -> pl.Expr:
    """The loss of each row, in units of the target or its square; null where either is null."""
    apart = actual.cast(pl.Float64) - forecast.cast(pl.Float64)
    return apart.abs() if loss_of(kind, loss) == "absolute" else apart**2


def daily(rows: pl.DataFrame, contenders: Mapping[str, str], loss: Loss, by: Sequence[str] = (), time: str = "day") -> pl.DataFrame:
    """What each contender lost on each day, on the same rows: what `gate.rule` takes.

    Args:
        rows: `time`, `actual`, a column with each contender's forecast and, for "squared", `scale_squared`.
        contenders: name in the result -> column with the forecast.
        loss: "absolute": |error|, by which weight is |actual|; "squared": error squared / scale squared of the series, and
            "brier": error squared, by which every row weighs 1.
        by: columns that split the rows further, such as a slice.
        time: the column with the day.

    Returns:
        One row a group and day, sorted: `by`, `day`, `n` (rows, Int64), `weight`, and for each contender the sum of its
        losses. Rows in which the actual or any forecast is null are left out for all.
    """
    actual = pl.col("actual").cast(pl.Float64)
    weight = actual.abs().sum() if loss == "absolute" else pl.len().cast(pl.Float64)
    share = pl.col("scale_squared") if loss == "squared" else pl.lit(1.0)
    error = {name: actual - pl.col(column).cast(pl.Float64) for name, column in contenders.items()}
    lost = {name: (each.abs() if loss == "absolute" else each**2 / share) for name, each in error.items()}
    same = rows.filter(pl.all_horizontal(pl.col(column).is_not_null() for column in ("actual", *contenders.values())))
    sums = (each.sum().alias(name) for name, each in lost.items())
    days = same.group_by(*by, pl.col(time).alias("day")).agg(pl.len().cast(pl.Int64).alias("n"), weight.alias("weight"), *sums)
    return days.sort(*by, "day")


def measured(rows: pl.DataFrame, by: Sequence[str] = (), kind: Kind | None = None, time: str = "day") -> pl.DataFrame:
    """The metrics of forecasts, one row a group, in one pass.

    Args:
        rows: scored rows, columns `time`, `actual`, `forecast`; optional are `low` and `high` (quantiles 0.1 and 0.9),
            `scale` and `scale_squared` of the series, `low_80`, `high_80`, `low_95`, `high_95`. Rows without an actual or a
            forecast are left out; NaN is not hidden.
        by: columns that name a group; none: all rows are one, with n = 0 where there are none.
        kind: of the target. None: binary where every actual is 0 or 1 and every forecast lies between.
        time: the column with the day.

    Returns:
        `by`, sorted, then `n` (rows) and `days`, Int64, and Float64, null where it does not apply:
        `wape` sum |y - f| / sum |y|; `mase` mean of |y - f| / scale; `rmsse` root of the mean of (y - f)^2 / scale_squared
        (over rows: series with equally many rows weigh the same); `bias` (sum f - sum y) / |sum y|; `pinball` the mean of the
        pinball losses (Koenker & Bassett 1978) of low at 0.1 and high at 0.9; `coverage_80`, `coverage_95` the share of
        actuals within their band, limits included; `brier` (Brier 1950) and `log_loss` of a binary target, in nats.
    """
    there = rows.filter(pl.col("actual").is_not_null() & pl.col("forecast").is_not_null())
    optional = ("low", "high", "scale", "scale_squared", "low_80", "high_80", "low_95", "high_95")
    there = there.with_columns(
        pl.col("actual", "forecast").cast(pl.Float64),
        *((pl.col(name) if name in rows.columns else pl.lit(None)).cast(pl.Float64).alias(name) for name in optional),
    )
    metrics = [metric.alias(name) for name, metric in _metrics(kind, time).items()]
    return there.group_by(by).agg(metrics).sort(by) if by else there.select(metrics)


def _metrics(kind: Kind | None, time: str) -> dict[str, pl.Expr]:
    y, f = pl.col("actual"), pl.col("forecast")
    error, total = (y - f).abs(), y.sum().abs()
    return {
        "n": pl.len().cast(pl.Int64),
        "days": pl.col(time).n_unique().cast(pl.Int64),
        "wape": pl.when(y.abs().sum() > 0).then(error.sum() / y.abs().sum()),
        "mase": (error / pl.col("scale")).mean(),
        "rmsse": (error**2 / pl.col("scale_squared")).mean().sqrt(),
        "bias": pl.when(total > 0).then((f.sum() - y.sum()) / total),
        "pinball": ((_pinball(_LOW, "low") + _pinball(_HIGH, "high")) / 2).mean(),
        "coverage_80": _covered("80"),
        "coverage_95": _covered("95"),
        **_of_probabilities(kind),
    }


def _pinball(level: float, column: str) -> pl.Expr:
    above = pl.col("actual") - pl.col(column)
    return pl.max_horizontal(level * above, (level - 1) * above)


def _covered(level: str) -> pl.Expr:
    y, low, high = pl.col("actual"), pl.col(f"low_{level}"), pl.col(f"high_{level}")
    return ((low <= y) & (y <= high)).cast(pl.Float64).mean()  # a null limit, a null answer, left out of the mean


def _of_probabilities(kind: Kind | None) -> dict[str, pl.Expr]:
    y, f = pl.col("actual"), pl.col("forecast")
    applies = pl.lit(kind == "binary") if kind else ((y == 0) | (y == 1)).all() & f.is_between(0, 1).all() & (pl.len() > 0)
    sure = f.clip(_SURE, 1 - _SURE)
    return {
        "brier": pl.when(applies).then(((y - f) ** 2).mean()),
        "log_loss": pl.when(applies).then(-(y * sure.log() + (1 - y) * (1 - sure).log()).mean()),
    }
