"""Checks of every asset, made from what is declared beside it: Dagster shows them, the lake's verdicts keep them.

Owns which checks an asset has. What is measured, and when it fails, stands in `watch`; how a verdict looks in the UI, in `results`.

One step an asset looks at the version that the run made, or at the newest one, and gives a result for each check.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date

import dagster as dg
import polars as pl

from lightkeeper.errors import LightkeeperError
from lightkeeper.lake.suspects import follow, lasting
from lightkeeper.lake.table import Lake
from lightkeeper.lake.verdicts import Judged, record, states, verdicts
from lightkeeper.measure.freshness import span
from lightkeeper.measure.level_shift import CHECK as LEVEL_SHIFT
from lightkeeper.models.decisions import champion
from lightkeeper.models.model import Model
from lightkeeper.orchestrate.cost import cost_of
from lightkeeper.orchestrate.io_manager import LakeIOManager, table_name
from lightkeeper.orchestrate.landing import Landing, files_ledger
from lightkeeper.orchestrate.recompute import contract_of
from lightkeeper.orchestrate.results import GROUPED, Shown, pictures, results, series
from lightkeeper.orchestrate.shown import FRESH, SEGMENTS, WITHIN
from lightkeeper.values import TableVersion, Verdict
from lightkeeper.watch import arrivals, models, runs, tables
from lightkeeper.watch.drawing import Watched

__all__ = ["Plan", "checks_of", "look", "plans"]

_DAILY = ("volume", "nulls", "categories", "range", "duplicates", "members", "drift")
_TOLD = {
    "volume": "Rows of a day beside what such weekdays have.",
    "nulls": "Shares of missing values beside those of reference days.",
    "categories": "Values that the reference never had.",
    "range": "Values outside the range of the reference.",
    "duplicates": "Rows of a day that repeat another.",
    "members": "Values of text columns with far more or fewer rows than usual of them, false discoveries controlled.",
    "drift": "Distance of the last days from quiet days of their weekdays; ranked by what it is worth.",
    "contract": "Lines that broke a rule of the contract beside what such days have.",
    "freshness": "Age of the newest event day against the promise, or against when days usually arrive.",
    "age": "Days since what the champion learnt.",
    "unlearnt": "Matured days that the champion has not learnt from.",
    "accuracy": "The champion's loss on matured outcomes beside its backtest.",
    LEVEL_SHIFT: "What came true in seven days over what the champion forecast: whether its forecasts follow that.",
    "former": "Who served before the champion, on the same outcomes since: whether it would have been better.",
    "anomalies": "Series whose last outcomes left the champion's interval, false discoveries controlled.",
    "run": "Seconds, peak memory and rows a second of the run beside those before it.",
}


@dataclass(frozen=True)
class Plan:
    """The checks of one asset.

    Attributes:
        key: of the asset.
        table: its table.
        step: the step that makes it.
        names: of the checks.
        watched: what is declared of a table that is looked at day by day.
        landing: of a landed table.
        fresh_within: the promise on its newest event day.
        model: whose champion or outcomes the asset is.
        learners: the models that learn from the table.
        raw: whether nothing here is made before it: a broken value in it is a broken file.
        most: seconds that a run may take while no norm is learnt; None: nothing is declared.
    """

    key: dg.AssetKey
    table: str
    step: str
    names: tuple[str, ...]
    watched: Watched | None = None
    landing: Landing | None = None
    fresh_within: str | None = None
    model: Model | None = None
    learners: tuple[Model, ...] = ()
    raw: bool = False
    most: float | None = None

    @property
    def verdicts(self) -> tuple[str, ...]:
        """The checks as verdicts name them."""
        return tuple(one for name in self.names for one in GROUPED.get(name, (name,)))


def plans(assets: Sequence[dg.AssetsDefinition], landings: Sequence[Landing] = (), models_: Sequence[Model] = ()) -> list[Plan]:
    """The checks of every asset that is made here."""
    landed, made = {one.name: one for one in landings}, [asset for asset in assets if asset.is_executable]
    return [_plan(spec, asset.node_def.name, landed, models_) for asset in made for spec in asset.specs]


def _plan(spec: dg.AssetSpec, step: str, landed: Mapping[str, Landing], models_: Sequence[Model]) -> Plan:
    table, metadata = table_name(spec.key), {key: getattr(value, "value", value) for key, value in spec.metadata.items()}
    learners = tuple(one for one in models_ if one.table == table)
    within = metadata.get(WITHIN) or next((one.runs_within for one in models_ if table in one.tables), None)
    most = span(str(within)).total_seconds() if within else None
    plan = Plan(spec.key, table, step, ("run",), learners=learners, raw=not list(spec.deps), most=most)
    rejected = {one.rejected for one in landed.values()}
    for model in models_:
        if table == model.outcome_table:
            return replace(plan, names=("age", "unlearnt", *models.checks_of_outcomes(model), *plan.names), model=model)
        if table == model.explanation_table:
            return plan
        if table == model.forecast_table and model.horizon:
            watched = Watched(table, "origin", (model.forecast_column,), key=(*model.keys, model.time, "origin"))
            return replace(plan, names=(*_DAILY, *plan.names), watched=watched)
    by, fresh = metadata.get("partition_expr"), metadata.get(FRESH)
    if by is None or table in rejected:
        return plan
    contract = contract_of(spec.metadata)
    watched = Watched(
        table, str(by), key=tuple(contract.primary_key()) if contract else (), segments=tuple(metadata.get(SEGMENTS, ()))
    )
    first = ("contract", "freshness") if table in landed else ("freshness",) if fresh else ()
    return replace(plan, names=(*first, *_DAILY, *plan.names), watched=watched, landing=landed.get(table), fresh_within=fresh)


def checks_of(plan: Plan) -> dg.AssetChecksDefinition:
    """The step that gives all results of one asset."""
    specs = [dg.AssetCheckSpec(name, asset=plan.key, description=_about(name)) for name in plan.names]

    @dg.multi_asset_check(specs=specs, name=f"watch_{plan.table}", required_resource_keys={"io_manager"})
    def watch(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        manager: LakeIOManager = context.resources.io_manager
        number, made, peak = manager.looked_at(context, plan.table)
        lake, run_id = manager.lake, context.run.run_id
        if number < 0:
            yield from results(plan.key, plan.names, [_nothing(plan, run_id)], {})
            return
        version = TableVersion(plan.table, number)
        found, shown = _looked(plan, lake, version, run_id, context.log.exception)
        if made:
            cost = cost_of(context.instance, run_id, plan.step, peak, lake.commit(version).rows)
            found += [runs.look(lake, version, run_id, cost, plan.most)] if cost else []
        _keep(plan, lake, found)
        yield from results(plan.key, plan.names, [*found, *_before(lake, plan, found)], shown)

    return watch


def _keep(plan: Plan, lake: Lake, found: Sequence[Judged]) -> None:
    """Suspect days first: a kill in between leaves no day that is passed and broken."""
    doubted = plan.raw and follow(lake, found)
    record(lake, found)
    if doubted:
        lasting(lake, plan.table)


def _about(name: str) -> str:
    kind, _, level = name.partition("coverage_")
    return _TOLD[name] if kind else f"Share of outcomes inside the interval beside its level ({level}%)."


def _nothing(plan: Plan, run_id: str) -> Judged:
    why = f"{plan.table} has no version yet: materialize it first."
    verdicts = tuple(Verdict(name, "unknown", why) for name in plan.verdicts)
    return Judged(TableVersion(plan.table, 0), run_id=run_id, verdicts=verdicts)


def _before(lake: Lake, plan: Plan, found: Sequence[Judged]) -> list[Judged]:
    """Checks that this look did not ask, such as the run time of a run that made nothing: what holds of them."""
    asked = {verdict.check for one in found for verdict in one.verdicts}
    left = [name for name in plan.verdicts if name not in asked]
    held = {row["check"]: row for row in states(lake).rows(pl.col("asset") == plan.table).iter_rows(named=True)} if left else {}
    verdicts = []
    for name in left:
        row = held.get(name)
        if row is None:
            verdicts.append(Verdict(name, "unknown", "Nothing was measured yet."))
        else:
            why = f"{row['why']} (As of {row['known_at']:%Y-%m-%d %H:%M}.)"
            verdicts.append(Verdict(name, row["state"], why, row["measured"], row["limit"], row["n"], kind=row["kind"]))
    return [Judged(TableVersion(plan.table, 0), verdicts=tuple(verdicts))] if verdicts else []


# -- looking


def look(plan: Plan, lake: Lake, version: TableVersion, run_id: str) -> None:
    """Look at a version now and keep what is found, outside the step of the checks: before a training stands on it."""
    found, _ = _looked(plan, lake, version, run_id, lambda *_: None)
    _keep(plan, lake, found)


def _looked(plan: Plan, lake: Lake, version: TableVersion, run_id: str, log: Callable[..., None]) -> tuple[list[Judged], Shown]:
    """What a look finds; where it fails, every check it was to judge is unknown, with the reason, and the run goes on."""
    try:
        if plan.model is not None:
            seen = models.look(lake, plan.model, version, run_id)
            return list(seen.judged), series(seen.series)
        return _of_days(plan, lake, version, run_id) if plan.watched is not None else ([], {})
    except Exception as error:  # noqa: BLE001 - a look that fails is told, whatever it fails by
        if not isinstance(error, LightkeeperError):
            log("%s could not be looked at", plan.table)
        why = f"{version} could not be judged: {type(error).__name__}: {error}"
        names = [name for name in plan.verdicts if name not in runs.CHECKS]
        return [Judged(version, run_id=run_id, verdicts=tuple(Verdict(name, "unknown", why) for name in names))], {}


def _of_days(plan: Plan, lake: Lake, version: TableVersion, run_id: str) -> tuple[list[Judged], Shown]:
    watched = plan.watched
    if watched is None:
        return [], {}
    served = [champion(lake, one.name) for one in plan.learners]
    promoted = max((one.since for one in served if one.since is not None), default=None)
    seen = tables.look(lake, watched, version, _effects(lake, plan.learners), promoted=promoted, run_id=run_id)
    days = pl.col(watched.by)
    counts = lake.read(version.table, version).group_by(days).len() if plan.landing else None
    rows: dict[date, int] = {} if counts is None else {day: n for day, n in counts.collect().iter_rows() if day is not None}
    last = seen.judged[-1]
    told = [(one.day, _contract(plan, lake, one, rows)) for one in seen.judged]
    if "freshness" in plan.names:
        told.append((last.day, [_freshness(plan, lake, watched, version)]))
    apart = [Judged(version, day, run_id=run_id, verdicts=tuple(mine)) for day, mine in told if mine]  # beside no reference
    judged = sorted([*apart, *seen.judged, *_lost(plan, lake, last, rows)], key=lambda one: one.day or date.min)
    return judged, pictures(seen)


def _lost(plan: Plan, lake: Lake, last: Judged, rows: Mapping[date, int]) -> Iterator[Judged]:
    """Days of which every line broke the contract, which have no row that could be judged; an older one is told once."""
    found = {} if plan.landing is None else arrivals.lost(lake, plan.landing.rejected, rows, lake.clock().date())
    if not found:
        return
    mine = (pl.col("asset") == plan.table) & (pl.col("check") == "contract") & pl.col("day").is_in(list(found))
    said = verdicts(lake).rows(mine).unique("day", keep="last", maintain_order=True)
    told = set(said.filter(pl.col("state") == "failed", pl.col("measured") == 1)["day"])
    for day, n in found.items():
        if day not in told or (last.day is not None and day > last.day):
            why = f"All {n:,} lines of {day} break the contract: none of them landed."
            if n == 1:
                why = f"The one line of {day} breaks the contract: it did not land."
            verdict = Verdict("contract", "failed", why, 1.0, 0.0, n)
            yield Judged(last.version, day, run_id=last.run_id, verdicts=(verdict,))


def _contract(plan: Plan, lake: Lake, judged: Judged, rows: Mapping[date, int]) -> list[Verdict]:
    if judged.day is None:
        return [Verdict("contract", "unknown", judged.verdicts[0].why)] if plan.landing else []  # as of its other checks
    if plan.landing is None or judged.day not in rows:  # a day that has not come has no lines
        return []
    return arrivals.contract(lake, plan.table, plan.landing.rejected, judged.day, rows)


def _freshness(plan: Plan, lake: Lake, watched: Watched, version: TableVersion) -> Verdict:
    newest = lake.read(version.table, version).select(pl.col(watched.by).max()).collect().item()
    within = None if plan.fresh_within is None else span(plan.fresh_within)
    return arrivals.freshness(newest, lake.clock(), files_ledger(lake) if plan.landing else None, plan.table, within)


def _effects(lake: Lake, learners: Sequence[Model]) -> dict[str, tuple[str, float]]:
    """What each feature does to a forecast, by the champion that learns from the table; the largest where several do."""
    found: dict[str, tuple[str, float]] = {}
    for model in learners:
        if not lake.exists(model.history_table):
            continue
        mine = pl.col("model_version") == champion(lake, model.name).name
        rows = lake.read(model.history_table).filter(mine).select("feature", "effect").collect()
        for feature, effect in rows.drop_nulls().iter_rows():
            if feature not in found or found[feature][1] < effect:
                found[feature] = (model.target, effect)
    return found
