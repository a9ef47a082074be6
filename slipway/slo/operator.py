"""The same rules and routes as objects of the Prometheus operator, for `k8s/`."""

import re
from pathlib import Path
from typing import Any

import yaml

from slipway import home
from slipway.slo.generated import dump
from slipway.slo.objectives import promises
from slipway.slo.rules import rules

MATCHER = re.compile(r'(\w+)(=~|!~|!=|=)"(.*)"')
TRAINER = "http://trainer:8020/v1/alerts"
# Where a caller's key lies in the cluster: `slipway k8s secrets` makes it.
KEY = {"name": "slipway-callers", "key": "TRAIN_KEY"}


def folder() -> Path:
    return home.root() / "k8s" / "components" / "prometheus-operator"


def texts(place: Path | None = None, routing: Path | None = None) -> dict[str, str]:
    """Each file by name, from the promises in the folder `place` and Alertmanager's file."""
    file = routing or home.root() / "infra" / "alertmanager" / "alertmanager.yml"
    found = [prometheus_rule(each.service, rules(each)) for each in promises(place)]
    return {
        "rules.yaml": (
            "# Generated from infra/slo by `slipway slo generate`.\n"
            + "---\n".join(map(dump, found))
        ),
        "alerting.yaml": (
            f"# Generated from infra/alertmanager/{file.name} by `slipway slo generate`.\n"
            "# Our alerts bear no label `namespace`: the Alertmanager must have\n"
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
    """A line for each file that is missing, or not what is generated."""
    target = into or folder()
    found = {name: target / name for name in texts()}
    return [
        f"{file} is not what `slipway slo generate` writes"
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
    """Alertmanager's own file in the operator's words; the trainer at its Service, with a key."""
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
    told: dict[str, Any] = {_camel(name): value for name, value in route.items()}
    if "matchers" in told:
        told["matchers"] = _matchers(told["matchers"])
    if "routes" in told:
        told["routes"] = [_route(each) for each in told["routes"]]
    return told


def _receiver(receiver: dict[str, Any]) -> dict[str, Any]:
    """The one with a webhook is the trainer's."""
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
    told: dict[str, Any] = {
        "sourceMatch": _matchers(rule["source_matchers"]),
        "targetMatch": _matchers(rule["target_matchers"]),
    }
    return told | ({"equal": rule["equal"]} if "equal" in rule else {})


def _matchers(written: list[str]) -> list[dict[str, str]]:
    """Raises ValueError: a matcher is not of the form `name="value"`."""
    found = []
    for each in written:
        if (parts := MATCHER.fullmatch(each)) is None:
            raise ValueError(f'a matcher must read name="value" with = != =~ or !~, got {each}')
        found.append({"name": parts[1], "matchType": parts[2], "value": parts[3]})
    return found


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)
