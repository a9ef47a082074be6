"""A registered version's files, copied out of the registry's store."""

import shutil
from pathlib import Path

from slipway.contract.shipped import Shipped

from .digest import digest


class DigestMismatch(Exception):
    """The artifact's bytes are not those that were registered; none of its code was run."""


def copied(name: str, version: str, folder: Path) -> Shipped:
    """The version's code, weights and card below `folder`, which must be there; not verified.

    A copy, since a store on this machine gives its own folder, which may change after the copy
    was verified. Links are copied as links.

    Raises:
        mlflow.exceptions.MlflowException: the registry or its store cannot be reached.
    """
    import mlflow

    scratch = folder / "fetched" / name
    scratch.mkdir(parents=True)
    found = mlflow.artifacts.download_artifacts(f"models:/{name}/{version}", dst_path=str(scratch))
    theirs, own = Shipped(Path(found)), Shipped(folder / "own" / name)
    own.weights.parent.mkdir(parents=True)
    shutil.copyfile(theirs.code, own.code)
    shutil.copytree(theirs.weights, own.weights, symlinks=True)
    shutil.copytree(theirs.about, own.about, symlinks=True)
    return own


def match(shipped: Shipped, wanted: str) -> None:
    """Raises DigestMismatch unless `shipped` has the digest `wanted`."""
    found = digest(shipped.parts)
    if found != wanted:
        raise DigestMismatch(
            f"digest {found[:12]}, registered {wanted[:12] or 'none'}; none of it was run"
        )
