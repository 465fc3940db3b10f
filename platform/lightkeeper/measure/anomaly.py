"""Series that did what their forecast did not allow, with the share of false discoveries controlled over all series.

Owns the scores of a series' last days, their p and the choice of which to name. Forecasts and widths come from the champion and
its calibrated band; what an anomaly was (an event, an error, a customer) stays out.

A day's score is (actual - forecast) / width, less the median score of all series on that day: what moves all of them is no
anomaly of one, and is judged elsewhere (volume, accuracy). A series is looked at over its last 1, 3 and 5 days that have an
outcome: the sum of their scores, each of the longer windows' capped at what 97.5% of the calibration days stay within, so that
one huge order does not make a run of days. Null are the same sums at every place of the calibration days of all series, so that
nothing is assumed of their distribution: p = (1 + how many are at least as large) / (1 + how many) (Vovk, Gammerman & Shafer
2005; Bates, Candes, Lei, Romano & Sesia 2023, "Testing for outliers with conformal p-values"). A series has two tests, joined by
Bonferroni: its last day, and the larger of its two longer windows, each in what 99% of the null sums stay within; either
direction counts. Series are joined by Benjamini & Hochberg (1995).

p is never below 2 / (1 + null sums): with fewer than about 2 / q days of calibration, 20 at q = 0.1 and whatever the number of
series, a single series cannot be named, and the verdict is learning instead of passed.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lightkeeper.errors import Refused
from lightkeeper.values import Verdict, plural

__all__ = ["BAND_OF_SD", "WINDOWS", "adjusted", "anomalies", "more_than_a_day"]

_Floats = NDArray[np.float64]

WINDOWS = (1, 3, 5)  # days that have an outcome
BAND_OF_SD = 1.2816  # half of an 80% band of a normal, in its sd: a width where no band is known
_TOGETHER = 20  # series whose median score tells what moved all of them
_WITHIN = 0.975  # share of calibration days whose score is not capped
_TESTS = 2  # of a series: its last day, and its last days
_USUAL = 0.99  # share of the null sums that one unit of a window holds
_NUMBERS = ("actual", "forecast", "width")


def anomalies(
    outcomes: pl.DataFrame, calibration: pl.DataFrame, keys: Sequence[str], q: float = 0.1, strata: int = 1
) -> tuple[pl.DataFrame, Verdict]:
    """The series whose last days lie beyond what the calibration days allow.

    Args:
        outcomes: keys, `day` (Date), `actual`, `forecast`, `width` (half width of the 80% band, above 0), a row a series and
            day; at least the last 5 days. Rows with a null in a number are left out.
        calibration: the same of earlier days, none of which is in `outcomes`.
        keys: the columns that name a series.
        q: the share of the named series that may be named wrongly, on average.
        strata: parts of equal size by forecast, within which sums are compared; 1 compares all. Each part needs as many days.

    Returns:
        A row a series, least p first: keys, `day` (its last), `direction` (above, below), `window_days`, `score` (the sum in
        half widths), `p`, `q` (adjusted over series; those up to the level `q` are the named ones), `actual` and `forecast`
        (sums over the window). And the verdict anomalies: measured is the number of named series, n that of the series, `extra`
        has smallest_p, null and without (series without a day to judge).

    Raises:
        Refused: a column is missing, a number is not finite, a width not above 0, a key or day null, or a series has a day twice.
    """
    if not 0 < q < 1 or strata < 1 or not keys:
        raise Refused(f"Anomalies with q {q}, {strata} strata, keys {list(keys)}: give 0 < q < 1, a stratum and a key at least.")
    known, past = _known(outcomes, keys, "Outcomes"), _known(calibration, keys, "Calibration days")
    if both := known.join(past, on=[*keys, "day"], how="semi").height:
        raise Refused(f"{both} outcomes are among the calibration days too: give those that came before.")
    series, without = known.select(keys).n_unique(), outcomes.select(keys).n_unique() - known.select(keys).n_unique()
    cap = float(np.quantile(np.abs(past["score"].to_numpy()), _WITHIN)) if past.height else np.inf
    last, null = _sums(known, keys, cap).group_by(keys, maintain_order=True).last(), _sums(past, keys, cap)
    edges = np.quantile(null["_level"].to_numpy(), np.arange(1, strata) / strata) if null.height else np.zeros(0)
    frame, counts = _tested(last, null, edges)
    frame = frame.with_columns(q=pl.Series(adjusted(frame["p"].to_numpy()), dtype=pl.Float64))
    frame = frame.select(*keys, "day", "direction", "window_days", "score", "p", "q", "actual", "forecast").sort("p", *keys)
    state, why, named = _verdict(frame, q, counts, strata)
    extra = {"smallest_p": min(1.0, _TESTS / (1 + counts)), "null": counts, "without": without}
    return frame, Verdict("anomalies", state, why, named, 0.0, series, extra=extra)


def adjusted(p: _Floats) -> _Floats:
    """The p adjusted after Benjamini & Hochberg: those up to q are the discoveries at a false discovery rate of q."""
    order = np.argsort(p, kind="stable")
    steps = p[order] * len(p) / np.arange(1, len(p) + 1)
    found = np.empty(len(p))
    found[order] = np.minimum(np.minimum.accumulate(steps[::-1])[::-1], 1.0)
    return found


def more_than_a_day(series: pl.DataFrame, before: pl.DataFrame, keys: Sequence[str], wrong: float, together: float) -> pl.DataFrame:
    """The series that are odd over days together, or on a last day after one that was odd too: one huge order is no alarm.

    Args:
        series: as `anomalies` gives them.
        before: the same as of the day before.
        keys: the columns that name a series.
        wrong: the level of q for a second day, in the same direction.
        together: the level of q for days together.
    """
    named, mine = pl.col("q") <= wrong, [*keys, "direction"]
    again = series.filter(named).join(before.filter(named).select(mine), on=mine, how="semi")
    lasting = series.filter((pl.col("window_days") > 1) & (pl.col("q") <= together))
    return pl.concat([lasting, again]).unique(mine, keep="first", maintain_order=True).sort("p", *keys)


def _known(rows: pl.DataFrame, keys: Sequence[str], what: str) -> pl.DataFrame:
    """The rows with an outcome and a band, in the order of series and days, with their score."""
    if missing := [name for name in (*keys, "day", *_NUMBERS) if name not in rows.columns]:
        raise Refused(f"{what} have no column {', '.join(missing)}: give {', '.join((*keys, 'day', *_NUMBERS))}.")
    if rows.schema["day"] != pl.Date:
        raise Refused(f"Column day of {what.lower()} is a {rows.schema['day']}: give dates.")
    typed = rows.select(*keys, "day", pl.col(*_NUMBERS).cast(pl.Float64))
    known = typed.drop_nulls(_NUMBERS).sort(*keys, "day")
    bad = known.filter(~pl.all_horizontal(pl.col(*_NUMBERS).is_finite()) | (pl.col("width") <= 0))
    if bad.height:
        raise Refused(f"{what} hold {bad.height} rows with a number that is not finite or a width not above 0: {bad.row(0)}.")
    if known.select(*keys, "day").null_count().sum_horizontal().sum() or known.select(*keys, "day").is_duplicated().any():
        raise Refused(f"{what} have a null in {', '.join(keys)} or day, or a series with two rows of a day: give one a day.")
    score = (pl.col("actual") - pl.col("forecast")) / pl.col("width")
    common = pl.when(pl.len().over("day") >= _TOGETHER).then(score.median().over("day")).otherwise(0.0)
    return known.with_columns(score=score - common)


def _sums(known: pl.DataFrame, keys: Sequence[str], cap: float) -> pl.DataFrame:
    """With each row the sums over the windows that end there; null where a series has fewer days."""

    def over(column: pl.Expr, days: int) -> pl.Expr:
        """Added in one order, and rounded, so that equal sums are equal."""
        return pl.sum_horizontal([column.shift(n).over(keys) for n in range(days)], ignore_nulls=False).round(9)

    scores = {days: pl.col("score") if days == 1 else pl.col("score").clip(-cap, cap) for days in WINDOWS}
    level = pl.mean_horizontal([pl.col("forecast").shift(n).over(keys) for n in range(max(WINDOWS))])
    return known.with_columns(
        *(over(scores[days], days).alias(f"_score_{days}") for days in WINDOWS),
        *(over(pl.col(name), days).alias(f"_{name}_{days}") for days in WINDOWS for name in ("actual", "forecast")),
        level.alias("_level"),
    )


def _tested(last: pl.DataFrame, null: pl.DataFrame, edges: _Floats) -> tuple[pl.DataFrame, int]:
    """Of each series the window with the least p, and how many null sums the least of the strata has."""
    part = np.searchsorted(edges, last["_level"].to_numpy(), side="right")
    of_null = np.searchsorted(edges, null["_level"].to_numpy(), side="right")
    names = [f"_score_{days}" for days in WINDOWS]
    sums, past = (np.abs(frame.select(names).cast(pl.Float64).to_numpy()) for frame in (last, null))
    units = np.array([_unit(past[:, at]) for at in range(len(WINDOWS))])
    sums, past = sums / units, past / units
    ps = np.ones((last.height, _TESTS))
    for place in range(len(edges) + 1):
        rows, those = np.flatnonzero(part == place), past[of_null == place]
        ps[rows, 0] = _conformal(sums[rows, 0], those[:, 0])
        ps[rows, 1] = _conformal(_larger(sums[rows, 1:]), _larger(those[:, 1:]))
    lasting = np.nanargmax(np.nan_to_num(sums[:, 1:], nan=-1.0), axis=1) + 1 if last.height else np.zeros(0, np.int64)
    best = np.where(ps[:, 0] < ps[:, 1], 0, lasting)
    windows = np.array(WINDOWS)[best]
    chosen = {
        name: pl.coalesce(pl.when(pl.col("window_days") == days).then(pl.col(f"_{name}_{days}")) for days in WINDOWS)
        for name in ("score", "actual", "forecast")
    }
    frame = last.with_columns(
        window_days=pl.Series(windows, dtype=pl.Int64),
        p=pl.Series(np.minimum(1.0, _TESTS * ps.min(axis=1)), dtype=pl.Float64),
    ).with_columns(**chosen)
    direction = pl.when(pl.col("score") >= 0).then(pl.lit("above")).otherwise(pl.lit("below"))
    return frame.with_columns(direction=direction), int(np.bincount(of_null, minlength=len(edges) + 1).min())


def _unit(null: _Floats) -> float:
    known = null[~np.isnan(null)]
    return max(float(np.quantile(known, _USUAL)), 1e-9) if len(known) else 1.0


def _larger(sums: _Floats) -> _Floats:
    """The larger of the windows that are known; NaN where none is."""
    found: _Floats = np.max(np.nan_to_num(sums, nan=-1.0), axis=1, initial=-1.0)
    return np.where(found < 0, np.nan, found)


def _conformal(found: _Floats, null: _Floats) -> _Floats:
    """(1 + how many null values are at least as large) / (1 + how many); 1 for NaN."""
    null = np.sort(null[~np.isnan(null)])
    at_least = len(null) - np.searchsorted(null, found)
    return np.where(np.isnan(found), 1.0, (1 + at_least) / (1 + len(null)))


def _verdict(frame: pl.DataFrame, q: float, counts: int, strata: int) -> tuple[str, str, float | None]:
    """State, why and number of discoveries."""
    if not frame.height:
        return "unknown", "No series has a day with an outcome and a band: 0 were judged.", None
    named = frame.filter(pl.col("q") <= q)
    smallest, needed = min(1.0, _TESTS / (1 + counts)), int(np.ceil(_TESTS * frame.height / q))
    said = f"{named.height} of {frame.height:,} series are anomalous at a false discovery rate of {q:.0%}"
    if named.height:
        first = named.row(0, named=True)
        over = f"over {first['window_days']} days" if first["window_days"] > 1 else "on one day"
        said += f", the clearest {first['direction']} its forecast {over} (p {first['p']:.2g})"
    elif frame.height * smallest > q:
        missing = (
            f"no single one could be, as p is never below {smallest:.2g}:"
            f" {plural(needed - 1 - counts, 'more day of series is', 'more days of series are')} needed"
        )
        return "learning", f"{said}, and {missing} to calibrate on{', in each stratum' if strata > 1 else ''}.", 0.0
    return (
        ("failed" if named.height else "passed"),
        f"{said}; beside {counts:,} past sums p can be as low as {smallest:.2g}.",
        float(named.height),
    )
