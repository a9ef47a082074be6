"""Decide whether an alert starts a training run. Nothing here has a side effect."""

from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated

from pydantic import ConfigDict, Field

from services.trainer.run import Run, RunState, Strict
from services.trainer.settings import Settings

DAY = 86_400.0
# The value of an alert's label `action` that asks for a training run.
ACTION = "retrain"


class AlertOutcome(StrEnum):
    """The result of an alert: a run, or the reason why it started none."""

    STARTED = "started"
    OFF = "off"
    RESOLVED = "resolved"
    NO_ACTION = "no_action"
    UNKNOWN_PROJECT = "unknown_project"
    DUPLICATE = "duplicate"
    ROLLOUT = "rollout"
    COOLDOWN = "cooldown"
    NO_LABELS = "no_labels"
    BUDGET = "budget"
    QUEUE_FULL = "queue_full"


class Alarm(Strict):
    """An alert about a project, as `POST /v1/alerts` received it."""

    # Alarms in journals of earlier versions have one more field, `source`.
    model_config = ConfigDict(extra="ignore")

    project: str
    name: Annotated[str, Field(max_length=200)]
    firing: bool = True
    action: str = ACTION
    fingerprint: str = ""
    """Identifies the alert: it does not change while the alert fires."""
    since: str = ""
    """When the alert started to fire, as its sender wrote it."""
    summary: str = ""
    """For people."""


class AlertDecision(Strict):
    """The decision on an alarm, and its reason."""

    time: float
    """Unix time."""
    alarm: Alarm
    outcome: AlertOutcome
    reason: str
    run: str | None = None
    """The run that was started, or the one because of which none was started."""


def decide(
    alarm: Alarm,
    *,
    known: bool,
    runs: Iterable[Run],
    settings: Settings,
    now: float,
    rolling_out: bool = False,
    labels_came: bool = True,
) -> AlertDecision:
    """Decide whether the alarm starts a run.

    The checks, in this order: does the alarm ask for a run of a known project, is a run or a
    rollout of it under way, cool-down, are there new labels, daily budget, queue.
    """
    all_runs = list(runs)
    own = [run for run in all_runs if run.request.project == alarm.project]

    def decision(outcome: AlertOutcome, reason: str, run: str | None = None) -> AlertDecision:
        return AlertDecision(time=now, alarm=alarm, outcome=outcome, reason=reason, run=run)

    if not alarm.firing:
        return decision(AlertOutcome.RESOLVED, "the alert is resolved")
    if alarm.action != ACTION:
        return decision(
            AlertOutcome.NO_ACTION, f"its label action is {alarm.action!r}, not {ACTION!r}"
        )
    if not known:
        return decision(AlertOutcome.UNKNOWN_PROJECT, f"there is no project {alarm.project!r}")
    if not settings.automatic:
        return decision(AlertOutcome.OFF, "automatic training is off (SLIPWAY_TRAINER_AUTOMATIC)")
    for run in own:
        if not run.state.ended:
            return decision(AlertOutcome.DUPLICATE, f"run {run.id} is already {run.state}", run.id)
    if rolling_out:
        return decision(AlertOutcome.ROLLOUT, "a rollout of the project is under way")
    wait, last = cooldown(own, settings, now)
    if last is not None and wait > 0:
        return decision(
            AlertOutcome.COOLDOWN,
            f"run {last.id} ended {settings.cooldown_seconds - wait:.0f} s ago; an alert may start "
            f"the next in {wait:.0f} s",
            last.id,
        )
    if not labels_came:
        return decision(
            AlertOutcome.NO_LABELS,
            "retraining waits for labels: POST /v1/feedback brought none since the last run",
        )
    if budget_left(all_runs, settings, now) <= 0:
        return decision(
            AlertOutcome.BUDGET,
            f"{settings.runs_per_day} automatic runs were started in the last 24 hours",
        )
    if sum(run.state is RunState.QUEUED for run in all_runs) >= settings.queue:
        return decision(AlertOutcome.QUEUE_FULL, f"{settings.queue} runs are already queued")
    return decision(AlertOutcome.STARTED, f"alert {alarm.name}")


def cooldown(own: Iterable[Run], settings: Settings, now: float) -> tuple[float, Run | None]:
    """Return the seconds until an alert may start a run again, and the run that ended last.

    `own` are the project's runs. Every one counts, whatever started it and however it ended: a
    failed run would only fail again, and who cancels a run does not want it back immediately.
    """
    ended = [run for run in own if run.ended is not None]
    if not ended:
        return 0.0, None
    last = max(ended, key=lambda run: run.ended or 0.0)
    return max(0.0, (last.ended or 0.0) + settings.cooldown_seconds - now), last


def budget_left(runs: Iterable[Run], settings: Settings, now: float) -> int:
    """Return how many automatic runs may still start today; runs on request do not count."""
    spent = sum(run.trigger != "request" and run.requested > now - DAY for run in runs)
    return max(0, settings.runs_per_day - spent)
