"""Writes predicted columns as the JSON list that the same predictions as records would give."""

from typing import Any

import numpy as np
from pydantic_core import to_json

from services.predict.json_columns.checks import check_of
from services.predict.json_columns.fields import Field

# The arrays that hold a kind of values, by the kinds of their dtypes.
DTYPES = {"bool": "b", "float": "f", "int": "iu", "str": "OU"}
# `tolist` gives Python's own numbers up to this size.
ITEM_BYTES = 8


class RowWriter:
    """Writes the predictions of one type."""

    def __init__(self, fields: tuple[Field, ...]) -> None:
        self._columns = [(each.name, _dtypes(each), check_of(each)) for each in fields]
        pairs = (b"%b:%%b" % to_json(each.name).replace(b"%", b"%%") for each in fields)
        self._row = b"{%b}" % b",".join(pairs)

    def write(self, columns: dict[str, np.ndarray], rows: int) -> bytes | None:
        """Return the predictions as JSON; None if records with these values could not be made."""
        texts = []
        for name, dtypes, check in self._columns:
            values = _as_list(columns.get(name), dtypes, rows)
            if values is None or check(values) is None:
                return None
            texts.append(_texts(values))
        # Half the time of a dictionary for each row.
        return b"[%b]" % b",".join(map(self._row.__mod__, zip(*texts, strict=True)))


def _texts(values: list[Any]) -> list[bytes]:
    """Return each value as JSON."""
    if isinstance(values[0], str):
        return list(map(to_json, values))
    return to_json(values)[1:-1].split(b",")


def _dtypes(field: Field) -> str:
    if field.kind != "literal":
        return DTYPES[field.kind]
    return DTYPES["str" if isinstance(field.schema["expected"][0], str) else "int"]


def _as_list(column: np.ndarray | None, dtypes: str, rows: int) -> list[Any] | None:
    fits = (
        isinstance(column, np.ndarray)
        and column.shape == (rows,)
        and column.dtype.kind in dtypes
        and (column.dtype.itemsize <= ITEM_BYTES or column.dtype.kind == "U")
    )
    return column.tolist() if fits and column is not None else None
