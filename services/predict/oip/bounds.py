"""Whole columns of numbers held against the record's constraints, all fields at once."""

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
    """For records whose fields are all required numbers or flags, bounded and no more."""

    def __init__(self, columns: tuple[Column, ...]) -> None:
        self.columns = columns

    @cached_property
    def checkable(self) -> bool:
        return all(each.checkable for each in self.columns)

    @cached_property
    def _limits(self) -> dict[str, np.ndarray]:
        """By kind of bound, (fields, 1); fields without it have one that holds for any number."""
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
        """Raises Problem: a value is out of bounds or not finite; the first one is named."""
        table = np.empty((len(self.columns), len(next(iter(arrays.values())))))
        for place, column in enumerate(self.columns):
            table[place] = arrays[column.name]
        # The least and the most of a field say all, and not-a-number comes through both.
        least, most = table.min(axis=1, keepdims=True), table.max(axis=1, keepdims=True)
        fine = np.isfinite(least) & np.isfinite(most)
        for bound, limit in self._limits.items():
            fine &= HOLDS[bound](least if bound in LOWER else most, limit)
        if not fine.all():
            self._refuse(table, int(np.flatnonzero(~fine[:, 0])[0]))

    def _refuse(self, table: np.ndarray, place: int) -> None:
        column, values = self.columns[place], table[place]
        good = np.isfinite(values)
        for bound, limit in column.bounds.items():
            good &= HOLDS[bound](values, limit)
        row = int(np.flatnonzero(~good)[0])
        wanted = ", ".join(f"{name} {value:g}" for name, value in column.bounds.items())
        told = f"must be {wanted or 'finite'}, got {values[row]:g}"
        field = f"{row}.{column.name}"
        raise Problem(
            422, "Invalid input", f"{field}: {told}", errors=[{"field": field, "message": told}]
        )
