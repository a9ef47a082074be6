"""The keys with which what `make up` starts, and whoever uses it, calls MLflow."""

from collections.abc import Mapping
from pathlib import Path

from slipway import home
from slipway.access.callers import ensure_key
from slipway.access.scopes import Scope


def mlflow_address() -> str:
    return f"http://{home.LOOPBACK}:{home.port('mlflow')}"


def key_file() -> Path:
    """Return the file of the key for people: it may change the registry."""
    return home.home() / "registry-key"


def read_key_file() -> Path:
    """Return the file of the services' key, which only reads."""
    return home.home() / "registry-read-key"


def ensure() -> None:
    """Create the keys where they are missing, or no longer accepted."""
    ensure_key(key_file(), "make up", [Scope.REGISTRY])
    ensure_key(read_key_file(), "services of make up", [Scope.REGISTRY_READ])


def with_token(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a service, with the key if it reads this machine's MLflow."""
    found = dict(environment)
    if found.get("MLFLOW_TRACKING_URI") == mlflow_address():
        found["MLFLOW_TRACKING_TOKEN"] = read_key_file().read_text()
    return found
