"""Who may ask: anybody on loopback, elsewhere whoever holds a key."""

from starlette.requests import Request

from services.monitor.settings import Settings
from services.predict.binding import on_loopback
from services.predict.problem import Problem
from slipway import home
from slipway.access.keys import BadKey, Keyring, MissingScope, NoKey, keys_file
from slipway.access.limits import Limiter
from slipway.access.scopes import Scope


class Unguarded(Exception):
    """The monitor would be open to the network without any key."""


class Guard:
    """Pages and figures want a key of scope `metrics`, a check one of scope `admin`."""

    def __init__(self, settings: Settings) -> None:
        self.open = on_loopback(settings.host)
        self.keyring = Keyring(keys_file())
        self.limiter = Limiter(home.home())
        if not self.open and not self.keyring.valid():
            raise Unguarded(
                f"{settings.host} can be reached from other machines and there is no API key: "
                "make one with `slipway keys create NAME --scope metrics`, or listen on 127.0.0.1"
            )

    def admit(self, request: Request, scope: Scope) -> None:
        """Raises Problem: 401, 403 or 429."""
        given = request.headers.get("authorization", "")
        text = given[7:].strip() if given[:7].lower() == "bearer " else None
        text = text or request.headers.get("x-api-key")
        if text is None and self.open:
            return
        try:
            key = self.keyring.authenticate(text)
            self.keyring.require(key, scope)
        except NoKey:
            told = "send it as `Authorization: Bearer KEY` or `X-API-Key: KEY`"
            raise Problem(401, "API key needed", told) from None
        except BadKey:
            raise Problem(401, "API key refused", "the API key is not valid") from None
        except MissingScope as missing:
            raise Problem(403, "Not allowed", str(missing)) from None
        wait = self.limiter.take(key)
        if wait:
            told = f"key {key.id} may make {key.rate:g} requests a second"
            raise Problem(429, "Too many requests", told, retry_seconds=wait)
