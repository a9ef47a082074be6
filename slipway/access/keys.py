"""API keys: made, rotated and revoked by administrators, told apart by the server."""

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

from slipway import home
from slipway.access.scopes import Scope
from slipway.files import replace_text

# The last character of the secret has two spare bits: the text is hashed, not the bytes that it
# stands for, so that exactly one text is right.
FORM = re.compile(rb"slw_([0-9a-f]{8})_([A-Za-z0-9_-]{43})")
DAY = 86_400
LONGEST_DAYS = 36_500
LOOK_SECONDS = 0.5
REMEMBERED = 10_000
NOBODY = "0" * 64

Id = Annotated[str, Field(pattern="^[0-9a-f]{8}$")]
Moment = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class KeyFault(Exception):
    """A key cannot be made or changed; the message says why."""


class NoKey(Exception):
    """The caller presented no key."""


class BadKey(Exception):
    """Malformed, unknown, expired or revoked; one message for all, or callers could probe."""


class MissingScope(Exception):
    """The key is valid but not for this."""


class Key(BaseModel):
    """What is kept of a key; moments are Unix seconds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: Id
    name: Annotated[str, Field(pattern="^[A-Za-z0-9][A-Za-z0-9 ._@-]{0,63}$")]
    # SHA-256 of the secret. Slow hashes (scrypt, Argon2) make guessing a password dear, since
    # people choose among few. These secrets are 256 random bits: at 10^12 guesses a second one
    # is hit after some 10^57 years, and a slow hash would cost the server 50 ms a new caller.
    hash: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    scopes: Annotated[tuple[Scope, ...], Field(min_length=1)]
    rate: Annotated[float, Field(gt=0, le=1e6)] | None = None
    """Requests a second; None is no limit."""
    burst: Annotated[float, Field(ge=1, le=1e9)] | None = None
    """Requests at once after a pause; None is what comes in one second, at least one."""
    created: Moment
    expires: Moment | None = None
    replaced_by: Id | None = None
    grace_until: Moment | None = None
    """Of a rotated key: its last moment."""
    revoked: Moment | None = None

    @field_validator("scopes")
    @classmethod
    def _once_each(cls, scopes: tuple[Scope, ...]) -> tuple[Scope, ...]:
        return tuple(scope for scope in Scope if scope in scopes)

    @model_validator(mode="after")
    def _whole(self) -> Self:
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
        """For people: `valid`, `replaced` (and in grace), `revoked` or `expired`."""
        now = time.time()
        if self.revoked is not None and now >= self.revoked:
            return "revoked"
        if now >= self.ends:
            return "expired"
        return "replaced" if self.replaced_by else "valid"


class _Kept(BaseModel):
    """keys.json."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    keys: tuple[Key, ...] = ()

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        if len({key.id for key in self.keys}) != len(self.keys):
            raise ValueError("two keys have the same id")
        return self


def keys_file() -> Path:
    """$SLIPWAY_KEYRING, where several homes share their keys, else keys.json in the home."""
    return Path(os.environ.get("SLIPWAY_KEYRING") or home.home() / "keys.json")


def create(
    name: str,
    scopes: Iterable[str],
    rate: float | None = None,
    burst: float | None = None,
    days: float | None = None,
    *,
    file: Path | None = None,
) -> tuple[Key, str]:
    """A new key, and its text, which cannot be had again.

    `file` is where it is kept, if not in the caller's own keyring.

    Raises:
        KeyFault: a value is out of range, or keys.json is damaged.
    """
    if days is not None and not 0 < days <= LONGEST_DAYS:
        raise KeyFault(f"days: must be over 0 and at most {LONGEST_DAYS}, got {days}")
    with _writing(file) as keys:
        lifetime = None if days is None else days * DAY
        key, text = _drawn(
            keys, name=name, scopes=tuple(scopes), rate=rate, burst=burst, lifetime=lifetime
        )
        keys[key.id] = key
    return key, text


