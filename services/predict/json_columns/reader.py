"""Reads a JSON list of records as columns, all numbers of a batch at once."""

from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from operator import itemgetter
from typing import Any

import numpy as np
from pydantic_core import from_json

from services.predict.json_columns.checks import check_of, float_array
from services.predict.json_columns.fields import Field

# Counting takes a tenth of the time of parsing, so it is for bodies that could take much memory.
UNCOUNTED_BYTES = 2 * 2**20
UNBOUNDED = {"ge": -np.inf, "gt": -np.inf, "le": np.inf, "lt": np.inf}


class ColumnReader:
    """Reads the records of one type; whatever is not plainly valid, it leaves to pydantic."""

    def __init__(self, fields: tuple[Field, ...], *, batch_rows: int) -> None:
        self._batch_rows, self._size = batch_rows, len(fields)
        self._names = [each.name for each in fields]
        self._numbers = _Numbers([each for each in fields if each.kind == "float"])
        self._others = [
            (each.name, itemgetter(each.name), check_of(each))
            for each in fields
            if each.kind != "float"
        ]

    def read(self, body: bytes) -> dict[str, np.ndarray] | None:
        """Return the fields, (rows,) each, if all records are plainly valid."""
        if len(body) > UNCOUNTED_BYTES and not self._holds_few(body):
            return None
        try:
            records = from_json(body, allow_inf_nan=False, cache_strings="keys")
        except ValueError:
            return None
        if not self._are_whole(records):
            return None
        try:
            columns = self._numbers.read(records)
            if columns is None:
                return None
            for name, value_of, check in self._others:
                column = check(list(map(value_of, records)))
                if column is None:
                    return None
                columns[name] = column
        except KeyError:  # a field is missing
            return None
        return {name: columns[name] for name in self._names}

    def _holds_few(self, body: bytes) -> bool:
        """Return whether the body has about as many objects and lists as a batch of valid records.

        A body of 16 MiB could hold five million empty lists, which take 400 MB.
        """
        return body.count(b"{") <= self._batch_rows >= body.count(b"[")

    def _are_whole(self, records: Any) -> bool:
        """Return whether these are objects with as many fields as a record has."""
        return (
            isinstance(records, list)
            and len(records) <= self._batch_rows
            and set(map(type, records)) == {dict}
            and set(map(len, records)) == {self._size}
        )


class _Numbers:
    """The float fields of a record, read and checked together: 30 columns cost what one does."""

    def __init__(self, fields: Sequence[Field]) -> None:
        self._names = [each.name for each in fields]
        self._values_of = _values_of(self._names)
        self._least, self._above, self._most, self._below = (
            np.array([each.schema.get(bound, none) for each in fields], dtype=np.float64)
            for bound, none in UNBOUNDED.items()
        )

    def read(self, records: list[dict[str, Any]]) -> dict[str, np.ndarray] | None:
        """Return the fields, (rows,) each; None if a value is no number or not within its bounds.

        Raises:
            KeyError: a record lacks a field.
        """
        if not self._names:
            return {}
        flat = float_array(self._values_of(records))
        if flat is None:
            return None
        table = np.ascontiguousarray(flat.reshape(len(records), len(self._names)).T)
        # A field's least and greatest values decide, and NaN comes through both.
        lowest, highest = table.min(axis=1), table.max(axis=1)
        valid = np.isfinite(lowest) & np.isfinite(highest)
        valid &= (lowest >= self._least) & (highest <= self._most)
        # An infinite bound stands for none, so that the finite values are on its right side.
        valid &= (lowest > self._above) & (highest < self._below)
        return dict(zip(self._names, table, strict=True)) if valid.all() else None


def _values_of(names: list[str]) -> Callable[[Iterable[dict[str, Any]]], list[Any]]:
    """Return the function that lists the values of fields, record by record."""
    if len(names) < 2:
        return lambda records: [record[name] for record in records for name in names]
    values = itemgetter(*names)
    return lambda records: list(chain.from_iterable(map(values, records)))
