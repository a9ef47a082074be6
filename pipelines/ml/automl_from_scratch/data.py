"""MNIST's digits as PNG files, and smaller tasks for the search history."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from slipway.datasets import Dataset
from slipway.kits.readers.mnist import digit_splits

from .learners import Task
from .model import LABELS, Drawing


def splits(dataset: Dataset, *, train_rows: int) -> dict[str, Iterator[tuple[Drawing, str]]]:
    """Return labelled pictures by split: the first `train_rows` to train, and all to test."""
    return digit_splits(dataset, Drawing, LABELS, train_rows=train_rows)


def earlier_tasks(
    dataset: Dataset, *, names: list[str], learn: int, held: int, seed: int
) -> list[Task]:
    """Return small tasks with at most `learn` training rows and `held` held-out rows.

    The last column of a raw table is the label.
    """
    tasks = []
    for name in names:
        raw = pd.read_csv(dataset.path(f"{name}.dat"), header=None, skipinitialspace=True)
        frame = raw.drop_duplicates()
        numbers = frame.iloc[:, :-1].to_numpy(dtype=np.float64)
        labels = frame.iloc[:, -1].astype(str).str.strip().to_numpy()
        order = np.random.default_rng(seed).permutation(len(labels))
        border = min(learn, 2 * len(labels) // 3)
        parts = (order[:border], order[border : border + held])
        tasks.append(Task(name, *((numbers[part], labels[part]) for part in parts)))
    return tasks
