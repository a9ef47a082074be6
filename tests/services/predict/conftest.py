"""Fixtures of the model server's tests: the server over the small models, and its registry."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from slipway import home
from tests.conftest import mlflow_server, serving_alone
from tests.small_models import NAMES, SmallModels
from tests.waiting import until


@pytest.fixture(scope="session")
def grpc_port() -> int:
    """The gRPC port of the model server that the fixture `server` starts."""
    return home.free_port()


@pytest.fixture(scope="package")
def mlflow_address(
    small_models: SmallModels, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The address of an MLflow server over the small models' registry."""
    log = tmp_path_factory.mktemp("mlflow") / "mlflow.log"
    with mlflow_server(small_models.uri, log) as address:
        yield address


@pytest.fixture(scope="package")
def server(
    mlflow_address: str,
    serving_python: Path,
    grpc_port: int,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[httpx.Client]:
    """The model server over the small models, with serving packages alone.

    It is stopped with the last test of this package: idle, it takes 4 % of a core.
    """
    with serving_alone(
        serving_python,
        mlflow_address,
        tmp_path_factory.mktemp("predict") / "predict.log",
        workers=2,
        grpc_port=grpc_port,
        body_bytes=3_000_000,
    ) as client:
        address = str(client.base_url)
        until(lambda: _all_ready(address), lambda: client.get("/v1/models").text)
        yield client


def _all_ready(address: str) -> bool:
    """Return whether each of the two workers serves all models; 20 connections reach both."""
    with httpx.Client(base_url=address, timeout=30, headers={"Connection": "close"}) as client:
        found = [client.get("/v1/ready").json() for _ in range(20)]
    return all(each.get("models") == len(NAMES) for each in found)
