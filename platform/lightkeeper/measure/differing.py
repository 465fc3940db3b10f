"""How one column of two windows differs: every distance, and in which ways it may have changed, each with its chance and effect.

Owns what is measured of one column, and why nothing can be. What all columns together say, and the state, stand in `drift`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lightkeeper.measure import distance
from lightkeeper.measure.profile import ColumnProfile

__all__ = ["SD_OF_RANK", "differing", "like_sd"]

SD_OF_RANK = 2 * np.sqrt(np.pi)  # a normal moved by d of its sd moves its rows by d / (2 sqrt(pi)) of the ranks, for small d
_LEAST = 30  # rows with a value on either side
_HELD = 0.5  # share of a text column's rows that the most frequent values hold, so that it can be judged by them


@dataclass(frozen=True, slots=True)
class _Pair:
    """One column in both windows; whether the reference alone has chosen the cells."""

    name: str
    reference: ColumnProfile
    current: ColumnProfile
    chosen: bool = True

    @property
    def number(self) -> bool:
        return self.reference.cells.kind == "number"


@dataclass(frozen=True, slots=True)
class _Seen:
    """One way in which a column may have changed: how surely, and by how much, in words too; whether it is its values that did."""

    p: float
    effect: float
    said: str
    values: bool = False


def like_sd(ranks: float) -> float:
    """A distance in ranks as the shift of a normal, in its standard deviations, that has the same."""
    return float(SD_OF_RANK * ranks)


def differing(  # noqa: PLR0913 - two windows, and how they are compared
    name: str, reference: ColumnProfile, current: ColumnProfile | None, floor: float, alpha: float, *, chosen: bool
) -> dict[str, object]:
    """Everything but the state: without `p` where nothing can be judged, with the reason in `why`."""
    shared: dict[str, object] = {"column": name, "kind": reference.cells.kind, "n_reference": reference.n}
    shared["nulls_reference"] = reference.nulls / reference.rows if reference.rows else None
    if current is None:
        return shared | {"n": 0, "why": f"{name} is not in the current window: it vanished or was renamed."}
    shared |= {"n": current.n, "nulls": current.nulls / current.rows if current.rows else None}
    shared["beside"] = _retyped(reference, current)
    pair = _Pair(name, reference, current, chosen)
    seen, why = _shares(pair), _unjudged(pair)
    if why:
        return shared | _clearest(seen, floor, alpha) | {"unjudged": why, "why": why}
    values, found = _compared(pair)
    return shared | found | _clearest([values, *seen], floor, alpha) | {"unjudged": _thin(pair)}


def _retyped(reference: ColumnProfile, current: ColumnProfile) -> str:
    """That yes and no became text, or text yes and no, where both are compared by their values; else nothing."""
    same = reference.cells.kind == current.cells.kind == "category"
    if not same or (reference.type == "Boolean") == (current.type == "Boolean"):
        return ""
    return f" It was {reference.type} and is {current.type}: its values are compared as text."


def _clearest(seen: Sequence[_Seen], floor: float, alpha: float) -> dict[str, object]:
    """Of the ways in which a column may have changed the surest of those that are large enough; p for all of them together."""
    if not seen:
        return {}
    one = min(seen, key=lambda each: (not (each.effect >= floor and each.p * len(seen) < alpha), each.p))
    return {"p": min(1.0, len(seen) * one.p), "effect": one.effect, "said": one.said, "of_values": one.values, "ways": len(seen)}


def _shares(pair: _Pair) -> list[_Seen]:
    """Whether other shares of the rows are missing, or infinite; only where either window has any."""
    found = []
    for what, mine in (("missing", (pair.reference.nulls, pair.current.nulls)),
                       ("infinite", (pair.reference.infinite, pair.current.infinite))):  # fmt: skip
        rows = (pair.reference.rows, pair.current.rows)
        if not any(mine) or min(rows) < _LEAST or pair.reference.cells.kind != pair.current.cells.kind:
            continue
        a, b = (np.array([n, total - n], np.int64) for n, total in zip(mine, rows, strict=True))
        p, shares = distance.chi_square(a, b)[1], [n / total for n, total in zip(mine, rows, strict=True)]
        said = f"{shares[1]:.1%} of its rows are {what}, where {shares[0]:.1%} were"
        found.append(_Seen(p, abs(shares[1] - shares[0]), said))
    return found


def _thin(pair: _Pair) -> str | None:
    """Why a text column that shows nothing has not been judged: most of its rows lie outside of what is compared."""
    if pair.number or not pair.reference.counts[-2]:
        return None
    counts = pair.reference.counts
    held = (counts[:-2][distance.surely_frequent(counts)] if pair.chosen else counts[:-2]).sum() / max(pair.reference.n, 1)
    if held >= _HELD:
        return None
    return (
        f"{pair.name} has too many values: the most frequent of them that chance has not chosen hold {held:.1%} of its rows, and"
        f" nothing is told of the others.{' Two windows of rows tell more.' if pair.chosen else ''}"
    )


def _unjudged(pair: _Pair) -> str | None:
    """Why a column cannot be compared; None where it can."""
    reference, current = pair.reference, pair.current
    if reference.cells.kind != current.cells.kind:
        return f"{pair.name} was {reference.type} and is {current.type}: its values cannot be compared."
    if reference.cells.kind == "other":
        return f"{pair.name} is {reference.type}: only its nulls are counted."
    if reference.cells != current.cells:
        return f"{pair.name} was counted in other cells than the reference: make its profile with like=reference."
    if reference.n and reference.cells.endless:
        return f"{pair.name} has no finite value in the reference: there is nothing to compare with."
    for what, one in (("reference", reference), ("current window", current)):
        if one.n < _LEAST:
            return f"{pair.name} has {one.n} values of {one.rows} rows in the {what}; at least {_LEAST} are needed."
    return None


def _compared(pair: _Pair) -> tuple[_Seen, dict[str, object]]:
    """Whether the values changed, and every distance between them."""
    a, b = pair.reference.counts, pair.current.counts
    statistic, chance = distance.chi_square(a, b, ordered=pair.number)
    found: dict[str, object] = {
        "psi": distance.psi(a, b), "jensen_shannon": distance.jensen_shannon(a, b), "chi_square": statistic,
        "total_variation": distance.total_variation(a, b),
    }  # fmt: skip
    if not pair.number:
        share = distance.total_variation(a, b)
        found["freedom"] = distance.freedom(a, b)
        p = distance.frequent(a, b) if pair.chosen and (a[-2] or b[-2:].any()) else chance
        return _Seen(p, share, f"{share:.1%} of its rows changed value", values=True), found
    ends = (
        float(np.fmin(pair.reference.least, pair.current.least)),
        float(np.fmax(pair.reference.largest, pair.current.largest)),
    )
    found |= {"ks": distance.ks(a, b), "wasserstein": distance.wasserstein(a, b, pair.reference.cells, ends)}
    effect = like_sd(distance.rank_distance(a, b))
    p = min(1.0, 2 * min(chance, distance.rank_sum(a, b)[1]))
    return _Seen(p, effect, f"moved like a normal by {effect:.3f} of its sd", values=True), found
