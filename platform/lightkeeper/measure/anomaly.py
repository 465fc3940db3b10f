"""Series that did what their forecast did not allow, with the share of false discoveries controlled over all series.

Owns the scores of a series' last days, their p and the choice of which to name. Forecasts and widths come from the champion and
its calibrated band; what an anomaly was (an event, an error, a customer) stays out.

A day's score is (actual - forecast) / width, less the median score of all series on that day: what moves all of them is no
anomaly of one, and is judged elsewhere (volume, accuracy). A series has two tests, joined by Bonferroni: its last day, and the
larger of its last 3 and last 5 days that have an outcome, each in what 99% of such sums of the calibration days stay within;
either direction counts. Series are joined by Benjamini & Hochberg (1995).

For a day nothing is assumed of the distribution: p = (1 + how many calibration days of any series are at least as far off) /
(1 + how many there are) (Vovk, Gammerman & Shafer 2005; Bates, Candes, Lei, Romano & Sesia 2023, "Testing for outliers with
conformal p-values"). Days are summed as normal quantiles of their score's place among the calibration days (van der Waerden
1952), so that one huge order makes no run of days and the sums have light tails. One run of days in the past would hide the next
for as long as it is remembered, if sums were only counted: beyond 95% of them p falls like the exponential tail that fits those up
to 99.5% (peaks over a threshold, Davison & Smith 1990; the largest censored), down to a tenth of what counting allows, and where
there are 400.

With too few calibration days for the least p to name a series, the verdict is learning instead of passed.
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
_BODY, _TAIL = 0.95, 0.995  # shares of the past sums: p is counted up to the first, those up to the second shape the tail beyond
_FITTED, _BEYOND = 400, 10  # past sums that a tail is fitted to, and how far beyond counting it is believed
_TESTS = 2  # of a series: its last day, and its last days
_USUAL = 0.99  # share of the null sums that one unit of a window holds
_NUMBERS = ("actual", "forecast", "width")


def anomalies(  # noqa: PLR0913 - two windows, and how they are compared
    outcomes: pl.DataFrame, calibration: pl.DataFrame, keys: Sequence[str], q: float = 0.1, strata: int = 1, *, common: bool = True
) -> tuple[pl.DataFrame, Verdict]:
    """The series whose last days lie beyond what the calibration days allow.

    Args:
        outcomes: keys, `day` (Date), `actual`, `forecast`, `width` (half width of the 80% band, above 0), a row a series and
            day; at least the last 5 days. Rows with a null in a number are left out.
        calibration: the same of earlier days, none of which is in `outcomes`.
        keys: the columns that name a series.
        q: the share of the named series that may be named wrongly, on average.
        strata: parts of equal size by forecast, within which sums are compared; 1 compares all. Each part needs as many days.
        common: whether what moves all series on a day is taken off; False where their forecasts know it already.

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
    known, past = _known(outcomes, keys, "Outcomes", common=common), _known(calibration, keys, "Calibration days", common=common)
    if both := known.join(past, on=[*keys, "day"], how="semi").height:
        raise Refused(f"{both} outcomes are among the calibration days too: give those that came before.")
    series, without = known.select(keys).n_unique(), outcomes.select(keys).n_unique() - known.select(keys).n_unique()
    known, past = _placed(known, past), _placed(past, past)
    last, null = _sums(known, keys).group_by(keys, maintain_order=True).last(), _sums(past, keys)
    edges = np.quantile(null["_level"].to_numpy(), np.arange(1, strata) / strata) if null.height else np.zeros(0)
    frame, counts = _tested(last, null, edges)
    frame = frame.with_columns(q=pl.Series(adjusted(frame["p"].to_numpy()), dtype=pl.Float64))
    frame = frame.select(*keys, "day", "direction", "window_days", "score", "p", "q", "actual", "forecast").sort("p", *keys)
    state, why, named = _verdict(frame, q, counts, strata)
    extra = {"smallest_p": _smallest(counts), "null": counts, "without": without}
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


def _known(rows: pl.DataFrame, keys: Sequence[str], what: str, *, common: bool) -> pl.DataFrame:
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
    moved = pl.when(pl.len().over("day") >= _TOGETHER).then(score.median().over("day")).otherwise(0.0)
    return known.with_columns(score=score - moved if common else score)


def _placed(rows: pl.DataFrame, past: pl.DataFrame) -> pl.DataFrame:
    """The rows with `_place`: the normal quantile of where their score lies among those of the calibration days."""
    from scipy.special import ndtri

    scores, ranked = rows["score"].to_numpy(), np.sort(past["score"].to_numpy())
    below, up_to = (np.searchsorted(ranked, scores, side=side) for side in ("left", "right"))
    return rows.with_columns(_place=pl.Series(ndtri((below + up_to + 1) / (2 * len(ranked) + 2)), dtype=pl.Float64))


