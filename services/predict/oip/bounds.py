"""Checks of whole columns of numbers against a record's constraints, all fields at once."""

from functools import cached_property

import numpy as np

from services.predict.oip.columns import Column
from services.web.problem import Problem

HOLDS = {
    "minimum": np.greater_equal,
    "exclusiveMinimum": np.greater,
    "maximum": np.less_equal,
    "exclusiveMaximum": np.less,
}
LOWER = ("minimum", "exclusiveMinimum")


class Bounds:
    """The bounds of a record whose fields are all required numbers or flags."""

    def __init__(self, columns: tuple[Column, ...]) -> None:
        self.columns = columns

    @cached_property
    def checkable(self) -> bool:
        """True if the fields have no constraints other than bounds."""
        return all(each.checkable for each in self.columns)

    @cached_property
    def _limits(self) -> dict[str, np.ndarray]:
        """Limits by kind of bound, (fields, 1); infinite for fields without that bound."""
        return {
            bound: np.array(
                [
                    [each.bounds.get(bound, -np.inf if bound in LOWER else np.inf)]
                    for each in self.columns
                ]
            )
            for bound in HOLDS
        }

    def check(self, arrays: dict[str, np.ndarray]) -> None:
        """Check columns by field name, (rows,) each.

        Raises:
            Problem: a value is out of bounds or not finite; the first one is named.
        """
        table = np.empty((len(self.columns), len(next(iter(arrays.values())))))
        for place, column in enumerate(self.columns):
            table[place] = arrays[column.name]
        # A field's least and greatest values decide, and NaN comes through both.
        lowest, highest = table.min(axis=1, keepdims=True), table.max(axis=1, keepdims=True)
        valid = np.isfinite(lowest) & np.isfinite(highest)
        for bound, limit in self._limits.items():
            valid &= HOLDS[bound](lowest if bound in LOWER else highest, limit)
        if not valid.all():
            self._refuse(table, int(np.flatnonzero(~valid[:, 0])[0]))

    def _refuse(self, table: np.ndarray, place: int) -> None:
        column, values = self.columns[place], table[place]
        valid = np.isfinite(values)
        for bound, limit in column.bounds.items():
            valid &= HOLDS[bound](values, limit)
        row = int(np.flatnonzero(~valid)[0])
        limits = ", ".join(f"{name} {value:g}" for name, value in column.bounds.items())
        message = f"must be {limits or 'finite'}, got {values[row]:g}"
        field = f"{row}.{column.name}"
        raise Problem(
            422,
            "Invalid input",
            f"{field}: {message}",
            errors=[{"field": field, "message": message}],
        )
