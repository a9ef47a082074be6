"""The front door of docker-compose.yml outside Docker: HAProxy with the repository's own file."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from prometheus_client.parser import text_string_to_metric_families

from slipway import home
from slipway.debian import binary
from slipway.home import free_port
from tests.conftest import ROOT, running
from tests.infra.names import Names

FILE = ROOT / "infra" / "proxy" / "haproxy.cfg"
SERVICE = "predict"
# The same containers on another network.
ASIDE = "predict-aside"


@dataclass(frozen=True)
class Door:
    address: str
    figures: str
    """Where Prometheus asks."""

    def figure(self, name: str, **labels: str) -> float:
        """The sum of the samples that have the labels.

        Raises AssertionError: there is none.
        """
        text = httpx.get(f"{self.figures}/metrics").text
        found = [
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        ]
        assert found, (name, labels)
        return sum(found)

    def servers(self, backend: str = "predictions") -> float:
        """How many can be asked."""
        return self.figure("haproxy_backend_active_servers", proxy=backend)


def moved(*, door: int, figures: int, names: str, servers: int) -> str:
    """The file as it stands, but for addresses: a container's give way to those of a test.

    Raises AssertionError: it has another address than is replaced here.
    """
    text = FILE.read_text()
    for there, here in {
        "bind :8000\n": f"bind {home.LOOPBACK}:{door}\n",
        "bind :8404\n": f"bind {home.LOOPBACK}:{figures}\n",
        "nameserver dns 127.0.0.11:53\n": f"nameserver dns {names}\n",
        f" {SERVICE}:{home.PORTS[SERVICE]}\n": f" {SERVICE}:{servers}\n",
        f" {ASIDE}:{home.PORTS[SERVICE]} ": f" {ASIDE}:{servers} ",
    }.items():
        assert there in text, f"{FILE} has no {there!r}"
        text = text.replace(there, here)
    return text


@contextmanager
def standing(folder: Path, names: Names, *, servers: int) -> Iterator[Door]:
    """HAProxy before the model servers that `names` tells of, all on the port `servers`."""
    folder.mkdir(parents=True, exist_ok=True)
    door, figures = free_port(), free_port()
    file = folder / "haproxy.cfg"
    address = f"http://{home.LOOPBACK}:{door}"
    with names.answering() as resolver:
        file.write_text(moved(door=door, figures=figures, names=resolver, servers=servers))
        command = (binary("haproxy"), "-db", "-f", file)
        log = folder / "haproxy.log"
        with running(*command, env={}, log=log, ready=f"{address}/proxy/live"):
            yield Door(address, f"http://{home.LOOPBACK}:{figures}")
