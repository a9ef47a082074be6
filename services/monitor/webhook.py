"""Telling a receiver of alarms in the words of Alertmanager, so that either can be behind it."""

import hashlib
import json
import logging
import urllib.error
import urllib.request
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from services.monitor import metrics
from services.monitor.settings import Settings

log = logging.getLogger("slipway.monitor")

TIMEOUT_SECONDS = 10.0
# What cures both alarms: the label by which the trainer knows that it is asked.
ACTION = "retrain"
NEVER = "0001-01-01T00:00:00Z"
Alarm = Literal["drift", "performance"]
NAMES: dict[Alarm, str] = {"drift": "ModelDrift", "performance": "ModelPerformance"}


class Notice(StrEnum):
    """What became of a notice."""

    DELIVERED = "delivered"
    FAILED = "failed"


class Standing(BaseModel):
    """An alarm, from when it starts until its end was told."""

    model_config = ConfigDict(extra="forbid")

    project: str
    alarm: Alarm
    version: str
    started: float
    ended: float | None = None
    summary: str
    told: float = 0.0
    """When the receiver last took it; 0 is never."""

    @property
    def firing(self) -> bool:
        return self.ended is None

    def due(self, now: float, repeat_seconds: float) -> bool:
        if not self.firing:
            return True
        return self.told == 0 or now >= self.told + repeat_seconds


def deliver(standing: Standing, settings: Settings, *, address: str) -> bool:
    """Whether the receiver took it. Not with redirects: a key would be sent along to wherever."""
    body = json.dumps(message(standing, address=address)).encode()
    headers = {"Content-Type": "application/json", "User-Agent": "slipway-monitor"}
    if settings.webhook_key:
        headers["Authorization"] = f"Bearer {settings.webhook_key}"
    request = urllib.request.Request(settings.webhook, data=body, headers=headers, method="POST")
    try:
        with _OPENER.open(request, timeout=TIMEOUT_SECONDS) as answer:
            taken = bool(200 <= answer.status < 300)
            fault = f"status {answer.status}"
    except (OSError, urllib.error.URLError, ValueError) as error:
        taken, fault = False, str(error)
    metrics.WEBHOOKS.labels(Notice.DELIVERED if taken else Notice.FAILED).inc()
    if not taken:
        log.warning("the webhook %s did not take the notice: %s", settings.webhook, fault)
    return taken


def message(standing: Standing, *, address: str) -> dict[str, Any]:
    """Alertmanager's webhook body, version 4, with one alert."""
    labels = {
        "alertname": NAMES[standing.alarm],
        "project": standing.project,
        "version": standing.version,
        "severity": "warning",
        "action": ACTION,
        "source": "monitor",
    }
    annotations = {"summary": standing.summary}
    status = "firing" if standing.firing else "resolved"
    group = {"project": standing.project}
    text = json.dumps(labels, sort_keys=True)
    return {
        "version": "4",
        "groupKey": f'{{}}:{{project="{standing.project}"}}',
        "truncatedAlerts": 0,
        "status": status,
        "receiver": "webhook",
        "groupLabels": group,
        "commonLabels": labels,
        "commonAnnotations": annotations,
        "externalURL": address,
        "alerts": [
            {
                "status": status,
                "labels": labels,
                "annotations": annotations,
                "startsAt": moment(standing.started),
                "endsAt": NEVER if standing.ended is None else moment(standing.ended),
                "generatorURL": f"{address}/projects/{standing.project}",
                "fingerprint": hashlib.sha256(text.encode()).hexdigest()[:16],
            }
        ],
    }


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


# A receiver on this machine is not reached through a proxy.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}), _Stay)


def moment(unix: float) -> str:
    """As RFC 3339 has it."""
    return (
        datetime.fromtimestamp(unix, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    )
