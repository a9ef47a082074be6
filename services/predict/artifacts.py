"""Fetches model versions to local disk and verifies them before any of their code runs."""

import shutil
import tempfile
from pathlib import Path

from slipway.contract.shipped import Shipped
from slipway.registry.copies import DigestMismatch, copied, match

# File formats that run code when they are read.
PICKLES = frozenset({".pkl", ".pickle", ".joblib", ".pt", ".pth", ".npy", ".dill", ".cloudpickle"})


class Unsafe(Exception):
    """Raised when an artifact holds a file that no service may read."""


def verify(folder: Path, digest: str) -> None:
    """Check a version's files against its registered digest.

    Raises:
        DigestMismatch: they are not those that were registered.
        Unsafe: it holds pickles or links.
    """
    shipped = Shipped(folder)
    match(shipped, digest)
    for file in (each for folder in shipped.parts for each in folder.rglob("*")):
        if file.suffix.lower() in PICKLES:
            raise Unsafe(f"{file.name}: a pickle runs code when it is read; ship ONNX or JSON")
        if file.is_symlink():
            raise Unsafe(f"{file.name} is a link; ship the file itself")


def fetch(name: str, version: str, digest: str, cache: Path) -> Path:
    """Return the verified version's folder in `cache`; fetch it from the registry if needed.

    Raises:
        DigestMismatch: the files in the registry's store are not those that were registered.
        Unsafe: it holds pickles or links.
        Exception: the registry or its store cannot be reached.
    """
    folder = cache / digest
    if digest and folder.is_dir():
        try:
            verify(folder, digest)
            return folder
        except (DigestMismatch, Unsafe):
            shutil.rmtree(folder)
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache, prefix=".fetch-") as scratch:
        own = copied(name, version, Path(scratch)).folder
        verify(own, digest)
        own.replace(folder)
    return folder
