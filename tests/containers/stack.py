"""Run docker-compose.yml as a separate project, with helpers for tests."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from infra.compose import running
from infra.compose.running import request_status, wait_until

__all__ = ["PROJECT", "Stack", "request_status", "steadily"]

PROJECT = "slipway-test"


@dataclass(frozen=True)
class Stack(running.Stack):
    """A stack with helpers for tests."""

    project: str = PROJECT

    def up(self) -> list[str]:
        left_out = super().up()
        if left_out:
            print(f"\nleft out for lack of an image: {', '.join(left_out)}")
        return left_out

    def ended(self, service: str) -> str:
        """Wait until a one-time container succeeded, and return its log."""

        def over() -> bool:
            return not self.containers(service)[0]["State"]["Running"]

        wait_until(over, 300, f"{service} ends", lambda: self.log(service))
        assert self.containers(service)[0]["State"]["ExitCode"] == 0, self.log(service)
        return self.log(service)

    def within(self, service: str, program: str, *words: object) -> str:
        """Run a Python program in a service's container and return its output."""
        return self.output("exec", "-T", service, "python", "-c", program, *words)

    def query(self, query: str) -> list[dict[str, Any]]:
        """Return the result of a Prometheus query."""
        command = ["promtool", "query", "instant", "--format=json", "http://127.0.0.1:9090", query]
        result: list[dict[str, Any]] = json.loads(self.output("exec", "-T", "prometheus", *command))
        return result


def steadily(address: str, request: Mapping[str, Any], *, seconds: float, rate: float) -> list[int]:
    """Send requests at a fixed rate and return their statuses, 0 without a response."""
    found, began = [], time.monotonic()
    with httpx.Client(timeout=30) as client:
        for number in range(round(seconds * rate)):
            time.sleep(max(0.0, began + number / rate - time.monotonic()))
            try:
                found.append(client.post(address, **request).status_code)
            except httpx.HTTPError:
                found.append(0)
    return found
