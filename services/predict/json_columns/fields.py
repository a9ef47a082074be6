"""Tells which record types may be read as columns, from the schema that pydantic validates by.

Everything that is not known to mean the same for a column as for a record makes a record type
unfit: own validators and serializers, nested records, media, aliases, other settings of pydantic.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from slipway.contract import Record

# The settings of `Record`; with others, such as `strict`, the same value may be refused.
CONFIG = {
    "allow_inf_nan": False,
    "extra_fields_behavior": "forbid",
    "ser_json_bytes": "base64",
    "val_json_bytes": "base64",
}
MODEL = {"type", "cls", "config", "custom_init", "metadata", "ref", "root_model", "schema"}
MODEL_FIELDS = {"type", "fields", "model_name", "computed_fields"}
FIELD = {"type", "schema", "metadata"}
# A missing or null value is left to the records, so nothing else of these wrappers matters.
WRAPPERS = {
    "default": {"type", "schema", "default", "metadata"},
    "nullable": {"type", "schema", "metadata"},
}
BOUNDS = {"ge", "gt", "le", "lt"}
VALUES = {
    "bool": {"type", "metadata"},
    "float": {"type", "metadata", *BOUNDS},
    "int": {"type", "metadata", *BOUNDS},
    "literal": {"type", "metadata", "expected"},
    "str": {"type", "metadata", "min_length", "max_length", "pattern"},
}
# JSON escapes these, and msgspec compares names as they are written.
UNREADABLE = re.compile(r'[\\"\x00-\x1f]')
EXACT = 2**53
"""Doubles do not hold every integer beyond it."""


@dataclass(frozen=True)
class Field:
    """A field whose values are numbers, flags, texts, or one of several texts or numbers."""

    name: str
    kind: str
    """`bool`, `float`, `int`, `str` or `literal`."""
    schema: Mapping[str, Any]
    """Pydantic's schema of a value that is there: its kind and its constraints."""


def fields_of(record: type[Record]) -> tuple[Field, ...]:
    """Return the fields of a record type, in their order; none if it may not be read as columns."""
    schema: Mapping[str, Any] = record.__pydantic_core_schema__
    if schema.get("type") != "model" or not schema.keys() <= MODEL:
        return ()
    config = {key: value for key, value in schema["config"].items() if key != "title"}
    inner = schema["schema"]
    plain = (
        config == CONFIG
        and not schema.get("custom_init")
        and not schema.get("root_model")
        and inner["type"] == "model-fields"
        and inner.keys() <= MODEL_FIELDS
        and not inner.get("computed_fields")
    )
    if not plain:
        return ()
    fields = [_field(name, each) for name, each in inner["fields"].items()]
    found = tuple(each for each in fields if each is not None)
    return found if len(found) == len(fields) else ()


def _field(name: str, field: Mapping[str, Any]) -> Field | None:
    if not field.keys() <= FIELD or UNREADABLE.search(name):
        return None
    schema = field["schema"]
    while schema["type"] in WRAPPERS and schema.keys() <= WRAPPERS[schema["type"]]:
        schema = schema["schema"]
    kind = schema["type"]
    if kind not in VALUES or not schema.keys() <= VALUES[kind] or not _comparable(schema):
        return None
    return Field(name, kind, schema)


def _comparable(schema: Mapping[str, Any]) -> bool:
    """Return whether bounds and choices can be compared with a column's values without error."""
    bounds = [schema[bound] for bound in BOUNDS & schema.keys()]
    if not all(type(each) in (int, float) and abs(each) < EXACT for each in bounds):
        return False
    return schema["type"] != "literal" or {type(each) for each in schema["expected"]} in (
        {str},
        {int},
    )
