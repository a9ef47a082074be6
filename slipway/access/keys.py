"""API keys: administrators create, rotate and revoke them; servers verify them."""

import hashlib
import hmac
import math
import os
import re
import secrets
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Annotated, Self

from filelock import FileLock
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from slipway.access.scopes import Scope
from slipway.files import replace_text
from slipway.keyring import keys_file

# The last character of the secret has two unused bits. The text is hashed, not the bytes that it
# encodes, so that exactly one text is valid.
FORM = re.compile(rb"slw_([0-9a-f]{8})_([A-Za-z0-9_-]{43})")
DAY = 86_400
LONGEST_DAYS = 36_500
RELOAD_SECONDS = 0.5
MAX_VERIFIED = 10_000
NO_HASH = "0" * 64

Id = Annotated[str, Field(pattern="^[0-9a-f]{8}$")]
Moment = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class KeyFault(Exception):
    """Raised if a key cannot be created or changed; the message says why."""


class NoKey(Exception):
    """Raised if the caller presented no key."""


class BadKey(Exception):
    """Raised for a malformed, unknown, expired or revoked key; one message, to prevent probing."""


class MissingScope(Exception):
    """Raised if the key is valid but lacks the scope."""


class Key(BaseModel):
    """The stored fields of a key. Times are Unix seconds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: Id
    name: Annotated[str, Field(pattern="^[A-Za-z0-9][A-Za-z0-9 ._@-]{0,63}$")]
    # SHA-256 of the secret. Slow hashes (scrypt, Argon2) protect passwords, of which people choose
    # few. These secrets are 256 random bits: at 10^12 guesses per second, finding one takes some
    # 10^57 years, and a slow hash would cost the server 50 ms for each new caller.
    hash: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    scopes: Annotated[tuple[Scope, ...], Field(min_length=1)]
    rate: Annotated[float, Field(gt=0, le=1e6)] | None = None
    """Requests per second; None is no limit."""
    burst: Annotated[float, Field(ge=1, le=1e9)] | None = None
    """Requests at the same time after a pause; None is the requests of one second, at least one."""
    created: Moment
    expires: Moment | None = None
    replaced_by: Id | None = None
    grace_until: Moment | None = None
    """Time until which a rotated key is valid."""
    revoked: Moment | None = None

    @field_validator("scopes")
    @classmethod
    def _deduplicate(cls, scopes: tuple[Scope, ...]) -> tuple[Scope, ...]:
        return tuple(scope for scope in Scope if scope in scopes)

    @model_validator(mode="after")
    def _check_consistency(self) -> Self:
        if self.burst is not None and self.rate is None:
            raise ValueError("burst needs a rate")
        if (self.replaced_by is None) != (self.grace_until is None):
            raise ValueError("replaced_by and grace_until go together")
        return self

    @cached_property
    def ends(self) -> float:
        """Unix time from which the key is refused; infinite if none is set."""
        ends = (self.expires, self.grace_until, self.revoked)
        return min((each for each in ends if each is not None), default=math.inf)

    def state(self) -> str:
        """Return `valid`, `replaced` (rotated, in its grace period), `revoked` or `expired`."""
        now = time.time()
        if self.revoked is not None and now >= self.revoked:
            return "revoked"
        if now >= self.ends:
            return "expired"
        return "replaced" if self.replaced_by else "valid"


class _KeysFile(BaseModel):
    """The content of keys.json."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    keys: tuple[Key, ...] = ()

    @model_validator(mode="after")
    def _check_ids(self) -> Self:
        if len({key.id for key in self.keys}) != len(self.keys):
            raise ValueError("two keys have the same id")
        return self


def create(
    name: str,
    scopes: Iterable[str],
    rate: float | None = None,
    burst: float | None = None,
    days: float | None = None,
    *,
    file: Path | None = None,
) -> tuple[Key, str]:
    """Create a key; return it and its text, which is not stored.

    `file` is where to store the key; by default `keys_file()`.

    Raises:
        KeyFault: a value is out of range, or keys.json is damaged.
    """
    if days is not None and not 0 < days <= LONGEST_DAYS:
        raise KeyFault(f"days: must be over 0 and at most {LONGEST_DAYS}, got {days}")
    with _open_for_update(file) as keys:
        lifetime = None if days is None else days * DAY
        key, text = _generate(
            keys, name=name, scopes=tuple(scopes), rate=rate, burst=burst, lifetime=lifetime
        )
        keys[key.id] = key
    return key, text


