"""Requests as values, built without sending anything: both clients send the same ones."""

from __future__ import annotations

import base64
import io
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Union

from .answers import Prediction
from .schema import Schema

Record = Mapping[str, Any]
Records = Sequence[Record]
Medium = Union[bytes, bytearray, memoryview, "os.PathLike[str]", IO[bytes], str]

EVENTS = "text/event-stream"


@dataclass(frozen=True)
class Call:
    """One request."""

    method: str
    path: str
    headers: dict[str, str] = field(default_factory=dict)
    params: dict[str, str] | None = None
    json: Any = None
    data: dict[str, str] | None = None
    files: list[tuple[str, tuple[str, bytes]]] | None = None

    def arguments(self) -> dict[str, Any]:
        """Return the keyword arguments for httpx."""
        named = {"params": self.params, "json": self.json, "data": self.data, "files": self.files}
        given = {name: value for name, value in named.items() if value is not None}
        return {"headers": self.headers, **given}


def predict(schema: Schema, record: Record | Records, *, check: bool = True) -> Call:
    """Return the request for predictions: a form with files if a record has media, else JSON.

    Raises:
        FieldError: a field is unknown or missing.
    """
    path = f"/v1/models/{schema.name}/predict"
    records = [record] if isinstance(record, Mapping) else list(record)
    if check:
        for each in records:
            schema.check(each)
    if isinstance(record, Mapping) and _fits_a_form(schema, record):
        return Call("POST", path, **_form(schema, record))
    encoded = [_encoded(schema, each) for each in records]
    return Call("POST", path, json=encoded[0] if isinstance(record, Mapping) else encoded)


def explain(schema: Schema, record: Record | Records) -> Call:
    """Return the request for explanations."""
    encoded = (
        _encoded(schema, record)
        if isinstance(record, Mapping)
        else [_encoded(schema, each) for each in record]
    )
    return Call("POST", f"/v1/models/{schema.name}/explain", json=encoded)


def with_headers(call: Call, **headers: str) -> Call:
    """Return the request with more headers; `_` in their names stands for `-`."""
    more = {name.replace("_", "-"): value for name, value in headers.items()}
    return Call(**{**vars(call), "headers": {**call.headers, **more}})


def feedback(
    prediction: Prediction | str,
    row: int | None,
    label: Mapping[str, Any] | None,
    reward: float | None,
) -> Call:
    """Return the request that attaches the true outcome to a prediction, or to its id."""
    id, own = (prediction, 0) if isinstance(prediction, str) else (prediction.id, prediction.row)
    body = {"id": id, "row": own if row is None else row, "label": label, "reward": reward}
    given = {name: value for name, value in body.items() if value is not None}
    return Call("POST", "/v1/feedback", json=given)


def _fits_a_form(schema: Schema, record: Record) -> bool:
    """Return whether the record has media, and nothing that a form cannot tell apart."""
    others = [value for name, value in record.items() if name not in schema.input_media]
    media = [record[name] for name in schema.input_media if name in record]
    # In a form an empty text means that the field is not there.
    return bool(media) and None not in media and None not in others and "" not in others


def _form(schema: Schema, record: Record) -> dict[str, Any]:
    files, data = [], {}
    for name, value in record.items():
        if name in schema.input_media:
            media = value if isinstance(value, (list, tuple)) else [value]
            files += [(name, read_medium(each)) for each in media]
        else:
            data[name] = value if isinstance(value, str) else json.dumps(value)
    return {"files": files, "data": data}


def _encoded(schema: Schema, record: Record) -> dict[str, Any]:
    """Return the record with its media in base64."""
    return {
        name: _as_base64(value) if name in schema.input_media else value
        for name, value in record.items()
    }


def _as_base64(value: Any) -> Any:
    if value is None:
        return None
    if isinstance(value, (list, tuple)):
        return [_as_base64(each) for each in value]
    return base64.b64encode(read_medium(value)[1]).decode()


def read_medium(value: Medium) -> tuple[str, bytes]:
    """Return a name and the bytes of a medium.

    A text is the path of a file, a `data:` address, or base64.

    Raises:
        OSError: the file cannot be read.
        ValueError: the text is none of these.
    """
    if isinstance(value, (bytes, bytearray, memoryview)):
        return "file", bytes(value)
    if isinstance(value, os.PathLike):
        return Path(value).name, Path(value).read_bytes()
    if isinstance(value, str):
        return _read_text(value)
    content = value.read()
    if isinstance(value, io.TextIOBase) or not isinstance(content, bytes):
        raise ValueError("open the file in binary mode: open(path, 'rb')")
    return Path(str(getattr(value, "name", "file"))).name, content


def _read_text(text: str) -> tuple[str, bytes]:
    if text.startswith("data:"):
        return "file", base64.b64decode(text.partition(",")[2])
    if len(text) < 4096 and Path(text).is_file():
        return Path(text).name, Path(text).read_bytes()
    try:
        return "file", base64.b64decode(text, validate=True)
    except ValueError:
        raise ValueError(f"no file {text[:100]!r}, and no base64 either") from None
