"""What a contract says, and which rows keep it: nothing is lost, and every rule that a row broke is named."""

from __future__ import annotations

import math
import re
from datetime import date, datetime
from typing import ClassVar

import dataframely as dy
import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lightkeeper.errors import BadDeclaration, Refused
from lightkeeper.measure.contract import (
    ColumnNote,
    cast_rules,
    check,
    column_lineage,
    columns,
    empty,
    known_ahead,
    rules,
    split,
)


class Reading(dy.Schema):
    """One value of each type that text can become."""

    number = dy.Int64(nullable=True)
    small = dy.Int8(nullable=True)
    share = dy.Float64(nullable=True)
    narrow = dy.Float32(nullable=True)
    day = dy.Date(nullable=True)
    at = dy.Datetime(nullable=True)
    flag = dy.Bool(nullable=True)
    text = dy.String(nullable=True)


class Order(dy.Schema):
    """Rules of every kind: of a column, of a row, of several rows."""

    key = dy.Int64(description="number of the order", min=1)
    product = dy.String(regex="^[A-Z]+$", metadata={"known_ahead": True})
    pieces = dy.Int64(nullable=True, check={"is_even": lambda pieces: pieces % 2 == 0}, metadata={"from": ("sales.n",)})
    limit = dy.Int64(metadata={"known_ahead": True, "from": ("plan.limit", "plan.day")})

    @dy.rule()
    def within_the_limit(cls) -> pl.Expr:  # noqa: N805 - dataframely hands the class
        return pl.col("pieces") <= pl.col("limit")

    @dy.rule()
    def not_twice(cls) -> pl.Expr:  # noqa: N805 - dataframely hands the class
        return pl.struct("key", "product", "pieces", "limit").is_first_distinct()


class Keyed(dy.Schema):
    product = dy.String(primary_key=True)
    day = dy.Date(primary_key=True)
    units = dy.Float64(nullable=True, description="pieces")


def raw(**texts: list[str | None]) -> pl.DataFrame:
    height = len(next(iter(texts.values())))
    place = {"file": ["a.csv"] * height, "row": list(range(2, height + 2))}
    schema = {**dict.fromkeys(texts, pl.String), "file": pl.String, "row": pl.Int64}
    return pl.DataFrame({**texts, **place}, schema=schema)


def orders(*lines: tuple[str | None, ...]) -> pl.DataFrame:
    names = ("key", "product", "pieces", "limit")
    return raw(**{name: [line[place] for line in lines] for place, name in enumerate(names)})


def broken(*lines: tuple[str | None, ...]) -> dict[int, str]:
    rejected = split(orders(*lines), Order).rejected
    return dict(rejected.select("row", "rule").iter_rows())


# ---- what a contract declares


def test_a_contract_tells_what_is_known_ahead() -> None:
    assert known_ahead(Order) == ("product", "limit")


def test_a_contract_tells_what_its_columns_are_made_of() -> None:
    assert column_lineage(Order) == {"pieces": ("sales.n",), "limit": ("plan.limit", "plan.day")}


@pytest.mark.parametrize("wrong", ["sales.units", ("units",), (), ("a.b.c",), (7,)])
def test_a_lineage_that_names_no_table_is_a_bad_declaration(wrong: object) -> None:
    class Wrong(dy.Schema):
        units = dy.Int64(metadata={"from": wrong})

    with pytest.raises(BadDeclaration, match=r"Wrong\.units"):
        column_lineage(Wrong)


def test_the_notes_on_a_contract_spell_out_types_limits_and_rules() -> None:
    notes = {note.name: note for note in columns(Order)}
    assert notes["key"] == ColumnNote("key", "Int64", False, "number of the order", (">= 1", "not_twice"))
    assert notes["product"].constraints == ("matches ^[A-Z]+$", "not_twice")
    assert notes["pieces"].constraints == ("within_the_limit", "not_twice", "pieces_is_even")
    assert [note.type for note in columns(Reading)][3:6] == ["Float32", "Date", "Datetime(us)"]
    assert columns(Keyed)[0].constraints == ("part of the primary key", "product_and_day_is_unique")


def test_an_empty_frame_of_a_contract_has_its_types() -> None:
    assert empty(Reading).schema == pl.Schema({name: column.dtype for name, column in Reading.columns().items()})
    assert empty(Reading).height == 0


def test_every_rule_names_the_columns_that_it_judges() -> None:
    assert rules(Order)["within_the_limit"] == ("pieces", "limit")
    assert rules(Order)["product_has_its_form"] == ("product",)
    assert rules(Keyed)["product_and_day_is_unique"] == ("product", "day")
    assert cast_rules(Order) == {"key_is_int": "key", "pieces_is_int": "pieces", "limit_is_int": "limit"}


