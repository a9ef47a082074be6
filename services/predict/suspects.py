"""Versions whose files a worker found changed; the registry sync fetches them again."""

import os
from pathlib import Path

NAME = "suspects"


def report_suspect(folder: Path, digest: str) -> None:
    """Report that the files of the version with this digest are not those that were verified."""
    descriptor = os.open(folder / NAME, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        stream.write(f"{digest}\n")


def take_suspects(folder: Path) -> set[str]:
    """Return the reported digests, and forget them."""
    taken = folder / f"{NAME}.taken"
    try:
        (folder / NAME).replace(taken)
        return set(taken.read_text().split())
    except FileNotFoundError:
        return set()
