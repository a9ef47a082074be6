"""Settings of MLflow's server, each from an environment variable."""

import os
from typing import Annotated

from pydantic import Field

from services import settings
from slipway import home


class Settings(settings.Settings):
    """Our settings: `SLIPWAY_MLFLOW_HOST=0.0.0.0` sets `host`.

    Where runs, versions and files are stored is set by MLflow's own variables.
    """

    prefix = "SLIPWAY_MLFLOW_"

    body_bytes: Annotated[int, Field(gt=0)] = 64 * 2**20
    """Largest body of a request; the files of a model are not limited."""

    @property
    def database(self) -> str:
        """Return $MLFLOW_BACKEND_STORE_URI, or the address of the SQLite file in Slipway's home."""
        given = os.environ.get("MLFLOW_BACKEND_STORE_URI")
        return given or f"sqlite:///{home.home() / 'mlflow.db'}"

    @property
    def artifacts(self) -> str:
        """Return $MLFLOW_ARTIFACTS_DESTINATION, or the address of a folder in Slipway's home."""
        given = os.environ.get("MLFLOW_ARTIFACTS_DESTINATION")
        return given or (home.home() / "artifacts").as_uri()
