"""Which version answers a request: the champion, or the challenger for a share of the keys."""

import random
from hashlib import blake2b

from pydantic_core import from_json

from services.predict.fleet import Served
from services.predict.unit import Unit
from slipway.policy import CHALLENGER, CHAMPION, SHADOW

KEY_HEADER = b"slipway-key"


def choose(served: Served, headers: dict[bytes, bytes], body: bytes) -> Unit:
    """The unit that should answer."""
    units, policy = served.units, served.policy
    if policy.challenger and CHALLENGER in units:
        key = headers.get(KEY_HEADER) or _named(policy.key, body)
        draw = share(served.name, policy.salt, key) if key else random.random()
        if draw * 100 < policy.challenger:
            return units[CHALLENGER]
    return units[CHAMPION]


def share(project: str, salt: str, key: bytes) -> float:
    """Where the key lies from 0 to 1, the same in every process and at every time.

    Raising a percentage keeps the keys that are with the challenger already.
    """
    text = b"\0".join((project.encode(), salt.encode(), key))
    return int.from_bytes(blake2b(text, digest_size=8).digest(), "big") / 2**64


def _named(field: str | None, body: bytes) -> bytes | None:
    """The value of the policy's key field, of the first record; the body is not validated yet."""
    if field is None:
        return None
    try:
        found = from_json(body)
    except ValueError:
        return None
    if isinstance(found, list):
        found = found[0] if found else None
    value = found.get(field) if isinstance(found, dict) else None
    return None if value is None or isinstance(value, list | dict) else str(value).encode()


def shadowed(served: Served) -> Unit | None:
    """The unit that is asked as well, if this request is among its share."""
    percent = served.policy.shadow
    if not percent or (percent < 100 and random.random() * 100 >= percent):
        return None
    return served.units.get(SHADOW)
