"""How text becomes values: by these forms and by no others. Pure. Empty text is null in every type.

======== ============================================================== =====================
type     form                                                           rule when it is not
======== ============================================================== =====================
Int      digits, optionally a sign; within the type's range             `<column>_is_int`
Float    digits, optionally a point and an exponent; finite             `<column>_is_float`
Date     YYYY-MM-DD                                                     `<column>_is_date`
Datetime YYYY-MM-DD HH:MM:SS, or with a T; up to six decimals; no zone  `<column>_is_datetime`
Bool     true or false                                                  `<column>_is_bool`
String   as it is
======== ============================================================== =====================

Which rows are refused for it, and what else must be true of them, stays out: see `contract`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import polars as pl

from lightkeeper.errors import BadDeclaration

__all__ = ["read_texts", "rule_of", "type_text"]


@dataclass(frozen=True, slots=True)
class _Form:
    """How text becomes values of one type: a word for the rule, the text's pattern, the reading of what matches."""

    word: str
    pattern: str | None = None
    read: Callable[[pl.Expr, pl.DataType], pl.Expr] = lambda text, _: text


def type_text(dtype: pl.DataType) -> str:
    """Polars' name of a type, in short: `Int64`, `Datetime(us)`."""
    if isinstance(dtype, pl.Datetime):
        return f"Datetime({', '.join(filter(None, (dtype.time_unit, dtype.time_zone)))})"
    return str(dtype)


def rule_of(column: str, dtype: pl.DataType) -> str | None:
    """The rule that a text breaks which cannot become `dtype`, such as `quantity_is_int`; None where any text can."""
    form = _form(dtype)
    return f"{column}_is_{form.word}" if form and form.pattern else None


def read_texts(raw: pl.DataFrame, wanted: dict[str, pl.DataType]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Reads the text columns of `raw` as the types `wanted`; a column of another type than String stays as it is.

    Returns:
        Two frames, row by row: the columns `wanted`, typed; and for each column that a text can fail to become,
        whether there was a text and it did (Boolean, never null).

    Raises:
        BadDeclaration: a type that text does not become.
    """
    texts = [name for name in wanted if raw.schema[name] == pl.String]
    values = raw.select(*(_value(name, wanted[name]) if name in texts else name for name in wanted))
    failing = [name for name in texts if wanted[name] != pl.String]
    unread = pl.DataFrame([(values[name].is_null() & (raw[name] != "")).fill_null(value=False) for name in failing])
    return values, unread


def _value(name: str, dtype: pl.DataType) -> pl.Expr:
    text, form = pl.col(name), _form(dtype)
    if form is None:
        raise BadDeclaration(
            f"Column {name} is declared as {type_text(dtype)}, which text does not become: declare it as Int, Float, "
            "Date, Datetime without a time zone, Bool or String, and convert it in the next table."
        )
    fits = text.str.contains(form.pattern) if form.pattern else text != ""
    return pl.when(fits).then(form.read(text, dtype)).alias(name)


def _form(dtype: pl.DataType) -> _Form | None:
    if isinstance(dtype, pl.Datetime):
        return _DATETIME if dtype.time_zone is None else None
    if dtype.is_integer() or dtype.is_float():
        return _INT if dtype.is_integer() else _FLOAT
    forms: dict[pl.DataType, _Form] = {pl.Date(): _DATE, pl.Boolean(): _BOOL, pl.String(): _Form("string")}
    return forms.get(dtype)


def _finite(text: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    value = text.cast(dtype, strict=False)
    return pl.when(value.is_finite()).then(value)


def _moment(text: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    spaced = text.str.replace("T", " ", literal=True)
    unit = cast("pl.Datetime", dtype).time_unit
    return spaced.str.to_datetime("%Y-%m-%d %H:%M:%S%.f", time_unit=unit, strict=False)


_DAY = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
_CLOCK = r"[0-9]{2}:[0-9]{2}:[0-5][0-9](\.[0-9]{1,6})?"
_INT = _Form("int", "^[+-]?[0-9]+$", lambda text, dtype: text.cast(dtype, strict=False))
_FLOAT = _Form("float", r"^[+-]?([0-9]+(\.[0-9]+)?|\.[0-9]+)([eE][+-]?[0-9]+)?$", _finite)
_DATE = _Form("date", f"^{_DAY}$", lambda text, _: text.str.to_date("%Y-%m-%d", strict=False))
_DATETIME = _Form("datetime", f"^{_DAY}[T ]{_CLOCK}$", _moment)
_BOOL = _Form("bool", "^(true|false)$", lambda text, _: text == "true")