def rotate(id: str, grace_seconds: float) -> tuple[Key, str]:
    """Create a successor of a key; the old key stays valid for the grace period.

    Returns the successor and its text. If the old key expires, the successor has the same lifetime,
    counted from now. In the grace period each of the two has the full rate.

    Raises:
        KeyFault: there is no such key, it is no longer valid, or it was already rotated.
    """
    if not 0 <= grace_seconds <= LONGEST_DAYS * DAY:
        raise KeyFault(f"grace: must be 0 seconds or more, got {grace_seconds}")
    with _open_for_update() as keys:
        old = _find(keys, id)
        if old.replaced_by is not None:
            raise KeyFault(f"key {id} was already rotated: rotate its successor {old.replaced_by}")
        if old.state() != "valid":
            raise KeyFault(f"key {id} is {old.state()}: create a new one")
        key, text = _generate(
            keys,
            name=old.name,
            scopes=old.scopes,
            rate=old.rate,
            burst=old.burst,
            lifetime=None if old.expires is None else old.expires - old.created,
        )
        ended = {"replaced_by": key.id, "grace_until": time.time() + grace_seconds}
        keys[id] = Key.model_validate({**old.model_dump(), **ended})
        keys[key.id] = key
    return key, text


def revoke(id: str) -> Key:
    """Revoke a key; servers refuse it within a second. A second call keeps the time of the first.

    Raises:
        KeyFault: there is no such key, or keys.json is damaged.
    """
    with _open_for_update() as keys:
        old = _find(keys, id)
        if old.revoked is None:
            keys[id] = Key.model_validate({**old.model_dump(), "revoked": time.time()})
        return keys[id]


def list_keys() -> list[Key]:
    """Return all keys, also invalid ones, oldest first.

    Raises:
        KeyFault: keys.json is damaged.
    """
    return sorted(_read(keys_file()).values(), key=lambda key: key.created)


