"""How often the gate promotes a challenger that is no better, and how often it finds one that is.

Equal pairs: simulated differences a day of several shapes, and real ones, from LightGBM models of the sample that differ
only in their seed. Each pair goes through `gate.rule` at 5%. The year is 52 weekly gates, each judged on the last 28 days, at
the alpha that `alpha_now` gives; "other" is the same at 5% every week. Unequal pairs: the real differences between a model and
the same trained 28 days later, taken with either sign so that they favour neither, and a share of the champion's loss on
top. Figures are shares in %; the spread of a share is its 95% Wilson interval, too narrow for real pairs, which share days.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise, permutations
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lightkeeper.measure.gate import Contest, Gate, alpha_now, rule
from lightkeeper.measure.paired import paired
from lightkeeper.measure.skill import daily, scales, seasonal_naive

__all__ = ["run", "wilson"]

SAMPLE = Path(__file__).resolve().parent.parent / "assets" / "data" / "online_retail_ii.parquet"
GATE, DAYS, WEEKS, WEEK = Gate(), 28, 52, 7
FIRST = date(2026, 1, 1)
LEVEL, NAIVE, NOISE = 0.10, 0.14, 0.03  # losses a day as a share of the weight; spread of differences as a share of LEVEL
WEEKDAYS = np.array([1.0, 1.0, 1.0, 1.5, 2.5, 0.5, 0.3])
MISSED_MOST = 20.0  # %, of improvements by a tenth
PRODUCTS, ORIGINS, SEEDS, ROUNDS = 100, 12, 6, 150

Floats = NDArray[np.float64]
Make = Callable[[np.random.Generator, int, int], Floats]


def run(quick: bool) -> dict[str, Any]:  # noqa: FBT001 - the runner's own word
    """Rows of false promotions, of the year, and of improvements that are missed; quick: few pairs."""
    pairs, years, real = (40, 8, _real(2, 2, 20)) if quick else (2000, 1000, _real(ORIGINS, SEEDS, ROUNDS))
    rows = [_equal(name, make, pairs) for name, make in SHAPES.items()]
    rows += [_real_equal(real)]
    rows += [_year(shape, name, years) for shape in ("AR 0.3", "AR 0.7") for name in CHALLENGERS]
    rows += list(_missed(real))
    return {"rows": rows, "noise": _noise(real)}


def wilson(count: int, of: int) -> tuple[float, float, float]:
    """A share in % and the ends of its 95% interval (Wilson 1927)."""
    z, share = 1.96, count / of
    middle, half = share + z * z / (2 * of), z * math.sqrt(share * (1 - share) / of + z * z / (4 * of * of))
    low, high = ((middle + sign * half) / (1 + z * z / of) for sign in (-1, 1))
    return 100 * share, 100 * max(0.0, low), 100 * min(1.0, high)


def _row(what: str, count: int, of: int, limit: float | None = None, other: float | None = None) -> dict[str, Any]:
    share, low, high = wilson(count, of)
    return {
        "what": what, "ours_s": share, "theirs_s": other, "ratio": None, "spread": [low, high], "limit": limit,
        "limit_of": "ours_s", "n": of, "unit": "%",
    }  # fmt: skip


# ---- equal challengers, simulated


def _autoregressive(rho: float) -> Make:
    def make(random: np.random.Generator, series: int, days: int) -> Floats:
        found = random.standard_normal((series, days))
        for at in range(1, days):
            found[:, at] = rho * found[:, at - 1] + math.sqrt(1 - rho * rho) * found[:, at]
        return found

    return make


def _heavy(random: np.random.Generator, series: int, days: int) -> Floats:
    return random.standard_t(3, (series, days)) / math.sqrt(3)


def _weekly(random: np.random.Generator, series: int, days: int) -> Floats:
    weekday = (np.arange(days) + random.integers(0, WEEK, (series, 1))) % WEEK
    return random.standard_normal((series, days)) * WEEKDAYS[weekday]


SHAPES: dict[str, Make] = {
    "normal": _autoregressive(0.0),
    "heavy tails, t with 3 degrees": _heavy,
    "AR 0.3": _autoregressive(0.3),
    "AR 0.5": _autoregressive(0.5),
    "AR 0.7": _autoregressive(0.7),
    "weekdays of unequal noise": _weekly,
}


def _contest(days: pl.DataFrame) -> Contest:
    return Contest(days=days, loss="squared", challenger="new", champion="old", naive="naive")


def _equal(name: str, make: Make, pairs: int) -> dict[str, Any]:
    """False promotions among equal pairs, naive being far behind."""
    level = pl.DataFrame({
        "day": [FIRST + timedelta(at) for at in range(DAYS)], "n": 100, "weight": 1.0, "champion": LEVEL, "naive": NAIVE,
    })  # fmt: skip
    promoted = sum(
        rule(GATE, GATE.alpha, _contest(level.with_columns(challenger=LEVEL * (1 - NOISE * one)))).action == "promote"
        for one in make(np.random.default_rng(11), pairs, DAYS)
    )
    return _row(f"equal pairs promoted, {name}", promoted, pairs, 100 * GATE.alpha)


# ---- a year of gates

CHALLENGERS = {"the same challenger": 1.0, "a fresh challenger each week": 0.0, "half of each": 0.5}


def _year(shape: str, challengers: str, years: int) -> dict[str, Any]:
    """Years with a false promotion; challengers share a part of the variance of their differences."""
    random, make, common = np.random.default_rng(12), SHAPES[shape], CHALLENGERS[challengers]
    alphas = list(_alphas())
    found = flat = 0
    for _ in range(years):
        shared, own = make(random, 1, DAYS + WEEK * (WEEKS - 1))[0], make(random, WEEKS, DAYS)
        windows = (shared[WEEK * week : WEEK * week + DAYS] for week in range(WEEKS))
        mixed = (math.sqrt(common) * one + math.sqrt(1 - common) * other for one, other in zip(windows, own, strict=True))
        ps = [paired(one, GATE.alpha, GATE.block).p for one in mixed]
        found += any(p < alpha for p, alpha in zip(ps, alphas, strict=True))
        flat += min(ps) < GATE.alpha
    return _row(f"a year of weekly gates, {shape}, {challengers}", found, years, 100 * GATE.alpha_year, 100 * flat / years)


def _alphas() -> Iterator[float]:
    gates: list[tuple[date, float]] = []
    for week in range(WEEKS):
        day = FIRST + timedelta(WEEK * week)
        gates.append((day, alpha_now(GATE, day, gates)))
        yield gates[-1][1]


# ---- real pairs


@dataclass(frozen=True)
class Real:
    """Losses a day of real models, a frame with the columns of a contest for each pair and judged month.

    Attributes:
        rivals: pairs that differ in their seed only, each both ways round.
        renewed: pairs of which the challenger was trained 28 days later than the champion.
    """

    rivals: list[pl.DataFrame]
    renewed: list[pl.DataFrame]


def _real(origins: int, seeds: int, rounds: int) -> Real:
    """Models of the best sold products, fitted at several origins 28 days apart with several seeds."""
    table = _features()
    scale = scales(table, ["product"], "day", "actual")
    cuts = [table["day"].max() - timedelta(DAYS * (1 + back)) for back in range(origins + 1)][::-1]  # type: ignore[operator]
    rivals, renewed = [], []
    for before, cut in pairwise(cuts):
        judged = table.filter(pl.col("day").is_between(cut + timedelta(1), cut + timedelta(DAYS))).join(scale, on="product")
        judged = judged.with_columns(
            seasonal_naive(table.drop_nulls("actual"), judged, ["product"], "day", "actual", cut).alias("naive")
        )
        new = {f"new{seed}": _fitted(table, cut, judged, seed, rounds) for seed in range(seeds)}
        old = {f"old{seed}": _fitted(table, before, judged, seed, rounds) for seed in range(min(2, seeds))}
        judged = judged.with_columns(pl.Series(name, values) for name, values in {**new, **old}.items())
        rivals += [_lost(judged, one, other) for one, other in permutations(new, 2)]
        renewed += [_lost(judged, one, other) for one in old for other in new]
    return Real(rivals, renewed)


def _lost(judged: pl.DataFrame, champion: str, challenger: str) -> pl.DataFrame:
    return daily(judged, {"champion": champion, "challenger": challenger, "naive": "naive"}, "squared")


def _features() -> pl.DataFrame:
    """A panel of the best sold products without Saturdays, features known 28 days ahead; sales in roots, to calm single orders."""
    lines = pl.scan_parquet(SAMPLE).with_columns(
        product=pl.col("StockCode").str.to_uppercase(), day=pl.col("InvoiceDate").dt.date()
    )
    sold = lines.filter((pl.col("Quantity") > 0) & (pl.col("Price") > 0)).group_by("product", "day").agg(pl.col("Quantity").sum())
    best = sold.group_by("product").agg(pl.len()).sort("len", "product", descending=[True, False]).head(PRODUCTS).select("product")
    panel = (
        best.join(sold.select("day").unique(), how="cross")
        .join(sold, on=["product", "day"], how="left")
        .sort("product", "day")
        .with_columns(actual=pl.col("Quantity").fill_null(0).cast(pl.Float64).sqrt(), weekday=pl.col("day").dt.weekday())
    )
    past = pl.col("actual").shift(DAYS)
    rolls = {f"mean_{window}": past.rolling_mean(window, min_samples=1).over("product") for window in (6, 24, 72)}
    return panel.with_columns(week=pl.col("day").dt.week(), **rolls).drop("Quantity").collect()


def _fitted(table: pl.DataFrame, cut: date, judged: pl.DataFrame, seed: int, rounds: int) -> Floats:
    """Forecasts of the judged rows by a model of the days up to the cut."""
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # waiting threads give their core away
    import lightgbm

    names = ["weekday", "week", "mean_6", "mean_24", "mean_72"]
    params = {
        "seed": seed, "bagging_fraction": 0.6, "bagging_freq": 1, "feature_fraction": 0.7, "num_leaves": 15,
        "learning_rate": 0.05, "verbose": -1, "num_threads": 2, "deterministic": True, "force_row_wise": True,
    }  # fmt: skip
    known = table.filter(pl.col("day") <= cut)
    matrix, ahead = (frame.select(pl.col(names).cast(pl.Float64)).to_numpy() for frame in (known, judged))
    data = lightgbm.Dataset(matrix, known["actual"].to_numpy(), feature_name=names)
    return np.asarray(lightgbm.train(params, data, num_boost_round=rounds).predict(ahead, num_threads=2), np.float64)


def _real_equal(real: Real) -> dict[str, Any]:
    promoted = sum(rule(GATE, GATE.alpha, _contest(days)).action == "promote" for days in real.rivals)
    return _row("equal pairs promoted, real, of another seed", promoted, len(real.rivals), 100 * GATE.alpha)


def _missed(real: Real) -> Iterator[dict[str, Any]]:
    """Improvements that the gate does not find, at 5% and at what a weekly gate may spend."""
    later = list(_alphas())[1]
    for share in (0.02, 0.05, 0.10):
        for alpha in (GATE.alpha, later):
            found = [_lower_end(days, sign, share, alpha) > 0 for days in real.renewed for sign in (-1, 1)]
            limit = MISSED_MOST if share == 0.10 and alpha == GATE.alpha else None
            yield _row(f"an improvement of {share:.0%} missed at {100 * alpha:.2g}%", found.count(False), len(found), limit)


def _lower_end(days: pl.DataFrame, sign: int, share: float, alpha: float) -> float:
    """Of the interval of the real difference with a sign and an improvement by a share of the champion's loss on top."""
    champion, challenger = (days[name].to_numpy() for name in ("champion", "challenger"))
    return paired(sign * (champion - challenger) + share * champion, alpha, GATE.block).low


def _noise(real: Real) -> dict[str, Any]:
    """What real differences are like: spread as a share of the champion's mean loss, memory from a day to the next."""
    return {name: _likeness(frames) for name, frames in (("another seed", real.rivals), ("trained 28 days later", real.renewed))}


def _likeness(frames: list[pl.DataFrame]) -> dict[str, float]:
    apart = [(days["champion"] - days["challenger"]).to_numpy() / float(str(days["champion"].mean())) for days in frames]
    memory = [float(np.corrcoef(one[1:], one[:-1])[0, 1]) for one in apart]
    return {
        "spread": float(np.median([one.std() for one in apart])),
        "memory": float(np.median(memory)),
        "days": float(len(apart[0])),
    }


if __name__ == "__main__":
    found = run(quick=False)
    for row in found["rows"]:
        print({name: round(value, 2) if isinstance(value, float) else value for name, value in row.items()})
    print(found["noise"])
