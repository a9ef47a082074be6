"""What stands on the topics: the prediction record and the truth, as JSON."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic_core import to_json

from slipway.predictions.feedback import Said

SCHEMA = 1
"""Rises when a field goes, or means something else; a new field alone does not."""

Kind = Literal["predictions", "truths"]
KINDS: tuple[Kind, ...] = ("predictions", "truths")


@dataclass(frozen=True)
class Message:
    kind: Kind
    id: str
    """Of the prediction."""
    project: str
    version: str
    value: bytes

    @property
    def key(self) -> bytes:
        """The project: what is of one stands in one partition, in order."""
        return self.project.encode()

    @property
    def headers(self) -> list[tuple[str, str | bytes | None]]:
        return [("project", self.project), ("version", self.version)]


@dataclass(frozen=True)
class Item:
    """What comes next in a log. Without a message it is passed over."""

    place: str
    """The segment; empty for truths."""
    number: int
    """Its offset there, or the truth's number."""
    message: Message | None
    damaged: bool = False


def of_record(record: dict[str, Any]) -> Message:
    """Of a prediction record.

    Raises:
        KeyError: it lacks its project or version.
    """
    project, version = str(record["project"]), str(record["version"])
    value = to_json({"schema": SCHEMA, **record})
    return Message("predictions", record["id"], project, version, value)


def of_truth(said: Said) -> Message:
    told = {
        "schema": SCHEMA,
        "id": said.id,
        "row": said.row,
        "revision": said.revision,
        "project": said.project,
        "version": said.version,
        "variant": said.variant,
        "predicted": _time(said.predicted),
        "received": _time(said.received),
        "truth": said.truth,
        "reward": said.reward,
        "score": said.score,
    }
    return Message("truths", said.id, said.project, said.version, to_json(told))


def _time(unix: float) -> str:
    """As in the prediction record."""
    told = datetime.fromtimestamp(unix, UTC).replace(tzinfo=None)
    return told.isoformat(timespec="milliseconds") + "Z"
