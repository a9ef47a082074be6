"""Every PromQL names only what the services export: a rule on a name that nothing emits is silent.

The services are started for real, driven until each kind of series is there, and scraped; each
expression is followed through its labels. A matcher must match a live series as well.
"""

import json
import re
import sqlite3
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
import yaml

from services import metrics_page
from services.trainer.journal import Journal
from services.trainer.run import Request, Run, State
from slipway import home
from slipway.features import definitions, places
from slipway.features.marks import Mark, SqliteMarks
from slipway.slo import configuration
from tests.conftest import ROOT, free_port, running
from tests.infra import expressions
from tests.infra.telemetry import SCRAPED, Catalog, faults
from tests.infra.unlucky import UNLUCKY
from tests.services import shop
from tests.services.yard import Yard
from tests.services.zoo import Zoo, code, echo, until

BROKEN = "raise RuntimeError('it cannot even answer its example')"
LOOKING_UP = '''
"""Who is it?"""

from slipway.contract import Lookup, Model, Record, publish


class Customer(Record):
    orders: int


class Told(Record):
    orders: int


class Known(Model):
    looked_up = Lookup(entity="customer_id", service="repurchase")

    def predict(self, model_input: list[Customer]) -> list[Told]:
        return [Told(orders=each.orders) for each in model_input]


publish(Known())
'''
ROWS = 200


def predicting(stack: ExitStack, zoo: Zoo) -> str:
    """The model server's exposition, once it has answered well, ill, and not at all."""
    zoo.add("well", echo("well"))
    zoo.add("ill", UNLUCKY)
    zoo.add("broken", code(BROKEN))
    zoo.add("known", LOOKING_UP, example={"input": {"orders": 1}, "output": {"orders": 1}})
    server = stack.enter_context(zoo.serving())
    wanted = {"well", "ill", "known"}

    def served() -> set[str]:
        return {each["name"] for each in server.client.get("/v1/models").json()["models"]}

    until(lambda: wanted <= served(), 120)
    until(lambda: server.metric('slipway_model_faults project="broken"') == 1, 120)
    assert server.ask("well").status_code == 200
    assert server.ask("ill", 13).status_code == 500
    # There is no online store in this home.
    assert server.client.post("/v1/models/known/predict", json={"customer_id": 1}).is_error
    return server.client.get("/metrics").text


def fill_online_store(folder: Path) -> None:
    """Marks of every view, as materializing leaves them."""
    file = places.online_file(folder)
    file.parent.mkdir(parents=True, exist_ok=True)
    now = datetime.now(UTC)
    with closing(sqlite3.connect(file)) as connection:
        for view in definitions.load().views:
            SqliteMarks(connection).write(Mark(view, "abc", now, now, 3, now))


def freshness(stack: ExitStack, folder: Path) -> str:
    """What is told of a filled online store."""
    fill_online_store(folder / "features")
    address = f"http://{home.LOOPBACK}:{free_port()}/metrics"
    env = {
        "SLIPWAY_HOME": str(folder),
        "SLIPWAY_FEATURES_PORT": address.rpartition(":")[2].removesuffix("/metrics"),
    }
    command = (sys.executable, "-m", "services.features")
    stack.enter_context(running(*command, env=env, log=folder / "features.log", ready=address))
    return httpx.get(address, timeout=60).text


