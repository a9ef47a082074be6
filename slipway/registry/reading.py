"""The types of the registry's readers; `slipway.registry.readers` chooses one."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class RegisteredModel:
    """A name in the registry. `aliases` has the version of each alias."""

    name: str
    aliases: Mapping[str, str]
    tags: Mapping[str, str]


@dataclass(frozen=True)
class RegisteredVersion:
    """A version of a model; `run_id` is empty if no run made it."""

    name: str
    version: str
    run_id: str
    tags: Mapping[str, str]


class Reader(Protocol):
    """A way to read the registry. Each method raises an exception if it cannot be reached."""

    def models(self) -> Iterator[RegisteredModel]:
        """Yield every registered model."""

    def version(self, name: str, number: str) -> RegisteredVersion:
        """Return a version of a model."""

    def download_model(self, name: str, number: str, folder: Path, path: str = "") -> Path:
        """Return the place of a version's files, or of the one at `path`.

        They are copied into `folder`, unless the store is a folder of this machine.
        """

    def download_run(self, run_id: str, folder: Path, path: str) -> Path:
        """Return the place of a run's file, like `download_model`."""
