"""Tables of all projects: `slipway list`, and the leaderboard that the root stage writes."""

import json
from typing import Any

import yaml

from slipway import home
from slipway.project import Project, discover
from slipway.projects import measured
from slipway.reporting.figure import figure
from slipway.training.candidates import BASELINE


def results(project: Project) -> dict[str, Any] | None:
    """Return the last run's `metrics.json`, or None."""
    file = project.folder / "metrics.json"
    return json.loads(file.read_text()) if file.is_file() else None


def lines() -> list[str]:
    """Return a header and one line per project."""
    table = [f"{'project':24} {'data set':24} {'metric':16} {'value':>8}  gate"]
    for project in discover():
        params, found = project.params, results(project)
        condition = params.gate.condition(params.primary)
        value = figure(found["metrics"][params.primary]) if found else "not run"
        gate = f"{condition.sign} {condition.bound:g}"
        name = f"{project.track}/{project.name}"
        table.append(f"{name:24} {params.dataset:24} {params.primary:16} {value:>8}  {gate}")
    return table


def leaderboard() -> str:
    """Return the leaderboard as Markdown. It depends on the projects' metrics and timings only."""
    rows = [
        "# Leaderboard",
        "",
        "Written by `dvc repro` from each project's `metrics.json`: the served model's answers to "
        "test rows that training never saw. The baseline is the project's simplest candidate on "
        "validation data. Times, of training and of one record answered in process, and drift are "
        "as `slipway measure` last found them on the machine that wrote this.",
        "",
        "| project | question | data | metric | value | baseline | gate | parity error | model "
        "| size | trained in | p50, p99 | drift |",
        "| --- | --- | --- | --- | ---: | ---: | --- | ---: | --- | ---: | ---: | ---: | --- |",
    ]
    known = measured.read()
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
            f"[{params.dataset}](../pipelines/datasets/{params.dataset}.yaml)",
            params.primary,
            figure(metrics[params.primary]),
            "" if baseline is None else figure(baseline),
            f"{condition.sign} {condition.bound:g}",
            f"{metrics['parity_error']:.1g}",
            found["chosen"],
            size(project),
            *_times(known.get(project.name)),
        ]
        rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(rows) + "\n"


def size(project: Project) -> str:
    """Return the size of the weights, from the project's lock."""
    lock = yaml.safe_load((project.folder / "dvc.lock").read_text())
    [weights] = [out for out in lock["stages"]["fit"]["outs"] if out["path"] == "work/weights"]
    return f"{weights['size'] / 1e3:,.1f} KB"


def _times(known: measured.Measured | None) -> tuple[str, str, str]:
    if known is None:
        return "", "", ""
    return f"{known.fit_seconds:g} s", f"{known.p50_ms:.3g}, {known.p99_ms:.3g} ms", known.drift
