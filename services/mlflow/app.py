"""MLflow's application in this process, inside our limits and behind our keys."""

import os
import re
from typing import Any

from services.mlflow.admission import Admission
from services.mlflow.settings import Settings
from services.web.bounds import BodyBound
from services.web.guard import Guard
from slipway.access.scopes import Scope

# MLflow streams these to their place; other bodies it keeps in memory.
FILES = re.compile(r"/(ajax-)?api/2\.0/mlflow-artifacts/artifacts/.+")


class DatabaseFault(OSError):
    """Raised if the database cannot be reached, has no driver here, or another release's tables."""


def create(settings: Settings) -> Any:
    """Return the ASGI application.

    Raises:
        DatabaseFault: the database cannot be used.
    """
    guard = Guard(settings, closed=(Scope.REGISTRY, Scope.REGISTRY_READ))
    bounded = BodyBound(_mlflow(settings), body_bytes=settings.body_bytes, except_paths=FILES)
    return Admission(bounded, guard)


def _mlflow(settings: Settings) -> Any:
    """Return MLflow's own application, set up as `mlflow server` does it for its workers.

    That command keeps a second process only to wait for its worker: after a registration 423 MiB
    for both, 224 MiB for this one. Job execution, which starts further processes, is off.
    """
    os.environ["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"
    # Our protocol checks Host and Origin of every request, by `SLIPWAY_MLFLOW_HOSTS`.
    os.environ["MLFLOW_SERVER_ALLOWED_HOSTS"] = "*"
    from mlflow.exceptions import MlflowException
    from mlflow.server import constants, handlers
    from mlflow.store.tracking import DEFAULT_ARTIFACTS_URI
    from sqlalchemy import make_url
    from sqlalchemy.exc import SQLAlchemyError

    os.environ[constants.BACKEND_STORE_URI_ENV_VAR] = settings.database
    os.environ[constants.REGISTRY_STORE_URI_ENV_VAR] = settings.database
    os.environ[constants.ARTIFACTS_DESTINATION_ENV_VAR] = settings.artifacts
    os.environ[constants.ARTIFACT_ROOT_ENV_VAR] = DEFAULT_ARTIFACTS_URI
    os.environ[constants.SERVE_ARTIFACTS_ENV_VAR] = "true"
    try:
        handlers.initialize_backend_stores(
            settings.database, settings.database, DEFAULT_ARTIFACTS_URI
        )
    except (ImportError, MlflowException, SQLAlchemyError) as fault:
        place = make_url(settings.database).render_as_string(hide_password=True)
        raise DatabaseFault(f"{place}: {fault}") from fault
    from mlflow.server.fastapi_app import app

    return app
