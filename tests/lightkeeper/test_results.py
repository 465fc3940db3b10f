"""What Dagster's UI shows of a check: numbers that plot and read, and the command for what was found before."""

from __future__ import annotations

from datetime import date

import dagster as dg
import pytest

from lightkeeper.lake.verdicts import Judged
from lightkeeper.orchestrate.results import results
from lightkeeper.values import TableVersion, Verdict


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
