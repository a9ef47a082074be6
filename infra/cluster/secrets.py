"""The secrets that a new cluster needs, as files that become Secrets.

    keys.json      the services' keyring: hashes of all API keys
    callers.env    the keys that Prometheus, Alertmanager, the services and training send
    database.env   the password of MLflow's database, and its URI
    signing-key    the private key with which training signs the versions that it registers
    trusted-keys   its public key, by which the services verify them

The folder is a Slipway home of its own: `SLIPWAY_HOME=FOLDER slipway keys create ...` adds keys for
people and programs.
"""

import secrets
from collections.abc import Mapping
from pathlib import Path

from slipway.access import keys
from slipway.access.scopes import Scope
from slipway.files import replace_text
from slipway.registry import signatures

KEYRING, CALLERS, DATABASE = "keys.json", "callers.env", "database.env"
SIGNING, TRUSTED = "signing-key", "trusted-keys"
# Owner and scope of each key, by the variable that the manifests read it from.
WANTED = {
    "METRICS_KEY": ("prometheus", Scope.METRICS),
    "TRAIN_KEY": ("alerts", Scope.TRAIN),
    "REGISTRY_KEY": ("training", Scope.REGISTRY),
    "REGISTRY_READ_KEY": ("services", Scope.REGISTRY_READ),
}


class SecretsExist(Exception):
    """Raised instead of overwriting secrets that are in use."""


def write(folder: Path) -> list[Path]:
    """Generate the secrets and write all files, readable by their owner only.

    Raises:
        SecretsExist: one of the files exists.
    """
    names = (KEYRING, CALLERS, DATABASE, SIGNING, TRUSTED)
    files = [folder / name for name in names]
    if found := [str(file) for file in files if file.exists()]:
        raise SecretsExist(f"{', '.join(found)} exists: its content would be lost; delete it first")
    folder.mkdir(parents=True, exist_ok=True)
    created = {
        variable: keys.create(name, [scope], file=folder / KEYRING)[1]
        for variable, (name, scope) in WANTED.items()
    }
    _write(folder / CALLERS, created)
    signatures.make_key(folder / SIGNING, folder / TRUSTED)
    password = drawn_password()
    _write(folder / DATABASE, {"password": password, "uri": database_uri(password)})
    return files


def drawn_password() -> str:
    """Return 192 random bits, in characters that need no escaping in a URI."""
    return secrets.token_urlsafe(24)


def database_uri(password: str) -> str:
    """Return the URI of MLflow's database, which runs beside MLflow."""
    return f"postgresql://mlflow:{password}@postgres:5432/mlflow"


def _write(file: Path, values: Mapping[str, str]) -> None:
    replace_text(file, "".join(f"{name}={text}\n" for name, text in values.items()), mode=0o600)
