"""Predict in batches, so that memory stays bounded."""

from collections.abc import Iterator
from typing import Any


def predict_all(model: Any, records: list[Any], batch: int = 1000) -> list[Any]:
    """Return the model's prediction for every record, with `batch` records per call.

    Raises:
        ValueError: a call returned fewer or more predictions than records.
    """
    return [each for part in batches(records, batch) for each in predict(model, part)]


def predict(model: Any, part: list[Any]) -> list[Any]:
    """Return the model's predictions for one batch.

    Raises:
        ValueError: the model returned fewer or more predictions than records.
    """
    predicted: list[Any] = model.predict(part)
    if len(predicted) != len(part):
        raise ValueError(f"got {len(predicted)} predictions for {len(part)} records")
    return predicted


def batches(records: list[Any], batch: int) -> Iterator[list[Any]]:
    """Yield the records in lists of `batch`; the last one may be shorter."""
    for start in range(0, len(records), batch):
        yield records[start : start + batch]
