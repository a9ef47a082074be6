"""The API keys that a cluster begins with, as files that become Secrets.

    keys.json     what the services know of all keys: their hashes
    callers.env   the keys that Prometheus, the monitor and Alertmanager present

The folder is a Slipway home of its own: `SLIPWAY_HOME=FOLDER slipway keys create ...` adds keys for
people and programs.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from slipway.access import keys
from slipway.access.scopes import Scope

KEYRING, CALLERS = "keys.json", "callers.env"
# Whose key it is, by the variable that the manifests take it from.
WANTED = {
    "METRICS_KEY": ("prometheus", Scope.METRICS),
    "TRAIN_KEY": ("alerts", Scope.TRAIN),
}


class SecretsExist(Exception):
    """Keys that are in use would be lost."""


def write(folder: Path) -> list[Path]:
    """Make the keys and both files, for their owner's eyes only.

    Raises:
        SecretsExist: one of the files is there.
    """
    files = [folder / KEYRING, folder / CALLERS]
    if found := [str(file) for file in files if file.exists()]:
        raise SecretsExist(f"{', '.join(found)} exists: its keys would be lost; delete it first")
    folder.mkdir(parents=True, exist_ok=True)
    with _home(folder):
        made = {
            variable: keys.create(name, [scope])[1] for variable, (name, scope) in WANTED.items()
        }
    handle = os.open(folder / CALLERS, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(handle, "w") as stream:
        stream.writelines(f"{variable}={text}\n" for variable, text in made.items())
    return files


@contextmanager
def _home(folder: Path) -> Iterator[None]:
    before = os.environ.get("SLIPWAY_HOME")
    os.environ["SLIPWAY_HOME"] = str(folder.absolute())
    try:
        yield
    finally:
        if before is None:
            del os.environ["SLIPWAY_HOME"]
        else:
            os.environ["SLIPWAY_HOME"] = before
