"""Notification of a webhook in Alertmanager's format, so that a receiver can serve both."""

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
# The label by which the trainer recognizes alarms that call for a new training.
ACTION = "retrain"
NEVER = "0001-01-01T00:00:00Z"
Alarm = Literal["drift", "performance"]
NAMES: dict[Alarm, str] = {"drift": "ModelDrift", "performance": "ModelPerformance"}


class Delivery(StrEnum):
    """The outcome of a notification."""

    DELIVERED = "delivered"
    FAILED = "failed"


class ActiveAlarm(BaseModel):
    """An alarm, from its start until the receiver has taken its end."""

    model_config = ConfigDict(extra="forbid")

    project: str
    alarm: Alarm
    version: str
    started: float
    ended: float | None = None
    summary: str
    notified: float = 0.0
    """Unix time at which the receiver last took it; 0 for never."""

    @property
    def firing(self) -> bool:
        """True until the alarm ends."""
        return self.ended is None

    def due(self, now: float, repeat_seconds: float) -> bool:
        """Return whether the receiver is to be notified now."""
        if not self.firing:
            return True
        return self.notified == 0 or now >= self.notified + repeat_seconds


def deliver(active: ActiveAlarm, settings: Settings, *, address: str) -> bool:
    """Send an alarm and return whether the receiver took it.

    Redirects are not followed, since the key would be sent to their target.
    """
    body = json.dumps(message(active, address=address)).encode()
    headers = {"Content-Type": "application/json", "User-Agent": "slipway-monitor"}
    if settings.webhook_key:
        headers["Authorization"] = f"Bearer {settings.webhook_key}"
    request = urllib.request.Request(settings.webhook, data=body, headers=headers, method="POST")
    try:
        with _OPENER.open(request, timeout=TIMEOUT_SECONDS) as response:
            taken = bool(200 <= response.status < 300)
            fault = f"status {response.status}"
    except (OSError, urllib.error.URLError, ValueError) as error:
        taken, fault = False, str(error)
    metrics.WEBHOOKS.labels(Delivery.DELIVERED if taken else Delivery.FAILED).inc()
    if not taken:
        log.warning("the webhook %s did not take the notification: %s", settings.webhook, fault)
    return taken


def message(active: ActiveAlarm, *, address: str) -> dict[str, Any]:
    """Return Alertmanager's webhook body, version 4, with one alert."""
    labels = {
        "alertname": NAMES[active.alarm],
        "project": active.project,
        "version": active.version,
        "severity": "warning",
        "action": ACTION,
        "source": "monitor",
    }
    annotations = {"summary": active.summary}
    status = "firing" if active.firing else "resolved"
    group = {"project": active.project}
    text = json.dumps(labels, sort_keys=True)
    return {
        "version": "4",
        "groupKey": f'{{}}:{{project="{active.project}"}}',
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
                "startsAt": moment(active.started),
                "endsAt": NEVER if active.ended is None else moment(active.ended),
                "generatorURL": f"{address}/projects/{active.project}",
                "fingerprint": hashlib.sha256(text.encode()).hexdigest()[:16],
            }
        ],
    }


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


# Without proxies, which cannot reach a receiver on this machine.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirects)


def moment(unix: float) -> str:
    """Return Unix time in the format of RFC 3339."""
    return (
        datetime.fromtimestamp(unix, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    )
