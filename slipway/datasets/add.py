"""Add a data set to the catalogue from files on this disk."""

import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

import yaml

from slipway.datasets import catalogue
from slipway.datasets.catalogue import DatasetFile, Source
from slipway.datasets.fetch import cached_path, sha256

NAME = re.compile(r"^[a-z][a-z0-9_]{1,62}$")
# What the catalogue requires, but files do not tell.
UNKNOWN = {"home": "https://unknown.invalid/", "licence": "unknown", "citation": "unknown"}


def add(
    files: Sequence[Path],
    name: str,
    *,
    title: str = "",
    source: str = "",
    about: dict[str, str] | None = None,
) -> Path:
    """Write the catalogue entry `name` with the bytes and hashes of `files`; return its path.

    `source` says where others get a single file: kind, locator and the member of a package, with
    spaces between. Without it, the files are expected in the mirror folder. They are also kept in
    the cache, so that this machine need not fetch them. `about` has `home`, `licence` and
    `citation`.

    Raises:
        ValueError: the name is not in snake case, a file is empty, or the source is malformed.
        FileExistsError: the catalogue has such an entry.
        FileNotFoundError: a file is missing.
    """
    if not NAME.match(name):
        raise ValueError(f"--name must be in snake_case, got {name!r}")
    if source and len(files) != 1:
        raise ValueError(f"--source is that of one file, got {len(files)} files")
    entry = catalogue.folder() / f"{name}.yaml"
    if entry.exists():
        raise FileExistsError(f"the catalogue has {name} already: {entry}")
    described = {file.name: _describe(file, source) for file in files}
    content = {
        "title": title or name,
        **{key: (about or {}).get(key) or value for key, value in UNKNOWN.items()},
        "files": {
            key: each.model_dump(exclude_none=True, mode="json") for key, each in described.items()
        },
    }
    entry.write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=1000))
    for file in files:
        _keep(file, described[file.name])
    return entry


def _describe(file: Path, source: str) -> DatasetFile:
    if not file.is_file():
        raise FileNotFoundError(f"there is no file {file}")
    if not file.stat().st_size:
        raise ValueError(f"{file} is empty")
    words = source.split() or ["mirror", file.name]
    if len(words) not in (2, 3):
        raise ValueError(
            f'--source must be a kind, a locator and perhaps a member, like "pypi iris==1.0 '
            f'iris/iris.csv", got {source!r}'
        )
    kinds = Source.model_fields["kind"].annotation.__args__  # type: ignore[union-attr]
    if words[0] not in kinds:
        raise ValueError(f"--source must begin with one of {', '.join(kinds)}, got {words[0]!r}")
    found = Source.model_validate(dict(zip(("kind", "locator", "member"), words, strict=False)))
    return DatasetFile(bytes=file.stat().st_size, sha256=sha256(file), sources=[found])


def _keep(file: Path, described: DatasetFile) -> None:
    """Copy the file to its place in the cache."""
    place = cached_path(file.name, described)
    place.parent.mkdir(parents=True, exist_ok=True)
    partial = place.with_name(f"{place.name}.added")
    shutil.copyfile(file, partial)
    os.replace(partial, place)