# ---- text becomes values


@pytest.mark.parametrize(
    ("column", "text", "value"),
    [
        ("number", "-12", -12),
        ("number", "+7", 7),
        ("number", "007", 7),
        ("number", str(2**63 - 1), 2**63 - 1),
        ("share", "1.5", 1.5),
        ("share", "-.5", -0.5),
        ("share", "1e-7", 1e-7),
        ("share", "12", 12.0),
        ("share", "1e+16", 1e16),
        ("day", "2024-02-29", date(2024, 2, 29)),
        ("at", "2024-02-29 23:59:59", datetime(2024, 2, 29, 23, 59, 59)),  # noqa: DTZ001 - a naive column
        ("at", "2024-02-29T23:59:59", datetime(2024, 2, 29, 23, 59, 59)),  # noqa: DTZ001
        ("at", "2024-02-29 00:00:00.000123", datetime(2024, 2, 29, 0, 0, 0, 123)),  # noqa: DTZ001
        ("flag", "true", True),
        ("flag", "false", False),
        ("text", " as it is ", " as it is "),
        ("text", "", None),
        ("number", "", None),
        ("flag", None, None),
    ],
)
def test_text_of_the_stated_form_becomes_its_value(column: str, text: str | None, value: object) -> None:
    lines = raw(**{name: [text if name == column else None] for name in Reading.column_names()})
    parted = split(lines, Reading)
    assert parted.accepted[column].to_list() == [value]
    assert parted.accepted.schema[column] == Reading.columns()[column].dtype


@pytest.mark.parametrize(
    ("column", "text", "rule"),
    [
        ("number", "1,000", "number_is_int"),
        ("number", "1_000", "number_is_int"),
        ("number", "1.0", "number_is_int"),
        ("number", " 1", "number_is_int"),
        ("number", "1\n", "number_is_int"),
        ("number", "٣", "number_is_int"),
        ("number", str(2**63), "number_is_int"),
        ("small", "128", "small_is_int"),
        ("share", "1,5", "share_is_float"),
        ("share", "1,000.5", "share_is_float"),
        ("share", "inf", "share_is_float"),
        ("share", "NaN", "share_is_float"),
        ("share", "1e999", "share_is_float"),
        ("narrow", "1e39", "narrow_is_float"),
        ("share", ".", "share_is_float"),
        ("day", "29.02.2024", "day_is_date"),
        ("day", "02/29/2024", "day_is_date"),
        ("day", "2023-02-29", "day_is_date"),
        ("day", "2024-2-9", "day_is_date"),
        ("day", "2024-02-29 00:00:00", "day_is_date"),
        ("at", "2024-02-29", "at_is_datetime"),
        ("at", "2024-02-29 24:00:00", "at_is_datetime"),
        ("at", "2024-02-29 23:59:60", "at_is_datetime"),
        ("at", "2024-02-29 23:59", "at_is_datetime"),
        ("at", "2024-02-29T23:59:59Z", "at_is_datetime"),
        ("at", "29.02.2024 23:59:59", "at_is_datetime"),
        ("flag", "True", "flag_is_bool"),
        ("flag", "1", "flag_is_bool"),
    ],
)
def test_text_of_another_form_is_rejected_as_it_came(column: str, text: str, rule: str) -> None:
    lines = raw(**{name: [text if name == column else None] for name in Reading.column_names()})
    parted = split(lines, Reading)
    assert parted.accepted.height == 0
    assert parted.rejected.select(column, "rule").rows() == [(text, rule)]
    assert parted.counts == {rule: 1}


def test_a_column_that_has_its_type_already_is_taken_as_it_is() -> None:
    lines = orders(("1", "A", "2", "9")).with_columns(limit=pl.lit(9, dtype=pl.Int64))
    assert split(lines, Order).accepted["limit"].to_list() == [9]


def test_a_contract_of_a_type_that_text_does_not_become_is_a_bad_declaration() -> None:
    class Zoned(dy.Schema):
        at = dy.Datetime(time_zone="UTC")

    with pytest.raises(BadDeclaration, match=r"Column at .*Datetime\(us, UTC\)"):
        split(raw(at=["2024-01-01T00:00:00Z"]), Zoned)


# ---- rules


def test_a_row_that_keeps_every_rule_is_accepted_with_its_place() -> None:
    accepted = split(orders(("1", "A", "2", "9")), Order).accepted
    assert accepted.rows(named=True) == [
        {"key": 1, "product": "A", "pieces": 2, "limit": 9, "file": "a.csv", "row": 2},
    ]


