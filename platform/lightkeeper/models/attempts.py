"""Attempts at retraining, as the ledger of decisions tells them: what was tried, how it ended, where the breaker stands.

Everything is a fold over the ledger's rows: with Dagster's own log gone nothing is tried twice and nothing is forgotten.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Any

import polars as pl

from lightkeeper.errors import Refused
from lightkeeper.lake.table import Lake
from lightkeeper.models.decisions import decisions, noted, standing
from lightkeeper.models.episodes import REST, Attempt, Breaker, Machine, Outcome, since_of
from lightkeeper.values import Decision

__all__ = ["FORMER_BETTER", "NOTHING_ASKS", "began", "ended", "half_opened", "held", "machine", "machines", "taken_back"]

FORMER_BETTER = "former_better"  # the code of a rollback by outcomes: the promotion before it was no success
NOTHING_ASKS = "nothing_asks"  # the code of a rest
_NO_JUDGEMENT = ("too_soon", "too_few_days")  # rejections that say nothing of the challenger
_OURS = ("attempted", "held", "failed", "half_opened", "rejected", "confirmed", "promoted", "rolled_back")


def machines(rows: pl.DataFrame, attempts: Mapping[str, int]) -> dict[str, Machine]:
    """The machine of each model, by the rows of the ledger; `attempts`: of each, how many useless ones open its breaker."""
    found = {model: _Fold(most) for model, most in attempts.items()}
    wanted = rows.filter(pl.col("model").is_in(list(attempts)), pl.col("action").is_in(_OURS))
    columns = ("model", "action", "code", "decided_at", "run_id", "cause", "episode", "attempt", "matured")
    for row in wanted.select(columns).iter_rows(named=True):
        found[row["model"]].take(row)
    return {model: one.machine() for model, one in found.items()}


def machine(lake: Lake, model: str, attempts: int) -> Machine:
    """The machine of one model."""
    return machines(decisions(lake, model), {model: attempts})[model]


@dataclass
class _Fold:
    """The rows of one model, taken one after the other."""

    most: int
    attempts: list[Attempt] = field(default_factory=list)
    in_vain: list[str] = field(default_factory=list)  # in a row, each by its name
    before: list[str] = field(default_factory=list)  # useless ones before the last success
    breaker: Breaker = "closed"
    since: date | None = None
    told: tuple[str, str] | None = None
    asking: date | None = None
    resting: date | None = None
    overtaken: str | None = None  # the attempt during which somebody else moved the champion

    def machine(self) -> Machine:
        return Machine(tuple(self.attempts), tuple(self.in_vain), self.breaker, self.since, self.told, self.asking, self.resting)

    def take(self, row: Mapping[str, Any]) -> None:
        """One more row."""
        action = row["action"]
        getattr(self, f"_{action}")(row)

    def _attempted(self, row: Mapping[str, Any]) -> None:
        self.attempts.append(_attempt(row))
        self.told = ("attempted", row["episode"])
        self._asks(row)

    def _held(self, row: Mapping[str, Any]) -> None:
        self.told = (row["code"], row["episode"])
        self._close("held", row)
        if row["code"] == NOTHING_ASKS:
            self.resting = self.resting or row["matured"]  # a rest that is noted again, as after an attempt by age, goes on
        else:
            self._asks(row)

    def _asks(self, row: Mapping[str, Any]) -> None:
        """Something asks: an unrest, which is new after a rest. Age alone is none."""
        since = since_of(row["episode"] or "") or row["matured"]
        if row["cause"] == "age" or since is None:
            return
        rested = self.resting is not None and since - self.resting >= REST
        self.asking = since if self.asking is None or rested else min(self.asking, since)
        self.resting = None

    def _failed(self, row: Mapping[str, Any]) -> None:
        one = self._close("failed", row)
        if one is not None and one.name != self.overtaken:  # else it was to fail: what it was judged against serves no more
            self._was_useless(one.name, row)

    def _half_opened(self, row: Mapping[str, Any]) -> None:
        self.breaker, self.since = "half_open", row["matured"]

    def _promoted(self, row: Mapping[str, Any]) -> None:
        self.asking, self.resting = None, None
        if self._close("promoted", row) is None:
            self._overtake()
        self._succeeded()

    def _overtake(self) -> None:
        if self.attempts and self.attempts[-1].outcome is None:
            self.overtaken = self.attempts[-1].name

    def _confirmed(self, row: Mapping[str, Any]) -> None:
        if self._close("confirmed", row):
            self._succeeded()

    def _rejected(self, row: Mapping[str, Any]) -> None:
        if row["code"] in _NO_JUDGEMENT:
            self._close("unjudged", row)
        elif one := self._close("rejected", row):
            self._was_useless(one.name, row)

    def _close(self, outcome: Outcome, row: Mapping[str, Any]) -> Attempt | None:
        """Note the outcome of the attempt that a row is about, and which it is: of the same run, or named by the row."""
        for place in range(len(self.attempts) - 1, -1, -1):
            one = self.attempts[place]
            same_run = one.run_id is not None and one.run_id == row["run_id"]
            named = row["attempt"] is not None and (one.episode, one.number) == (row["episode"], row["attempt"])
            if one.outcome is None and (same_run or named):
                self.attempts[place] = replace(one, outcome=outcome)
                return self.attempts[place]
        return None

    def _was_useless(self, name: str, row: Mapping[str, Any]) -> None:
        self.in_vain.append(name)
        if self.breaker != "closed" or len(self.in_vain) >= self.most:
            self.breaker, self.since = "open", self._matured(row)

    def _matured(self, row: Mapping[str, Any]) -> date | None:
        last = self.attempts[-1].matured if self.attempts else None
        return row["matured"] or last

    def _succeeded(self) -> None:
        self.before = self.in_vain
        self.in_vain, self.breaker, self.since = [], "closed", None

    def _rolled_back(self, row: Mapping[str, Any]) -> None:
        self.asking, self.resting = None, None
        self._overtake()
        if row["code"] == FORMER_BETTER:
            self.in_vain, self.before = [*self.before, *self.in_vain], []
            self._was_useless(taken_back(row["decided_at"]), row)
        else:
            self._succeeded()


def taken_back(at: datetime) -> str:
    """The name of a promotion that was taken back by outcomes at a moment, among what was useless."""
    return f"{FORMER_BETTER}:{at.isoformat()}"


def _attempt(row: Mapping[str, Any]) -> Attempt:
    return Attempt(row["episode"], row["attempt"], row["decided_at"], row["matured"], row["cause"], row["run_id"])


# -- recording --------------------------------------------------------------------------------------------------


def began(lake: Lake, asked: Decision, run_id: str) -> bool:
    """Note that a run begins an attempt; False where another run has it, or another attempt is under way."""

    def rule(rows: pl.DataFrame) -> Iterable[Decision]:
        mine = rows.filter(pl.col("model") == asked.model, pl.col("action") == "attempted")
        same = mine.filter(pl.col("episode") == asked.episode, pl.col("attempt") == asked.attempt)
        there = same["run_id"].to_list()
        if there or machines(rows, {asked.model: 1})[asked.model].under_way is not None:
            taken.append(run_id in there)
            return []
        taken.append(True)
        return [replace(asked, run_id=run_id)]

    taken: list[bool] = []
    noted(lake, rule)
    return taken[-1]


def held(lake: Lake, said: Decision) -> bool:
    """Note why nothing is done, where the last note gave another reason; whether it was noted."""

    def rule(rows: pl.DataFrame) -> Iterator[Decision]:
        mine = rows.filter(pl.col("model") == said.model, pl.col("action").is_in(["held", "attempted"]))
        last = mine.tail(1).select("action", "code", "episode").rows()
        if said.attempt is not None or last != [("held", said.code, said.episode)]:
            yield said

    return not noted(lake, rule).is_empty()


def ended(lake: Lake, model: str, attempt: Attempt, code: str, why: str) -> bool:
    """Note that an attempt ended without a judgement, such as in a run that failed; False where it has an outcome."""

    def rule(rows: pl.DataFrame) -> Iterator[Decision]:
        serves = standing(rows, model)[0]
        by = f"run {attempt.run_id[:8]}" if attempt.run_id else "the sensor retraining"
        said = Decision(
            model, "failed", serves, by, why, serves, code, run_id=attempt.run_id, cause=attempt.cause,
            episode=attempt.episode, attempt=attempt.number, matured=attempt.matured,
        )  # fmt: skip
        there = machines(rows, {model: 1})[model].attempts
        known = next((one for one in there if (one.episode, one.number) == (attempt.episode, attempt.number)), None)
        if known is None:
            yield replace(said, action="attempted", code="lost", why=f"A run was asked for, and ended before its first step. {why}")
        if known is None or known.outcome is None:
            yield said

    return not noted(lake, rule).is_empty()


def half_opened(  # noqa: PLR0913 - a word, and what it is about
    lake: Lake, model: str, who: str, why: str, attempts: int, *, otherwise: str = ""
) -> None:
    """A person lets one attempt pass an open breaker. Raises Refused: it is not open; `otherwise` says what holds then."""

    def rule(rows: pl.DataFrame) -> Iterator[Decision]:
        found = machines(rows, {model: attempts})[model]
        if found.breaker != "open":
            raise Refused(
                f"The breaker of {model} is {found.breaker.replace('_', '-')}, it holds no attempt up. {otherwise}".rstrip()
            )
        serves = standing(rows, model)[0]
        yield Decision(model, "half_opened", serves, who, why, serves, "by_hand", matured=found.since)

    noted(lake, rule)
