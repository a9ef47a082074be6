"""What the stream tells Prometheus. Counters hold since the process started."""

from prometheus_client import Counter, Gauge

SENT = Counter("slipway_stream_sent", "Messages that the brokers confirmed", ["kind"])
LOST = Counter(
    "slipway_stream_lost",
    "What will not stand on the topic: deleted before it was sent, damaged, or too_large",
    ["kind", "reason"],
)
LAST_LOST = Gauge(
    "slipway_stream_last_lost_timestamp_seconds",
    "When something was last lost, Unix time, also before a restart; 0 if nothing was",
    ["kind"],
)
FAILURES = Counter(
    "slipway_stream_failures", "Batches that were not confirmed in time, and attempts to connect"
)
WAITING = Gauge("slipway_stream_lag_records", "On record here and not confirmed yet", ["kind"])
LAG = Gauge(
    "slipway_stream_lag_seconds",
    "All that was written until so many seconds ago is settled; grows too when nothing looks",
    ["kind"],
)
OLDEST = Gauge(
    "slipway_stream_oldest_unsent_timestamp_seconds",
    "When the oldest that is not confirmed was written, Unix time; 0 without one",
    ["kind"],
)
REACHABLE = Gauge("slipway_stream_broker_reachable", "1 if a broker answered last time")
REASONS = ("deleted", "damaged", "too_large")
