"""Every PromQL names only what the services export: a rule on a name that nothing emits is silent.

The services are started for real, driven until each kind of series is there, and scraped; each
expression is followed through its labels. A matcher must match a live series as well.
"""

import json
import re
from pathlib import Path

import pytest
import yaml

from infra.compose import configuration as containers
from infra.slo import configuration
from services import metrics_page
from slipway import home
from tests.conftest import ROOT
from tests.infra import expressions, live
from tests.infra.telemetry import SCRAPED, Catalog, faults


@pytest.fixture(scope="module")
def catalog(services: live.Services) -> Catalog:
    found = Catalog()
    for job in services.addresses:
        found.scrape(job, services.exposition(job))
    return found


EVERY = list(expressions.everywhere(ROOT))


def complaints(catalog: Catalog, found: list[expressions.Expression]) -> list[str]:
    """Return a line for each name in an expression or its alert that nothing exports."""
    own, lines = Catalog(dict(catalog.series), dict(catalog.kinds)), []
    for each in found:
        wrong, labels = faults(each.text, own.labelled(each.adds))
        if wrong:
            pass  # what is made of nothing is nothing
        elif each.records:
            own.record(each.records, labels)
        elif each.alert:
            own.alarm(each.alert, labels, each.bears)
        named = set(re.findall(r"\$labels\.(\w+)", each.message))
        wrong += [f"the alert says {name}, which it has not" for name in sorted(named - labels)]
        lines += [f"{each.where}: {one}" for one in wrong]
    return lines


def test_every_expression_names_what_is_exported(catalog: Catalog) -> None:
    assert len(EVERY) >= 30
    assert complaints(catalog, EVERY) == []


def test_the_jobs_are_the_services(services: live.Services) -> None:
    jobs = {job["job_name"] for job in configuration.prometheus()["scrape_configs"]}
    assert jobs == {"predict", "monitor", "trainer", "features", "stream"}
    assert jobs < home.PORTS.keys()
    assert services.addresses.keys() == jobs | containers.OTHERS.keys()


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
        ('haproxy_backend_active_servers{proxy="prediction"}', "no live series is matched"),
        ('node_filesystem_avail_bytes{job="nodes"}', "no live series is matched"),
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
    message = "{{ $labels.version }} of {{ $labels.project }}"
    each = expressions.Expression(
        "a rule", "sum by (project) (slipway_model_faults)", message=message
    )
    assert complaints(catalog, [each]) == ["a rule: the alert says version, which it has not"]


def test_a_recorded_series_has_the_labels_of_its_rule(catalog: Catalog) -> None:
    recorded = expressions.Expression(
        "a", "sum by (project) (slipway_model_faults)", "project:waiting"
    )
    right = expressions.Expression("b", 'project:waiting{project="titanic"} > 1')
    wrong = expressions.Expression("c", 'project:waiting{version="1"} > 1')
    [found_faults] = complaints(catalog, [recorded, right, wrong])
    assert found_faults.startswith("c: project:waiting has no label version")


def test_dashboards_and_autoscalers_are_read_as_well(tmp_path: Path, catalog: Catalog) -> None:
    """Both files have one valid and one invalid expression."""
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
    found_faults = complaints(catalog, found)
    assert len(found_faults) == 5, found_faults
    assert any("has no label pod_name" in each for each in found_faults)
    assert "analysis.yaml: Odd: no service exports slipway_oddities" in found_faults
    assert "served.json: /Served/Requests: no service exports slipway_wishes_total" in found_faults
    assert any("has no label owner" in each for each in found_faults)
    assert any("no service exports slipway_queue_length" in each for each in found_faults)


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
        documented = set(filter(None, row.strip().split(", ")))
        for each in series:
            assert each.keys() - {*SCRAPED, "le"} == documented, name


def test_a_service_that_exports_less_is_found(catalog: Catalog) -> None:
    """Each rule fails if a series that it uses is removed."""
    for name in ("slipway_requests_total", "slipway_monitor_drift_alarm", "up"):
        rest = {each: series for each, series in catalog.series.items() if each != name}
        found_faults = complaints(Catalog(rest, catalog.kinds), EVERY)
        assert any(f"no service exports {name}" in each for each in found_faults), name
    bare = {each: [] for each in catalog.series}
    found_faults = complaints(Catalog(bare, catalog.kinds), EVERY)
    for each in EVERY:
        assert any(one.startswith(f"{each.where}: ") for one in found_faults), each.where
