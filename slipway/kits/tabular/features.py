"""Feature blocks made of record fields."""

from collections.abc import Sequence
from typing import Any

import numpy as np


def numbers(records: Sequence[Any], fields: Sequence[str]) -> np.ndarray:
    """Return the numeric fields (rows, fields) as float32, NaN where a value is missing."""
    rows = [[getattr(each, name) for name in fields] for each in records]
    return np.array(rows, dtype=np.float32).reshape(-1, len(fields))


def texts(records: Sequence[Any], fields: Sequence[str], missing: str = "") -> np.ndarray:
    """Return the fields (rows, fields) as texts, `missing` where a value is missing."""
    values = ([getattr(each, name) for name in fields] for each in records)
    rows = [[missing if value is None else str(value) for value in row] for row in values]
    return np.array(rows, dtype=object).reshape(-1, len(fields))
