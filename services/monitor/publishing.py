"""Publication of checks as Prometheus series, which are replaced together for each project."""

import threading
from typing import TYPE_CHECKING

from prometheus_client import REGISTRY, Gauge, generate_latest

from services.monitor import metrics

if TYPE_CHECKING:
    from services.monitor.check import Check, WindowCheck

# A scrape must not run between the removal of old series and the creation of new ones.
_lock = threading.Lock()

_PROJECT_GAUGES: tuple[Gauge, ...] = tuple(
    each
    for each in vars(metrics).values()
    if isinstance(each, Gauge) and "project" in each._labelnames
)


def exposition() -> bytes:
    """Return all metrics in Prometheus' text format."""
    with _lock:
        return generate_latest(REGISTRY)


def forget(project: str) -> None:
    """Remove the series of a project that has no champion any more."""
    with _lock:
        _clear(project)


def publish(check: "Check") -> None:
    """Replace the project's series by those of the check."""
    with _lock:
        _clear(check.project)
        for window in check.windows:
            _publish_window(check.project, window)
        _publish_performance(check)
        _publish_groups(check)
        metrics.DRIFT_ALARM.labels(check.project).set(check.drift_alarm)
        metrics.PERFORMANCE_ALARM.labels(check.project).set(check.performance_alarm)
        metrics.FIELDS_LEFT_OUT.labels(check.project).set(len(check.left_out))
        metrics.LAST_CHECK.labels(check.project).set(check.time)


def _clear(project: str) -> None:
    for gauge in _PROJECT_GAUGES:
        gauge.remove_by_labels({"project": project})


def _publish_window(project: str, window: "WindowCheck") -> None:
    labels = (project, window.window)
    metrics.WINDOW_ROWS.labels(*labels).set(window.rows)
    metrics.SAMPLED_ROWS.labels(*labels).set(window.sampled)
    metrics.WINDOW_JUDGED.labels(*labels).set(window.judged)
    metrics.UNREADABLE_RECORDS.labels(*labels).set(window.unreadable)
    if not window.judged:
        return
    metrics.INPUT_DRIFT_SHARE.labels(*labels).set(window.input_share)
    metrics.PREDICTION_DRIFT_SHARE.labels(*labels).set(window.prediction_share)
    for field in window.fields:
        each = (*labels, field.field)
        metrics.DRIFT_EFFECT.labels(*each).set(field.effect)
        metrics.DRIFT_PSI.labels(*each).set(field.psi)
        metrics.DRIFTED.labels(*each).set(field.drifted)
        metrics.MISSING_SHARE.labels(*each).set(field.missing_share)
        metrics.CONSTANT.labels(*each).set(field.constant)
        if field.numeric:
            metrics.OUT_OF_RANGE_SHARE.labels(*each).set(field.out_of_range_share)
        else:
            metrics.NEW_CATEGORY_SHARE.labels(*each).set(field.new_category_share)


def _publish_performance(check: "Check") -> None:
    found, project = check.performance, check.project
    if found is None:
        return
    metrics.LABELLED_ROWS.labels(project).set(found.labelled)
    if found.predictions:
        metrics.LABELLED_SHARE.labels(project).set(found.labelled_share)
    for score in found.scores:
        metrics.PERFORMANCE.labels(project, score.metric).set(score.value)
        metrics.PERFORMANCE_LOW.labels(project, score.metric).set(score.low)
        metrics.PERFORMANCE_HIGH.labels(project, score.metric).set(score.high)
    for score in found.reference:
        metrics.REFERENCE_PERFORMANCE.labels(project, score.metric).set(score.value)


def _publish_groups(check: "Check") -> None:
    for slices in check.fairness:
        for group in slices.groups:
            labels = (check.project, slices.field, group.group)
            metrics.GROUP_ROWS.labels(*labels).set(group.rows)
            for each in group.metrics:
                metrics.GROUP_METRIC.labels(*labels, each.metric).set(each.value)
        for metric, gap in slices.gaps.items():
            metrics.FAIRNESS_GAP.labels(check.project, slices.field, metric).set(gap)
