"""Schemas of records as components, and as the fields of a form."""

import json
from typing import Any

MEDIA_FORMATS = ("binary", "base64", "base64url")
BINARY = {"type": "string", "format": "binary"}

Schema = dict[str, Any]


class Components:
    """The components of the document."""

    def __init__(self, content: dict[str, Any]) -> None:
        self.content = content
        self.schemas: dict[str, Schema] = content.setdefault("schemas", {})

    def add(self, name: str, schema: Schema) -> Schema:
        """Add a schema; return its reference."""
        self.schemas[name] = schema
        return {"$ref": f"#/components/schemas/{name}"}

    def add_record(self, project: str, record: str, schema: Schema) -> Schema:
        """Add a record's schema, and those that it uses, under its project's name."""
        prefix = f"#/components/schemas/{project}."
        own = json.loads(json.dumps(schema).replace("#/$defs/", prefix))
        for name, nested in own.pop("$defs", {}).items():
            self.add(f"{project}.{name}", _untitled(nested))
        return self.add(f"{project}.{record}", _untitled(own))


def _untitled(schema: Schema) -> Schema:
    """Return a record's schema without titles, which generators take for names of classes.

    A record's title is the name of its Python class, which several projects may share.
    """
    fields = {
        name: {key: value for key, value in field.items() if key != "title"}
        for name, field in schema.get("properties", {}).items()
    }
    untitled = {key: value for key, value in schema.items() if key != "title"}
    return {**untitled, "properties": fields} if fields else untitled


def media_fields(schema: Schema) -> dict[str, Schema]:
    """Return the fields of a record that hold a medium, such as a picture, or a list of them."""
    return {
        name: field
        for name, field in schema.get("properties", {}).items()
        if medium(field) is not None
    }


def medium(field: Schema) -> Schema | None:
    """Return the part of a field's schema that describes a medium; None if there is none."""
    for part in (field, *field.get("anyOf", ())):
        for each in (part, part.get("items", {})):
            if each.get("type") == "string" and _is_encoded(each):
                found: Schema = each
                return found
    return None


def _is_encoded(schema: Schema) -> bool:
    return schema.get("contentEncoding") == "base64" or schema.get("format") in MEDIA_FORMATS


def is_list(field: Schema) -> bool:
    """Return whether the field holds a list."""
    return any(part.get("type") == "array" for part in (field, *field.get("anyOf", ())))


def media_types(field: Schema) -> list[str]:
    """Return the media types of a field, such as image/png."""
    part = medium(field) or {}
    hint = field.get("x-slipway") or part.get("x-slipway") or {}
    types = hint.get("media_types") or [part.get("contentMediaType")]
    # A model's state is JSON, of which the ordinary request and response are made.
    return [each for each in types if each and each != "application/json"]


def form(schema: Schema) -> Schema | None:
    """Return the schema of a form that stands for the record: media are files in it.

    Returns None for a record without media, whose schema is its form's schema as well.
    """
    media = media_fields(schema)
    if not media:
        return None
    fields = {
        name: _file(field) if name in media else field
        for name, field in schema["properties"].items()
    }
    return {**schema, "properties": fields}


def _file(field: Schema) -> Schema:
    about = {"description": field["description"]} if "description" in field else {}
    if is_list(field):
        return {"type": "array", "items": BINARY, **about}
    return {**BINARY, **about}


def raw_types(schema: Schema) -> list[str]:
    """Return the media types that a whole body may have instead of a record.

    Such a body is the record's only required medium; without exactly one there is no such body.
    """
    required = schema.get("required", ())
    fields = [
        field
        for name, field in media_fields(schema).items()
        if name in required and not is_list(field)
    ]
    return media_types(fields[0]) if len(fields) == 1 else []
