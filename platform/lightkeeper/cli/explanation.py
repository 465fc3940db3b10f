"""`lightkeeper model explain`: one forecast in words, its parts, and what changed since the forecast before.

The arithmetic stands in `lightkeeper.models.explaining`; here one forecast is found in the lake, and told.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lightkeeper.cli.matching import matching
from lightkeeper.cli.model_names import ModelArgument, known_model, versions_of
from lightkeeper.cli.options import AsOfOption, HomeOption, JsonOption, open_lake, parse_day
from lightkeeper.cli.show import Column, counted, dim, facts, grid, print_json, print_text, records, text
from lightkeeper.errors import Refused
from lightkeeper.values import TableVersion

if TYPE_CHECKING:
    import polars as pl
    from rich.console import RenderableType

    from lightkeeper.lake.table import Lake
    from lightkeeper.models.model import Model

__all__ = ["explain"]

KeyOption = Annotated[
    list[str] | None, typer.Option("--key", metavar="KEY=VALUE", help="Whose forecast, such as product=85123A; once for each key.")
]
DayOption = Annotated[
    date | None, typer.Option("--day", metavar="DAY", parser=parse_day, help="The day that is forecast; the first one by default.")
]


@dataclass(frozen=True)
class _Explained:
    """One forecast: as it was given, the one before it (None: there is none), its parts."""

    model: Model
    given: Mapping[str, Any]
    before: Mapping[str, Any] | None
    parts: pl.DataFrame

    @property
    def forecast(self) -> float | None:
        """As it was given; None where even the naive forecast had nothing to say."""
        found: float | None = self.given[self.model.forecast_column]
        return found

    @property
    def naive(self) -> bool:
        """Whether no version made it."""
        return str(self.given["model_version"]).endswith(":naive")


def explain(  # noqa: PLR0913 - the options of a command
    model: ModelArgument,
    *,
    key: KeyOption = None,
    day: DayOption = None,
    as_of: AsOfOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Explain one forecast: in words, in parts that add up to it, and what changed it since the one before."""
    lake = open_lake(home)
    declared = _declared(lake, known_model(lake, model))
    found = _explained(lake, declared, key or [], day, as_of)
    if as_json:
        print_json(_json(found))
    else:
        print_text(*_shown(found))


def _declared(lake: Lake, model: str) -> Model:
    """The model as the version that serves was declared, or the newest. Raises Refused where there is no version."""
    from lightkeeper.models.decisions import champion
    from lightkeeper.models.registry import as_declared, summary

    rows = summary(versions_of(lake, model)).to_dicts()
    if not rows:
        raise Refused(
            f"model {model} has no version yet: its forecasts are naive, the value of the same day of the season before. "
            f"Train one: materialize {model}_model."
        )
    serves = champion(lake, model).version
    return as_declared(next((row for row in rows if row["version"] == serves), rows[-1]))


# -- finding ----------------------------------------------------------------------------------------------------


def _explained(lake: Lake, model: Model, keys: Sequence[str], day: date | None, as_of: date | None) -> _Explained:
    import polars as pl

    from lightkeeper.models.explained import explanation

    if not lake.exists(model.forecast_table):
        raise Refused(f"{lake.root} holds no {model.forecast_table}: nothing was forecast yet. Materialize it.")
    at = lake.resolve(model.forecast_table, as_of=as_of)
    rows = _of_series(model, lake.read(at.table, at), keys, str(at))
    newest, *older = _of_day(model, rows, day, str(at))
    made_from = TableVersion.parse(newest["table_version"])
    mine = pl.all_horizontal(pl.col(name) == newest[name] for name in model.row_key)
    table, versions = lake.read(made_from.table, made_from), versions_of(lake, model.name)
    parts = explanation(model, table, lake.read(at.table, at), versions, only=mine)
    return _Explained(model, newest, older[0] if older else None, parts)


