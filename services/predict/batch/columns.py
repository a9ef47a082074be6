"""The columns of the results, as Arrow holds them until they are written in the target's format."""

import base64
from typing import Any

import pyarrow as pa
from pydantic_core import from_json, to_json

from services.predict.batch.annotations import holds_byte_list, members
from services.predict.batch.tables import JSON_TYPE
from slipway.contract.record import Record
from slipway.media import Media, media_fields
from slipway.media.base64_text import encode_base64

_SCALARS = {
    bool: pa.bool_(),
    int: pa.int64(),
    float: pa.float64(),
    str: pa.string(),
    bytes: pa.binary(),
}
_MEDIA = {"slipway": "media"}


def output_columns(output: type[Record]) -> list[Any]:
    """Return the Arrow field of each field of the predictions."""
    marks = media_fields(output)
    return [
        _column(name, field.annotation, marks.get(name))
        for name, field in output.model_fields.items()
    ]


def _column(name: str, annotation: Any, mark: Media | None) -> Any:
    """Return the Arrow field of an output field: a scalar type, media, or JSON."""
    if mark and holds_byte_list(annotation):
        return pa.field(name, pa.list_(pa.binary()), metadata=_MEDIA)
    types = {_SCALARS.get(each) for each in members(annotation) if each is not type(None)}
    kind = types.pop() if len(types) == 1 else None
    if kind is None:
        return JSON_TYPE.with_name(name)
    return pa.field(name, kind, metadata=_MEDIA if mark else None)


def is_json(field: Any) -> bool:
    """Return whether a column holds JSON text."""
    return _kind(field) == b"json"


def is_media(field: Any) -> bool:
    """Return whether a column holds media, or lists of them."""
    return _kind(field) == b"media"


def _kind(field: Any) -> bytes | None:
    kind: bytes | None = (field.metadata or {}).get(b"slipway")
    return kind


def values_of(column: Any, field: Any) -> list[Any]:
    """Return the values as JSON holds them: bytes as base64, times and decimals as text."""
    kind = field.type
    if is_json(field):
        return [None if text is None else from_json(text) for text in column.to_pylist()]
    if is_media(field) and not pa.types.is_string(kind):
        return [_encode_media(value) for value in column.to_pylist()]
    if pa.types.is_temporal(kind) or pa.types.is_decimal(kind):
        return list(column.cast(pa.string()).to_pylist())
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        # The same alphabet as in the server's responses.
        return [
            None if value is None else base64.urlsafe_b64encode(value).decode()
            for value in column.to_pylist()
        ]
    return list(column.to_pylist())


def _encode_media(value: bytes | list[bytes] | None) -> str | list[str] | None:
    """Return media as base64 of the standard alphabet, as in the server's responses."""
    if isinstance(value, list):
        return [encode_base64(each) for each in value]
    return None if value is None else encode_base64(value)


def text_of(value: Any) -> str | None:
    """Return the value as a CSV cell: a string unchanged, everything else as JSON."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, float):
        return repr(value)
    return to_json(value).decode()
