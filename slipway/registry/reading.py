"""Reads the registry: which versions there are, and their files.

An MLflow server without encryption, as on this machine or in a private network, is read with plain
HTTP requests. MLflow's client takes 1.2 s of a processor and 115 MiB to import (pandas, SQLAlchemy,
Alembic), in every process that watches the registry for as long as it runs. Every other address,
and every other way of authentication or of storing files, goes through MLflow's client.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from slipway.registry import tracking

# What MLflow's client would do with a request that `slipway.registry.http_reader` does not do.
CLIENT_ONLY = (
    *("MLFLOW_TRACKING_AUTH", "MLFLOW_TRACKING_AWS_SIGV4", "MLFLOW_WORKSPACE"),
    "MLFLOW_TRACKING_CLIENT_CERT_PATH",
)
CREDENTIALS_FILE = Path(".mlflow") / "credentials"


@dataclass(frozen=True)
class RegisteredModel:
    """A name in the registry. `aliases` has the version of each alias."""

    name: str
    aliases: Mapping[str, str]
    tags: Mapping[str, str]


@dataclass(frozen=True)
class RegisteredVersion:
    """A version of a model; `run_id` is empty if no run made it."""

    name: str
    version: str
    run_id: str
    tags: Mapping[str, str]


class Reader(Protocol):
    """A way to read the registry. Each method raises an exception if it cannot be reached."""

    def models(self) -> Iterator[RegisteredModel]:
        """Yield every registered model."""

    def version(self, name: str, number: str) -> RegisteredVersion:
        """Return a version of a model."""

    def download_model(self, name: str, number: str, folder: Path, path: str = "") -> Path:
        """Return the place of a version's files, or of the one at `path`.

        They are copied into `folder`, unless the store is a folder of this machine.
        """

    def download_run(self, run_id: str, folder: Path, path: str) -> Path:
        """Return the place of a run's file, like `download_model`."""


def reader() -> Reader:
    """Return a reader of the registry at `tracking.tracking_uri()`."""
    if reads_by_http(tracking.tracking_uri()):
        from slipway.registry.http_reader import HttpReader

        return HttpReader(tracking.tracking_uri())
    from slipway.registry.mlflow_reader import MlflowReader

    return MlflowReader()


def reads_by_http(address: str) -> bool:
    """Return whether plain requests are enough for this address and environment."""
    parts = urlsplit(address)
    if parts.scheme != "http" or parts.username is not None:
        return False
    if any(os.environ.get(name) for name in CLIENT_ONLY):
        return False
    return not (Path.home() / CREDENTIALS_FILE).is_file()
