"""Predict in batches, so that memory stays bounded."""

from typing import Any


def predict_all(model: Any, records: list[Any], batch: int = 1000) -> list[Any]:
    """Return the model's prediction for every record, with `batch` records per call.

    Raises:
        ValueError: a call returned fewer or more predictions than records.
    """
    predictions: list[Any] = []
    for start in range(0, len(records), batch):
        part = records[start : start + batch]
        predicted = model.predict(part)
        if len(predicted) != len(part):
            raise ValueError(f"got {len(predicted)} predictions for {len(part)} records")
        predictions += predicted
    return predictions
