"""Checks API keys, their scopes and their rate limits."""

from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum

from services.settings import Settings
from services.web.problem import Problem
from slipway import home
from slipway.access.keys import BadKey, Key, Keyring, MissingScope, NoKey
from slipway.access.limits import Limiter
from slipway.access.scopes import Scope
from slipway.keyring import keys_file

BEARER = b"bearer "


class Refusal(StrEnum):
    """The reason why a request was refused."""

    KEY = "key"
    SCOPE = "scope"
    RATE = "rate"


class Unguarded(Exception):
    """Raised when a service would be reachable from the network without any API key."""


class Guard:
    """Admits requests by API key.

    By default, requests on loopback need no key; a key sent there is checked all the same.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        closed: Iterable[Scope] = (),
        on_refusal: Callable[[Refusal], None] = lambda reason: None,
    ) -> None:
        """Read the keys.

        Args:
            closed: scopes that need a key on loopback as well.
            on_refusal: called with the reason of each refused request.
        """
        self.keyring = Keyring(keys_file())
        self.limiter = Limiter(home.home())
        self.open = home.on_loopback(settings.host) and not settings.require_keys
        self.closed = frozenset(closed)
        self.on_refusal = on_refusal

    def admit(self, headers: Mapping[bytes, bytes], scope: str, *others: str) -> Key | None:
        """Return the caller's key, or None if the request needs no key.

        The key has `scope`, or one of the others.

        Raises:
            Problem: 401, 403 or 429.
        """
        text = headers.get(b"authorization")
        if text is None:
            text = headers.get(b"x-api-key")
            if text is None and self.open and scope not in self.closed:
                return None
        elif text[:7].lower() == BEARER:
            text = text[7:].strip()
        try:
            key = self.keyring.authenticate(text)
            self.keyring.require(key, scope, *others)
        except NoKey:
            detail = "send it as `Authorization: Bearer KEY` or `X-API-Key: KEY`"
            raise self._refused(Refusal.KEY, Problem(401, "API key needed", detail)) from None
        except BadKey:
            detail = "the API key is not valid"
            raise self._refused(Refusal.KEY, Problem(401, "API key refused", detail)) from None
        except MissingScope as missing:
            raise self._refused(Refusal.SCOPE, Problem(403, "Not allowed", str(missing))) from None
        if wait := self.limiter.take(key):
            detail = f"key {key.id} may make {key.rate:g} requests a second"
            problem = Problem(429, "Too many requests", detail, retry_seconds=wait)
            raise self._refused(Refusal.RATE, problem)
        return key

    def _refused(self, reason: Refusal, problem: Problem) -> Problem:
        self.on_refusal(reason)
        return problem


def named(key: Key | None) -> str:
    """Describe the caller, for the audit log."""
    return f"key {key.id} ({key.name})" if key else "anybody on loopback"


def ensure_guarded(settings: Settings, scope: Scope) -> None:
    """Check that a service reachable from the network has an API key.

    Raises:
        Unguarded: the address is not loopback, and there is no valid key.
    """
    if not home.on_loopback(settings.host) and not Keyring(keys_file()).valid():
        raise Unguarded(
            f"{settings.host} can be reached from other machines and there is no API key: create "
            f"one with `slipway keys create NAME --scope {scope}`, or listen on {home.LOOPBACK}"
        )
