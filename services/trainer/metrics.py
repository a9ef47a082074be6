"""The trainer's Prometheus metrics.

Counters start at 0 with the process; gauges are set from the runs on disk at each scrape.
"""

from prometheus_client import REGISTRY, Counter, Gauge, generate_latest

RUNS = Counter(
    "slipway_trainer_runs", "Training runs that ended, by outcome", ["project", "outcome"]
)
REFUSED = Counter(
    "slipway_trainer_refused", "Requests for a run that were refused, by reason", ["reason"]
)
DECISIONS = Counter(
    "slipway_trainer_decisions",
    "Decisions on alerts: started, or the reason why not",
    ["project", "outcome"],
)
ALERTS = Counter("slipway_trainer_alerts", "Alerts about a project received by POST /v1/alerts")
QUEUED = Gauge("slipway_trainer_queued", "Runs that wait for a worker")
RUNNING = Gauge("slipway_trainer_running", "Runs in progress", ["project"])
RUNNING_SECONDS = Gauge(
    "slipway_trainer_running_seconds", "Age of the run in progress; 0 without one", ["project"]
)
PROGRESS_AGE = Gauge(
    "slipway_trainer_seconds_since_progress",
    "Seconds since the run in progress last wrote a line or entered a stage; 0 without one",
    ["project"],
)
LAST_SUCCESS = Gauge(
    "slipway_trainer_last_success_timestamp_seconds",
    "Unix time at which the project's last successful run ended",
    ["project"],
)
LAST_FAILURE = Gauge(
    "slipway_trainer_last_failure_timestamp_seconds",
    "Unix time at which the project's last failed run ended",
    ["project"],
)
BUDGET_LEFT = Gauge(
    "slipway_trainer_budget_left", "Automatic runs that may still start within 24 hours"
)
COOLDOWN = Gauge(
    "slipway_trainer_cooldown_seconds",
    "Seconds until an alert may start a run of the project again; 0 if it may now",
    ["project"],
)
WORKERS = Gauge("slipway_trainer_workers", "Runs that may be in progress at the same time")
FEEDBACK_ROWS = Gauge(
    "slipway_trainer_feedback_rows",
    "Labelled rows that the project's last run took from feedback",
    ["project"],
)


def exposition() -> bytes:
    """Return all metrics in Prometheus' text format."""
    return generate_latest(REGISTRY)
