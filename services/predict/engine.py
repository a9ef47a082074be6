"""One loaded model: bytes of a request in, bytes of predictions out. It knows nothing of HTTP.

The same engine runs on the event loop, in a thread and in a process of its own.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import Annotated, Any

import numpy as np
from pydantic import FailFast, Field, TypeAdapter, ValidationError
from pydantic_core import to_json

from services.predict.json_columns.path import ColumnPath, find_column_path
from services.predict.summaries import RequestSummary, Summarizer
from services.web.problem import Problem, refused
from slipway.contract import Model, Record
from slipway.explain import Shapley

log = logging.getLogger("slipway.predict")

# From this size on, columns are quicker than records: with 30 numbers a record, 60 rows take 0.5 ms
# either way and 1,000 rows 5 ms instead of 9.
COLUMN_BYTES = 2**16


@dataclass(slots=True)
class ModelResponse:
    """The predictions for one request, and how long they took."""

    predictions: bytes
    """A JSON list, in the order of the records; with `columns`, a JSON object of whole columns."""
    rows: int
    validate_seconds: float
    infer_seconds: float
    columns: dict[str, np.ndarray] | None = None
    """The output fields, (rows,) each, of a request that came as whole columns."""
    summary: RequestSummary | None = None
    """The form that the log keeps; None for the request and the predictions as they are."""


@dataclass(slots=True)
class ColumnBatch:
    """A request as whole columns, whatever protocol brought it."""

    arrays: dict[str, np.ndarray]
    """The input fields, (rows,) each."""
    rows: int
    check: Callable[[dict[str, np.ndarray]], None]
    """Refuses values out of bounds with a Problem."""
    outputs: tuple[str, ...]
    """The output fields that the model must return."""


class Engine:
    """A model with its validators and serializers at hand."""

    def __init__(self, model: Model, *, batch_rows: int, thumbnails: bool = False) -> None:
        self.model, self.batch_rows = model, batch_rows
        self._summarizer = Summarizer(model, thumbnails=thumbnails) or None
        self.shapley: Shapley | None = None
        self.input_type, self.output_type = model.input_type(), model.output_type()
        self._one: TypeAdapter[Record] = TypeAdapter(self.input_type)
        # It stops at the first record that is refused and at the first one too many: 150,000 times
        # `{}` took 2.7 GB for the errors of each.
        batch = Annotated[list[self.input_type], FailFast(), Field(max_length=batch_rows)]  # type: ignore[name-defined]
        self._many: TypeAdapter[list[Record]] = TypeAdapter(batch)
        outputs: TypeAdapter[list[Record]] = TypeAdapter(list[self.output_type])  # type: ignore[name-defined]
        # Custom validators, on fields or on the whole record, work on records only.
        schema = str(self.input_type.__pydantic_core_schema__)
        validates = "'function-" in schema or "post_init" in schema
        self.predicts_columns = type(model).predicts_columns() and not validates
        """True if whole columns may go to the model once they are within the fields' bounds."""
        self._column_path: ColumnPath | None = None
        # The bound methods: looking them up again costs a microsecond a request.
        self._validate_one = self._one.validator.validate_json
        self._validate_many = self._many.validator.validate_json
        self._serialize = outputs.serializer.to_json

    def use_columns(self, examples: list[Any]) -> None:
        """Predict large JSON batches by columns from now on, if that gives the same predictions.

        The model's two methods are compared on `examples`, records as JSON values. A model whose
        summaries need the records is left as it is.
        """
        path = find_column_path(self.model, batch_rows=self.batch_rows)
        if path is None or self._summarizer is not None:
            return
        bodies = [to_json(batch) for batch in (*([each] for each in examples), examples)]
        if path.agrees(bodies, self._predict_by_record):
            self._column_path = path
        else:
            log.info("%s: JSON batches are predicted by record", type(self.model).__name__)

    def _predict_by_record(self, body: bytes) -> bytes:
        records = self.parse(body)
        return self.serialize(self.model.predict(records), len(records))

    def _predict_by_column(self, body: bytes) -> ModelResponse | None:
        """Return the predictions for a large batch; None if it must be predicted by record."""
        path = self._column_path
        if path is None or len(body) < COLUMN_BYTES or body.lstrip()[:1] != b"[":
            return None
        found = path.predict(body)
        return None if found is None else ModelResponse(*found)

    def predict(self, body: bytes) -> ModelResponse:
        """Return the predictions for a JSON record or list of records.

        Raises:
            Problem: the body is refused.
            Exception: whatever the model raises.
        """
        if len(body) >= COLUMN_BYTES and (response := self._predict_by_column(body)) is not None:
            return response
        start = perf_counter()
        records = self.parse(body)
        validated = perf_counter()
        predictions = self.model.predict(records)
        inferred = perf_counter()
        return self.respond(body, records, predictions, validated - start, inferred - validated)

    def respond(
        self,
        body: bytes,
        records: list[Record],
        predictions: list[Record],
        validate_seconds: float,
        infer_seconds: float,
    ) -> ModelResponse:
        """Return the response that holds the predictions for the records of a body.

        Raises:
            ValueError: there are not as many predictions as records.
        """
        rows = len(records)
        response = ModelResponse(
            self.serialize(predictions, rows), rows, validate_seconds, infer_seconds
        )
        if self._summarizer is not None:
            response.summary = self._summarizer.summarize(body, records, predictions)
        return response

    def parse(self, body: bytes) -> list[Record]:
        """Return the validated records of a JSON body.

        Raises:
            Problem: the body is no JSON, no valid record, or holds too many records.
        """
        try:
            if body[:1] == b"{" or body.lstrip()[:1] != b"[":
                return [self._validate_one(body)]
            records: list[Record] = self._validate_many(body)
        except ValidationError as error:
            problem = self._refused(error)
        else:
            if records:
                return records
            problem = self._wrong_size("0")
        # Not in the handler: as the problem's context, the error would keep every frame and body.
        raise problem

    def _refused(self, error: ValidationError) -> Problem:
        if error.error_count() == 1:
            fault = error.errors(include_url=False, include_input=False)[0]
            if fault["type"] == "too_long" and not fault["loc"]:
                return self._wrong_size("more")
        return refused(error)

    def _wrong_size(self, got: str) -> Problem:
        message = f"a batch must hold 1 to {self.batch_rows} records, got {got}"
        return Problem(422, "Invalid input", message)

    def predict_columns(self, batch: ColumnBatch) -> tuple[dict[str, np.ndarray], float, float]:
        """Return the output fields, (rows,) each, and the seconds to validate and to infer.

        Raises:
            Problem: a value is out of bounds.
            ValueError: the model did not return every field and row.
            Exception: whatever the model raises.
        """
        start = perf_counter()
        batch.check(batch.arrays)
        validated = perf_counter()
        outputs = self.model.predict_columns(batch.arrays)
        for name in batch.outputs:
            if name not in outputs or len(outputs[name]) != batch.rows:
                raise ValueError(f"predict_columns gave no {name} for {batch.rows} rows")
        return outputs, validated - start, perf_counter() - validated

    def serialize(self, predictions: list[Record], rows: int) -> bytes:
        """Return the predictions as JSON.

        Raises:
            ValueError: there are not as many predictions as records.
        """
        if len(predictions) != rows:
            raise ValueError(f"{rows} records sent, {len(predictions)} predictions came back")
        content: bytes = self._serialize(predictions)
        return content

    def predict_together(self, bodies: list[bytes]) -> list[ModelResponse | Problem]:
        """Return the responses to several requests, made by one call of the model.

        A request that is refused gets its own Problem; the others are not affected.

        Raises:
            Exception: whatever the model raises; no request has a response then.
        """
        # A large batch gains nothing from sharing a call.
        by_column = [self._predict_by_column(body) for body in bodies]
        others = [body for body, one in zip(bodies, by_column, strict=True) if one is None]
        by_record = iter(self._predict_records_together(others) if others else ())
        return [next(by_record) if one is None else one for one in by_column]

    def _predict_records_together(self, bodies: list[bytes]) -> list[ModelResponse | Problem]:
        parsed: list[tuple[list[Record], float] | Problem] = []
        for body in bodies:
            start = perf_counter()
            try:
                parsed.append((self.parse(body), perf_counter() - start))
            except Problem as problem:
                # Its traceback holds this frame, so its list would hold itself and the bodies.
                parsed.append(problem.with_traceback(None))
        records = [each for one in parsed if not isinstance(one, Problem) for each in one[0]]
        start = perf_counter()
        predictions = self.model.predict(records) if records else []
        seconds = perf_counter() - start
        if len(predictions) != len(records):
            raise ValueError(
                f"{len(records)} records sent, {len(predictions)} predictions came back"
            )
        responses: list[ModelResponse | Problem] = []
        place = 0
        for body, one in zip(bodies, parsed, strict=True):
            if isinstance(one, Problem):
                responses.append(one)
                continue
            part = predictions[place : place + len(one[0])]
            place += len(one[0])
            responses.append(self.respond(body, one[0], part, one[1], seconds))
        return responses
