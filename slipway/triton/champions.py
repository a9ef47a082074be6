"""The champions of the registry on local disk, each verified against its digest."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from slipway.registry import copies, tracking
from slipway.registry.copies import DigestMismatch
from slipway.triton.repository import Registered

if TYPE_CHECKING:
    from mlflow import MlflowClient


class NotChampion(Exception):
    """The registry has no champion of that name."""


def champions(names: list[str], folder: Path) -> list[Registered]:
    """Those of `names`, or all of them, copied into `folder`.

    Raises:
        NotChampion: one of `names` is not registered, or has no champion.
        DigestMismatch: one was changed after it was registered.
        mlflow.exceptions.MlflowException: the registry cannot be reached.
    """
    registry = tracking.client()
    wanted = names or _all(registry)
    found = []
    for name in wanted:
        version = tracking.version_of(registry, name, tracking.CHAMPION)
        if version is None:
            raise NotChampion(f"{name} has no {tracking.CHAMPION} in {tracking.tracking_uri()}")
        found.append(_fetched(version, folder))
    return found


def _all(registry: "MlflowClient") -> list[str]:
    models = tracking.every(registry.search_registered_models)
    return sorted(each.name for each in models if tracking.CHAMPION in each.aliases)


def _fetched(version: Any, folder: Path) -> Registered:
    name, number = version.name, str(version.version)
    own = copies.copied(name, number, folder)
    try:
        copies.match(own, version.tags.get("digest", ""))
    except DigestMismatch as wrong:
        raise DigestMismatch(f"{name} v{number}: {wrong}") from wrong
    return Registered(name, number, own)
