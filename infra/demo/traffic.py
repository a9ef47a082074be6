"""Sends demo traffic: requests at a steady rate, and labels for a share of them.

Each request has the header `Slipway-Purpose: demo`, which its record keeps: nothing is trained from
it. Only one request waits at a time, so a slow model slows the traffic instead of filling a queue.
"""

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from infra.demo import drift
from infra.demo.rows import Rows
from slipway.fault import Fault
from slipway.rest import ServiceClient, ServiceFault

HEADERS = {"Slipway-Purpose": "demo"}
LABELLED_SHARE = 0.5
SEED = 7


@dataclass
class Sent:
    """Counts of one project."""

    requests: int = 0
    labels: int = 0
    refused: int = 0
    fault: str = ""
    """The last refusal."""


@dataclass
class TrafficReport:
    """Counts by project."""

    sent: dict[str, Sent] = field(default_factory=dict)
    drifted: list[str] = field(default_factory=list)
    """The projects whose field was shifted."""


def shifts(rows: Sequence[Rows], name: str | None) -> dict[str, drift.Shift]:
    """Return how the records of each project are shifted; projects without the field are not.

    Raises:
        Fault: no project has such a field.
    """
    if name is None:
        return {}
    found = {
        each.project: drift.shift(name, each.records, each.schema)
        for each in rows
        if name in each.schema.get("properties", {})
    }
    if not found:
        known = sorted({key for each in rows for key in each.schema.get("properties", {})})
        drift.shift(name, [], {"properties": dict.fromkeys(known)})
    return found


def send(
    server: ServiceClient,
    rows: Sequence[Rows],
    *,
    seconds: float,
    rate: float,
    drifting: str | None = None,
    show: Callable[[TrafficReport], None] = lambda report: None,
) -> TrafficReport:
    """Send traffic to the projects in turn, for so many seconds; Ctrl-C ends it earlier.

    Raises:
        Fault: no project has rows, or none has the field that should drift.
    """
    filled = [each for each in rows if each.records]
    if not filled:
        raise Fault("no rows to send: the served models have neither test rows nor examples here")
    moved = shifts(filled, drifting)
    report = TrafficReport({each.project: Sent() for each in filled}, sorted(moved))
    source, start = random.Random(SEED), time.monotonic()
    number = 0
    try:
        while (now := time.monotonic()) < start + seconds:
            due = start + number / rate
            if due > now:
                time.sleep(min(due - now, start + seconds - now))
                continue
            each = filled[number % len(filled)]
            _send_one(server, each, moved.get(each.project), source, report.sent[each.project])
            number += 1
            show(report)
    except KeyboardInterrupt:
        pass
    return report


def _send_one(
    server: ServiceClient, rows: Rows, shift: drift.Shift | None, source: random.Random, sent: Sent
) -> None:
    row = source.randrange(len(rows.records))
    record = rows.records[row]
    try:
        path = f"/v1/models/{rows.project}/predict"
        body = shift(record) if shift else record
        response = server.request_json("POST", path, body, headers=HEADERS)
        sent.requests += 1
        label = rows.labels[row]
        if label is not None and source.random() < LABELLED_SHARE:
            server.request_json("POST", "/v1/feedback", {"id": response["id"], "label": label})
            sent.labels += 1
    except ServiceFault as fault:
        if fault.status is None:
            raise
        sent.refused += 1
        sent.fault = str(fault)
