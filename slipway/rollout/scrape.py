"""What a model server's /metrics says of a project's two versions."""

import os
import socket
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import urlsplit

from slipway import home

REQUESTS, SECONDS = "slipway_requests_total", "slipway_request_seconds_bucket"
SERVING, ISOLATED = "slipway_model_serving", "slipway_model_isolated"
# The label that tells the series of one metric, version and variant apart.
PARTS = {REQUESTS: "status", SECONDS: "le"}

TIMEOUT_SECONDS = 3.0


class Unreachable(Exception):
    """A server gave no figures; the message says which, and why."""


class Series(NamedTuple):
    """A counter: the metric, whose, and its status or upper bound in seconds."""

    metric: str
    version: str
    variant: str
    part: str

    @property
    def key(self) -> str:
        return "|".join(self)

    @property
    def group(self) -> tuple[str, str]:
        """Those that begin anew together."""
        return self.version, self.variant

    @classmethod
    def of(cls, key: str) -> "Series":
        return cls(*key.split("|"))


@dataclass(frozen=True)
class Scraped:
    """`counters` by `Series.key`; the versions that answer as a variant, and the isolated ones."""

    counters: dict[str, float]
    serving: frozenset[tuple[str, str]]
    isolated: frozenset[str]


def addresses() -> tuple[str, ...]:
    """Of the model servers: $SLIPWAY_ROLLOUT_SERVERS, by commas, else the one on this machine.

    A name that stands for several, as that of a compose service does, gives each of them.
    """
    given = os.environ.get("SLIPWAY_ROLLOUT_SERVERS", "")
    named = [each.strip().rstrip("/") for each in given.split(",") if each.strip()]
    found = tuple(one for each in named for one in _each_behind(each))
    return found or (f"http://{home.LOOPBACK}:{home.port('predict')}",)


def _each_behind(address: str) -> list[str]:
    """By their own addresses; a name that cannot be looked up now stays, to be asked in vain.

    A name under TLS stays too: certificates are made out to names.
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


def scrape(address: str, project: str) -> Scraped:
    """Ask once, with the API key $SLIPWAY_ROLLOUT_KEY where there is one.

    Raises:
        Unreachable: no answer, or another one than figures.
    """
    return parsed(_fetched(f"{address}/metrics"), project)


def faults(address: str, project: str) -> str:
    """What of the registry's wish the server could not follow for the project; empty if nothing.

    Raises:
        Unreachable: no answer, or another one than the readiness page.
    """
    import json

    try:
        told = json.loads(_fetched(f"{address}/v1/ready")).get("faults", {})
    except ValueError as error:
        raise Unreachable(f"{address}: {error}") from error
    return str(told.get(project, ""))


def parsed(text: str, project: str) -> Scraped:
    """From Prometheus' text format.

    Raises:
        Unreachable: it is none.
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
        raise Unreachable(f"its metrics cannot be read: {error!r}") from error
    return Scraped(counters, frozenset(serving), frozenset(isolated))


def _fetched(url: str) -> str:
    import httpx

    key = os.environ.get("SLIPWAY_ROLLOUT_KEY")
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        answer = httpx.get(url, headers=headers, timeout=TIMEOUT_SECONDS, trust_env=False)
        answer.raise_for_status()
    except httpx.HTTPError as error:
        raise Unreachable(f"{url}: {str(error).splitlines()[0] or type(error).__name__}") from error
    return answer.text
