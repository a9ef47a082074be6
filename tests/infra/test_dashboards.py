"""The dashboards: generated, laid out without overlap, every query run on a live Prometheus."""

import re
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import promql_parser as promql
import pytest
import yaml
from pydantic import ValidationError

from infra.compose import configuration as containers
from infra.grafana import commands, generated
from infra.grafana.boards import features, training
from infra.grafana.dashboard import Dashboard, Row, Variable
from infra.grafana.panel import Panel, Query
from infra.grafana.rows import machine
from infra.slo import configuration
from infra.slo.generated import dump
from infra.slo.objectives import read
from slipway import home
from slipway.home import free_port
from slipway.programs.debian import binary
from tests.conftest import ROOT, running
from tests.infra import live
from tests.infra.flaky_backend import FAILS_AT_13
from tests.infra.grafana import ALL, Prometheus, filled, several
from tests.services.fake_models import echo
from tests.waiting import PATIENCE, until

GRAFANA = ROOT / "infra" / "grafana"
DASHBOARDS = generated.dashboards()
PANELS = [(board, panel) for board in DASHBOARDS for panel in board.panels]
QUIET = {"text", "row"}


def name_of(value: object) -> str | None:
    match value:
        case Dashboard():
            return value.name
        case Panel():
            return value.title
    return None


def asking(board: Dashboard) -> list[dict[str, Any]]:
    """Return the panels with queries, as Grafana reads them."""
    return [each for each in board.to_json()["panels"] if each["type"] not in QUIET]


# Generated.


def test_the_committed_dashboards_are_what_the_code_gives() -> None:
    assert generated.differences() == [], "write them again: slipway grafana generate"


def test_a_stale_missing_or_leftover_dashboard_is_reported(tmp_path: Path) -> None:
    generated.write(tmp_path)
    assert generated.differences(tmp_path) == []
    stale = tmp_path / "overview.json"
    stale.write_text(stale.read_text().replace("Requests", "Wishes"))
    (tmp_path / "burn.json").unlink()
    (tmp_path / "gone.json").write_text("{}")
    assert [line.removeprefix(f"{tmp_path}/") for line in generated.differences(tmp_path)] == [
        "burn.json is missing",
        "gone.json belongs to no dashboard",
        "overview.json differs from what infra.grafana and infra/slo generate",
    ]
    generated.write(tmp_path)
    assert generated.differences(tmp_path) == []


def test_the_commands_write_and_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(generated, "folder", lambda: tmp_path)
    with pytest.raises(commands.Fault, match="6 dashboards are not current"):
        commands.check()
    assert "overview.json is missing" in capsys.readouterr().out
    generated.write()
    commands.check()
    assert "6 dashboards checked, all current" in capsys.readouterr().out


def test_the_six_are_there() -> None:
    names = {board.name for board in DASHBOARDS}
    assert names == {"overview", "quality", "experiments", "features", "training", "burn"}
    assert len({board.uid for board in DASHBOARDS}) == len({board.title for board in DASHBOARDS})


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"titel": "Requests"}, "titel"),
        ({"title": ""}, "title"),
        ({"description": "short"}, "description"),
        ({"unit": "parsecs"}, "unit"),
        ({"width": 25}, "width"),
        ({"queries": ()}, "queries"),
        ({"thresholds": ((2, "red"), (1, "green"))}, "thresholds must rise"),
    ],
)
def test_a_panel_that_cannot_be_right_is_refused(change: dict[str, Any], complaint: str) -> None:
    right = {
        "title": "Requests",
        "description": "Of callers, a second, by project.",
        "unit": "reqps",
        "queries": (Query(expr="up"),),
    }
    Panel.model_validate(right)
    with pytest.raises(ValidationError, match=complaint):
        Panel.model_validate({**right, **change})


# As Grafana reads it.


