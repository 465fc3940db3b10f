"""`lightkeeper check run` and `history`: one line a check and day, what is bad or not judged with its sentence, in 80 columns."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner, Result

from lightkeeper.cli import app
from lightkeeper.cli.check import _told
from lightkeeper.cli.options import remember_home
from lightkeeper.cli.show import print_text
from lightkeeper.home import Home, HomeRecord
from lightkeeper.lake.table import Lake
from lightkeeper.lake.verdicts import Judged, record
from lightkeeper.values import TableVersion, Verdict

Run = Callable[..., Result]

DAY = date(2026, 3, 2)
FEW = "37 rows on Monday 2026-03-02; usual are 108, and 13 to 873 are within the limits, by 24 Mondays with rows of 134 days."
OFF = "price_gbp: off by 7.0% from what each stock_code usually has in the last 3 days (221 values against 135 days)."
STILL = Verdict("drift", "passed", "as usual.", column="country")
MOVED = Verdict("drift", "drifted", OFF, 0.07, 0.05, 221, "price_gbp", "level among stock_code", "instrument")


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Three days of `sales`, the second of them looked at twice; on the third day a column moved and few rows came."""
    home = Home(tmp_path / "home")
    home.create(HomeRecord("sample", "small", 0, DAY, datetime(2026, 3, 6, tzinfo=UTC)))
    enough = Verdict("volume", "passed", "as usual.", 110, 20)
    kept = [
        (0, 6, (STILL, Verdict("drift", "passed", "as usual.", column="units"), enough)),
        (1, 6, (STILL, Verdict("drift", "passed", "as usual.", column="price_gbp"), Verdict("volume", "failed", "Nothing came."))),
        (1, 9, (STILL, STILL, enough)),
        (2, 6, (STILL, MOVED, Verdict("volume", "failed", FEW, 37, 13.45))),
    ]
    for after, hour, verdicts in kept:
        at = datetime(2026, 3, 3, hour, tzinfo=UTC) + timedelta(after)
        lake = Lake(home.lake, clock=lambda at=at: at)
        record(lake, [Judged(TableVersion("sales", after), DAY + timedelta(after), run_id=f"run-{at}", verdicts=verdicts)])

    def call(*words: str) -> Result:
        return CliRunner().invoke(
            app, ["check", "history", *words, "--home", str(home.root)], env={"COLUMNS": "80", "NO_COLOR": "1"}
        )

    return call


def test_a_check_and_day_is_one_line_the_newest_day_first_and_the_worst_of_a_day_before_the_others(run: Run) -> None:
    lines = run("sales").output.splitlines()
    found = [tuple(line.split()[:3]) for line in lines if line.startswith("2026")]
    assert found == [
        ("2026-03-04", "volume", "failed"), ("2026-03-04", "drift", "drifted"),
        ("2026-03-03", "drift", "passed"), ("2026-03-03", "volume", "passed"),
        ("2026-03-02", "drift", "passed"), ("2026-03-02", "volume", "passed"),
    ]  # fmt: skip
    assert max(len(line) for line in lines) <= 80


def test_the_line_names_the_column_and_the_part_of_it_that_are_worst(run: Run) -> None:
    line = next(one for one in run("sales").output.splitlines() if "drifted" in one)
    assert line.split() == ["2026-03-04", "drift", "drifted", "price_gbp", "(level", "among", "stock_code)", "0.07", "0.05"]


def test_below_what_is_bad_stands_its_sentence_its_kind_and_at_the_end_since_when_it_holds(run: Run) -> None:
    said = " ".join(run("sales", "--bad").output.split())
    assert FEW in said
    assert f"{OFF} Looks like: instrument." in said
    assert said.endswith("Now: sales drift drifted since 2026-03-04. Now: sales volume failed since 2026-03-04.")
    assert "Nothing came." in said  # it was so once, though a later look saw the rows
    assert "as usual" not in said


