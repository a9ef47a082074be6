"""Tables of all projects: `slipway list`, and the leaderboard that the root stage writes."""

import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import yaml

from slipway import home
from slipway.project import Project, discover
from slipway.projects import measured
from slipway.projects.course import find_lesson
from slipway.quality.primary import PrimaryMetric
from slipway.reporting.figure import figure
from slipway.rest import ServiceClient, ServiceFault

# `slipway list` must not wait for a server that is busy or away.
SERVER_SECONDS = 2.0


def results(project: Project) -> dict[str, Any] | None:
    """Return the last run's `metrics.json`, or None."""
    file = project.folder / "metrics.json"
    return json.loads(file.read_text()) if file.is_file() else None


@dataclass(frozen=True)
class ProjectRow:
    """A project of the repository, and how far it has come on this machine."""

    name: str
    track: str
    data_set: str
    metric: str
    value: float | None
    """As committed in metrics.json; None if the project was never evaluated."""
    gate: str
    trained: bool
    """True if it was trained in this checkout."""
    served: str | None
    """The version that the model server serves; None if it serves none."""

    def content(self) -> dict[str, Any]:
        """Return the row as JSON types."""
        return asdict(self)


def rows() -> list[ProjectRow]:
    """Return a row for every project."""
    served = served_versions()
    return [_row(project, served.get(project.name)) for project in discover()]


def _row(project: Project, served: str | None) -> ProjectRow:
    params, found = project.params, results(project)
    condition = params.gate.condition(params.primary)
    return ProjectRow(
        name=project.name,
        track=project.track,
        data_set=params.dataset,
        metric=params.primary,
        value=found["metrics"][params.primary] if found else None,
        gate=f"{condition.sign} {condition.bound:g}",
        trained=(project.folder / "work" / "data" / "test.parquet").is_file(),
        served=served,
    )


def served_versions() -> dict[str, str]:
    """Return the served version of each project; nothing if no model server responds."""
    try:
        found = ServiceClient("predict").request_json("GET", "/v1/models", seconds=SERVER_SECONDS)
    except ServiceFault:
        return {}
    return {each["name"]: str(each["version"]) for each in found["models"]}


def lines(rows: Iterable[ProjectRow]) -> Iterator[str]:
    """Yield a header, one line per project, and the sums."""
    yield (
        f"{'project':28} {'data set':24} {'metric':16} {'value':>8}  {'gate':9} "
        f"{'trained here':12}  served"
    )
    count = trained = served = 0
    for row in rows:
        value = "not run" if row.value is None else figure(row.value)
        place = f"{row.track}/{row.name}"
        yield (
            f"{place:28} {row.data_set:24} {row.metric:16} {value:>8}  {row.gate:9} "
            f"{'yes' if row.trained else '-':12}  {f'v{row.served}' if row.served else '-'}"
        )
        count, trained = count + 1, trained + row.trained
        served += row.served is not None
    yield f"{count} in the repository, {trained} trained here, {served} served"


def leaderboard() -> str:
    """Return the leaderboard as Markdown. It depends on the projects' metrics and timings only."""
    rows = [
        "# Leaderboard",
        "",
        "Written by `dvc repro` from each project's `metrics.json`: the served model's answers to "
        "test rows that training never saw, with a 95 % interval. The baseline is the project's "
        "simplest candidate on the same rows ([how projects are evaluated](evaluation.md)). Times, "
        "of training and of one record answered in process, and drift are as `slipway measure` "
        "last found them on the machine that wrote this.",
        "",
        "| project | question | data | metric | value | interval | baseline | gate | parity error "
        "| model | size | trained in | p50, p99 | drift |",
        "| --- | --- | --- | --- | ---: | ---: | ---: | --- | ---: | --- | ---: | ---: | ---: "
        "| --- |",
    ]
    known = measured.read()
    for project in _by_lesson(discover()):
        found = results(project)
        if found is None:
            continue
        params, metrics = project.params, found["metrics"]
        condition = params.gate.condition(params.primary)
        primary = PrimaryMetric.from_results(found, params.primary)
        place = project.folder.relative_to(home.root()).as_posix()
        cells = [
            f"[{project.name}](../{place}/README.md)",
            project.card.partition("\n")[0],
            f"[{params.dataset}](../pipelines/datasets/{params.dataset}.yaml)",
            params.primary,
            figure(metrics[params.primary]),
            "" if primary.interval is None else " to ".join(map(figure, primary.interval)),
            "" if primary.baseline is None else figure(primary.baseline),
            f"{condition.sign} {condition.bound:g}",
            f"{metrics['parity_error']:.1g}" if "parity_error" in metrics else "no weights",
            found["chosen"],
            size(project),
            *_times(known.get(project.name)),
        ]
        rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(rows) + "\n"


def _by_lesson(projects: Iterable[Project]) -> list[Project]:
    """Return the projects by track; those of the course first, in its order."""

    def key(project: Project) -> tuple[str, int, str]:
        lesson = find_lesson(project)
        return project.track, lesson.number if lesson else sys.maxsize, project.name

    return sorted(projects, key=key)


def size(project: Project) -> str:
    """Return the size of the weights, from the project's lock."""
    lock = yaml.safe_load((project.folder / "dvc.lock").read_text())
    [weights] = [out for out in lock["stages"]["fit"]["outs"] if out["path"] == "work/weights"]
    return f"{weights['size'] / 1e3:,.1f} KB"


def _times(known: measured.Measured | None) -> tuple[str, str, str]:
    if known is None:
        return "", "", ""
    return f"{known.fit_seconds:g} s", f"{known.p50_ms:.3g}, {known.p99_ms:.3g} ms", known.drift
