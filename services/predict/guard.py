"""Who may ask what: API keys, their scopes and their rates."""

from services.predict import metrics
from services.predict.binding import on_loopback
from services.predict.problem import Problem
from services.predict.settings import Settings
from slipway import home
from slipway.access.keys import BadKey, Key, Keyring, MissingScope, NoKey, keys_file
from slipway.access.limits import Limiter
from slipway.access.scopes import Scope

BEARER = b"bearer "


class Guard:
    """Open only on loopback by default; a key that is presented there is held to all the same."""

    def __init__(self, settings: Settings) -> None:
        self.keyring = Keyring(keys_file())
        self.limiter = Limiter(home.home())
        self.open = on_loopback(settings.host) and not settings.require_keys

    def admit(self, headers: dict[bytes, bytes], scope: str) -> Key | None:
        """The caller's key; None where the server is open to whoever reaches it.

        Raises:
            Problem: 401, 403 or 429.
        """
        text = headers.get(b"authorization")
        if text is None:
            text = headers.get(b"x-api-key")
            if text is None and self.open and scope != Scope.ADMIN:
                return None
        elif text[:7].lower() == BEARER:
            text = text[7:].strip()
        try:
            key = self.keyring.authenticate(text)
            self.keyring.require(key, scope)
        except NoKey:
            raise self._refused(
                401, "API key needed", "send it as `Authorization: Bearer KEY` or `X-API-Key: KEY`"
            ) from None
        except BadKey:
            raise self._refused(401, "API key refused", "the API key is not valid") from None
        except MissingScope as missing:
            raise self._refused(403, "Not allowed", str(missing)) from None
        wait = self.limiter.take(key)
        if wait:
            metrics.REFUSED.labels("rate").inc()
            told = f"key {key.id} may make {key.rate:g} requests a second"
            raise Problem(429, "Too many requests", told, retry_seconds=wait)
        return key

    def _refused(self, status: int, title: str, detail: str) -> Problem:
        metrics.REFUSED.labels("key" if status == 401 else "scope").inc()
        return Problem(status, title, detail)
