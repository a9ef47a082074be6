"""Who may train: anybody on loopback by default, elsewhere who holds a key of the scope `train`."""

from collections.abc import Mapping

from services.predict.binding import on_loopback
from services.predict.problem import Problem
from services.trainer import metrics
from services.trainer.settings import Settings
from slipway import home
from slipway.access.keys import BadKey, Keyring, MissingScope, NoKey, keys_file
from slipway.access.limits import Limiter
from slipway.access.scopes import Scope


class Unguarded(Exception):
    """The trainer would be open to the network without any key."""


class Guard:
    def __init__(self, settings: Settings) -> None:
        """Raises Unguarded: an address for others to reach, and no key to let them in."""
        self.keyring = Keyring(keys_file())
        self.limiter = Limiter(home.home())
        loopback = on_loopback(settings.host)
        if not loopback and not self.keyring.valid():
            raise Unguarded(
                f"{settings.host} can be reached from other machines and there is no API key: make "
                "one with `slipway keys create NAME --scope train`, or listen on 127.0.0.1"
            )
        self.open = loopback and not settings.require_keys

    def admit(self, headers: Mapping[str, str], scope: Scope) -> str:
        """Who asks, for the record.

        Raises:
            Problem: 401, 403 or 429.
        """
        text = headers.get("authorization") or headers.get("x-api-key")
        if text is None and self.open:
            return "anybody on loopback"
        if text is not None and text[:7].lower() == "bearer ":
            text = text[7:].strip()
        try:
            key = self.keyring.authenticate(text)
            self.keyring.require(key, scope)
        except NoKey:
            told = "send it as `Authorization: Bearer KEY` or `X-API-Key: KEY`"
            raise refused("key", 401, "API key needed", told) from None
        except BadKey:
            raise refused("key", 401, "API key refused", "the API key is not valid") from None
        except MissingScope as missing:
            raise refused("scope", 403, "Not allowed", str(missing)) from None
        if wait := self.limiter.take(key):
            metrics.REFUSED.labels("rate").inc()
            told = f"key {key.id} may make {key.rate:g} requests a second"
            raise Problem(429, "Too many requests", told, retry_seconds=wait)
        return f"key {key.id} ({key.name})"


def refused(reason: str, status: int, title: str, detail: str) -> Problem:
    metrics.REFUSED.labels(reason).inc()
    return Problem(status, title, detail)
