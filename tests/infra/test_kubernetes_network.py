"""Who may call whom in `k8s/`: all that the settings name, and nobody else."""

import json
import re

import pytest

from tests.infra import reach
from tests.infra.conftest import Rendered, everywhere
from tests.infra.manifests import (
    SETTINGS,
    Document,
    Pod,
    matches,
    named,
    of_kind,
    pods,
    servers,
    told,
)


def _calls(found: list[Document]) -> list[tuple[Pod, str, int]]:
    """By the settings: who calls which Service on which port."""
    told_of = []
    for pod in pods(found):
        for container in pod.containers:
            for name, value in told(pod, container, found).items():
                # An address, or host:port; not a variable that says where to listen.
                for host, port in re.findall(r"\A(?:https?://)?([a-z][a-z.-]*):(\d+)", value or ""):
                    assert named(found, "Service", host), f"{name}: there is no Service {host}"
                    told_of.append((pod, host, int(port)))
    return told_of


def _blocked(found: list[Document]) -> list[str]:
    told_of = []
    for caller, host, port in _calls(found):
        service = named(found, "Service", host)
        assert service
        [outside] = [each for each in service["spec"]["ports"] if each["port"] == port]
        called = [
            pod
            for pod in pods(found)
            if matches(pod.labels, {"matchLabels": service["spec"]["selector"]})
        ]
        for pod in called:
            [inside] = [
                each["containerPort"]
                for container in pod.running
                for each in container.get("ports", [])
                if each["name"] == outside["targetPort"]
            ]
            told_of += reach.allowed(found, caller, pod, inside)
    return told_of


@everywhere
def test_every_call_that_the_settings_name_is_let_pass(rendered: Rendered, place: str) -> None:
    called = {(caller.name, host) for caller, host, _ in _calls(rendered[place])}
    assert {("predict", "mlflow"), ("monitor", "mlflow"), ("trainer", "mlflow")} <= called
    assert {("train-every-project", "mlflow")} <= called
    if "monitoring.coreos.com" not in json.dumps(rendered[place]):
        assert ("monitor", "trainer") in called
    assert _blocked(rendered[place]) == []


@pytest.mark.parametrize("policy", ["predict", "monitor", "trainer", "mlflow", "training"])
def test_a_call_that_is_not_let_pass_is_found(rendered: Rendered, policy: str) -> None:
    rest = [
        each
        for each in rendered["base"]
        if (each["kind"], each["metadata"]["name"]) != ("NetworkPolicy", policy)
    ]
    assert any("may not" in said for said in _blocked(rest))


@everywhere
def test_nobody_else_is_let_pass(rendered: Rendered, place: str) -> None:
    """No pod may call another on a port unless a setting says that it does."""
    found = rendered[place]
    wanted = {(caller.name, host) for caller, host, _ in _calls(found)}
    # The pods that ask the registry by the settings that they share; Ray's talk among themselves.
    labelled = {(a.labels["app.kubernetes.io/name"], h) for a, h, _ in _calls(found)}
    for caller in pods(found):
        for called in pods(found):
            ports = {
                each["containerPort"]
                for container in called.running
                for each in container.get("ports", [])
            }
            for port in ports:
                # Either side alone would do: neither may be open without need.
                if len(reach.allowed(found, caller, called, port)) == 2:
                    continue
                pair = (caller.labels["app.kubernetes.io/name"], called.name)
                # Prometheus' component silences the monitor's own webhook; the way stays open.
                known = {*wanted, *labelled, ("monitor", "trainer")}
                assert pair in known, (
                    f"{caller.where} may call {called.where} on {port} for nothing"
                )


@everywhere
def test_everything_is_refused_unless_it_is_let_pass(rendered: Rendered, place: str) -> None:
    policies = of_kind(rendered[place], "NetworkPolicy")
    [nobody] = [
        each
        for each in policies
        if each["spec"]["podSelector"] == {}
        and each["spec"]["policyTypes"] == ["Ingress", "Egress"]
    ]
    assert "ingress" not in nobody["spec"]
    assert "egress" not in nobody["spec"]
    for policy in policies:
        for rule in policy["spec"].get("ingress", []):
            assert rule.get("from"), f"{policy['metadata']['name']} lets everybody in"
        for rule in policy["spec"].get("egress", []):
            for peer in rule["to"]:
                if "ipBlock" in peer:
                    assert "169.254.0.0/16" in peer["ipBlock"]["except"]


@everywhere
def test_who_stands_outside_is_let_in_where_he_asks(rendered: Rendered, place: str) -> None:
    """Prometheus at each /metrics, the ingress controller at the model server, by namespace."""
    found = rendered[place]
    policies = of_kind(found, "NetworkPolicy")
    wanted = {(name, "monitoring") for name in SETTINGS} | {("predict", "ingress")}
    seen = set()
    for service, pod, _ in servers(found):
        for policy in reach.selecting(policies, "Ingress", pod):
            for rule in policy["spec"].get("ingress", []):
                for peer in rule["from"]:
                    role = peer.get("namespaceSelector", {}).get("matchLabels", {})
                    if "slipway/role" in role:
                        assert rule["ports"] == [{"protocol": "TCP", "port": "http"}]
                        seen.add((service, role["slipway/role"]))
    assert seen == wanted