def test_a_row_carries_every_rule_that_it_broke_in_alphabetical_order() -> None:
    assert broken(("0", "a", "11", "9")) == {
        2: "key_is_large_enough,pieces_is_even,product_has_its_form,within_the_limit",
    }


def test_a_missing_value_breaks_one_rule_and_no_other() -> None:
    assert broken((None, "A", "", "9"), ("1", "", "2", "9")) == {2: "key_is_given", 3: "product_is_given"}


def test_an_unreadable_value_breaks_its_form_and_the_rules_that_need_it_are_not_judged() -> None:
    assert broken(("1", "a", "1,000", "9"), ("x", "A", "11", "9")) == {
        2: "pieces_is_int,product_has_its_form",
        3: "key_is_int,pieces_is_even,within_the_limit",
    }


def test_a_repeated_line_is_rejected_and_the_first_is_kept() -> None:
    line = ("1", "A", "2", "9")
    parted = split(orders(line, ("2", "B", "2", "9"), line, line), Order)
    assert parted.accepted["row"].to_list() == [2, 3]
    assert parted.counts == {"not_twice": 2}


def test_an_unreadable_row_does_not_make_a_good_one_a_repetition() -> None:
    assert broken(("1", "A", "1,000", "9"), ("1", "A", "", "9")) == {2: "pieces_is_int"}
    assert broken(("1", "A", "", "9"), ("1", "A", "1,000", "9")) == {3: "pieces_is_int"}


def test_a_rule_that_names_no_column_is_not_judged_where_a_value_is_unreadable() -> None:
    class Whole(dy.Schema):
        one = dy.Int64(nullable=True)

        @dy.rule()
        def few_rows(cls) -> pl.Expr:  # noqa: N805 - dataframely hands the class
            return pl.len() < 2

    assert split(raw(one=["1", "x"]), Whole).counts == {"one_is_int": 1}
    assert split(raw(one=["1", "2"]), Whole).counts == {"few_rows": 2}


def test_a_key_given_twice_rejects_both_rows() -> None:
    lines = raw(product=["a", "a", "b"], day=["2024-01-01"] * 3, units=["1", "2", None])
    parted = split(lines, Keyed)
    assert parted.counts == {"product_and_day_is_unique": 2}
    assert parted.accepted["product"].to_list() == ["b"]


def test_no_rows_are_parted_into_none_and_none() -> None:
    parted = split(orders(("1", "A", "2", "9")).clear(), Order)
    assert (parted.accepted.height, parted.rejected.height, parted.counts) == (0, 0, {})
    assert parted.rejected.columns == ["file", "row", "key", "product", "pieces", "limit", "rule"]


# ---- nothing is lost

TEXTS = st.one_of(
    st.none(),
    st.sampled_from(["", "0", "1", "2", "-1", "7", "1,000", "A", "AB", "a", "1.5", "x\ny", "NaN", "99999999999999999999"]),
    st.text(max_size=4),
)
LINES = st.lists(st.tuples(TEXTS, TEXTS, TEXTS, TEXTS), max_size=12)


class Oracle:
    """The same contract in plain Python, row by row."""

    INT: ClassVar = re.compile(r"[+-]?[0-9]+\Z")

    @classmethod
    def number(cls, text: str | None) -> int | str | None:
        """The value; None for no text; "bad" for a text that is no number of 64 bits."""
        if not text:
            return None
        value = int(text) if cls.INT.match(text) else 2**63
        return value if -(2**63) <= value < 2**63 else "bad"

    @classmethod
    def breaks(cls, line: tuple[str | None, ...], seen: set[tuple[object, ...]]) -> set[str]:
        key, pieces, limit = (cls.number(line[place]) for place in (0, 2, 3))
        product = line[1] or None
        found = {f"{n}_is_int" for n, v in (("key", key), ("pieces", pieces), ("limit", limit)) if v == "bad"}
        found |= {f"{n}_is_given" for n, v in (("key", key), ("limit", limit), ("product", product)) if v is None}
        if isinstance(key, int) and key < 1:
            found.add("key_is_large_enough")
        if product is not None and not re.fullmatch("[A-Z]+", product):
            found.add("product_has_its_form")
        if isinstance(pieces, int) and pieces % 2:
            found.add("pieces_is_even")
        if isinstance(pieces, int) and isinstance(limit, int) and pieces > limit:
            found.add("within_the_limit")
        if "bad" not in (key, pieces, limit):
            found |= {"not_twice"} if (key, product, pieces, limit) in seen else set()
            seen.add((key, product, pieces, limit))
        return found


