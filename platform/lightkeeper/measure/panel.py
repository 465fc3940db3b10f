"""PLACEHOLDER until the owner of this file writes it: simple .over() version."""
from __future__ import annotations
from dataclasses import dataclass
from datetime import timedelta
import polars as pl
@dataclass(frozen=True)
class Lag:
    column: str
    days: int
@dataclass(frozen=True)
class Roll:
    column: str
    days: int
    window: int
    how: str = "mean"
def reach(declared):
    return max(d.days + (d.window - 1 if isinstance(d, Roll) else 0) for d in declared)
def touched(changed, declared, until):
    out=set()
    for d in declared:
        w = d.window if isinstance(d, Roll) else 1
        for c in changed:
            for k in range(w):
                x=c+timedelta(d.days+k)
                if x<=until: out.add(x)
    return sorted(out)
def features(panel, declared, keys=("product",), time="day"):
    es=[]
    for n,d in declared.items():
        c=pl.col(d.column).cast(pl.Float64)
        if isinstance(d,Lag): e=c.shift(d.days)
        elif d.how=="mean": e=c.rolling_mean(d.window,min_samples=1).shift(d.days)
        else: e=c.forward_fill(d.window-1).shift(d.days)
        es.append(e.over(keys).alias(n))
    return panel.with_columns(es)
