"""Paths of the feature store in Slipway's home, and the address of its Redis."""

import os
from pathlib import Path

from slipway import home

REDIS = "SLIPWAY_REDIS_URL"


def repository() -> Path:
    """Return the folder of the feature definitions."""
    return home.root() / "feature_repo"


def store() -> Path:
    """Return the folder of the tables, Feast's registry and, without Redis, the online store."""
    return home.home() / "features"


def table(name: str) -> Path:
    """Return the file of the offline table `name`, which `slipway features build` writes."""
    return store() / "tables" / f"{name}.parquet"


def registry() -> Path:
    """Return the file of Feast's registry."""
    return store() / "registry.db"


def online_file(folder: Path | None = None) -> Path:
    """Return the file of the SQLite online store."""
    return (folder or store()) / "online.db"


def redis_url() -> str | None:
    """Return $SLIPWAY_REDIS_URL, `redis://[user:password@]host:port[/database]`, or None.

    Raises:
        ValueError: the value is not such an address.
    """
    url = os.environ.get(REDIS)
    if not url:
        return None
    if not url.startswith(("redis://", "rediss://", "unix://")):
        # The message does not contain the value, which may hold a password.
        raise ValueError(f"{REDIS} must be redis://host:port, rediss://... or unix://...")
    return url
