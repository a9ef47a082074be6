"""A form for a record, from the JSON schema of its type."""

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
    """One field: how it is asked for."""

    name: str
    kind: Kind
    optional: bool
    """It may be unknown."""
    description: str = ""
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()


def widgets(kind: type[Record]) -> list[Widget]:
    """In the order of the record's fields; lists and objects are asked for as JSON."""
    schema = kind.model_json_schema()
    return [_widget(name, told) for name, told in schema["properties"].items()]


def _widget(name: str, told: dict[str, Any]) -> Widget:
    kinds = told.get("anyOf", [told])
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
    asked = plain.get(value.get("type", ""), "json")
    return Widget(name, asked, optional, told.get("description", ""), low, high, choices)


def _choices(told: dict[str, Any]) -> tuple[str, ...]:
    """Of an enum, or of the patterns `^(female|male)$` and `^[CQS]$`."""
    if "enum" in told:
        return tuple(told["enum"])
    pattern = told.get("pattern", "")
    if words := WORDS.fullmatch(pattern):
        return tuple(words[1].split("|"))
    letters = LETTERS.fullmatch(pattern)
    return tuple(letters[1]) if letters else ()


def record(kind: type[Record], values: dict[str, Any]) -> Record:
    """Raises ValueError: the values make no record; a line for each field that is wrong."""
    try:
        return kind.model_validate_json(json.dumps(values))
    except ValidationError as error:
        faults = [
            f"{'.'.join(map(str, fault['loc'])) or 'record'}: {fault['msg']}"
            for fault in error.errors(include_url=False)
        ]
        raise ValueError("\n".join(faults)) from None
