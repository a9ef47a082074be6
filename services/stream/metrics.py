"""The metrics of the stream. Counters start at 0 with the process."""

from prometheus_client import Counter, Gauge

SENT = Counter("slipway_stream_sent", "Messages that the brokers confirmed", ["kind"])
LOST = Counter(
    "slipway_stream_lost",
    "Records that will never be on the topic: deleted before they were sent, damaged, or too_large",
    ["kind", "reason"],
)
LAST_LOST = Gauge(
    "slipway_stream_last_lost_timestamp_seconds",
    "When a record was last lost, Unix time, also before a restart; 0 if none was",
    ["kind"],
)
FAILURES = Counter(
    "slipway_stream_failures", "Batches not confirmed in time, and failed attempts to connect"
)
WAITING = Gauge("slipway_stream_lag_records", "Records written and not confirmed yet", ["kind"])
LAG = Gauge(
    "slipway_stream_lag_seconds",
    "Age of the newest state in which all records were settled; also grows when no scan runs",
    ["kind"],
)
OLDEST = Gauge(
    "slipway_stream_oldest_unsent_timestamp_seconds",
    "When the oldest unconfirmed record was written, Unix time; 0 without one",
    ["kind"],
)
REACHABLE = Gauge(
    "slipway_stream_broker_reachable", "1 if a broker responded to the latest attempt"
)
REASONS = ("deleted", "damaged", "too_large")
