"""Fetch data sets: verified, atomic, and shared between processes and checkouts.

A file is looked for in this order: `$SLIPWAY_DATASETS/<data set>/<file>`, the cache, then the
file's sources in the order of the catalogue. A file with a wrong size or hash is never used.
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
    """Raised when no source provides a file; the message lists each error and says what to do."""


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def fault(path: Path, wanted: DatasetFile) -> str | None:
    """Return what is wrong with the file at `path`, or None."""
    size = path.stat().st_size
    if size != wanted.bytes:
        return f"{size} bytes where {wanted.bytes} are expected"
    found = sha256(path)
    if found != wanted.sha256:
        return f"sha256 {found[:12]}... where {wanted.sha256[:12]}... is expected"
    return None


def fetch(name: str) -> Dataset:
    """Fetch the data set `name` and verify every file.

    Raises:
        KeyError: the catalogue has no such data set.
        DatasetUnavailable: no source provides a file.
    """
    entry = catalogue.entry(name)
    downloads = paths.cache() / "datasets"
    downloads.mkdir(parents=True, exist_ok=True)
    files, origins = {}, {}
    # On the same file system as the cache, so that the last step for each file is an atomic rename.
    with tempfile.TemporaryDirectory(dir=downloads, prefix=".fetch-") as scratch:
        for file, wanted in entry.files.items():
            files[file], origins[file] = _fetch_file(entry, file, wanted, Path(scratch))
    return Dataset(entry, files, origins)


def cached_path(file: str, wanted: DatasetFile) -> Path:
    """Return where the cache keeps the file."""
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
    problems = []
    for source in wanted.sources:
        origin = f"{source.kind} {source.locator}"
        print(f"{entry.name}: {file} from {origin}", flush=True)
        try:
            obtained = obtain(source, scratch, partial=partial)
            problem = fault(obtained, wanted)
        except SourceFault as error:
            problem = str(error)
        if problem is None:
            complete = scratch / "settled"
            shutil.copyfile(obtained, complete)
            os.replace(complete, cached)
        # An interrupted download is kept, to be resumed; a complete one is no longer needed.
        if partial.exists() and (problem is None or partial.stat().st_size >= wanted.bytes):
            partial.unlink()
        if problem is None:
            return origin
        problems.append(f"  {origin}: {problem}")
    raise DatasetUnavailable(
        f"data set {entry.name}: no source provides {file}\n"
        + "\n".join(problems)
        + f"\nDownload it from {entry.home} yourself, and store it in the folder $SLIPWAY_DATASETS "
        f"as {entry.name}/{file} ({wanted.bytes} bytes, sha256 {wanted.sha256})."
    )
