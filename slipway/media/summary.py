"""Records in JSON types with facts in the place of their media, which would be too large."""

import hashlib
from typing import Any

from slipway.contract.record import Record
from slipway.media.fields import media_fields
from slipway.media.marker import Media


def summarize_record(record: Record) -> dict[str, Any]:
    """Return the record in JSON types, its own media fields replaced by `describe_media`."""
    fields = media_fields(type(record))
    if not fields:
        return record.model_dump(mode="json")
    plain = record.model_dump(mode="json", exclude=set(fields))
    facts = {name: _facts(mark, getattr(record, name)) for name, mark in fields.items()}
    return {name: facts.get(name, plain.get(name)) for name in type(record).model_fields}


def _facts(mark: Media, value: bytes | list[bytes] | None) -> Any:
    if isinstance(value, list):
        return [describe_media(mark, each) for each in value]
    return None if value is None else describe_media(mark, value)


def describe_media(mark: Media, data: bytes) -> dict[str, Any]:
    """Return hash and size, with what the header says, such as width and height."""
    size = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    try:
        return {**size, **mark.describe(data)}
    except ValueError:  # a model made it, and nothing has checked it
        return size
