"""The base class of the records that clients send and of the predictions that they get."""

from typing import Self

import numpy as np
from pydantic import BaseModel, ConfigDict


class Record(BaseModel):
    """An immutable row whose types carry constraints; unknown fields are rejected.

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
    def from_columns(cls, **columns: np.ndarray) -> list[Self]:
        """Build one record per row from the fields' values, (rows,), or (rows, n) for lists.

        Raises:
            ValueError: the columns have different lengths, or a value is invalid for its field (a
                pydantic.ValidationError).
        """
        rows = zip(*(column.tolist() for column in columns.values()), strict=True)
        return [cls(**dict(zip(columns, row, strict=True))) for row in rows]