@pytest.mark.parametrize("board", DASHBOARDS, ids=name_of)
def test_panels_have_ids_of_their_own_and_do_not_overlap(board: Dashboard) -> None:
    panels = board.to_json()["panels"]
    assert len({each["id"] for each in panels}) == len(panels)
    taken: dict[tuple[int, int], str] = {}
    for each in panels:
        place = each["gridPos"]
        assert 0 <= place["x"] < place["x"] + place["w"] <= 24, each["title"]
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                other = taken.setdefault((x, y), each["title"])
                assert other == each["title"], f"{other} and {each['title']} overlap"


@pytest.mark.parametrize("board", DASHBOARDS, ids=name_of)
def test_a_panel_that_says_nothing_of_itself_is_not_there(board: Dashboard) -> None:
    titles = [each["title"] for each in asking(board)]
    assert len(set(titles)) == len(titles)
    for each in asking(board):
        assert each["title"]
        assert each["description"].endswith("."), each["title"]
        assert each["fieldConfig"]["defaults"]["unit"], each["title"]
        assert each["datasource"]["uid"] == "${datasource}"
        assert [target["refId"] for target in each["targets"]] == list("ABCDEFGH")[
            : len(each["targets"])
        ]


def test_links_lead_to_dashboards_and_the_runbook_to_files_and_headings() -> None:
    uids = {board.uid for board in DASHBOARDS}
    led = [panel for _, panel in PANELS if panel.leads]
    assert led
    assert {f"slipway-{panel.leads}" for panel in led} <= uids
    for board in DASHBOARDS:
        for place in board.reading:
            file, _, heading = place.partition("#")
            text = (ROOT / file).read_text()
            anchors = [
                re.sub(r"[^\w -]", "", line.lstrip("# ")).lower().replace(" ", "-")
                for line in text.splitlines()
                if line.startswith("#")
            ]
            assert not heading or heading in anchors, place


def test_the_runbooks_explain_every_alert() -> None:
    runbooks = "".join(str(board.to_json()["panels"][-1]["options"]) for board in DASHBOARDS)
    rules = [
        rule
        for file in (ROOT / "infra" / "prometheus" / "rules").glob("*.yaml")
        for group in yaml.safe_load(file.read_text())["groups"]
        for rule in group["rules"]
    ]
    names = {rule["alert"] for rule in rules if "alert" in rule}
    assert len(names) >= 10
    assert [name for name in sorted(names) if f"| {name} |" not in runbooks] == []
    assert "{{" not in runbooks


def test_provisioning_has_the_datasource_that_dashboards_begin_with() -> None:
    [source] = yaml.safe_load((GRAFANA / "provisioning/datasources/prometheus.yaml").read_text())[
        "datasources"
    ]
    [variable] = [
        each
        for each in DASHBOARDS[0].to_json()["templating"]["list"]
        if each["type"] == "datasource"
    ]
    assert variable["current"] == {"text": source["name"], "value": source["uid"]}
    assert source["type"] == variable["query"] == "prometheus"
    assert source["url"] == "$SLIPWAY_PROMETHEUS_URL"
    scrape = yaml.safe_load((ROOT / "infra/prometheus/prometheus.yml").read_text())["global"]
    assert source["jsonData"]["timeInterval"] == scrape["scrape_interval"]
    [provider] = yaml.safe_load((GRAFANA / "provisioning/dashboards/slipway.yaml").read_text())[
        "providers"
    ]
    assert provider["options"]["path"] == "$SLIPWAY_DASHBOARDS"
    assert provider["disableDeletion"] is True


def test_grafana_has_no_default_password_and_calls_nobody() -> None:
    from configparser import ConfigParser

    settings = ConfigParser(interpolation=None)
    settings.read(GRAFANA / "grafana.ini")
    assert settings["security"]["admin_password"] == "$__env{SLIPWAY_GRAFANA_PASSWORD}"
    assert settings["server"]["http_addr"] == home.LOOPBACK
    for name in ("reporting_enabled", "check_for_updates", "check_for_plugin_updates"):
        assert settings["analytics"][name] == "false"
    assert settings["news"]["news_feed_enabled"] == "false"


