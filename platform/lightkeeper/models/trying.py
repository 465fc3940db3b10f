"""Trying: a changed recipe on history, what a piece of history is worth, the working tree's model before it is merged.

It reads and fits; nothing that serves is touched, and nothing is written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import polars as pl

from lightkeeper.errors import Refused
from lightkeeper.measure.paired import Paired, paired
from lightkeeper.measure.skill import Loss, daily, measured
from lightkeeper.models.backtesting import Learnt, backtest, naive_forecasts, origins, reach, with_scales
from lightkeeper.models.judging import Judgement, judge, loss_for
from lightkeeper.models.model import Model
from lightkeeper.models.registry import Made, Trained, read_version, version_row
from lightkeeper.models.training import cut_of, fit, training_frame
from lightkeeper.values import Window

__all__ = ["Span", "Trial", "recipe_tried", "rehearsed", "worth_of_history"]

_ALPHA = 0.05
_METRICS = ("wape", "mase", "rmsse", "bias", "pinball", "brier", "log_loss")


@dataclass(frozen=True)
class Span:
    """The days that a trial judges: `first` to `last`, both inclusive (None: as far as there are), and at most how many origins."""

    first: date | None = None
    last: date | None = None
    count: int = 6


@dataclass(frozen=True)
class Trial:
    """What a trial found.

    Attributes:
        origins: the days at which each contender was fitted.
        rows: one a contender, in order: `contender`, `n`, `days` and the metrics; all on the same rows.
        loss: what decides; its unit is that of `difference`.
        difference: by how much the second contender is better than the first, a day, as a share of the first's loss.
        why: in one sentence.
    """

    origins: Sequence[date]
    rows: pl.DataFrame
    loss: Loss
    difference: Paired
    why: str


def recipe_tried(model: Model, changed: Model, table: pl.LazyFrame, span: Span) -> Trial:
    """A changed recipe beside the declared one and the naive forecast: each fitted anew at each origin.

    Raises Refused: the span holds no origin with enough days before and known days after it; what training refuses.
    """
    known = _known(model, table, span)
    at = _origins(model, known, span)
    forecasts = {"declared": backtest(model, known.lazy(), at), "changed": backtest(changed, known.lazy(), at)}
    return _trial(model, known, at, forecasts)


def worth_of_history(model: Model, table: pl.LazyFrame, span: Span, piece: Window, *, without: bool) -> Trial:
    """What a piece of history adds to the accuracy of today: the recipe fitted with it and without it, on the same days.

    With `without` the piece is taken out of all history; else only what follows the piece is learnt from, and the piece is
    added to that.

    Raises Refused: no row of the piece lies before the origins; and as `recipe_tried` does.
    """
    known = _known(model, table, span)
    at = [one for one in _origins(model, known, span) if one >= piece.end]
    held = known.filter(pl.col(model.time).is_between(piece.start, piece.end, closed="left")).height
    if not at or not held:
        raise Refused(
            f"model {model.name}: {held:,} rows from {piece.start} to {piece.end} lie before {len(at)} origins; a piece of "
            "history is judged on days after it. Give an earlier piece, or a later --from."
        )
    shorter = Learnt(left_out=piece) if without else Learnt(since=piece.end)
    longer = Learnt() if without else Learnt(since=piece.start)
    forecasts = {
        f"without {piece.start}:{piece.end}": backtest(model, known.lazy(), at, shorter),
        f"with {piece.start}:{piece.end}": backtest(model, known.lazy(), at, longer),
    }
    return _trial(model, known, at, forecasts)


def _known(model: Model, table: pl.LazyFrame, span: Span) -> pl.DataFrame:
    """The known rows up to the last day that is judged."""
    until = span.last or date.max
    wanted = dict.fromkeys((*model.row_key, model.target, *model.features, *model.slices))
    return table.filter(pl.col(model.target).is_not_null(), pl.col(model.time) <= until).select(list(wanted)).collect()


def _origins(model: Model, known: pl.DataFrame, span: Span) -> list[date]:
    last = known[model.time].max()
    if not isinstance(last, date):
        raise Refused(f"model {model.name}: {model.table} has no known day up to {span.last}. Give a later --to.")
    least = reach(model, known[model.time])
    if least is None:
        raise Refused(
            f"model {model.name}: {model.table} has too few known days up to {last}. Land more days, or give a later --to."
        )
    wanted = least if span.first is None else max(least, span.first - timedelta(1))
    return origins(last, model.judged_days, span.count, wanted)


def _trial(model: Model, known: pl.DataFrame, at: Sequence[date], forecasts: Mapping[str, pl.DataFrame]) -> Trial:
    loss, (first, second) = loss_for(model), forecasts
    rows = {name: _scaled(model, found, known, at[0]) for name, found in forecasts.items()}
    rows["naive"] = _naive(model, known, rows[first])
    wide = rows[first].with_columns(found["forecast"].alias(name) for name, found in rows.items())
    shared = wide.select(pl.all_horizontal(pl.col(name).is_not_null() for name in rows)).to_series()
    days = daily(wide, {name: name for name in rows}, loss, time=model.time)
    size = float(days[first].mean() or 1.0)  # type: ignore[arg-type]
    found = paired(((days[first] - days[second]) / size).to_numpy(), _ALPHA)
    table = [
        measured(one.filter(shared), kind=model.kind, time=model.time).select(
            pl.lit(name).alias("contender"), "n", "days", *_METRICS
        )
        for name, one in rows.items()
    ]
    return Trial(at, pl.concat(table), loss, found, _said(first, second, found))


def _scaled(model: Model, found: pl.DataFrame, known: pl.DataFrame, until: date) -> pl.DataFrame:
    """All contenders have the same scales: those of the days before the first origin."""
    return with_scales(model, found, known, until).sort("origin", *model.row_key)


def _naive(model: Model, known: pl.DataFrame, rows: pl.DataFrame) -> pl.DataFrame:
    """The rows of a contender with the naive forecasts of the same origins."""
    parts = []
    for (origin,), part in rows.partition_by("origin", as_dict=True, maintain_order=True).items():
        parts.append(part.with_columns(naive_forecasts(model, known, part, origin).get_columns()))
    return pl.concat(parts)


def _said(first: str, second: str, found: Paired) -> str:
    """The difference in one sentence."""
    limits = f"{found.low:+.1%} to {found.high:+.1%} over {found.days} days"
    if found.low > 0:
        return f"{second} is better than {first}: its loss is {found.mean:.1%} smaller ({limits})."
    if found.high < 0:
        return f"{second} is worse than {first}: its loss is {-found.mean:.1%} larger ({limits})."
    return f"{second} and {first} cannot be told apart: their losses differ by {found.mean:+.1%} ({limits})."


def rehearsed(model: Model, table: pl.LazyFrame, champion: Trained | None) -> Judgement:
    """The gate and the expectations of a declared model on a table, as a training would meet them; nothing is recorded.

    The challenger is called by the number after the champion's, though it becomes no version.
    """
    rows = training_frame(model, table, cut_of(model, table))
    number = champion.version.number + 1 if champion else 1
    row = version_row(model, number, fit(model, rows), Made((), datetime(1, 1, 1, tzinfo=UTC), {}))
    return judge(model, table, read_version(model.name, row.lazy(), number), champion, _ALPHA)
