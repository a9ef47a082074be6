"""Fetch a registered version, and verify its signature and its digest."""

from pathlib import Path
from typing import Any

from slipway.contract.shipped import Shipped
from slipway.registry import copies, signatures, tracking
from slipway.registry.copies import DigestMismatch


class NotRegistered(Exception):
    """Raised when the registry has no such version, or no champion of that name."""


def fetch(name: str, version: str | None, folder: Path) -> tuple[str, Shipped]:
    """Copy the champion, or the given version, into `folder`; return its number and its files.

    Raises:
        NotRegistered: there is no such version.
        NotSigned: no trusted key signed it.
        DigestMismatch: the version was changed after it was registered.
        mlflow.exceptions.MlflowException: the registry cannot be reached.
    """
    entry = _registry_entry(name, version)
    number = str(entry.version)
    signatures.check(name, number, entry.tags)
    own = copies.copied(name, number, folder)
    try:
        copies.match(own, entry.tags.get("digest", ""))
    except DigestMismatch as error:
        raise DigestMismatch(f"{name} v{number}: {error}") from error
    return number, own


def _registry_entry(name: str, version: str | None) -> Any:
    registry = tracking.client()
    from mlflow.exceptions import MlflowException

    where = tracking.tracking_uri()
    if version is None:
        champion = tracking.version_of(registry, name, tracking.CHAMPION)
        if champion is None:
            raise NotRegistered(f"{name} has no {tracking.CHAMPION} in {where}")
        return champion
    try:
        return registry.get_model_version(name, version)
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
        raise NotRegistered(f"{name} has no version {version} in {where}") from error
