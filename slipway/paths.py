"""Where Slipway's checkout is, and where it keeps what it makes; each moved by a variable."""

import os
from pathlib import Path


def root() -> Path:
    """Return the repository: the nearest folder above here, or above this file, with `pipelines`.

    Raises:
        FileNotFoundError: neither lies in a Slipway repository.
    """
    for start in (Path.cwd(), Path(__file__).resolve()):
        for folder in (start, *start.parents):
            if (folder / "pipelines").is_dir() and (folder / "pyproject.toml").is_file():
                return folder
    raise FileNotFoundError(f"{Path.cwd()} is not inside a Slipway repository")


def home() -> Path:
    """Return the folder of the registry, artifacts, logs and promotion log: $SLIPWAY_HOME."""
    return Path(os.environ.get("SLIPWAY_HOME") or root() / ".slipway").absolute()


def cache() -> Path:
    """Return the folder of downloaded data sets, shared by all checkouts: $SLIPWAY_CACHE."""
    return Path(os.environ.get("SLIPWAY_CACHE") or Path.home() / ".cache" / "slipway").absolute()


def mirror() -> Path:
    """Return a folder of data set files by name, for machines without internet: $SLIPWAY_MIRROR."""
    return Path(os.environ.get("SLIPWAY_MIRROR") or root().parent / "shared" / "data" / "mirror")
