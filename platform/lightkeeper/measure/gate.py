"""The gate between a challenger and the champion: what is declared, how much error it may spend, and the ruling.

Owns the decision, from losses a day to a sentence. Losses come from `skill.daily`; who is champion when is not known here.

The error of a year. A gate tried weekly at 5% promotes an equal challenger within half a year with 74%. So alpha is earned:
the first gate of a model spends `alpha`, and from then on each day earns (alpha_year - alpha) / 365, up to `alpha`; a gate
spends all that was earned since the last one. Gates on days g1 < ... < gk within any 365 days then spend at most
alpha + (gk - g1) (alpha_year - alpha) / 365 <= alpha_year, for the first of them spends at most alpha and the others what
364 days earned. By the union bound that is the expected number of equal challengers promoted in any year, at whatever
rhythm, however much the judged windows overlap. That naive takes over from an equal champion has the same bound by itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import takewhile
from typing import Literal, get_args

import polars as pl

from lightkeeper.errors import BadDeclaration
from lightkeeper.measure.compared import Comparison, compared, figure, told
from lightkeeper.measure.skill import Loss

__all__ = ["Action", "Code", "Comparison", "Contest", "Gate", "Ruling", "SliceFound", "alpha_now", "rule"]

Action = Literal["promote", "reject", "naive"]
Code = Literal[
    "better", "tie", "worse", "too_few_days", "too_soon",
    "not_better_than_naive", "slice_harmed", "expectation_failed", "naive_better", "better_as_it_serves",
]  # fmt: skip

_Choice = Literal["auto", "absolute", "squared"]

_YEAR = 365  # days
_NOISE = 0.05  # one-sided, of what guards a promotion: better than naive, no slice harmed


@dataclass(frozen=True, kw_only=True)
class Gate:
    """When a challenger replaces the champion.

    Args:
        loss: that decides: "absolute", "squared" (scaled for each series), or "auto": the Brier score of a binary target, else
            squared.
        alpha: the most that one gate spends: the rate at which a challenger no better than the champion is promoted.
        alpha_year: the same for all gates of any 365 days together, at whatever rhythm; above `alpha`.
        least_days: matured days that a gate needs.
        slice_tolerance: how much worse a slice may become, as a share of the champion's loss in it.
        slice_least_n: rows; smaller slices are shown and do not decide.
        block: days that are resampled together; whole weeks, so that a pattern of weekdays does not count as noise.

    Raises:
        BadDeclaration: a value that cannot be.
    """

    loss: _Choice = "auto"
    alpha: float = 0.05
    alpha_year: float = 0.10
    least_days: int = 14
    slice_tolerance: float = 0.05
    slice_least_n: int = 200
    block: int = 7

    def __post_init__(self) -> None:
        _need("loss", self.loss, self.loss in get_args(_Choice), f"is one of {', '.join(get_args(_Choice))}")
        _need("alpha", self.alpha, _real(self.alpha) and 0 < self.alpha < 0.5, "lies between 0 and 0.5")  # noqa: PLR2004
        wide = _real(self.alpha_year) and self.alpha < self.alpha_year < 1
        _need("alpha_year", self.alpha_year, wide, f"lies between alpha, {self.alpha}, and 1: it is what later gates are paid from")
        _need("least_days", self.least_days, _whole(self.least_days, 4), "is a whole number of days, 4 at least")
        fine = _real(self.slice_tolerance) and self.slice_tolerance >= 0
        _need("slice_tolerance", self.slice_tolerance, fine, "is a share, 0 at least")
        _need("slice_least_n", self.slice_least_n, _whole(self.slice_least_n, 1), "is a whole number of rows, 1 at least")
        _need("block", self.block, _whole(self.block, 1), "is a whole number of days, 1 at least")


def _need(name: str, value: object, fine: bool, what: str) -> None:  # noqa: FBT001 - said by its name
    if not fine:
        raise BadDeclaration(f"A gate's {name} {what}; given is {value!r}.")


def _real(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _whole(value: object, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def alpha_now(gate: Gate, now: date, gates: Sequence[tuple[date, float]]) -> float:
    """What a gate on the day `now` may spend; the module says why any 365 days stay within `alpha_year`.

    Args:
        gate: the declaration.
        now: the day.
        gates: earlier gates of the same model, day and what each spent, in any order; later ones are left out.

    Returns:
        `gate.alpha` for the first gate; 0.0 on a day that had a gate already.
    """
    earlier = [day for day, _ in gates if day <= now]
    if not earlier:
        return gate.alpha
    return min(gate.alpha, (now - max(earlier)).days * (gate.alpha_year - gate.alpha) / _YEAR)


@dataclass(frozen=True, kw_only=True)
class Contest:
    """What a gate rules on.

    Args:
        days: one row a day, as `skill.daily` gives: `day`, `n`, `weight`, and the sums of losses `champion`, `challenger`,
            `naive`, all of the same rows.
        loss: of which kind the losses are.
        challenger: its name, such as `demand:v2`.
        naive: the name of the naive forecast, such as `demand:naive`.
        champion: its name; that of naive where naive is champion; None where there is none yet: the column is not needed then.
        slices: name, such as "country=France" -> the same columns for its rows; naive is not needed.
        failed: expectations that the challenger does not keep, each as a sentence.
    """

    days: pl.DataFrame
    loss: Loss
    challenger: str
    naive: str
    champion: str | None
    slices: Mapping[str, pl.DataFrame] = field(default_factory=dict)
    failed: tuple[str, ...] = ()


@dataclass(frozen=True)
class SliceFound:
    """The challenger against the champion in one slice: its rows, whether it is large enough to decide, whether it is harmed."""

    name: str
    n: int
    decides: bool
    harmed: bool
    comparison: Comparison


@dataclass(frozen=True)
class Ruling:
    """What follows from a contest.

    Attributes:
        action: "promote": the challenger becomes champion; "naive": naive does; "reject": all stays as it is.
        code: the reason in a word.
        why: the reason in one sentence, with names and numbers.
        comparisons: challenger against champion, challenger against naive, naive against champion; where naive is champion,
            or nobody yet, only the first; none where nothing was compared.
        slices: each slice in which both can be compared, harmed or not.
    """

    action: Action
    code: Code
    why: str
    comparisons: tuple[Comparison, ...] = ()
    slices: tuple[SliceFound, ...] = ()

    @property
    def harmed(self) -> tuple[str, ...]:
        """Names of the slices that are harmed."""
        return tuple(one.name for one in self.slices if one.harmed)


def rule(gate: Gate, alpha: float, contest: Contest) -> Ruling:
    """Rule on a contest.

    Promoted is a challenger that is better than the champion at `alpha`, better than naive at 5%, harms no slice (worse by
    more than the tolerance, at 5% for all slices together) and keeps every expectation. Otherwise naive takes over where it is
    better than the champion at `alpha`, or where there is no champion yet; else the champion stays.

    Args:
        gate: the declaration.
        alpha: what this gate may spend, from `alpha_now`; with 0 nothing is promoted.
        contest: what is compared.

    Raises:
        Refused: a day is there twice, a loss is not a number, or the weights add up to 0.
    """
    count = contest.days.height
    stays: Action = "naive" if contest.champion is None else "reject"
    opening = f"{contest.naive} serves" if contest.champion is None else f"{contest.champion} stays"
    if count < gate.least_days:
        missing = f"{gate.least_days - count} fewer than the {gate.least_days} that the gate needs"
        return Ruling(stays, "too_few_days", f"{opening}: {count} matured days, {missing}.")
    if alpha <= 0:
        return Ruling(stays, "too_soon", f"{opening}: a gate of the same day has spent what was earned; ask again tomorrow.")
    pairs = _pairs(gate, alpha, contest)
    slices = _slices(gate, contest)
    code, why = _reason(contest, pairs, slices)
    if code == "better":
        return Ruling(
            "promote", code, _replaces(contest, pairs[0], {one.worse: one.loss_worse for one in pairs[1:2]}), pairs, slices
        )
    if len(pairs) > 1 and pairs[2].paired.low > 0:
        return Ruling("naive", "naive_better", _replaces(contest, pairs[2], {pairs[0].better: pairs[0].loss_better}), pairs, slices)
    return Ruling(stays, code, f"{opening}: over {count} days {why}.", pairs, slices)


def _leader(contest: Contest) -> tuple[str, str]:
    """Column and name of who is to be beaten."""
    led = contest.champion is not None and contest.champion != contest.naive
    return ("champion", str(contest.champion)) if led else ("naive", contest.naive)


def _pairs(gate: Gate, alpha: float, contest: Contest) -> tuple[Comparison, ...]:
    leader, challenger, naive = _leader(contest), ("challenger", contest.challenger), ("naive", contest.naive)
    asked = [(challenger, leader, alpha)]
    if leader != naive:
        asked += [(challenger, naive, _NOISE), (naive, leader, alpha)]
    return tuple(compared(contest.days, one, other, level, gate.block) for one, other, level in asked)


def _slices(gate: Gate, contest: Contest) -> tuple[SliceFound, ...]:
    """Each slice with some weight in it; harmed are those found by Holm's (1979) steps among the large enough."""
    leader, challenger = _leader(contest), ("challenger", contest.challenger)
    there = {name: days for name, days in contest.slices.items() if float(days.get_column("weight").sum()) > 0}
    rows = {name: int(days.get_column("n").sum()) for name, days in there.items()}
    large = {name for name, days in there.items() if rows[name] >= gate.slice_least_n and days.height >= gate.least_days}
    allowed = pl.col(leader[0]) * (1 + gate.slice_tolerance)
    ps = {
        name: compared(there[name].with_columns(allowed), leader, challenger, _NOISE, gate.block).paired.p
        for name in sorted(large)
    }  # fmt: skip
    harmed = _holm(ps)
    return tuple(
        SliceFound(name, rows[name], name in large, name in harmed, compared(days, challenger, leader, _NOISE, gate.block))
        for name, days in there.items()
    )