def _of_series(model: Model, forecasts: pl.LazyFrame, keys: Sequence[str], what: str) -> pl.DataFrame:
    """The forecasts of one series. Raises a usage error where its keys are not all named, Refused where there is none."""
    named = [one.partition("=")[0] for one in keys]
    example = " ".join(f"--key {name}=..." for name in model.keys)
    odd = [one for one in keys if "=" not in one or one.partition("=")[0] not in model.keys]
    if odd or len(set(named)) < len(named):
        raise typer.BadParameter(f"{(odd or keys)[0]!r}: {model.name} forecasts by {', '.join(model.keys)}. Write {example}.")
    rows = matching(forecasts, keys, what).collect()
    left = [name for name in model.keys if name not in named and rows[name].n_unique() > 1]
    if left:
        few = ", ".join(map(text, rows[left[0]].unique().sort().head(3).to_list()))
        raise typer.BadParameter(f"which {left[0]}? There are {rows[left[0]].n_unique():,}: {few} ... Write {example}.")
    return rows


def _of_day(model: Model, rows: pl.DataFrame, day: date | None, what: str) -> list[Mapping[str, Any]]:
    """The forecasts of one day, the newest first. Raises Refused, naming the days that there are."""
    import polars as pl

    days = rows[model.time].unique().sort()
    if days.is_empty():
        raise Refused(f"{what} holds no forecast. Materialize {model.forecast_table}.")
    if model.horizon:
        newest = rows.filter(pl.col("origin") == rows["origin"].max())
        wanted = newest[model.time].min() if day is None else day
        order = "origin"
    else:
        rows = rows.with_columns(pl.col("table_version").str.split("@").list.last().cast(pl.Int64).alias("made from"))
        wanted = rows.filter(pl.col("made from") == rows["made from"].max())[model.time].max() if day is None else day
        order = "made from"
    found = rows.filter(pl.col(model.time) == wanted).sort(order, descending=True).to_dicts()
    if not found:
        raise Refused(f"{what} has no forecast of {wanted!s}; its days are {days[0]} to {days[-1]}.")
    return list[Mapping[str, Any]](found)


# -- telling ----------------------------------------------------------------------------------------------------


def _json(found: _Explained) -> dict[str, object]:
    import polars as pl

    given, model = found.given, found.model
    adding = found.parts.filter(pl.col("part") != "change")
    moved = found.parts.filter(pl.col("part") == "change")
    return {
        **{name: given[name] for name in (*model.keys, model.time)},
        "sentence": _sentence(found),
        "forecast": found.forecast,
        "given": {name: value for name, value in given.items() if name != "made from"},
        "before": found.before,
        "parts": records(adding.select("part", "name", "value", "category", "contribution")),
        "sum": adding["contribution"].sum() if found.forecast is not None else None,
        "changed": dict(moved.select("name", "contribution").iter_rows()) or None,
    }


def _sentence(found: _Explained) -> str:
    from lightkeeper.models.explaining import sentence

    day, unit = found.given[found.model.time], found.model.target
    if found.forecast is None:
        return f"{day:%A} {day.day} {day:%b}: nothing is forecast, as no day of the series is known."
    if found.naive:
        how = (
            f"the value of the same day of the {found.model.season} days before"
            if found.model.horizon
            else "the mean of all that is known"
        )
        return f"{day:%A} {day.day} {day:%b}: {_plain(found.forecast)} {unit}. It is the naive forecast, {how}; no model made it."
    return sentence(found.parts.filter(found.parts["part"] != "change"), day, unit)


def _shown(found: _Explained) -> list[RenderableType]:
    from rich.text import Text

    parts: list[RenderableType] = [Text(text(_sentence(found)), style="bold"), "", facts(list(_facts(found)))]
    if not found.naive:
        parts += ["", _table(found)]
    return [*parts, "", *_changed(found)]


