"""What may happen to the lines of a scenario's abnormal days: each change takes a `Turn` and gives the days' lines.

When it happens, and what the truth then is, stays out: see `scenarios`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np
import polars as pl

from assets.contracts import PRODUCT_PRICE_LIMIT_GBP, QUANTITY_LIMIT
from assets.scenario_weeks import HOME_COUNTRY, NEW_INVOICE, RealWeeks

__all__ = [
    "DOWN_DAYS",
    "RECOVERY_DAYS",
    "Turn",
    "calibration",
    "campaign",
    "duplicates",
    "hopeless",
    "lockdown",
    "new_normal",
    "nothing",
    "poison",
    "population",
]

DOWN_DAYS, RECOVERY_DAYS = 56, 84  # of the lockdown


@dataclass(frozen=True, slots=True)
class Turn:
    """What a change is made from.

    Attributes:
        lines: of the abnormal days, in the order of time: `day` and the columns of a file.
        since: the first of these days.
        magnitude: how strong.
        chance: for this change alone.
        real: what is known of the real weeks.
    """

    lines: pl.DataFrame
    since: date
    magnitude: float
    chance: np.random.Generator
    real: RealWeeks

    def draws(self) -> pl.Series:
        """One uniform number a line."""
        return pl.Series("draw", self.chance.random(self.lines.height))

    def drawn(self) -> pl.DataFrame:
        """The lines, with `draw`, one uniform number an invoice, and `other`, a country abroad by their real shares."""
        invoices = self.lines.select("invoice").unique(maintain_order=True)
        draw = pl.Series("draw", self.chance.random(invoices.height))
        names, shares = list(self.real.abroad), list(self.real.abroad.values())
        other = pl.Series("other", self.chance.choice(names, invoices.height, p=shares).tolist(), pl.String)
        return self.lines.join(invoices.with_columns(draw, other), on="invoice", how="left", maintain_order="left")


def nothing(turn: Turn) -> pl.DataFrame:
    """The lines as they are."""
    return turn.lines


def campaign(turn: Turn) -> pl.DataFrame:
    """Each line of the steadiest seller stands there `magnitude` times, a fraction by chance; further ones on new invoices."""
    whole, part = divmod(turn.magnitude, 1)
    copies = (turn.draws() < part).cast(pl.Int64) + int(whole)
    mine = pl.col("stock_code").str.to_uppercase() == turn.real.steadiest
    sold = turn.lines.with_columns(copies.alias("nth")).filter(mine, pl.col("nth") > 0)
    every = sold.with_columns(pl.int_ranges(pl.col("nth")).alias("nth")).explode("nth")
    further = _under_new_numbers(every.filter(pl.col("nth") > 0), "invoice", "nth")
    return pl.concat([turn.lines.filter(~mine), *(one.drop("nth") for one in (every.filter(pl.col("nth") == 0), further))])


def lockdown(turn: Turn) -> pl.DataFrame:
    """Invoices are dropped at random: a share of `magnitude` for 8 weeks, then linearly fewer for 12."""
    recovering = (pl.col("day") - turn.since).dt.total_days() - DOWN_DAYS
    share = turn.magnitude * (1 - recovering / RECOVERY_DAYS).clip(0, 1)
    return turn.drawn().filter(pl.col("draw") >= share)


def calibration(turn: Turn) -> pl.DataFrame:
    """Every price is too high by a share of `magnitude`."""
    return turn.lines.with_columns((pl.col("price_gbp") * (1 + turn.magnitude)).round(4))


def population(turn: Turn) -> pl.DataFrame:
    """A share of `magnitude` of the home country's invoices goes to the other countries, by their own shares."""
    moves = (pl.col("country") == HOME_COUNTRY) & (pl.col("draw") < turn.magnitude)
    return turn.drawn().with_columns(pl.when(moves).then(pl.col("other")).otherwise(pl.col("country")).alias("country"))


def duplicates(turn: Turn) -> pl.DataFrame:
    """A share of each day's lines stands there twice more: as it is, and under a new invoice that the contract lets pass."""
    asked = (pl.len() * turn.magnitude).round()
    again = turn.lines.with_columns(turn.draws()).filter((pl.col("draw").rank("ordinal") <= asked).over("day")).drop("draw")
    return pl.concat([turn.lines, again, _under_new_numbers(again, "invoice")])


def poison(turn: Turn) -> pl.DataFrame:
    """Pieces, price and country of a share of the lines are readable, within the contract, and senseless."""
    price = (pl.col("price_gbp") * 100).clip(upper_bound=PRODUCT_PRICE_LIMIT_GBP - 0.01)
    values = {"quantity": _pieces(pl.col("quantity") * 1000), "price_gbp": price, "country": pl.lit("???")}
    hit = turn.draws() < turn.magnitude
    return turn.lines.with_columns(pl.when(hit).then(value).otherwise(pl.col(name)).alias(name) for name, value in values.items())


def new_normal(turn: Turn) -> pl.DataFrame:
    """Every line has `magnitude` times its pieces."""
    return turn.lines.with_columns(_pieces(pl.col("quantity") * turn.magnitude))


def hopeless(turn: Turn) -> pl.DataFrame:
    """Each line has the pieces of another line of its day, times lognormal noise with a median of 1 and this sigma."""
    mixed = turn.lines.with_columns(turn.draws()).with_columns(pl.col("quantity").sort_by("draw").over("day"))
    noise = pl.Series(turn.chance.lognormal(0, turn.magnitude, mixed.height))
    return mixed.with_columns(_pieces(pl.col("quantity") * noise))


def _under_new_numbers(lines: pl.DataFrame, *by: str) -> pl.DataFrame:
    """The lines on new invoices, one for all that agree in `by`."""
    number = pl.concat_str(by, separator=" ").rank("dense").cast(pl.Int64) + (NEW_INVOICE - 1)
    return lines.with_columns(pl.concat_str(pl.col("invoice").str.head(-6), number.cast(pl.String)))


def _pieces(quantity: pl.Expr) -> pl.Expr:
    """Whole pieces within the contract: at least one, of the same sign."""
    return (quantity.sign() * quantity.abs().round().clip(1, QUANTITY_LIMIT - 1)).cast(pl.Int64).alias("quantity")
