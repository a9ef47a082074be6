"""The catalogue of data sets: one YAML file per data set in `pipelines/datasets/`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from slipway import paths

SHA256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Source(_Strict):
    """A source of a file's exact bytes."""

    kind: Literal["pypi", "debian", "npm", "mirror", "url"]
    locator: str = Field(min_length=1)
    """Package and version (`name==1.0`, `name=1.0-1`, `name@1.0`), file name, or address."""
    member: str | None = None
    """The file inside the package; if None, the package file itself."""


class DatasetFile(_Strict):
    """One file of a data set; its sources are tried in order, and all hold the same bytes."""

    bytes: int = Field(gt=0)
    sha256: SHA256
    sources: list[Source] = Field(min_length=1)


class DatasetEntry(_Strict):
    """The catalogue entry of a data set."""

    name: str
    title: str
    home: str = Field(pattern="^https://")
    licence: str
    citation: str
    files: dict[str, DatasetFile] = Field(min_length=1)


@dataclass(frozen=True)
class Dataset:
    """A data set on this disk; every file is verified."""

    entry: DatasetEntry
    paths: dict[str, Path]
    origins: dict[str, str]
    """The source of each file: `cache`, `pypi package==version`, ..."""

    def path(self, file: str) -> Path:
        """Return the path of `file`.

        Raises:
            KeyError: the data set has no such file.
        """
        if file not in self.paths:
            raise KeyError(f"{self.entry.name} has no file {file!r}; it has {sorted(self.paths)}")
        return self.paths[file]


def folder() -> Path:
    """Return the folder of the catalogue."""
    return paths.root() / "pipelines" / "datasets"


def read(file: Path) -> DatasetEntry:
    """Read one entry, named after its file.

    Raises:
        ValueError: a field is missing, unknown or malformed; the message names it.
    """
    try:
        return DatasetEntry(name=file.stem, **yaml.safe_load(file.read_text()))
    except (ValidationError, TypeError) as error:
        raise ValueError(f"{file}: {error}") from error


def entries() -> dict[str, DatasetEntry]:
    """Return every entry by name."""
    return {file.stem: read(file) for file in sorted(folder().glob("*.yaml"))}


def entry(name: str) -> DatasetEntry:
    """Return the entry called `name`.

    Raises:
        KeyError: the catalogue has no such entry.
    """
    file = folder() / f"{name}.yaml"
    if not file.is_file():
        known = ", ".join(sorted(path.stem for path in folder().glob("*.yaml")))
        raise KeyError(f"no data set {name!r} in {folder()}; known: {known}")
    return read(file)
