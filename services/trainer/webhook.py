"""The body of `POST /v1/alerts`: Alertmanager's webhook format, version 4.

Alertmanager sends it, or the monitor where no Alertmanager runs. Fields that the trainer does not
need are ignored. https://prometheus.io/docs/alerting/latest/configuration/#webhook_config
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from services.trainer.decision import Alarm

Labels = Annotated[dict[str, str], Field(max_length=200)]


class Alert(BaseModel):
    """One alert of a notification."""

    model_config = ConfigDict(frozen=True)

    status: Literal["firing", "resolved"]
    labels: Labels
    annotations: Labels = {}
    startsAt: str = ""
    fingerprint: str = ""


class Notification(BaseModel):
    """A group of alerts that were sent together."""

    model_config = ConfigDict(frozen=True)

    version: Literal["4"]
    alerts: Annotated[list[Alert], Field(max_length=1000)]

    def alarms(self) -> list[Alarm]:
        """Return an alarm for each alert with the label `project`; the others are ignored."""
        return [alarm(each) for each in self.alerts if each.labels.get("project")]


def alarm(alert: Alert) -> Alarm:
    """Return what a decision needs of the alert, cut to the lengths that are kept."""
    labels = alert.labels
    return Alarm(
        project=labels["project"][:100],
        name=labels.get("alertname", "")[:200],
        firing=alert.status == "firing",
        action=labels.get("action", "")[:100],
        fingerprint=alert.fingerprint[:100],
        since=alert.startsAt[:40],
        summary=alert.annotations.get("summary", "")[:400],
    )
