"""The formats of the files that batch scoring reads and writes, named by their suffixes."""

import typing
from pathlib import Path
from typing import Literal

TableFormat = Literal["csv", "parquet", "jsonl"]
UploadFormat = Literal["csv", "parquet", "jsonl", "zip", "tar"]
SourceFormat = Literal["csv", "parquet", "jsonl", "zip", "tar", "folder"]
TargetFormat = Literal["csv", "parquet", "jsonl", "zip"]

_PACKED_TARS = (".tar.gz", ".tgz")


class BadTable(ValueError):
    """Raised when the source cannot be scored at all, or not past the position in the message."""


def source_format(source: Path) -> SourceFormat:
    """Return the format of a folder, or the format that the file's suffix names.

    Raises:
        BadTable: the suffix names no known format.
    """
    if source.is_dir():
        return "folder"
    if source.name.endswith(_PACKED_TARS):
        return "tar"
    named: SourceFormat = _by_suffix(source, typing.get_args(UploadFormat))
    return named


def target_format(target: Path) -> TargetFormat:
    """Return the format that the suffix of a file to write names.

    Raises:
        BadTable: the suffix names no known format.
    """
    named: TargetFormat = _by_suffix(target, typing.get_args(TargetFormat))
    return named


def is_table(name: str) -> bool:
    """Return whether the name's suffix is that of a table."""
    return name.endswith(tuple(f".{each}" for each in typing.get_args(TableFormat)))


def _by_suffix(file: Path, formats: tuple[typing.Any, ...]) -> typing.Any:
    for each in formats:
        if file.suffix == f".{each}":
            return each
    suffixes = ", ".join(f".{each}" for each in formats)
    raise BadTable(f"{file.name}: its name must end in one of {suffixes}")
