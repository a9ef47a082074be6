"""Chooses how the registry is read: which versions there are, and their files.

An MLflow server without encryption, as on this machine or in a private network, is read with plain
HTTP requests. MLflow's client takes 1.2 s of a processor and 115 MiB to import (pandas, SQLAlchemy,
Alembic), in every process that watches the registry for as long as it runs. Every other address,
and every other way of authentication or of storing files, goes through MLflow's client.
"""

import os
from pathlib import Path
from urllib.parse import urlsplit

from slipway.registry import tracking
from slipway.registry.reading import Reader

# What MLflow's client would do with a request that `slipway.registry.http_reader` does not do.
CLIENT_ONLY = (
    *("MLFLOW_TRACKING_AUTH", "MLFLOW_TRACKING_AWS_SIGV4", "MLFLOW_WORKSPACE"),
    "MLFLOW_TRACKING_CLIENT_CERT_PATH",
)
CREDENTIALS_FILE = Path(".mlflow") / "credentials"


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
