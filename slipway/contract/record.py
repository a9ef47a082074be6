"""The base of what a client sends and what a model answers."""

from typing import Self

import numpy as np
from pydantic import BaseModel, ConfigDict


class Record(BaseModel):
    """An immutable row with constraints in its types; unknown fields are refused.

    `bytes` fields travel as base64 in JSON, so an image is a plain field.
    """

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        val_json_bytes="base64",
        ser_json_bytes="base64",
        protected_namespaces=(),
        allow_inf_nan=False,
    )

    @classmethod
    def of_columns(cls, **columns: np.ndarray) -> list[Self]:
        """One a row, from the fields' values by name: (rows,), or (rows, some) for a list each.

        Raises:
            ValueError: the columns are of different lengths, or a value is not what its field takes
                (a pydantic.ValidationError).
        """
        rows = zip(*(column.tolist() for column in columns.values()), strict=True)
        return [cls(**dict(zip(columns, row, strict=True))) for row in rows]
