"""Find records that hold nothing but free texts, such as an e-mail or a headline."""

from slipway.contract.record import Record


def text_fields(kind: type[Record]) -> tuple[str, ...]:
    """Return the record's fields if all of them are free texts; else none."""
    properties = kind.model_json_schema()["properties"]
    names = tuple(kind.model_fields)
    plain = {"type", "title", "description", "minLength", "maxLength", "default", "examples"}
    free = (properties[n].get("type") == "string" and properties[n].keys() <= plain for n in names)
    return names if all(free) else ()
