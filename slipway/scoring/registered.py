"""A registered version on local disk, verified against its digest."""

from pathlib import Path
from typing import Any

from slipway.contract.shipped import Shipped
from slipway.registry import copies, tracking
from slipway.registry.copies import DigestMismatch


class NotRegistered(Exception):
    """The registry has no such version, or no champion of that name."""


def fetch(name: str, version: str | None, folder: Path) -> tuple[str, Shipped]:
    """The champion, or a version by its number, copied into `folder`; with its number.

    Raises:
        NotRegistered: there is none.
        DigestMismatch: it was changed after it was registered.
        mlflow.exceptions.MlflowException: the registry cannot be reached.
    """
    found = _found(name, version)
    number = str(found.version)
    own = copies.copied(name, number, folder)
    try:
        copies.match(own, found.tags.get("digest", ""))
    except DigestMismatch as wrong:
        raise DigestMismatch(f"{name} v{number}: {wrong}") from wrong
    return number, own


def _found(name: str, version: str | None) -> Any:
    registry = tracking.client()
    from mlflow.exceptions import MlflowException

    where = tracking.tracking_uri()
    if version is None:
        found = tracking.version_of(registry, name, tracking.CHAMPION)
        if found is None:
            raise NotRegistered(f"{name} has no {tracking.CHAMPION} in {where}")
        return found
    try:
        return registry.get_model_version(name, version)
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
        raise NotRegistered(f"{name} has no version {version} in {where}") from error
