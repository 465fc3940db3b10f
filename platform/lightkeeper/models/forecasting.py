"""Forecasting: who serves, and the rows ahead of the last known day in; one row for each series and day ahead out.

The champion serves; where it cannot, the one before it, and at the end the naive forecast. Where outcomes have another level than
it forecasts, and following that has been the better forecast, its forecasts are moved by it. Each row says who made it, and by
which factor it was moved.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import date

import polars as pl
import polars.selectors as cs

from lightkeeper.errors import ModelAltered, Refused
from lightkeeper.measure.intervals import Calibration, Settings, calibrate
from lightkeeper.measure.level_shift import LevelShift
from lightkeeper.measure.novelty import Reference
from lightkeeper.measure.paths import Totals, total_interval
from lightkeeper.models.backtesting import naive_forecasts, origins, scored, with_scales
from lightkeeper.models.following import moved, past_as_served, past_of, shifts
from lightkeeper.models.model import Model
from lightkeeper.models.outcomes import band_columns
from lightkeeper.models.registry import ROW, Trained, read_version
from lightkeeper.models.scoring import unseen
from lightkeeper.models.training import assert_columns, assert_rows, assert_same_types
from lightkeeper.values import version_name

__all__ = ["Forecast", "Server", "calibration", "forecast", "server"]

_WEEK = 7
_DIGITS = 10  # of what is summed over groups, whose order Polars does not promise: the same inputs give the same table
_NAIVE_WINDOWS = 6  # stretches of the horizon's length whose errors the naive forecast's intervals stand on


@dataclass(frozen=True)
class Server:
    """Who makes a forecast.

    Attributes:
        model: the model's name.
        trained: the version; None is the naive forecast.
        made_by: champion, previous or naive.
        passed_over: why those that should have served could not, a sentence each.
    """

    model: str
    trained: Trained | None
    made_by: str
    passed_over: tuple[str, ...] = ()

    @property
    def number(self) -> int:
        """Of the version; 0 is the naive forecast."""
        return self.trained.version.number if self.trained else 0

    @property
    def name(self) -> str:
        """Such as demand:v3, or demand:naive."""
        return version_name(self.model, self.number)


@dataclass(frozen=True)
class Forecast:
    """Forecast rows, and what is to be said of them.

    Attributes:
        rows: as `forecast` says.
        origin: the last known day; None without a horizon.
        calibration: what the intervals stand on; None for a binary target.
        unseen: of each text feature the values that were not learnt.
        week: the total of all series over the first seven days ahead, with its interval from backtested totals; None for a
            binary target and without a horizon.
        shift: of the level, that the rows were moved by.
    """

    rows: pl.DataFrame
    origin: date | None
    calibration: Calibration | None
    unseen: dict[str, tuple[str, ...]]
    week: Totals | None = None
    shift: LevelShift = field(default_factory=LevelShift)


def server(model: str, versions: pl.LazyFrame | None, standing: Sequence[int]) -> Server:
    """The first of those that stand ready whose bytes are what was recorded; `standing` ends with 0, the naive forecast."""
    passed: list[str] = []
    for place, number in enumerate(standing):
        if number == 0:
            return Server(model, None, "champion" if place == 0 else "naive", tuple(passed))
        try:
            trained = read_version(model, pl.LazyFrame(schema=ROW) if versions is None else versions, number)
            return Server(model, trained, "champion" if place == 0 else "previous", tuple(passed))
        except (ModelAltered, Refused) as error:
            passed.append(str(error))
    return Server(model, None, "naive", tuple(passed))


def forecast(model: Model, who: Server, table: pl.LazyFrame, made_from: str, left_out: Collection[date] = ()) -> Forecast:
    """Forecasts of the `horizon` days after the last day with a known target; without a horizon of rows without a target.

    The rows are sorted by time and keys: keys, time, `origin` (last known day) and `days_ahead` (1 to the horizon; both only
    with a horizon), `<target>_forecast` (Float64; `<target>_prediction` without a horizon), low and high of each level (null
    where the past cannot support it), `band_from`, `novelty` (conformal p of the inputs, small is new; null without a model),
    `outside` (features beyond what was learnt), `model_version`, `made_by`, `level_factor` (what the version's own forecast was
    multiplied with; 1 unless a shift of the level is followed), `table_version`.

    A version that was trained for other features than are declared now uses its own. A shift of the level is told by all days that
    have matured but those `left_out`, which look broken.

    Raises Refused: no day is known, there is nothing to forecast, the table lacks a column that the version was trained for,
        a feature is infinite, or the version was trained for another target.
    """
    features = _features(model, who, table)
    known = _known(model, table)
    origin = known[model.time].max()
    if not isinstance(origin, date):
        raise Refused(f"model {model.name}: no row of {model.table} has a known {model.target}, so there is no day to start from.")
    ahead = _ahead(model, table, origin, features)
    found = who.trained.fitted.scored(ahead) if who.trained else naive_forecasts(model, known, ahead, origin)
    rows = with_scales(model, scored(model, ahead, found, origin), known, origin)
    past = calibration(model, who, table, known)
    factors = shifts(model, who.trained, past, left_out)
    shift = LevelShift.of(factors)
    rows = moved(rows, pl.lit(shift.factor))
    bands, how = _bands(model, past_as_served(model, past, factors), rows)
    new = unseen(ahead, who.trained.fitted.categories) if who.trained else {}
    exact = pl.col("forecast") if who.trained else pl.col("forecast").round_sig_figs(_DIGITS)
    made = rows.select(
        *model.keys,
        model.time,
        *(("origin", "days_ahead") if model.horizon else ()),
        exact.alias(model.forecast_column),
    ).with_columns(
        *_rounded(bands, made=rows["forecast"] if who.trained else rows["forecast"].round_sig_figs(_DIGITS)).get_columns(),
        *_novelty(who, ahead, new),
        pl.lit(who.name).alias("model_version"),
        pl.lit(who.made_by).alias("made_by"),
        pl.lit(shift.factor).alias("level_factor"),
        pl.lit(made_from).alias("table_version"),
    )
    if how is None or model.horizon is None:
        return Forecast(made, origin if model.horizon else None, how, new, shift=shift)
    week = total_interval(how, _day(model, rows.filter(pl.col("days_ahead") <= _WEEK)))
    return Forecast(made, origin, how, new, week, shift)


def _rounded(bands: pl.DataFrame, made: pl.Series) -> pl.DataFrame:
    """The limits with as many digits as are sure, still on their side of the forecast; nulls stay.

    A limit that is next to nothing beside the others of its row is what a subtraction left over: it is 0.
    """
    limits = bands.select(cs.float()).columns
    wide = bands.with_columns(made.alias(" forecast"))
    least = pl.max_horizontal(pl.col(*limits, " forecast").abs()) * 10.0**-_DIGITS if limits else pl.lit(0.0)
    sure = [pl.when(pl.col(name).abs() < least).then(0.0).otherwise(pl.col(name)).alias(name) for name in limits]
    frame = wide.with_columns(sure).with_columns(pl.col(limits).round_sig_figs(_DIGITS))
    kept = [
        pl.when(pl.col(name).is_not_null()).then(
            (pl.min_horizontal if name.startswith("low_") else pl.max_horizontal)(pl.col(name), pl.col(" forecast"))
        ).alias(name)
        for name in limits
    ]  # fmt: skip
    return frame.with_columns(kept).drop(" forecast")


def _features(model: Model, who: Server, table: pl.LazyFrame) -> tuple[str, ...]:
    """The features that the version was trained for; none for the naive forecast."""
    if who.trained is None:
        assert_columns(model, table, ())
        return ()
    if who.trained.target != model.target:
        raise Refused(f"{who.name} was trained for {who.trained.target}, not for {model.target}. Materialize {model.model_table}.")
    try:
        assert_columns(model, table, who.trained.fitted.features)
        assert_same_types(who.name, who.trained.fitted, table)
    except Refused as error:
        raise Refused(f"{who.name} cannot forecast from {model.table}: {error}") from error
    return who.trained.fitted.features


def _known(model: Model, table: pl.LazyFrame) -> pl.DataFrame:
    return table.filter(pl.col(model.target).is_not_null()).select(*model.row_key, model.target).collect()


def _ahead(model: Model, table: pl.LazyFrame, origin: date, features: Sequence[str]) -> pl.DataFrame:
    """The rows to forecast, with the target as a column of nulls."""
    ahead = (pl.col(model.time) - pl.lit(origin)).dt.total_days()
    wanted = ahead.is_between(1, model.horizon) if model.horizon else pl.col(model.target).is_null()
    rows = table.filter(wanted).select(*model.row_key, model.target, *features).sort(model.row_key).collect()
    if rows.is_empty():
        what = f"rows after {origin}; it must reach {model.horizon} days ahead" if model.horizon else f"row without {model.target}"
        raise Refused(f"model {model.name}: {model.table} has no {what}.")
    assert_rows(model, rows)
    for name in features:
        if rows[name].dtype.is_float() and rows[name].is_infinite().any():
            row = rows.filter(pl.col(name).is_infinite()).select(model.row_key).row(0)
            raise Refused(f"model {model.name}: the feature {name} is infinite for {row}. Make it null in {model.table}.")
    return rows


def calibration(model: Model, who: Server, table: pl.LazyFrame, known: pl.DataFrame, *, banded: bool = True) -> pl.DataFrame:
    """Forecasts of days that the server had not learnt from, beside what came true: scored rows with scales.

    They are those that the version's row keeps, and its forecasts of the days that have matured since; the latter may do without
    bands.
    """
    origin: date = known[model.time].max()  # type: ignore[assignment]
    if who.trained is None:
        return with_scales(model, _naive_past(model, known, origin), known, origin)
    return with_scales(model, past_of(model, who.trained, table, banded=banded), known, origin)


def _naive_past(model: Model, known: pl.DataFrame, origin: date) -> pl.DataFrame:
    days, first = model.judged_days, known[model.time].min()
    found = []
    for at in origins(origin, days, _NAIVE_WINDOWS):
        if isinstance(first, date) and at >= first:
            rows = known.filter((pl.col(model.time) - pl.lit(at)).dt.total_days().is_between(1, days)).sort(model.row_key)
            found.append(scored(model, rows, naive_forecasts(model, known, rows, at), at))
    nothing = scored(model, known.clear(), naive_forecasts(model, known, known.clear(), origin), origin)
    return pl.concat([*found, nothing]).filter(pl.col("forecast").is_not_null())


def _bands(model: Model, past: pl.DataFrame, rows: pl.DataFrame) -> tuple[pl.DataFrame, Calibration | None]:
    """The limits of each level, and on what they stand."""
    if not band_columns(model):
        return pl.DataFrame([pl.repeat(None, rows.height, dtype=pl.String, eager=True).alias("band_from")]), None
    settings = Settings(floor_at=0.0 if model.kind == "count" else None)
    how = calibrate(_day(model, past), model.keys, model.levels, settings)
    return how.bands(_day(model, rows)).select(*band_columns(model), "band_from"), how


def _day(model: Model, rows: pl.DataFrame) -> pl.DataFrame:
    return rows if model.time == "day" else rows.rename({model.time: "day"})


def _novelty(who: Server, ahead: pl.DataFrame, new: dict[str, tuple[str, ...]]) -> list[pl.Series]:
    """How new the inputs of each row are, and which features lie beyond what was learnt."""
    if who.trained is None or who.trained.row["reference"] is None:
        nothing = pl.repeat(None, ahead.height, dtype=pl.Float64, eager=True)
        return [nothing.alias("novelty"), pl.Series("outside", [None] * ahead.height, pl.List(pl.String))]
    fitted = who.trained.fitted
    p, outside = Reference.from_bytes(who.trained.row["reference"]).novelty(fitted.matrix(ahead))
    for name, values in new.items():
        for place in ahead[name].cast(pl.String).is_in(list(values)).fill_null(value=False).arg_true():
            outside[place] = [*outside[place], name]
    return [pl.Series("novelty", p, pl.Float64), pl.Series("outside", outside, pl.List(pl.String))]
