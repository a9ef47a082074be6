"""Network policies in `k8s/` allow exactly the calls that the settings name."""

import copy
import json
import re
from typing import Any
from urllib.parse import urlsplit

import pytest

from infra.cluster import secrets
from tests.infra import reach
from tests.infra.conftest import Rendered, everywhere
from tests.infra.manifests import (
    SETTINGS,
    Document,
    Pod,
    by_kind,
    container_variables,
    matches,
    named,
    pods,
    secret_keys,
    servers,
)


def _calls(found: list[Document]) -> list[tuple[Pod, str, int]]:
    """Yield the calls that the settings name: caller, Service and port."""
    calls = []
    for pod in pods(found):
        for container in pod.containers:
            for name, value in container_variables(pod, container, found).items():
                # An address or host:port; not a variable with the own listening address.
                for host, port in re.findall(r"\A(?:https?://)?([a-z][a-z.-]*):(\d+)", value or ""):
                    if host.endswith(".invalid"):  # to be set, and outside
                        continue
                    assert named(found, "Service", host), f"{name}: there is no Service {host}"
                    calls.append((pod, host, int(port)))
    return [*calls, *_calls_of_the_database(found)]


def _calls_of_the_database(found: list[Document]) -> list[tuple[Pod, str, int]]:
    """Used by every pod that has the address that `slipway k8s secrets` writes, where that database
    is."""
    address = urlsplit(secrets.database_uri("password"))
    assert address.hostname
    assert address.port
    if not named(found, "Service", address.hostname):
        return []
    callers = [pod for pod in pods(found) if ("slipway-database", "uri") in secret_keys(pod)]
    return [(pod, address.hostname, address.port) for pod in callers]


def _blocked(found: list[Document]) -> list[str]:
    missing = []
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
            missing += reach.allowed(found, caller, pod, inside)
    return missing


@everywhere
def test_every_call_that_the_settings_name_is_let_pass(rendered: Rendered, place: str) -> None:
    called = {(caller.name, host) for caller, host, _ in _calls(rendered[place])}
    assert {("predict", "mlflow"), ("monitor", "mlflow"), ("trainer", "mlflow")} <= called
    assert {("train-every-project", "mlflow")} <= called
    if "monitoring.coreos.com" not in json.dumps(rendered[place]):
        assert ("monitor", "trainer") in called
    assert _blocked(rendered[place]) == []


@pytest.mark.parametrize(
    "policy",
    ["predict", "monitor", "trainer", "mlflow", "training", "postgres", "mlflow-to-postgres"],
)
def test_a_call_that_is_not_let_pass_is_found(rendered: Rendered, policy: str) -> None:
    rest = [
        each
        for each in rendered["components/postgres"]
        if (each["kind"], each["metadata"]["name"]) != ("NetworkPolicy", policy)
    ]
    assert any("may not" in message for message in _blocked(rest))


def _needless(found: list[Document]) -> list[str]:
    """Return allowed calls between pods that no setting names; one open side counts."""
    wanted = {(caller.name, host) for caller, host, _ in _calls(found)}
    # Pods with the shared registry setting; Ray's pods connect to each other.
    labelled = {(a.labels["app.kubernetes.io/name"], h) for a, h, _ in _calls(found)}
    # Prometheus' component disables the monitor's own webhook; the policy still allows it.
    known = {*wanted, *labelled, ("monitor", "trainer")}
    return [
        f"{caller.where} may call {called.where} on {port} for nothing"
        for caller in pods(found)
        for called in pods(found)
        for container in called.running
        for port in {each["containerPort"] for each in container.get("ports", [])}
        if len(reach.allowed(found, caller, called, port)) < 2
        and (caller.labels["app.kubernetes.io/name"], called.name) not in known
    ]


@everywhere
def test_nobody_else_is_let_pass(rendered: Rendered, place: str) -> None:
    """No pod may call another on a port unless a setting names the call."""
    assert _needless(rendered[place]) == []


@everywhere
def test_everything_is_refused_unless_it_is_let_pass(rendered: Rendered, place: str) -> None:
    policies = by_kind(rendered[place], "NetworkPolicy")
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
                    block = peer["ipBlock"]
                    # The managed database's address, which is not set yet.
                    to_be_set = policy["metadata"]["name"] == "mlflow-to-database"
                    assert (block == {"cidr": "set-me/32"}) is to_be_set
                    assert to_be_set or "169.254.0.0/16" in block["except"]