def _holm(ps: Mapping[str, float]) -> set[str]:
    """Names whose p is so small that 5% holds for all together."""
    ranked = enumerate(sorted(ps.items(), key=lambda one: one[1]))
    return {name for _, (name, _) in takewhile(lambda one: one[1][1] < _NOISE / (len(ps) - one[0]), ranked)}


def _reason(contest: Contest, pairs: Sequence[Comparison], slices: Sequence[SliceFound]) -> tuple[Code, str]:
    """What stands against the challenger, the weightiest first; "better" and nothing where nothing does."""
    first, last = pairs[0], pairs[min(1, len(pairs) - 1)]
    overall = told(first, contest.loss)
    if first.paired.low <= 0:
        surely = first.paired.high < 0
        code: Code = "not_better_than_naive" if first is last else "worse" if surely else "tie"
        return code, overall if surely else f"{overall}, not beyond noise"
    if last.paired.low <= 0:
        return "not_better_than_naive", f"{told(last, contest.loss)}, not beyond noise"
    if any(one.harmed for one in slices):
        return "slice_harmed", f"{overall}, but {_worst(contest, slices)}"
    if contest.failed:
        return (
            "expectation_failed",
            f"{overall}, but fails what is expected: {contest.failed[0].rstrip('.')}{_more(contest.failed)}",
        )
    return "better", ""


def _worst(contest: Contest, slices: Sequence[SliceFound]) -> str:
    """The slice that lost most for its size, in words."""
    harmed = [one for one in slices if one.harmed]
    worst = min(harmed, key=lambda one: one.comparison.paired.mean / (one.comparison.loss_better or 1.0))
    return f"in {worst.name} {told(worst.comparison, contest.loss, 'it')}{_more(harmed)}"


def _replaces(contest: Contest, pair: Comparison, others: Mapping[str, float]) -> str:
    also = "".join(f" and {name} {figure(value, contest.loss, pair)}" for name, value in others.items())
    opening = f"{pair.better} replaces {pair.worse}: over {contest.days.height} days"
    return f"{opening} {told(pair, contest.loss, 'it')}{also}."


def _more(these: Sequence[object]) -> str:
    return f", and {len(these) - 1} more" if len(these) > 1 else ""