def monitored(stack: ExitStack, zoo: Zoo) -> str:
    """The monitor's exposition, once it has judged a project and found one without reference."""
    shop.register(zoo, shop.reference_rows(ROWS))
    shop.write_segment(
        zoo.home / "predictions", shop.traffic(ROWS, seed=1), segment=901, at=time.time() - 5
    )
    address = f"http://{home.LOOPBACK}:{free_port()}"
    env = {
        "SLIPWAY_HOME": str(zoo.home),
        "MLFLOW_TRACKING_URI": zoo.uri,
        "SLIPWAY_MONITOR_PORT": address.rpartition(":")[2],
        "SLIPWAY_MONITOR_REPORTS": "0",
        "SLIPWAY_MONITOR_MATURITY_SECONDS": "0",
    }
    log = zoo.folder / "monitor.log"
    command = (sys.executable, "-m", "services.monitor")
    stack.enter_context(running(*command, env=env, log=log, ready=f"{address}/v1/live"))
    client = stack.enter_context(httpx.Client(base_url=address, timeout=60))
    outcomes = {shop.NAME: "judged", "well": "no_reference"}

    def checked() -> bool:
        told = [client.post(f"/v1/projects/{name}/check") for name in outcomes]
        found = [each.json().get("outcome") for each in told if each.is_success]
        return found == list(outcomes.values())

    until(checked, 120)
    return client.get("/metrics").text


def trained(stack: ExitStack, yard: Yard) -> str:
    """The trainer's exposition; of the runs in its journal one failed and one succeeded."""
    own_home = yard.home("trainer")
    journal = Journal(own_home / "trainer")
    for number, state in enumerate((State.FAILED, State.SUCCEEDED)):
        run = Run(
            request=Request(project="flowers", reason="a test"),
            id=f"20260101T00000{number}-abcdef",
            trigger="request",
            actor="test",
            requested=time.time(),
        )
        journal.queued(run)
        journal.change(run.id, "ended", state=state, ended=time.time())
    client = stack.enter_context(yard.trainer(own_home))
    return client.http.get("/metrics").text


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    folder = tmp_path_factory.mktemp("contract")
    zoo, found = Zoo(folder / "zoo"), Catalog()
    services: dict[str, Callable[[ExitStack], str]] = {
        "predict": lambda stack: predicting(stack, zoo),
        "monitor": lambda stack: monitored(stack, zoo),
        "trainer": lambda stack: trained(stack, Yard(folder / "yard")),
        "features": lambda stack: freshness(stack, folder),
    }

    def told(*jobs: str) -> list[tuple[str, str]]:
        expositions = []
        for job in jobs:
            with ExitStack() as stack:
                expositions.append((job, services[job](stack)))
        return expositions

    with ThreadPoolExecutor(2) as pool:
        # The first two share a registry, one after the other.
        halves = [
            pool.submit(told, *jobs) for jobs in (("predict", "monitor"), ("trainer", "features"))
        ]
    for half in halves:
        for job, exposition in half.result():
            found.scrape(job, exposition)
    return found


EVERY = list(expressions.everywhere(ROOT))


def complaints(catalog: Catalog, found: list[expressions.Expression]) -> list[str]:
    """A line for each thing that an expression, or what its alert says, names in vain."""
    own, told = Catalog(dict(catalog.series), dict(catalog.kinds)), []
    for each in found:
        wrong, labels = faults(each.text, own.labelled(each.adds))
        if each.records:
            own.record(each.records, labels)
        named = set(re.findall(r"\$labels\.(\w+)", each.told))
        wrong += [f"the alert says {name}, which it has not" for name in sorted(named - labels)]
        told += [f"{each.where}: {one}" for one in wrong]
    return told


def test_every_expression_names_what_is_exported(catalog: Catalog) -> None:
    assert len(EVERY) >= 30
    assert complaints(catalog, EVERY) == []


def test_the_jobs_are_the_services() -> None:
    jobs = {job["job_name"] for job in configuration.prometheus()["scrape_configs"]}
    assert jobs == {"predict", "monitor", "trainer", "features"}
    assert jobs < home.PORTS.keys()


