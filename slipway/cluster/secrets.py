"""The secrets that a cluster begins with, as files that become Secrets.

    keys.json      what the services know of all keys: their hashes
    callers.env    the keys that Prometheus, the monitor and Alertmanager present
    database.env   the password of MLflow's database, and the address with it

The folder is a Slipway home of its own: `SLIPWAY_HOME=FOLDER slipway keys create ...` adds keys for
people and programs.
"""

import secrets
from collections.abc import Mapping
from pathlib import Path

from slipway.access import keys
from slipway.access.scopes import Scope
from slipway.files import replace_text

KEYRING, CALLERS, DATABASE = "keys.json", "callers.env", "database.env"
# Whose key it is, by the variable that the manifests take it from.
WANTED = {
    "METRICS_KEY": ("prometheus", Scope.METRICS),
    "TRAIN_KEY": ("alerts", Scope.TRAIN),
}


class SecretsExist(Exception):
    """Secrets that are in use would be lost."""


def write(folder: Path) -> list[Path]:
    """Draw the secrets and write all files, for their owner's eyes only.

    Raises:
        SecretsExist: one of the files is there.
    """
    files = [folder / KEYRING, folder / CALLERS, folder / DATABASE]
    if found := [str(file) for file in files if file.exists()]:
        raise SecretsExist(f"{', '.join(found)} exists: its content would be lost; delete it first")
    folder.mkdir(parents=True, exist_ok=True)
    made = {
        variable: keys.create(name, [scope], file=folder / KEYRING)[1]
        for variable, (name, scope) in WANTED.items()
    }
    _write(folder / CALLERS, made)
    password = drawn_password()
    _write(folder / DATABASE, {"password": password, "uri": database_uri(password)})
    return files


def drawn_password() -> str:
    """192 random bits, in characters that stand for themselves in an address."""
    return secrets.token_urlsafe(24)


def database_uri(password: str) -> str:
    """Of MLflow's database, where it runs beside MLflow."""
    return f"postgresql://mlflow:{password}@postgres:5432/mlflow"


def _write(file: Path, values: Mapping[str, str]) -> None:
    replace_text(file, "".join(f"{name}={text}\n" for name, text in values.items()), mode=0o600)
