"""A random split of labelled rows into training and test rows."""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

Row = TypeVar("Row")


def random_split(rows: Sequence[Row], test_share: float, seed: int) -> dict[str, list[Row]]:
    """Return the rows as `train` and `test`, in random order; `test_share` of them for the test."""
    order = np.random.default_rng(seed).permutation(len(rows))
    count = round(test_share * len(rows))
    parts = {"train": order[count:], "test": order[:count]}
    return {name: [rows[place] for place in places] for name, places in parts.items()}
