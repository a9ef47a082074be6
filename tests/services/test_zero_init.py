"""Counters of rare events are initialized to 0, so that Prometheus sees the first event."""

import os
import subprocess
import sys
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from services.predict.supervisor import REASONS
from tests.conftest import ROOT
from tests.infra.live import BROKEN, LOOKING_UP
from tests.services import monitored_project
from tests.services.fake_models import ModelRegistryFixture, Server, code, echo
from tests.services.server_fixture import TrainingRepository
from tests.waiting import until

KINDS = ("raised", "timeout", "process ended")
OUR_FAULTS = ("500", "503", "504")
Sample = tuple[str, frozenset[tuple[str, str]]]


def counters(text: str) -> dict[Sample, float]:
    """Return the value of every counter series by its name and labels."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        if family.type == "counter"
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


def series(name: str, **labels: str) -> Sample:
    return name, frozenset(labels.items())


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server without traffic; the projects: plain, three variants, lookups, broken."""
    registry = ModelRegistryFixture(tmp_path_factory.mktemp("zero_init"))
    registry.add("plain", echo("plain"))
    for alias in ("champion", "challenger", "shadow"):
        registry.add("three", echo("three"), alias=alias)
    registry.add("known", LOOKING_UP, example={"input": {"orders": 1}, "output": {"orders": 1}})
    registry.add("broken", code(BROKEN))
    # Loading the model with lookups takes seconds, for the feature store's libraries.
    with registry.serving(workers=2, preload=0) as running:
        until(lambda: running.metric("slipway_model_serving") == 5)
        until(lambda: running.metric('slipway_model_faults project="broken"') == 1)
        yield running


@pytest.fixture(scope="module")
def initial(server: Server) -> dict[Sample, float]:
    return counters(server.metrics())


def test_the_series_of_the_objectives_exist_for_each_version(initial: dict[Sample, float]) -> None:
    variants = [("1", "champion"), ("2", "challenger"), ("3", "shadow")]
    for (version, variant), status in product(variants, OUR_FAULTS):
        whose = {"project": "three", "version": version, "variant": variant, "status": status}
        assert initial[series("slipway_requests_total", **whose)] == 0
    for project in ("broken", "unknown"):
        none = {"project": project, "version": "", "variant": "", "status": "503"}
        assert initial[series("slipway_requests_total", **none)] == 0


def test_the_error_series_of_each_project_exist(initial: dict[Sample, float]) -> None:
    for project, version, kind in product(("plain", "known"), ("1",), KINDS):
        whose = {"project": project, "version": version, "kind": kind}
        assert initial[series("slipway_model_errors_total", **whose)] == 0
    for project in ("plain", "three", "known"):
        assert initial[series("slipway_evictions_total", project=project)] == 0
        assert initial[series("slipway_model_load_failures_total", project=project)] == 0
    assert initial[series("slipway_shadow_dropped_total", project="three")] == 0
    for outcome in ("found", "unknown", "unavailable"):
        whose = {"project": "known", "outcome": outcome}
        assert initial[series("slipway_feature_lookups_total", **whose)] == 0


def test_series_that_a_project_cannot_have_do_not_exist(initial: dict[Sample, float]) -> None:
    """With 150 projects there would be 150 times as many needless series."""
    for name, project in (
        ("slipway_shadow_dropped_total", "plain"),
        ("slipway_feature_lookups_total", "plain"),
    ):
        assert not [each for each in initial if each[0] == name and ("project", project) in each[1]]
    own = [each for each in initial if ("project", "plain") in each[1]]
    # Four statuses, three kinds of failure, rows, evictions, failures to load.
    assert len(own) == 10, own


def test_series_without_a_project_exist(initial: dict[Sample, float]) -> None:
    for reason in ("key", "scope", "rate", "disconnected"):
        assert initial[series("slipway_refused_total", reason=reason)] == 0
    for outcome in ("written", "dropped"):
        assert initial[series("slipway_prediction_records_total", outcome=outcome)] == 0
    assert {"SIGKILL", "SIGSEGV", "status 1"} <= set(REASONS)
    for reason in REASONS:
        assert initial[series("slipway_worker_restarts_total", reason=reason)] == 0


def test_first_events_add_no_new_series(server: Server, initial: dict[Sample, float]) -> None:
    """The code that counts uses only series that were initialized."""
    assert server.request("plain", headers={"X-API-Key": "slw_nobody"}).status_code == 401
    # Each worker reads the snapshot by itself, so they see a new project at different times.
    known = {"customer_id": 1}
    until(lambda: server.client.post("/v1/models/known/predict", json=known).status_code == 503)
    until(lambda: server.request("broken").status_code == 503)
    server.workers()[0].kill()
    until(lambda: server.metric("slipway_worker_restarts_total SIGKILL") == 1)
    until(lambda: len(server.workers()) == 2)
    until(lambda: server.request("plain").is_success)
    now = counters(server.metrics())
    rare = (
        *("slipway_refused_total", "slipway_worker_restarts_total", "slipway_model_errors_total"),
        *("slipway_feature_lookups_total", "slipway_prediction_records_total"),
    )
    assert [each for each in now if each[0] in rare and each not in initial] == []
    for each in (
        series("slipway_refused_total", reason="key"),
        series("slipway_feature_lookups_total", project="known", outcome="unavailable"),
        series("slipway_requests_total", project="broken", version="", variant="", status="503"),
        series("slipway_worker_restarts_total", reason="SIGKILL"),
    ):
        assert now[each] == 1, each


def test_the_trainer_initializes_its_counters(tmp_path: Path) -> None:
    servers = TrainingRepository(tmp_path / "training_repository")
    with servers.trainer(servers.home("own")) as client:
        values = counters(client.http.get("/metrics").text)
    assert values[series("slipway_trainer_alerts_total")] == 0
    for reason in ("key", "scope", "rate", "queue"):
        assert values[series("slipway_trainer_refused_total", reason=reason)] == 0
    for outcome in ("succeeded", "failed", "cancelled"):
        assert values[series("slipway_trainer_runs_total", project="flowers", outcome=outcome)] == 0


ROUND = """
from services.monitor.publishing import exposition
from services.monitor.rounds import Monitor
from services.monitor.settings import Settings

Monitor(Settings()).round()
print(exposition().decode())
"""


def test_the_monitor_initializes_its_counters(tmp_path: Path) -> None:
    """It runs in a process of its own, since other tests change the counters of this one."""
    registry = ModelRegistryFixture(tmp_path)
    monitored_project.register(registry, monitored_project.reference_rows(200))
    env = {**os.environ, "SLIPWAY_HOME": str(registry.home), "MLFLOW_TRACKING_URI": registry.uri}
    done = subprocess.run(
        [sys.executable, "-c", ROUND], cwd=ROOT, env=env, capture_output=True, text=True, check=True
    )
    values = counters(done.stdout)
    for outcome in ("delivered", "failed"):
        assert values[series("slipway_monitor_webhooks_total", outcome=outcome)] == 0
    checks = {
        outcome: values[
            series("slipway_monitor_checks_total", project=monitored_project.NAME, outcome=outcome)
        ]
        for outcome in ("judged", "too_few_rows", "no_reference", "failed")
    }
    assert sorted(checks.values()) == [0, 0, 0, 1]
