"""A dashboard: rows of panels laid out from left to right, its variables, links and runbook."""

from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import Field

from slipway.grafana.panel import COLUMNS, DATASOURCE, Panel, Strict
from slipway.grafana.promql import PROJECT
from slipway.grafana.runbook import runbook

TAG = "slipway"
# Grafana's format of dashboards of version 10.4 and later; a newer one brings it up to date.
SCHEMA = 39
TELLING_HEIGHT = 12


class Variable(Strict):
    """Values of a label to choose from."""

    name: Annotated[str, Field(pattern="^[a-z]+$")]
    metric: str
    """Whose label it is, a selector."""

    def drawn(self) -> dict[str, Any]:
        return {
            "type": "query",
            "name": self.name,
            "label": self.name.capitalize(),
            "datasource": DATASOURCE,
            "query": {"query": f"label_values({self.metric}, {self.name})", "refId": self.name},
            "refresh": 2,  # whenever the time shown changes: new versions come
            "sort": 1,
            "multi": True,
            "includeAll": True,
            # Also of series without the label's value, and no longer than one of a hundred names.
            "allValue": ".*",
            "current": {"text": "All", "value": "$__all"},
        }


OF_PREDICT = Variable(name="project", metric="slipway_model_serving")
VERSIONS = Variable(name="version", metric=f"slipway_model_serving{{{PROJECT}}}")


class Row(Strict):
    title: Annotated[str, Field(min_length=3)]
    panels: Annotated[tuple[Panel, ...], Field(min_length=1)]


class Dashboard(Strict):
    """`name` is the file's, and the uid's after `slipway-`."""

    name: Annotated[str, Field(pattern="^[a-z]+$")]
    title: Annotated[str, Field(min_length=3)]
    description: Annotated[str, Field(min_length=20)]
    rows: Annotated[tuple[Row, ...], Field(min_length=1)]
    variables: tuple[Variable, ...]
    services: tuple[str, ...]
    """Whose alerts its runbook explains."""
    reading: Annotated[tuple[str, ...], Field(min_length=1)]
    """Files of this repository, with the heading: `infra/prometheus/README.md#known-limits`."""
    shows_versions: bool = True
    """Mark when another version began to answer."""
    hours: int = 6
    """Shown when it is opened."""

    @property
    def uid(self) -> str:
        return f"slipway-{self.name}"

    @property
    def panels(self) -> list[Panel]:
        return [panel for row in self.rows for panel in row.panels]

    def drawn(self) -> dict[str, Any]:
        """As Grafana's provisioning reads it."""
        return {
            "uid": self.uid,
            "title": self.title,
            "description": self.description,
            "tags": [TAG],
            "schemaVersion": SCHEMA,
            "version": 1,
            "editable": False,
            "graphTooltip": 1,  # one cross for all pictures
            "refresh": "30s",
            "time": {"from": f"now-{self.hours}h", "to": "now"},
            "timezone": "browser",
            "templating": {"list": [SOURCE, *(each.drawn() for each in self.variables)]},
            "annotations": {"list": [CHANGES] if self.shows_versions else []},
            "links": [OTHERS],
            "panels": list(self._placed()),
        }

    def _placed(self) -> Iterator[dict[str, Any]]:
        number = y = 0
        for row in self.rows:
            number += 1
            yield _headline(number, row.title, y)
            x, y, deepest = 0, y + 1, 0
            for panel in row.panels:
                if x + panel.width > COLUMNS:
                    x, y, deepest = 0, y + deepest, 0
                number += 1
                yield panel.drawn(number, x=x, y=y)
                x, deepest = x + panel.width, max(deepest, panel.height)
            y += deepest
        yield _headline(number + 1, "What to do", y)
        yield {
            "id": number + 2,
            "type": "text",
            "title": "Runbook",
            "description": "The alerts about what is shown here, and where to read on.",
            "gridPos": {"x": 0, "y": y + 1, "w": COLUMNS, "h": TELLING_HEIGHT},
            "options": {"mode": "markdown", "content": runbook(self.services, self.reading)},
        }


def _headline(number: int, title: str, y: int) -> dict[str, Any]:
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
    "titleFormat": "{{project}}: version {{version}} answers as {{variant}}",
}
