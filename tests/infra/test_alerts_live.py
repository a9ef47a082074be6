"""Alerts of a real Prometheus and Alertmanager reach their receivers."""

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from infra.local import platform
from infra.slo import configuration, generated
from slipway import home
from slipway.home import free_port
from slipway.programs.debian import binary
from tests.conftest import running
from tests.infra.flaky_backend import FAILS_AT_13
from tests.services.fake_models import ModelRegistryFixture, echo
from tests.waiting import until
from tests.webhook import Receiver

QUICK = """
objectives:
  - name: availability
    percent: 99
    ratio:
      errors: slipway_requests_total{status=~"5..",variant!="shadow"}
      total: slipway_requests_total{variant!="shadow"}
    burns:
      - {factor: 14.4, long: 30s, short: 5s, severity: critical}
alerts:
  - name: ModelFails
    expr: sum by (project) (increase(slipway_model_errors_total{kind="raised"}[30s])) > 0
    severity: warning
    retrain: true
    summary: "{{ $labels.project }}: its model raises"
"""


@contextmanager
def program(name: str, log: Path) -> Iterator[str]:
    """Run Prometheus or Alertmanager as configured, and yield its address."""
    address = f"http://{home.LOOPBACK}:{home.port(name)}"
    command = configuration.command(name, binary(name))
    with running(*command, env={}, log=log, ready=f"{address}/-/ready"):
        yield address


@pytest.fixture
def own_ports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLIPWAY_HOME", str(tmp_path / "watch"))
    for name in home.PORTS:
        monkeypatch.setenv(f"SLIPWAY_{name.upper()}_PORT", str(free_port()))


