"""Who may ask what: API keys, their scopes and their rates."""

from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum

from services.settings import Settings
from services.web.problem import Problem
from slipway import home
from slipway.access.keys import BadKey, Key, Keyring, MissingScope, NoKey, keys_file
from slipway.access.limits import Limiter
from slipway.access.scopes import Scope

BEARER = b"bearer "


class Refusal(StrEnum):
    """Why a request was not let in."""

    KEY = "key"
    SCOPE = "scope"
    RATE = "rate"


class Unguarded(Exception):
    """A service would be open to the network without any key."""


class Guard:
    """Open only on loopback by default; a key that is presented there is held to all the same."""

    def __init__(
        self,
        settings: Settings,
        *,
        closed: Iterable[Scope] = (),
        on_refusal: Callable[[Refusal], None] = lambda reason: None,
    ) -> None:
        """
        Args:
            closed: scopes that need a key on loopback as well.
            on_refusal: told of each refused request.
        """
        self.keyring = Keyring(keys_file())
        self.limiter = Limiter(home.home())
        self.open = home.on_loopback(settings.host) and not settings.require_keys
        self.closed = frozenset(closed)
        self.on_refusal = on_refusal

    def admit(self, headers: Mapping[bytes, bytes], scope: str) -> Key | None:
        """The caller's key; None where the service is open to whoever reaches it.

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
            self.keyring.require(key, scope)
        except NoKey:
            told = "send it as `Authorization: Bearer KEY` or `X-API-Key: KEY`"
            raise self._refused(Refusal.KEY, Problem(401, "API key needed", told)) from None
        except BadKey:
            told = "the API key is not valid"
            raise self._refused(Refusal.KEY, Problem(401, "API key refused", told)) from None
        except MissingScope as missing:
            raise self._refused(Refusal.SCOPE, Problem(403, "Not allowed", str(missing))) from None
        if wait := self.limiter.take(key):
            told = f"key {key.id} may make {key.rate:g} requests a second"
            problem = Problem(429, "Too many requests", told, retry_seconds=wait)
            raise self._refused(Refusal.RATE, problem)
        return key

    def _refused(self, reason: Refusal, problem: Problem) -> Problem:
        self.on_refusal(reason)
        return problem


def named(key: Key | None) -> str:
    """Who asks, for the audit log."""
    return f"key {key.id} ({key.name})" if key else "anybody on loopback"


def ensure_guarded(settings: Settings, scope: Scope) -> None:
    """Raises Unguarded: an address for others to reach, and no key to let them in."""
    if not home.on_loopback(settings.host) and not Keyring(keys_file()).valid():
        raise Unguarded(
            f"{settings.host} can be reached from other machines and there is no API key: make "
            f"one with `slipway keys create NAME --scope {scope}`, or listen on {home.LOOPBACK}"
        )
