"""Forecasts of several contenders on the same rows: their bands, their losses, and the rows of a benchmark's table.

Owns what both accuracy benchmarks do with forecasts once they are made. Data, recipes and rivals are theirs. The metrics are
the library's own (`measure/skill.py`, `measure/paired.py`, `measure/intervals.py`); nothing here is random.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import polars as pl

    from lightkeeper.measure.intervals import Settings

__all__ = ["banded", "coverage_rows", "loss_row", "naive_beside", "origins", "ratio_row", "together"]

LEVELS = (0.8, 0.95)
ALLOWED = {0.8: 0.04, 0.95: 0.02}  # how far from its level a band may cover
ALPHA = 0.025  # one-sided: intervals at 95%


def origins(last: date, horizon: int, count: int) -> list[date]:
    """The last `count` origins whose `horizon` days are known up to `last`, oldest first; their days do not overlap."""
    return sorted(last - timedelta(horizon * number) for number in range(1, count + 1))


def banded(rows: pl.DataFrame, keys: Sequence[str], judged: Sequence[date], settings: Settings) -> pl.DataFrame:
    """The rows of the judged origins with bands, each calibrated on what earlier origins forecast and what came by then.

    Args:
        rows: scored rows of the judged origins and of those before.
        keys: columns that name a series.
        judged: origins whose rows are wanted.
        settings: of the calibration.
    """
    import polars as pl

    from lightkeeper.measure.intervals import calibrate

    parts = []
    for origin in judged:
        matured = rows.filter((pl.col("origin") < origin) & (pl.col("day") <= origin))
        parts.append(calibrate(matured, keys, LEVELS, settings).bands(rows.filter(pl.col("origin") == origin)))
    return pl.concat(parts)


def naive_beside(rows: pl.DataFrame, known: pl.DataFrame, key: str, target: str, season: int) -> pl.DataFrame:
    """The rows with the seasonal naive forecast of each origin as the column `naive_<season>`.

    Args:
        rows: scored rows.
        known: key, `day` and target of the whole panel; what lies after an origin is not used for it.
        key: the column that names a series.
        target: the column to forecast.
        season: in days.
    """
    import polars as pl

    from lightkeeper.measure.skill import seasonal_naive

    parts = []
    for (origin,), part in rows.group_by("origin", maintain_order=True):
        values = seasonal_naive(known, part, [key], "day", target, origin, season)  # type: ignore[arg-type]
        parts.append(part.with_columns(values.alias(f"naive_{season}")))
    return pl.concat(parts)


def together(rows: pl.DataFrame, rival: pl.DataFrame, key: str) -> pl.DataFrame:
    """The rows with a rival's forecasts beside them.

    Args:
        rows: scored rows.
        rival: `unique_id`, `ds`, `origin` and a column a model.
        key: the column that names a series.

    Raises RuntimeError: the rival has no forecast for a row, since then the rows would not be the same.
    """
    named = rival.rename({"unique_id": key, "ds": "day"})
    names = [name for name in named.columns if name not in (key, "day", "origin")]
    found = rows.join(named, on=[key, "day", "origin"], how="left", maintain_order="left")
    missing = {name: found[name].null_count() for name in names}
    if any(missing.values()):
        raise RuntimeError(f"Rows without a rival's forecast, of {rows.height}: {missing}.")
    return found


def loss_row(rows: pl.DataFrame, rival: str, metric: str, what: str, limit: float | None = None) -> dict[str, Any]:
    """Our metric beside a rival's on the same rows, and their ratio; its spread is that of the origins.

    Args:
        rows: scored rows with a column of the rival's forecasts.
        rival: that column.
        metric: "wape" or "rmsse".
        what: the words of the row.
        limit: of the ratio; none: only told.
    """
    ours, theirs = _metric(rows, "forecast", metric), _metric(rows, rival, metric)
    each = [_metric(part, "forecast", metric) / _metric(part, rival, metric) for part in rows.partition_by("origin")]
    return {
        "what": what, "ours_s": ours, "theirs_s": theirs, "ratio": ours / theirs, "spread": [min(each), max(each)],
        "limit": limit, "limit_of": "ratio", "n": len(each), "unit": metric.upper(),
    }  # fmt: skip


def _metric(rows: pl.DataFrame, column: str, metric: str) -> float:
    import polars as pl

    from lightkeeper.measure.skill import measured

    given = rows.with_columns(pl.col(column).alias("forecast"))
    return float(measured(given.drop("low", "high", strict=False))[metric].item())


def ratio_row(rows: pl.DataFrame, rival: str, loss: str, what: str, limit: float | None = None) -> dict[str, Any]:
    """Our loss over a rival's, with the upper end of its 95% interval as what is bounded.

    The interval is that of the paired differences a day (`measure/paired.py`), divided by the rival's mean loss a day. Each
    day weighs as much as its rows do.

    Args:
        rows: scored rows with a column of the rival's forecasts and, for "squared", `scale_squared`.
        rival: that column.
        loss: "absolute" or "squared".
        what: the words of the row.
        limit: of the interval's upper end; none: only told.
    """
    from lightkeeper.measure.paired import paired
    from lightkeeper.measure.skill import daily

    days = daily(rows, {"ours": "forecast", "theirs": rival}, loss)  # type: ignore[arg-type]
    theirs = float(str(days["theirs"].mean()))
    found = paired((days["theirs"] - days["ours"]).to_numpy(), ALPHA)
    spread = [1 - found.high / theirs, 1 - found.low / theirs]
    return {
        "what": what, "ours_s": spread[1], "theirs_s": None, "ratio": 1 - found.mean / theirs, "spread": spread,
        "limit": limit, "limit_of": "ours_s", "n": days.height, "unit": "x",
    }  # fmt: skip


def coverage_rows(rows: pl.DataFrame, keys: Sequence[str]) -> list[dict[str, Any]]:
    """What the bands covered and how far that is from their level, pooled and in the worst series.

    Args:
        rows: banded rows of the judged origins.
        keys: columns that name a series.
    """
    from lightkeeper.measure.coverage import coverage

    found = []
    for level in LEVELS:
        whole = coverage(rows, keys, level)
        each = [float(str(coverage(part, keys, level).pooled)) for part in rows.partition_by("origin")]
        pooled, worst, name = whole.pooled or 0.0, whole.worst_covered or 0.0, " ".join(map(str, whole.worst or ()))
        off = [abs(one - level) for one in each]
        told = {"n": whole.n, "unit": ""}
        found += [
            {"what": f"{level:.0%} band covers", "ours_s": pooled, "spread": [min(each), max(each)], **told},
            {
                "what": f"{level:.0%} band, off its level", "ours_s": abs(pooled - level), "spread": [min(off), max(off)],
                "limit": ALLOWED[level], **told,
            },
            {
                "what": f"{level:.0%} band, worst series ({name})", "ours_s": worst, "spread": [worst, worst],
                "n": whole.worst_n, "unit": "",
            },
        ]  # fmt: skip
    return found
