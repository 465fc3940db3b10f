"""Runs the benchmarks one after the other, each in a process of its own; shows one table, keeps results, renews the page.

A benchmark is a module beside this one with `run(quick) -> dict`. Results are kept in `results/<date>-<name>.json` with
versions, machine, load and noise; `docs/benchmarks.md` takes its tables from the newest ones, its text is left alone.
The exit code is 1 when a figure misses its limit. With `--quick` sizes are small: limits do not count, nothing is kept.
"""

from __future__ import annotations

import argparse
import importlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.machine import commit, environment, load, machine, noise, told, versions

__all__ = ["NAMES", "adapted", "main", "page", "rendered"]

HERE = Path(__file__).resolve().parent
NAMES = {
    "lake": "The lake beside bare Parquet",
    "chain": "The whole chain beside a bare script",
    "features": "Features beside mlforecast",
    "startup": "From the command to a page with data",
    "training": "Training, backtests and explanations beside bare LightGBM",
    "gate": "False promotions of equal challengers",
    "noticing": "What is noticed of the scenarios",
    "policy": "Retraining by itself beside other policies",
    "ticks": "A tick of the sensor that retrains",
    "latency": "From a failing check to the retraining run",
    "rossmann": "Rossmann: accuracy and intervals beside other forecasters",
    "drift": "Drift: false alarms, power and speed beside other tools",
    "retail": "Online Retail: accuracy beside the naive forecast and ETS",
}
PAGE = HERE.parent / "docs" / "benchmarks.md"
FEATURE_LIMITS = {"seconds": 1.0, "megabytes": 0.5}  # x mlforecast


def main(words: list[str] | None = None) -> int:
    """The command; returns the exit code."""
    asked = _asked(words)
    if asked.child:
        asked.out.write_text(json.dumps(importlib.import_module(f"benchmarks.{asked.child}").run(asked.quick)))
        return 0
    if not asked.page:
        for name in asked.only or NAMES:
            result = _measured(name, quick=asked.quick)
            show(result)
            if asked.results or not asked.quick:
                _keep(result, asked.results or HERE / "results")
            asked.missed += [] if asked.quick else _missed(result)
    if asked.page or not (asked.quick or asked.results):
        PAGE.write_text(page(PAGE.read_text(), _newest(HERE / "results")))
    for line in asked.missed:
        print(f"Not met: {line}", file=sys.stderr)
    return 1 if asked.missed else 0


