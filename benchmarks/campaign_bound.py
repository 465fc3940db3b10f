"""How soon a product that sells several times as much could be named at most: by one who knows it.

He knows the day on which it may have begun, and how the rows of the product over so many days vary when nothing happens: a
negative binomial with the mean and variance of quiet days of other seeds. Unknown is only which of the table's values it is, so
that his limit is the number of rows that one of MEMBERS values reaches by chance on 1% of days. Whoever does not know the day
has to look at more.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import date

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import stats

from assets.scenarios import SCENARIOS
from lightkeeper.orchestrate.scenario import Script, Settings

__all__ = ["product_of", "seen_by_one_who_knows"]

MEMBERS, ALPHA = 40, 0.01  # values that are watched; quiet days on which any is named
QUIET, FIRST = 40, 9_000  # histories that tell what is usual


def seen_by_one_who_knows(seeds: Sequence[int], days: int) -> int:
    """In how many campaigns the product is named by such a day of trade, 1 the first."""
    scripts = [_script("campaign", seed, days) for seed in seeds]
    product = product_of(scripts[0])
    usual = [_rows(_script("quiet", FIRST + number, days), product) for number in range(QUIET)]
    limits = np.array([_limit(usual, many) for many in range(1, days + 1)])
    sold = np.array([np.cumsum(_rows(script, product, since=script.turns)[:days]) for script in scripts])
    return int((sold >= limits).any(axis=1).sum())


def product_of(campaign: Script) -> str:
    """The product that sells several times as much."""
    return campaign.truth.what.removeprefix("demand for ").partition(",")[0]


def _script(name: str, seed: int, days: int) -> Script:
    settings = Settings(seed=seed, after_days=2 * days)  # days of trade are fewer
    return next(one for one in SCENARIOS if one.name == name).script(settings)


def _rows(script: Script, product: str, *, since: date = date.min) -> NDArray[np.int64]:
    """Of each day of trade the rows of the product."""
    files = [text for one in script.days if one.day >= since for name, text in one.files.items() if "sales-" in name]
    codes = [pl.read_csv(io.BytesIO(text), infer_schema=False)["stock_code"].str.to_uppercase() for text in files]
    return np.array([(one == product).sum() for one in codes], np.int64)


def _limit(usual: Sequence[NDArray[np.int64]], days: int) -> float:
    """Rows over so many days that a quiet stretch reaches with a chance of ALPHA / MEMBERS."""
    sums = np.concatenate([np.convolve(one, np.ones(days), "valid") for one in usual])
    mean, variance = sums.mean(), max(sums.var(), 1.001 * sums.mean())
    return float(stats.nbinom.isf(ALPHA / MEMBERS, mean**2 / (variance - mean), mean / variance)) + 1
