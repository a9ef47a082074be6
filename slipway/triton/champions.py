"""The champions of the registry on local disk, each verified against its digest."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slipway.contract.shipped import Shipped
from slipway.registry import tracking
from slipway.registry.digest import digest
from slipway.triton.repository import Registered

if TYPE_CHECKING:
    from mlflow import MlflowClient


class NotChampion(Exception):
    """The registry has no champion of that name."""


class DigestMismatch(Exception):
    """The artifact's bytes are not those that were registered; none of it was read."""


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
    names, page = [], None
    while True:
        models = registry.search_registered_models(max_results=1000, page_token=page)
        names += [each.name for each in models if tracking.CHAMPION in each.aliases]
        page = models.token
        if not page:
            return sorted(names)


def _fetched(version: Any, folder: Path) -> Registered:
    import mlflow

    name, number = version.name, str(version.version)
    scratch = folder / "fetched" / name
    scratch.mkdir(parents=True)
    theirs = Path(
        mlflow.artifacts.download_artifacts(f"models:/{name}/{number}", dst_path=str(scratch))
    )
    # A store on this machine gives its own folder, which may change after it was verified.
    shipped, own = Shipped(theirs), Shipped(folder / "verified" / name)
    own.weights.parent.mkdir(parents=True)
    shutil.copyfile(shipped.code, own.code)
    shutil.copytree(shipped.weights, own.weights)
    shutil.copytree(shipped.about, own.about)
    wanted, has = version.tags.get("digest", ""), digest(own.parts)
    if has != wanted:
        raise DigestMismatch(
            f"{name} v{number}: digest {has[:12]}, registered {wanted[:12] or 'none'}; "
            "nothing was built"
        )
    return Registered(name, number, own)
