"""Conversion of pandas frames and of feature blocks."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd


def to_dicts(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the frame's rows as dicts by column name, with None for missing values."""
    return [
        {str(name): None if pd.isna(value) else value for name, value in row.items()}
        for row in frame.to_dict("records")
    ]


def concatenate_blocks(columns: Mapping[str, np.ndarray]) -> np.ndarray:
    """Concatenate the blocks of `model.features` for scikit-learn: object (rows, columns)."""
    return np.concatenate([block.astype(object) for block in columns.values()], axis=1)
