"""Starts each service on loopback, with small models and data, and finds its routes."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from unittest.mock import MagicMock

from tests.conftest import ROOT
from tests.drills.fuzz import routes
from tests.drills.fuzz.knowledge import Knowledge
from tests.drills.fuzz.model_server import predict
from tests.drills.fuzz.starting import started
from tests.drills.fuzz.target import Target, make_key
from tests.services import monitored_project
from tests.services.fake_models import ModelRegistryFixture
from tests.services.server_fixture import TrainingRepository
from tests.services.stream.kafka_broker import Broker
from tests.waiting import until


@contextmanager
def monitor(folder: Path) -> Iterator[Target]:
    """Run the monitor over the traffic of a toy project."""
    from services.monitor.app import create
    from services.monitor.settings import Settings

    models = ModelRegistryFixture(folder / "models")
    monitored_project.register(models, monitored_project.reference_rows(400))
    log = models.home / "predictions"
    monitored_project.write_segment(log, monitored_project.traffic(400, seed=1), segment=0x10)
    env = {
        "SLIPWAY_HOME": str(models.home),
        "MLFLOW_TRACKING_URI": models.uri,
        "SLIPWAY_MONITOR_INTERVAL_SECONDS": "3600",
        "SLIPWAY_MONITOR_MATURITY_SECONDS": "0",
    }
    key = make_key(models.home)
    with started("monitor", env, folder / "monitor.log") as (client, process):
        until(lambda: client.get("/v1/ready").json()["last_round"])
        knowledge = Knowledge({"name": [monitored_project.NAME]}, key=key)
        yield Target(
            "monitor",
            client,
            process,
            routes.of_application(create(Settings()).routes),
            knowledge,
            lambda: [each["name"] for each in client.get("/v1/projects").json()["projects"]],
        )


@contextmanager
def trainer(folder: Path) -> Iterator[Target]:
    """Run the trainer over a repository of two projects that train in seconds."""
    repository = TrainingRepository(folder)
    own_home = repository.home("home")
    key = make_key(own_home)
    env = repository.variables(own_home, 0, queue=3, body_bytes=2**20, cooldown_seconds=0)
    del env["SLIPWAY_TRAINER_PORT"]
    log = folder / "trainer.log"
    with started("trainer", env, log, folder=repository.folder) as (client, process):
        knowledge = Knowledge(
            {
                "project": ["flowers", "petals"],
                "action": ["retrain"],
                "alertname": ["Drift"],
                "state": ["queued", "failed"],
                "parameters": [{}, {"fit": {"power": 2}}],
                "seconds": [0.1],
            },
            key=key,
        )
        own = routes.of_document(client.get("/openapi.json").json())
        yield Target(
            "trainer",
            client,
            process,
            routes.merged(_trainer_routes(), own),
            knowledge,
            lambda: client.post("/v1/runs", json={"project": "none", "reason": "a"}).json(),
        )


def _trainer_routes() -> list[routes.Route]:
    from services.trainer.app import create
    from services.trainer.settings import Settings

    # The routes hold the trainer for later calls only.
    return routes.of_application(create(Settings(), MagicMock()).routes)


@contextmanager
def stream(folder: Path) -> Iterator[Target]:
    """Run the stream of an empty prediction log to a broker."""
    from services.stream.app import create
    from services.stream.settings import Settings

    own_home = folder / "home"
    (own_home / "predictions").mkdir(parents=True)
    key = make_key(own_home)
    with Broker(folder).running() as broker:
        env = {"SLIPWAY_HOME": str(own_home), "SLIPWAY_STREAM_BROKERS": broker.address}
        with started("stream", env, folder / "stream.log") as (client, process):
            yield Target(
                "stream",
                client,
                process,
                routes.of_application(create(Settings()).routes),
                Knowledge({}, key=key),
                lambda: client.get("/v1/ready").json(),
            )


@contextmanager
def features(folder: Path) -> Iterator[Target]:
    """Run the features exporter without a store, which it reports as down."""
    from services.features.app import create
    from services.features.settings import Settings

    key = make_key(folder)
    env = {"SLIPWAY_HOME": str(folder)}
    with started("features", env, folder / "features.log", ready="/v1/live") as (client, process):
        yield Target(
            "features",
            client,
            process,
            routes.of_application(create(Settings(), MagicMock()).routes),
            Knowledge({}, key=key),
            lambda: client.get("/v1/live").json(),
            ready="/v1/live",
        )


@contextmanager
def explain(folder: Path) -> Iterator[Target]:
    """Run the dashboard, whose HTTP server and routes are Streamlit's."""
    from streamlit.web.server.starlette.starlette_app import create_streamlit_routes

    env = {"SLIPWAY_HOME": str(folder)}
    with started("explain", env, folder / "explain.log", ready="/_stcore/health") as (
        client,
        process,
    ):
        yield Target(
            "explain",
            client,
            process,
            routes.of_application(create_streamlit_routes(MagicMock())),
            Knowledge({}),
            lambda: client.get("/_stcore/health").text,
            ready="/_stcore/health",
        )


TARGETS: dict[str, tuple[Callable[[Path], AbstractContextManager[Target]], float]] = {
    "predict": (predict, 0.5),
    "monitor": (monitor, 0.15),
    "trainer": (trainer, 0.15),
    "stream": (stream, 0.05),
    "features": (features, 0.05),
    "explain": (explain, 0.1),
}
"""The function that starts each service, and its part of the time."""


def services() -> set[str]:
    """Return the services that can be started: the packages of services/ that listen on a port."""
    return {file.parent.name for file in (ROOT / "services").glob("*/__main__.py")}
