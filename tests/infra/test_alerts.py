"""The rules: generated, every one with cases that notice it being wrong, and alerts that arrive."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from slipway import home, platform
from slipway.debian import binary
from slipway.home import free_port
from slipway.slo import configuration, generated
from slipway.slo.objectives import read
from tests.conftest import ROOT, running
from tests.infra.rule_mutants import CaseLoader, Rule, name_of, survivors
from tests.infra.unlucky import UNLUCKY
from tests.services.zoo import Zoo, echo
from tests.waiting import until
from tests.webhook import Receiver

INFRA = ROOT / "infra"
RULES = sorted((INFRA / "prometheus" / "rules").glob("*.yaml"))
CASES = sorted((INFRA / "prometheus" / "tests").glob("*.yaml"))
ALERTMANAGER = INFRA / "alertmanager" / "alertmanager.yml"

OBJECTIVE = """
objectives:
  - name: availability
    percent: 99
    ratio: {errors: 'requests_total{status="500"}', total: requests_total}
"""


def rules_of(file: Path) -> list[Rule]:
    groups = yaml.safe_load(file.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def told(*command: object) -> str:
    """What a program prints; it must end well."""
    done = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


# Generated.


def test_the_committed_rules_are_what_the_objectives_give() -> None:
    assert generated.differences() == []


def test_a_rule_file_that_is_stale_missing_or_left_over_is_told_of(tmp_path: Path) -> None:
    generated.write(into=tmp_path)
    assert generated.differences(into=tmp_path) == []
    stale = tmp_path / "predict.yaml"
    stale.write_text(stale.read_text().replace("14.4", "14.5"))
    (tmp_path / "monitor.yaml").unlink()
    (tmp_path / "gone.yaml").write_text("groups: []\n")
    assert generated.differences(into=tmp_path) == [
        f"{tmp_path / 'gone.yaml'} belongs to no service",
        f"{tmp_path / 'monitor.yaml'} is missing",
        f"{stale} differs from what its objectives give",
    ]
    generated.write(into=tmp_path)
    assert generated.differences(into=tmp_path) == []


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (OBJECTIVE.replace("99", "100"), "objectives.0.percent"),
        (OBJECTIVE.replace("percent", "per_cent"), "objectives.0.per"),
        (OBJECTIVE.replace("ratio", "latency"), "objectives.0.latency"),
        (OBJECTIVE + "    latency: {histogram: a, seconds: 1}\n", "either `ratio` or `latency`"),
        (OBJECTIVE + "    burns: []\n", "objectives.0.burns"),
        (
            OBJECTIVE + "    burns: [{factor: 1, long: 5m, short: 1h, severity: critical}]\n",
            "short must be shorter than long, got 1h and 5m",
        ),
        (OBJECTIVE + OBJECTIVE.replace("objectives:\n", ""), "defined twice: availability"),
        ("alerts: [{name: A, expr: up, severity: bad, summary: long enough}]", "alerts.0"),
        ("objectives", "a mapping"),
        ("a: [", "no YAML"),
    ],
)
def test_a_bad_objective_is_refused_by_name(tmp_path: Path, content: str, complaint: str) -> None:
    file = tmp_path / "predict.yaml"
    file.write_text(content)
    with pytest.raises(ValueError, match="predict.yaml") as refused:
        read(file)
    assert complaint in str(refused.value)


def test_the_windows_and_factors_are_the_workbooks() -> None:
    """Table 5-8: of a month's budget 2 % in an hour, 5 % in six hours, 10 % in three days."""
    objective = read(INFRA / "slo" / "predict.yaml").objectives[0]
    found = [(burn.factor, burn.long, burn.short) for burn in objective.burns]
    assert found == [(14.4, "1h", "5m"), (6, "6h", "30m"), (1, "3d", "6h")]
    month = 30 * 24
    shares = [
        burn.factor * hours / month for burn, hours in zip(objective.burns, (1, 6, 72), strict=True)
    ]
    assert shares == pytest.approx([0.02, 0.05, 0.1])


def test_every_alert_says_whose_how_bad_and_what() -> None:
    for file in RULES:
        for rule in rules_of(file):
            if "record" in rule:
                continue
            assert rule["labels"]["severity"] in ("critical", "warning"), rule
            assert rule["labels"]["service"] == file.stem, rule
            assert rule["annotations"]["summary"], rule
            if rule["labels"].get("action") == "retrain":
                assert "by (project)" in rule["expr"], f"{rule['alert']} would name no project"


# Cases.