def configure(tmp_path: Path) -> None:
    """Write the configuration with short windows and short waits."""
    (tmp_path / "slo").mkdir()
    (tmp_path / "slo" / "predict.yaml").write_text(QUICK)
    rules = generated.write(tmp_path / "slo", tmp_path / "rules")
    prometheus, alertmanager = configuration.prometheus(), configuration.alertmanager()
    prometheus["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    prometheus["rule_files"] = [str(rule) for rule in rules]
    for route in (alertmanager["route"], *alertmanager["route"]["routes"]):
        route |= {"group_wait": "1s", "group_interval": "1s"}
    for name, content in {"prometheus": prometheus, "alertmanager": alertmanager}.items():
        file = configuration.files()[name]
        file.parent.mkdir(parents=True)
        file.write_text(generated.dump(content))


def test_alertmanager_reports_a_failing_model(
    tmp_path: Path, own_ports: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The trainer receives only alerts that it can cure, the operators receive all."""
    from services.trainer.webhook import Notification

    fake_models = ModelRegistryFixture(tmp_path / "fake_models")
    fake_models.add("healthy", echo("healthy"))
    fake_models.add("failing", FAILS_AT_13)
    with (
        Receiver().listening() as receiver,
        fake_models.serving() as server,
    ):
        monkeypatch.setenv("SLIPWAY_TRAINER_PORT", str(receiver.port))
        monkeypatch.setenv("SLIPWAY_PREDICT_PORT", server.address.rpartition(":")[2])
        operators = f"http://{home.LOOPBACK}:{receiver.port}/operators"
        monkeypatch.setenv(configuration.WEBHOOK, operators)
        configure(tmp_path)
        with (
            program("alertmanager", tmp_path / "alertmanager.log"),
            program("prometheus", tmp_path / "prometheus.log") as prometheus,
        ):

            def come() -> bool:
                assert server.request("healthy").status_code == 200
                assert server.request("failing", 13).status_code == 500
                burnt = [
                    alert
                    for alert in receiver.alerts("/operators")
                    if alert["labels"]["alertname"] == "PredictAvailabilityBurn"
                ]
                return bool(burnt) and bool(receiver.alerts("/v1/alerts"))

            until(come)
            found = httpx.get(f"{prometheus}/api/v1/rules").json()["data"]["groups"]
    health = {(rule["name"], rule["health"]) for group in found for rule in group["rules"]}
    assert {state for _, state in health} == {"ok"}, health

    burnt = next(
        alert
        for alert in receiver.alerts("/operators")
        if alert["labels"]["alertname"] == "PredictAvailabilityBurn"
    )
    assert burnt["labels"] == {
        "alertname": "PredictAvailabilityBurn",
        "project": "failing",
        "service": "predict",
        "severity": "critical",
        "window": "30s",
    }
    assert burnt["status"] == "firing"
    assert burnt["annotations"]["summary"].startswith("failing: in 30s ")
    assert {alert["labels"]["project"] for alert in receiver.alerts("/operators")} == {"failing"}
    assert {alert["labels"]["alertname"] for alert in receiver.alerts("/v1/alerts")} == {
        "ModelFails"
    }
    notices = [Notification.model_validate(body) for at, body in receiver.got if at == "/v1/alerts"]
    first = notices[0].alarms()[0]
    assert (first.project, first.name, first.action) == ("failing", "ModelFails", "retrain")
    assert first.firing
    assert first.summary == "failing: its model raises"


def alert(name: str, **labels: str) -> dict[str, Any]:
    return {"labels": {"alertname": name, **labels}, "annotations": {"summary": name}}


def test_what_is_inhibited_and_what_is_not(tmp_path: Path, own_ports: None) -> None:
    configuration.write()
    burn = {"service": "predict", "project": "spam"}
    posted = [
        alert("FieldStuck", project="titanic", severity="warning", field="fare"),
        alert("Drift", project="titanic", severity="warning", action="retrain"),
        alert("Drift", project="house_prices", severity="warning", action="retrain"),
        alert("PredictLatencyBurn", severity="critical", window="1h", **burn),
        alert("PredictLatencyBurn", severity="warning", window="3d", **burn),
        alert("PredictLatencyBurn", severity="warning", window="3d", project="digits"),
        alert("PredictAvailabilityBurn", severity="warning", window="3d", **burn),
        alert("RegistryUnreachable", severity="warning"),
        alert("MonitorWithoutRegistry", severity="warning"),
    ]
    with program("alertmanager", tmp_path / "alertmanager.log") as address:

        def inhibited() -> set[tuple[str, str, str]]:
            found = httpx.get(f"{address}/api/v2/alerts").json()
            assert all(each["status"]["state"] != "unprocessed" for each in found)
            return {
                (
                    each["labels"]["alertname"],
                    each["labels"].get("project", ""),
                    each["labels"].get("window", ""),
                )
                for each in found
                if each["status"]["inhibitedBy"]
            }

        assert httpx.post(f"{address}/api/v2/alerts", json=posted).status_code == 200
        time.sleep(0.5)
        expected = {
            ("Drift", "titanic", ""),
            ("PredictLatencyBurn", "spam", "3d"),
            ("MonitorWithoutRegistry", "", ""),
        }
        assert inhibited() == expected
        down = [alert("ModelServerDown", service="predict", severity="critical")]
        assert httpx.post(f"{address}/api/v2/alerts", json=down).status_code == 200
        time.sleep(0.5)
        assert inhibited() == expected | {
            ("PredictLatencyBurn", "spam", "1h"),
            ("PredictAvailabilityBurn", "spam", "3d"),
        }


def test_make_up_starts_both_on_their_ports_and_has_them_read_again(
    tmp_path: Path, own_ports: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("prometheus", "alertmanager"):
        binary(name)
    started = {each.name: each for each in platform.services() if each.reloads}
    assert set(started) == {"prometheus", "alertmanager"}
    configuration.write()
    try:
        for service in started.values():
            platform.check_port(service)
            platform.start(service)
        address = started["prometheus"].address
        groups = httpx.get(f"{address}/api/v1/rules").json()["data"]["groups"]
        found = {rule["name"] for group in groups for rule in group["rules"]}
        assert {"PredictLatencyBurn", "Drift", "TrainingStuck"} <= found
        process = started["prometheus"].process()
        config = configuration.files()["prometheus"]
        config.write_text(config.read_text().replace("scrape_interval: 15s", "scrape_interval: 7s"))
        platform.start(started["prometheus"])
        until(lambda: "7s" in httpx.get(f"{address}/api/v1/status/config").text)
        assert started["prometheus"].process() == process
    finally:
        for service in started.values():
            if running_one := service.process():
                platform.stop(running_one)


def test_without_alertmanager_the_monitor_notifies_the_trainer(
    tmp_path: Path, own_ports: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLIPWAY_CACHE", str(tmp_path / "empty"))
    found = [shutil.which(name) for name in ("prometheus", "prometheus-alertmanager")]
    folders = {str(Path(each).parent) for each in found if each}
    kept = [each for each in os.environ["PATH"].split(":") if each not in folders]
    monkeypatch.setenv("PATH", ":".join(kept))
    services = {each.name: each for each in platform.services()}
    assert "prometheus" not in services
    address = f"http://{home.LOOPBACK}:{home.port('trainer')}/v1/alerts"
    assert services["monitor"].environment["SLIPWAY_MONITOR_WEBHOOK"] == address
