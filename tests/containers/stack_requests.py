"""The projects that the tests of the stack train, and requests to them."""

import json
from typing import Any

import httpx

from infra.chaos.prepare import CUSTOMERS, KEY, MODEL, WITH_FEATURES
from infra.compose.running import wait_until
from tests.conftest import ROOT
from tests.containers.stack import Stack

# Trained by the checkout, and in a container. Both take a minute.
ADOPTED, BOOTSTRAPPED = MODEL, WITH_FEATURES


def passenger() -> dict[str, Any]:
    """Return the first example of the project that the checkout trained."""
    examples = json.loads((ROOT / "pipelines" / "ml" / ADOPTED / "examples.json").read_text())
    record: dict[str, Any] = examples[0]["input"]
    return record


def bearer(key: str) -> dict[str, str]:
    """Return the header with an API key."""
    return {"Authorization": f"Bearer {key}"}


def predict(stack: Stack, key: str) -> httpx.Response:
    """Send the example through the proxy."""
    return httpx.post(
        f"{stack.address}/v1/models/{ADOPTED}/predict",
        json=passenger(),
        headers=bearer(key),
        timeout=30,
    )


def looked_up(stack: Stack, key: str) -> int:
    """Return the status of a prediction whose fields are looked up in Redis."""
    return httpx.post(
        f"{stack.address}/v1/models/{BOOTSTRAPPED}/predict",
        json={KEY: CUSTOMERS[0]},
        headers=bearer(key),
        timeout=30,
    ).status_code


def wait_until_healthy(stack: Stack) -> None:
    """Wait until every container with a health check is healthy."""

    def unhealthy() -> list[str]:
        return [
            each["Name"]
            for each in stack.containers()
            if each["State"].get("Health", {}).get("Status", "healthy") != "healthy"
        ]

    wait_until(lambda: not unhealthy(), 180, details=lambda: str(unhealthy()))