@pytest.mark.parametrize(
    ("service", "alert", "condition"),
    [
        ("features", "FeaturesStale", f"> {features.STALE}"),
        ("trainer", "TrainingStuck", f"> {training.STUCK}"),
        ("node", "DiskLow", f"< {machine.DISK_LOW}"),
    ],
)
def test_a_line_that_is_drawn_is_where_the_alert_fires(
    service: str, alert: str, condition: str
) -> None:
    promise = read(ROOT / "infra" / "slo" / f"{service}.yaml")
    [rule] = [each for each in promise.alerts if each.name == alert]
    assert rule.expr.splitlines()[0].endswith(f" {condition}")


def test_lines_of_objectives_move_with_them() -> None:
    drawn = {panel.title: panel.thresholds for _, panel in PANELS}
    [availability, latency] = read(ROOT / "infra" / "slo" / "predict.yaml").objectives
    assert latency.latency is not None
    assert drawn["Median and 99th percentile by version"] == ((latency.latency.seconds, "red"),)
    assert drawn["Failed share by project"] == ((availability.budget, "red"),)
    factors = sorted(burn.factor for burn in availability.burns)
    assert [value for value, _ in drawn["Burn rate: availability"]] == factors


# Live.


@pytest.fixture(scope="module")
def prometheus(
    services: live.Services, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Prometheus]:
    """Run a Prometheus that scrapes all services every second, with the committed rules."""
    folder = tmp_path_factory.mktemp("prometheus")
    ports = {job: address.rpartition(":")[2] for job, address in services.addresses.items()}
    ports |= {name: str(free_port()) for name in ("prometheus", "alertmanager")}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLIPWAY_HOME", str(folder))
        for name, port in ports.items():
            patch.setenv(f"SLIPWAY_{name.upper()}_PORT", port)
        content = configuration.prometheus()
        content["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
        for job in containers.OTHERS:
            target = services.addresses[job].removeprefix("http://")
            scraped = {"job_name": job, "static_configs": [{"targets": [target]}]}
            content["scrape_configs"].append(scraped)
        file = configuration.files()["prometheus"]
        file.parent.mkdir(parents=True)
        file.write_text(dump(content))
        command = configuration.command("prometheus", binary("prometheus"))
    address = f"http://{home.LOOPBACK}:{ports['prometheus']}"
    began = time.time()
    log, ready = folder / "prometheus.log", f"{address}/-/ready"
    with running(*command, env={}, log=log, ready=ready):
        found = Prometheus(address, began)
        with closing(found.client):
            until(lambda: len(found.values("label_values(up, job)")) == len(services.addresses))
            services.fake_models.add("later", echo("later"))
            until(lambda: services.predict.request("later").is_success)
            for _ in range(5):
                services.send_requests()
                time.sleep(1)
            yield found


def all_of(board: Dashboard) -> dict[str, str]:
    return {each.name: ALL for each in board.variables}


def answered(prometheus: Prometheus, board: Dashboard, panel: dict[str, Any]) -> list[str]:
    """Return the queries of a panel that return no data."""
    return [
        target["expr"]
        for target in panel["targets"]
        if not prometheus.series(
            filled(target["expr"], all_of(board)), now=time.time(), instant=target["instant"]
        )
    ]


@pytest.mark.parametrize(("board", "panel"), PANELS, ids=name_of)
def test_every_query_brings_data(
    board: Dashboard, panel: Panel, prometheus: Prometheus, services: live.Services
) -> None:
    [drawn] = [each for each in asking(board) if each["title"] == panel.title]
    deadline = time.monotonic() + PATIENCE
    while empty := answered(prometheus, board, drawn):
        assert time.monotonic() < deadline, empty
        services.send_requests()
        time.sleep(0.5)


@pytest.mark.parametrize("board", DASHBOARDS, ids=name_of)
def test_legends_name_labels_that_come_back(board: Dashboard, prometheus: Prometheus) -> None:
    """Some series have no version: those of requests that no version served."""
    for each in asking(board):
        for target in each["targets"]:
            wanted = set(re.findall(r"{{(\w+)}}", target["legendFormat"]))
            expr = filled(target["expr"], all_of(board))
            found = prometheus.series(expr, now=time.time(), instant=target["instant"])
            assert any(wanted <= labels.keys() for labels, _ in found), (each["title"], wanted)


@pytest.mark.parametrize("board", DASHBOARDS, ids=name_of)
def test_variables_list_what_is_live_and_narrow_the_queries(
    board: Dashboard, prometheus: Prometheus
) -> None:
    chosen: dict[str, str] = {}
    for variable in board.variables:
        [drawn] = [
            each for each in board.to_json()["templating"]["list"] if each["name"] == variable.name
        ]
        values = prometheus.values(filled(drawn["query"]["query"], all_of(board) | chosen))
        assert values, variable.name
        chosen[variable.name] = several(values)
    nobody = dict.fromkeys(chosen, several(["nobody's"]))
    narrowed = 0
    for each in asking(board):
        for target in each["targets"]:
            promql.parse(filled(target["expr"], chosen))
            if "$project" not in target["expr"] and "$view" not in target["expr"]:
                continue
            narrowed += 1
            series = prometheus.series(
                filled(target["expr"], nobody), now=time.time(), instant=target["instant"]
            )
            assert series == [], (each["title"], target["expr"])
    assert narrowed >= 3


def test_a_new_version_is_marked(prometheus: Prometheus) -> None:
    marked = [board for board in DASHBOARDS if board.shows_versions]
    assert marked
    for board in marked:
        [note] = board.to_json()["annotations"]["list"]
        expr = filled(note["expr"], all_of(board))
        assert prometheus.series(expr, now=time.time(), instant=False), expr


def test_the_first_of_a_rare_event_is_seen(prometheus: Prometheus, services: live.Services) -> None:
    """A counter that starts with the event would show no increase."""
    services.fake_models.add("failing", FAILS_AT_13)
    until(lambda: services.predict.request("failing").is_success)
    seen = 'slipway_requests_total{project="failing",status="500"}'
    until(lambda: prometheus.series(seen, now=time.time(), instant=True))
    assert services.predict.request("failing", 13).status_code == 500
    [rare] = [panel for _, panel in PANELS if panel.title == "Failed share by project"]
    shown = filled(rare.queries[0].expr, {"project": "failing", "version": ALL})

    def rose() -> bool:
        found = prometheus.series(shown, now=time.time(), instant=True)
        return any(value > 0 for _, values in found for value in values)

    until(rose)


def test_an_empty_panel_would_be_found(prometheus: Prometheus) -> None:
    panel = Panel(
        title="Nothing",
        description="A name with a letter too many.",
        unit="none",
        queries=(Query(expr='sum (slipway_rows_totals{project=~"$project"})'),),
    )
    board = Dashboard(
        name="nothing",
        title="Nothing",
        description="A dashboard with one empty panel.",
        rows=(Row(title="Row", panels=(panel,)),),
        variables=(Variable(name="project", metric="slipway_rows_total"),),
        services=("predict",),
        reading=("README.md",),
    )
    [drawn] = asking(board)
    assert answered(prometheus, board, drawn) == [panel.queries[0].expr]


def test_a_variable_that_a_dashboard_lacks_is_found() -> None:
    with pytest.raises(KeyError, match="owner"):
        filled('up{owner="$owner"}', {"project": ALL})
    assert filled("${project:regex} $project", {"project": several(["a.b", "c"])}) == (
        "(a\\\\.b|c) (a\\\\.b|c)"
    )
