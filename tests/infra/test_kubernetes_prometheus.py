"""The objects of the Prometheus operator: the same rules, routes and jobs as for Prometheus
itself."""

import re
from pathlib import Path

import pytest
import yaml

from infra.slo import configuration, generated, operator
from services import metrics_page
from tests.conftest import ROOT
from tests.infra.conftest import Rendered, with_components
from tests.infra.manifests import (
    by_kind,
    container_variables,
    matches,
    servers,
)
from tests.infra.test_kubernetes_settings import OPTIONAL


def test_the_operators_objects_are_current() -> None:
    assert operator.differences() == []


def test_an_object_that_is_not_current_is_found(tmp_path: Path) -> None:
    written = operator.write(tmp_path)
    assert operator.differences(tmp_path) == []
    written[0].write_text(written[0].read_text().replace("14.4", "14.5", 1))
    written[1].unlink()
    assert len(operator.differences(tmp_path)) == 2


def test_the_rules_are_those_of_prometheus_itself(rendered: Rendered) -> None:
    found = by_kind(rendered["components/prometheus-operator"], "PrometheusRule")
    files = {
        file.stem: yaml.safe_load(file.read_text()) for file in generated.folder().glob("*.yaml")
    }
    assert {each["metadata"]["name"]: each["spec"] for each in found} == {
        f"slipway-{name}": content for name, content in files.items()
    }


def test_a_matcher_that_cannot_be_read_is_refused() -> None:
    committed = yaml.safe_load((ROOT / "infra/alertmanager/alertmanager.yml").read_text())
    committed["route"]["routes"][0]["matchers"] = ["action=retrain"]
    with pytest.raises(ValueError, match="a matcher must have the form"):
        operator.alertmanager_config(committed)


def test_what_is_scraped_has_the_jobs_of_the_rules(k8s: Path) -> None:
    """All services are selected, as far as they are deployed."""
    ours = [f"components/{service}" for service in sorted(OPTIONAL)]
    found = with_components(k8s, "components/prometheus-operator", *ours)
    [monitor] = by_kind(found, "ServiceMonitor")
    label = monitor["spec"]["jobLabel"]
    chosen = [
        each
        for each in by_kind(found, "Service")
        if matches(each["metadata"]["labels"], monitor["spec"]["selector"])
    ]
    jobs = {job["job_name"] for job in configuration.prometheus()["scrape_configs"]}
    assert {each["metadata"]["labels"][label] for each in chosen} == jobs
    [endpoint] = monitor["spec"]["endpoints"]
    assert all(endpoint["port"] in {p["name"] for p in each["spec"]["ports"]} for each in chosen)


def test_prometheus_labels_do_not_hide_ours() -> None:
    """The operator adds these labels; ours of the same name would be renamed exported_."""
    given = {"namespace", "pod", "service", "container", "endpoint", "job", "instance"}
    rows = re.findall(r"^\| `\w+` \| \w+ \| ([^|]*) \|", metrics_page.page(), re.MULTILINE)
    ours = {label for row in rows for label in filter(None, row.strip().split(", "))}
    assert {"project", "variant"} <= ours
    assert ours & given == set()


def test_alertmanager_notifies_the_trainer_and_the_monitor_does_not(rendered: Rendered) -> None:
    found = rendered["components/prometheus-operator"]
    [config] = by_kind(found, "AlertmanagerConfig")
    receivers = {each["name"]: each for each in config["spec"]["receivers"]}
    [hook] = receivers["trainer"]["webhookConfigs"]
    assert hook["url"] == operator.TRAINER
    [given] = [
        container_variables(pod, container, found)
        for name, pod, container in servers(found)
        if name == "monitor"
    ]
    assert given["SLIPWAY_MONITOR_WEBHOOK"] == ""
    [alone] = [
        container_variables(pod, container, rendered["base"])
        for name, pod, container in servers(rendered["base"])
        if name == "monitor"
    ]
    assert alone["SLIPWAY_MONITOR_WEBHOOK"] == hook["url"]
