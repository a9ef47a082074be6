"""Bring a data set onto this disk: verified, atomic, shared between processes and checkouts.

Looked for in this order: `$SLIPWAY_DATASETS/<data set>/<file>`, the cache, then the file's
sources as the catalogue lists them. A file whose size or hash is off is never used.
"""

import hashlib
import os
import shutil
import tempfile
from pathlib import Path

from filelock import FileLock

from slipway import paths
from slipway.datasets import catalogue
from slipway.datasets.catalogue import Dataset, DatasetEntry, DatasetFile
from slipway.datasets.sources import SourceFault, obtain


class DatasetUnavailable(Exception):
    """No source gave the file; the message says what each answered and what to do."""


def sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def fault(path: Path, wanted: DatasetFile) -> str | None:
    """What is wrong with the bytes at `path`, or None."""
    size = path.stat().st_size
    if size != wanted.bytes:
        return f"{size} bytes where {wanted.bytes} are expected"
    found = sha256(path)
    if found != wanted.sha256:
        return f"sha256 {found[:12]}... where {wanted.sha256[:12]}... is expected"
    return None


def fetch(name: str) -> Dataset:
    """The data set `name`, every file present and verified.

    Raises:
        KeyError: the catalogue has no such data set.
        DatasetUnavailable: a file could not be had from any source.
    """
    entry = catalogue.entry(name)
    downloads = paths.cache() / "datasets"
    downloads.mkdir(parents=True, exist_ok=True)
    found, origins = {}, {}
    # Beside the cached files, so that the last step of each is one atomic rename.
    with tempfile.TemporaryDirectory(dir=downloads, prefix=".fetch-") as scratch:
        for file, wanted in entry.files.items():
            found[file], origins[file] = _fetch_file(entry, file, wanted, Path(scratch))
    return Dataset(entry, found, origins)


def cached_path(file: str, wanted: DatasetFile) -> Path:
    return paths.cache() / "datasets" / wanted.sha256[:16] / file


def _fetch_file(
    entry: DatasetEntry, file: str, wanted: DatasetFile, scratch: Path
) -> tuple[Path, str]:
    given = os.environ.get("SLIPWAY_DATASETS")
    if given and (own := Path(given) / entry.name / file).is_file():
        if problem := fault(own, wanted):
            raise DatasetUnavailable(f"{own} ($SLIPWAY_DATASETS): {problem}")
        return own, "$SLIPWAY_DATASETS"
    cached = cached_path(file, wanted)
    cached.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(cached.parent / ".lock"):
        if cached.is_file():
            problem = fault(cached, wanted)
            if problem is None:
                return cached, "cache"
            print(f"{entry.name}: cached {file} is damaged ({problem}), fetched again", flush=True)
            cached.unlink()
        return cached, _from_sources(entry, file, wanted, scratch)


def _from_sources(entry: DatasetEntry, file: str, wanted: DatasetFile, scratch: Path) -> str:
    cached = cached_path(file, wanted)
    partial = cached.with_name(f"{cached.name}.part")
    said = []
    for source in wanted.sources:
        origin = f"{source.kind} {source.locator}"
        print(f"{entry.name}: {file} from {origin}", flush=True)
        try:
            found = obtain(source, scratch, partial=partial)
            problem = fault(found, wanted)
        except SourceFault as error:
            problem = str(error)
        if problem is None:
            settled = scratch / "settled"
            shutil.copyfile(found, settled)
            os.replace(settled, cached)
        # A download cut short is kept, to go on from there; one that is whole has had its use.
        if partial.exists() and (problem is None or partial.stat().st_size >= wanted.bytes):
            partial.unlink()
        if problem is None:
            return origin
        said.append(f"  {origin}: {problem}")
    raise DatasetUnavailable(
        f"data set {entry.name}: {file} could not be had\n"
        + "\n".join(said)
        + f"\nDownload it from {entry.home} yourself, name the folder in $SLIPWAY_DATASETS and put "
        f"it there as {entry.name}/{file} ({wanted.bytes} bytes, sha256 {wanted.sha256})."
    )
