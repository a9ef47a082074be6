"""Alertmanager's webhook, version 4 of its format: https://prometheus.io/docs/alerting/latest/
configuration/#webhook_config. Fields that we do not need are not looked at.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from services.trainer.decision import Alarm

Labels = Annotated[dict[str, str], Field(max_length=200)]


class Alert(BaseModel):
    model_config = ConfigDict(frozen=True)

    status: Literal["firing", "resolved"]
    labels: Labels
    annotations: Labels = {}
    startsAt: str = ""
    fingerprint: str = ""


class Notification(BaseModel):
    """A group of alerts."""

    model_config = ConfigDict(frozen=True)

    version: Literal["4"]
    alerts: Annotated[list[Alert], Field(max_length=1000)]

    def alarms(self) -> list[Alarm]:
        """One for each alert about a project; alerts about something else are not for us."""
        return [alarm(each) for each in self.alerts if each.labels.get("project")]


def alarm(alert: Alert) -> Alarm:
    labels = alert.labels
    return Alarm(
        project=labels["project"][:100],
        name=labels.get("alertname", "")[:200],
        firing=alert.status == "firing",
        action=labels.get("action", "")[:100],
        fingerprint=alert.fingerprint[:100],
        since=alert.startsAt[:40],
        told=alert.annotations.get("summary", "")[:400],
    )
