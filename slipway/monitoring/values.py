"""Values as JSON holds them, read as a number or as a category; never an error."""

import math
from typing import Any

LONGEST = 200


def number(value: Any) -> float | None:
    """None for what is no finite number. Texts that hold one count: the server takes them too."""
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
    """As text, cut off after 200 characters."""
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value)[:LONGEST]
