"""`slipway status`: the services of this machine, and the models that are served."""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from infra.local.platform import TITLES, Service, responds, services
from slipway.rest import ServiceClient, ServiceFault

SECONDS = 5.0


@dataclass(frozen=True)
class ServiceState:
    """A service of `make up`."""

    name: str
    port: int
    address: str
    state: str
    """`running`, `not responding`, `started elsewhere` or `not running`."""
    pid: int | None


@dataclass(frozen=True)
class ModelState:
    """A model of the registry's champions."""

    name: str
    version: str | None
    """The version that is served; None if none is."""
    loaded: bool
    """False until its first request, or while it is evicted."""
    drift: str
    """The result of the monitor's last check."""
    fault: str | None
    """The reason that it is not served as the registry wants."""


@dataclass(frozen=True)
class Status:
    services: list[ServiceState]
    models: list[ModelState]
    reached: bool
    """True if the model server responded."""

    def content(self) -> dict[str, Any]:
        """Return the status as JSON types."""
        return asdict(self)


def status() -> Status:
    """Return the state of this machine's services and models."""
    states = [_state(each) for each in services()]
    try:
        found = ServiceClient("predict").request_json("GET", "/v1/models", seconds=SECONDS)
    except ServiceFault:
        return Status(states, [], reached=False)
    return Status(states, list(_models(found, _drift())), reached=True)


def _state(service: Service) -> ServiceState:
    process, healthy = service.process(), responds(service.address + service.ready)
    if process is None:
        state = "started elsewhere" if healthy else "not running"
    else:
        state = "running" if healthy else "not responding"
    pid = process.pid if process else None
    return ServiceState(service.name, service.port, service.address, state, pid)


def _drift() -> dict[str, str]:
    """Return what the monitor says about each project; nothing if it does not respond."""
    try:
        found = ServiceClient("monitor").request_json("GET", "/v1/projects", seconds=SECONDS)
    except ServiceFault:
        return {}
    return {each["name"]: each["state"] for each in found["projects"]}


def _models(found: dict[str, Any], drift: dict[str, str]) -> Iterator[ModelState]:
    faults: dict[str, str] = found["faults"]
    served = {each["name"]: each for each in found["models"]}
    for name in sorted({*served, *faults}):
        model = served.get(name, {})
        version = model.get("version")
        yield ModelState(
            name=name,
            version=None if version is None else str(version),
            loaded=bool(model.get("loaded")),
            drift=drift.get(name, "no monitor" if not drift else "not checked yet"),
            fault=faults.get(name),
        )


def lines(status: Status) -> Iterable[str]:
    """Yield the lines of both tables."""
    yield f"{'service':14} {'port':>5}  {'state':18} {'process':>8}  address"
    for each in status.services:
        title = TITLES.get(each.name, "model server" if each.name == "predict" else each.name)
        yield f"{title:14} {each.port:5}  {each.state:18} {each.pid or '-':>8}  {each.address}"
    yield ""
    if not status.reached:
        yield "no models: the model server does not respond; start it: make up"
        return
    if not status.models:
        yield "no models: none is champion in the registry; train one: slipway repro titanic"
        return
    yield f"{'model':28} {'version':8} {'loaded':7} {'drift':20} fault"
    for model in status.models:
        version = f"v{model.version}" if model.version else "-"
        loaded = "yes" if model.loaded else "-"
        yield f"{model.name:28} {version:8} {loaded:7} {model.drift:20} {model.fault or '-'}"