@settings(max_examples=150, deadline=None)
@given(LINES)
@example([("1", "A", "1,000", "9"), ("1", "A", "", "9")])
def test_every_row_is_accepted_or_rejected_for_what_it_broke_and_none_is_lost(
    lines: list[tuple[str | None, ...]],
) -> None:
    came = orders(*lines) if lines else orders(("1", "A", "2", "9")).clear()
    seen: set[tuple[object, ...]] = set()
    wanted = {row: ",".join(sorted(found)) for row, line in enumerate(lines, 2) if (found := Oracle.breaks(line, seen))}
    parted = split(came, Order)
    assert dict(parted.rejected.select("row", "rule").iter_rows()) == wanted
    assert parted.rejected.drop("rule").select(came.columns).equals(came.filter(pl.col("row").is_in(list(wanted))))
    assert sorted([*parted.accepted["row"], *parted.rejected["row"]]) == came["row"].to_list()
    values = [(Oracle.number(a), b or None, Oracle.number(c), Oracle.number(d)) for a, b, c, d in lines]
    good = [value for row, value in enumerate(values, 2) if row not in wanted]
    assert parted.accepted.select("key", "product", "pieces", "limit").rows() == good


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False, allow_infinity=False), st.dates())))
def test_values_written_as_text_are_read_back_exactly(values: list[tuple[int, float, date]]) -> None:
    class Three(dy.Schema):
        a = dy.Int64()
        b = dy.Float64()
        c = dy.Date()

    frame = pl.DataFrame(values, schema={"a": pl.Int64, "b": pl.Float64, "c": pl.Date}, orient="row")
    texts = pl.read_csv(frame.write_csv().encode(), infer_schema=False) if values else frame.cast(pl.String)
    parted = split(texts.with_columns(file=pl.lit("f"), row=pl.lit(2)), Three)
    assert parted.accepted.select("a", "b", "c").equals(frame)


# ---- refusals


def test_raw_rows_with_other_columns_are_refused_by_name() -> None:
    lines = orders(("1", "A", "2", "9"))
    with pytest.raises(Refused, match=r"lack \['limit'\]"):
        split(lines.drop("limit"), Order)
    with pytest.raises(Refused, match=r"have \['more'\] too many"):
        split(lines.with_columns(more=pl.lit(1)), Order)
    with pytest.raises(Refused, match=r"lack \['file'\]"):
        split(lines.drop("file"), Order)


def test_a_raw_column_of_a_third_type_is_refused() -> None:
    with pytest.raises(Refused, match="key is Float64, not text or Int64"):
        split(orders(("1", "A", "2", "9")).with_columns(key=pl.lit(1.0)), Order)


def test_a_column_called_rule_is_a_bad_declaration() -> None:
    class Named(dy.Schema):
        rule = dy.String()

    with pytest.raises(BadDeclaration, match="'rule'"):
        split(raw(rule=["x"]), Named)


# ---- frames that an asset made


def frame(**changed: list[object]) -> pl.DataFrame:
    values = {"product": ["a", "b"], "day": [date(2024, 1, 1)] * 2, "units": [1.0, None], **changed}
    return pl.DataFrame(values, schema=empty(Keyed).schema)


def test_a_frame_that_keeps_its_contract_comes_back_in_the_contracts_order() -> None:
    turned = frame().select("units", "day", "product")
    assert check(turned, Keyed).equals(frame())
    assert check(frame().clear(), Keyed).height == 0


def test_a_frame_that_breaks_its_contract_is_refused_with_row_rule_and_values() -> None:
    with pytest.raises(Refused, match=r"row 1 breaks product_is_given \(product='None', day='2024-01-01'\); 1 of 2 rows"):
        check(frame(product=["a", None]), Keyed)
    with pytest.raises(Refused, match=r"row 0 breaks product_and_day_is_unique .*; 2 of 2 rows"):
        check(frame(product=["a", "a"]), Keyed)
    with pytest.raises(Refused, match="row 1 breaks units_is_a_number"):
        check(frame(units=[0.0, math.nan]), Keyed)


def test_a_frame_with_other_columns_or_types_is_refused_before_any_row_is_judged() -> None:
    with pytest.raises(Refused, match=r"lack \['units'\] and have \['more'\] too many"):
        check(frame().drop("units").with_columns(more=pl.lit(1)), Keyed)
    with pytest.raises(Refused, match="units is Int64, the contract says Float64"):
        check(frame().with_columns(pl.col("units").cast(pl.Int64)), Keyed)
