"""The messages on the topics: prediction records and labels, as JSON."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic_core import to_json

from slipway.predictions.feedback_store import FeedbackEvent

SCHEMA = 1
"""The schema version. It rises when a field is removed or changes its meaning."""

Kind = Literal["predictions", "labels"]
KINDS: tuple[Kind, ...] = ("predictions", "labels")


@dataclass(frozen=True)
class Message:
    """A message of one prediction record or label."""

    kind: Kind
    id: str
    """The prediction's id."""
    project: str
    version: str
    value: bytes

    @property
    def key(self) -> bytes:
        """The project: its messages are in one partition, in order."""
        return self.project.encode()

    @property
    def headers(self) -> list[tuple[str, str | bytes | None]]:
        return [("project", self.project), ("version", self.version)]


@dataclass(frozen=True)
class Item:
    """The next item of a log. An item without a message is skipped."""

    segment: str
    """The segment's name; empty for labels."""
    number: int
    """The offset in the segment, or the label's number."""
    message: Message | None
    damaged: bool = False


def prediction_message(record: dict[str, Any]) -> Message:
    """Return the message for a prediction record.

    Raises:
        KeyError: the record lacks its project or version.
    """
    project, version = str(record["project"]), str(record["version"])
    value = to_json({"schema": SCHEMA, **record})
    return Message("predictions", record["id"], project, version, value)


def label_message(event: FeedbackEvent) -> Message:
    """Return the message for a label."""
    fields = {
        "schema": SCHEMA,
        "id": event.id,
        "row": event.row,
        "revision": event.revision,
        "project": event.project,
        "version": event.version,
        "variant": event.variant,
        "predicted": _time(event.predicted),
        "received": _time(event.received),
        "label": event.label,
        "reward": event.reward,
        "score": event.score,
    }
    return Message("labels", event.id, event.project, event.version, to_json(fields))


def _time(unix: float) -> str:
    """Format a time as in the prediction record."""
    moment = datetime.fromtimestamp(unix, UTC).replace(tzinfo=None)
    return moment.isoformat(timespec="milliseconds") + "Z"
