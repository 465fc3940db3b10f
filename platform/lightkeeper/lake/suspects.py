"""Days that must not be learnt from: a landed day of which a large share is broken, until it is mended or a person accepts it.

Owns which days are suspect now. What follows from one stands in `models.retraining`; what failed, in `verdicts`.

A day is suspect where a check of its values fails on a share of rows that no change of the world explains. Such a change, a
lockdown or another mix of customers, moves the distribution; a broken file has values that never were.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date

import polars as pl

from lightkeeper.errors import NoSuchVersion, Refused
from lightkeeper.lake.ledger import Ledger
from lightkeeper.lake.table import Lake
from lightkeeper.lake.verdicts import Judged, states, verdicts

__all__ = ["GROSS", "LASTS", "accept", "doubted", "follow", "lasting", "suspects"]

GROSS = 0.2  # share of a day's rows
LASTS = 3  # days that fail one after the other
_MAY_LAST = ("categories", "range")  # new values may be the world's; missing and repeated ones are the pipe's
_OF_VALUES = ("contract", "nulls", "categories", "range", "duplicates")

_SCHEMA: dict[str, pl.DataType] = {
    "asset": pl.String(), "day": pl.Date(), "check": pl.String(), "event": pl.String(), "why": pl.String(), "by": pl.String(),
    "version": pl.Int64(), "known_at": pl.Datetime("us", "UTC"),
}  # fmt: skip


def _ledger(lake: Lake) -> Ledger:
    return Ledger(lake.store, "suspects", _SCHEMA)


def suspects(lake: Lake) -> pl.DataFrame:
    """The days that are suspect now, a row a check: asset, day, check, why, version, known_at."""
    return _now(_ledger(lake).rows())


def doubted(lake: Lake) -> frozenset[date]:
    """The days of which any table is suspect now."""
    return frozenset(suspects(lake)["day"])


def _now(rows: pl.DataFrame) -> pl.DataFrame:
    last = rows.unique(["asset", "day", "check"], keep="last", maintain_order=True)
    return last.filter(pl.col("event") == "suspect").drop("event", "by").sort("asset", "day", "check")


def follow(lake: Lake, judged: Sequence[Judged]) -> bool:
    """Note the days that verdicts make suspect, and those that they clear: a corrected file landed, and the same check passes.

    Whether any day was ever suspect: else there is nothing to look at.
    """
    ledger = _ledger(lake)
    found = list(_marks(judged))
    if not any(mark for *_, mark in found) and ledger.rows().is_empty():
        return False

    def rule(rows: pl.DataFrame) -> Iterator[Mapping[str, object]]:
        there = set(_now(rows).select("asset", "day", "check").iter_rows())
        accepted = _accepted(rows)
        for one, check, why, mark in found:
            key = (one.asset, one.day, check)
            if mark != (key in there) and not (mark and key in accepted and _same(lake, one, why, accepted[key])):
                event = "suspect" if mark else "cleared"
                said = {"event": event, "why": why, "by": "a check", "version": one.version.version}
                yield {"asset": one.asset, "day": one.day, "check": check, "known_at": lake.clock(), **said}

    ledger.decide(rule)
    return True


def _accepted(rows: pl.DataFrame) -> dict[tuple[object, ...], tuple[int, str]]:
    """What a person accepted last: of each day and check the version, and the sentence that had made it suspect."""
    found, said = dict[tuple[object, ...], tuple[int, str]](), dict[tuple[object, ...], str]()
    for row in rows.iter_rows(named=True):
        key = (row["asset"], row["day"], row["check"])
        if row["event"] == "accepted":
            found[key] = (row["version"], said.get(key, ""))
        elif row["event"] == "suspect":
            said[key] = row["why"]
    return found


def _same(lake: Lake, judged: Judged, why: str, accepted: tuple[int, str]) -> bool:
    """Whether a day is still what was accepted: none of its rows was replaced since, or all that is said of it is the same."""
    version, said = accepted
    if why == said or judged.version.version <= version:
        return True
    try:
        replaced = lake.changed(judged.asset, version, judged.version.version)
    except NoSuchVersion:  # of which nobody knows any more what it replaced
        return False
    return replaced is not None and judged.day not in replaced


def lasting(lake: Lake, asset: str) -> None:
    """Clear the days of values that fail since days: what lasts is no broken file, it is how the world is now."""
    mine = (pl.col("asset") == asset) & pl.col("check").is_in(_MAY_LAST) & (pl.col("failing") >= LASTS)
    since = {row["check"]: row["since"] for row in states(lake).rows(mine).iter_rows(named=True)}
    if not since:
        return

    def rule(rows: pl.DataFrame) -> Iterator[Mapping[str, object]]:
        for row in _now(rows).filter(pl.col("asset") == asset).iter_rows(named=True):
            if row["check"] in since and row["day"] >= since[row["check"]]:
                why = f"{row['check']} fails since {since[row['check']]}: it lasts, so that it is no broken file."
                said = {"event": "cleared", "why": why, "by": "a check", "known_at": lake.clock()}
                yield {**{name: row[name] for name in ("asset", "day", "check", "version")}, **said}

    _ledger(lake).decide(rule)


def _marks(judged: Iterable[Judged]) -> Iterator[tuple[Judged, str, str, bool]]:
    """Each check of values of a day: its sentence, and whether it makes the day suspect. What was not judged moves nothing."""
    for one in judged:
        for check in _OF_VALUES:
            mine = [each for each in one.verdicts if each.check == check and each.state in ("passed", "failed")]
            if one.day is None or not mine:
                continue
            worst = max(mine, key=lambda each: (each.state == "failed", each.measured or 0.0))
            yield one, check, worst.why, worst.state == "failed" and (worst.measured or 0.0) >= GROSS


def accept(lake: Lake, asset: str, day: date, who: str, why: str) -> int:
    """A person says that a suspect day is as the world was; how many checks it was suspect by. It holds until other rows land.

    Raises Refused: it is not; NoSuchTable: no table has that name.
    """
    judged = verdicts(lake).rows((pl.col("asset") == asset) & (pl.col("day") == day)).group_by("check").agg(pl.col("version").max())
    looked = dict(judged.iter_rows())  # it may have landed anew since it was suspect first

    def rule(rows: pl.DataFrame) -> list[Mapping[str, object]]:
        mine = _now(rows).filter(pl.col("asset") == asset, pl.col("day") == day)
        if mine.is_empty():
            if asset not in rows["asset"].to_list() and not lake.exists(asset):
                lake.version(asset)  # refused with the tables that there are
            others = ", ".join(f"{one} {at}" for one, at in _now(rows).select("asset", "day").unique().sort("asset", "day").rows())
            raise Refused(f"{asset} {day} is not suspect. {f'Suspect are {others}.' if others else 'No day is.'}")
        said = {"event": "accepted", "why": why, "by": who, "known_at": lake.clock()}
        at = {row["check"]: max(row["version"], looked.get(row["check"], -1)) for row in mine.to_dicts()}
        return [{"asset": asset, "day": day, "check": check, "version": version, **said} for check, version in at.items()]

    return _ledger(lake).decide(rule).height
