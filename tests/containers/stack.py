"""docker-compose.yml, run as a project of its own beside whatever else runs here."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from slipway.stack import running
from slipway.stack.running import asked, until

__all__ = ["PROJECT", "Stack", "asked", "steadily"]

PROJECT = "slipway-test"


@dataclass(frozen=True)
class Stack(running.Stack):
    """With what tests look into it with."""

    project: str = PROJECT

    def up(self) -> list[str]:
        left_out = super().up()
        if left_out:
            print(f"\nleft out, no image: {', '.join(left_out)}")
        return left_out

    def ended(self, service: str) -> str:
        """What a one-time container said, once it ended well."""

        def over() -> bool:
            return not self.containers(service)[0]["State"]["Running"]

        until(over, 300, f"{service} ends", lambda: self.log(service))
        assert self.containers(service)[0]["State"]["ExitCode"] == 0, self.log(service)
        return self.log(service)

    def within(self, service: str, program: str, *words: object) -> str:
        """What a Python program prints that runs inside a service's container."""
        return self.said("exec", "-T", service, "python", "-c", program, *words)

    def figures(self, query: str) -> list[dict[str, Any]]:
        """What Prometheus answers."""
        asked = ["promtool", "query", "instant", "--format=json", "http://127.0.0.1:9090", query]
        told: list[dict[str, Any]] = json.loads(self.said("exec", "-T", "prometheus", *asked))
        return told


def steadily(address: str, request: Mapping[str, Any], *, seconds: float, rate: float) -> list[int]:
    """Statuses of requests that fall due one after the other, 0 for no answer."""
    found, began = [], time.monotonic()
    with httpx.Client(timeout=30) as client:
        for number in range(round(seconds * rate)):
            time.sleep(max(0.0, began + number / rate - time.monotonic()))
            try:
                found.append(client.post(address, **request).status_code)
            except httpx.HTTPError:
                found.append(0)
    return found
