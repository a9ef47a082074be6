"""Find all PromQL in this repository: rules, dashboards, autoscalers, analyses, the runbook."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.infra.telemetry import ANYTHING

PAGE = re.DOTALL | re.MULTILINE


@dataclass(frozen=True)
class Expression:
    where: str
    text: str
    records: str | None = None
    """The name of the recorded series."""
    message: str = ""
    """The text of an alert, with the labels that it names."""
    adds: frozenset[str] = frozenset()
    """Labels that scraping adds to the exported ones."""
    alert: str | None = None
    """The name of the alert, if it is an alert's condition."""
    bears: dict[str, str] = field(default_factory=dict)
    """The labels of the alert."""


def in_rules(file: Path) -> Iterator[Expression]:
    yield from _in_groups(file, yaml.safe_load(file.read_text())["groups"])


def _in_groups(file: Path, groups: list[dict[str, Any]]) -> Iterator[Expression]:
    for group in groups:
        for rule in group["rules"]:
            name = rule.get("record") or rule["alert"]
            message = " ".join(rule.get("annotations", {}).values())
            yield Expression(
                f"{file.name}: {name}",
                rule["expr"],
                records=rule.get("record"),
                message=message,
                alert=rule.get("alert"),
                bears=rule.get("labels", {}),
            )


def in_dashboard(file: Path) -> Iterator[Expression]:
    """Yield those of a Grafana dashboard's panels, annotations and variables."""
    for place, name, value in _texts(json.loads(file.read_text())):
        if name == "expr" or (name in ("query", "definition") and _is_query(value)):
            yield Expression(f"{file.name}: {place}", _plain(value))


def in_manifests(file: Path, adds: frozenset[str] = frozenset()) -> Iterator[Expression]:
    """Yield those of KEDA's triggers, the adapter's and the operator's rules, and Argo's
    analyses."""
    for document in yaml.safe_load_all(file.read_text()):
        if isinstance(document, dict) and document.get("kind") == "PrometheusRule":
            yield from _in_groups(file, document["spec"]["groups"])
            continue
        for place, holder in _mappings(document):
            where = f"{file.name}: {place}"
            if "query" in holder and ("serverAddress" in holder or "address" in holder):
                yield Expression(where, _plain(holder["query"]), adds=adds)
            if "metricsQuery" in holder:
                yield Expression(where, holder["seriesQuery"])
                yield Expression(where, _adapted(holder))


def in_page(file: Path) -> Iterator[Expression]:
    """Yield a page's PromQL blocks, with the heading of each."""
    heading = ""
    for found in re.finditer(r"^#+ ([^\n]+)$|^```promql\n(.*?)^```", file.read_text(), PAGE):
        heading = found[1] or heading
        if found[2]:
            yield Expression(f"{file.name}: {heading}", found[2].strip())


def _is_query(value: str) -> bool:
    return "label_values(" in value or "query_result(" in value


def _plain(query: str) -> str:
    """Return a dashboard's or an analysis' query as PromQL, with any value for variables."""
    text = query.strip()
    if values := re.fullmatch(r"label_values\((.+),\s*(\w+)\)", text, re.DOTALL):
        text = f"sum by ({values[2]}) ({values[1]})"
    if result := re.fullmatch(r"query_result\((.+)\)", text, re.DOTALL):
        text = result[1]
    text = re.sub(r"\[\$\{?\w+\}?(?=[:\]])", "[5m", text)
    text = re.sub(r"\{\{args\.[\w-]+\}\}", ANYTHING, text)
    return re.sub(r"\$\{\w+(?::\w+)?\}|\$\w+", ANYTHING, text)


def _adapted(rule: dict[str, Any]) -> str:
    series = re.match(r"\w+", rule["seriesQuery"])
    text: str = rule["metricsQuery"]
    text = text.replace("<<.Series>>", series[0] if series else "")
    return text.replace("<<.LabelMatchers>>", "").replace("<<.GroupBy>>", "instance")


def _texts(node: Any, place: str = "") -> Iterator[tuple[str, str, str]]:
    if isinstance(node, dict):
        place = f"{place}/{node['title']}" if isinstance(node.get("title"), str) else place
        for name, value in node.items():
            if isinstance(value, str):
                yield place, name, value
            else:
                yield from _texts(value, place)
    elif isinstance(node, list):
        for each in node:
            yield from _texts(each, place)


def _mappings(node: Any, place: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(node, dict):
        yield place, node
        for name, value in node.items():
            yield from _mappings(value, f"{place}/{name}")
    elif isinstance(node, list):
        for each in node:
            yield from _mappings(each, place)


def everywhere(root: Path) -> Iterator[Expression]:
    """Yield all expressions below `root`, recording rules before their users."""
    rules = [
        each
        for file in sorted((root / "infra" / "prometheus" / "rules").glob("*.yaml"))
        for each in in_rules(file)
    ]
    yield from sorted(rules, key=lambda each: each.records is None)
    for file in sorted((root / "infra" / "grafana").rglob("*.json")):
        yield from in_dashboard(file)
    manifests = sorted((root / "k8s").rglob("*.yaml"))
    adds = frozenset(label for file in manifests for label in pod_labels(file))
    for file in manifests:
        yield from in_manifests(file, adds)
    for file in sorted((root / "docs").glob("*.md")):
        yield from in_page(file)


def pod_labels(file: Path) -> Iterator[str]:
    """Yield the pod labels that ServiceMonitors add to series."""
    for document in yaml.safe_load_all(file.read_text()):
        if isinstance(document, dict) and document.get("kind") == "ServiceMonitor":
            for label in document["spec"].get("podTargetLabels", []):
                yield re.sub(r"\W", "_", label)
