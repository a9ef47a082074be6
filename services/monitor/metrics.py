"""Prometheus metrics of the projects that the monitor checks, and of the monitor itself.

The series of a project are replaced together after each check and removed when it has no champion
any more. Their number is bounded: `fields` and `groups` of the settings, two windows, and the
metrics of one kind of prediction, each times the projects.
"""

from prometheus_client import Counter, Gauge, Histogram

# From a small window to one of many fields with a report on a busy machine.
CHECK_SECONDS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 60, 120, 300)

PROJECT = ["project"]
WINDOW = ["project", "window"]
"""`window` is `time`, the last hours, or `count`, the last rows whatever their age."""
FIELD = ["project", "window", "field"]
"""`field` is a field of the record, `prediction.NAME` a field of the prediction, and
`FIELD:brightness`, `FIELD:words` and so on a feature of a picture or a long text."""

# Drift, by field.
DRIFT_EFFECT = Gauge(
    "slipway_monitor_drift_effect",
    "Distance of the field's values from the reference: Wasserstein distance in standard "
    "deviations for numbers, Jensen-Shannon distance for categories",
    FIELD,
)
DRIFT_PSI = Gauge(
    "slipway_monitor_drift_psi",
    "Population stability index of the field against the reference",
    FIELD,
)
DRIFTED = Gauge(
    "slipway_monitor_drifted",
    "1 for a field that drifted: effect over its threshold and significant by Holm's method",
    FIELD,
)

# Data quality, by field.
MISSING_SHARE = Gauge(
    "slipway_monitor_missing_share", "Share of rows whose field is missing", FIELD
)
OUT_OF_RANGE_SHARE = Gauge(
    "slipway_monitor_out_of_range_share",
    "Share of numbers below the smallest or above the largest of the reference",
    FIELD,
)
NEW_CATEGORY_SHARE = Gauge(
    "slipway_monitor_new_category_share",
    "Share of values that do not occur in the reference",
    FIELD,
)
CONSTANT = Gauge(
    "slipway_monitor_constant",
    "1 for a field with one value in the window and several in the reference",
    FIELD,
)

# A window as a whole.
WINDOW_ROWS = Gauge("slipway_monitor_window_rows", "Rows of the champion in the window", WINDOW)
SAMPLED_ROWS = Gauge(
    "slipway_monitor_sampled_rows", "Rows of the window that were sampled and compared", WINDOW
)
WINDOW_JUDGED = Gauge(
    "slipway_monitor_window_judged", "1 when the window held enough rows to be judged", WINDOW
)
INPUT_DRIFT_SHARE = Gauge(
    "slipway_monitor_input_drift_share", "Share of the record's fields that drifted", WINDOW
)
PREDICTION_DRIFT_SHARE = Gauge(
    "slipway_monitor_prediction_drift_share",
    "Share of the prediction's fields that drifted",
    WINDOW,
)
UNREADABLE_RECORDS = Gauge(
    "slipway_monitor_unreadable_records",
    "Records of the window that cannot be used: inputs logged by hash alone, or damaged",
    WINDOW,
)

# Performance on mature labels.
PERFORMANCE = Gauge(
    "slipway_monitor_performance",
    "The champion's metric on mature labels: accuracy, f1, roc_auc, brier, mae, rmse, bias, r2 ...",
    ["project", "metric"],
)
PERFORMANCE_LOW = Gauge(
    "slipway_monitor_performance_low", "Lower end of the metric's interval", ["project", "metric"]
)
PERFORMANCE_HIGH = Gauge(
    "slipway_monitor_performance_high", "Upper end of the metric's interval", ["project", "metric"]
)
REFERENCE_PERFORMANCE = Gauge(
    "slipway_monitor_reference_performance",
    "The same metric on the test rows that the version was registered with",
    ["project", "metric"],
)
LABELLED_ROWS = Gauge("slipway_monitor_labelled_rows", "Mature rows that have a label", PROJECT)
LABELLED_SHARE = Gauge(
    "slipway_monitor_labelled_share", "Share of the mature rows that have a label", PROJECT
)

# Fairness.
GROUP_ROWS = Gauge(
    "slipway_monitor_group_rows",
    "Rows of a group of a protected field in the time window",
    ["project", "field", "group"],
)
GROUP_METRIC = Gauge(
    "slipway_monitor_group_metric",
    "Metric of a group of a protected field: positive_rate, mean_prediction, accuracy, mae ...",
    ["project", "field", "group", "metric"],
)
FAIRNESS_GAP = Gauge(
    "slipway_monitor_fairness_gap",
    "Largest minus smallest metric among the groups that are large enough",
    ["project", "field", "metric"],
)

# Alarms, which the webhook receives too.
DRIFT_ALARM = Gauge("slipway_monitor_drift_alarm", "1 while a field has drifted", PROJECT)
PERFORMANCE_ALARM = Gauge(
    "slipway_monitor_performance_alarm",
    "1 while a metric is worse than on the test rows, beyond its interval and the margin",
    PROJECT,
)

# The monitor itself.
LAST_CHECK = Gauge(
    "slipway_monitor_last_check_timestamp_seconds",
    "Unix time of the last completed check",
    PROJECT,
)
LAST_ROUND = Gauge(
    "slipway_monitor_last_round_timestamp_seconds",
    "Unix time of the last round over all projects, successful or not",
)
INTERVAL = Gauge("slipway_monitor_interval_seconds", "Seconds from one round to the next")
CHECKS = Counter(
    "slipway_monitor_checks",
    "Checks by outcome: judged, too_few_rows, no_reference or failed",
    ["project", "outcome"],
)
CHECK_TIME = Histogram(
    "slipway_monitor_check_seconds", "Seconds that a check took", PROJECT, buckets=CHECK_SECONDS
)
PROJECTS = Gauge("slipway_monitor_projects", "Projects with a champion, which are checked")
FIELDS_LEFT_OUT = Gauge(
    "slipway_monitor_fields_left_out",
    "Fields that are not compared, beyond the limit",
    PROJECT,
)
REGISTRY_REACHABLE = Gauge(
    "slipway_monitor_registry_reachable", "1 when the registry responded in the last round"
)
WEBHOOKS = Counter(
    "slipway_monitor_webhooks", "Notifications to the webhook: delivered or failed", ["outcome"]
)