class Keyring:
    """The keys that a server accepts; it reloads the file when that changes.

    A missing file counts as a file without keys. If the file cannot be read, `fault` says why, and
    the keys that were last read stay valid until it is repaired.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self.fault: str | None = None
        self._state = _State({})
        self._seen: tuple[int, ...] | None = None
        self._reload()

    def authenticate(self, text: bytes | str | None) -> Key:
        """Return the key with this text; 0.3 microseconds for one that was presented before.

        Raises:
            NoKey: the text is None.
            BadKey: the text is not that of a valid key.
        """
        if time.monotonic() >= self._reload_at:
            self._reload()
        if text is None:
            raise NoKey("no API key was presented")
        if isinstance(text, str):
            text = text.encode(errors="replace")
        state = self._state
        # Timing reveals nothing: a lookup compares texts only if their keyed 64-bit hashes are
        # equal, and Python draws the key at random in each process.
        known = state.verified.get(text)
        if known is not None and time.time() < known.ends:
            return known
        return _verified(state, text)

    @staticmethod
    def require(key: Key, scope: str, *others: str) -> None:
        """Raise MissingScope if the key has neither the scope nor one of the others."""
        if scope not in key.scopes and not any(other in key.scopes for other in others):
            raise MissingScope(
                f"key {key.id} lacks the scope {scope}; it has {', '.join(key.scopes)}"
            )

    def valid(self) -> list[Key]:
        """Return the keys that are valid now."""
        if time.monotonic() >= self._reload_at:
            self._reload()
        now = time.time()
        return [key for key in self._state.keys.values() if now < key.ends]

    def _reload(self) -> None:
        """Read the file if it has changed since it was read last."""
        self._reload_at = time.monotonic() + RELOAD_SECONDS
        try:
            if _stamp(os.stat(self.file)) == self._seen:
                return
            with self.file.open("rb") as stream:
                # The stamp of the open file: another may have replaced it since.
                self._seen = _stamp(os.fstat(stream.fileno()))
                content = stream.read()
            keys = _parsed(self.file, content)
        except FileNotFoundError:
            self._seen, keys = None, {}
        except OSError as error:
            self._seen, self.fault = None, f"{self.file} cannot be read: {error.strerror}"
            return
        except KeyFault as error:
            self.fault = str(error)
            return
        self._state, self.fault = _State({key.id.encode(): key for key in keys.values()}), None


@dataclass(frozen=True, slots=True)
class _State:
    """Keys by id, and verified keys by text. A change of the file replaces both together."""

    keys: dict[bytes, Key]
    verified: dict[bytes, Key] = field(default_factory=dict)


def _verified(state: _State, text: bytes) -> Key:
    parts = FORM.fullmatch(text)
    if parts is None:
        raise BadKey("the API key is not valid")
    key = state.keys.get(parts[1])
    # For an unknown id, too, the secret is hashed and compared, so that it takes as long.
    presented = hashlib.sha256(parts[2]).hexdigest()
    same = hmac.compare_digest(presented, NO_HASH if key is None else key.hash)
    if key is None or not same or time.time() >= key.ends:
        state.verified.pop(text, None)
        raise BadKey("the API key is not valid")
    if len(state.verified) >= MAX_VERIFIED:
        state.verified.clear()
    state.verified[text] = key
    return key


def _generate(
    keys: dict[str, Key],
    *,
    name: str,
    scopes: tuple[str, ...],
    rate: float | None,
    burst: float | None,
    lifetime: float | None,
) -> tuple[Key, str]:
    """Return a random key with an unused id, and its text."""
    id = secrets.token_hex(4)
    while id in keys:
        id = secrets.token_hex(4)
    secret, now = secrets.token_urlsafe(32), time.time()
    values = {
        "id": id,
        "name": name,
        "hash": hashlib.sha256(secret.encode()).hexdigest(),
        "scopes": scopes,
        "rate": rate,
        "burst": burst,
        "created": now,
        "expires": None if lifetime is None else now + lifetime,
    }
    try:
        return Key.model_validate(values), f"slw_{id}_{secret}"
    except ValidationError as error:
        raise KeyFault(_describe(error)) from None


def _find(keys: dict[str, Key], id: str) -> Key:
    # A malformed id is not repeated: it may be the text of a key, and messages are stored.
    if not re.fullmatch("[0-9a-f]{8}", id):
        raise KeyFault("an id is 8 hexadecimal digits; `slipway keys list` shows them")
    if id not in keys:
        raise KeyFault(f"there is no key {id}; `slipway keys list` shows them")
    return keys[id]


@contextmanager
def _open_for_update(file: Path | None = None) -> Iterator[dict[str, Key]]:
    """Yield the keys by id, and write them back if the block succeeds; only the owner may read."""
    file = file or keys_file()
    file.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(file.with_name("keys.lock")):
        keys = _read(file)
        yield keys
        text = _KeysFile(keys=tuple(keys.values())).model_dump_json(indent=1)
        replace_text(file, text, mode=0o600)


def _read(file: Path) -> dict[str, Key]:
    try:
        return _parsed(file, file.read_bytes())
    except FileNotFoundError:
        return {}


def _parsed(file: Path, content: bytes) -> dict[str, Key]:
    """Return the keys by id; raise KeyFault if the content is damaged."""
    try:
        return {key.id: key for key in _KeysFile.model_validate_json(content).keys}
    except ValidationError as error:
        raise KeyFault(f"{file} is damaged, restore a copy: {_describe(error)}") from None


def _describe(error: ValidationError) -> str:
    """Return the first invalid field and why, without its value."""
    fault = error.errors(include_url=False, include_context=False, include_input=False)[0]
    return ": ".join(filter(None, (".".join(map(str, fault["loc"])), fault["msg"])))


def _stamp(status: os.stat_result) -> tuple[int, ...]:
    """Return what changes with every update, since an update replaces the file."""
    return (status.st_ino, status.st_mtime_ns, status.st_size)
