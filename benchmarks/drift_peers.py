"""How each peer of the drift benchmark is asked, by its documentation. Runs in the environment of one peer, for `drift_rivals`.

- evidently: `Report` with a `DataDefinition`; `DataDriftPreset` for speed, and for alarms the `ValueDrift` of each column that
  this preset consists of, with tests, which give the flags (the preset itself computes each twice). Its method depends on the
  reference: up to 1,000 rows p-values against 0.05, above it distances against 0.1. A window is drifted if half the columns are.
- nannyml: `UnivariateDriftCalculator.fit(reference)`, then `.calculate`. For alarms a chunk is a window, and the reference must
  be several whole windows: a threshold is the mean + 3 standard deviations of the reference's own chunks, each measured against
  the reference that it is part of. For speed chunks are the default, tenths. It has no answer for a window as a whole.
- alibi-detect: `TabularDrift`, Kolmogorov-Smirnov and chi2, 0.05 divided by the number of columns (Bonferroni). It takes no
  strings: they are numbered first, within the time.
- scipy: `ks_2samp` and `chi2_contingency`, each against 0.05: what one writes without a peer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["ALARMS", "SPEED"]

Chosen = dict[str, list[str]] | None  # the peer's names of statistics, for "numeric" and "categorical"; None: its defaults

LEVEL, HALF = 0.05, 0.5


def _frame(values: Any, categories: list[int]) -> Any:
    """A pandas frame of an array; categories as whole numbers."""
    import pandas as pd  # type: ignore[import-untyped]

    made = pd.DataFrame(values, columns=[f"x{at:02d}" for at in range(values.shape[1])])
    return made.astype({f"x{at:02d}": "int64" for at in categories})


def _words(frame: Any) -> list[str]:
    """The columns that are not numbers."""
    return [str(name) for name in frame.columns if frame[name].dtype.kind not in "iuf"]


# ---- Evidently


def _evidently_data(frame: Any, categories: list[str]) -> Any:
    from evidently import DataDefinition, Dataset  # type: ignore[import-not-found]

    numeric = [name for name in frame.columns if name not in categories]
    return Dataset.from_pandas(frame, data_definition=DataDefinition(numerical_columns=numeric, categorical_columns=categories))


def _evidently_alarms(reference: Any, windows: Any, categories: list[int]) -> dict[str, Any]:
    from evidently import Report
    from evidently.metrics import ValueDrift  # type: ignore[import-not-found]

    named = [f"x{at:02d}" for at in categories]
    against = _evidently_data(_frame(reference, categories), named)
    report = Report([ValueDrift(column=name) for name in _frame(reference, categories).columns], include_tests=True)
    answers = [report.run(_evidently_data(_frame(window, categories), named), against).dict() for window in windows]
    (methods,) = {tuple((m["config"]["method"], m["config"]["threshold"]) for m in one["metrics"]) for one in answers}
    flags = [[test["status"].upper().endswith("FAIL") for test in one["tests"]] for one in answers]
    return {
        "scores": [[float(metric["value"]) for metric in one["metrics"]] for one in answers], "flags": flags,
        "windows": [sum(flagged) / len(flagged) >= HALF for flagged in flags],
        "methods": [method for method, _ in methods], "thresholds": [threshold for _, threshold in methods],
        "kinds": ["p" if "p_value" in method else "distance" for method, _ in methods],
    }  # fmt: skip


def _evidently_speed(reference: Any, current: Any, statistics: Chosen) -> int:
    from evidently import Report
    from evidently.metrics import ValueDrift
    from evidently.presets import DataDriftPreset  # type: ignore[import-not-found]

    words = _words(reference)
    metrics: list[Any] = [DataDriftPreset()]
    if statistics is not None:
        kinds = {name: "categorical" if name in words else "numeric" for name in reference.columns}
        metrics = [ValueDrift(column=name, method=method) for name, kind in kinds.items() for method in statistics[kind]]
    found = Report(metrics).run(_evidently_data(current, words), _evidently_data(reference, words)).dict()
    return sum(metric["config"]["type"].endswith("ValueDrift") for metric in found["metrics"])


# ---- NannyML


def _nannyml(frame: Any, categories: list[str], statistics: Chosen, chunk: int | None) -> Any:
    import nannyml  # type: ignore[import-not-found]

    chosen: dict[str, list[str]] = statistics or {}
    return nannyml.UnivariateDriftCalculator(
        column_names=list(frame.columns), treat_as_categorical=categories, chunk_size=chunk,
        continuous_methods=chosen.get("numeric"), categorical_methods=chosen.get("categorical"),
    ).fit(frame)  # fmt: skip


def _nannyml_alarms(reference: Any, windows: Any, categories: list[int]) -> dict[str, Any]:
    chunks, rest = divmod(len(reference), windows.shape[1])
    if rest or chunks < 2:
        raise ValueError(
            f"a reference of {len(reference)} rows gives nannyml no threshold: give two windows at least, and whole ones"
        )
    before, after = _frame(reference, categories), _frame(windows.reshape(-1, windows.shape[2]), categories)
    named = [f"x{at:02d}" for at in categories]
    calculator = _nannyml(before, named, None, windows.shape[1])
    found = calculator.calculate(after).filter(period="analysis").to_df()
    each = [found[name]["jensen_shannon"] for name in before.columns]
    return {
        "scores": [list(map(float, row)) for row in zip(*(one["value"] for one in each), strict=True)],
        "flags": [[alert is True or alert == 1 for alert in row] for row in zip(*(one["alert"] for one in each), strict=True)],
        "methods": ["jensen_shannon"] * len(each), "kinds": ["distance"] * len(each),
        "thresholds": [float(one["upper_threshold"].iloc[0]) for one in each],
    }  # fmt: skip


def _nannyml_speed(reference: Any, current: Any, statistics: Chosen) -> int:
    found = _nannyml(reference, _words(reference), statistics, None).calculate(current).filter(period="analysis").to_df()
    return sum(last == "value" for _, _, last in found.columns)


# ---- alibi-detect


def _alibi_alarms(reference: Any, windows: Any, categories: list[int]) -> dict[str, Any]:
    from alibi_detect.cd import TabularDrift  # type: ignore[import-not-found]

    detector = TabularDrift(reference, categories_per_feature=dict.fromkeys(categories))
    answers = [detector.predict(window)["data"] for window in windows]
    columns, threshold = reference.shape[1], answers[0]["threshold"]
    return {
        **_tests([[*zip(one["p_val"], one["distance"], strict=True)] for one in answers], categories, threshold),
        "thresholds": [float(threshold)] * columns, "windows": [bool(one["is_drift"]) for one in answers],
    }  # fmt: skip


def _tests(found: list[list[tuple[Any, Any]]], categories: list[int], threshold: float) -> dict[str, Any]:
    """The answer of a peer that tests: p and statistic of each window and column."""
    columns = len(found[0])
    return {
        "scores": [[float(p) for p, _ in one] for one in found], "distances": [[float(d) for _, d in one] for one in found],
        "flags": [[bool(p < threshold) for p, _ in one] for one in found], "kinds": ["p"] * columns,
        "methods": ["chi2" if at in categories else "ks" for at in range(columns)],
    }  # fmt: skip


def _alibi_speed(reference: Any, current: Any, _: Chosen) -> int:
    import pandas as pd
    from alibi_detect.cd import TabularDrift

    words = _words(reference)
    for name in words:
        codes, _ = pd.factorize(pd.concat([reference[name], current[name]]))
        reference[name], current[name] = codes[: len(reference)], codes[len(reference) :]
    at = [list(reference.columns).index(name) for name in words]
    found = TabularDrift(reference.to_numpy(float), categories_per_feature=dict.fromkeys(at)).predict(current.to_numpy(float))
    return len(found["data"]["p_val"])


# ---- scipy


def _scipy_alarms(reference: Any, windows: Any, categories: list[int]) -> dict[str, Any]:
    kinds = ["chi2" if at in categories else "ks" for at in range(reference.shape[1])]
    found = [[_SCIPY[kind](reference[:, at], window[:, at]) for at, kind in enumerate(kinds)] for window in windows]
    return {**_tests(found, categories, LEVEL), "thresholds": [LEVEL] * len(kinds)}


def _scipy_speed(reference: Any, current: Any, statistics: Chosen) -> int:
    words, chosen = _words(reference), statistics or {"numeric": ["ks"], "categorical": ["chi2"]}
    kinds = {name: chosen["categorical" if name in words else "numeric"] for name in reference.columns}
    return len([_SCIPY[what](reference[name], current[name]) for name, each in kinds.items() for what in each])


def _ks(reference: Any, current: Any) -> tuple[Any, Any]:
    from scipy.stats import ks_2samp

    found = ks_2samp(reference, current)
    return found.pvalue, found.statistic


def _chi2(reference: Any, current: Any) -> tuple[Any, Any]:
    import pandas as pd
    from scipy.stats import chi2_contingency

    counts = [pd.Series(values).value_counts() for values in (reference, current)]
    found = chi2_contingency(pd.concat(counts, axis=1).fillna(0).to_numpy())
    return found.pvalue, found.statistic


def _wasserstein(reference: Any, current: Any) -> tuple[Any, Any]:
    from scipy.stats import wasserstein_distance

    return None, wasserstein_distance(reference, current)


_SCIPY: dict[str, Callable[[Any, Any], tuple[Any, Any]]] = {"ks": _ks, "chi2": _chi2, "wasserstein": _wasserstein}

# Of each peer: `flags` and others of a reference, windows and the positions of categories, as `drift_rivals.run` describes them;
# and how many figures its report of a reference and a current frame has.
ALARMS: dict[str, Callable[[Any, Any, list[int]], dict[str, Any]]] = {
    "evidently": _evidently_alarms, "nannyml": _nannyml_alarms, "alibi-detect": _alibi_alarms, "scipy": _scipy_alarms,
}  # fmt: skip
SPEED: dict[str, Callable[[Any, Any, Chosen], int]] = {
    "evidently": _evidently_speed, "nannyml": _nannyml_speed, "alibi-detect": _alibi_speed, "scipy": _scipy_speed,
}  # fmt: skip
