"""The snapshot: a file with the versions to serve, written by the registry sync.

Every worker reads it, so workers start and run without the registry.
"""

import os
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from services.predict.browser_graph import BrowserGraph
from slipway.contract import Lookup
from slipway.contract.serving import SLOW_SECONDS
from slipway.explain.ways import Way
from slipway.policy import Policy

FILE = "snapshot.json"
# Touched by the registry sync after each poll, whatever the registry responded.
POLLED = "polled"


class Profile(BaseModel):
    """The measurements and schemas of a version, collected by its try-out."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    load_seconds: float
    bytes: int
    """Memory used once loaded and warmed up."""
    validate_seconds: float
    """Time to validate one record."""
    one_seconds: float
    """Inference time of one record."""
    batch_seconds: float
    """Inference time per record in a batch of 16."""
    question: str
    input_name: str
    output_name: str
    input_schema: dict[str, Any]
    output_schema: dict[str, Any]
    explains: bool
    explained_by: Way | None = None
    """The parts of a record among which its explanations divide a number."""
    looked_up: Lookup | None = None
    latency_seconds: float = SLOW_SECONDS
    """The longest call to expect."""
    threads: int = 1
    """Threads of ONNX Runtime for each graph."""
    requires: list[str] = []
    """Groups of packages that the version needs, such as `vision`."""
    media: bool = False
    """True if a record or a prediction has pictures, sound, video or documents."""
    streams: bool = False
    """True if the model makes its predictions piece by piece."""
    chunk_name: str | None = None
    chunk_schema: dict[str, Any] | None = None
    browser: BrowserGraph | None = None
    """The graph that a visitor's browser can run, without the model's code."""
    code: str = ""
    """A hash of the library's code that the version ran with in its try-out."""


class Version(BaseModel):
    """A version that lies on local disk, verified and tried out."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: str
    digest: str
    signature: str = ""
    folder: Path
    profile: Profile


class Entry(BaseModel):
    """One project: its versions by variant, and how traffic is split among them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    versions: dict[str, Version]
    policy: Policy = Policy()


class Snapshot(BaseModel):
    """All projects to serve, and the state of the registry sync."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    projects: dict[str, Entry] = {}
    faults: dict[str, str] = {}
    """By project: which registered version or policy could not be applied, and why."""
    settled: bool = False
    """True if every registered version was tried at least once."""
    reachable: bool = False
    """True if the registry responded to the latest poll."""
    registry: str = ""
    """The address of the registry that the projects came from."""


def write(folder: Path, snapshot: Snapshot) -> None:
    """Replace the file atomically; it is on disk when this returns."""
    folder.mkdir(parents=True, exist_ok=True)
    new = folder / f"{FILE}.{os.getpid()}"
    with new.open("w") as stream:
        stream.write(snapshot.model_dump_json())
        stream.flush()
        os.fsync(stream.fileno())
    new.replace(folder / FILE)


def read(folder: Path) -> Snapshot:
    """Return the snapshot, or an empty one if there is no file yet.

    Raises:
        pydantic.ValidationError: the file is damaged, or written by another release.
    """
    try:
        return Snapshot.model_validate_json((folder / FILE).read_bytes())
    except FileNotFoundError:
        return Snapshot()
