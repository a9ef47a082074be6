"""What the server tells Prometheus of itself."""

import os
from enum import StrEnum

import numpy as np
from prometheus_client import (
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector

from services.nought import from_nought
from services.web.guard import Refusal

# From a twentieth of a millisecond, what a small model takes, to where callers give up.
SECONDS = (
    *(0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01),
    *(0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10),
)
WHOSE = ["project", "version", "variant"]
# What the objectives in infra/slo hold against us.
OUR_FAULTS = ("500", "503", "504")
UNKNOWN = "unknown"
"""The project of requests for a model that is not there: names that callers make up must not grow
the metrics without end."""
DISCONNECTED = "disconnected"


class Failure(StrEnum):
    """How a model failed a call."""

    RAISED = "raised"
    TIMEOUT = "timeout"
    ENDED = "process ended"


class Recorded(StrEnum):
    """What became of a prediction record."""

    WRITTEN = "written"
    DROPPED = "dropped"


class LookedUp(StrEnum):
    """What became of looking up a record's features."""

    FOUND = "found"
    UNKNOWN = "unknown"
    UNAVAILABLE = "unavailable"


REQUESTS = Counter("slipway_requests", "Prediction requests by outcome", [*WHOSE, "status"])
LATENCY = Histogram(
    "slipway_request_seconds", "Time to answer a prediction request", WHOSE, buckets=SECONDS
)
VALIDATE = Histogram(
    "slipway_validate_seconds", "Time to parse and validate a request", WHOSE, buckets=SECONDS
)
QUEUE = Histogram(
    "slipway_queue_seconds", "Time a request waited for its model", WHOSE, buckets=SECONDS
)
INFER = Histogram("slipway_infer_seconds", "Time the model took", WHOSE, buckets=SECONDS)
ROWS = Counter("slipway_rows", "Records answered", WHOSE)
BATCH = Histogram(
    "slipway_batch_requests",
    "Requests that one call of the model answered together",
    ["project", "version"],
    buckets=(1, 2, 4, 8, 16, 32, 64),
)
WAITING = Gauge(
    "slipway_waiting", "Requests waiting for a model", ["project"], multiprocess_mode="livesum"
)
SHADOW_DROPPED = Counter(
    "slipway_shadow_dropped", "Requests not asked of the shadow: its queue was full", ["project"]
)
SERVING = Gauge(
    "slipway_model_serving",
    "1 for a version that answers as this variant",
    WHOSE,
    multiprocess_mode="livemax",
)
LOADED = Gauge(
    "slipway_model_loaded",
    "Workers that hold the version in memory",
    ["project", "version"],
    multiprocess_mode="livesum",
)
LOADED_BYTES = Gauge(
    "slipway_loaded_bytes", "Memory of the models held", multiprocess_mode="livesum"
)
EVICTIONS = Counter("slipway_evictions", "Models that gave way to others", ["project"])
LOAD_SECONDS = Histogram(
    "slipway_load_seconds",
    "Time to load a version into a worker",
    buckets=(0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30),
)
LOAD_FAILURES = Counter("slipway_model_load_failures", "Versions that would not load", ["project"])
FAULTS = Gauge(
    "slipway_model_faults",
    "1 for a project whose wanted version is not served",
    ["project"],
    multiprocess_mode="livemax",
)
MODEL_ERRORS = Counter(
    "slipway_model_errors", "Calls that a model failed, by kind", ["project", "version", "kind"]
)
ISOLATED = Gauge(
    "slipway_model_isolated",
    "1 for a version that runs in a process of its own",
    ["project", "version"],
    multiprocess_mode="livemax",
)
REGISTRY_REACHABLE = Gauge(
    "slipway_registry_reachable",
    "1 when the registry answered the last time it was asked",
    multiprocess_mode="livemin",
)
RECORDS = Counter(
    "slipway_prediction_records", "Prediction records: written, or dropped", ["outcome"]
)
FEEDBACK = Counter("slipway_feedback", "Truths attached to predictions", ["project", "outcome"])
REFUSED = Counter("slipway_refused", "Requests refused before a model was asked", ["reason"])
LOOKUP_SECONDS = Histogram(
    "slipway_feature_lookup_seconds",
    "Time to look features up online, with the way to a thread and back",
    ["project"],
    buckets=(0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1),
)
LOOKUPS = Counter(
    "slipway_feature_lookups", "Records whose features were looked up", ["project", "outcome"]
)
PROCESS_BYTES = Gauge(
    "slipway_process_bytes",
    "Resident memory of the workers",
    multiprocess_mode="livesum",
)


def begin() -> None:
    """The counters of a worker that belong to no model, from nought."""
    from_nought(REFUSED, (*Refusal, DISCONNECTED))
    from_nought(RECORDS, tuple(Recorded))
    not_served(UNKNOWN)


def not_served(project: str) -> None:
    """Of a project none of whose versions is served: its callers are told to come back."""
    from_nought(REQUESTS, (project,), ("",), ("",), ("503",))


def serves(project: str, *, shadow: bool, looks_up: bool) -> None:
    """The counters of a project from nought; `shadow` and `looks_up` say what can happen to it."""
    from_nought(EVICTIONS, (project,))
    from_nought(LOAD_FAILURES, (project,))
    if shadow:
        from_nought(SHADOW_DROPPED, (project,))
    if looks_up:
        from_nought(LOOKUPS, (project,), tuple(LookedUp))


def answers(project: str, version: str, variant: str) -> None:
    """The counters of a version that answers as a variant, from nought."""
    from_nought(REQUESTS, (project,), (version,), (variant,), OUR_FAULTS)
    from_nought(MODEL_ERRORS, (project,), (version,), tuple(Failure))


def observe_many(histogram: Histogram, values: list[float]) -> None:
    """As `observe` of each value; 40 times cheaper for a thousand of them.

    The library offers no such thing, so this reaches for what its `observe` reaches for.
    """
    counts = np.bincount(
        np.searchsorted(histogram._upper_bounds, values), minlength=len(histogram._upper_bounds)
    )
    histogram._sum.inc(sum(values))
    for bucket, count in zip(histogram._buckets, counts.tolist(), strict=True):
        if count:
            bucket.inc(count)


def exposition() -> bytes:
    """All metrics in Prometheus' text format; those of every worker when there are several."""
    folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    if not folder:
        return generate_latest(REGISTRY)
    whole = CollectorRegistry()
    MultiProcessCollector(whole, path=folder)
    return generate_latest(whole)
