"""Rows of pandas frames, and blocks of features side by side."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd


def rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The frame's rows by column name, None where a value is missing."""
    return [
        {str(name): None if pd.isna(value) else value for name, value in row.items()}
        for row in frame.to_dict("records")
    ]


def together(columns: Mapping[str, np.ndarray]) -> np.ndarray:
    """The blocks of `model.features` side by side, for scikit-learn: (rows, columns) object."""
    return np.concatenate([block.astype(object) for block in columns.values()], axis=1)
