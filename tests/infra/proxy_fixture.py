"""Run docker-compose.yml's proxy outside Docker: HAProxy with the repository's own files."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
from prometheus_client.parser import text_string_to_metric_families

from slipway import home
from slipway.home import free_port
from slipway.programs.debian import binary
from tests.conftest import ROOT, running
from tests.infra.names import Names

FILE = ROOT / "infra" / "proxy" / "haproxy.cfg"
SUPERVISOR = FILE.with_name("supervisor.py")
SERVICE = "predict"
# The same containers on another network.
ASIDE = "predict-aside"
QUICK = "    http-reuse always\n    timeout server {}s\n"


@dataclass(frozen=True)
class Proxy:
    address: str
    metrics_address: str
    """The address that Prometheus scrapes."""
    supervisor: psutil.Process

    def haproxy(self) -> psutil.Process | None:
        """Return HAProxy's process; None while there is none."""
        return next(iter(self.supervisor.children()), None)

    def metric(self, name: str, **labels: str) -> float:
        """Return the sum of the samples with these labels.

        Raises AssertionError: there is no such sample.
        """
        text = httpx.get(f"{self.metrics_address}/metrics").text
        found = [
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        ]
        assert found, (name, labels)
        return sum(found)

    def servers(self, backend: str = "predictions") -> float:
        """Return the number of active servers."""
        return self.metric("haproxy_backend_active_servers", proxy=backend)


def configuration(*, names: str, servers: int) -> str:
    """Return the file with the containers' addresses replaced by those of a test.

    Raises AssertionError: the file lacks an expected address.
    """
    text = FILE.read_text()
    for there, here in {
        "nameserver dns 127.0.0.11:53\n": f"nameserver dns {names}\n",
        f" {SERVICE}:{home.PORTS[SERVICE]}\n": f" {SERVICE}:{servers}\n",
        f" {ASIDE}:{home.PORTS[SERVICE]} ": f" {ASIDE}:{servers} ",
    }.items():
        assert there in text, f"{FILE} has no {there!r}"
        text = text.replace(there, here)
    return text


@contextmanager
def run_proxy(
    folder: Path,
    names: Names,
    *,
    servers: int,
    quick_seconds: int = 10,
    replaced: Mapping[str, str] | None = None,
) -> Iterator[Proxy]:
    """Run HAProxy before the model servers that `names` resolves, all on the port `servers`.

    After `quick_seconds` a prediction of a quick model is repeated. `replaced` maps parts of the
    file to others.
    """
    folder.mkdir(parents=True, exist_ok=True)
    door, metrics = (f"{home.LOOPBACK}:{free_port()}" for _ in range(2))
    file = folder / "haproxy.cfg"
    with names.answering() as resolver:
        text = configuration(names=resolver, servers=servers)
        others = {QUICK.format(10): QUICK.format(quick_seconds), **(replaced or {})}
        for there, here in others.items():
            assert there in text, f"{FILE} has no {there!r}"
            text = text.replace(there, here)
        file.write_text(text)
        command = (sys.executable, SUPERVISOR, "--door", door, "--metrics", metrics, "--")
        command = (*command, binary("haproxy"), "-db", "-f", file)
        log = folder / "haproxy.log"
        with running(*command, env={}, log=log, ready=f"http://{door}/proxy/live") as process:
            supervisor = psutil.Process(process.pid)
            yield Proxy(f"http://{door}", f"http://{metrics}", supervisor)
