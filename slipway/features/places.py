"""Where the feature store lies: a folder in Slipway's home, or a Redis for what is served."""

import os
from pathlib import Path

from slipway import home

REDIS = "SLIPWAY_REDIS_URL"


def repository() -> Path:
    """The definitions."""
    return home.root() / "feature_repo"


def store() -> Path:
    """What is made of them: tables, Feast's registry, the online store unless it is a Redis."""
    return home.home() / "features"


def table(name: str) -> Path:
    """The offline table `name`, as `slipway features build` writes it."""
    return store() / "tables" / f"{name}.parquet"


def registry() -> Path:
    return store() / "registry.db"


def online_file(folder: Path | None = None) -> Path:
    """The online store of a machine on its own."""
    return (folder or store()) / "online.db"


def redis_url() -> str | None:
    """$SLIPWAY_REDIS_URL, `redis://[user:password@]host:port[/database]`; None if it is not set.

    Raises:
        ValueError: it is no such address.
    """
    url = os.environ.get(REDIS)
    if not url:
        return None
    if not url.startswith(("redis://", "rediss://", "unix://")):
        # The value is not repeated: it may hold a password.
        raise ValueError(f"{REDIS} must read redis://host:port, rediss://... or unix://...")
    return url
