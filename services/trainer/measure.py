"""Set the gauges from the runs."""

import time

from services.trainer import metrics
from services.trainer.decision import budget_left, cooldown
from services.trainer.run import Run, RunState
from services.trainer.trainer import Trainer
from services.zero_init import initialize_series
from slipway.project import discover

OUTCOMES = (RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED)


def measure(trainer: Trainer) -> None:
    """Set every gauge; called at each scrape."""
    now, settings = time.time(), trainer.settings
    runs = list(trainer.journal.runs.values())
    metrics.WORKERS.set(settings.workers)
    metrics.QUEUED.set(sum(run.state is RunState.QUEUED for run in runs))
    metrics.BUDGET_LEFT.set(budget_left(runs, settings, now))
    for project in discover(trainer.root):
        own = [run for run in runs if run.request.project == project.name]
        _measure_project(trainer, project.name, own, now)


def _measure_project(trainer: Trainer, name: str, own: list[Run], now: float) -> None:
    initialize_series(metrics.RUNS, (name,), OUTCOMES)
    metrics.COOLDOWN.labels(name).set(cooldown(own, trainer.settings, now)[0])
    current = next((run for run in own if run.state is RunState.RUNNING), None)
    metrics.RUNNING.labels(name).set(current is not None)
    age = now - (current.started or now) if current else 0.0
    metrics.RUNNING_SECONDS.labels(name).set(max(0.0, age))
    metrics.PROGRESS_AGE.labels(name).set(idle_seconds(trainer, current, now) if current else 0.0)
    for state, gauge in (
        (RunState.SUCCEEDED, metrics.LAST_SUCCESS),
        (RunState.FAILED, metrics.LAST_FAILURE),
    ):
        if ended := [run.ended or 0.0 for run in own if run.state is state]:
            gauge.labels(name).set(max(ended))
    trained = [run for run in own if run.state is RunState.SUCCEEDED and run.progress]
    if trained and (last := max(trained, key=lambda run: run.ended or 0.0).progress):
        counts = (last.feedback or {}).get("counts", {})
        metrics.FEEDBACK_ROWS.labels(name).set(counts.get("used", 0))


def idle_seconds(trainer: Trainer, run: Run, now: float) -> float:
    """Return the seconds since the run was started, wrote a line or entered a stage."""
    last = max(trainer.folder(run.id).last_activity(), run.started or now)
    return max(0.0, now - last)
