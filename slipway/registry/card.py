"""The model card, rendered from what the run left, and nothing typed by hand but the docstring."""

import json
from typing import Any

from slipway.datasets import catalogue
from slipway.training.candidates import BASELINE
from slipway.training.workspace import Workspace

# Of a table of candidates: more do not fit beside their names.
COLUMNS = 5


def render(work: Workspace) -> str:
    """Markdown. Equal runs give equal cards: dates and commits are tags of the version."""
    results = json.loads(work.metrics.read_text())
    head, _, rest = work.project.card.partition("\n")
    parts = [f"# {work.project.name}", f"**{head.strip()}**", _facts(rest)]
    parts += ["## Gate", gate_table(work, results["metrics"])]
    parts += ["## Candidates", candidates_table(work, results)]
    parts += ["## Data", _data(work, results)]
    return "\n\n".join(parts) + "\n"


def _facts(text: str) -> str:
    """`Data: ...` lines of the docstring, a list item each; a fact may run over lines."""
    facts: list[str] = []
    for line in text.strip().splitlines():
        word, colon, told = line.partition(":")
        if colon and word.isalpha() and word[:1].isupper():
            facts.append(f"- **{word}**: {told.strip()}")
        elif line.strip() and facts:
            facts[-1] += f" {line.strip()}"
    return "\n".join(facts)


def gate_table(work: Workspace, metrics: dict[str, float]) -> str:
    """Every test metric, with what the gate asks of it."""
    wanted = {
        each.metric: str(each).removeprefix(each.metric) for each in work.params.gate.conditions
    }
    rows = ["| metric (test rows) | value | gate |", "| --- | ---: | --- |"]
    rows += [
        f"| {name} | {value:.4g} | {wanted.get(name, '').strip()} |"
        for name, value in metrics.items()
    ]
    return "\n".join(rows)


def candidates_table(work: Workspace, results: dict[str, Any]) -> str:
    """Every candidate by its validation metrics, the chosen one in bold.

    Those that were asked something else than the baseline was stand in a table of their own.
    """
    left: dict[str, dict[str, float]] = dict(results["candidates"])
    primary = work.params.primary
    names = [primary, *(name for name in left[BASELINE] if name != primary)][:COLUMNS]
    tables = []
    while left:
        own = {
            name: metrics
            for name, metrics in left.items()
            if metrics.keys() & set(names) or not metrics
        }
        tables.append(_table(names, own, results["chosen"]))
        left = {name: metrics for name, metrics in left.items() if name not in own}
        names = list(next(iter(left.values()), {}))[:COLUMNS]
    return "\n\n".join(tables)


def _table(names: list[str], tried: dict[str, dict[str, float]], chosen: str) -> str:
    rows = [f"| candidate | {' | '.join(names)} |", "| --- |" + " ---: |" * len(names)]
    for name, metrics in tried.items():
        shown = f"**{name}**" if name == chosen else name
        values = (f"{metrics[each]:.4g}" if each in metrics else "" for each in names)
        rows.append(f"| {shown} | {' | '.join(values)} |")
    return "\n".join(rows)


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
