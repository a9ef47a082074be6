"""Copies the registry's champions to local disk and verifies signatures and digests."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from services.predict.triton.repository import Registered
from slipway.registry import copies, signatures, tracking
from slipway.registry.copies import DigestMismatch

if TYPE_CHECKING:
    from mlflow import MlflowClient


class NoChampion(Exception):
    """Raised when the registry has no champion of that name."""


def champions(names: list[str], folder: Path) -> list[Registered]:
    """Copy the champions of `names`, or all champions if it is empty, into `folder`.

    Raises:
        NoChampion: one of `names` is not registered, or has no champion.
        NotSigned: no trusted key signed a version.
        DigestMismatch: a version was changed after it was registered.
        mlflow.exceptions.MlflowException: the registry cannot be reached.
    """
    registry = tracking.client()
    fetched = []
    for name in names or _champion_names(registry):
        version = tracking.version_of(registry, name, tracking.CHAMPION)
        if version is None:
            raise NoChampion(f"{name} has no {tracking.CHAMPION} in {tracking.tracking_uri()}")
        fetched.append(_fetch(version, folder))
    return fetched


def _champion_names(registry: "MlflowClient") -> list[str]:
    models = tracking.every(registry.search_registered_models)
    return sorted(each.name for each in models if tracking.CHAMPION in each.aliases)


def _fetch(version: Any, folder: Path) -> Registered:
    name, number = version.name, str(version.version)
    signatures.check(name, number, version.tags)
    shipped = copies.copied(name, number, folder)
    try:
        copies.match(shipped, version.tags.get("digest", ""))
    except DigestMismatch as error:
        raise DigestMismatch(f"{name} v{number}: {error}") from error
    return Registered(name, number, shipped)
