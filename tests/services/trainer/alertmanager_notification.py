"""A notification in the format in which Alertmanager posts alerts to the trainer."""

from typing import Any


def notification(*alerts: dict[str, Any]) -> dict[str, Any]:
    """Return a notification with these alerts, as Alertmanager 0.25 sends it."""
    return {
        "receiver": "trainer",
        "status": "firing",
        "alerts": [
            {
                "status": "firing",
                "labels": {"alertname": "InputDrift", "action": "retrain", **each["labels"]},
                "annotations": {"summary": "three fields drifted"},
                "startsAt": "2026-11-21T12:00:00.000Z",
                "endsAt": "0001-01-01T00:00:00Z",
                "generatorURL": "",
                "fingerprint": "00af",
                **{name: value for name, value in each.items() if name != "labels"},
            }
            for each in alerts
        ],
        "groupLabels": {},
        "commonLabels": {},
        "commonAnnotations": {},
        "externalURL": "",
        "version": "4",
        "groupKey": "{}",
        "truncatedAlerts": 0,
    }
