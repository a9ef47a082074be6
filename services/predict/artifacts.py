"""Versions on local disk: fetched from the registry, and verified before any of their code runs."""

import shutil
import tempfile
from pathlib import Path

from slipway.contract.shipped import Shipped
from slipway.registry.copies import DigestMismatch, copied, match

# Formats that run code when they are read.
PICKLES = frozenset({".pkl", ".pickle", ".joblib", ".pt", ".pth", ".npy", ".dill", ".cloudpickle"})


class Unsafe(Exception):
    """The artifact holds what no service may read."""


def verify(folder: Path, wanted: str) -> None:
    """Raises DigestMismatch, Unsafe."""
    shipped = Shipped(folder)
    match(shipped, wanted)
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
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache, prefix=".fetch-") as scratch:
        own = copied(name, version, Path(scratch)).folder
        verify(own, wanted)
        own.replace(place)
    return place
