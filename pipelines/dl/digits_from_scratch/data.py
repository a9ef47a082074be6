"""MNIST's digits as PNG files in the data set's own split."""

from collections.abc import Iterator

from slipway.datasets import Dataset
from slipway.kits.readers.mnist import digit_splits

from .model import LABELS, Drawing


def splits(dataset: Dataset, *, train_rows: int) -> dict[str, Iterator[tuple[Drawing, str]]]:
    """Return labelled pictures by split: the first `train_rows` to train, and all to test."""
    return digit_splits(dataset, Drawing, LABELS, train_rows=train_rows)
