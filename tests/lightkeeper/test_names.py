"""Columns may be called as anything that is made of them on the way: what is found is what other names would give."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from lightkeeper.lake.table import Lake
from lightkeeper.measure.drift import drift
from lightkeeper.measure.kinds import tell
from lightkeeper.measure.members import level_of, members_of
from lightkeeper.measure.profile import Profile
from lightkeeper.watch.drawing import Watched
from lightkeeper.watch.tables import look

NAMES = [
    "count", "len", "usual", "_n", "n", "rows", "day", "value", "column", "literal", "actual", "forecast", "width", "low", "high",
    "score", "weekday", "_weekday", "_sum", "_days", "loss", "scale", "member", "value_now", "old", "new", "moved",
]  # fmt: skip
FIRST = date(2026, 1, 5)


def rows(text: str, number: str, seed: int, factor: float = 1.0, height: int = 1200) -> pl.DataFrame:
    """Twelve members, each of a usual size, and whether it was paid."""
    random = np.random.default_rng(seed)
    which = random.integers(0, 12, height)
    sizes = np.linspace(20, 80, 12)[which] * np.exp(0.03 * random.standard_normal(height)) * factor
    plain = {"paid": random.random(height) < 0.5, "side": random.standard_normal(height), "age": random.standard_normal(height)}
    return pl.DataFrame({text: [f"m{one}" for one in which], number: sizes, **plain})


@pytest.mark.parametrize("name", NAMES)
def test_a_text_a_number_or_a_flag_of_any_name_drifts_as_one_of_another(name: str) -> None:
    for place in ("ward", "size", "paid"):
        plain = (rows("ward", "size", 1), rows("ward", "size", 2, 1.07))
        named = tuple(one.rename({place: name}) for one in plain)
        found = drift(*named).with_columns(pl.col("column").replace(name, place))
        assert_frame_equal(found.drop("why"), drift(*plain).drop("why"))
        assert Profile.from_frame(Profile.of(named[0]).to_frame()) == Profile.of(named[0])


@pytest.mark.parametrize("name", NAMES)
def test_members_and_their_level_are_the_same_whatever_the_columns_are_called(name: str) -> None:
    plain = members_of(rows("ward", "size", 1), ["size"])["size"]
    for text, number in (("ward", name), (name, "size")):
        found = members_of(rows(text, number, 1), [number])
        if text == "usual":  # it stands beside what is usual: never a member
            assert not found
            continue
        assert found[number].medians.rows() == plain.medians.rows()
        level = level_of(rows(text, number, 2, 1.07), found[number])
        assert level == level_of(rows("ward", "size", 2, 1.07), plain)
        assert level[0] == pytest.approx(np.log(1.07), abs=0.01)


@pytest.mark.parametrize("name", NAMES)
def test_the_kind_of_a_shift_is_told_whatever_the_columns_are_called(name: str) -> None:
    for text, number in (("ward", name), (name, "size")):
        before, now = rows(text, number, 1), rows(text, number, 2, 1.07)
        assert tell(before, now, [number]).kind == "instrument"
        assert tell(before, now.filter(pl.col(text) != "m3"), [text]).kind == "population"


def test_a_table_of_all_these_names_is_looked_at_and_so_are_its_segments(tmp_path: Path) -> None:
    names = [name for name in NAMES if name != "day"]
    texts, numbers = names[::2], names[1::2]
    for at, (some, others) in enumerate(((texts, numbers), (numbers, texts))):
        lake = Lake(tmp_path / str(at), clock=lambda: datetime.combine(FIRST + timedelta(34), time(), UTC))
        days = [
            rows("ward", "size", day, 1.3 if day > 30 else 1.0, 60).select(
                *(pl.col("ward").alias(name) for name in some),
                *(pl.col("size").alias(name) for name in others),
                day=pl.lit(FIRST + timedelta(day)),
            )
            for day in range(34)
        ]
        lake.write("t", pl.concat(days), by="day")
        looked = look(lake, Watched("t", "day", segments=tuple(some[:2])), lake.version("t"))
        assert {one.check for one in looked.judged[-1].verdicts} >= {"volume", "drift", "members", "range"}
        assert {one.column for one in looked.judged[-1].verdicts if one.check == "drift"} >= {*some, *others}
