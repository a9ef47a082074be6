"""Requests at a fixed rate, whatever becomes of those before.

Users who wait for their answer ask less while a server stalls, and so hide it: a second without
an answer costs them one slow request. At a fixed rate it costs all that fell due in it.
"""

import base64
from urllib.parse import urlsplit

from benchmarks.generator import generate
from benchmarks.load import Figures, Order
from infra.locust.mix import Ask, shuffled
from infra.locust.plan import Plan
from slipway import home

CONNECTIONS = 64


def measure(mix: dict[str, list[Ask]], plan: Plan) -> Figures:
    """From a process of its own; latencies in milliseconds, from when each request was due.

    Raises:
        benchmarks.generator.GeneratorFailed: it did.
    """
    place = urlsplit(plan.host)
    order = Order(
        host=place.hostname or home.LOOPBACK,
        port=place.port or 80,
        requests=[base64.b64encode(raw(each, plan)).decode() for each in shuffled(mix, seed=0)],
        key="predictions",
        connections=CONNECTIONS,
        seconds=plan.seconds,
        rate=plan.rate,
    )
    return generate(order)


def raw(ask: Ask, plan: Plan) -> bytes:
    """The request whole: line, headers and body."""
    lines = [
        f"POST {ask.path} HTTP/1.1",
        f"Host: {urlsplit(plan.host).netloc}",
        "Content-Type: application/json",
        f"Content-Length: {len(ask.body)}",
        *([f"X-API-Key: {plan.key}"] if plan.key else []),
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + ask.body


def missed(found: Figures, plan: Plan) -> list[str]:
    """A line for each limit that was not kept."""
    return plan.limits.missed(
        p99_ms=found.p99,
        failed=sum(found.errors.values()),
        asked=round(plan.rate * plan.seconds),
    )
