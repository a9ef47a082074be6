"""Turns the texts and files of a form or a query into the JSON record that they stand for."""

import base64
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic_core import from_json

from services.web.problem import Problem, invalid_input

BINARY_FORMATS = frozenset({"base64", "base64url", "binary"})


class FormFields:
    """The fields of a record by how a form sends them, from the JSON schema of the record."""

    def __init__(self, schema: dict[str, Any]) -> None:
        definitions = schema.get("$defs", {})
        required = schema.get("required", ())
        variants = {
            name: list(_variants(each, definitions))
            for name, each in schema.get("properties", {}).items()
        }
        self.lists = frozenset(n for n, types in variants.items() if _has(types, "array"))
        self.nested = self.lists | {n for n, types in variants.items() if _has(types, "object")}
        media = [n for n, types in variants.items() if any(map(is_media, types))]
        needed = [name for name in media if name in required]
        self.media: str | None = (needed or media)[0] if len(needed or media) == 1 else None
        """The field that a body without field names stands for: the only one that holds bytes."""

    def record(self, values: Mapping[str, Sequence[str | bytes]]) -> dict[str, Any]:
        """Return the record: files as base64, lists and objects read as JSON, other texts as such.

        Pydantic reads numbers and flags from texts as well. An empty text means unknown.

        Raises:
            Problem: a text for a list or an object is not JSON.
        """
        record: dict[str, Any] = {}
        for name, given in values.items():
            found = [self._value(name, each) for each in given if each != ""]
            single = len(found) == 1 and (name not in self.lists or isinstance(found[0], list))
            if found:
                record[name] = found[0] if single else found
        return record

    def _value(self, name: str, value: str | bytes) -> Any:
        if isinstance(value, bytes):
            return base64.b64encode(value).decode()
        if name not in self.nested or value.lstrip()[:1] not in ("{", "["):
            return value
        try:
            return from_json(value)
        except ValueError as error:
            raise invalid_input([((name,), f"is not valid JSON: {error}")]) from None


def is_media(schema: dict[str, Any]) -> bool:
    """Return whether a JSON schema without references is that of bytes in base64."""
    return schema.get("contentEncoding") == "base64" or schema.get("format") in BINARY_FORMATS


def media_schemas(schema: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the fields of a record that hold media, each with the JSON schema of one value."""
    definitions = schema.get("$defs", {})
    found: dict[str, dict[str, Any]] = {}
    for name, each in schema.get("properties", {}).items():
        for variant in _variants(each, definitions):
            if "contentMediaType" in variant:
                found.setdefault(name, variant)
    return found


def no_single_field(project: str) -> Problem:
    """Return the problem for a raw body when the record has not just one field for it."""
    message = (
        f"a record of {project} has no single field of bytes: send application/json, or "
        "multipart/form-data with the name of each field"
    )
    return Problem(415, "Unsupported content type", message)


def _variants(schema: dict[str, Any], definitions: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the schema's alternatives without references; for a list its elements' as well."""
    if "$ref" in schema:
        # A record is an object; its own fields do not matter here.
        yield {"type": definitions.get(schema["$ref"].rpartition("/")[2], {}).get("type", "object")}
        return
    inner = schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf")
    if inner:
        for each in inner:
            yield from _variants(each, definitions)
        return
    yield schema
    if schema.get("type") == "array" and is_media(schema.get("items", {})):
        yield schema["items"]


def _has(variants: list[dict[str, Any]], kind: str) -> bool:
    return any(each.get("type") == kind for each in variants)
