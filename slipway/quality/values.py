"""Read JSON values as a number or as a category; no value is an error."""

import math
from typing import Any

LONGEST = 200


def number(value: Any) -> float | None:
    """Return the finite number that the value, or its text, holds; None for anything else.

    Texts count because the model server accepts them too.
    """
    if isinstance(value, str):
        if len(value) > 40:
            return None
    elif not isinstance(value, int | float):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None


def category(value: Any) -> str | None:
    """Return the value as text, cut off after 200 characters."""
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value)[:LONGEST]
