"""A dashboard: rows of panels laid out from left to right, its variables, links and runbook."""

from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import Field

from infra.grafana.panel import COLUMNS, DATASOURCE, Panel, Strict
from infra.grafana.promql import PROJECT
from infra.grafana.runbook import runbook

TAG = "slipway"
# Grafana's format of dashboards of version 10.4 and later; a newer one brings it up to date.
SCHEMA = 39
RUNBOOK_HEIGHT = 12


class Variable(Strict):
    """A dashboard variable: values of a label to choose from."""

    name: Annotated[str, Field(pattern="^[a-z]+$")]
    metric: str
    """The metric that carries the label, or a selector."""

    def to_json(self) -> dict[str, Any]:
        return {
            "type": "query",
            "name": self.name,
            "label": self.name.capitalize(),
            "datasource": DATASOURCE,
            "query": {"query": f"label_values({self.metric}, {self.name})", "refId": self.name},
            "refresh": 2,  # on each change of the time range, since new versions appear
            "sort": 1,
            "multi": True,
            "includeAll": True,
            # Matches series without the label too, and is shorter than a regex of a hundred names.
            "allValue": ".*",
            "current": {"text": "All", "value": "$__all"},
        }


OF_PREDICT = Variable(name="project", metric="slipway_model_serving")
VERSIONS = Variable(name="version", metric=f"slipway_model_serving{{{PROJECT}}}")


class Row(Strict):
    title: Annotated[str, Field(min_length=3)]
    panels: Annotated[tuple[Panel, ...], Field(min_length=1)]


class Dashboard(Strict):
    """`name` is the name of the file, and of the uid after `slipway-`."""

    name: Annotated[str, Field(pattern="^[a-z]+$")]
    title: Annotated[str, Field(min_length=3)]
    description: Annotated[str, Field(min_length=20)]
    rows: Annotated[tuple[Row, ...], Field(min_length=1)]
    variables: tuple[Variable, ...]
    services: tuple[str, ...]
    """The services whose alerts its runbook explains."""
    reading: Annotated[tuple[str, ...], Field(min_length=1)]
    """Files of this repository, with a heading: `infra/prometheus/README.md#known-limits`."""
    shows_versions: bool = True
    """Mark the times when another version began to serve."""
    hours: int = 6
    """The time range shown at first, in hours."""

    @property
    def uid(self) -> str:
        return f"slipway-{self.name}"

    @property
    def panels(self) -> list[Panel]:
        return [panel for row in self.rows for panel in row.panels]

    def to_json(self) -> dict[str, Any]:
        """Return the dashboard as JSON for Grafana's provisioning."""
        return {
            "uid": self.uid,
            "title": self.title,
            "description": self.description,
            "tags": [TAG],
            "schemaVersion": SCHEMA,
            "version": 1,
            "editable": False,
            "graphTooltip": 1,  # one crosshair for all panels
            "refresh": "30s",
            "time": {"from": f"now-{self.hours}h", "to": "now"},
            "timezone": "browser",
            "templating": {"list": [SOURCE, *(each.to_json() for each in self.variables)]},
            "annotations": {"list": [CHANGES] if self.shows_versions else []},
            "links": [OTHERS],
            "panels": list(self._placed()),
        }

    def _placed(self) -> Iterator[dict[str, Any]]:
        number = y = 0
        for row in self.rows:
            number += 1
            yield _title_row(number, row.title, y)
            x, y, deepest = 0, y + 1, 0
            for panel in row.panels:
                if x + panel.width > COLUMNS:
                    x, y, deepest = 0, y + deepest, 0
                number += 1
                yield panel.to_json(number, x=x, y=y)
                x, deepest = x + panel.width, max(deepest, panel.height)
            y += deepest
        yield _title_row(number + 1, "What to do", y)
        yield {
            "id": number + 2,
            "type": "text",
            "title": "Runbook",
            "description": "The alerts about what is shown here, and further reading.",
            "gridPos": {"x": 0, "y": y + 1, "w": COLUMNS, "h": RUNBOOK_HEIGHT},
            "options": {"mode": "markdown", "content": runbook(self.services, self.reading)},
        }


def _title_row(number: int, title: str, y: int) -> dict[str, Any]:
    place = {"x": 0, "y": y, "w": COLUMNS, "h": 1}
    return {
        "id": number,
        "type": "row",
        "title": title,
        "collapsed": False,
        "gridPos": place,
        "panels": [],
    }


SOURCE = {
    "type": "datasource",
    "name": "datasource",
    "label": "Prometheus",
    "query": "prometheus",
    "current": {"text": "Slipway", "value": "slipway-prometheus"},
}
OTHERS = {
    "type": "dashboards",
    "title": "Slipway",
    "tags": [TAG],
    "asDropdown": True,
    "includeVars": True,
    "keepTime": True,
}
_NOW = f"max by (project, version, variant) (slipway_model_serving{{{PROJECT}}}"
CHANGES = {
    "name": "New versions",
    "datasource": DATASOURCE,
    "enable": True,
    "iconColor": "blue",
    "expr": f"{_NOW}) unless {_NOW} offset 1m)",
    "titleFormat": "{{project}}: version {{version}} serves as {{variant}}",
}
