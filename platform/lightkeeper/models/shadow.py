"""The former champion in the shadow of the one that replaced it: both as they serve, on the same outcomes since. It moves nobody.

Neither has seen the days after both cuts; those before the champion began to serve are left out. They are looked at when 14, 28,
42 and 56 of them have matured, each look spending a quarter of 5%: so over all looks a promotion that was right is taken back in at
most 5%.
"""

from __future__ import annotations

from datetime import date
from typing import Any

import polars as pl

from lightkeeper.measure.compared import compared, told
from lightkeeper.measure.skill import daily
from lightkeeper.models.backtesting import naive_forecasts, scored, with_scales
from lightkeeper.models.following import as_served
from lightkeeper.models.judging import loss_for, panel_of
from lightkeeper.models.model import Model
from lightkeeper.models.registry import Trained
from lightkeeper.values import Verdict, version_name

__all__ = ["CHECK", "LOOKS", "former"]

CHECK = "former"
LOOKS = (14, 28, 42, 56)  # matured days
_ALPHA = 0.05 / len(LOOKS)


def former(model: Model, table: pl.LazyFrame, serving: Trained, before: Trained | None, since: date) -> Verdict:
    """Whether who served before would have been better since.

    Args:
        model: its declaration.
        table: the feature table, at the version that is looked at.
        serving: the champion.
        before: who served before; None: the naive forecast.
        since: the day on which the champion began to serve: what it might have forecast before then is nobody's loss.

    Returns:
        Check former: failed where the former one is better beyond noise; measured is its advantage as a share of the
        champion's loss, n the matured days of the last look. Learning with fewer than 14.
    """
    name, other = str(serving.version), version_name(model.name, before.version.number if before else 0)
    days = _days(model, table, serving, before, since)
    count = max((one for one in LOOKS if one <= days.height), default=0)
    if not count:
        why = f"{days.height} days have matured since {name} replaced {other}; {LOOKS[0]} are needed to compare them."
        return Verdict(CHECK, "learning", why, n=days.height)
    found = compared(days.head(count), ("former", other), ("serving", name), _ALPHA, model.promote_if.block)
    share = found.paired.mean / found.loss_worse if found.loss_worse else 0.0
    worse = found.paired.low > 0
    said = told(found, loss_for(model))
    judged = "" if worse else "; that is not beyond noise" if share > 0 else "; it would not have been better"
    why = f"Over the {count} days since {name} replaced {other}, {said}{judged}."
    return Verdict(CHECK, "failed" if worse else "passed", why, share, 0.0, count, column=name)


def _days(model: Model, table: pl.LazyFrame, serving: Trained, before: Trained | None, since: date) -> pl.DataFrame:
    """What both lost on each of the days that are looked at, oldest first: those that neither has seen, 56 at most."""
    panel = panel_of(model, table, serving, before)
    empty: dict[str, Any] = {"day": pl.Date, "weight": pl.Float64, "serving": pl.Float64, "former": pl.Float64}
    served = panel.judged.filter(pl.col(model.time) >= since)
    if served.is_empty():
        return pl.DataFrame(schema=empty)
    rows = served.filter(pl.col(model.time) <= served[model.time].unique().sort().head(LOOKS[-1])[-1])
    theirs = as_served(model, before, table, rows) if before else naive_forecasts(model, panel.known, rows, panel.cut)
    mine = scored(model, rows, as_served(model, serving, table, rows), panel.cut)
    both = mine.with_columns(mine["forecast"].alias("serving"), theirs["forecast"].alias("former"))
    wide = with_scales(model, both, panel.known, panel.cut)
    return daily(wide, {"serving": "serving", "former": "former"}, loss_for(model), time=model.time).sort("day")
