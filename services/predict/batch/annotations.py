"""The types of a record's fields, as batch scoring needs them."""

import types
import typing
from typing import Any

from pydantic import BaseModel

from slipway.contract.record import Record
from slipway.media import media_fields

# The limit of a `bytes` field without a marker.
PLAIN_BYTES = 64 * 2**20


def members(annotation: Any) -> tuple[Any, ...]:
    """Return the members of a union, or the type itself, without constraints."""
    kind = typing.get_origin(annotation)
    if kind is typing.Annotated:
        return members(typing.get_args(annotation)[0])
    if kind in (typing.Union, types.UnionType):
        return tuple(each for arg in typing.get_args(annotation) for each in members(arg))
    return (annotation,)


def is_nested(annotation: Any) -> bool:
    """Return whether a value is a list, an object or another collection."""
    for each in members(annotation):
        kind = typing.get_origin(each) or each
        if isinstance(kind, type) and issubclass(
            kind, (list, dict, tuple, set, frozenset, BaseModel)
        ):
            return True
    return False


def byte_limits(record: type[Record]) -> dict[str, int]:
    """Return the fields that hold bytes or lists of them, each with the most bytes of one value."""
    marks = media_fields(record)
    return {
        name: marks[name].max_bytes if name in marks else PLAIN_BYTES
        for name, field in record.model_fields.items()
        if bytes in members(field.annotation) or holds_byte_list(field.annotation)
    }


def holds_byte_list(annotation: Any) -> bool:
    """Return whether a value is a list of bytes."""
    return any(
        typing.get_origin(each) is list and bytes in members(typing.get_args(each)[0])
        for each in members(annotation)
    )