def test_promtool_and_amtool_find_no_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told(binary("promtool"), "check", "rules", "--lint-fatal", *RULES)
    told(binary("promtool"), "check", "config", INFRA / "prometheus" / "prometheus.yml")
    told(binary("amtool"), "check-config", ALERTMANAGER)
    monkeypatch.setenv("SLIPWAY_HOME", str(tmp_path))
    monkeypatch.setenv(configuration.WEBHOOK, "https://chat.example/alerts")
    configuration.write()
    files = configuration.files()
    told(binary("promtool"), "check", "config", files["prometheus"])
    told(binary("amtool"), "check-config", files["alertmanager"])


@pytest.mark.parametrize("file", CASES, ids=lambda file: file.stem)
def test_the_cases_hold(file: Path) -> None:
    told(binary("promtool"), "test", "rules", file)


def test_each_rule_has_cases_that_notice_it_being_wrong(tmp_path: Path) -> None:
    """Never firing, a comparison turned round, a condition or the waiting time left out."""
    promtool = binary("promtool")
    contents = [yaml.load(case.read_text(), CaseLoader) for case in CASES]

    def judged(file: Path, number: int, rule: Rule) -> list[str]:
        own = [each for each in contents if each["rule_files"] == [f"../rules/{file.name}"]]
        place = tmp_path / f"{file.stem}-{number}"
        place.mkdir()
        found = survivors(promtool, rule, rules_of(file), own, place)
        return [f"{name_of(rule)}: {what}" for what in found]

    with ThreadPoolExecutor(2) as pool:
        futures = [
            pool.submit(judged, file, number, rule)
            for file in RULES
            for number, rule in enumerate(rules_of(file))
        ]
    assert len(futures) >= 30
    assert [line for future in futures for line in future.result()] == []


def test_a_rule_without_cases_would_be_found(tmp_path: Path) -> None:
    rule = {"alert": "New", "expr": "up == 0", "labels": {"severity": "warning"}}
    assert survivors(binary("promtool"), rule, [rule], [], tmp_path) == ["no case names it"]
    lax = {
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [{"series": "up", "values": "1x5"}],
                "alert_rule_test": [{"eval_time": "2m", "alertname": "New", "exp_alerts": []}],
            }
        ],
    }
    assert "never fires" in survivors(binary("promtool"), rule, [rule], [lax], tmp_path)


# Routes.


@pytest.mark.parametrize(
    ("labels", "receivers"),
    [
        (["project=titanic", "action=retrain", "severity=warning"], "trainer,operators"),
        (["project=titanic", "severity=critical"], "operators"),
        (["service=predict", "severity=warning"], "operators"),
    ],
)
def test_what_training_can_cure_goes_to_the_trainer(labels: list[str], receivers: str) -> None:
    found = told(
        binary("amtool"), "config", "routes", "test", f"--config.file={ALERTMANAGER}", *labels
    )
    assert found.strip() == receivers


def test_a_webhook_that_is_no_address_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(configuration.WEBHOOK, "chat")
    with pytest.raises(configuration.BadWebhook, match="SLIPWAY_ALERTS_WEBHOOK must be an http"):
        configuration.alertmanager()


# Live.


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
    """Prometheus or Alertmanager as configured; its address."""
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
    """The configuration in force, with rules of short windows and all waits shortened."""
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


def test_a_failing_model_is_told_of_by_prometheus_through_alertmanager(
    tmp_path: Path, own_ports: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The trainer's address gets what it can cure, the operators' everything; none of the rest."""
    from services.trainer.webhook import Notification

    zoo = Zoo(tmp_path / "zoo")
    zoo.add("well", echo("well"))
    zoo.add("ill", UNLUCKY)
    with (
        Receiver().listening() as receiver,
        zoo.serving() as server,
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
                assert server.ask("well").status_code == 200
                assert server.ask("ill", 13).status_code == 500
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
        "project": "ill",
        "service": "predict",
        "severity": "critical",
        "window": "30s",
    }
    assert burnt["status"] == "firing"
    assert burnt["annotations"]["summary"].startswith("ill: in 30s ")
    assert {alert["labels"]["project"] for alert in receiver.alerts("/operators")} == {"ill"}
    assert {alert["labels"]["alertname"] for alert in receiver.alerts("/v1/alerts")} == {
        "ModelFails"
    }
    notices = [Notification.model_validate(body) for at, body in receiver.got if at == "/v1/alerts"]
    first = notices[0].alarms()[0]
    assert (first.project, first.name, first.action) == ("ill", "ModelFails", "retrain")
    assert first.firing
    assert first.told == "ill: its model raises"


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


def test_without_alertmanager_the_monitor_tells_the_trainer_itself(
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
