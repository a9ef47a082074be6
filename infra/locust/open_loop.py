"""Requests at a fixed rate, independent of earlier responses.

Users who wait for their response send fewer requests while a server hangs, and so hide it: a
second without a response costs them one slow request. At a fixed rate all requests due in it are
slow.
"""

import base64
from urllib.parse import urlsplit

from infra.load.generator import Figures, LoadSpec
from infra.load.process import generate
from infra.locust.mix import PredictRequest, shuffled
from infra.locust.plan import LoadPlan
from slipway import home

CONNECTIONS = 64


def measure(mix: dict[str, list[PredictRequest]], plan: LoadPlan) -> Figures:
    """Measure from a separate process; latencies in milliseconds, from when each request was due.

    Raises:
        infra.load.process.GeneratorFailed: the generator failed.
    """
    place = urlsplit(plan.host)
    spec = LoadSpec(
        host=place.hostname or home.LOOPBACK,
        port=place.port or 80,
        requests=[base64.b64encode(raw(each, plan)).decode() for each in shuffled(mix, seed=0)],
        key="predictions",
        connections=CONNECTIONS,
        seconds=plan.seconds,
        rate=plan.rate,
    )
    return generate(spec)


def raw(request: PredictRequest, plan: LoadPlan) -> bytes:
    """Return the whole request: line, headers and body."""
    lines = [
        f"POST {request.path} HTTP/1.1",
        f"Host: {urlsplit(plan.host).netloc}",
        "Content-Type: application/json",
        f"Content-Length: {len(request.body)}",
        *([f"X-API-Key: {plan.key}"] if plan.key else []),
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + request.body


def missed(figures: Figures, plan: LoadPlan) -> list[str]:
    """Return a line for each limit that was missed."""
    return plan.limits.missed(
        p99_ms=figures.p99,
        failed=sum(figures.errors.values()),
        requests=round(plan.rate * plan.seconds),
    )
