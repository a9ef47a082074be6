"""A model's records as the server describes them: their fields, and which of them hold media."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from .errors import FieldError

MEDIA_FORMATS = frozenset({"binary", "base64", "base64url"})


@dataclass(frozen=True)
class Schema:
    """The schema of a model, as `GET /v1/models/{name}/schema` returns it."""

    name: str
    version: str
    question: str
    input: Mapping[str, Any]
    output: Mapping[str, Any]
    chunk: Mapping[str, Any] | None
    streams: bool
    examples: list[dict[str, Any]]
    """Records with their predictions: `{"input": ..., "output": ...}`."""

    @classmethod
    def read(cls, content: Mapping[str, Any]) -> Schema:
        return cls(
            name=content["name"],
            version=str(content["version"]),
            question=content.get("question", ""),
            input=content["input"],
            output=content["output"],
            chunk=content.get("chunk"),
            streams=bool(content.get("streams")),
            examples=list(content.get("examples", ())),
        )

    @property
    def fields(self) -> list[str]:
        """The names of the record's fields."""
        return list(self.input.get("properties", {}))

    @property
    def required(self) -> list[str]:
        """The names of the fields that every record must have."""
        return list(self.input.get("required", ()))

    @property
    def input_media(self) -> frozenset[str]:
        """The record's fields that hold media."""
        return media(self.input)

    @property
    def output_media(self) -> frozenset[str]:
        """The prediction's fields that hold media."""
        return media(self.output)

    @property
    def chunk_media(self) -> frozenset[str]:
        """The fields of a streamed chunk that hold media."""
        return media(self.chunk or {})

    def check(self, record: Mapping[str, Any]) -> None:
        """Check the names of a record's fields; their values are checked by the server.

        Raises:
            FieldError: a field is unknown; the message suggests another.
        """
        if self.input.get("additionalProperties") is not False:
            return
        # A record that leaves fields out may name an entity instead, by which the server looks
        # them up: the server decides.
        complete = all(name in record for name in self.required)
        for name in record:
            if name in self.fields:
                continue
            if close := get_close_matches(name, self.fields, n=1):
                raise FieldError(f"{self.name} has no field {name!r}; did you mean {close[0]}?")
            if complete:
                fields = ", ".join(self.fields)
                raise FieldError(f"{self.name} has no field {name!r}; it has {fields}")


def media(schema: Mapping[str, Any]) -> frozenset[str]:
    """Return the fields of a schema that hold a medium, or a list of them."""
    return frozenset(
        name
        for name, field in schema.get("properties", {}).items()
        if any(_is_medium(part) for part in _parts(field))
    )


def _parts(field: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for part in (field, *field.get("anyOf", ())):
        yield part
        if isinstance(part.get("items"), Mapping):
            yield part["items"]


def _is_medium(part: Mapping[str, Any]) -> bool:
    encoded = part.get("contentEncoding") == "base64" or part.get("format") in MEDIA_FORMATS
    return part.get("type") == "string" and encoded