def _asked(words: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks/run.py", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small sizes; limits do not count, nothing is kept")
    parser.add_argument("--only", action="append", choices=NAMES, help="this one; may be given again")
    parser.add_argument("--results", type=Path, help="keep results in this folder instead, and leave the page alone")
    parser.add_argument("--page", action="store_true", help="measure nothing, only renew docs/benchmarks.md")
    parser.add_argument("--child", choices=NAMES, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    parser.set_defaults(missed=[])
    return parser.parse_args(words)


def _measured(name: str, *, quick: bool) -> dict[str, Any]:
    """One benchmark in a child process, with what it was measured on before and after it."""
    before, quiet = load(), noise()
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "found.json"
        child = [sys.executable, str(Path(__file__)), "--child", name, "--out", str(out), *(["--quick"] if quick else [])]
        subprocess.run(child, cwd=HERE.parent, check=True, stdout=subprocess.DEVNULL, env=environment())
        found = json.loads(out.read_text())
    return {
        "name": name, "measured_at": datetime.now(UTC).isoformat(timespec="seconds"), "quick": quick, **commit(),
        "versions": versions(), "machine": machine(), "load": {"before": before, "after": load()},
        "noise": {"before": quiet, "after": noise()}, "rows": adapted(name, found), "found": found,
    }  # fmt: skip


def _keep(result: dict[str, Any], folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    kept = folder / f"{result['measured_at'][:10]}-{result['name']}.json"
    kept.write_text(json.dumps(result, indent=1) + "\n")
    return kept


def _newest(folder: Path) -> dict[str, dict[str, Any]]:
    """The newest kept result of each benchmark, by name."""
    found = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    return {one["name"]: one for one in sorted(found, key=lambda one: str(one["measured_at"])) if not one["quick"]}


def _missed(result: dict[str, Any]) -> list[str]:
    """Figures over their limit, with the noise beside them."""
    around = f"load {result['load']['before'][0]}-{result['load']['after'][0]}, {told(result['noise']['after'])}"
    return [
        f"{row['what']}: {_figure(row, row['limit_of'])}, at most {_limit(row)} ({around})"
        for row in result["rows"]
        if row["met"] is False
    ]


# ---- rows: every benchmark's figures in one form


def adapted(name: str, found: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows `what, ours_s, theirs_s, ratio, spread, limit, limit_of, met, n, unit` from what a benchmark found.

    `unit` is that of ours and theirs; `limit_of` says which figure the limit bounds: "ours_s" or "ratio"; `spread` is of
    the same figure. What was not measured is None.
    """
    makes = {"lake": _lake_rows, "features": _feature_rows}
    rows = makes[name](found) if name in makes else found["rows"]
    return [_row(**row) for row in rows]


def _row(what: str, ours_s: float | None, spread: list[float], **others: Any) -> dict[str, Any]:
    row = {
        "theirs_s": None, "ratio": None, "limit": None, "limit_of": "ours_s", "n": None, "unit": "s", **others,
        "what": what, "ours_s": ours_s, "spread": spread,
    }  # fmt: skip
    bounded = row[row["limit_of"]]
    return {**row, "met": None if row["limit"] is None or bounded is None else bounded <= row["limit"]}


def _lake_rows(found: dict[str, Any]) -> Iterable[dict[str, Any]]:
    for what, one in found.items():
        row = {"what": what, "spread": one["spread"], "limit": one["limit"]}
        if one["unit"] == "x":
            yield {**row, "ours_s": None, "theirs_s": one["bare_s"], "ratio": one["median"], "limit_of": "ratio"}
        else:
            yield {**row, "ours_s": one["median"]}


def _feature_rows(found: dict[str, Any]) -> Iterable[dict[str, Any]]:
    for case, units in found["cases"].items():
        if case.startswith("ours"):
            kind = case.removeprefix("ours ")
            theirs = found["cases"].get(f"mlforecast {kind}", {})
            for unit, limit in FEATURE_LIMITS.items():
                ratio = found["ratios"].get(f"mlforecast {kind}, {unit}")
                mine, its = units[unit], theirs.get(unit)
                yield {
                    "what": f"{kind}, {unit}", "unit": "s" if unit == "seconds" else "MB", "ours_s": mine["median"],
                    "theirs_s": its and its["median"], "ratio": ratio and ratio["median"],
                    "spread": [(ratio or mine)["min"], (ratio or mine)["max"]], "limit": ratio and limit,
                    "limit_of": "ratio" if ratio else "ours_s",
                }  # fmt: skip


# ---- what people read


def _figure(row: dict[str, Any], key: str) -> str:
    value = row[key]
    return "" if value is None else f"{_number(value)} {'x' if key == 'ratio' else row['unit']}"


def _number(value: float) -> str:
    return f"{value:.3f}" if value < 1 else f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:.0f}"


def _limit(row: dict[str, Any]) -> str:
    return "" if row["limit"] is None else f"{_number(row['limit'])} {'x' if row['limit_of'] == 'ratio' else row['unit']}"


def _spread(row: dict[str, Any]) -> str:
    low, high = row["spread"]
    return f"{_number(low)}-{_number(high)}"


def _met(row: dict[str, Any]) -> str:
    return "" if row["met"] is None else "yes" if row["met"] else "NO"


def _cells(row: dict[str, Any]) -> list[str]:
    return [
        row["what"], _figure(row, "ours_s"), _figure(row, "theirs_s"), _figure(row, "ratio"), _spread(row), _limit(row), _met(row),
    ]  # fmt: skip


_HEADS = ("", "ours", "other", "ratio", "spread", "at most", "met")


def show(result: dict[str, Any]) -> None:
    """One benchmark as a table, 80 columns wide, with the machine's noise below."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=NAMES[result["name"]] + (" (quick)" if result["quick"] else ""), box=None, pad_edge=False)
    for number, head in enumerate(_HEADS):
        table.add_column(head, justify="right" if number else "left", no_wrap=bool(number), overflow="fold")
    for row in result["rows"]:
        table.add_row(*_cells(row))
    console = Console(width=80, highlight=False)
    console.print(table)
    console.print(f"Load {result['load']['before'][0]} before, {result['load']['after'][0]} after. Noise: "
                  f"{told(result['noise']['before'])}; after: {told(result['noise']['after'])}.\n", style="dim")  # fmt: skip


def rendered(result: dict[str, Any]) -> str:
    """One benchmark as Markdown: the table, what was called what if it counts that, then what it was measured on."""
    heads = ["", *_HEADS[1:]]
    lines = ["| " + " | ".join(cells) + " |" for cells in (heads, ["---", *["---:"] * 6], *map(_cells, result["rows"]))]
    on, kept, busy, noisy = result["machine"], result["versions"], result["load"], result["noise"]
    tree = f"commit {str(result['commit'])[:10]}{' with changes' if result['dirty'] else ''}"
    where = f"{on['processor']}, {on['cores']} cores, {on['memory_gb']} GB, {on['system']} {on['kernel']}"
    return "\n".join((
        *lines, "", *_called(result.get("found", {}).get("confusion", {})),
        f"{result['measured_at'][:10]}, {tree}; {where}; {', '.join(f'{name} {number}' for name, number in kept.items())}.",
        f"Load {busy['before'][0]}, {busy['after'][0]} after; noise: {told(noisy['before'])}; after: {told(noisy['after'])}.",
    ))  # fmt: skip


def _called(confusion: dict[str, dict[str, int]]) -> list[str]:
    """How often each scenario was called what, as a Markdown table with an empty line below; nothing without one."""
    if not confusion:
        return []
    names = list(dict.fromkeys(name for counts in confusion.values() for name in counts))
    rows = [[what, *(str(counts.get(name, "")) for name in names), str(sum(counts.values()))] for what, counts in confusion.items()]
    heads = ["scenario", *names, "seeds"]
    return ["| " + " | ".join(cells) + " |" for cells in (heads, ["---", *["---:"] * (len(names) + 1)], *rows)] + [""]


def page(text: str, results: dict[str, dict[str, Any]]) -> str:
    """The page with its tables renewed between `<!-- figures: NAME -->` and `<!-- end: NAME -->`; all else as it is."""
    for name, result in results.items():
        first, last = f"<!-- figures: {name} -->\n", f"<!-- end: {name} -->"
        before, begins, rest = text.partition(first)
        _, ends, after = rest.partition(last)
        if begins and ends:
            text = f"{before}{first}\n{rendered(result)}\n\n{last}{after}"
    return text


if __name__ == "__main__":
    sys.exit(main())
