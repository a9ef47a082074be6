"""Shift one field of records, as when the world changes, within what the schema permits."""

import statistics
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from slipway.fault import Fault
from slipway.names import unknown

# By how many standard deviations a number is moved; a drift test on a few hundred rows sees it.
DEVIATIONS = 2.0

Record = dict[str, Any]
Shift = Callable[[Record], Record]


def shift(field: str, records: Sequence[Record], schema: dict[str, Any]) -> Shift:
    """Return a function that shifts the field of a record.

    Numbers grow by two standard deviations, or shrink if the schema permits no larger ones. Any
    other value becomes the most frequent one.

    Raises:
        Fault: the records have no such field, or no other value can be made of it.
    """
    if field not in schema.get("properties", {}):
        raise Fault(unknown("field", field, list(schema.get("properties", {}))))
    values = [each[field] for each in records if each.get(field) is not None]
    if not values:
        raise Fault(f"field {field!r} has no values that could drift")
    if all(isinstance(each, int | float) and not isinstance(each, bool) for each in values):
        return _shift_number(field, values, schema["properties"][field])
    if all(isinstance(each, str | bool) for each in values):
        [(common, _)] = Counter(values).most_common(1)
        return lambda record: {**record, field: common}
    raise Fault(f"field {field!r} is neither a number nor a text, so it cannot drift")


def _shift_number(field: str, values: Sequence[float], schema: dict[str, Any]) -> Shift:
    low, high = _bounds(schema)
    middle, step = statistics.fmean(values), DEVIATIONS * (statistics.pstdev(values) or 1.0)
    if middle + step > high and middle - step >= low:
        step = -step
    whole = all(isinstance(each, int) for each in values)

    def moved(record: Record) -> Record:
        value = record.get(field)
        if value is None:
            return record
        shifted = min(high, max(low, value + step))
        return {**record, field: round(shifted) if whole else shifted}

    return moved


def _bounds(schema: dict[str, Any]) -> tuple[float, float]:
    """Return the smallest and the largest number that the field's schema permits."""
    parts = [schema, *schema.get("anyOf", ())]
    low = [each[key] for each in parts for key in ("minimum", "exclusiveMinimum") if key in each]
    high = [each[key] for each in parts for key in ("maximum", "exclusiveMaximum") if key in each]
    return max(low, default=float("-inf")), min(high, default=float("inf"))