@pytest.mark.parametrize(
    ("expr", "complaint"),
    [
        ("slipway_requests_totals", "no service exports slipway_requests_totals"),
        ("rate(slipway_request_total[5m])", "no service exports slipway_request_total"),
        ("slipway_requests", "no service exports slipway_requests"),
        ('slipway_requests_total{model="titanic"}', "has no label model"),
        ('slipway_requests_total{status="5xx"}', "no live series is matched"),
        ('slipway_request_seconds_bucket{le="0.25"}', "no live series is matched"),
        ('slipway_prediction_records_total{outcome="droped"}', "no live series is matched"),
        ("sum by (model) (slipway_requests_total)", "has no label model"),
        ("sum without (model) (slipway_requests_total)", "has no label model"),
        (
            "sum by (project) (slipway_requests_total) / on (version) slipway_model_loaded",
            "has no label version",
        ),
        (
            "sum by (project) (slipway_requests_total) / sum by (version) (slipway_requests_total)",
            "never match",
        ),
        ("sum by (project) (slipway_requests_total) / slipway_requests_total", "never match"),
        (
            "slipway_model_loaded * on (project) group_left (owner) slipway_model_faults",
            "has no label owner",
        ),
        ("histogram_quantile(0.9, sum by (project) (slipway_request_seconds_bucket))", "label le"),
        ("rate(slipway_model_faults[5m])", "is no counter"),
        ('absent(up{job="predictor"} == 1)', "no live series is matched"),
        ("max_over_time(slipway_nothing[1h:5m])", "no service exports slipway_nothing"),
        ("-(slipway_nothing)", "no service exports slipway_nothing"),
        ("time() - slipway_nothing > 5", "no service exports slipway_nothing"),
        ("slipway_model_faults or slipway_nothing", "no service exports slipway_nothing"),
        ("slipway_model_faults unless on (project) slipway_nothing", "no service exports"),
    ],
)
def test_a_made_up_name_label_or_value_is_found(
    catalog: Catalog, expr: str, complaint: str
) -> None:
    found, _ = faults(expr, catalog)
    assert any(complaint in each for each in found), found


@pytest.mark.parametrize(
    "expr",
    [
        "histogram_quantile(0.9, sum by (le, project) (rate(slipway_request_seconds_bucket[5m])))",
        'label_replace(slipway_model_faults, "name", "$1", "project", "(.*)")',
        "topk(3, slipway_model_faults)",
        'sum by (job) (up{job=~"predict|monitor"})',
        "vector(1) or slipway_model_faults",
        "slipway_monitor_drift_effect - on (project, field) slipway_monitor_drift_psi",
    ],
)
def test_what_is_exported_is_let_pass(catalog: Catalog, expr: str) -> None:
    assert faults(expr, catalog)[0] == []


@pytest.mark.parametrize("expr", ["sum by (project (x)", "rate(slipway_model_faults)", "x{"])
def test_what_is_no_promql_is_refused(catalog: Catalog, expr: str) -> None:
    with pytest.raises(ValueError, match=".+"):
        faults(expr, catalog)


def test_an_alert_that_speaks_of_a_label_it_has_not_is_found(catalog: Catalog) -> None:
    told = "{{ $labels.version }} of {{ $labels.project }}"
    each = expressions.Expression("a rule", "sum by (project) (slipway_model_faults)", told=told)
    assert complaints(catalog, [each]) == ["a rule: the alert says version, which it has not"]


def test_a_recorded_series_has_the_labels_of_its_rule(catalog: Catalog) -> None:
    recorded = expressions.Expression(
        "a", "sum by (project) (slipway_model_faults)", "project:waiting"
    )
    right = expressions.Expression("b", 'project:waiting{project="titanic"} > 1')
    wrong = expressions.Expression("c", 'project:waiting{version="1"} > 1')
    [said] = complaints(catalog, [recorded, right, wrong])
    assert said.startswith("c: project:waiting has no label version")


