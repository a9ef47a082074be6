"""The rules and routes as objects of the Prometheus operator, for `k8s/`."""

import re
from pathlib import Path
from typing import Any

import yaml

from infra.slo.generated import dump
from infra.slo.objectives import promises
from infra.slo.rules import rules
from slipway import home

MATCHER = re.compile(r'(\w+)(=~|!~|!=|=)"(.*)"')
TRAINER = "http://trainer:8020/v1/alerts"
# The Secret with the trainer's key in the cluster: `slipway k8s secrets` generates it.
KEY = {"name": "slipway-callers", "key": "TRAIN_KEY"}


def folder() -> Path:
    return home.root() / "k8s" / "components" / "prometheus-operator"


def texts(place: Path | None = None, routing: Path | None = None) -> dict[str, str]:
    """Return each file by name, from the folder `place` and Alertmanager's configuration."""
    file = routing or home.root() / "infra" / "alertmanager" / "alertmanager.yml"
    found = [prometheus_rule(each.service, rules(each)) for each in promises(place)]
    return {
        "rules.yaml": (
            "# Generated from infra/slo by `slipway slo generate`.\n"
            + "---\n".join(map(dump, found))
        ),
        "alerting.yaml": (
            f"# Generated from infra/alertmanager/{file.name} by `slipway slo generate`.\n"
            "# Our alerts have no label `namespace`: the Alertmanager must have\n"
            "# alertmanagerConfigMatcherStrategy None, or none of them is routed here.\n"
            + dump(alertmanager_config(yaml.safe_load(file.read_text())))
        ),
    }


def write(into: Path | None = None) -> list[Path]:
    target = into or folder()
    target.mkdir(parents=True, exist_ok=True)
    for name, text in texts().items():
        (target / name).write_text(text)
    return [target / name for name in texts()]


def differences(into: Path | None = None) -> list[str]:
    """Return a line for each file that is missing or differs from what is generated."""
    target = into or folder()
    found = {name: target / name for name in texts()}
    return [
        f"{file} differs from what `slipway slo generate` writes"
        for name, file in found.items()
        if not file.is_file() or file.read_text() != texts()[name]
    ]


def prometheus_rule(service: str, content: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": f"slipway-{service}"},
        "spec": content,
    }


def alertmanager_config(committed: dict[str, Any]) -> dict[str, Any]:
    """Convert Alertmanager's configuration, with the trainer's Service and key."""
    return {
        "apiVersion": "monitoring.coreos.com/v1alpha1",
        "kind": "AlertmanagerConfig",
        "metadata": {"name": "slipway"},
        "spec": {
            "route": _route(committed["route"]),
            "receivers": [_receiver(each) for each in committed["receivers"]],
            "inhibitRules": [_inhibition(each) for each in committed["inhibit_rules"]],
        },
    }


def _route(route: dict[str, Any]) -> dict[str, Any]:
    converted: dict[str, Any] = {_camel(name): value for name, value in route.items()}
    if "matchers" in converted:
        converted["matchers"] = _matchers(converted["matchers"])
    if "routes" in converted:
        converted["routes"] = [_route(each) for each in converted["routes"]]
    return converted


def _receiver(receiver: dict[str, Any]) -> dict[str, Any]:
    """Convert a receiver; the one with a webhook is the trainer's."""
    if "webhook_configs" not in receiver:
        return receiver
    [hook] = receiver["webhook_configs"]
    authorization = {"type": "Bearer", "credentials": KEY}
    ours = {
        "url": TRAINER,
        "sendResolved": hook["send_resolved"],
        "httpConfig": {"authorization": authorization},
    }
    return {"name": receiver["name"], "webhookConfigs": [ours]}


def _inhibition(rule: dict[str, Any]) -> dict[str, Any]:
    converted: dict[str, Any] = {
        "sourceMatch": _matchers(rule["source_matchers"]),
        "targetMatch": _matchers(rule["target_matchers"]),
    }
    return converted | ({"equal": rule["equal"]} if "equal" in rule else {})


def _matchers(written: list[str]) -> list[dict[str, str]]:
    """Convert matchers. Raises ValueError: one does not have the form `name="value"`."""
    found = []
    for each in written:
        if (parts := MATCHER.fullmatch(each)) is None:
            raise ValueError(
                f'a matcher must have the form name="value" with = != =~ or !~, got {each}'
            )
        found.append({"name": parts[1], "matchType": parts[2], "value": parts[3]})
    return found


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)
