"""Sentences about one day, run or row say it as people do."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from lightkeeper.lake.table import Lake
from lightkeeper.measure.anomaly import anomalies
from lightkeeper.measure.decay import covers
from lightkeeper.measure.freshness import arrivals, fresh, model_age
from lightkeeper.measure.member_rows import member_rows
from lightkeeper.measure.norms import run_time, volume
from lightkeeper.measure.rates import rate
from lightkeeper.values import Verdict, plural
from lightkeeper.watch.drawing import Watched
from lightkeeper.watch.tables import look

DAY, NOW = date(2026, 3, 2), datetime(2026, 3, 3, 12, tzinfo=UTC)


def rows(days: int, **columns: object) -> pl.DataFrame:
    return pl.DataFrame({"day": [DAY - timedelta(place) for place in range(days)]}).with_columns(**columns)


def one_of_each() -> list[Verdict]:
    files = rows(1, arrived=pl.lit(NOW, pl.Datetime("us", "UTC")))
    series = rows(19, key=pl.lit("a"), actual=0.1, forecast=0.0, width=1.0)
    runs = pl.DataFrame({"seconds": [1.0] * 7, "peak_mb": [1.0] * 7, "rows": [1] * 7})
    return [
        rate("nulls", "price", [(0, 9)] * 13, 1, 1),
        rate("nulls", "price", [(0, 9)], 0, 0),
        volume(rows(1, rows=1), DAY + timedelta(1), 1),
        covers(rows(1, n=1, inside=1), 0.8),
        covers(rows(6, n=1, inside=1), 0.8),
        fresh(DAY, NOW, arrivals(files), None),
        fresh(DAY, NOW, arrivals(files), timedelta(hours=30)),
        member_rows([DAY], [], np.ones(1, np.int64)),
        anomalies(series.head(1), series.tail(18), ["key"])[1],
        *model_age(DAY, DAY + timedelta(1), NOW, 1),
        *run_time(runs, 1.0, 1.0, 1),
    ]


@pytest.mark.parametrize(("number", "said"), [(0, "0 days"), (1, "1 day"), (2, "2 days"), (1_200, "1,200 days")])
def test_a_number_has_the_plural_that_it_needs(number: int, said: str) -> None:
    assert (plural(number, "day"), plural(number, "is", "are").split()[1]) == (said, "is" if number == 1 else "are")


def test_no_sentence_says_one_days_or_one_are(tmp_path: Path) -> None:
    wrong = re.compile(r"(?<![\d.,-])1 (?!series)(?:\w+ )?(?:days|rows|runs|values|lines|rules|are|have|tell)\b")
    lake = Lake(tmp_path, clock=lambda: NOW)
    lake.write("orders", rows(1, shop=pl.lit("north")), by="day")
    of_table = look(lake, Watched("orders", "day"), lake.version("orders")).judged[-1].verdicts
    assert [one.why for one in (*one_of_each(), *of_table) if wrong.search(one.why)] == []
