"""What must be true of each landed table, and which stock codes are products. No paths, no schedules, no I/O."""
# ruff: noqa: N805 - the first argument of a dataframely rule is the contract's class

from __future__ import annotations

import dataframely as dy
import polars as pl

# A product's code is five digits and up to two letters (its colour or size), or stands in the range DCGS....
# Everything else is no product: postage (POST, DOT), carriage (C2, C3), manual lines (M, m), discounts (D), samples
# (S), bank charges, commissions (AMAZONFEE, CRUK), adjustments (ADJUST, ADJUST2, B), gift vouchers (gift_0001_...),
# tests (TEST001), cushion pads at 0.001 GBP (PADS).
PRODUCT_CODE = "^([0-9]{5}[A-Za-z]{0,2}|DCGS[0-9A-Z]+)$"

QUANTITY_LIMIT = 100_000  # pieces a line; the largest real order is 80,995
PRODUCT_PRICE_LIMIT_GBP = 1_000  # a piece; the dearest real product costs 649.50

_LINE = ("stock_code", "description", "quantity", "invoiced_at", "price_gbp", "country")


def is_product(code: pl.Expr) -> pl.Expr:
    """Whether a stock code is of a product. Null for null.

    Postage, carriage, manual lines, discounts, fees, adjustments, gift vouchers and tests are no products.
    """
    return code.str.contains(PRODUCT_CODE)


class Sale(dy.Schema):
    """One line of an invoice or of a credit note, as landed: one file a day, which speaks for that day alone."""

    day = dy.Date(description="the day that the file speaks for")
    row = dy.Int64(min=2, description="record in the day's file; the header is record 1")
    invoice = dy.String(description="six digits; with a C before them a credit note (a return or a cancellation)")
    stock_code = dy.String(description="what was sold: a product's code, or one such as POST, M, DOT for what is none")
    description = dy.String(nullable=True, description="the code's text, as typed at the till")
    quantity = dy.Int64(description="pieces; below zero for what came back")
    invoiced_at = dy.Datetime(description="when the invoice was written, local time in the United Kingdom")
    price_gbp = dy.Float64(description="list price of one piece, GBP")
    country = dy.String(description="country of the customer")

    @dy.rule()
    def invoice_is_six_digits(cls) -> pl.Expr:
        """Six digits, with at most one capital letter before them."""
        return pl.col("invoice").str.contains("^[A-Z]?[0-9]{6}$")

    @dy.rule()
    def quantity_is_not_zero(cls) -> pl.Expr:
        """A line moves at least one piece."""
        return pl.col("quantity") != 0

    @dy.rule()
    def quantity_is_plausible(cls) -> pl.Expr:
        """At most 100,000 pieces in one line, sold or returned."""
        return pl.col("quantity").is_between(-QUANTITY_LIMIT, QUANTITY_LIMIT)

    @dy.rule()
    def price_is_positive(cls) -> pl.Expr:
        """A line without a price adjusts the stock (lost, damaged, found); it is no sale."""
        return pl.col("price_gbp") > 0

    @dy.rule()
    def price_is_plausible(cls) -> pl.Expr:
        """At most 1,000 GBP for a piece of a product; postage, fees and manual lines may cost more."""
        return ~is_product(pl.col("stock_code")) | (pl.col("price_gbp") <= PRODUCT_PRICE_LIMIT_GBP)

    @dy.rule()
    def not_a_repeated_line(cls) -> pl.Expr:
        """Of lines that agree in everything within one file, the first is kept: the source repeats whole days."""
        return pl.struct(_LINE).is_first_distinct().over("day", "invoice")

    @dy.rule()
    def of_its_day(cls) -> pl.Expr:
        """A line was invoiced on the day that its file speaks for."""
        return pl.col("invoiced_at").dt.date() == pl.col("day")


class Holiday(dy.Schema):
    """A day that differs from its weekday for a known reason; known long ahead."""

    day = dy.Date(primary_key=True, metadata={"known_ahead": True}, description="the day")
    name = dy.String(metadata={"known_ahead": True}, description="what the day is, in English")
    closed = dy.Bool(metadata={"known_ahead": True}, description="whether nothing is sold on that day")
