"""Prometheus' and Alertmanager's configuration as committed, with the ports that are in force."""

import os
import re
from pathlib import Path
from typing import Any

import yaml

from slipway import home
from slipway.slo.generated import dump
from slipway.slo.generated import folder as rules_folder

WEBHOOK = "SLIPWAY_ALERTS_WEBHOOK"


class BadWebhook(ValueError):
    """The variable holds no address."""


def committed(*place: str) -> Any:
    """The file of that place in `infra/`, parsed."""
    return yaml.safe_load(home.root().joinpath("infra", *place).read_text())


def _here(service: str) -> str:
    return f"{home.LOOPBACK}:{home.port(service)}"


def prometheus() -> dict[str, Any]:
    """Every job is scraped at the port of the service that it is named after."""
    content: dict[str, Any] = committed("prometheus", "prometheus.yml")
    for job in content["scrape_configs"]:
        job["static_configs"] = [{"targets": [_here(job["job_name"])]}]
    content["alerting"]["alertmanagers"] = [
        {"static_configs": [{"targets": [_here("alertmanager")]}]}
    ]
    content["rule_files"] = [str(rules_folder() / "*.yaml")]
    return content


def alertmanager(trainer: str | None = None) -> dict[str, Any]:
    """The trainer at its port, or at the address `trainer`.

    Operators are told by $SLIPWAY_ALERTS_WEBHOOK, if it is set.

    Raises:
        BadWebhook: it is no http address.
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
    """Where the two are written, by program."""
    return {name: home.home() / name / f"{name}.yml" for name in ("prometheus", "alertmanager")}


def write() -> None:
    """Write both for the programs to read."""
    for name, content in {"prometheus": prometheus(), "alertmanager": alertmanager()}.items():
        file = files()[name]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(dump(content))


def command(name: str, program: Path) -> tuple[str, ...]:
    """How `program` is started: on loopback, its data beside its configuration."""
    file = files()[name]
    listening = f"--web.listen-address={_here(name)}"
    ours: dict[str, tuple[str, ...]] = {
        "prometheus": (
            f"--storage.tsdb.path={file.parent / 'data'}",
            # The longest window of a rule is 3 days; the rest is for looking back.
            *("--storage.tsdb.retention.time=30d", "--storage.tsdb.retention.size=512MB"),
        ),
        # Empty: alone, it needs no port for others of its kind.
        "alertmanager": (f"--storage.path={file.parent / 'data'}", "--cluster.listen-address="),
    }
    return (str(program), f"--config.file={file}", listening, *ours[name])
