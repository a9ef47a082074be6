"""Form fields for a record, from the JSON schema of its type."""

import json
import re
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import ValidationError

from slipway.contract import Record

Kind = Literal["integer", "number", "flag", "choice", "text", "json"]
WORDS = re.compile(r"\^\(([^()\[\]\\.*+?]+)\)\$")
LETTERS = re.compile(r"\^\[(\w+)\]\$")


@dataclass(frozen=True)
class Widget:
    """The input element of one field."""

    name: str
    kind: Kind
    optional: bool
    """True if the field may be null."""
    description: str = ""
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()


def widgets(kind: type[Record]) -> list[Widget]:
    """Return a widget per field of the record; lists and objects are edited as JSON."""
    properties = kind.model_json_schema()["properties"]
    return [_widget(name, schema) for name, schema in properties.items()]


def _widget(name: str, schema: dict[str, Any]) -> Widget:
    kinds = schema.get("anyOf", [schema])
    known = [each for each in kinds if each.get("type") != "null"]
    value, optional = known[0] if len(known) == 1 else {}, len(known) < len(kinds)
    low = value.get("minimum", value.get("exclusiveMinimum"))
    high = value.get("maximum", value.get("exclusiveMaximum"))
    choices = _choices(value)
    plain: dict[str, Kind] = {
        "integer": "integer",
        "number": "number",
        "boolean": "flag",
        "string": "choice" if choices else "text",
    }
    widget_kind = plain.get(value.get("type", ""), "json")
    return Widget(name, widget_kind, optional, schema.get("description", ""), low, high, choices)


def _choices(schema: dict[str, Any]) -> tuple[str, ...]:
    """Return the choices of an enum, or of patterns like `^(female|male)$` and `^[CQS]$`."""
    if "enum" in schema:
        return tuple(schema["enum"])
    pattern = schema.get("pattern", "")
    if words := WORDS.fullmatch(pattern):
        return tuple(words[1].split("|"))
    letters = LETTERS.fullmatch(pattern)
    return tuple(letters[1]) if letters else ()


def record(kind: type[Record], values: dict[str, Any]) -> Record:
    """Return the record with these values.

    Raises:
        ValueError: the values are not valid; the message has a line for each wrong field.
    """
    try:
        return kind.model_validate_json(json.dumps(values))
    except ValidationError as error:
        faults = [
            f"{'.'.join(map(str, fault['loc'])) or 'record'}: {fault['msg']}"
            for fault in error.errors(include_url=False)
        ]
        raise ValueError("\n".join(faults)) from None
