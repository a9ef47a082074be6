"""What should be served, as a file: written by the keeper, followed by every worker.

Workers therefore need no registry: one that is away, also at the start, is not missed.
"""

import os
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from slipway.contract import Lookup
from slipway.policy import Policy

FILE = "snapshot.json"


class Profile(BaseModel):
    """What a try-out in a process of its own found out about a version."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    load_seconds: float
    bytes: int
    """Memory that it takes once loaded and warm."""
    validate_seconds: float
    """For one record."""
    one_seconds: float
    """To answer one record."""
    batch_seconds: float
    """A record's share of a batch of 16."""
    question: str
    input_name: str
    output_name: str
    input_schema: dict[str, Any]
    output_schema: dict[str, Any]
    explains: bool
    looked_up: Lookup | None = None


class Version(BaseModel):
    """A version whose bytes are here, verified and tried out."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: str
    digest: str
    folder: Path
    profile: Profile


class Entry(BaseModel):
    """One project: versions by variant, and how traffic is divided among them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    versions: dict[str, Version]
    policy: Policy = Policy()


class Snapshot(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    projects: dict[str, Entry] = {}
    faults: dict[str, str] = {}
    """By project: what of the registry's wish could not be followed, and why."""
    settled: bool = False
    """All that the registry asked for was tried at least once."""
    reachable: bool = False
    """The registry answered the last time it was asked."""


def write(folder: Path, snapshot: Snapshot) -> None:
    """Replace the file in one step, on disk when this returns."""
    folder.mkdir(parents=True, exist_ok=True)
    new = folder / f"{FILE}.{os.getpid()}"
    with new.open("w") as stream:
        stream.write(snapshot.model_dump_json())
        stream.flush()
        os.fsync(stream.fileno())
    new.replace(folder / FILE)


def read(folder: Path) -> Snapshot:
    """An empty one when there is none yet.

    Raises:
        pydantic.ValidationError: the file is damaged, or of another release.
    """
    try:
        return Snapshot.model_validate_json((folder / FILE).read_bytes())
    except FileNotFoundError:
        return Snapshot()
