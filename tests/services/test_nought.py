"""Counters of rare events are there, at 0, before the first of them: Prometheus sees it come."""

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
from tests.services import shop
from tests.services.yard import Yard
from tests.services.zoo import Server, Zoo, code, echo
from tests.waiting import until

KINDS = ("raised", "timeout", "process ended")
OUR_FAULTS = ("500", "503", "504")
Sample = tuple[str, frozenset[tuple[str, str]]]


def counters(text: str) -> dict[Sample, float]:
    """Every series of a counter, by its name and labels."""
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
    """Asked nothing: a plain project, one with three variants, one that looks up, one broken."""
    zoo = Zoo(tmp_path_factory.mktemp("nought"))
    zoo.add("plain", echo("plain"))
    for alias in ("champion", "challenger", "shadow"):
        zoo.add("three", echo("three"), alias=alias)
    zoo.add("known", LOOKING_UP, example={"input": {"orders": 1}, "output": {"orders": 1}})
    zoo.add("broken", code(BROKEN))
    # Loading the one that looks up takes seconds, for the feature store's libraries.
    with zoo.serving(workers=2, preload=0) as found:
        until(lambda: found.metric("slipway_model_serving") == 5)
        until(lambda: found.metric('slipway_model_faults project="broken"') == 1)
        yield found


@pytest.fixture(scope="module")
def told(server: Server) -> dict[Sample, float]:
    return counters(server.metrics())


def test_what_the_objectives_count_is_there_for_each_version(told: dict[Sample, float]) -> None:
    variants = [("1", "champion"), ("2", "challenger"), ("3", "shadow")]
    for (version, variant), status in product(variants, OUR_FAULTS):
        whose = {"project": "three", "version": version, "variant": variant, "status": status}
        assert told[series("slipway_requests_total", **whose)] == 0
    for project in ("broken", "unknown"):
        none = {"project": project, "version": "", "variant": "", "status": "503"}
        assert told[series("slipway_requests_total", **none)] == 0


def test_what_can_befall_a_project_is_there(told: dict[Sample, float]) -> None:
    for project, version, kind in product(("plain", "known"), ("1",), KINDS):
        whose = {"project": project, "version": version, "kind": kind}
        assert told[series("slipway_model_errors_total", **whose)] == 0
    for project in ("plain", "three", "known"):
        assert told[series("slipway_evictions_total", project=project)] == 0
        assert told[series("slipway_model_load_failures_total", project=project)] == 0
    assert told[series("slipway_shadow_dropped_total", project="three")] == 0
    for outcome in ("found", "unknown", "unavailable"):
        whose = {"project": "known", "outcome": outcome}
        assert told[series("slipway_feature_lookups_total", **whose)] == 0


def test_what_cannot_befall_a_project_is_not(told: dict[Sample, float]) -> None:
    """A hundred and fifty projects make a hundred and fifty times as many series."""
    for name, project in (
        ("slipway_shadow_dropped_total", "plain"),
        ("slipway_feature_lookups_total", "plain"),
    ):
        assert not [each for each in told if each[0] == name and ("project", project) in each[1]]
    own = [each for each in told if ("project", "plain") in each[1]]
    # Four statuses, three kinds of failure, rows, evictions, failures to load.
    assert len(own) == 10, own


def test_what_belongs_to_no_project_is_there(told: dict[Sample, float]) -> None:
    for reason in ("key", "scope", "rate", "disconnected"):
        assert told[series("slipway_refused_total", reason=reason)] == 0
    for outcome in ("written", "dropped"):
        assert told[series("slipway_prediction_records_total", outcome=outcome)] == 0
    assert {"SIGKILL", "SIGSEGV", "status 1"} <= set(REASONS)
    for reason in REASONS:
        assert told[series("slipway_worker_restarts_total", reason=reason)] == 0


def test_the_first_of_each_is_counted_where_the_0_stood(
    server: Server, told: dict[Sample, float]
) -> None:
    """By the code that counts, not by these names: no series of these metrics is new."""
    assert server.ask("plain", headers={"X-API-Key": "slw_nobody"}).status_code == 401
    # Each worker learns by itself what is served, one a little after the other.
    known = {"customer_id": 1}
    until(lambda: server.client.post("/v1/models/known/predict", json=known).status_code == 503)
    until(lambda: server.ask("broken").status_code == 503)
    server.workers()[0].kill()
    until(lambda: server.metric("slipway_worker_restarts_total SIGKILL") == 1)
    until(lambda: len(server.workers()) == 2)
    until(lambda: server.ask("plain").is_success)
    now = counters(server.metrics())
    rare = (
        *("slipway_refused_total", "slipway_worker_restarts_total", "slipway_model_errors_total"),
        *("slipway_feature_lookups_total", "slipway_prediction_records_total"),
    )
    assert [each for each in now if each[0] in rare and each not in told] == []
    for each in (
        series("slipway_refused_total", reason="key"),
        series("slipway_feature_lookups_total", project="known", outcome="unavailable"),
        series("slipway_requests_total", project="broken", version="", variant="", status="503"),
        series("slipway_worker_restarts_total", reason="SIGKILL"),
    ):
        assert now[each] == 1, each


def test_the_trainer_counts_from_nought(tmp_path: Path) -> None:
    yard = Yard(tmp_path / "yard")
    with yard.trainer(yard.home("own")) as client:
        told = counters(client.http.get("/metrics").text)
    for reason in ("key", "scope", "rate", "queue"):
        assert told[series("slipway_trainer_refused_total", reason=reason)] == 0
    for source in ("alert", "schedule"):
        assert told[series("slipway_trainer_alerts_total", source=source)] == 0
    for outcome in ("succeeded", "failed", "cancelled"):
        assert told[series("slipway_trainer_runs_total", project="flowers", outcome=outcome)] == 0


ROUND = """
from services.monitor.publishing import exposition
from services.monitor.rounds import Monitor
from services.monitor.settings import Settings

Monitor(Settings()).round()
print(exposition().decode())
"""


def test_the_monitor_counts_from_nought(tmp_path: Path) -> None:
    """In a process of its own: others count on."""
    zoo = Zoo(tmp_path)
    shop.register(zoo, shop.reference_rows(200))
    env = {**os.environ, "SLIPWAY_HOME": str(zoo.home), "MLFLOW_TRACKING_URI": zoo.uri}
    done = subprocess.run(
        [sys.executable, "-c", ROUND], cwd=ROOT, env=env, capture_output=True, text=True, check=True
    )
    told = counters(done.stdout)
    for outcome in ("delivered", "failed"):
        assert told[series("slipway_monitor_webhooks_total", outcome=outcome)] == 0
    found = {
        outcome: told[series("slipway_monitor_checks_total", project=shop.NAME, outcome=outcome)]
        for outcome in ("judged", "too_few_rows", "no_reference", "failed")
    }
    assert sorted(found.values()) == [0, 0, 0, 1]
