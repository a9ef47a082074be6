"""The trainer's own watch, for where no Alertmanager tells of alarms: it asks the monitor."""

import logging
import threading
import urllib.request
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from services.trainer import metrics
from services.trainer.decision import ACTION, Alarm
from services.trainer.settings import Settings
from services.trainer.trainer import Trainer

log = logging.getLogger("slipway.trainer")

ANSWER_SECONDS = 10.0
ANSWER_BYTES = 16 * 2**20


class Sounding(BaseModel):
    model_config = ConfigDict(frozen=True)

    name: str
    since: str = ""
    action: str = ACTION
    told: str = ""


class Watched(BaseModel):
    model_config = ConfigDict(frozen=True)

    name: str
    alarms: list[Sounding] = []


class Answer(BaseModel):
    """Of the monitor's GET /v1/projects; what we do not need is not looked at."""

    model_config = ConfigDict(frozen=True)

    projects: Annotated[list[Watched], Field(max_length=10_000)]

    def alarms(self) -> list[Alarm]:
        return [
            Alarm(
                project=project.name[:100],
                name=each.name[:200],
                action=each.action[:100],
                since=each.since[:40],
                told=each.told[:400],
                source="schedule",
            )
            for project in self.projects
            for each in project.alarms
        ]


class Schedule:
    """Asks every `monitor_seconds`; not at all with 0."""

    def __init__(self, settings: Settings, trainer: Trainer) -> None:
        self.settings, self.trainer = settings, trainer
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="schedule", daemon=True)

    def start(self) -> None:
        if self.settings.monitor_seconds:
            self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(ANSWER_SECONDS + 1)

    def _run(self) -> None:
        while not self._stopping.wait(self.settings.monitor_seconds):
            try:
                for alarm in asked(self.settings.monitor_address).alarms():
                    self.trainer.consider(alarm)
            except Exception as error:
                metrics.MONITOR_FAILURES.inc()
                log.warning("the monitor's alarms could not be followed: %s", error)


def asked(address: str) -> Answer:
    """Raises OSError or ValueError: the monitor does not answer, or not in this way."""
    with urllib.request.urlopen(f"{address}/v1/projects", timeout=ANSWER_SECONDS) as answer:
        return Answer.model_validate_json(answer.read(ANSWER_BYTES))
