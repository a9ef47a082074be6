"""Reads the registry through MLflow's client; see `slipway.registry.readers`."""

from collections.abc import Iterator
from pathlib import Path

from slipway.registry import tracking
from slipway.registry.reading import RegisteredModel, RegisteredVersion


class MlflowReader:
    """Reads from any address that MLflow supports."""

    def __init__(self) -> None:
        self._client = tracking.client()

    def models(self) -> Iterator[RegisteredModel]:
        for each in tracking.every(self._client.search_registered_models):
            aliases = {alias: str(version) for alias, version in each.aliases.items()}
            yield RegisteredModel(each.name, aliases, each.tags)

    def version(self, name: str, number: str) -> RegisteredVersion:
        found = self._client.get_model_version(name, number)
        tags = {str(key): str(value) for key, value in found.tags.items()}
        return RegisteredVersion(name, str(found.version), found.run_id or "", tags)

    def download_model(self, name: str, number: str, folder: Path, path: str = "") -> Path:
        return _download(f"models:/{name}/{number}/{path}".rstrip("/"), folder)

    def download_run(self, run_id: str, folder: Path, path: str) -> Path:
        return _download(f"runs:/{run_id}/{path}", folder)


def _download(address: str, folder: Path) -> Path:
    import mlflow

    return Path(mlflow.artifacts.download_artifacts(address, dst_path=str(folder)))