def _facts(found: _Explained) -> Iterator[tuple[str, str]]:
    given, model = found.given, found.model
    yield "forecast of", ", ".join(f"{text(name)} {text(given[name])}" for name in model.keys) + f" on {given[model.time]}"
    ahead = f" as of {given['origin']}, {counted(given['days_ahead'], 'day')} ahead" if model.horizon else ""
    stood_in = "" if given["made_by"] == "champion" else f" (stood in for the champion: {text(given['made_by'])})"
    yield "made by", f"{text(given['model_version'])}{stood_in}{ahead}, from {text(given['table_version'])}"
    if given["level_factor"] != 1:
        factor = given["level_factor"]
        yield "level", f"{factor:.2f} x what it makes of the features: that much of its forecasts came true lately"
    for low in [name for name in given if name.startswith("low_")]:
        yield _level(low), _band(given[low], given[low.replace("low_", "high_")])
    if given["band_from"] is not None:
        yield "by errors of", text(given["band_from"])
    if given["novelty"] is not None:
        yield "novelty", f"p {given['novelty']:.2g}: {_novel(given['novelty'])}"
    if given["outside"]:
        yield "outside", f"{text(', '.join(given['outside']))}: beyond anything learnt from"


def _level(low: str) -> str:
    return f"{low.removeprefix('low_').replace('_', '.')}% interval"


def _band(low: float | None, high: float | None) -> str:
    return "none: too little has matured" if low is None or high is None else f"{_plain(low)} to {_plain(high)}"


def _novel(p: float) -> str:
    return f"{p:.0%} of the rows learnt from are as far from the others, or farther"


def _plain(value: float) -> str:
    return f"{value + 0.0:,.{_digits([value])}f}"


def _digits(values: Sequence[float]) -> int:
    """Places after the point that show three digits of the largest."""
    largest = max((abs(value) for value in values), default=0.0)
    return min(max(2 - math.floor(math.log10(largest)), 0), 6) if largest else 0


def _table(found: _Explained) -> RenderableType:
    """Base, then features and level by what they added, then the sum; rounded so that what stands there adds up."""
    import polars as pl

    adding = found.parts.filter(pl.col("part") != "change").sort(
        pl.col("part") != "base", pl.col("contribution").abs(), descending=[False, True], maintain_order=True
    )
    exact = adding["contribution"].to_list()
    digits = _digits([math.fsum(exact), exact[0]])
    shown = _adding_up(exact, digits)
    values = [_value(row) for row in adding.iter_rows(named=True)]
    return grid([
        Column("part", [*(text(name) for name in adding["name"]), "sum"]),
        Column("value", [*values, ""], right=True),
        Column(text(found.model.target), [f"{shown[0]:,.{digits}f}", *(f"{one:+,.{digits}f}" for one in shown[1:]),
                                          f"{math.fsum(shown) + 0.0:,.{digits}f}"], right=True),
    ])[0]  # fmt: skip


def _value(row: Mapping[str, Any]) -> str:
    if row["part"] == "base":
        return ""
    if row["category"] is not None:
        return text(row["category"])
    return "null" if row["value"] is None else f"{row['value']:,.6g}"


def _adding_up(parts: Sequence[float], digits: int) -> list[float]:
    """The parts rounded, the last digit of some moved so that they add up to the rounded sum (largest remainders)."""
    unit = 10.0**-digits
    steps = [part / unit for part in parts]
    floors = [math.floor(step) for step in steps]
    missing = round(math.fsum(steps)) - sum(floors)
    up = sorted(range(len(parts)), key=lambda place: floors[place] - steps[place])[: max(missing, 0)]
    return [round((floor + (place in up)) * unit, digits) + 0.0 for place, floor in enumerate(floors)]


def _changed(found: _Explained) -> list[RenderableType]:
    """What changed since the forecast before, in a sentence."""
    import polars as pl

    if found.before is None:
        return [dim("It is the first forecast of that day.")]
    then = found.before[found.model.forecast_column]
    who = text(found.before["model_version"])
    when = f"as of {found.before['origin']}" if found.model.horizon else f"from {text(found.before['table_version'])}"
    said = "nothing" if then is None else _plain(then)
    moved = dict(found.parts.filter(pl.col("part") == "change").select("name", "contribution").iter_rows())
    if not moved:
        return [f"Before, {when}, {who} said {said}. Another forecaster made that one: no feature tells the difference."]
    digits = _digits([found.forecast or 0.0, then or 0.0])
    told = ", ".join(f"{name} {value + 0.0:+,.{digits}f}" for name, value in moved.items())
    return [f"Before, {when}, {who} said {said}. Since then: {told}."]
