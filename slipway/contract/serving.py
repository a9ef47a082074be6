"""`about/serving.json`: what a server must know of a version before it loads it."""

import json
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from slipway.contract.record import Record

FILE = "serving.json"
# A longer call is tried out once instead of many times, and has a time limit of its own.
SLOW_SECONDS = 1.0

ParityKind = Literal["values", "image", "boxes", "tokens", "none"]


class Serving(BaseModel):
    """The way to serve a version; defaults apply to versions registered without the file."""

    model_config = ConfigDict(frozen=True)

    track: str = ""
    """The folder of `pipelines/` that the project belongs to, such as `ml`."""
    primary: str = ""
    """The metric that decides about promotion."""
    latency_seconds: float = Field(default=SLOW_SECONDS, gt=0)
    """The longest call to expect."""
    threads: int = Field(default=1, ge=1)
    """Threads of ONNX Runtime for each graph."""
    requires: list[str] = []
    """Groups of packages that the server must have, such as `vision`."""
    media: bool = False
    """True if a record or a prediction has pictures, sound, video or documents."""
    parity: ParityKind = "values"
    """The comparison of two predictions for the same record."""
    iou: float = 0.9
    """Intersection over union from which two boxes are the same."""

    @property
    def slow(self) -> bool:
        return self.latency_seconds > SLOW_SECONDS


def carries_media(record: type[Record]) -> bool:
    """Return whether a field of the record, or of a record in it, is media, by its JSON schema."""
    schema = record.model_json_schema(mode="serialization")
    records = [schema, *schema.get("$defs", {}).values()]
    fields = [field for each in records for field in each.get("properties", {}).values()]
    return any("contentMediaType" in json.dumps(field) for field in fields)


def read(about: Path) -> Serving:
    """Return what the folder `about` of a version says.

    Raises:
        pydantic.ValidationError: the file is malformed.
    """
    file = about / FILE
    return Serving.model_validate_json(file.read_bytes()) if file.is_file() else Serving()
