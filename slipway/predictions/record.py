"""The prediction record, and a fast way to write it as a line of JSON."""

import hashlib
import json
import time
import zlib
from functools import lru_cache
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from slipway.predictions import ids

INPUT_BYTES = 64 * 2**10
CHECKSUM = b',"crc32":"'
PURPOSE = "^[a-z][a-z0-9-]{0,31}$"

Text = Annotated[str, Field(min_length=1)]


class PredictionRecord(BaseModel):
    """A request to a version, its predictions, and how long they took."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: Annotated[str, Field(pattern="^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")]
    time: AwareDatetime
    """When the prediction was made, UTC, to the millisecond; the id holds the same time."""
    project: Text
    version: Text
    digest: Text
    """The digest of the model's artifact."""
    variant: Literal["champion", "challenger", "shadow"]
    inputs: list[Any] | None
    """The records of the request, with facts in the place of media (`slipway/media/summary.py`);
    null when they were longer than the limit."""
    inputs_sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = None
    """The hash of the bytes that were sent, when `inputs` does not hold all of them."""
    outputs: list[Any]
    """A prediction for every record, in order, bounded like `inputs`. The line of a large batch
    holds them as an object of columns, which readers turn into rows: writing rows would take as
    long as the model."""
    features: dict[str, list[float | None]] | None = None
    """The model's monitoring features by name, a number for every record."""
    seconds: Annotated[float, Field(ge=0)]
    trace: str | None
    of: str | None = None
    """For a shadow prediction: the id of the prediction that the caller got."""
    purpose: Annotated[str, Field(pattern=PURPOSE)] | None = None
    """The reason of a request that is not a caller's own, such as `demo`. Nothing is trained from
    such a record."""
    crc32: Annotated[str, Field(pattern="^[0-9a-f]{8}$")] | None = None
    """The checksum of all that precedes it in its line; readers check it and leave it out."""


def line(
    *,
    id: str,
    project: str,
    version: str,
    digest: str,
    variant: str,
    inputs: bytes,
    outputs: bytes,
    seconds: float,
    trace: str | None = None,
    of: str | None = None,
    purpose: str | None = None,
    input_bytes: int = INPUT_BYTES,
    by_column: bool = False,
    inputs_sha256: str | None = None,
    features: bytes | None = None,
) -> bytes:
    """Return the record as one line of JSON, with its newline.

    `inputs`, `outputs` and `features` are valid JSON already; a single record is treated as a list
    of one. With `by_column`, `outputs` is an object of columns. Inputs of more than `input_bytes`
    are recorded by their hash alone; inputs that come with a hash were bounded before.
    """
    at = ids.milliseconds(id)
    about = _about(project, version, digest, variant)
    rest = f'"seconds":{seconds:.6f},"trace":{_text(trace)}'
    if of is not None:
        rest += f',"of":{_text(of)}'
    if purpose is not None:
        rest += f',"purpose":{_text(purpose)}'
    if features is not None:
        rest += f',"features":{features.decode()}'
    if inputs_sha256 is not None:
        sent = b'%b,"inputs_sha256":"%b"' % (_as_list(inputs), inputs_sha256.encode())
    elif len(inputs) > input_bytes:
        sent = b'null,"inputs_sha256":"%b"' % hashlib.sha256(inputs).hexdigest().encode()
    else:
        sent = _as_list(inputs)
    return checked(
        b'{"id":"%b","time":"%b.%03dZ",%b"inputs":%b,"outputs":%b,%b'
        % (
            id.encode(),
            _second(at // 1000),
            at % 1000,
            about,
            sent,
            outputs if by_column else _as_list(outputs),
            rest.encode(),
        )
    )


def checked(start: bytes) -> bytes:
    """Return a line that ends with the checksum of its `start`, an object that is still open."""
    return b'%b,"crc32":"%08x"}\n' % (start, zlib.crc32(start))


def is_whole(line: bytes) -> bool:
    """Return whether a line, without its newline, is as it was written.

    Lines of the versions before this checksum have none; they pass.
    """
    start, found, rest = line.rpartition(CHECKSUM)
    return not found or rest == b'%08x"}' % zlib.crc32(start)


def _as_list(content: bytes) -> bytes:
    """Return JSON as a list on one line."""
    # Within a JSON string a newline is escaped: a raw one can only stand between tokens.
    if b"\n" in content:
        content = content.replace(b"\n", b" ")
    if content[:1] == b"[" or content.lstrip()[:1] == b"[":
        return content
    return b"[%b]" % content


def _text(value: str | None) -> str:
    if value is None:
        return "null"
    return f'"{value}"' if value.isascii() and value.isalnum() else json.dumps(value)


@lru_cache(maxsize=4096)
def _about(project: str, version: str, digest: str, variant: str) -> bytes:
    fields = {"project": project, "version": version, "digest": digest, "variant": variant}
    return json.dumps(fields, separators=(",", ":")).encode()[1:-1] + b","


@lru_cache(maxsize=16)
def _second(unix: int) -> bytes:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(unix)).encode()
