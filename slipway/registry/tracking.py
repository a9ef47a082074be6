"""The MLflow registry: $MLFLOW_TRACKING_URI, else a SQLite file in Slipway's home."""

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
    given = os.environ.get("MLFLOW_TRACKING_URI")
    return given or f"sqlite:///{paths.home() / 'mlflow.db'}"


def artifacts() -> Path:
    return paths.home() / "artifacts"


def writing() -> FileLock:
    """Held while the registry is written: projects trained side by side share one SQLite file."""
    paths.home().mkdir(parents=True, exist_ok=True)
    return FileLock(paths.home() / "registry.lock", is_singleton=True)


def client() -> "MlflowClient":
    """A client of the registry; MLflow's own functions go to the same place."""
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

    It announces itself to MLflow as a provider of headers, so that the first request over HTTP
    imports all of Feast, and torch where there is torch: 4 s and 150 MB in a process that asks
    Feast for nothing.
    """
    from mlflow.utils import plugins

    announced = plugins.get_entry_points

    def others(group: str) -> list[Any]:
        return [each for each in announced(group) if not each.value.startswith("feast.")]

    plugins.get_entry_points = others
    try:
        # MLflow asks who has announced himself when this is imported, and never again.
        import mlflow.tracking.request_header.registry  # noqa: F401
    finally:
        plugins.get_entry_points = announced


def experiment(registry: "MlflowClient", name: str) -> str:
    """The id of the experiment `name`, made on first use."""
    found = registry.get_experiment_by_name(name)
    if found:
        return str(found.experiment_id)
    place = (artifacts() / name).as_uri() if tracking_uri().startswith("sqlite") else None
    return str(registry.create_experiment(name, artifact_location=place))


def every(search: Callable[..., "PagedList[Any]"]) -> Iterator[Any]:
    """What a search of the registry finds, a thousand at a time."""
    page = None
    while page is None or page.token:
        page = search(max_results=1000, page_token=page.token if page else None)
        yield from page


def version_of(registry: "MlflowClient", name: str, alias: str) -> Any | None:
    """The model version that bears `alias`, or None."""
    from mlflow.exceptions import MlflowException

    try:
        return registry.get_model_version_by_alias(name, alias)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise


def version_with(registry: "MlflowClient", name: str, digest: str) -> Any | None:
    """The newest version of `name` whose shipped bytes have this digest, or None."""
    found = [
        version
        for version in registry.search_model_versions(f"name='{name}'")
        if version.tags.get("digest") == digest
    ]
    return max(found, key=lambda version: int(version.version), default=None)
