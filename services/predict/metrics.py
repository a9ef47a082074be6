"""What the server tells Prometheus of itself."""

import os

from prometheus_client import (
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector

# From a tenth of a millisecond, what a small model takes, to where callers give up.
SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5)

REQUESTS = Counter(
    "slipway_requests", "Prediction requests by outcome", ["project", "version", "status"]
)
LATENCY = Histogram(
    "slipway_request_seconds",
    "Time to answer a prediction request",
    ["project", "version"],
    buckets=SECONDS,
)
ROWS = Counter("slipway_rows", "Records answered", ["project", "version"])
SERVING = Gauge(
    "slipway_model_serving",
    "1 for the version that answers, 0 for one that did",
    ["project", "version"],
    multiprocess_mode="livemax",
)
LOAD_FAILURES = Counter("slipway_model_load_failures", "Versions that would not load", ["project"])
REGISTRY_REACHABLE = Gauge(
    "slipway_registry_reachable",
    "1 when the registry answered the last time it was asked",
    multiprocess_mode="livemin",
)


def exposition() -> bytes:
    """All metrics in Prometheus' text format; those of every worker when there are several."""
    folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    if not folder:
        return generate_latest(REGISTRY)
    whole = CollectorRegistry()
    MultiProcessCollector(whole, path=folder)
    return generate_latest(whole)
