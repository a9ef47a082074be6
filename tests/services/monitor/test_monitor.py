"""The monitor as a process: alarms over HTTP, pages, wrong settings, and a real model server."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.monitor.rounds import Monitor
from slipway import home
from slipway.home import free_port
from slipway.predictions.reader import records
from tests.conftest import running
from tests.services import monitored_project
from tests.services.fake_models import ModelRegistryFixture
from tests.services.monitor.monitor_fixture import (
    FAIL_FAST,
    ROWS,
    drifted,
    fake_models,
    log_folder,
    older,
    plant,
    receiver,
    settings,
)
from tests.waiting import until
from tests.webhook import Receiver

# The change of these files runs the tests; see tests/by_change.py.
CONCERNS = ("services/monitor/*", "services/web/*")

__all__ = ["fake_models", "receiver"]


class RunningMonitor:
    """A monitor process and a client for it."""

    def __init__(self, client: httpx.Client, process: Any, log: Path) -> None:
        self.client, self.process, self.log = client, process, log

    def check(self, name: str = monitored_project.NAME) -> dict[str, Any]:
        response = self.client.post(f"/v1/projects/{name}/check")
        assert response.status_code == 200, response.text
        return response.json()

    def metric(self, name: str, **labels: str) -> float | None:
        for row in self.client.get("/metrics").text.splitlines():
            head, _, value = row.rpartition(" ")
            if head.partition("{")[0] == name and all(
                f'{label}="{each}"' in head for label, each in labels.items()
            ):
                return float(value)
        return None


@contextmanager
def running_monitor(fake_models: ModelRegistryFixture, **changed: Any) -> Iterator[RunningMonitor]:
    """Run `python -m services.monitor` with rounds an hour apart, so that checks are requested."""
    port = free_port()
    address = f"http://{home.LOOPBACK}:{port}"
    variables = {
        "interval_seconds": 3600,
        "maturity_seconds": 0,
        "window_rows": ROWS,
        **changed,
    }
    env = {
        "SLIPWAY_HOME": str(fake_models.home),
        "MLFLOW_TRACKING_URI": changed.pop("registry", fake_models.uri),
        "SLIPWAY_MONITOR_PORT": str(port),
        **{
            f"SLIPWAY_MONITOR_{key.upper()}": str(value)
            for key, value in variables.items()
            if key != "registry"
        },
        **FAIL_FAST,
    }
    log = fake_models.folder / f"monitor-{port}.log"
    command = (sys.executable, "-m", "services.monitor")
    with (
        running(*command, env=env, log=log, ready=f"{address}/v1/ready") as process,
        httpx.Client(base_url=address, timeout=60) as client,
    ):
        until(lambda: client.get("/v1/ready").json()["last_round"])
        yield RunningMonitor(client, process, log)


def test_from_steady_traffic_to_an_alarm_and_back(
    fake_models: ModelRegistryFixture, receiver: Receiver
) -> None:
    """Over HTTP: no drift, drift, notification, kill, restart, end of the alarm."""
    monitored_project.register(fake_models, monitored_project.reference_rows(800))
    planted = plant(fake_models, 0x10)
    sent = [each["inputs"][0] for each in records(log_folder(fake_models))]
    monitored_project.attach(
        log_folder(fake_models), list(zip(planted, sent, strict=True)), right=0.85
    )
    with running_monitor(fake_models, webhook=receiver.address, windows="count") as monitor:
        steady = monitor.check()
        assert steady["outcome"] == "judged"
        assert drifted(steady) == []
        assert not steady["drift_alarm"]
        assert not steady["performance_alarm"]
        assert steady["performance"]["labelled"] == ROWS
        assert monitor.metric("slipway_monitor_labelled_share", project="shop") == 1
        assert monitor.metric("slipway_monitor_drift_alarm", project="shop") == 0
        assert receiver.notices == []

        plant(fake_models, 0x11, age=older)
        check = monitor.check()
        assert {"age", "prediction.probability"} <= set(drifted(check))
        assert "country" not in drifted(check)
        [notice] = receiver.notices
        [alert] = notice["alerts"]
        assert (notice["version"], notice["status"], alert["status"]) == ("4", "firing", "firing")
        assert alert["labels"]["alertname"] == "ModelDrift"
        assert alert["labels"]["project"] == "shop"
        assert alert["labels"]["action"] == "retrain"
        assert "age (wasserstein" in alert["annotations"]["summary"]
        assert monitor.metric("slipway_monitor_drift_alarm", project="shop") == 1
        assert monitor.metric("slipway_monitor_drifted", field="age", window="count") == 1
        effect = monitor.metric("slipway_monitor_drift_effect", field="age", window="count")
        assert effect == pytest.approx(20 / 12, rel=0.2)
        assert monitor.metric("slipway_monitor_webhooks_total", outcome="delivered") == 1
        monitor.check()
        assert len(receiver.notices) == 1  # it continues, and is not sent twice

        check_pages(monitor, check)
        os.kill(monitor.process.pid, signal.SIGKILL)
        monitor.process.wait(60)

    with (fake_models.home / "monitor" / "history" / "shop.jsonl").open("ab") as stream:
        stream.write(b'{"project": "shop", "ver')  # the fragment that a kill leaves
    with running_monitor(fake_models, webhook=receiver.address, windows="count") as monitor:
        # The round after the start checks the same rows: the same alarm, not a new one.
        projects = monitor.client.get("/v1/projects").json()["projects"]
        assert [each["name"] for each in projects] == ["shop"]
        assert [each["name"] for each in projects[0]["alarms"]] == ["ModelDrift"]
        past = monitor.client.get("/v1/projects/shop/drift").json()["history"]
        # Newest first: the round after the start, two checks, the steady one, the first round.
        assert [each["drift_alarm"] for each in past] == [True, True, True, False, False]
        assert len(receiver.notices) == 1
        plant(fake_models, 0x12)
        assert drifted(monitor.check()) == []
        assert [each["status"] for each in receiver.notices] == ["firing", "resolved"]
        assert receiver.notices[1]["alerts"][0]["startsAt"] == alert["startsAt"]
        assert receiver.notices[1]["alerts"][0]["fingerprint"] == alert["fingerprint"]
        assert monitor.client.get("/v1/projects").json()["projects"][0]["alarms"] == []


def check_pages(monitor: RunningMonitor, check: dict[str, Any]) -> None:
    client = monitor.client
    front = client.get("/")
    assert 'href="/projects/shop"' in front.text
    assert f'href="http://127.0.0.1:{home.port("predict")}/"' in front.text
    assert "drifted" in front.text
    page = client.get("/projects/shop")
    assert page.status_code == 200
    assert "By country" in page.text
    assert "accuracy" in page.text
    for each in (front, page):
        assert each.headers["content-security-policy"].startswith("default-src 'none'")
        assert each.headers["x-content-type-options"] == "nosniff"
        assert "<script" not in each.text
    report = client.get(f"/v1/projects/shop/reports/{check['report']}")
    assert report.status_code == 200
    assert report.headers["content-security-policy"].startswith("sandbox allow-scripts; default")
    assert "Jensen-Shannon distance" in report.text
    kept = client.get("/v1/projects/shop/reports").json()["reports"]
    assert check["report"] in kept
    for wrong in ("19990101T000000-count", "..%2f..%2fchampions.json", "x"):
        assert client.get(f"/v1/projects/shop/reports/{wrong}").status_code == 404
    unknown = client.get("/v1/projects/nobody/drift")
    assert unknown.status_code == 404
    assert unknown.json()["detail"] == "no champion is called 'nobody'; watched: shop"
    assert client.post("/v1/projects/nobody/check").status_code == 404
    assert client.get("/v1/projects/shop/drift?limit=-1").status_code == 422


def test_without_the_registry_the_cached_reference_is_used(
    fake_models: ModelRegistryFixture,
) -> None:
    monitored_project.register(fake_models, monitored_project.reference_rows(500))
    plant(fake_models, 0x10)
    Monitor(settings()).round()
    nowhere = f"http://{home.LOOPBACK}:{free_port()}"
    with running_monitor(fake_models, registry=nowhere, reports=0) as monitor:
        plant(fake_models, 0x11, age=older)
        check = monitor.check()
        assert "age" in drifted(check)
        assert check["registry"].startswith("away: MlflowException")
        assert monitor.metric("slipway_monitor_registry_reachable") == 0
        assert "registry is unreachable" in monitor.client.get("/").text


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("INTERVAL_SECONDS", "0", "SLIPWAY_MONITOR_INTERVAL_SECONDS: Input should be greater"),
        ("WINDOWS", "time,weeks", "SLIPWAY_MONITOR_WINDOWS: Input should be 'time' or 'count'"),
        ("MATURITY", '{"shop": -1}', "SLIPWAY_MONITOR_MATURITY: Input should be greater"),
        ("WEBHOOK", "file:///etc/passwd", "SLIPWAY_MONITOR_WEBHOOK: String should match"),
        ("PORT", "none", "SLIPWAY_MONITOR_PORT must be a port number"),
        ("HOST", "0.0.0.0", "0.0.0.0 can be reached from other machines and there is no API key"),
    ],
)
def test_wrong_settings_are_reported_by_name(
    fake_models: ModelRegistryFixture,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: Any,
    name: str,
    value: str,
    message: str,
) -> None:
    from services.monitor.__main__ import main

    monkeypatch.setenv(f"SLIPWAY_MONITOR_{name}", value)
    assert main() == 1
    assert message in capfd.readouterr().err


def test_with_the_real_model_server(fake_models: ModelRegistryFixture) -> None:
    """Records with and without optional fields, as the model server logs them."""
    monitored_project.register(fake_models, monitored_project.reference_rows(500))
    steady = monitored_project.traffic(150, seed=3)
    with fake_models.serving() as server:
        for record in steady:
            body = {name: value for name, value in record.items() if value != "basic"}
            server.client.post("/v1/models/shop/predict", json=body).raise_for_status()
        batch = server.client.post(
            "/v1/models/shop/predict", json=monitored_project.traffic(300, seed=4)
        )
        assert batch.status_code == 200, batch.text
        monitor = Monitor(settings())
        check = monitor.check(monitored_project.NAME)
        assert [window.rows for window in check.windows] == [450, ROWS]
        assert not check.drift_alarm, check.drift_summary()
        sent = monitored_project.traffic(ROWS, seed=5, country=lambda record, rng: "pl")
        server.client.post("/v1/models/shop/predict", json=sent).raise_for_status()
        until(
            lambda: (
                "country"
                in {
                    field.field
                    for field in monitor.check(monitored_project.NAME).windows[1].drifted
                }
            )
        )