def rotate(id: str, grace_seconds: float) -> tuple[Key, str]:
    """A new key for the same caller, and its text; the old one stays valid for the grace period.

    A key that expires is followed by one of the same lifetime, counted from now. In the grace
    period each of the two has the full rate.

    Raises:
        KeyFault: there is no such key, it is not valid any more or was rotated already.
    """
    if not 0 <= grace_seconds <= LONGEST_DAYS * DAY:
        raise KeyFault(f"grace: must be 0 seconds or more, got {grace_seconds}")
    with _writing() as keys:
        old = _known(keys, id)
        if old.replaced_by is not None:
            raise KeyFault(f"key {id} was rotated already: rotate its successor {old.replaced_by}")
        if old.state() != "valid":
            raise KeyFault(f"key {id} is {old.state()}: create a new one")
        key, text = _drawn(
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
    """Servers refuse it within a second. Of a key revoked before, the first moment stands.

    Raises:
        KeyFault: there is no such key, or keys.json is damaged.
    """
    with _writing() as keys:
        old = _known(keys, id)
        if old.revoked is None:
            keys[id] = Key.model_validate({**old.model_dump(), "revoked": time.time()})
        return keys[id]


def listed() -> list[Key]:
    """All keys, also those that are not valid any more, oldest first.

    Raises:
        KeyFault: keys.json is damaged.
    """
    return sorted(_read(keys_file()).values(), key=lambda key: key.created)


class Keyring:
    """The keys as a server sees them: follows the file while it runs.

    A missing file is a file without keys. `fault` says what is wrong with one that cannot be
    read; the keys of its last good state stay in force until it is mended.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self.fault: str | None = None
        self._state = _State({})
        self._seen: tuple[int, ...] | None = None
        self._look()

    def authenticate(self, text: bytes | str | None) -> Key:
        """Whose key this is; 0.3 microseconds for one that was presented before.

        Raises:
            NoKey: None was presented.
            BadKey: anything but a valid key.
        """
        if time.monotonic() >= self._look_at:
            self._look()
        if text is None:
            raise NoKey("no API key was presented")
        if isinstance(text, str):
            text = text.encode(errors="replace")
        state = self._state
        # No way to guess by timing: a lookup compares texts only if their keyed 64-bit hashes
        # are equal, and Python draws the key anew in each process.
        known = state.verified.get(text)
        if known is not None and time.time() < known.ends:
            return known
        return _verified(state, text)

    @staticmethod
    def require(key: Key, scope: str) -> None:
        """Raises MissingScope: the key is not for that."""
        if scope not in key.scopes:
            raise MissingScope(
                f"key {key.id} lacks the scope {scope}; it has {', '.join(key.scopes)}"
            )

    def valid(self) -> list[Key]:
        """The keys that are let in now."""
        if time.monotonic() >= self._look_at:
            self._look()
        now = time.time()
        return [key for key in self._state.keys.values() if now < key.ends]

    def _look(self) -> None:
        """Read the file if it is not the one that was read last."""
        self._look_at = time.monotonic() + LOOK_SECONDS
        try:
            if _stamp(os.stat(self.file)) == self._seen:
                return
            with self.file.open("rb") as stream:
                # Of the file that is read: another may have taken its place since.
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
    """Keys by id, and by text those that were presented: gone together when the file changes."""

    keys: dict[bytes, Key]
    verified: dict[bytes, Key] = field(default_factory=dict)


def _verified(state: _State, text: bytes) -> Key:
    parts = FORM.fullmatch(text)
    if parts is None:
        raise BadKey("the API key is not valid")
    key = state.keys.get(parts[1])
    # Of an unknown id too the secret is hashed and compared, so that it takes as long.
    presented = hashlib.sha256(parts[2]).hexdigest()
    same = hmac.compare_digest(presented, NOBODY if key is None else key.hash)
    if key is None or not same or time.time() >= key.ends:
        state.verified.pop(text, None)
        raise BadKey("the API key is not valid")
    if len(state.verified) >= REMEMBERED:
        state.verified.clear()
    state.verified[text] = key
    return key


def _drawn(
    keys: dict[str, Key],
    *,
    name: str,
    scopes: tuple[str, ...],
    rate: float | None,
    burst: float | None,
    lifetime: float | None,
) -> tuple[Key, str]:
    """A key with an id that is not taken, and its text."""
    id = secrets.token_hex(4)
    while id in keys:
        id = secrets.token_hex(4)
    secret, now = secrets.token_urlsafe(32), time.time()
    made = {
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
        return Key.model_validate(made), f"slw_{id}_{secret}"
    except ValidationError as error:
        raise KeyFault(_told(error)) from None


def _known(keys: dict[str, Key], id: str) -> Key:
    # What is no id is not repeated: it may be a key's whole text, and messages are kept.
    if not re.fullmatch("[0-9a-f]{8}", id):
        raise KeyFault("an id is 8 hexadecimal digits; `slipway keys list` shows them")
    if id not in keys:
        raise KeyFault(f"there is no key {id}; `slipway keys list` shows them")
    return keys[id]


@contextmanager
def _writing(file: Path | None = None) -> Iterator[dict[str, Key]]:
    """The keys by id, written back when the block ends well; for the owner's eyes only."""
    file = file or keys_file()
    file.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(file.with_name("keys.lock")):
        keys = _read(file)
        yield keys
        text = _Kept(keys=tuple(keys.values())).model_dump_json(indent=1)
        replace_text(file, text, mode=0o600)


def _read(file: Path) -> dict[str, Key]:
    try:
        return _parsed(file, file.read_bytes())
    except FileNotFoundError:
        return {}


def _parsed(file: Path, content: bytes) -> dict[str, Key]:
    """Raises KeyFault: this is not what `_writing` writes."""
    try:
        return {key.id: key for key in _Kept.model_validate_json(content).keys}
    except ValidationError as error:
        raise KeyFault(f"{file} is damaged, bring back a copy: {_told(error)}") from None


def _told(error: ValidationError) -> str:
    """Which field and what of it, without its value."""
    fault = error.errors(include_url=False, include_context=False, include_input=False)[0]
    return ": ".join(filter(None, (".".join(map(str, fault["loc"])), fault["msg"])))


def _stamp(status: os.stat_result) -> tuple[int, ...]:
    """Changes with every writing, which makes a new file."""
    return (status.st_ino, status.st_mtime_ns, status.st_size)
