"""Words in the order of the file; every `every`-th one is a test row."""

from collections.abc import Iterable

from slipway.datasets import Dataset

from .model import Beginning

Rows = Iterable[tuple[Beginning, str]]


def splits(dataset: Dataset, *, every: int) -> dict[str, Rows]:
    """Split the words: their first two letters, labelled with the whole word."""
    words = dataset.path("words.txt").read_text().split()
    rows = [(Beginning(text=each[:2], letters=len(each) - 2), each) for each in words]
    train = [row for place, row in enumerate(rows) if place % every]
    return {"train": train, "test": rows[::every]}
