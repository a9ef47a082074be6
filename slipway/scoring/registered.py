"""A registered version on local disk, verified against its digest."""

import shutil
from pathlib import Path
from typing import Any

from slipway.contract.shipped import Shipped
from slipway.registry import tracking
from slipway.registry.digest import digest


class NotRegistered(Exception):
    """The registry has no such version, or no champion of that name."""


class DigestMismatch(Exception):
    """The artifact's bytes are not those that were registered; none of it was run."""


def fetch(name: str, version: str | None, folder: Path) -> tuple[str, Shipped]:
    """The champion, or a version by its number, copied into `folder`; with its number.

    Raises:
        NotRegistered: there is none.
        DigestMismatch: it was changed after it was registered.
        mlflow.exceptions.MlflowException: the registry cannot be reached.
    """
    import mlflow

    found = _found(name, version)
    number = str(found.version)
    scratch = folder / "fetched"
    scratch.mkdir()
    theirs = Path(
        mlflow.artifacts.download_artifacts(f"models:/{name}/{number}", dst_path=str(scratch))
    )
    # A store on this machine gives its own folder, which may change after it was verified.
    shipped, own = Shipped(theirs), Shipped(folder / "verified")
    own.weights.parent.mkdir(parents=True)
    shutil.copyfile(shipped.code, own.code)
    shutil.copytree(shipped.weights, own.weights)
    shutil.copytree(shipped.about, own.about)
    wanted, has = found.tags.get("digest", ""), digest(own.parts)
    if has != wanted:
        raise DigestMismatch(
            f"{name} v{number}: digest {has[:12]}, registered {wanted[:12] or 'none'}; "
            "nothing was run"
        )
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
