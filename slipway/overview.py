"""All projects at a glance: `slipway list`, and the leaderboard that the root stage writes."""

import json
from typing import Any

from slipway import home
from slipway.project import Project, discover
from slipway.training.candidates import BASELINE


def results(project: Project) -> dict[str, Any] | None:
    """The last run's `metrics.json`, or None."""
    file = project.folder / "metrics.json"
    return json.loads(file.read_text()) if file.is_file() else None


def lines() -> list[str]:
    """A line a project."""
    told = [f"{'project':24} {'data set':24} {'metric':16} {'value':>8}  gate"]
    for project in discover():
        params, found = project.params, results(project)
        condition = params.gate.condition(params.primary)
        value = f"{found['metrics'][params.primary]:.4g}" if found else "not run"
        gate = f"{condition.sign} {condition.bound:g}"
        name = f"{project.track}/{project.name}"
        told.append(f"{name:24} {params.dataset:24} {params.primary:16} {value:>8}  {gate}")
    return told


def leaderboard() -> str:
    """Markdown, from the projects' metrics alone: equal runs give an equal page."""
    rows = [
        "# Leaderboard",
        "",
        "Written by `dvc repro` from each project's `metrics.json`: the served model's answers to "
        "test rows that training never saw. The baseline is the project's simplest candidate on "
        "validation data.",
        "",
        "| project | question | metric | value | baseline | gate | parity error | model |",
        "| --- | --- | --- | ---: | ---: | --- | ---: | --- |",
    ]
    for project in discover():
        found = results(project)
        if found is None:
            continue
        params, metrics = project.params, found["metrics"]
        condition = params.gate.condition(params.primary)
        baseline = found["candidates"][BASELINE].get(params.primary)
        place = project.folder.relative_to(home.root()).as_posix()
        cells = [
            f"[{project.name}](../{place}/README.md)",
            project.card.partition("\n")[0],
            params.primary,
            f"{metrics[params.primary]:.4g}",
            "" if baseline is None else f"{baseline:.4g}",
            f"{condition.sign} {condition.bound:g}",
            f"{metrics['parity_error']:.1g}",
            found["chosen"],
        ]
        rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(rows) + "\n"