def test_dashboards_and_autoscalers_are_read_as_well(tmp_path: Path, catalog: Catalog) -> None:
    """Both with one expression that is right and one that is not."""
    grafana, k8s = tmp_path / "infra" / "grafana", tmp_path / "k8s" / "base"
    grafana.mkdir(parents=True)
    k8s.mkdir(parents=True)
    panels = [
        {
            "title": "Requests",
            "targets": [
                {"expr": 'sum(rate(slipway_rows_total{project=~"$project"}[$__rate_interval]))'},
                {"expr": 'sum(rate(slipway_wishes_total{project="${project}"}[5m]))'},
            ],
        }
    ]
    variables = [
        {"query": "label_values(slipway_requests_total, project)", "name": "project"},
        {"query": {"query": "label_values(slipway_requests_total, owner)"}, "name": "owner"},
    ]
    dashboard = {"title": "Served", "panels": panels, "templating": {"list": variables}}
    (grafana / "served.json").write_text(json.dumps(dashboard))
    triggers = [
        {"type": "prometheus", "metadata": {"serverAddress": "http://prometheus", "query": query}}
        for query in ("sum(slipway_model_faults)", "sum(slipway_queue_length)")
    ]
    adapter = {
        "seriesQuery": 'slipway_model_faults{project!=""}',
        "metricsQuery": "sum(<<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>)",
    }
    documents = [{"spec": {"triggers": triggers}}, {"rules": [adapter]}]
    (k8s / "scaling.yaml").write_text(yaml.safe_dump_all(documents))
    queries = [
        'sum(slipway_model_faults{pod_hash="{{args.canary}}"}) or vector(0)',
        'sum(slipway_model_faults{pod_name="{{args.canary}}"})',
    ]
    providers = [{"prometheus": {"address": "http://prometheus", "query": q}} for q in queries]
    monitor = {"kind": "ServiceMonitor", "spec": {"podTargetLabels": ["pod-hash"]}}
    rules = [{"alert": "Odd", "expr": "slipway_oddities > 0"}]
    rule = {"kind": "PrometheusRule", "spec": {"groups": [{"name": "odd", "rules": rules}]}}
    documents = [{"spec": {"metrics": providers}}, monitor, rule]
    (k8s / "analysis.yaml").write_text(yaml.safe_dump_all(documents))
    found = list(expressions.everywhere(tmp_path))
    assert len(found) == 11
    said = complaints(catalog, found)
    assert len(said) == 5, said
    assert any("has no label pod_name" in each for each in said)
    assert "analysis.yaml: Odd: no service exports slipway_oddities" in said
    assert "served.json: /Served/Requests: no service exports slipway_wishes_total" in said
    assert any("has no label owner" in each for each in said)
    assert any("no service exports slipway_queue_length" in each for each in said)


def test_the_page_of_metrics_is_current() -> None:
    shown = (ROOT / metrics_page.FILE).read_text()
    assert shown == metrics_page.page(), "write it again: python -m services.metrics_page"


def test_what_is_exported_stands_on_the_page_with_its_labels(catalog: Catalog) -> None:
    page = metrics_page.page()
    for name, series in catalog.series.items():
        if not name.startswith("slipway_") or name.endswith("_created"):
            continue
        base = re.sub("_(bucket|sum|count)$", "", name)
        [row] = re.findall(rf"^\| `(?:{name}|{base})` \| \w+ \| ([^|]*) \|", page, re.MULTILINE)
        told = set(filter(None, row.strip().split(", ")))
        for each in series:
            assert each.keys() - {*SCRAPED, "le"} == told, name


def test_a_service_that_exports_less_is_found(catalog: Catalog) -> None:
    """What each rule leans on, taken away, is missed: none passes whatever is exported."""
    for name in ("slipway_requests_total", "slipway_monitor_drift_alarm", "up"):
        rest = {each: series for each, series in catalog.series.items() if each != name}
        said = complaints(Catalog(rest, catalog.kinds), EVERY)
        assert any(f"no service exports {name}" in each for each in said), name
    bare = {each: [] for each in catalog.series}
    said = complaints(Catalog(bare, catalog.kinds), EVERY)
    for each in EVERY:
        assert any(one.startswith(f"{each.where}: ") for one in said), each.where
