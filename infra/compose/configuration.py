"""Prometheus' and Alertmanager's files for the stack: services are reached by container name."""

from typing import Any

from infra.compose import places
from infra.slo import configuration
from slipway import home

RULES = "/etc/slipway/rules/*.yaml"
# Scrape targets besides our services, by job; these need no key on the inner network.
OTHERS = {"proxy": "proxy:8404", "node": "node-exporter:9100"}

# Found by DNS name: there are several model servers, and the stream is optional.
BY_NAME = ("predict", "stream")


def prometheus() -> dict[str, Any]:
    """Return Prometheus' configuration, with the API key and the targets besides our services."""
    content: dict[str, Any] = configuration.committed("prometheus", "prometheus.yml")
    key = {"credentials_file": str(places.HERE / places.PROMETHEUS / places.KEY)}
    jobs = [_job(job["job_name"]) | {"authorization": key} for job in content["scrape_configs"]]
    jobs += [_targets(name, target) for name, target in OTHERS.items()]
    alerting = {"alertmanagers": [{"static_configs": [{"targets": ["alertmanager:9093"]}]}]}
    return {**content, "scrape_configs": jobs, "rule_files": [RULES], "alerting": alerting}


def _job(service: str) -> dict[str, Any]:
    if service not in BY_NAME:
        return _targets(service, f"{service}:{home.PORTS[service]}")
    found = {"names": [service], "type": "A", "port": home.PORTS[service], "refresh_interval": "5s"}
    return {"job_name": service, "dns_sd_configs": [found]}


def _targets(name: str, target: str) -> dict[str, Any]:
    return {"job_name": name, "static_configs": [{"targets": [target]}]}


def alertmanager() -> dict[str, Any]:
    """Return Alertmanager's configuration, with the trainer's container and API key.

    Raises:
        BadWebhook: $SLIPWAY_ALERTS_WEBHOOK is no http address.
    """
    content = configuration.alertmanager(f"http://trainer:{home.PORTS['trainer']}")
    [receiver] = [each for each in content["receivers"] if each["name"] == "trainer"]
    key = {"credentials_file": str(places.HERE / places.ALERTMANAGER / places.KEY)}
    receiver["webhook_configs"][0] |= {"http_config": {"authorization": key}}
    return content
