"""The committed configuration of Prometheus and Alertmanager, with the configured ports."""

import os
import re
from pathlib import Path
from typing import Any

import yaml

from infra.slo.generated import dump
from infra.slo.generated import folder as rules_folder
from slipway import home

WEBHOOK = "SLIPWAY_ALERTS_WEBHOOK"


class BadWebhook(ValueError):
    """The variable does not hold an http address."""


def committed(*place: str) -> Any:
    """Return the parsed file at that path in `infra/`."""
    return yaml.safe_load(home.root().joinpath("infra", *place).read_text())


def _here(service: str) -> str:
    return f"{home.LOOPBACK}:{home.port(service)}"


def prometheus() -> dict[str, Any]:
    """Return Prometheus' configuration, with each job at the port of the service of that name."""
    content: dict[str, Any] = committed("prometheus", "prometheus.yml")
    for job in content["scrape_configs"]:
        job["static_configs"] = [{"targets": [_here(job["job_name"])]}]
    content["alerting"]["alertmanagers"] = [
        {"static_configs": [{"targets": [_here("alertmanager")]}]}
    ]
    content["rule_files"] = [str(rules_folder() / "*.yaml")]
    return content


def alertmanager(trainer: str | None = None) -> dict[str, Any]:
    """Return Alertmanager's configuration, with the trainer at its port or at address `trainer`.

    $SLIPWAY_ALERTS_WEBHOOK notifies the operators, if it is set.

    Raises:
        BadWebhook: $SLIPWAY_ALERTS_WEBHOOK is not an http address.
    """
    content: dict[str, Any] = committed("alertmanager", "alertmanager.yml")
    receivers = {each["name"]: each for each in content["receivers"]}
    address = trainer or f"http://{_here('trainer')}"
    receivers["trainer"]["webhook_configs"][0]["url"] = f"{address}/v1/alerts"
    if webhook := os.environ.get(WEBHOOK):
        if not re.fullmatch(r"https?://[^\s]+", webhook):
            raise BadWebhook(f"{WEBHOOK} must be an http or https address, got {webhook!r}")
        receivers["operators"]["webhook_configs"] = [{"url": webhook, "send_resolved": True}]
    return content


def files() -> dict[str, Path]:
    """Return where the two files are written, by program."""
    return {name: home.home() / name / f"{name}.yml" for name in ("prometheus", "alertmanager")}


def write() -> None:
    """Write both files for the programs to read."""
    for name, content in {"prometheus": prometheus(), "alertmanager": alertmanager()}.items():
        file = files()[name]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(dump(content))


def command(name: str, program: Path) -> tuple[str, ...]:
    """Return the command that starts `program`: on loopback, its data beside its configuration."""
    file = files()[name]
    listening = f"--web.listen-address={_here(name)}"
    ours: dict[str, tuple[str, ...]] = {
        "prometheus": (
            f"--storage.tsdb.path={file.parent / 'data'}",
            # The longest window of a rule is 3 days; the rest is history for people.
            *("--storage.tsdb.retention.time=30d", "--storage.tsdb.retention.size=512MB"),
        ),
        # Empty: a single Alertmanager needs no port for a cluster.
        "alertmanager": (f"--storage.path={file.parent / 'data'}", "--cluster.listen-address="),
    }
    return (str(program), f"--config.file={file}", listening, *ours[name])