@everywhere
def test_outside_namespaces_reach_their_services_only(rendered: Rendered, place: str) -> None:
    """Namespaces: Prometheus reaches each /metrics, the ingress controller the model server."""
    found = rendered[place]
    policies = by_kind(found, "NetworkPolicy")
    # MLflow has no metrics.
    there = ({service for service, _, _ in servers(found)} & SETTINGS.keys()) - {"mlflow"}
    wanted = {(name, "monitoring") for name in there} | {("predict", "ingress")}
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


def _opened(found: list[Document]) -> list[str]:
    """Return the database's ingress and egress besides MLflow's calls."""
    wanted = {
        "from": [{"podSelector": {"matchLabels": {"app.kubernetes.io/name": "mlflow"}}}],
        "ports": [{"protocol": "TCP", "port": "postgres"}],
    }
    [database] = [pod for pod in pods(found) if pod.name == "postgres"]
    policies = by_kind(found, "NetworkPolicy")
    entries = [
        (policy["metadata"]["name"], rule)
        for policy in reach.selecting(policies, "Ingress", database)
        for rule in policy["spec"].get("ingress", [])
    ]
    # Every pod may resolve names.
    exits = [
        policy["metadata"]["name"]
        for policy in reach.selecting(policies, "Egress", database)
        if policy["spec"].get("egress") and policy["metadata"]["name"] != "names"
    ]
    alike = [
        pod.where
        for pod in pods(found)
        if pod.labels.get("app.kubernetes.io/name") == "mlflow" and pod.name != "mlflow"
    ]
    return [
        *(f"{name} lets in {rule}" for name, rule in entries if rule != wanted),
        *(f"{name} lets it out" for name in exits),
        *(f"{where} is taken for MLflow" for where in alike),
    ]


@pytest.mark.parametrize("place", ["components/postgres", "overlays/local"])
def test_the_database_is_reached_by_mlflow_alone(rendered: Rendered, place: str) -> None:
    assert _opened(rendered[place]) == []
    callers = {caller.name for caller, host, _ in _calls(rendered[place]) if host == "postgres"}
    assert callers == {"mlflow"}


MONITORING = {"namespaceSelector": {"matchLabels": {"slipway/role": "monitoring"}}}
TRAINER = {"podSelector": {"matchLabels": {"app.kubernetes.io/name": "trainer"}}}
POSTGRES = {"podSelector": {"matchLabels": {"app.kubernetes.io/name": "postgres"}}}


@pytest.mark.parametrize(
    ("policy", "spec"),
    [
        ("postgres", {"ingress": [{"from": [MONITORING]}]}),
        ("postgres", {"ingress": [{"from": [TRAINER]}]}),
        ("postgres", {"ingress": [{"from": [{"podSelector": {}}]}]}),
        ("postgres", {"ingress": [{"from": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}]}),
        ("postgres", {"ingress": [{}]}),
        ("postgres", {"egress": [{"to": [TRAINER]}]}),
        # With another name, and for every pod.
        ("trainer", {"podSelector": {}, "ingress": [{"from": [TRAINER]}]}),
    ],
)
def test_a_policy_that_opens_the_database_is_found(
    rendered: Rendered, policy: str, spec: dict[str, Any]
) -> None:
    found = copy.deepcopy(rendered["components/postgres"])
    wrong = named(found, "NetworkPolicy", policy)
    assert wrong
    wrong["spec"] |= spec
    assert any("let" in message for message in _opened(found))


def test_a_pod_that_goes_to_the_database_for_nothing_is_found(rendered: Rendered) -> None:
    """Egress alone is already a fault."""
    found = copy.deepcopy(rendered["components/postgres"])
    wrong = named(found, "NetworkPolicy", "monitor")
    assert wrong
    wrong["spec"]["egress"].append({"to": [POSTGRES], "ports": [{"port": 5432}]})
    assert _needless(found) == [
        "Deployment monitor may call StatefulSet postgres on 5432 for nothing"
    ]


def test_the_stream_goes_to_the_brokers_and_nowhere_else(rendered: Rendered) -> None:
    policy = named(rendered["components/stream"], "NetworkPolicy", "stream")
    assert policy
    [rule] = policy["spec"]["egress"]
    assert rule["to"] == [{"namespaceSelector": {"matchLabels": {"slipway/role": "brokers"}}}]
    [port] = rule["ports"]
    [(pod, container)] = [
        (pod, container)
        for name, pod, container in servers(rendered["components/stream"])
        if name == "stream"
    ]
    brokers = str(
        container_variables(pod, container, rendered["components/stream"])["SLIPWAY_STREAM_BROKERS"]
    )
    assert {int(each.rpartition(":")[2]) for each in brokers.split(",")} == {port["port"]}
