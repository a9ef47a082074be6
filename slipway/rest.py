"""Requests of commands to Slipway's own services, with $SLIPWAY_API_KEY if it is set."""

import json
import os
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from http.client import HTTPResponse
from typing import Any

from slipway import home
from slipway.fault import Fault

RESPONSE_SECONDS = 60.0


class ServiceFault(Fault):
    """Raised if a service refuses or cannot be reached; the message says which and why."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        """The status of the refusal; None if the service cannot be reached."""


class ServiceClient:
    """A running service, by default at its port on this machine."""

    def __init__(self, name: str, *, address: str | None = None, start: str = "make up") -> None:
        """Find the service.

        Args:
            name: its name in `home.PORTS`.
            address: where it is; default: $SLIPWAY_<NAME>_ADDRESS, or this machine.
            start: the command that starts it, for the message.
        """
        self.name, self.start = name, start
        configured = address or os.environ.get(f"SLIPWAY_{name.upper()}_ADDRESS")
        self.address = (configured or f"http://{home.LOOPBACK}:{home.port(name)}").rstrip("/")

    def request_json(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        seconds: float | None = RESPONSE_SECONDS,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """Return the JSON of the response.

        Raises:
            ServiceFault: the service refused, with its own message, or cannot be reached.
        """
        with self.request(method, path, body, seconds=seconds, headers=headers) as response:
            return json.load(response)

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        seconds: float | None = RESPONSE_SECONDS,
        headers: Mapping[str, str] | None = None,
    ) -> HTTPResponse:
        """Send a request, with `body` as JSON, and return the open response.

        Raises:
            ServiceFault: the service refused, with its own message, or cannot be reached.
        """
        sent = urllib.request.Request(f"{self.address}{path}", method=method)
        for name, value in (headers or {}).items():
            sent.add_header(name, value)
        if body is not None:
            sent.data = json.dumps(body).encode()
            sent.add_header("Content-Type", "application/json")
        if key := os.environ.get("SLIPWAY_API_KEY"):
            sent.add_header("X-API-Key", key)
        try:
            return urllib.request.urlopen(sent, timeout=seconds)  # type: ignore[no-any-return]
        except urllib.error.HTTPError as error:
            raise ServiceFault(self._refusal(error), error.code) from None
        except OSError as error:
            reason = error.reason if isinstance(error, urllib.error.URLError) else error
            raise ServiceFault(
                f"no {self.name} at {self.address} ({reason}); start it: {self.start}"
            ) from None

    def _refusal(self, error: urllib.error.HTTPError) -> str:
        try:
            problem = json.load(error)
            return f"{problem['title']}: {problem['detail']}"
        except (ValueError, KeyError, TypeError):
            return f"{self.name} responded with status {error.code}"


def events(response: Iterable[bytes]) -> Iterator[tuple[str, str]]:
    """Yield the name and the data of each server-sent event."""
    name = "message"
    data: list[str] = []
    for raw in response:
        line = raw.decode().rstrip("\r\n")
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line:
            if data:
                yield name, "\n".join(data)
            name, data = "message", []
        elif field == "event":
            name = value
        elif field == "data":
            data.append(value)
