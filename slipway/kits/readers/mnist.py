"""MNIST's digits as labelled records, in the data set's own split."""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any, TypeVar

from slipway.datasets import Dataset
from slipway.kits.readers.idx import labelled_idx
from slipway.media import encode_png

Drawn = TypeVar("Drawn")
PARTS = {"train": "train", "test": "t10k"}


def digit_splits(
    dataset: Dataset, record: Callable[..., Drawn], labels: Sequence[str], *, train_rows: int
) -> dict[str, Iterator[tuple[Drawn, str]]]:
    """Return labelled pictures by split: the first `train_rows` to train, and all to test.

    `record(image=...)` makes a record of a PNG file. `labels` are the names of the digits.
    """

    def pictures(part: str) -> Iterator[tuple[Any, str]]:
        images, numbers = (
            dataset.path(f"{part}-{kind}-ubyte") for kind in ("images-idx3", "labels-idx1")
        )
        for image, label in labelled_idx(images, numbers, labels):
            yield record(image=encode_png(image)), label

    return {
        "train": islice(pictures(PARTS["train"]), train_rows),
        "test": pictures(PARTS["test"]),
    }