@pytest.mark.parametrize("run_id", ["run-back", None])
def test_what_was_said_last_of_a_day_is_shown_though_the_clock_went_back_since(
    run: Run, tmp_path: Path, run_id: str | None
) -> None:
    back = datetime(2026, 3, 2, 6, tzinfo=UTC)
    mended = (STILL, replace(STILL, column="units"), Verdict("volume", "passed", "It was mended.", 110, 20))
    record(
        Lake(tmp_path / "home" / "lake", clock=lambda: back),
        [Judged(TableVersion("sales", 3), DAY + timedelta(2), run_id=run_id, verdicts=mended)],
    )
    found = json.loads(run("sales", "--limit", "1", "--json").output)["verdicts"]
    assert {(one["day"], one["state"], one["run_id"]) for one in found} == {("2026-03-04", "passed", run_id)}
    assert len(found) == 3
    assert "It was mended." in {one["why"] for one in found}


def test_a_limit_of_0_shows_every_day_as_other_histories_do(run: Run) -> None:
    every = json.loads(run("sales", "--limit", "0", "--json").output)["verdicts"]
    assert every == json.loads(run("sales", "--limit", "1000", "--json").output)["verdicts"]
    assert len({one["day"] for one in every}) > 2


def test_a_limit_is_in_days_and_json_has_every_column_of_them(run: Run) -> None:
    assert {line[:10] for line in run("sales", "--limit", "1").output.splitlines() if line.startswith("2026")} == {"2026-03-04"}
    found = json.loads(run("sales", "--limit", "2", "--json").output)["verdicts"]
    drift = [(one["day"], one["column"]) for one in found if one["check"] == "drift"]
    assert drift == [("2026-03-04", "price_gbp"), ("2026-03-04", "country"), *[("2026-03-03", "country")] * 2]
    assert {one["day"] for one in found} == {"2026-03-04", "2026-03-03"}
    assert {"why", "kind", "measured", "limit", "n", "known_at", "run_id", "version"} <= set(found[0])


FEW_DAYS = "{} of 7 rows ({}.00%); {} more days are needed of 14 that tell what is usual."
NOTHING = "{}: its quiet days differ so much from each other that no change of it would have been seen, however large."


def looked(capsys: pytest.CaptureFixture[str], name: str | None, *rows: tuple[str, str, str, str]) -> list[str]:
    """What `check run` prints of such states in 80 columns."""
    states = pl.DataFrame(rows, schema=["asset", "check", "state", "why"], orient="row")
    print_text(*_told(states.with_columns(day=DAY, since=DAY, kind=pl.lit(None, pl.String)), name))
    return capsys.readouterr().out.splitlines()


def test_the_reason_of_what_was_not_judged_stands_whole_below_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    lines = looked(capsys, None, ("sales", "drift", "unknown", NOTHING.format("units_7d")))
    assert lines[:2] == ["Not judged:", "unknown sales drift"]
    assert " ".join(" ".join(lines[2:4]).split()) == NOTHING.format("units_7d")
    assert max(map(len, lines)) <= 80


def test_checks_whose_sentences_differ_in_numbers_and_names_alone_are_told_once(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    many = [(f"table_{n}", check, "learning", FEW_DAYS.format(n, n, 9)) for n in range(2) for check in ("nulls", "range")]
    other = ("table_1", "drift", "unknown", NOTHING.format("units_7d"))
    lines = looked(capsys, None, *many, other, ("table_2", "drift", "learning", NOTHING.format("units_7d")))
    assert lines[1:3] == [
        "learning table_0 nulls, range; table_1 nulls, range",
        "  such as: 0 of 7 rows (0.00%); 9 more days are needed of 14 that tell what is usual.",
    ]
    assert [line for line in lines if line.endswith(" drift")] == ["unknown table_1 drift", "learning table_2 drift"]


def test_the_last_lines_name_what_was_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    remember_home(None)
    assert looked(capsys, "sales", ("sales", "volume", "passed", ""))[-2:] == [
        "Each column and its sentence: lightkeeper check run sales --explain",
        "Before: lightkeeper check history sales",
    ]
