"""Differences of two frames, against an oracle that knows dicts and counters only."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from datetime import date
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lightkeeper.errors import Refused
from lightkeeper.measure.diff import diff

KEYS = st.tuples(st.none() | st.integers(-2, 2), st.sampled_from(["a", "b", "", None]))
VALUES = st.tuples(
    st.sampled_from([None, 0.0, -0.0, 1.5, math.nan, math.inf]),
    st.none() | st.booleans(),
    st.none() | st.lists(st.none() | st.integers(0, 1), max_size=2),
)
SIDES = st.dictionaries(KEYS, VALUES, max_size=12)
SCHEMA: dict[str, Any] = {"k0": pl.Int64, "o0": pl.String, "n0": pl.Float64, "more": pl.Boolean, "n": pl.List(pl.Int64)}
Side = Mapping[tuple[Any, ...], tuple[Any, ...]]


def frame(rows: list[tuple[Any, ...]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def comparable(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """A row whose parts compare as the platform compares them: NaN with NaN, -0.0 with 0.0."""
    return tuple(
        "NaN" if isinstance(v, float) and math.isnan(v) else repr(v + 0.0) if isinstance(v, float) else repr(v) for v in row
    )


def rows(found: pl.DataFrame) -> Counter[tuple[Any, ...]]:
    return Counter(comparable(row) for row in found.rows())


@settings(deadline=None)
@given(old=SIDES, new=SIDES)
def test_by_key_every_row_is_added_removed_changed_or_the_same_as_dicts_say(old: Side, new: Side) -> None:
    found = diff(frame([k + v for k, v in old.items()]), frame([k + v for k, v in new.items()]).lazy(), ["k0", "o0"])
    both = [k for k in old if k in new]
    changed = [k for k in both if comparable(old[k]) != comparable(new[k])]
    assert rows(found.added) == Counter(comparable(k + v) for k, v in new.items() if k not in old)
    assert rows(found.removed) == Counter(comparable(k + v) for k, v in old.items() if k not in new)
    assert rows(found.before) == Counter(comparable(k + old[k]) for k in changed)
    assert rows(found.after) == Counter(comparable(k + new[k]) for k in changed)
    assert found.same == len(both) - len(changed)
    columns = [[comparable(old[k])[i] != comparable(new[k])[i] for k in changed] for i in range(3)]
    counts = zip(("n0", "more", "n"), map(sum, columns), strict=True)
    assert found.changed_columns == {name: count for name, count in counts if count}
    assert found.before.select("k0", "o0").equals(found.after.select("k0", "o0"))
    assert bool(found) == (Counter(map(comparable, map(sum_, old.items()))) != Counter(map(comparable, map(sum_, new.items()))))


def sum_(item: tuple[tuple[Any, ...], tuple[Any, ...]]) -> tuple[Any, ...]:
    return item[0] + item[1]


ROWS = st.lists(st.tuples(KEYS, VALUES).map(sum_), max_size=12)


@settings(deadline=None)
@given(old=ROWS, new=ROWS)
def test_without_a_key_rows_are_compared_as_a_multiset(old: list[tuple[Any, ...]], new: list[tuple[Any, ...]]) -> None:
    found = diff(frame(old), frame(new))
    was, now = Counter(map(comparable, old)), Counter(map(comparable, new))
    assert rows(found.added) == now - was
    assert rows(found.removed) == was - now
    assert found.same == (was & now).total()
    assert found.before.is_empty()
    assert bool(found) == (was != now)


def test_the_order_of_rows_and_columns_is_no_difference() -> None:
    old = pl.DataFrame({"a": [1, 2, 3], "b": ["x", "y", "z"]})
    assert not diff(old, old.reverse().select("b", "a"))
    assert not diff(old, old.reverse().select("b", "a"), ["a"])


def test_columns_that_came_went_and_changed_their_type_are_told_apart() -> None:
    old = pl.DataFrame({"k": [1], "gone": [1.0], "wider": [1], "other": ["1"]}, schema_overrides={"wider": pl.Int32})
    new = pl.DataFrame({"k": [1], "came": [None], "wider": [2], "other": [1]}, schema_overrides={"came": pl.String})
    found = diff(old, new, ["k"])
    assert (found.schema.added, found.schema.removed) == ({"came": pl.String()}, {"gone": pl.Float64()})
    assert found.schema.retyped == {"wider": (pl.Int32(), pl.Int64()), "other": (pl.String(), pl.Int64())}
    assert found.compared == ("k", "wider")
    assert found.changed_columns == {"wider": 1}


def test_a_change_of_schema_alone_is_a_difference() -> None:
    old = pl.DataFrame({"k": [1]})
    found = diff(old, old.with_columns(note=pl.lit(None, pl.String)), ["k"])
    assert found
    assert found.same == 1


def test_a_column_of_the_key_alone_compares_rows_by_their_presence() -> None:
    found = diff(pl.DataFrame({"k": [1, 2]}), pl.DataFrame({"k": [2, 3]}), ["k"])
    assert (found.added.rows(), found.removed.rows(), found.same) == ([(3,)], [(1,)], 1)


def test_a_key_that_is_not_unique_is_refused_with_an_example_from_the_side_that_has_it() -> None:
    one = pl.DataFrame({"product": ["a", "b"], "day": [date(2026, 1, 1)] * 2})
    two = pl.concat([one, one.tail(1)])
    assert not diff(one, one, ["product", "day"])
    with pytest.raises(Refused, match=r"product, day .*product='b', day=2026-01-01 occurs 2 times in the new rows"):
        diff(one, two, ["product", "day"])
    with pytest.raises(Refused, match=r"day=2026-01-01 occurs 2 times in the old rows"):
        diff(one, one, ["day"])


def test_a_key_that_is_no_column_or_no_plain_value_is_refused() -> None:
    old = pl.DataFrame({"k": [1], "list": [[1]], "text": ["1"]})
    new = pl.DataFrame({"k": [1], "list": [[1]], "text": [1]})
    with pytest.raises(Refused, match=r"old rows have no column 'kk' .*There are: k, list, text"):
        diff(old, new, ["kk"])
    with pytest.raises(Refused, match="'list' is List"):
        diff(old, new, ["list"])
    with pytest.raises(Refused, match="'text' is String in the old rows and Int64 in the new"):
        diff(old, new, ["text"])


def test_frames_without_a_common_column_are_refused() -> None:
    with pytest.raises(Refused, match="no column in common"):
        diff(pl.DataFrame({"a": [1]}), pl.DataFrame({"b": [1]}))


def test_integers_beyond_what_a_float_can_tell_apart_are_not_compared_as_floats() -> None:
    big = 2**53
    found = diff(pl.DataFrame({"k": [1], "v": [big]}), pl.DataFrame({"k": [1], "v": [float(big)]}), ["k"])
    assert found.compared == ("k",)
