"""The base class of the markers that make a `bytes` field of a record a media field."""

import types
import typing
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Union

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

from slipway.media.base64_text import decode_base64, encode_base64
from slipway.media.refusals import Refused


@dataclass(frozen=True, kw_only=True)
class Media(ABC):
    """Marks `bytes`, `bytes | None` or `list[bytes]` as media of one kind.

    `Annotated[bytes, marker]` is base64 in JSON and bytes in Python. Every value is checked by the
    marker before a model sees it.
    """

    kind: ClassVar[str]
    """image, audio, video, blob or state"""

    max_bytes: int = 10_000_000

    @property
    @abstractmethod
    def media_types(self) -> tuple[str, ...]:
        """Return the media types that the field accepts."""

    def media_type_of(self, data: bytes) -> str:
        """Return which of `media_types` the content is, for the header of a response."""
        return self.media_types[0]

    @abstractmethod
    def describe(self, data: bytes) -> dict[str, Any]:
        """Return facts from the header, such as width and height, in JSON types.

        Raises:
            ValueError: the header is not one of the accepted kinds, or is damaged.
        """

    @abstractmethod
    def check_content(self, data: bytes) -> None:
        """Check the header against the limits, then decode.

        Raises:
            ValueError: `data` is of another kind, beyond a limit, or damaged.
        """

    def check(self, data: bytes) -> bytes:
        """Return `data` if the field accepts it.

        Raises:
            ValueError: it does not; the text names the limit.
        """
        if not data:
            raise Refused("is empty")
        if len(data) > self.max_bytes:
            raise Refused(f"must be at most {self.max_bytes:,} bytes, got {len(data):,}")
        self.check_content(data)
        return data

    def limits(self) -> dict[str, Any]:
        """Return what the schema says about the field beyond kind, types and bytes."""
        return {}

    def json_schema(self) -> dict[str, Any]:
        """Return the JSON schema of one value; `x-slipway` tells pages how to offer the field."""
        hint = {
            "kind": self.kind,
            "formats": [],
            "media_types": list(self.media_types),
            "max_bytes": self.max_bytes,
            "capture": False,
            "draw": False,
        }
        return {
            "type": "string",
            "contentEncoding": "base64",
            "contentMediaType": self.media_types[0],
            "x-slipway": {**hint, **self.limits()},
        }

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        # Through the handler, so that a Field's limits on the length of a list stay.
        return handler(self._with_elements(source))

    def _with_elements(self, source: Any) -> Any:
        """Return the type with each `bytes` in it marked as one value of this field."""
        origin, parts = typing.get_origin(source), typing.get_args(source)
        if source is bytes:
            return Annotated[bytes, _Element(self)]
        if origin is list:
            return list[self._with_elements(parts[0])]  # type: ignore[misc]
        if origin in (Union, types.UnionType) and len(parts) == 2 and type(None) in parts:
            inner = next(part for part in parts if part is not type(None))
            return self._with_elements(inner) | None
        raise TypeError(
            f"{type(self).__name__} marks bytes, bytes | None or list[bytes], got {source!r}"
        )


@dataclass(frozen=True)
class _Element:
    """One value of a media field."""

    marker: Media

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        # Strict: Python code passes bytes, and a text there would be ambiguous.
        text, data = core_schema.str_schema(strict=True), core_schema.bytes_schema(strict=True)
        check = core_schema.no_info_after_validator_function
        return core_schema.json_or_python_schema(
            json_schema=check(self._from_text, text),
            python_schema=check(self.marker.check, data),
            serialization=core_schema.plain_serializer_function_ser_schema(
                encode_base64, return_schema=core_schema.str_schema(), when_used="json"
            ),
        )

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return self.marker.json_schema()

    def _from_text(self, text: str) -> bytes:
        return self.marker.check(decode_base64(text, self.marker.max_bytes))
