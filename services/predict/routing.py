"""Chooses the version for a request: the champion, or the challenger for a share of the keys."""

import random
from hashlib import blake2b

from pydantic_core import from_json

from services.predict.loaded_model import LoadedModel
from services.predict.model_store import ServedProject
from slipway.policy import CHALLENGER, CHAMPION, SHADOW

KEY_HEADER = b"slipway-key"


def choose(served: ServedProject, headers: dict[bytes, bytes], body: bytes) -> LoadedModel:
    """Return the model that should respond."""
    models, policy = served.models, served.policy
    if policy.challenger and CHALLENGER in models:
        key = headers.get(KEY_HEADER) or _key_field(policy.key, body)
        draw = share(served.name, policy.salt, key) if key else random.random()
        if draw * 100 < policy.challenger:
            return models[CHALLENGER]
    return models[CHAMPION]


def share(project: str, salt: str, key: bytes) -> float:
    """Return the place of a key between 0 and 1, the same in every process at any time.

    Raising the challenger's percentage keeps the keys that it already has.
    """
    text = b"\0".join((project.encode(), salt.encode(), key))
    return int.from_bytes(blake2b(text, digest_size=8).digest(), "big") / 2**64


def _key_field(field: str | None, body: bytes) -> bytes | None:
    """Return the policy's key field of the first record; the body is not validated yet."""
    if field is None:
        return None
    try:
        record = from_json(body)
    except ValueError:
        return None
    if isinstance(record, list):
        record = record[0] if record else None
    value = record.get(field) if isinstance(record, dict) else None
    return None if value is None or isinstance(value, list | dict) else str(value).encode()


def choose_shadow(served: ServedProject) -> LoadedModel | None:
    """Return the shadow, if this request is in the share that is mirrored to it."""
    percent = served.policy.shadow
    if not percent or (percent < 100 and random.random() * 100 >= percent):
        return None
    return served.models.get(SHADOW)
