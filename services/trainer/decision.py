"""Whether an alert starts a run: the rule, without any effect."""

from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from services.trainer.run import Run, State, Strict
from services.trainer.settings import Settings

DAY = 86_400.0
Source = Literal["alert", "schedule"]
ACTION = "retrain"


class Answer(StrEnum):
    STARTED = "started"
    OFF = "off"
    RESOLVED = "resolved"
    NO_ACTION = "no_action"
    UNKNOWN_PROJECT = "unknown_project"
    DUPLICATE = "duplicate"
    ROLLOUT = "rollout"
    COOLDOWN = "cooldown"
    BUDGET = "budget"
    QUEUE_FULL = "queue_full"


class Alarm(Strict):
    """An alert about a project, however it reached us."""

    project: str
    name: Annotated[str, Field(max_length=200)]
    firing: bool = True
    action: str = ACTION
    fingerprint: str = ""
    """The same as long as the alert is the same one."""
    since: str = ""
    """When it began, as its sender writes it."""
    source: Source = "alert"
    told: str = ""
    """Its summary, for people."""


class Decision(Strict):
    """What was decided on an alarm, and why."""

    time: float
    alarm: Alarm
    answer: Answer
    reason: str
    run: str | None = None
    """The one that was started, or that made another one needless."""

    def same(self, other: "Decision") -> bool:
        """The same answer to the same alarm, whatever it tells of itself meanwhile."""
        one, two = self.alarm, other.alarm
        alike = (one.project, one.name, one.since) == (two.project, two.name, two.since)
        return alike and (self.answer, self.run) == (other.answer, other.run)


def decide(
    alarm: Alarm,
    *,
    known: bool,
    runs: Iterable[Run],
    settings: Settings,
    now: float,
    rolling_out: bool = False,
) -> Decision:
    """In this order: is it for us, is a run or rollout under way, cool-down, budget, queue."""
    everything = list(runs)
    own = [run for run in everything if run.request.project == alarm.project]

    def told(answer: Answer, reason: str, run: str | None = None) -> Decision:
        return Decision(time=now, alarm=alarm, answer=answer, reason=reason, run=run)

    if not alarm.firing:
        return told(Answer.RESOLVED, "the alert is over")
    if alarm.action != ACTION:
        return told(Answer.NO_ACTION, f"its label action is {alarm.action!r}, not {ACTION!r}")
    if not known:
        return told(Answer.UNKNOWN_PROJECT, f"there is no project {alarm.project!r}")
    if not settings.automatic:
        return told(Answer.OFF, "automatic training is off (SLIPWAY_TRAINER_AUTOMATIC)")
    for run in own:
        if not run.state.ended:
            return told(Answer.DUPLICATE, f"run {run.id} is {run.state} already", run.id)
    if rolling_out:
        return told(Answer.ROLLOUT, "what was trained last is being rolled out")
    wait, last = cooldown(own, settings, now)
    if last is not None and wait > 0:
        return told(
            Answer.COOLDOWN,
            f"run {last.id} ended {settings.cooldown_seconds - wait:.0f} s ago; an alert may start "
            f"the next in {wait:.0f} s",
            last.id,
        )
    if budget_left(everything, settings, now) <= 0:
        return told(
            Answer.BUDGET,
            f"{settings.runs_per_day} automatic runs were started in the last 24 hours",
        )
    if sum(run.state is State.QUEUED for run in everything) >= settings.queue:
        return told(Answer.QUEUE_FULL, f"{settings.queue} runs wait already")
    return told(Answer.STARTED, f"alert {alarm.name}")


def cooldown(own: Iterable[Run], settings: Settings, now: float) -> tuple[float, Run | None]:
    """Seconds until an alert may start a run again, and the run of the project that ended last.

    Every run counts, however it began and ended: a failure would only be repeated, and who
    cancels a run does not want it back at once.
    """
    ended = [run for run in own if run.ended is not None]
    if not ended:
        return 0.0, None
    last = max(ended, key=lambda run: run.ended or 0.0)
    return max(0.0, (last.ended or 0.0) + settings.cooldown_seconds - now), last


def budget_left(runs: Iterable[Run], settings: Settings, now: float) -> int:
    """Automatic runs that may still start; requests of people do not count."""
    spent = sum(run.trigger != "request" and run.requested > now - DAY for run in runs)
    return max(0, settings.runs_per_day - spent)
