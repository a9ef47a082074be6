"""The folders of Slipway: repository, home, cache and mirror; variables can move the last three."""

import os
from pathlib import Path


def root() -> Path:
    """Return the repository that contains the current folder, or else the one of this file.

    Raises:
        FileNotFoundError: neither is inside a Slipway repository.
    """
    for start in (Path.cwd(), Path(__file__).resolve()):
        for folder in (start, *start.parents):
            if (folder / "pipelines").is_dir() and (folder / "pyproject.toml").is_file():
                return folder
    raise FileNotFoundError(f"{Path.cwd()} is not inside a Slipway repository")


def home() -> Path:
    """Return $SLIPWAY_HOME, the folder of the registry, artifacts, logs and promotion log."""
    return Path(os.environ.get("SLIPWAY_HOME") or root() / ".slipway").absolute()


def cache() -> Path:
    """Return $SLIPWAY_CACHE, the folder of downloaded data sets, shared by all checkouts."""
    return Path(os.environ.get("SLIPWAY_CACHE") or Path.home() / ".cache" / "slipway").absolute()


def mirror() -> Path:
    """Return $SLIPWAY_MIRROR, a folder of data set files for machines without internet."""
    return Path(os.environ.get("SLIPWAY_MIRROR") or root().parent / "shared" / "data" / "mirror")
