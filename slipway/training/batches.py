"""Predictions in batches of bounded memory."""

from typing import Any


def predict_all(model: Any, records: list[Any], batch: int = 1000) -> list[Any]:
    """Return the model's prediction for every record, `batch` records a call.

    Raises:
        ValueError: a call returned fewer or more predictions than it was given records.
    """
    predictions: list[Any] = []
    for start in range(0, len(records), batch):
        part = records[start : start + batch]
        found = model.predict(part)
        if len(found) != len(part):
            raise ValueError(f"{len(part)} records sent, {len(found)} answers came back")
        predictions += found
    return predictions
