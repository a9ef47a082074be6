"""The catalogue: one YAML file a data set in `pipelines/datasets/`, found by walking."""

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
    """One place where a file's exact bytes can be had."""

    kind: Literal["pypi", "debian", "npm", "mirror", "url"]
    locator: str = Field(min_length=1)
    """Package and version (`name==1.0`, `name=1.0-1`, `name@1.0`), file name, or address."""
    member: str | None = None
    """The file inside the package; without it, the package file itself."""


class DatasetFile(_Strict):
    """One file of a data set; its sources are tried in order and all hold the same bytes."""

    bytes: int = Field(gt=0)
    sha256: SHA256
    sources: list[Source] = Field(min_length=1)


class DatasetEntry(_Strict):
    """What the catalogue says of a data set."""

    name: str
    title: str
    home: str = Field(pattern="^https://")
    licence: str
    citation: str
    files: dict[str, DatasetFile] = Field(min_length=1)


@dataclass(frozen=True)
class Dataset:
    """A data set on this disk, every file verified."""

    entry: DatasetEntry
    paths: dict[str, Path]
    origins: dict[str, str]
    """Where each file came from: `cache`, `pypi package==version`, ..."""

    def path(self, file: str) -> Path:
        """Where `file` lies.

        Raises:
            KeyError: the data set has no such file.
        """
        if file not in self.paths:
            raise KeyError(f"{self.entry.name} has no file {file!r}; it has {sorted(self.paths)}")
        return self.paths[file]


def folder() -> Path:
    return paths.root() / "pipelines" / "datasets"


def read(file: Path) -> DatasetEntry:
    """One entry; its name is the file's.

    Raises:
        ValueError: a field is missing, unknown or malformed; the message names it.
    """
    try:
        return DatasetEntry(name=file.stem, **yaml.safe_load(file.read_text()))
    except (ValidationError, TypeError) as error:
        raise ValueError(f"{file}: {error}") from error


def entries() -> dict[str, DatasetEntry]:
    """Every entry by name."""
    return {file.stem: read(file) for file in sorted(folder().glob("*.yaml"))}


def entry(name: str) -> DatasetEntry:
    """The entry called `name`.

    Raises:
        KeyError: the catalogue has none.
    """
    file = folder() / f"{name}.yaml"
    if not file.is_file():
        known = ", ".join(sorted(path.stem for path in folder().glob("*.yaml")))
        raise KeyError(f"no data set {name!r} in {folder()}; known: {known}")
    return read(file)
