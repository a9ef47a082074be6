"""Read the metrics of a project's versions from a model server's /metrics."""

import os
import socket
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import urlsplit

from slipway import home

REQUESTS, SECONDS = "slipway_requests_total", "slipway_request_seconds_bucket"
SERVING, ISOLATED = "slipway_model_serving", "slipway_model_isolated"
# The label by which the series of one metric, version and variant differ.
PARTS = {REQUESTS: "status", SECONDS: "le"}

TIMEOUT_SECONDS = 3.0


class MetricsUnreachable(Exception):
    """Raised if a server gives no metrics; the message says which server, and why."""


class Series(NamedTuple):
    """Identifies a counter: metric, version, variant, and status or upper bound in seconds."""

    metric: str
    version: str
    variant: str
    part: str

    @property
    def key(self) -> str:
        """The series as one string."""
        return "|".join(self)

    @property
    def group(self) -> tuple[str, str]:
        """The version and variant of the series; counters with the same ones restart together."""
        return self.version, self.variant

    @classmethod
    def parse(cls, key: str) -> "Series":
        """Return the series with this key."""
        return cls(*key.split("|"))


@dataclass(frozen=True)
class ServerMetrics:
    """One server's metrics of a project."""

    counters: dict[str, float]
    """Values by `Series.key`."""
    serving: frozenset[tuple[str, str]]
    """(version, variant) of the versions that the server serves."""
    isolated: frozenset[str]
    """Versions that run in a process of their own."""


def addresses() -> tuple[str, ...]:
    """Return the model servers in $SLIPWAY_ROLLOUT_SERVERS, by default the one on this machine.

    A host name with several addresses, like that of a compose service, gives each of them.
    """
    given = os.environ.get("SLIPWAY_ROLLOUT_SERVERS", "")
    named = [each.strip().rstrip("/") for each in given.split(",") if each.strip()]
    found = tuple(one for each in named for one in _resolve(each))
    return found or (f"http://{home.LOOPBACK}:{home.port('predict')}",)


def _resolve(address: str) -> list[str]:
    """Return an address for each IP address of the host name.

    A name that cannot be resolved now stays, and its scrape fails. A name with TLS stays too,
    because certificates are issued to names.
    """
    place = urlsplit(address)
    if place.scheme != "http" or not place.hostname:
        return [address]
    try:
        found = socket.getaddrinfo(place.hostname, place.port or 80, type=socket.SOCK_STREAM)
    except OSError:
        return [address]
    hosts = sorted({str(each[4][0]) for each in found if each[0] == socket.AF_INET})
    if len(hosts) < 2:
        return [address]
    return [f"http://{host}:{place.port or 80}{place.path}" for host in hosts]


def scrape(address: str, project: str) -> ServerMetrics:
    """Request the metrics once, with the API key $SLIPWAY_ROLLOUT_KEY if it is set.

    Raises:
        Unreachable: no response, or none with metrics.
    """
    return parse(_fetch(f"{address}/metrics"), project)


def sync_fault(address: str, project: str) -> str:
    """Return what the server failed to sync from the registry for the project; empty if nothing.

    Raises:
        Unreachable: no response, or none in the format of `/v1/ready`.
    """
    import json

    try:
        faults = json.loads(_fetch(f"{address}/v1/ready")).get("faults", {})
    except ValueError as error:
        raise MetricsUnreachable(f"{address}: {error}") from error
    return str(faults.get(project, ""))


def parse(text: str, project: str) -> ServerMetrics:
    """Return the project's metrics in a page in Prometheus' text format.

    Raises:
        Unreachable: the page has another format.
    """
    from prometheus_client.parser import text_string_to_metric_families

    wanted = (*PARTS, SERVING, ISOLATED)
    label = f'project="{project}"'
    lines = [line for line in text.splitlines() if line.startswith(wanted) and label in line]
    counters: dict[str, float] = {}
    serving: set[tuple[str, str]] = set()
    isolated: set[str] = set()
    try:
        for family in text_string_to_metric_families("\n".join(lines) + "\n"):
            for sample in family.samples:
                labels, value = sample.labels, sample.value
                if sample.name in PARTS:
                    part = labels[PARTS[sample.name]]
                    key = Series(sample.name, labels["version"], labels["variant"], part).key
                    counters[key] = counters.get(key, 0.0) + value
                elif sample.name == SERVING and value:
                    serving.add((labels["version"], labels["variant"]))
                elif sample.name == ISOLATED and value:
                    isolated.add(labels["version"])
    except (ValueError, KeyError) as error:
        raise MetricsUnreachable(f"its metrics cannot be read: {error!r}") from error
    return ServerMetrics(counters, frozenset(serving), frozenset(isolated))


def _fetch(url: str) -> str:
    import httpx

    key = os.environ.get("SLIPWAY_ROLLOUT_KEY")
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        response = httpx.get(url, headers=headers, timeout=TIMEOUT_SECONDS, trust_env=False)
        response.raise_for_status()
    except httpx.HTTPError as error:
        raise MetricsUnreachable(
            f"{url}: {str(error).splitlines()[0] or type(error).__name__}"
        ) from error
    return response.text
