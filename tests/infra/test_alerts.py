"""The generated rules: cases fail for their mutants, and routes lead to the right receivers."""

import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml

from infra.slo import configuration, generated
from infra.slo.objectives import read
from slipway.programs.debian import binary
from tests.conftest import ROOT
from tests.infra.rule_mutants import CaseLoader, Rule, name_of, survivors

# The change of these files runs the tests; see tests/by_change.py.
CONCERNS = ("infra/slo/*", "infra/prometheus/*", "infra/alertmanager/*")

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


def run(*command: object) -> str:
    """Run a program that must succeed, and return its output."""
    done = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


# Generated.


def test_the_committed_rules_are_what_the_objectives_give() -> None:
    assert generated.differences() == []


def test_a_stale_missing_or_leftover_rule_file_is_reported(tmp_path: Path) -> None:
    generated.write(into=tmp_path)
    assert generated.differences(into=tmp_path) == []
    stale = tmp_path / "predict.yaml"
    stale.write_text(stale.read_text().replace("14.4", "14.5"))
    (tmp_path / "monitor.yaml").unlink()
    (tmp_path / "gone.yaml").write_text("groups: []\n")
    assert generated.differences(into=tmp_path) == [
        f"{tmp_path / 'gone.yaml'} belongs to no service",
        f"{tmp_path / 'monitor.yaml'} is missing",
        f"{stale} differs from what its objectives generate",
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
        ("a: [", "invalid YAML"),
    ],
)
def test_a_bad_objective_is_refused_by_name(tmp_path: Path, content: str, complaint: str) -> None:
    file = tmp_path / "predict.yaml"
    file.write_text(content)
    with pytest.raises(ValueError, match="predict.yaml") as refused:
        read(file)
    assert complaint in str(refused.value)


def test_the_windows_and_factors_are_the_workbooks() -> None:
    """Table 5-8: 2 % of a month's budget in an hour, 5 % in six hours, 10 % in three days."""
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
    run(binary("promtool"), "check", "rules", "--lint-fatal", *RULES)
    run(binary("promtool"), "check", "config", INFRA / "prometheus" / "prometheus.yml")
    run(binary("amtool"), "check-config", ALERTMANAGER)
    monkeypatch.setenv("SLIPWAY_HOME", str(tmp_path))
    monkeypatch.setenv(configuration.WEBHOOK, "https://chat.example/alerts")
    configuration.write()
    files = configuration.files()
    run(binary("promtool"), "check", "config", files["prometheus"])
    run(binary("amtool"), "check-config", files["alertmanager"])


@pytest.mark.parametrize("file", CASES, ids=lambda file: file.stem)
def test_the_cases_hold(file: Path) -> None:
    run(binary("promtool"), "test", "rules", file)


def test_each_rule_has_cases_that_notice_it_being_wrong(tmp_path: Path) -> None:
    """Mutants: never firing, a comparison inverted, a condition or the waiting time left out."""
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
    found = run(
        binary("amtool"), "config", "routes", "test", f"--config.file={ALERTMANAGER}", *labels
    )
    assert found.strip() == receivers


def test_a_webhook_that_is_no_address_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(configuration.WEBHOOK, "chat")
    with pytest.raises(configuration.BadWebhook, match="SLIPWAY_ALERTS_WEBHOOK must be an http"):
        configuration.alertmanager()