def _sums(known: pl.DataFrame, keys: Sequence[str]) -> pl.DataFrame:
    """With each row the sums over the windows that end there; null where a series has fewer days."""

    def last(column: str, days: int) -> list[pl.Expr]:
        return [pl.col(column).shift(n).over(keys) for n in range(days)]

    def over(column: str, days: int) -> pl.Expr:
        """Added in one order, and rounded, so that equal sums are equal."""
        return pl.sum_horizontal(last(column, days), ignore_nulls=False).round(9)

    tested = [over("score" if days == 1 else "_place", days).alias(f"_tested_{days}") for days in WINDOWS]
    told = [over(name, days).alias(f"_{name}_{days}") for days in WINDOWS for name in ("score", "actual", "forecast")]
    return known.with_columns(*tested, *told, pl.mean_horizontal(last("forecast", max(WINDOWS))).alias("_level"))


def _tested(last: pl.DataFrame, null: pl.DataFrame, edges: _Floats) -> tuple[pl.DataFrame, int]:
    """Of each series the window with the least p, and how many null sums the least of the strata has."""
    part = np.searchsorted(edges, last["_level"].to_numpy(), side="right")
    of_null = np.searchsorted(edges, null["_level"].to_numpy(), side="right")
    names = [f"_tested_{days}" for days in WINDOWS]
    sums, past = (np.abs(frame.select(names).cast(pl.Float64).to_numpy()) for frame in (last, null))
    units = np.array([_unit(past[:, at]) for at in range(len(WINDOWS))])
    sums, past = sums / units, past / units
    ps = np.ones((last.height, _TESTS))
    for place in range(len(edges) + 1):
        rows, those = np.flatnonzero(part == place), past[of_null == place]
        ps[rows, 0] = _conformal(sums[rows, 0], those[:, 0])
        ps[rows, 1] = _fitted(_larger(sums[rows, 1:]), _larger(those[:, 1:]))
    lasting = np.nanargmax(np.nan_to_num(sums[:, 1:], nan=-1.0), axis=1) + 1 if last.height else np.zeros(0, np.int64)
    best = np.where(ps[:, 0] < ps[:, 1], 0, lasting)
    windows = np.array(WINDOWS)[best]
    chosen = {
        name: pl.coalesce(pl.when(pl.col("window_days") == days).then(pl.col(f"_{name}_{days}")) for days in WINDOWS)
        for name in ("tested", "score", "actual", "forecast")
    }
    frame = last.with_columns(
        window_days=pl.Series(windows, dtype=pl.Int64),
        p=pl.Series(np.minimum(1.0, _TESTS * ps.min(axis=1)), dtype=pl.Float64),
    ).with_columns(**chosen)
    direction = pl.when(pl.col("tested") >= 0).then(pl.lit("above")).otherwise(pl.lit("below"))
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


def _fitted(found: _Floats, null: _Floats) -> _Floats:
    """As `_conformal`, beyond most of the null values by an exponential tail that the largest of them do not shape."""
    counted, null = _conformal(found, null), null[~np.isnan(null)]
    if len(null) < _FITTED:
        return counted
    body, end = np.quantile(null, (_BODY, _TAIL))
    beyond = null[null > body]
    mean = (np.minimum(beyond, end) - body).sum() / max((beyond < end).sum(), 1)  # of an exponential, censored at the end
    if not mean:
        return counted
    tail = np.maximum((1 - _BODY) * np.exp(-np.maximum(found - body, 0.0) / mean), _smallest(len(null)) / _TESTS)
    return np.where(found > body, tail, counted)


def _smallest(null: int) -> float:
    """The least p that a series can have beside so many null sums."""
    return min(1.0, _TESTS / (1 + null) / (_BEYOND if null >= _FITTED else 1))


def _needed(series: int, q: float) -> int:
    """Null sums beside which a single one of so many series could be named."""
    counted = int(np.ceil(_TESTS * series / q)) - 1
    return counted if counted < _FITTED else max(_FITTED, int(np.ceil(_TESTS * series / q / _BEYOND)) - 1)


def _verdict(frame: pl.DataFrame, q: float, counts: int, strata: int) -> tuple[str, str, float | None]:
    """State, why and number of discoveries."""
    if not frame.height:
        return "unknown", "No series has a day with an outcome and a band: 0 were judged.", None
    named = frame.filter(pl.col("q") <= q)
    smallest, needed = _smallest(counts), _needed(frame.height, q)
    said = f"{named.height} of {frame.height:,} series are anomalous at a false discovery rate of {q:.0%}"
    if named.height:
        first = named.row(0, named=True)
        over = f"over {first['window_days']} days" if first["window_days"] > 1 else "on one day"
        said += f", the clearest {first['direction']} its forecast {over} (p {first['p']:.2g})"
    elif frame.height * smallest > q:
        missing = (
            f"no single one could be, as p is never below {smallest:.2g}:"
            f" {plural(needed - counts, 'more day of series is', 'more days of series are')} needed"
        )
        return "learning", f"{said}, and {missing} to calibrate on{', in each stratum' if strata > 1 else ''}.", 0.0
    return (
        ("failed" if named.height else "passed"),
        f"{said}; beside {counts:,} past sums p can be as low as {smallest:.2g}.",
        float(named.height),
    )
