"""The MLflow registry at $MLFLOW_TRACKING_URI, or else in a SQLite file in Slipway's home."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from slipway import paths
from slipway.quiet import silence_telemetry

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.store.entities import PagedList

CHAMPION, CHALLENGER = "champion", "challenger"


def tracking_uri() -> str:
    """Return $MLFLOW_TRACKING_URI, or the address of the SQLite file in Slipway's home."""
    configured = os.environ.get("MLFLOW_TRACKING_URI")
    return configured or f"sqlite:///{paths.home() / 'mlflow.db'}"


def artifacts() -> Path:
    """Return the folder of all artifacts in Slipway's home."""
    return paths.home() / "artifacts"


def writing() -> FileLock:
    """Return the lock to hold while writing: projects trained in parallel share one SQLite file."""
    paths.home().mkdir(parents=True, exist_ok=True)
    return FileLock(paths.home() / "registry.lock", is_singleton=True)


def client() -> "MlflowClient":
    """Return a client of the registry, and point MLflow's global functions at the same address."""
    silence_telemetry()
    import mlflow

    if "MLFLOW_TRACKING_URI" not in os.environ:
        paths.home().mkdir(parents=True, exist_ok=True)
    mlflow.set_tracking_uri(tracking_uri())
    mlflow.set_registry_uri(tracking_uri())
    if tracking_uri().startswith("http"):
        _without_feast()
    return mlflow.MlflowClient()


def _without_feast() -> None:
    """Keep Feast out of MLflow's requests.

    Feast registers itself with MLflow as a provider of request headers, so that the first HTTP
    request imports all of Feast, and torch if it is installed: 4 s and 150 MB in a process that
    does not use Feast.
    """
    from mlflow.utils import plugins

    original = plugins.get_entry_points

    def without_feast(group: str) -> list[Any]:
        return [each for each in original(group) if not each.value.startswith("feast.")]

    plugins.get_entry_points = without_feast
    try:
        # MLflow reads the entry points when this is imported, and never again.
        import mlflow.tracking.request_header.registry  # noqa: F401
    finally:
        plugins.get_entry_points = original


def experiment(registry: "MlflowClient", name: str) -> str:
    """Return the id of the experiment `name`, which is created on first use."""
    existing = registry.get_experiment_by_name(name)
    if existing:
        return str(existing.experiment_id)
    place = (artifacts() / name).as_uri() if tracking_uri().startswith("sqlite") else None
    return str(registry.create_experiment(name, artifact_location=place))


def every(search: Callable[..., "PagedList[Any]"]) -> Iterator[Any]:
    """Yield all results of a registry search, fetched a thousand at a time."""
    page = None
    while page is None or page.token:
        page = search(max_results=1000, page_token=page.token if page else None)
        yield from page


def version_of(registry: "MlflowClient", name: str, alias: str) -> Any | None:
    """Return the model version with the alias `alias`, or None."""
    from mlflow.exceptions import MlflowException

    try:
        return registry.get_model_version_by_alias(name, alias)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise


def version_with(registry: "MlflowClient", name: str, digest: str) -> Any | None:
    """Return the newest version of `name` with this digest, or None."""
    versions = [
        version
        for version in registry.search_model_versions(f"name='{name}'")
        if version.tags.get("digest") == digest
    ]
    return max(versions, key=lambda version: int(version.version), default=None)
