"""The model card, rendered from the files of a run and the docstring of `model.py`."""

import json
from typing import Any

from slipway.datasets import catalogue
from slipway.reporting.figure import figure
from slipway.training.candidates import BASELINE
from slipway.training.workspace import Workspace

# Metric columns in a table of candidates: more do not fit beside the names.
COLUMNS = 5


def render(work: Workspace) -> str:
    """Return the card as Markdown. Equal runs give equal cards: dates and commits are tags."""
    results = json.loads(work.metrics.read_text())
    head, _, rest = work.project.card.partition("\n")
    parts = [f"# {work.project.name}", f"**{head.strip()}**", _facts(rest)]
    parts += ["## Gate", gate_table(work, results["metrics"])]
    parts += ["## Candidates", candidates_table(work, results)]
    parts += ["## Data", _data(work, results)]
    return "\n\n".join(parts) + "\n"


def _facts(docstring: str) -> str:
    """Return the `Data: ...` lines of the docstring as a list; a fact may span several lines."""
    facts: list[str] = []
    for line in docstring.strip().splitlines():
        word, colon, text = line.partition(":")
        if colon and word.isalpha() and word[:1].isupper():
            facts.append(f"- **{word}**: {text.strip()}")
        elif line.strip() and facts:
            facts[-1] += f" {line.strip()}"
    return "\n".join(facts)


def gate_table(work: Workspace, metrics: dict[str, float]) -> str:
    """Return a table of every test metric with its gate condition."""
    conditions = {
        each.metric: str(each).removeprefix(each.metric) for each in work.params.gate.conditions
    }
    rows = ["| metric (test rows) | value | gate |", "| --- | ---: | --- |"]
    rows += [
        f"| {name} | {figure(value)} | {conditions.get(name, '').strip()} |"
        for name, value in metrics.items()
    ]
    return "\n".join(rows)


def candidates_table(work: Workspace, results: dict[str, Any]) -> str:
    """Return a table of every candidate by its validation metrics, the chosen one in bold.

    A metric is followed by its standard error. Metrics that the baseline lacks have a second table.
    """
    tried: dict[str, dict[str, float]] = results["candidates"]
    known, primary = tried[BASELINE], work.params.primary
    names = [primary, *(name for name in known if name != primary and _is_metric(name))][:COLUMNS]
    further = [
        name
        for name in dict.fromkeys(name for metrics in tried.values() for name in metrics)
        if name not in known and name != primary and _is_metric(name)
    ]
    with_further = {
        name: metrics for name, metrics in tried.items() if metrics.keys() & set(further)
    }
    rest = {
        name: metrics
        for name, metrics in tried.items()
        if name not in with_further or metrics.keys() & set(names)
    }
    tables = [_table(names, rest, results["chosen"])]
    if with_further:
        tables.append(_table(further, with_further, results["chosen"]))
    return "\n\n".join(tables)


def _table(names: list[str], tried: dict[str, dict[str, float]], chosen: str) -> str:
    rows = [f"| candidate | {' | '.join(names)} |", "| --- |" + " ---: |" * len(names)]
    for name, metrics in tried.items():
        shown = f"**{name}**" if name == chosen else name
        values = (_with_error(metrics, each) for each in names)
        rows.append(f"| {shown} | {' | '.join(values)} |")
    return "\n".join(rows)


def _with_error(metrics: dict[str, float], name: str) -> str:
    if name not in metrics:
        return ""
    error = metrics.get(f"{name}_se")
    # Two digits are enough: the standard error is itself an estimate.
    return figure(metrics[name]) + (f" ± {error:.2g}" if error is not None else "")


def _is_metric(name: str) -> bool:
    """Return whether `name` is a metric, and not the spread or standard error of one."""
    return not name.endswith(("_std", "_se"))


def _data(work: Workspace, results: dict[str, Any]) -> str:
    entry = catalogue.entry(work.params.dataset)
    lines = [
        f"{entry.title} ({entry.home}).",
        f"Licence: {entry.licence}.",
        f"Cite: {entry.citation}.",
    ]
    rows = results["rows"]
    lines.append(f"Rows: {rows['train']} to train, {rows['test']} to test.")
    lines += [f"`{name}` sha256 `{file.sha256}`" for name, file in entry.files.items()]
    return "\n".join(f"- {line}" for line in lines)
