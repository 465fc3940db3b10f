"""What Dagster's UI shows of a check: numbers that plot and read, and the command for what was found before."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import dagster as dg
import numpy as np
import polars as pl
import pytest

from lightkeeper.lake.table import Lake
from lightkeeper.lake.verdicts import Judged
from lightkeeper.orchestrate.results import pictures, results
from lightkeeper.values import TableVersion, Verdict
from lightkeeper.watch.drawing import Watched
from lightkeeper.watch.tables import Looked, look


def shown(measured: float, limit: float) -> dict[str, object]:
    verdict = Verdict("volume", "passed", "as usual.", measured, limit, 17_123_456)
    judged = Judged(TableVersion("sales", 3), date(2026, 3, 2), verdicts=(verdict,))
    (found,) = results(dg.AssetKey("sales"), ["volume"], [judged], {})
    return {name: value.value for name, value in found.metadata.items()}


@pytest.mark.parametrize(
    ("measured", "reads"),
    [(0.005017838596379954, 0.005018), (12.34567, 12.35), (947_745.4, 947_745.0), (0.0, 0.0), (-1234.5678, -1235.0)],
)
def test_a_number_has_four_digits_and_all_of_those_before_its_point(measured: float, reads: float) -> None:
    assert shown(measured, measured)["measured"] == reads
    assert shown(1.0, measured)["limit"] == reads
    assert isinstance(shown(measured, 1.0)["measured"], float)  # text does not plot
    assert shown(1.0, 1.0)["n"] == 17_123_456


def test_the_command_for_what_was_found_before_stands_there_as_text() -> None:
    verdict = Verdict("volume", "passed", "as usual.")
    (found,) = results(dg.AssetKey("sales"), ["volume"], [Judged(TableVersion("sales", 3), verdicts=(verdict,))], {})
    assert found.metadata["history"] == dg.TextMetadataValue("lightkeeper check history sales")


def test_a_day_that_failed_before_a_newer_one_that_passed_does_not_look_like_a_pass() -> None:
    days = [
        Judged(TableVersion("sales", 3), date(2026, 3, 7 + number), verdicts=(Verdict("nulls", state, "As it is."),))
        for number, state in enumerate(["failed", "passed"])
    ]
    (found,) = results(dg.AssetKey("sales"), ["nulls"], days, {})
    assert (found.passed, found.description) == (False, "As it is. But it failed on 2026-03-07.")
    (found,) = results(dg.AssetKey("sales"), ["nulls"], days[::-1], {})
    assert (found.passed, found.description) == (False, "As it is.")


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Looked:
    """A lake whose prices are low in France and high elsewhere, looked at, and its last day."""
    today = datetime(2025, 3, 10, tzinfo=UTC)
    lake, random = Lake(tmp_path_factory.mktemp("prices"), clock=lambda: today), np.random.default_rng(1)
    days = [today.date() - timedelta(60 - number) for number in range(60)]
    frames = [
        pl.DataFrame({"day": [day] * 200, "country": ["France"] * 100 + ["Spain"] * 100,
                      "price": [*random.normal(10, 1, 100), *random.normal(90, 1, 100)], "code": ["a", "b"] * 100})
        for day in days
    ]  # fmt: skip
    version = lake.write("sales", pl.concat(frames), by="day")
    return look(lake, Watched("sales", "day", segments=("country",)), version)


def drawn(watched: Looked, *verdicts: Verdict) -> str:
    found = pictures(replace(watched, judged=(replace(watched.judged[-1], verdicts=verdicts),)))
    return str(found["drift"]["picture"].value) if found else ""


def shift(segment: str | None, state: str = "drifted", column: str = "price") -> Verdict:
    return Verdict("drift", state, "It moved.", column=column, segment=segment)


def test_the_picture_of_a_segment_is_drawn_from_its_rows_and_its_title_says_so(watched: Looked) -> None:
    france, spain, whole = (drawn(watched, shift(one)) for one in ("country=France", "country=Spain", None))
    assert france.startswith("![price where country=France: grey the reference, blue now](")
    assert spain.startswith("![price where country=Spain: grey")
    assert whole.startswith("![price: grey the reference, blue now](")
    assert len({one.partition("](")[2] for one in (france, spain, whole)}) == 3


def test_a_segment_s_windows_hold_its_rows_alone(watched: Looked) -> None:
    both = watched.windows(shift("country=France"))
    assert both is not None
    assert (sum(both[1]), sum(both[0]) % 100) == (300, 0)
    assert sum(both[0][len(both[0]) // 2 + 1 :]) == 0


@pytest.mark.parametrize(
    ("column", "segment"), [("price", "level among code"), ("price", "country=Malta"), ("gone", None), (None, None)]
)
def test_what_cannot_be_drawn_has_no_picture_rather_than_that_of_the_whole_column(
    watched: Looked, column: str | None, segment: str | None
) -> None:
    named = Verdict("drift", "drifted", "It moved.", column=column, segment=segment)
    assert drawn(watched, named, shift(None)) == ""


def test_the_picture_is_of_the_verdict_that_the_result_tells_of(watched: Looked) -> None:
    assert drawn(watched, shift(None, "passed"), shift("country=France")).startswith("![price where country=France")
