"""A dashboard panel: its Prometheus queries, and how Grafana draws the results."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
# Grafana's names of units.
Quantity = Literal["none", "short", "percentunit", "s", "dtdurations", "bytes", "bool_yes_no"]
PerSecond = Literal["reqps", "recps", "ops"]
Kind = Literal["timeseries", "stat", "table", "heatmap", "bargauge"]
Color = Literal["green", "yellow", "orange", "red", "blue", "text"]
COLUMNS = 24


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Query(Strict):
    """PromQL, with Grafana's variables in it."""

    expr: Annotated[str, Field(min_length=1)]
    legend: str = ""
    """The legend's template, such as `{{project}}`."""


class Panel(Strict):
    """One panel; the tests run each of its queries on a live Prometheus."""

    title: Annotated[str, Field(min_length=3, max_length=60)]
    description: Annotated[str, Field(min_length=20)]
    unit: Quantity | PerSecond
    queries: Annotated[tuple[Query, ...], Field(min_length=1, max_length=8)]
    kind: Kind = "timeseries"
    width: Annotated[int, Field(ge=3, le=COLUMNS)] = 8
    height: Annotated[int, Field(ge=3, le=20)] = 8
    thresholds: tuple[tuple[float, Color], ...] = ()
    """The colour from each value on; below the first, `base`."""
    base: Color = "green"
    least: float | None = 0
    most: float | None = None
    stacked: bool = False
    decimals: int | None = None
    leads: str = ""
    """A dashboard with more detail; its uid without `slipway-`."""

    @model_validator(mode="after")
    def _in_order(self) -> "Panel":
        values = [value for value, _ in self.thresholds]
        if values != sorted(set(values)):
            raise ValueError(f"{self.title}: thresholds must rise, got {values}")
        return self

    def to_json(self, number: int, *, x: int, y: int) -> dict[str, Any]:
        """Return the panel as Grafana's JSON; `number` is its id in the dashboard."""
        return {
            "id": number,
            "type": self.kind,
            "title": self.title,
            "description": self.description,
            "datasource": DATASOURCE,
            "gridPos": {"x": x, "y": y, "w": self.width, "h": self.height},
            "fieldConfig": {"defaults": self._defaults(), "overrides": []},
            "options": OPTIONS[self.kind],
            "links": [_link(self.leads)] if self.leads else [],
            "targets": [self._target(place, each) for place, each in enumerate(self.queries)],
            **({"transformations": TABLE} if self.kind == "table" else {}),
        }

    def _defaults(self) -> dict[str, Any]:
        steps: list[dict[str, Any]] = [{"color": self.base, "value": None}]
        steps += [{"color": color, "value": value} for value, color in self.thresholds]
        bounds = {"min": self.least, "max": self.most, "decimals": self.decimals}
        defaults: dict[str, Any] = {
            "unit": self.unit,
            "thresholds": {"mode": "absolute", "steps": steps},
            **{name: value for name, value in bounds.items() if value is not None},
        }
        if self.kind == "timeseries":
            defaults["custom"] = {
                "lineWidth": 1,
                "fillOpacity": 25 if self.stacked else 5,
                "showPoints": "never",
                "stacking": {"mode": "normal" if self.stacked else "none", "group": "A"},
                "thresholdsStyle": {"mode": "dashed" if self.thresholds else "off"},
            }
        elif self.thresholds:
            defaults["color"] = {"mode": "thresholds"}
        return defaults

    def _target(self, place: int, query: Query) -> dict[str, Any]:
        # Panels of a single value query the newest one; the others query the whole time range.
        instant = self.kind in ("stat", "table", "bargauge")
        formats = {"table": "table", "heatmap": "heatmap"}
        return {
            "refId": chr(ord("A") + place),
            "datasource": DATASOURCE,
            "expr": query.expr,
            "legendFormat": query.legend or "__auto",
            "instant": instant,
            "range": not instant,
            "format": formats.get(self.kind, "time_series"),
        }


_LAST = {"calcs": ["lastNotNull"], "fields": "", "values": False}
OPTIONS: dict[str, dict[str, Any]] = {
    "timeseries": {
        "legend": {
            "displayMode": "table",
            "placement": "bottom",
            "showLegend": True,
            "calcs": ["lastNotNull", "max"],
        },
        "tooltip": {"mode": "multi", "sort": "desc"},
    },
    "stat": {"reduceOptions": _LAST, "colorMode": "value", "graphMode": "none"},
    "bargauge": {"reduceOptions": _LAST, "orientation": "horizontal", "displayMode": "basic"},
    "heatmap": {"calculate": False, "yAxis": {"unit": "s"}, "color": {"scheme": "Oranges"}},
    "table": {"showHeader": True, "cellHeight": "sm"},
}
TABLE = [
    {"id": "merge", "options": {}},
    {"id": "organize", "options": {"excludeByName": {"Time": True}}},
]


def _link(board: str) -> dict[str, Any]:
    """Return a link to another dashboard, with the same projects and time range."""
    return {
        "title": f"More: {board}",
        "url": f"/d/slipway-{board}?${{project:queryparam}}&${{__url_time_range}}",
        "targetBlank": False,
    }
