"""The file of the services' keys, beside which lie the keys that they trust."""

import os
from pathlib import Path

from slipway import paths


def keys_file() -> Path:
    """Return $SLIPWAY_KEYRING, for homes that share their keys, else keys.json in the home."""
    return Path(os.environ.get("SLIPWAY_KEYRING") or paths.home() / "keys.json")
