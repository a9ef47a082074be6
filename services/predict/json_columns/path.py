"""The way of a batch of JSON records through a model as whole columns."""

import logging
from collections.abc import Callable
from time import perf_counter
from typing import NamedTuple

from services.predict.json_columns.fields import fields_of
from services.predict.json_columns.reader import ColumnReader
from services.predict.json_columns.writer import RowWriter
from slipway.contract import Model

log = logging.getLogger("slipway.predict")


class ColumnPredictions(NamedTuple):
    """The predictions for a batch, and how long they took."""

    predictions: bytes
    """A JSON list, byte for byte as the records would have given it."""
    rows: int
    validate_seconds: float
    infer_seconds: float


class ColumnPath:
    """Predicts batches by the model's `predict_columns`, without a record for each row."""

    def __init__(self, model: Model, reader: ColumnReader, writer: RowWriter) -> None:
        self._model, self._reader, self._writer = model, reader, writer
        self._reported = False

    def predict(self, body: bytes) -> ColumnPredictions | None:
        """Return the predictions for a JSON list of records.

        Returns None when the records have to be validated and predicted one by one: the batch is
        not plainly valid, or the model's columns are no valid predictions.
        """
        start = perf_counter()
        columns = self._reader.read(body)
        if columns is None:
            return None
        rows = len(next(iter(columns.values())))
        validated = perf_counter()
        try:
            outputs = self._model.predict_columns(columns)
            inferred = perf_counter()
            predictions = self._writer.write(outputs, rows)
        except Exception:  # the records decide whether it is the model that fails, or its columns
            self._report()
            return None
        if predictions is None:
            return None
        return ColumnPredictions(predictions, rows, validated - start, inferred - validated)

    def agrees(self, bodies: list[bytes], predict: Callable[[bytes], bytes]) -> bool:
        """Return whether some of the bodies can be predicted by columns, and these all equally.

        `predict` returns the predictions by record.
        """
        found = [(body, self.predict(body)) for body in bodies]
        try:
            compared = [each.predictions == predict(body) for body, each in found if each]
        except Exception:  # an example that fails by record is for the try-out to report
            return False
        return bool(compared) and all(compared)

    def _report(self) -> None:
        if not self._reported:
            log.warning("predict_columns failed; the batch is predicted by record", exc_info=True)
        self._reported = True


def find_column_path(model: Model, *, batch_rows: int) -> ColumnPath | None:
    """Return the column path of a model, if it predicts columns and its types may be columns."""
    if not type(model).predicts_columns():
        return None
    inputs, outputs = fields_of(model.input_type()), fields_of(model.output_type())
    if not inputs or not outputs:
        return None
    return ColumnPath(model, ColumnReader(inputs, batch_rows=batch_rows), RowWriter(outputs))
