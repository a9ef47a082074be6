"""Paths of the feature store in Slipway's home, and the address of its Redis."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from slipway import home
from slipway.features.tables import TIME

if TYPE_CHECKING:
    from feast import FileSource

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


def source(name: str) -> "FileSource":
    """Return the offline table `name` as the source of feature views."""
    from feast import FileSource

    return FileSource(name=name, path=str(table(name)), timestamp_field=TIME)


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
