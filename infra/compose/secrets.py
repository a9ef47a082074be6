"""The passwords and keys that a new stack needs: generated once, then kept."""

from collections.abc import Callable
from pathlib import Path

from infra.cluster.secrets import WANTED, database_uri, drawn_password
from infra.compose import places
from slipway.access.callers import ensure_key
from slipway.files import replace_text
from slipway.registry import signatures

# The folder of each caller's key.
CALLERS = {
    "METRICS_KEY": places.PROMETHEUS,
    "TRAIN_KEY": places.ALERTMANAGER,
    "REGISTRY_KEY": places.REGISTRY,
    "REGISTRY_READ_KEY": places.REGISTRY_READ,
}


def prepare(place: Path) -> list[str]:
    """Generate the missing secrets below `place`; returns a description of each, never a secret.

    A caller's key that the keyring does not accept (any more) is replaced: the keyring may come
    from a backup.
    """
    for name in places.FOLDERS:
        (place / name).mkdir(parents=True, exist_ok=True)
    return [
        *_password(place / places.DATABASE, "password", {"uri": database_uri}),
        *_password(place / places.REDIS, "password", {"url": _redis_url, "redis.conf": _redis}),
        *_password(place / places.GRAFANA, "password", {}),
        *_callers(place),
        *_signing(place),
    ]


def _redis_url(password: str) -> str:
    return f"redis://:{password}@redis:6379/0"


def _redis(password: str) -> str:
    return f"requirepass {password}\n"


def _password(folder: Path, name: str, derived: dict[str, Callable[[str], str]]) -> list[str]:
    """Write the password to a file, and in other forms to the derived files."""
    file, drawn = folder / name, not (folder / name).is_file()
    if drawn:
        _write(file, drawn_password())
    password = file.read_text()
    for other, form in derived.items():
        _write(folder / other, form(password))
    return [f"{folder.name}: password"] if drawn else []


def _callers(place: Path) -> list[str]:
    drawn = []
    for variable, folder in CALLERS.items():
        file = place / folder / places.KEY
        name, scope = WANTED[variable]
        if ensure_key(file, name, [scope], mode=places.READABLE):
            drawn.append(f"{folder}: API key of scope {scope}")
    return drawn


def _signing(place: Path) -> list[str]:
    """Make the key that signs versions; keys that signed earlier ones stay trusted."""
    file = place / places.SIGNING / places.SIGNING_KEY
    made = signatures.make_key(file, signatures.trusted_keys_file())
    return [f"{places.SIGNING}: key that signs versions"] if made else []


def _write(file: Path, text: str) -> None:
    replace_text(file, text, mode=places.READABLE)
