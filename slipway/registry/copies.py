"""Copies of a registered version's files, taken from the registry's artifact store."""

import shutil
from pathlib import Path

from slipway.contract.shipped import Shipped
from slipway.registry import readers

from .digest import digest


class DigestMismatch(Exception):
    """Raised when an artifact differs from what was registered; none of its code was run."""


def copied(name: str, version: str, folder: Path) -> Shipped:
    """Copy the version's code, weights and card into `folder`, which must exist; do not verify.

    Files are copied because a store on this machine returns its own folder, which may change
    after the verification. Links are copied as links.

    Raises:
        Exception: the registry or its store cannot be reached.
    """
    scratch = folder / "fetched" / name
    scratch.mkdir(parents=True)
    source = Shipped(readers.reader().download_model(name, version, scratch))
    own = Shipped(folder / "own" / name)
    own.weights.parent.mkdir(parents=True)
    shutil.copyfile(source.entry, own.entry)
    shutil.copytree(source.weights, own.weights, symlinks=True)
    shutil.copytree(source.about, own.about, symlinks=True)
    if source.packages.is_dir():
        # MLflow's own loading leaves bytecode there.
        bytecode = shutil.ignore_patterns("__pycache__")
        shutil.copytree(source.packages, own.packages, symlinks=True, ignore=bytecode)
    return own


def match(shipped: Shipped, wanted: str) -> None:
    """Raise DigestMismatch unless `shipped` has the digest `wanted`."""
    found = digest(shipped.parts)
    if found != wanted:
        raise DigestMismatch(
            f"digest {found[:12]}, registered {wanted[:12] or 'none'}; none of it was run"
        )
