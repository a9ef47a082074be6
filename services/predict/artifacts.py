"""Versions on local disk: fetched from the registry, and verified before any of their code runs."""

import shutil
import tempfile
from pathlib import Path

from slipway.contract.shipped import Shipped
from slipway.registry.digest import digest

# Formats that run code when they are read.
PICKLES = frozenset({".pkl", ".pickle", ".joblib", ".pt", ".pth", ".npy", ".dill", ".cloudpickle"})


class DigestMismatch(Exception):
    """The artifact's bytes are not those that were registered; none of its code was run."""


class Unsafe(Exception):
    """The artifact holds what no service may read."""


def verify(folder: Path, wanted: str) -> None:
    """Raises DigestMismatch, Unsafe."""
    shipped = Shipped(folder)
    found = digest(shipped.parts)
    if found != wanted:
        raise DigestMismatch(f"digest {found[:12]}, registered {wanted[:12] or 'none'}")
    for file in [*shipped.weights.rglob("*"), *shipped.about.rglob("*")]:
        if file.suffix.lower() in PICKLES:
            raise Unsafe(f"{file.name}: a pickle runs code when it is read; ship ONNX or JSON")
        if file.is_symlink():
            raise Unsafe(f"{file.name} is a link; ship the file itself")


def fetched(name: str, version: str, wanted: str, cache: Path) -> Path:
    """The verified version's folder below `cache`, fetched from the registry unless it is there.

    Raises:
        DigestMismatch: what the registry's store holds is not what was registered.
        Unsafe: it holds pickles or links.
        Exception: the registry or its store cannot be reached.
    """
    place = cache / wanted
    if wanted and place.is_dir():
        try:
            verify(place, wanted)
            return place
        except (DigestMismatch, Unsafe):
            shutil.rmtree(place)
    import mlflow

    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache, prefix=".fetch-") as scratch:
        found = Path(
            mlflow.artifacts.download_artifacts(f"models:/{name}/{version}", dst_path=scratch)
        )
        # A store on this machine gives its own folder, which may change under us.
        own = Path(scratch) / "own"
        shipped, kept = Shipped(found), Shipped(own)
        kept.weights.parent.mkdir(parents=True)
        shutil.copyfile(shipped.code, kept.code)
        shutil.copytree(shipped.weights, kept.weights, symlinks=True)
        shutil.copytree(shipped.about, kept.about, symlinks=True)
        verify(own, wanted)
        own.replace(place)
    return place
