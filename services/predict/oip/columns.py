"""A record as tensors: one tensor for each field, of shape [rows].

| field | datatype | unknown |
| --- | --- | --- |
| bool | BOOL | JSON null |
| int | INT64 | JSON null, or NaN in FP64 |
| float | FP64 | JSON null, or NaN |
| str | BYTES, UTF-8 | JSON null, or empty where the field may be null |
| bytes | BYTES; base64 in JSON | JSON null, or empty where the field may be null |
| anything nested | BYTES, holding JSON | JSON null |

The tensor of a field with a default may be left out. Instead of all these tensors, one BYTES tensor
called `records` may hold one JSON record for each row.
"""

from dataclasses import dataclass
from typing import Any, Literal

from services.predict.form_fields import is_media

Kind = Literal["bool", "int", "float", "str", "bytes", "json"]
DATATYPES: dict[Kind, str] = {
    "bool": "BOOL",
    "int": "INT64",
    "float": "FP64",
    "str": "BYTES",
    "bytes": "BYTES",
    "json": "BYTES",
}
KINDS: dict[str, Kind] = {
    "boolean": "bool",
    "integer": "int",
    "number": "float",
    "string": "str",
}
BOUNDS = ("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum")
UNCHECKED = frozenset({"multipleOf", "enum", "const", "not", "allOf", "oneOf"})
RECORDS = "records"
EXACT = 2**53
"""Doubles do not hold every integer beyond it."""


@dataclass(frozen=True)
class Column:
    """A field of a record, as a tensor."""

    name: str
    kind: Kind
    nullable: bool
    required: bool
    bounds: dict[str, float]
    checkable: bool
    """True if its constraints are bounds and nothing else."""

    @property
    def datatype(self) -> str:
        return DATATYPES[self.kind]


def columns_of(schema: dict[str, Any]) -> tuple[Column, ...]:
    """Return the columns of a record with this JSON schema, in the order of its fields."""
    required = set(schema.get("required", ()))
    return tuple(
        _column(name, field, name in required) for name, field in schema["properties"].items()
    )


def _column(name: str, field: dict[str, Any], required: bool) -> Column:
    choices = field.get("anyOf", [field])
    known = [each for each in choices if each.get("type") != "null"]
    own = known[0] if len(known) == 1 else {}
    kind: Kind = KINDS.get(own.get("type", ""), "json")
    if kind == "str" and is_media(own):
        kind = "bytes"
    bounds = {bound: own[bound] for bound in BOUNDS if bound in own}
    return Column(
        name=name,
        kind=kind,
        nullable=len(known) < len(choices),
        required=required,
        bounds=bounds,
        checkable=(
            kind in ("float", "int", "bool")
            and required
            and not UNCHECKED & own.keys()
            and all(abs(bound) < EXACT for bound in bounds.values())
        ),
    )


def metadata(
    name: str, versions: list[str], inputs: tuple[Column, ...], outputs: tuple[Column, ...]
) -> dict[str, Any]:
    """Return the protocol's model metadata."""

    def tensors(columns: tuple[Column, ...]) -> list[dict[str, Any]]:
        return [{"name": each.name, "datatype": each.datatype, "shape": [-1]} for each in columns]

    return {
        "name": name,
        "versions": versions,
        "platform": "slipway_onnxruntime",
        "inputs": tensors(inputs),
        "outputs": tensors(outputs),
    }
