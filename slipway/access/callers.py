"""Keys that our own programs send to each other: files, created where needed."""

from collections.abc import Iterable
from pathlib import Path

from slipway.access import keys
from slipway.access.keys import BadKey, Keyring, NoKey
from slipway.files import replace_text
from slipway.keyring import keys_file


def ensure_key(file: Path, name: str, scopes: Iterable[str], *, mode: int = 0o600) -> bool:
    """Write a key to `file`, unless it has one that the keyring accepts; return whether it did.

    A key that the keyring does not accept (any more) is replaced: the keyring may come from a
    backup.

    Raises:
        KeyFault: the keyring is damaged.
    """
    if file.is_file() and _is_accepted(file.read_text()):
        return False
    replace_text(file, keys.create(name, scopes)[1], mode=mode)
    return True


def _is_accepted(text: str) -> bool:
    try:
        Keyring(keys_file()).authenticate(text)
    except (BadKey, NoKey):
        return False
    return True
