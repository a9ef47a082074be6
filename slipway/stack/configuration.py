"""Prometheus' and Alertmanager's files, with the other containers in the places of ports here."""

from typing import Any

from slipway import home
from slipway.slo import configuration
from slipway.stack import places

RULES = "/etc/slipway/rules/*.yaml"
# What is scraped besides our services, by job: who answers to anybody on the inner network.
OTHERS = {"proxy": "proxy:8404", "node": "node-exporter:9100"}

# Found by name: of the model server there are several, and the stream is there if it is wanted.
BY_NAME = ("predict", "stream")


def prometheus() -> dict[str, Any]:
    """With the key that our services ask for, and what is scraped besides them."""
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
    """The trainer at its place, with the key that it asks for.

    Raises:
        BadWebhook: $SLIPWAY_ALERTS_WEBHOOK is no http address.
    """
    content = configuration.alertmanager(f"http://trainer:{home.PORTS['trainer']}")
    [told] = [each for each in content["receivers"] if each["name"] == "trainer"]
    key = {"credentials_file": str(places.HERE / places.ALERTMANAGER / places.KEY)}
    told["webhook_configs"][0] |= {"http_config": {"authorization": key}}
    return content
